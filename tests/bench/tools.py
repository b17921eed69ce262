"""What `make bench` needs that is not among the dependencies: matplotlib, py-spy.

IO. They are four times as large as the project with all that it needs, so they have a lock file
and an environment of their own, made below `.cache/` when they are first needed. Where they
cannot be had, everything else still works.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from tests.bench.contender import ROOT, clean_environment

LOCK = Path(__file__).with_name("requirements.lock")


def tools_folder() -> Path | None:
    """The `bin` of the environment, made if need be; None, and a word why, when it cannot be."""
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / ".cache" / f"bench-{digest}"
    if not folder.exists():
        print("installing matplotlib and py-spy for this, once", file=sys.stderr)
        unfinished = folder.with_suffix(".part")
        venv.create(unfinished, with_pip=True, clear=True)
        pip = [f"{unfinished}/bin/python", "-m", "pip", "-qq", "--disable-pip-version-check"]
        options = ["--no-input", "--require-hashes", "--only-binary", ":all:"]
        done = subprocess.run([*pip, "install", *options, "-r", str(LOCK)], check=False)
        if done.returncode != 0:
            shutil.rmtree(unfinished)
            print(f"{LOCK.name} cannot be installed, see above", file=sys.stderr)
            return None
        unfinished.rename(folder)
    return folder / "bin"


def draw(data: Path, picture: Path) -> bool:
    """Draw `bench.json` as a PNG file; whether that was possible."""
    folder = tools_folder()
    if folder is None:
        return False
    argv = [f"{folder}/python", "-m", "tests.bench.plot", str(data), str(picture)]
    done = subprocess.run(argv, cwd=ROOT, env=clean_environment(), check=False)
    return done.returncode == 0


def py_spy() -> str | None:
    """The program py-spy, or None when it cannot be had."""
    if found := shutil.which("py-spy"):
        return found
    folder = tools_folder()
    return None if folder is None else str(folder / "py-spy")
