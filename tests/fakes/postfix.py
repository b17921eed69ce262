"""A real Postfix as the smarthost, in a folder of its own.

IO; needs root, because Postfix's master process changes users. The instance has
its own configuration, queue and data directories and loopback ports; the
system's instance, its configuration and the system log are never touched. The
`master` program runs in the foreground under the test's own process id, so that
stopping it needs nothing but that id.

One instance offers several listeners: the same mailboxes behind smtpd services
that differ in their options (without PIPELINING, with STARTTLS, with AUTH …).

Mail for the known recipients of `sink.test` is stored by virtual(8) in one
maildir each. Postfix stores lines ending in LF, and puts Return-Path,
X-Original-To, Delivered-To and Received in front; `Stored.message` gives the
octets back with CRLF. That is exact: smtpd(8) takes lines apart at CRLF, and a
bare CR or LF does not get past the relay.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.fakes.processes import (
    LOOPBACK,
    Program,
    free_port,
    port_accepts,
    smtp_greets,
    wait_until,
)
from tests.fakes.programs import require_program, skip_unless_required

HOSTNAME = "smarthost.test"
SINK_DOMAIN = "sink.test"
MAILBOX_OWNER = "nobody"
DEFAULT_LISTENER = "default"

# smtpd(8) answers a message with this field by REJECT, after the final dot.
REFUSED_FIELD = "X-Smarthost-Refuse"
REFUSED_FIELD_TEXT = "this smarthost does not carry such mail"

# name, type, private, unprivileged, chroot, wake-up, process limit, program
SERVICES = """\
cleanup   unix       n - n - 0     cleanup
qmgr      unix       n - n 300 1   qmgr
tlsmgr    unix       - - n 1000? 1 tlsmgr
rewrite   unix       - - n - -     trivial-rewrite
bounce    unix       - - n - 0     bounce
defer     unix       - - n - 0     bounce
trace     unix       - - n - 0     bounce
verify    unix       - - n - 1     verify
proxymap  unix       - - n - -     proxymap
error     unix       - - n - -     error
retry     unix       - - n - -     error
discard   unix       - - n - -     discard
virtual   unix       - n n - -     virtual
anvil     unix       - - n - 1     anvil
postlog   unix-dgram n - n - 1     postlogd
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One smtpd service.

    Attributes:
        name: how tests ask for its port.
        options: main.cf parameters that differ for this service; no blanks in values.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One message in one mailbox.

    Attributes:
        recipient: whose mailbox.
        message: the octets of the file, CRLF line ends, Postfix's own fields in front.
    """

    recipient: str
    message: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What this smarthost knows and refuses.

    Attributes:
        recipients: addresses whose mail is stored.
        refused: address to the reply it gets at RCPT, such as `550 5.1.1 no such person`.
        listeners: smtpd services besides the default one.
        settings: further main.cf parameters.
    """

    recipients: Sequence[str]
    refused: Mapping[str, str] = field(default_factory=dict)
    listeners: Sequence[Listener] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


