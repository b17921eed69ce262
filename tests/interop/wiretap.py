"""A wiretap between the relay and the smarthost: what was said, octet for octet.

IO: a TCP forwarder on loopback, two threads for each connection, that keeps both
directions. Afterwards the two streams are read side by side as SMTP (RFC 5321,
RFC 2920, RFC 3030), so a test knows exactly which octets each transaction put on
the wire, whether by DATA (dot-stuffing undone) or by BDAT.

It does not speak SMTP itself: the relay talks to the real server, extensions,
timing and all.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

from tests.fakes.processes import LOOPBACK

BLOCK_OCTETS = 65536
FINAL_DOT = b"\r\n.\r\n"


@dataclass(slots=True, kw_only=True)
class Transaction:
    """One mail transaction as it went over the wire.

    Attributes:
        mail: the MAIL command line, without CRLF.
        recipients: each RCPT command line with the reply to it.
        content: the message octets, transparency undone; None when none were sent.
        reply: the reply to the content, its lines joined by LF; None when none came.
    """

    mail: bytes
    recipients: list[tuple[bytes, bytes]] = field(default_factory=list)
    content: bytes | None = None
    reply: bytes | None = None


class _Recording:
    """Both directions of one connection, while they are still growing."""

    def __init__(self) -> None:
        self.said = bytearray()
        self.answered = bytearray()


class Wiretap:
    """A recording TCP forwarder; a context manager."""

    def __init__(self, target_port: int) -> None:
        """Bind a loopback port.

        Args:
            target_port: the smarthost's port on loopback.
        """
        self._target_port = target_port
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._recordings: list[_Recording] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._is_closing = False

    def __enter__(self) -> Self:
        """Start to forward."""
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Cut every connection and stop."""
        with self._lock:
            self._is_closing = True
            sockets = [self._listener, *self._sockets]
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in sockets:
            one.close()

    def transactions(self) -> list[Transaction]:
        """Every transaction so far, grouped by connection."""
        return [found for session in self.sessions() for found in read_session(*session)]

    def sessions(self) -> list[tuple[bytes, bytes]]:
        """What was said and answered so far, one pair for each connection."""
        with self._lock:
            return [(bytes(one.said), bytes(one.answered)) for one in self._recordings]

    def contents(self) -> dict[str, bytes]:
        """The message octets of each queue id with which the smarthost answered."""
        found: dict[str, bytes] = {}
        for one in self.transactions():
            queued = re.search(rb"queued as (\w+)", one.reply or b"")
            if queued and one.content is not None:
                queue_id = queued[1].decode("ascii")
                assert queue_id not in found, f"two transactions were queued as {queue_id}"
                found[queue_id] = one.content
        return found

    def content_of(self, queue_id: str) -> bytes:
        """The message octets that the smarthost answered with this queue id.

        Raises:
            AssertionError: there is no such transaction.
        """
        contents = self.contents()
        assert queue_id in contents, f"no transaction was queued as {queue_id}"
        return contents[queue_id]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                server = socket.create_connection((LOOPBACK, self._target_port), timeout=10)
            except OSError:  # the smarthost is down: the client sees its connection end
                client.close()
                continue
            server.settimeout(None)
            recording = _Recording()
            with self._lock:
                if self._is_closing:
                    client.close()
                    server.close()
                    return
                self._recordings.append(recording)
                self._sockets += [client, server]
            self._spawn(self._forward, client, server, recording.said)
            self._spawn(self._forward, server, client, recording.answered)

    def _forward(self, source: socket.socket, sink: socket.socket, record: bytearray) -> None:
        with contextlib.suppress(OSError):
            while octets := source.recv(BLOCK_OCTETS):
                # Recorded first: once the other side has it, a test may ask.
                with self._lock:
                    record += octets
                sink.sendall(octets)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="wiretap")
        self._threads.append(thread)
        thread.start()


def read_session(said: bytes, answered: bytes) -> list[Transaction]:
    """Read both directions of one SMTP session side by side.

    Every command has one reply, in order (RFC 2920 §3.1), after the greeting; DATA
    has a second one when the first is 354 (RFC 5321 §4.1.1.4). Ends where either
    side fell silent.

    Args:
        said: octets from client to server.
        answered: octets from server to client.
    """
    replies = _replies(answered)
    next(replies, None)  # the greeting
    found: list[Transaction] = []
    position = 0
    while (end := said.find(b"\r\n", position)) != -1:
        line, position = said[position:end], end + 2
        verb = line[:4].upper()
        chunk = b""
        if verb == b"BDAT":
            size = int(line.split()[1])
            chunk, position = said[position : position + size], position + size
        reply = next(replies, None)
        if verb == b"MAIL":
            found.append(Transaction(mail=line))
        elif verb == b"RCPT":
            found[-1].recipients.append((line, reply or b""))
        elif verb == b"BDAT":
            found[-1].content = (found[-1].content or b"") + chunk
            found[-1].reply = reply
        elif verb == b"DATA" and reply is not None and reply.startswith(b"354"):
            found[-1].content, position = _take_data(said, position)
            found[-1].reply = next(replies, None)
        if reply is None:
            break
    return found


def _take_data(said: bytes, start: int) -> tuple[bytes, int]:
    """Take DATA apart: the content with transparency undone, and where commands go on."""
    # The final dot may be the first line (RFC 5321 §4.1.1.4), so look from the CRLF of DATA on.
    end = said.find(FINAL_DOT, start - 2)
    if end == -1:
        return said[start:], len(said)
    stuffed = said[start : end + 2]
    return re.sub(rb"(?m)^\.", b"", stuffed), end + len(FINAL_DOT)


def _replies(answered: bytes) -> Iterator[bytes]:
    """Group reply lines (RFC 5321 §4.2.1): `250-` goes on, `250 ` ends."""
    lines: list[bytes] = []
    for line in answered.split(b"\r\n")[:-1]:
        lines.append(line)
        if line[3:4] != b"-":
            yield b"\n".join(lines)
            lines = []
