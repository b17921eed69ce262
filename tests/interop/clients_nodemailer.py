"""The client Nodemailer: installed by `npm ci` from the lock file beside its script, and run.

IO: the first use needs the npm registry; later ones find the package in `.cache/`. Works with the
Node.js and npm of Debian 12 (18.20, 9.2), for which reason this is not the newest Nodemailer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

from tests.fakes.programs import require_program, skip_unless_required
from tests.interop.clients_run import run

SOURCE = Path(__file__).with_name("nodemailer")
CACHE = Path(__file__).parents[2] / ".cache"
INSTALL_SECONDS = 90
NPM_OPTIONS = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",  # milliseconds, as the next
    "--fetch-timeout=20000",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """How Nodemailer says that one message ended.

    Attributes:
        is_sent: whether `sendMail` succeeded.
        accepted: recipients.
        rejected: recipients.
        code: Nodemailer's own word for an error, such as `EAUTH`; else empty.
        reply: the server's last reply; empty when it came to none.
    """

    is_sent: bool
    accepted: Sequence[str]
    rejected: Sequence[str]
    code: str
    reply: str


def send_with_nodemailer(
    transport: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
) -> list[Sent]:
    """Send all messages at once through one transport.

    Args:
        transport: options of `createTransport`.
        messages: options of `sendMail` for each; see the script for attachments.

    Raises:
        AssertionError: the script itself failed.
    """
    node = require_program("node", "nodejs")
    modules = installed_folder() / "node_modules"
    done = run(
        [node, str(SOURCE / "send.js")],
        given=json.dumps({"transport": transport, "messages": messages}).encode("utf-8"),
        environment={**os.environ, "NODE_PATH": str(modules)},
    )
    assert done.status == 0, done
    return [
        Sent(
            is_sent=told["isSent"],
            accepted=told.get("accepted", ()),
            rejected=told.get("rejected", ()),
            code=told.get("code", ""),
            reply=told.get("response", ""),
        )
        for told in json.loads(done.output)
    ]


def installed_folder() -> Path:
    """The folder with the package in it, made once for each lock file; or the test is skipped."""
    npm = require_program("npm", "npm")
    lock = (SOURCE / "package-lock.json").read_bytes()
    folder = CACHE / f"nodemailer-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not folder.exists() and (fault := _install(npm, folder)):
        skip_unless_required(f"Nodemailer cannot be installed by npm ci: {fault}")
    return folder


@cache  # a registry that does not answer is not asked again by the next test
def _install(npm: str, folder: Path) -> str:
    """Install into a folder; what went wrong, or nothing."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nodemailer-", dir=CACHE) as name:
        made = Path(name) / "made"
        shutil.copytree(SOURCE, made)
        try:
            done = run([npm, "ci", *NPM_OPTIONS], folder=made, wait_seconds=INSTALL_SECONDS)
        except TimeoutExpired:
            return f"it took over {INSTALL_SECONDS} s"
        if done.status != 0:
            return done.errors[-300:]
        # Complete or not there; another test process may have been first.
        with contextlib.suppress(OSError):
            made.rename(folder)
    return ""