class Postfix:
    """A Postfix instance; a context manager that starts, stops and removes it."""

    def __init__(self, setup: Setup) -> None:
        """Describe the instance; nothing is started yet.

        Skips the test (fails it where CI=true) when Postfix or root is missing.
        """
        require_program("postfix", "postfix")
        _require_root()
        self._setup = setup
        names = (DEFAULT_LISTENER, *(listener.name for listener in setup.listeners))
        self.ports: Mapping[str, int] = {name: free_port() for name in names}
        self._folder = Path()
        self._master: Program | None = None

    @property
    def port(self) -> int:
        """The port of the listener with Postfix's own defaults."""
        return self.ports[DEFAULT_LISTENER]

    def __enter__(self) -> Self:
        """Make the folder and start."""
        # Not pytest's folder: Postfix's unprivileged users must be able to pass through.
        self._folder = Path(tempfile.mkdtemp(prefix="relay-smarthost-"))
        try:
            self._write_folder()
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and remove the folder."""
        self._remove()

    def start(self) -> None:
        """Start the master process and wait until every listener greets."""
        daemons = _postconf_default("daemon_directory")
        self._master = Program(
            [f"{daemons}/master", "-c", str(self._folder / "etc"), "-s"],
            folder=self._folder,
            name="master",
        )
        self._master.start()
        for port in self.ports.values():
            self._master.wait_ready(lambda port=port: smtp_greets(port))  # type: ignore[misc]

    def stop(self) -> None:
        """Stop the master process, which ends every other process of the instance."""
        if self._master is None:
            return
        self._master.stop()
        self._master = None
        for port in self.ports.values():
            # Its children have the listening sockets too, and end a moment later.
            wait_until(lambda port=port: not port_accepts(port), what=f"port {port} is closed")  # type: ignore[misc]

    def log(self) -> str:
        """What this instance logged so far."""
        path = self._folder / "postfix.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def stored(self, queue_id: str) -> list[Stored]:
        """Wait until Postfix is done with a message; then what it stored, by recipient.

        Args:
            queue_id: as in the reply `250 2.0.0 Ok: queued as <queue_id>`.

        Returns:
            One entry for each recipient to whose mailbox the message was delivered, in
            the order of the recipients' addresses.
        """
        removed = f": {queue_id}: removed"
        wait_until(
            lambda: removed in self.log(),
            what=f"Postfix finished {queue_id}",
            describe=lambda: self.log()[-4000:],
        )
        delivered = re.findall(
            rf": {queue_id}: to=<([^>]*)>.* \(delivered to maildir\)$", self.log(), re.MULTILINE
        )
        return [
            Stored(recipient=recipient, message=self._find(recipient, queue_id))
            for recipient in sorted(delivered)
        ]

    def mailbox(self, recipient: str) -> list[bytes]:
        """Every message in a recipient's mailbox, CRLF line ends, in no order."""
        folder = self._folder / "mail" / _maildir_name(recipient) / "new"
        files = sorted(folder.iterdir()) if folder.exists() else []
        return [_with_crlf(path.read_bytes()) for path in files]

    def _find(self, recipient: str, queue_id: str) -> bytes:
        """Find the file of a delivered message by the queue id in Postfix's own Received."""
        folder = self._folder / "mail" / _maildir_name(recipient) / "new"
        own_received = re.compile(rb"\) with \w+ id " + queue_id.encode() + rb"\b")
        for path in folder.iterdir():
            with path.open("rb") as stored:
                if own_received.search(stored.read(4096)):
                    return _with_crlf(path.read_bytes())
        raise AssertionError(f"{queue_id} is not in the mailbox of {recipient}")

    def _remove(self) -> None:
        self.stop()
        # The children that master has just told to end may still unlink files of theirs.
        wait_until(self._is_removed, what=f"{self._folder} is removed")

    def _is_removed(self) -> bool:
        shutil.rmtree(self._folder, ignore_errors=True)
        return not self._folder.exists()

    def _write_folder(self) -> None:
        folder = self._folder
        folder.chmod(0o711)
        for name in ("etc", "queue", "data", "mail"):
            (folder / name).mkdir(mode=0o755)
        shutil.chown(folder / "data", user=_postconf_default("mail_owner"))
        shutil.chown(folder / "mail", user=MAILBOX_OWNER)
        settings = {**self._base_settings(), **self._setup.settings}
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        (folder / "etc" / "main.cf").write_text("".join(lines))
        (folder / "etc" / "master.cf").write_text(self._listener_services() + SERVICES)
        maildirs = [f"{name} {_maildir_name(name)}/\n" for name in self._setup.recipients]
        (folder / "etc" / "mailboxes").write_text("".join(maildirs))
        refused = [f"{name} {reply}\n" for name, reply in self._setup.refused.items()]
        (folder / "etc" / "refused").write_text("".join(refused))
        (folder / "etc" / "header_checks").write_text(
            f"/^{REFUSED_FIELD}:/ REJECT {REFUSED_FIELD_TEXT}\n"
        )
        # Creates the queue's directories with the owners that Postfix wants.
        _run("postfix", "-c", str(folder / "etc"), "check")

    def _base_settings(self) -> dict[str, str]:
        folder = self._folder
        owner = pwd.getpwnam(MAILBOX_OWNER)
        return {
            "compatibility_level": "3.6",
            "config_directory": str(folder / "etc"),
            "queue_directory": str(folder / "queue"),
            "data_directory": str(folder / "data"),
            "maillog_file": str(folder / "postfix.log"),
            "maillog_file_prefixes": str(folder),
            "myhostname": HOSTNAME,
            "inet_interfaces": LOOPBACK,
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "mydestination": "",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "virtual_mailbox_domains": SINK_DOMAIN,
            "virtual_mailbox_base": str(folder / "mail"),
            "virtual_mailbox_maps": f"texthash:{folder}/etc/mailboxes",
            "virtual_uid_maps": f"static:{owner.pw_uid}",
            "virtual_gid_maps": f"static:{owner.pw_gid}",
            "header_checks": f"regexp:{folder}/etc/header_checks",
            "smtpd_relay_restrictions": "reject_unauth_destination",
            "smtpd_recipient_restrictions": f"check_recipient_access texthash:{folder}/etc/refused",
            # Nothing leaves the machine, not even a bounce.
            "default_transport": "error:mail does not leave this smarthost",
            "relay_transport": "error:mail does not leave this smarthost",
            "notify_classes": "",
            # Waits that slow tests down and show nothing.
            "in_flow_delay": "0",
            "smtpd_error_sleep_time": "0",
        }

    def _listener_services(self) -> str:
        services = []
        for listener in (Listener(name=DEFAULT_LISTENER), *self._setup.listeners):
            options = "".join(f"  -o {name}={value}\n" for name, value in listener.options.items())
            endpoint = f"{LOOPBACK}:{self.ports[listener.name]}"
            services.append(f"{endpoint} inet n - n - - smtpd\n{options}")
        return "".join(services)


def _maildir_name(recipient: str) -> str:
    return recipient.partition("@")[0]


def _with_crlf(stored: bytes) -> bytes:
    return stored.replace(b"\n", b"\r\n")


def _postconf_default(parameter: str) -> str:
    return _run("postconf", "-dh", parameter).strip()


def _run(name: str, *arguments: str) -> str:
    """Run one of Postfix's commands to its end; its standard output."""
    path = require_program(name, "postfix")
    done = subprocess.run(
        [path, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, f"{name} {arguments} ended {done.returncode}\n{done.stderr}"
    return done.stdout


def _require_root() -> None:
    if os.geteuid() != 0:
        skip_unless_required("Postfix's master process needs root; run this test as root")
