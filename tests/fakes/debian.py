"""Debian packages that cannot stand beside each other, each run in a root folder of its own.

IO; needs root, for `chroot`. Debian installs one mail server at a time (they all provide
`mail-transport-agent`), and Postfix is the one. Another is fetched by `apt-get download` once,
unpacked into `.cache/debian/`, and runs in a folder that holds nothing but it, the libraries
that it needs (copies of the system's) and a table of users of its own. Nothing is installed and
no user is made, so paths that are compiled in (`/var/spool/smtpd`) are no concern. The network
is the machine's.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Self

from tests.fakes.processes import Program, wait_until
from tests.fakes.programs import require_program, skip_unless_required

CACHE = Path(__file__).parents[2] / ".cache" / "debian"
DOWNLOAD_SECONDS = 90
SHELL = "/bin/sh"


class DebianRoot:
    """A root folder with one package in it; a context manager that removes it.

    Attributes:
        folder: where it is.
    """

    def __init__(
        self, package: str, *, users: Mapping[str, int], libraries: str, programs: tuple[str, ...]
    ) -> None:
        """Unpack the package; skips the test (fails it where CI=true) if that cannot be done.

        Args:
            package: of Debian.
            users: names and numbers, each with a group of the same; root is there anyway.
            libraries: the packages with its libraries, separated by blanks, for the message
                when one is missing.
            programs: absolute paths of the programs that will be run in there.
        """
        if os.geteuid() != 0:
            skip_unless_required(f"{package} runs in a root folder of its own; run this as root")
        if fault := _unpack(package):
            skip_unless_required(f"Debian's package {package} cannot be unpacked: {fault}")
        self._chroot = require_program("chroot", "coreutils")
        # Not pytest's folder: unprivileged users must be able to pass through.
        self.folder = Path(tempfile.mkdtemp(prefix=f"relay-{package}-"))
        self.folder.chmod(0o755)
        try:
            shutil.copytree(CACHE / package, self.folder, symlinks=True, dirs_exist_ok=True)
            for program in (SHELL, *programs):
                self._add_libraries(program, libraries)
            self._add_system(users)
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def __enter__(self) -> Self:
        """There is nothing to start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folder; processes that are about to end may still write into it."""
        wait_until(self._is_removed, what=f"{self.folder} is removed")

    def program(self, *argv: str, name: str) -> Program:
        """A program in the root folder, not started yet."""
        return Program([self._chroot, str(self.folder), *argv], folder=self.folder, name=name)

    def make_folder(self, path: str, *, owner: int = 0, mode: int = 0o755) -> Path:
        """Make a folder inside, with those above it.

        Args:
            path: absolute, as seen from inside.
            owner: number of user and group.
            mode: of the folder itself.
        """
        folder = self.folder / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, owner, owner)
        folder.chmod(mode)
        return folder

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file inside."""
        file = self.folder / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        file.chmod(mode)

    def _add_libraries(self, program: str, packages: str) -> None:
        path = self.folder / program.lstrip("/")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(program, path)
        told = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=True)  # noqa: S607 - the system's own
        if missing := re.findall(r"(\S+) => not found", told.stdout):
            skip_unless_required(f"{missing} not found; on Debian: apt-get install {packages}")
        for library in re.findall(r"(/\S+) \(0x", told.stdout):
            copy = self.folder / library.lstrip("/")
            if not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(library, copy)

    def _add_system(self, users: Mapping[str, int]) -> None:
        everybody = {"root": 0, **users}
        lines = [f"{name}:x:{number}:{number}::/:{SHELL}\n" for name, number in everybody.items()]
        self.write("/etc/passwd", "".join(lines))
        self.write("/etc/group", "".join(f"{name}:x:{n}:\n" for name, n in everybody.items()))
        self.write("/etc/hosts", "127.0.0.1 localhost\n")
        self.make_folder("/tmp", mode=0o1777)  # noqa: S108 - inside
        self.make_folder("/dev")
        device, null = self.folder / "dev" / "null", os.stat(os.devnull)
        try:
            os.mknod(device, null.st_mode, null.st_rdev)
        except PermissionError:
            skip_unless_required("no device file can be made here; allow this container MKNOD")
        device.chmod(0o666)

    def _is_removed(self) -> bool:
        shutil.rmtree(self.folder, ignore_errors=True)
        return not self.folder.exists()


@cache  # a mirror that does not answer is not asked again by the next test
def _unpack(package: str) -> str:
    """Fetch and unpack a package, unless it is there; what went wrong, or nothing."""
    if (CACHE / package).exists():
        return ""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{package}-", dir=CACHE) as name:
        folder = Path(name)
        fault = _run(folder, "apt-get", "-q", "download", package)
        for file in folder.glob("*.deb"):
            fault = fault or _run(folder, "dpkg", "-x", file.name, "unpacked")
        if not fault:
            # Complete or not there; another test process may have been first.
            with contextlib.suppress(OSError):
                (folder / "unpacked").rename(CACHE / package)
    return fault


def _run(folder: Path, name: str, *arguments: str) -> str:
    """Run one of Debian's commands; what went wrong, or nothing."""
    try:
        done = subprocess.run(
            [require_program(name, name.partition("-")[0]), *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{name} took over {DOWNLOAD_SECONDS} s"
    return "" if done.returncode == 0 else f"{name}: {done.stderr.strip()[-300:]}"
