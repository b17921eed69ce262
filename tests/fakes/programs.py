"""The real programs that tests run against: where they are, what to do when they are not there.

IO. On a developer's machine a test whose program is missing is skipped, naming
the Debian package to install. Where everything is meant to be there, which
`.ci/run` says with CI=true, the same test fails: nothing goes unproven unseen.
"""

from __future__ import annotations

import os
import shutil
import subprocess
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


def require_perl_module(name: str, package: str) -> str:
    """Find Perl with a module, or end the test that needs it; Debian always has a bare Perl.

    Args:
        name: the module, such as `Mail::DKIM`.
        package: the Debian package that brings it.

    Returns:
        The absolute path of Perl.

    Raises:
        pytest.skip.Exception: Perl or the module is missing.
        pytest.fail.Exception: the same, and CI=true.
    """
    perl = require_program("perl", package)
    loaded = subprocess.run([perl, f"-M{name}", "-e1"], capture_output=True, check=False)
    if loaded.returncode != 0:
        skip_unless_required(f"Perl has no {name}; on Debian: apt-get install {package}")
    return perl


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
