"""The verifier mailauth, for Node.js: the one that Nodemailer's world uses.

IO: runs Node.js on the script in `mailauth_node/`, with records from a table as
for every verifier (see `tests.fakes.verifiers`). It is no Debian package: the
first use installs it by `npm ci` from the lock file there into `.cache/`, which
needs the npm registry once. Debian 12's Node.js is too old for it, so one comes with
it where there is one for the machine.

Deviation of mailauth's: it takes the octet 0xA0 for white space in header fields
(`has_misread_octet`), also within UTF-8, where RFC 6376 §2.8 knows only SP and HTAB.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.fakes.programs import require_program, skip_unless_required
from tests.fakes.verifiers import Records, Result, Verdict, Verdicts, run_verifier, write_messages

SOURCE = Path(__file__).with_name("mailauth_node")
CACHE = Path(__file__).parents[2] / ".cache"
OLDEST_NODE = (20, 18, 1)  # what mailauth's own dependencies ask for
INSTALL_SECONDS = 90
NPM_OPTIONS = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",  # milliseconds, as the next
    "--fetch-timeout=20000",
)


def verify_many_with_mailauth(messages: Sequence[bytes], records: Records) -> list[Verdicts]:
    """Verify with mailauth; a missing record or another body hash is `neutral` there."""
    modules = _installed() / "node_modules"
    node = _node(modules)
    with tempfile.TemporaryDirectory(prefix="relay-mailauth-") as name:
        table = Path(name) / "records.json"
        table.write_text(json.dumps({owner.lower(): text for owner, text in records.items()}))
        paths = write_messages(Path(name), messages)
        done = run_verifier(
            [node, str(SOURCE / "verify.js"), str(table), *paths],
            environment={"NODE_PATH": str(modules)},
        )
    return [
        [
            Verdict(
                verifier="mailauth",
                result=Result(found["result"]),
                signing_domain=found["domain"],
                selector=found["selector"],
                reason=found["comment"],
            )
            for found in verdicts
        ]
        for verdicts in json.loads(done)
    ]


def has_misread_octet(message: bytes) -> bool:
    """Whether mailauth canonicalizes the header section in a way of its own."""
    return b"\xa0" in message.partition(b"\r\n\r\n")[0]


def _node(modules: Path) -> str:
    """The Node.js that was installed with it, or the machine's if that is new enough; or skip."""
    for node in modules.glob("node-linux-*/bin/node"):
        return str(node)
    found = require_program("node", "nodejs")
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(map(int, re.findall(r"\d+", told)))
    if version < OLDEST_NODE:
        pytest.skip(f"Node.js {told.strip()} is too old for mailauth")
    return found


def _installed() -> Path:
    """The folder with mailauth in it, made once for each lock file; or skip."""
    npm = require_program("npm", "npm")
    lock = (SOURCE / "package-lock.json").read_bytes()
    folder = CACHE / f"mailauth-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not folder.exists() and (fault := _install(folder, npm)):
        skip_unless_required(f"mailauth cannot be installed by npm ci: {fault}")
    return folder


@cache  # a registry that does not answer is not asked again by the next test
def _install(folder: Path, npm: str) -> str:
    """Install into a folder; what went wrong, or nothing."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mailauth-", dir=CACHE) as name:
        made = Path(name) / "made"
        shutil.copytree(SOURCE, made)
        fault = _npm_ci(made, npm)
        if not fault:
            # Complete or not there; another test process may have been first.
            with contextlib.suppress(OSError):
                made.rename(folder)
    return fault


def _npm_ci(folder: Path, npm: str) -> str:
    try:
        done = subprocess.run(
            [npm, "ci", *NPM_OPTIONS],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took over {INSTALL_SECONDS} s"
    complaints = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
    return "" if done.returncode == 0 else "; ".join(complaints[:3]) or done.stderr[-300:]
