"""Postfix, alone and with milters that sign: OpenDKIM, rspamd.

IO. Postfix's master process has to be started as root; the signers run as users of their own.
Each instance has its own folder, with its queue on the file system of temporary files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bench.contender import Contender, Part, first_line
from tests.bench.peers.filling import copy_key, fill
from tests.bench.postfix_tools import postfix_program
from tests.fakes.processes import Program, port_accepts, wait_until
from tests.fakes.programs import find_program

OPENDKIM_USER, RSPAMD_USER = "nobody", "_rspamd"


class Postfix(Contender):
    """Signs nothing: what a queue on disk costs by itself."""

    name = "Postfix, signs nothing"
    signs = False
    milter = ""
    needed: Sequence[str] = ("postfix",)  # programs
    asked = "-V"  # for its version, of the signer

    @classmethod
    def missing(cls) -> str:
        """Why it cannot run on this machine, or nothing."""
        if os.geteuid() != 0:
            return "Postfix's master process needs root"
        absent = [name for name in cls.needed if find_program(name) is None]
        return f"not installed: {', '.join(absent)}" if absent else ""

    def version(self) -> str:
        """Postfix, and the signer."""
        of_postfix = first_line(postfix_program("postconf"), "-d", "-h", "mail_version")
        of_signer = [first_line(find_program(name) or name, self.asked) for name in self.needed[1:]]
        return ", ".join([f"Postfix {of_postfix}", *of_signer])

    def parts(self) -> Sequence[Part]:
        """The signer, if any, and the master process."""
        signer = self.signer()
        for name in ("queue", "data"):
            (self.folder / name).mkdir(exist_ok=True)
        shutil.chown(self.folder / "data", user="postfix")
        fill("main.cf", self.folder / "etc" / "main.cf", self, milter=self.milter)
        fill("master.cf", self.folder / "etc" / "master.cf", self)
        configuration = str(self.folder / "etc")
        # Creates the folders of the queue with the owners that Postfix wants.
        subprocess.run(
            [postfix_program("postfix"), "-c", configuration, "check"],
            stdin=subprocess.DEVNULL,
            check=True,
        )
        asked = subprocess.run(
            [postfix_program("postconf"), "-c", configuration, "-h", "daemon_directory"],
            capture_output=True,
            text=True,
            check=True,
        )
        argv = [f"{asked.stdout.strip()}/master", "-c", configuration, "-s"]
        return [*signer, Part(Program(argv, folder=self.folder, name="master"), self.greets)]

    def signer(self) -> Sequence[Part]:
        """What has to run before Postfix."""
        return ()

    def _stop(self) -> None:
        super()._stop()
        # Its children have the listening socket too, and end a moment later.
        wait_until(lambda: not port_accepts(self.port), what=f"port {self.port} is closed")

    def _socket(self, name: str) -> Path:
        """Where Postfix finds the signer; nothing is there yet."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        self.milter = f"unix:{path}"
        return path


class PostfixOpenDkim(Postfix):
    """OpenDKIM, as Debian has it."""

    name = "Postfix + OpenDKIM"
    signs = True
    needed = ("postfix", "opendkim")

    def signer(self) -> Sequence[Part]:
        """One process, a thread for each connection of Postfix's."""
        socket = self._socket("opendkim.sock")
        user = OPENDKIM_USER
        self.folder.chmod(0o777)
        copy_key(self, self.folder / "key.pem", user)
        fill("opendkim.conf", self.folder / "opendkim.conf", self)
        argv = [find_program("opendkim") or "opendkim", "-f", "-u", user, "-x", "opendkim.conf"]
        program = Program(argv, folder=self.folder, name="opendkim")
        return [Part(program, socket.exists)]


class PostfixRspamd(Postfix):
    """rspamd with nothing but its DKIM signing, as Debian or its own repository has it."""

    name = "Postfix + rspamd"
    signs = True
    needed = ("postfix", "rspamd")
    asked = "--version"

    def signer(self) -> Sequence[Part]:
        """The main process and a worker for each core."""
        socket = self._socket("rspamd.sock")
        user = RSPAMD_USER
        self.folder.chmod(0o777)
        copy_key(self, self.folder / "key.pem", user)
        (self.folder / "suffixes").write_text("com\nnet\norg\ntest\n")
        fill("rspamd.conf", self.folder / "rspamd.conf", self)
        configuration = str(self.folder / "rspamd.conf")
        argv = [find_program("rspamd") or "rspamd", "-f", "-u", user, "-g", user]
        program = Program([*argv, "-c", configuration], folder=self.folder, name="rspamd")
        return [Part(program, socket.exists)]
