"""The image, built from the Dockerfile as users build it, on a base that is made here.

IO; needs root. `debootstrap` makes a Debian with Python, `buildah` builds on it, without a daemon
and without a registry of images. The base is made once and kept in `.cache/image`; the image is
built for each run, and removed after it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from relay import __version__
from tests.fakes.programs import require_program, skip_unless_required

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "image"
BASE = "localhost/python-base:bookworm"
BASE_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
# The certificates of this machine, so that a build behind a TLS proxy works as pip does here.
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
COMMAND_SECONDS = 600
MEGABYTES = {"kB": 0.001, "MB": 1.0, "GB": 1000.0}


class Image:
    """The built image with its file system mounted; a context manager.

    Attributes:
        root: its file system.
        config: what a container is started with, in the words of Docker: Env, User, Cmd ….
        added_megabytes: by how much it is larger than its base.
    """

    root: Path
    config: Mapping[str, Any]
    added_megabytes: float

    def __init__(self) -> None:
        """Nothing is built yet; skips the test (fails it where CI=true) if that cannot be done."""
        if os.geteuid() != 0:
            skip_unless_required("an image is built and run as root")
        require_program("buildah", "buildah")
        require_program("debootstrap", "debootstrap")
        require_program("runc", "runc")
        self._name = f"localhost/dkim-relay-test:{os.getpid()}"
        self._container = ""

    def __enter__(self) -> Self:
        """Build it, and the base if there is none yet."""
        CACHE.mkdir(parents=True, exist_ok=True)
        with _alone():
            if not _buildah("images", "--quiet", "--filter", f"reference={BASE}"):
                _make_base()
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        self._remove()

    def _build(self) -> None:
        arguments = ["--isolation", "chroot", "--format", "docker", "--pull-never", "--quiet"]
        arguments += ["--build-arg", f"BASE={BASE}", "--build-arg", f"VERSION={__version__}"]
        if CERTIFICATES.exists():
            arguments += ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
        _buildah("bud", *arguments, "--tag", self._name, str(ROOT))
        self._container = _buildah("from", "--pull-never", self._name)
        self.root = Path(_buildah("mount", self._container)).resolve()
        told = json.loads(_buildah("inspect", "--type", "image", self._name))
        self.config = told["Docker"]["config"]
        self.added_megabytes = _megabytes(self._name) - _megabytes(BASE)

    def _remove(self) -> None:
        if self._container:
            _buildah("umount", self._container)
            _buildah("rm", self._container)
        _buildah("rmi", "--force", self._name)
        _buildah("rmi", "--prune")  # the build stage


def _make_base() -> None:
    """Let debootstrap fill the file system of an empty container, and keep it as an image."""
    container = _buildah("from", "scratch")
    try:
        folder = Path(_buildah("mount", container))
        options = ["--variant=minbase", f"--include={BASE_PACKAGES}"]
        _run([require_program("debootstrap", "debootstrap"), *options, "bookworm", str(folder)])
        for left_over in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(folder / left_over)
        _buildah("umount", container)
        _buildah("commit", "--quiet", container, BASE)
    finally:
        _buildah("rm", container)


@contextmanager
def _alone() -> Iterator[None]:
    """Two runs of the tests do not make the same base at once."""
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _megabytes(image: str) -> float:
    number, unit = _buildah("images", "--format", "{{.Size}}", image).split()
    return float(number) * MEGABYTES[unit]


def _buildah(command: str, *arguments: str) -> str:
    store = ["--root", str(CACHE / "store"), "--runroot", str(CACHE / "run")]
    return _run([require_program("buildah", "buildah"), *store, command, *arguments]).strip()


def _run(argv: list[str]) -> str:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    said = re.sub(r"\n{2,}", "\n", f"{done.stdout}\n{done.stderr}")[-4000:]
    assert done.returncode == 0, f"{' '.join(argv)} ended {done.returncode}:\n{said}"
    return done.stdout
