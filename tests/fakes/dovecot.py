"""A real Dovecot as the local delivery agent, by LMTP (RFC 2033), in a folder of its own.

IO; needs root, because Dovecot's processes change users. LMTP is spoken on a loopback port and
on a UNIX socket. Mail for the known users is stored in maildirs with Return-Path, Delivered-To
and Received in front.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.fakes.maildirs import Stored, await_stored
from tests.fakes.processes import LOOPBACK, Program, free_port, port_accepts, wait_until
from tests.fakes.programs import require_program, skip_unless_required

LMTP_PROGRAM = Path("/usr/lib/dovecot/lmtp")
MAILBOX_OWNER = "nobody"
CONFIGURATION = """\
protocols = lmtp
listen = {loopback}
ssl = no
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
mail_location = maildir:{folder}/mail/%n
first_valid_uid = 1
last_valid_uid = 0
first_valid_gid = 1
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = {loopback}
    port = {port}
  }}
  unix_listener {socket} {{
    mode = 0666
  }}
}}
"""


class Dovecot:
    """A running instance; a context manager.

    Attributes:
        port: where it speaks LMTP.
        socket: where it does too, while it runs.
    """

    def __init__(self, mailboxes: Sequence[str]) -> None:
        """Describe the instance; nothing is started yet.

        Skips the test (fails it where CI=true) when Dovecot or root is missing.

        Args:
            mailboxes: local parts at sink.test whose mail is stored.
        """
        self._program = require_program("dovecot", "dovecot-core dovecot-lmtpd")
        if not LMTP_PROGRAM.exists():
            skip_unless_required("LMTP is missing; on Debian: apt-get install dovecot-lmtpd")
        if os.geteuid() != 0:
            skip_unless_required("Dovecot's master process needs root; run this test as root")
        self.port = free_port()
        self.socket = Path()
        self._mailboxes = mailboxes
        self._folder = Path()
        self._master: Program | None = None

    def __enter__(self) -> Self:
        """Make the folder and start."""
        # Not pytest's folder: unprivileged users must be able to pass through.
        self._folder = Path(tempfile.mkdtemp(prefix="relay-dovecot-"))
        try:
            self._write_folder()
            argv = [self._program, "-F", "-c", str(self._folder / "dovecot.conf")]
            self._master = Program(argv, folder=self._folder, name="dovecot")
            self._master.start()
            self._master.wait_ready(lambda: port_accepts(self.port))
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and remove the folder."""
        self._remove()

    def stored(self, marker: bytes, *, count: int = 1) -> list[Stored]:
        """See `tests.fakes.maildirs.await_stored`."""
        return await_stored(self._folder / "mail", marker, count=count, describe=self.log)

    def log(self) -> str:
        """What it logged so far."""
        path = self._folder / "dovecot.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def _write_folder(self) -> None:
        owner = pwd.getpwnam(MAILBOX_OWNER)
        self._folder.chmod(0o755)
        (self._folder / "mail").mkdir()
        os.chown(self._folder / "mail", owner.pw_uid, owner.pw_gid)
        self.socket = self._folder / "lmtp.sock"
        users = [
            f"{name}@sink.test:{{PLAIN}}unused:{owner.pw_uid}:{owner.pw_gid}::{self._folder}/mail::\n"
            for name in self._mailboxes
        ]
        (self._folder / "users").write_text("".join(users))
        text = CONFIGURATION.format(
            loopback=LOOPBACK, folder=self._folder, port=self.port, socket=self.socket
        )
        (self._folder / "dovecot.conf").write_text(text)

    def _remove(self) -> None:
        if self._master is not None:
            self._master.stop()
            self._master = None
        # Processes that are about to end may still unlink files of theirs.
        wait_until(self._is_removed, what=f"{self._folder} is removed")

    def _is_removed(self) -> bool:
        shutil.rmtree(self._folder, ignore_errors=True)
        return not self._folder.exists()
