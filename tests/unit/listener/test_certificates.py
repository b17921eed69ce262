"""Certificates of a listener: whole or not at all, and as new as their files."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from relay.core.errors import ConfigError, Fault
from relay.core.events import Noted
from relay.listener.certificates import CertificateFiles
from relay.listener.certificates import Certificates as ListenerCertificates
from relay.listener.endpoint import Endpoint, ListenerTls
from tests.fakes.certificates import Certificates
from tests.fakes.edge import LIMITS, Edge
from tests.fakes.smtp_client import SocketClient

pytestmark = pytest.mark.usefixtures("quiet")

IMPLICIT = ListenerTls.IMPLICIT


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """A CA of each test's own: its files are harmed."""
    return Certificates(tmp_path)


# ---- files -------------------------------------------------------------------------------------


def _nothing(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _noise(path: Path) -> None:
    path.write_bytes(os.urandom(500))


def _cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _swap(path: Path) -> None:
    other = path.with_suffix(".key" if path.suffix == ".pem" else ".pem")
    path.write_bytes(other.read_bytes())


HARMS: list[Callable[[Path], None]] = [_nothing, _empty, _noise, _cut_off, _folder, _swap]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("which", ["certificate", "key", "client_ca"])
async def test_files_that_cannot_be_used(
    certificates: Certificates, tmp_path: Path, which: str, harm: Callable[[Path], None]
) -> None:
    """The fault names the file, what is wrong with it, and what it should be."""
    certificate, key = certificates.files()
    (tmp_path / "ca.key").write_bytes(key.read_bytes())
    files = CertificateFiles(certificate=certificate, key=key, client_ca=tmp_path / "ca.pem")
    ListenerCertificates(files)
    harmed: Path = getattr(files, which)
    harm(harmed)
    with pytest.raises(ConfigError) as caught:
        ListenerCertificates(files)
    [fault] = caught.value.faults
    # A key that is cut off is found out when the pair is put together.
    found_late = harm is _cut_off and which == "key"
    assert fault.where == str(certificate if found_late else harmed)
    assert fault.what.startswith("cannot be used for TLS: ")
    assert "lib (_ssl" not in fault.what or harm is _cut_off
    assert fault.fix


async def test_a_key_of_another_certificate(certificates: Certificates) -> None:
    """They must be a pair."""
    certificate, _ = certificates.files()
    _, key = certificates.files(stem="other")
    with pytest.raises(ConfigError, match="KEY_VALUES_MISMATCH"):
        ListenerCertificates(CertificateFiles(certificate=certificate, key=key))


async def test_a_key_with_a_password(certificates: Certificates) -> None:
    """It is refused; OpenSSL would ask for the password on the terminal, and wait for ever."""
    certificate, key = certificates.files()
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigError, match="has a password"):
        ListenerCertificates(CertificateFiles(certificate=certificate, key=key))


async def test_both_in_one_file(certificates: Certificates, tmp_path: Path) -> None:
    """A key may stand in the certificate's file."""
    certificate, key = certificates.files()
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    assert ListenerCertificates(CertificateFiles(certificate=both)).context


# ---- new ones ----------------------------------------------------------------------------------


Told = list[Fault | None]


async def test_files_that_did_not_change(certificates: Certificates) -> None:
    """Nothing is loaded and nothing is told."""
    loaded = certificates.listener()
    told: Told = []
    before = loaded.context
    for _ in range(3):
        loaded.refresh(told.append)
    assert loaded.context is before
    assert told == []


async def test_files_that_changed(certificates: Certificates) -> None:
    """They are taken up once; a context that connections have is not touched."""
    loaded = certificates.listener()
    told: Told = []
    before = loaded.context
    certificates.files()
    loaded.refresh(told.append)
    after = loaded.context
    loaded.refresh(told.append)
    assert after is not before
    assert loaded.context is after
    assert told == [None]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
