"""Fixtures of the tests of the image: it is built once, and containers of it are started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from relay.core.dkim.algorithm import Algorithm
from relay.keyring.writing import WrittenKey, write_key_pair
from tests.fakes.processes import LOOPBACK, free_port
from tests.fakes.smarthost import ALL_EXTENSIONS, Smarthost, in_thread
from tests.image.building import Image
from tests.image.container import ANY_USER, Container, MountedSecret
from tests.image.relay import RelayContainer

LOGIN, PASSWORD = "app", "only for tests"
TOKEN = "only for tests, and long enough"


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The image, its file system mounted."""
    with Image() as built:
        yield built


@pytest.fixture
def smarthost() -> Iterator[Smarthost]:
    """The next hop, which wants a login; in a thread."""
    with in_thread(Smarthost(extensions=ALL_EXTENSIONS, users={LOGIN: PASSWORD})) as host:
        yield host
        assert host.violations == []


@pytest.fixture
def make_key(tmp_path: Path) -> Callable[[str], WrittenKey]:
    """Make a key of example.com with a selector, in the folder of whoever runs the cluster."""

    def make(selector: str) -> WrittenKey:
        algorithm = Algorithm.RSA_SHA256
        return write_key_pair(tmp_path / "made", "example.com", selector, algorithm, 2048)

    return make


@pytest.fixture
def secret(tmp_path: Path) -> MountedSecret:
    """Becomes /keys/example.com: in the manifests each domain has a Secret."""
    return MountedSecret(tmp_path / "keys")


StartRelay = Callable[..., RelayContainer]


@pytest.fixture
def start(
    image: Image, smarthost: Smarthost, secret: MountedSecret, tmp_path: Path
) -> Iterator[StartRelay]:
    """Start a relay that is set up by its environment alone; it is stopped with the test."""
    secrets = MountedSecret(tmp_path / "secrets")
    secrets.put({"password": PASSWORD.encode() + b"\n", "admin-token": TOKEN.encode()})
    with ExitStack() as running:

        def start(
            *, user: tuple[int, int] = ANY_USER, has_tmp: bool = False, **variables: str
        ) -> RelayContainer:
            folder = tmp_path / "container"
            folder.mkdir()
            port, admin_port = free_port(), free_port()
            settings = {
                "DKIM_RELAY_LISTEN": f"{LOOPBACK}:{port}",
                "DKIM_RELAY_ADMIN__ADDRESS": f"{LOOPBACK}:{admin_port}",
                "DKIM_RELAY_UPSTREAM__URL": f"smtp://{LOOPBACK}:{smarthost.port}",
                "DKIM_RELAY_UPSTREAM__TLS": "none",
                "DKIM_RELAY_UPSTREAM__INSECURE_AUTH": "true",
                "DKIM_RELAY_UPSTREAM__USERNAME": LOGIN,
                "DKIM_RELAY_UPSTREAM__PASSWORD_FILE": "/run/secrets/dkim-relay/password",
                "DKIM_RELAY_DNS__GATE": "off",
                "DKIM_RELAY_KEYS_RELOAD_SECONDS": "0.1",
                **variables,
            }
            mounts = {"/keys/example.com": secret.folder, "/run/secrets/dkim-relay": secrets.folder}
            container = Container(
                image, folder, settings=settings, mounts=mounts, user=user, has_tmp=has_tmp
            )
            return running.enter_context(RelayContainer(container, port, admin_port=admin_port))

        yield start
