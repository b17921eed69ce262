"""A relay in a container, talked to from outside."""

from __future__ import annotations

import contextlib
import http.client
import smtplib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.fakes.processes import LOOPBACK, smtp_greets, wait_until
from tests.image.container import Container
from tests.interop.clients import connect

KIBIBYTES = 1024


class RelayContainer:
    """A running one; a context manager.

    Attributes:
        container: what it runs in.
        port: where it takes mail, on loopback.
        admin_port: where it tells how it is.
    """

    def __init__(self, container: Container, port: int, *, admin_port: int) -> None:
        """Describe it; nothing is started yet."""
        self.admin_port = admin_port
        self.container = container
        self.port = port

    def __enter__(self) -> Self:
        """Start, and wait until it greets."""
        self.container.__enter__()
        try:
            self.container.program.wait_ready(lambda: smtp_greets(self.port))
        except BaseException:
            self.container.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.container.__exit__()

    def send(self, marker: str) -> None:
        """Send a message from example.com; it must be taken."""
        with connect(self.port) as client:
            client.sendmail("app@example.com", ["ann@sink.test"], message_with(marker))

    def begin(self, marker: str) -> smtplib.SMTP:
        """Open a session and send the first half of a message."""
        client = connect(self.port)
        client.mail("app@example.com")
        client.rcpt("ann@sink.test")
        assert client.docmd("DATA")[0] == 354
        client.send(message_with(marker))
        return client

    def wait_for(self, event: str, **fields: str) -> Mapping[str, Any]:
        """The first line of its log with this event and these fields, as soon as there is one."""

        def found() -> list[Mapping[str, Any]]:
            return [
                line
                for line in self.container.log()
                if line["event"] == event and fields.items() <= line.items()
            ]

        describe = self.container.program.tail
        wait_until(lambda: bool(found()), what=f"{event} is in the log", describe=describe)
        return found()[0]

    def ask(self, path: str, **fields: str) -> int:
        """The status of an answer of the admin port, asked with these header fields."""
        connection = http.client.HTTPConnection(LOOPBACK, self.admin_port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=fields)
            return connection.getresponse().status

    @property
    def memory_bytes(self) -> int:
        """What it has in memory now (VmRSS of each of its processes)."""
        first = self.container.process_id
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return sum(_resident_bytes(number) for number in (first, *map(int, children)))


def message_with(marker: str) -> bytes:
    """A message of an application, with its marker; CRLF line ends."""
    text = (
        f"From: App <app@example.com>\r\nTo: ann@sink.test\r\nSubject: {marker}\r\n\r\nHello.\r\n"
    )
    return text.encode("ascii")


def _resident_bytes(process_id: int) -> int:
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * KIBIBYTES
    raise AssertionError(f"no VmRSS of process {process_id}")
