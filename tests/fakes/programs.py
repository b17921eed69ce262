"""The real programs that tests run against: where they are, what to do when they are not there.

IO. On a developer's machine a test whose program is missing is skipped, naming
the Debian package to install. Where everything is meant to be there, which
`.ci/run` says with CI=true, the same test fails: nothing goes unproven unseen.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

# Where servers lie on Debian; not everybody's PATH has these folders.
SERVER_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def peers_are_required() -> bool:
    """Whether a missing program is a fault (CI=true), not a reason to skip."""
    return os.environ.get("CI") == "true"


def find_program(name: str) -> str | None:
    """Find a program in PATH or in the folders where Debian keeps servers.

    Args:
        name: its file name, such as `named`.

    Returns:
        Its absolute path, or None when it is not installed.
    """
    folders = os.pathsep.join((os.environ.get("PATH", os.defpath), *SERVER_FOLDERS))
    path = shutil.which(name, path=folders)
    return None if path is None else os.path.abspath(path)


def require_program(name: str, package: str) -> str:
    """Find a program, or end the test that needs it.

    Args:
        name: its file name, such as `named`.
        package: the Debian package or packages that bring it, separated by blanks.

    Returns:
        Its absolute path.

    Raises:
        pytest.skip.Exception: it is missing.
        pytest.fail.Exception: it is missing and CI=true.
    """
    path = find_program(name)
    if path is None:
        skip_unless_required(f"{name} is not installed; on Debian: apt-get install {package}")
    return path


def skip_unless_required(reason: str) -> NoReturn:
    """End a test that cannot run on this machine: skipped, or failed when CI=true.

    Args:
        reason: what is missing and how to get it, in one line.

    Raises:
        pytest.skip.Exception: always, but for the following.
        pytest.fail.Exception: CI=true.
    """
    if peers_are_required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
