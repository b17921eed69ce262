"""Peers written in Python, which the project itself does not need: Django, the Kubernetes schemas.

IO: the first use needs PyPI; later ones find them in `.cache/`, in an environment of their own
that is made from `python_peers.lock`, every hash checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
import tempfile
import venv
from functools import cache
from pathlib import Path
from typing import Any

from tests.fakes.programs import skip_unless_required

LOCK = Path(__file__).with_name("python_peers.lock")
CACHE = Path(__file__).parents[2] / ".cache"
INSTALL_SECONDS = 300
_READ_YAML = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"


def peers_python() -> str:
    """The interpreter that has them; skips the test (fails it where CI=true) if there is none."""
    if fault := _install():
        skip_unless_required(f"{LOCK.name} cannot be installed by pip: {fault}")
    return str(_folder() / "bin" / "python")


def read_yaml(text: str) -> list[Any]:
    """Every document of a YAML text."""
    argv = [peers_python(), "-c", _READ_YAML]
    done = subprocess.run(argv, input=text, capture_output=True, encoding="utf-8", check=True)
    documents: list[Any] = json.loads(done.stdout)
    return documents


def _folder() -> Path:
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return CACHE / f"python-peers-{digest}"


@cache  # a registry that does not answer is not asked again by the next test
def _install() -> str:
    """Make the environment, unless it is there; what went wrong, or nothing."""
    if _folder().exists():
        return ""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="python-peers-", dir=CACHE) as name:
        made = Path(name) / "made"
        venv.create(made, with_pip=True)
        pip = [str(made / "bin" / "python"), "-m", "pip", "-q", "--disable-pip-version-check"]
        options = ["--no-input", "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)]
        try:
            done = subprocess.run(
                [*pip, "install", *options],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"it took over {INSTALL_SECONDS} s"
        if done.returncode != 0:
            return done.stderr[-300:]
        # Complete or not there; another test process may have been first.
        with contextlib.suppress(OSError):
            made.rename(_folder())
    return ""
