"""What the peers are made of, installed when it is missing: Debian packages, and Haraka by npm.

IO. Each step says what it installs. Packages come without the services that Debian would start
with them. Haraka is no package: `npm ci` puts it into `.cache/`, from the lock file in `haraka/`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.contender import ROOT
from tests.fakes.programs import find_program

SOURCE = Path(__file__).with_name("haraka")
POLICY = Path("/usr/sbin/policy-rc.d")
# Programs by the package that brings them; another npm or Node.js than Debian's will do.
PROGRAMS = {"postfix": "postfix", "opendkim": "opendkim", "rspamd": "rspamd", "npm": "npm"}
NPM_OPTIONS = ("--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def install_packages() -> None:
    """Install the Debian packages whose programs are missing; what cannot be had is told later."""
    missing = [package for name, package in PROGRAMS.items() if find_program(name) is None]
    if not missing:
        return
    print(f"installing Debian packages: {' '.join(missing)}", file=sys.stderr)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print("that needs root on Debian; going on without", file=sys.stderr)
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _services_held_back():
        subprocess.run(["apt-get", "-qq", "update"], env=environment, check=False)  # noqa: S607
        # --no-remove: another mail server that is there already is not thrown out.
        argv = ["apt-get", "-qq", "-y", "--no-install-recommends", "--no-remove", "install"]
        subprocess.run([*argv, *missing], env=environment, stdout=sys.stderr, check=False)


def haraka_folder() -> Path | None:
    """The folder with Haraka and its plugin, made if need be; None when they cannot be had."""
    npm = find_program("npm")
    if npm is None or find_program("node") is None:
        return None
    lock = (SOURCE / "package-lock.json").read_bytes()
    folder = ROOT / ".cache" / f"haraka-{hashlib.sha256(lock).hexdigest()[:12]}"
    if folder.exists():
        return folder
    print("installing by npm: Haraka, haraka-plugin-dkim, and what they need", file=sys.stderr)
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for path in SOURCE.glob("package*.json"):
        shutil.copy(path, unfinished)
    if not _done([npm, "ci", *NPM_OPTIONS], unfinished):
        return None
    unfinished.rename(folder)
    return folder


def _done(argv: Sequence[str], folder: Path) -> bool:
    return subprocess.run(argv, cwd=folder, stdout=sys.stderr, check=False).returncode == 0


@contextmanager
def _services_held_back() -> Iterator[None]:
    """As long as this is entered, Debian starts no service that it installs."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