async def test_files_that_broke(certificates: Certificates, harm: Callable[[Path], None]) -> None:
    """The old ones stay, it is told once why, and the next good ones are taken up."""
    loaded = certificates.listener()
    certificate, key = certificates.files()
    loaded.refresh(lambda _: None)
    told: Told = []
    before = loaded.context
    harm(key)
    loaded.refresh(told.append)
    loaded.refresh(told.append)
    assert loaded.context is before
    [fault] = told
    assert fault is not None
    assert fault.what
    if key.is_dir():
        key.rmdir()
    certificates.files()
    loaded.refresh(told.append)
    assert told == [fault, None]
    assert loaded.context is not before
    assert certificate.exists()


async def test_files_that_change_one_after_the_other(
    certificates: Certificates, tmp_path: Path
) -> None:
    """As a program writes them that renews: between the two the old pair stays in use."""
    loaded = certificates.listener()
    told: Told = []
    before = loaded.context
    certificate, key = certificates.files(stem="new")
    certificate.replace(tmp_path / "listener.pem")
    loaded.refresh(told.append)
    assert loaded.context is before
    key.replace(tmp_path / "listener.key")
    loaded.refresh(told.append)
    assert loaded.context is not before
    [first, second] = told
    assert first is not None
    assert second is None


async def test_a_folder_of_links(certificates: Certificates, tmp_path: Path) -> None:
    """As Kubernetes mounts secrets: a link is turned to another folder."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for made in certificates.files(stem="tls"):
            made.replace(tmp_path / name / made.name)
    link = tmp_path / "current"
    link.symlink_to("one")
    files = CertificateFiles(certificate=link / "tls.pem", key=link / "tls.key")
    loaded = ListenerCertificates(files)
    told: Told = []
    before = loaded.context
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").replace(link)
    loaded.refresh(told.append)
    assert told == [None]
    assert loaded.context is not before


@asynccontextmanager
async def swept(edge: Edge) -> AsyncIterator[SocketClient]:
    """A listener whose sweep comes round at once."""
    edge.limits = replace(LIMITS, memory_seconds=0.05)
    async with edge.listening() as listeners, asyncio.TaskGroup() as tasks:
        sweeping = tasks.create_task(listeners.sweep())
        yield SocketClient(*listeners.addresses[0])
        sweeping.cancel()


async def until_noted(edge: Edge, name: str) -> Noted:
    """Wait for a fact of this name."""
    found: list[Noted] = []
    async with asyncio.timeout(5):
        while not found:
            await edge.emitted()
            found = [e for e in edge.events if isinstance(e, Noted) and e.name == name]
    return found[0]


async def certificate_of(client: SocketClient, trusting: ssl.SSLContext) -> bytes:
    """What the listener shows to a new connection."""
    async with SocketClient(*client.address) as new:
        await new.begin(trusting, IMPLICIT)
        assert new.tls is not None
        return new.tls.server_certificate


async def test_new_connections_get_the_new_certificate(certificates: Certificates) -> None:
    """Open ones go on; new ones see the new one; broken files change nothing and are told."""
    trusting = certificates.trusting()
    edge = Edge(endpoint=Endpoint(tls=IMPLICIT, certificates=certificates.listener()))
    async with swept(edge) as client, client:
        await client.begin(trusting, IMPLICIT)
        assert client.tls is not None
        old = client.tls.server_certificate
        _, key = certificates.files()
        await until_noted(edge, "certificates.loaded")
        assert await client.say(b"NOOP") == [b"250 2.0.0 OK\r\n"]
        new = await certificate_of(client, trusting)
        assert new != old
        key.write_text("broken")
        failed = await until_noted(edge, "certificates.failed")
        assert failed.level == "error"
        assert dict(failed.fields)["where"] == str(key)
        assert dict(failed.fields)["detail"] == (
            "cannot be used for TLS: there is no private key in it"
        )
        assert await certificate_of(client, trusting) == new
