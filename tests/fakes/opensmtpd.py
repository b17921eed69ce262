"""A real OpenSMTPD as the smarthost, in a root folder of its own (see `tests.fakes.debian`).

IO; needs root. One instance has two listeners: one that takes everybody in clear, and one that
demands STARTTLS. Mail for the known recipients is stored by `mail.maildir` in maildirs, with
Return-Path, Delivered-To and Received in front. Nothing leaves the machine: no rule sends it out.

Debian 12's 6.8.0p2 offers neither PIPELINING nor CHUNKING, and always 8BITMIME and DSN. It
cannot speak TLS as a server: with OpenSSL 3 its process loses the key, and every handshake ends
in an alert (OpenSMTPD's issues 1171 and 1239, mended in 7). As it has AUTH only on listeners
with TLS, there is none to be had either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.fakes.debian import DebianRoot
from tests.fakes.maildirs import Stored, await_stored
from tests.fakes.processes import LOOPBACK, Program, free_port, smtp_greets

PACKAGE = "opensmtpd"
LIBRARIES = "libevent-2.1-7 libdb5.3 libpam0g libssl3 zlib1g"
DAEMON = "/usr/sbin/smtpd"
DELIVERY = "/usr/libexec/opensmtpd/mail.maildir"
# The number of each is that of its group; the last one owns the mailboxes.
USERS = {"opensmtpd": 64110, "opensmtpq": 64111, "mailboxes": 64112}
CONFIGURATION = """\
smtp max-message-size {max_octets}
smtp limit max-rcpt 1000
smtp limit max-mails 10000
{tls}table known {{ {known} }}
{refusals}
listen on {loopback} port {port} hostname smarthost.test {filters}
{submission}
action "store" maildir "/mail/%{{rcpt.user}}" virtual <known>
match from any for domain "sink.test" action "store"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What it knows and refuses.

    Attributes:
        mailboxes: local parts at sink.test whose mail is stored.
        refused: address to the reply it gets at RCPT, such as `550 5.1.1 no such person`.
        max_octets: of a message.
        certificate: with chain and key, PEM; empty: there is no second listener.
    """

    mailboxes: Sequence[str]
    refused: Mapping[str, str] = field(default_factory=dict)
    max_octets: int = 10_000_000
    certificate: str = ""


class OpenSmtpd:
    """A running instance; a context manager.

    Attributes:
        port: of the listener that takes everybody.
        submission_port: of the other one.
    """

    def __init__(self, setup: Setup) -> None:
        """Make the root folder; nothing is started yet."""
        self.port, self.submission_port = free_port(), free_port()
        self._root = DebianRoot(
            PACKAGE, users=USERS, libraries=LIBRARIES, programs=(DAEMON, DELIVERY)
        )
        self._root.make_folder("/var/lib/opensmtpd/empty")
        for path in ("/var/run", "/var/spool"):
            self._root.make_folder(path)
        self._root.make_folder("/mail", owner=USERS["mailboxes"])
        if setup.certificate:
            self._root.write("/etc/certificate.pem", setup.certificate, mode=0o600)
        self._root.write("/etc/smtpd.conf", self._configuration(setup))
        self._daemon: Program = self._root.program(DAEMON, "-d", name="smtpd")

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
        mail = self._root.folder / "mail"
        return await_stored(mail, marker, count=count, describe=self._daemon.tail)

    def _stop(self) -> None:
        self._daemon.stop()
        self._root.__exit__()

    def _configuration(self, setup: Setup) -> str:
        known = [f'"{name}@sink.test" = "mailboxes"' for name in setup.mailboxes]
        filters = [f'"f{number}"' for number in range(len(setup.refused))]
        tls = submission = ""
        if setup.certificate:
            tls = 'pki own cert "/etc/certificate.pem"\npki own key "/etc/certificate.pem"\n'
            submission = (
                f"listen on {LOOPBACK} port {self.submission_port} hostname smarthost.test "
                "tls-require pki own"
            )
        return CONFIGURATION.format(
            max_octets=setup.max_octets,
            tls=tls,
            known=", ".join(known),
            refusals="\n".join(
                f'filter f{number} phase rcpt-to match rcpt-to {{ "{recipient}" }} reject "{reply}"'
                for number, (recipient, reply) in enumerate(setup.refused.items())
            )
            + (f"\nfilter refusals chain {{ {', '.join(filters)} }}" if filters else ""),
            loopback=LOOPBACK,
            port=self.port,
            filters='filter "refusals"' if filters else "",
            submission=submission,
        )
