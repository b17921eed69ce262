"""A real Exim as the smarthost, in a root folder of its own (see `tests.fakes.debian`).

IO; needs root. One daemon for each kind of smarthost, because some of Exim's options are the
daemon's. Mail for the known recipients is stored in maildirs with a Received field in front.
Nothing leaves the machine: there is no router for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.fakes.debian import DebianRoot
from tests.fakes.maildirs import Stored, await_stored
from tests.fakes.processes import LOOPBACK, Program, free_port, smtp_greets

PACKAGE = "exim4-daemon-light"
LIBRARIES = "libgnutls-dane0 libidn12 libidn2-0 libnsl2 libpcre2-8-0 libdb5.3"
PROGRAM = "/usr/sbin/exim4"
USER, USER_NUMBER = "Debian-exim", 64100
CONFIGURATION = """\
exim_path = {program}
primary_hostname = smarthost.test
local_interfaces = {loopback}
daemon_smtp_ports = {port}
spool_directory = /var/spool/exim4
log_file_path = /var/log/%s
pid_file_path = /run/exim.pid
# Everything is stored at once; nothing is looked up in any network.
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 0
smtp_enforce_sync = true
host_lookup =
helo_try_verify_hosts =
acl_smtp_rcpt = recipient
{options}
begin acl
recipient:
{conditions}{refusals}  accept domains = sink.test
         verify = recipient
  deny   message = 5.7.1 this smarthost does not carry mail there

begin routers
known:
  driver = accept
  domains = sink.test
  local_parts = {mailboxes}
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = /mail/$local_part_data
  maildir_format
  user = {user}
  group = {user}

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{login}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What one daemon knows, offers and refuses.

    Attributes:
        mailboxes: local parts at sink.test whose mail is stored.
        refused: address to the reply it gets at RCPT, such as `550 5.1.1 no such person`.
        options: of the main part of the configuration.
        login, password: for AUTH.
        certificate: with chain and key, PEM; empty for no TLS.
        demands_login: whether RCPT is refused without AUTH, and AUTH offered without TLS.
    """

    mailboxes: Sequence[str]
    refused: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    login: str = ""
    password: str = ""
    certificate: str = ""
    demands_login: bool = False


class Exim:
    """A running daemon; a context manager."""

    def __init__(self, setup: Setup) -> None:
        """Make the root folder; nothing is started yet."""
        self.port = free_port()
        users = {USER: USER_NUMBER}
        self._root = DebianRoot(PACKAGE, users=users, libraries=LIBRARIES, programs=(PROGRAM,))
        for path in ("/var/spool/exim4", "/var/log", "/run", "/mail"):
            self._root.make_folder(path, owner=USER_NUMBER)
        if setup.certificate:
            self._root.write("/etc/certificate.pem", setup.certificate)
        self._root.write("/etc/exim4/exim4.conf", self._configuration(setup))
        self._daemon: Program = self._root.program(PROGRAM, "-bdf", "-q1h", name="exim")

    def __enter__(self) -> Self:
        """Start, and wait until it greets."""
        self._root.__enter__()
        try:
            self._daemon.start()
            self._daemon.wait_ready(lambda: smtp_greets(self.port))
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and remove the folder."""
        self._stop()

    def stored(self, marker: bytes, *, count: int = 1) -> list[Stored]:
        """See `tests.fakes.maildirs.await_stored`."""
        return await_stored(self._root.folder / "mail", marker, count=count, describe=self.log)

    def log(self) -> str:
        """What it logged so far."""
        return "".join(
            path.read_text("utf-8", "replace")
            for path in sorted((self._root.folder / "var" / "log").glob("*"))
        )

    def _stop(self) -> None:
        self._daemon.stop()
        self._root.__exit__()

    def _configuration(self, setup: Setup) -> str:
        options = dict(setup.options)
        if setup.certificate:
            options |= dict.fromkeys(("tls_certificate", "tls_privatekey"), "/etc/certificate.pem")
            options["auth_advertise_hosts"] = "${if eq{$tls_in_cipher}{}{}{*}}"
        else:
            options["tls_advertise_hosts"] = ""
            options["auth_advertise_hosts"] = ""
        conditions = ""
        if setup.demands_login:
            conditions = "  deny   message = 5.7.0 log in first\n         !authenticated = *\n"
        return CONFIGURATION.format(
            program=PROGRAM,
            loopback=LOOPBACK,
            port=self.port,
            user=USER,
            options="".join(f"{name} = {value}\n" for name, value in options.items()),
            conditions=conditions,
            refusals="".join(_refusal(*one) for one in setup.refused.items()),
            mailboxes=" : ".join(setup.mailboxes),
            login=setup.login,
            password=setup.password,
        )


def _refusal(recipient: str, reply: str) -> str:
    verb = "defer" if reply.startswith("4") else "deny"
    return f"  {verb}  recipients = {recipient}\n         message = {reply}\n"
