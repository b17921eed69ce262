"""One message at a time, with a clock at both ends: how long until 250, and until the sink's dot.

IO: a client and a smarthost in this process, on blocking sockets. Only one of the two has
something to do at a time, so that neither makes the other wait. Commands and message are written
without delay (TCP_NODELAY), and in lock-step.
"""

from __future__ import annotations

import queue
import socket
import socketserver
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Self, cast

from tests.bench.postfix_tools import FROM, TO
from tests.bench.workload import Workload, message
from tests.fakes.processes import LOOPBACK

REPLY_SECONDS = 60.0
WARM_UP = 20  # messages that do not count: connections, caches and code get ready


@dataclass(frozen=True)
class Waits:
    """How long each message took, in milliseconds.

    Attributes:
        taken_ms: until the client had the reply to its final dot.
        arrived_ms: until the smarthost had the final dot.
    """

    taken_ms: list[float]
    arrived_ms: list[float]


class StampingSink(socketserver.ThreadingTCPServer):
    """A smarthost that notes when each final dot came; a context manager."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int) -> None:
        """Listen on loopback; nothing is taken before it is entered."""
        super().__init__((LOOPBACK, port), _Conversation)
        self.stamps: queue.SimpleQueue[float] = queue.SimpleQueue()
        self.connections: set[socket.socket] = set()

    def __enter__(self) -> Self:
        """Start to take connections."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and hang up: whoever keeps connections is to make a new one to the next sink."""
        self.shutdown()
        self._thread.join()
        for connection in self.connections.copy():
            with suppress(OSError):  # the other side was faster
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Conversation(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        cast(StampingSink, self.server).connections.add(self.request)

    def finish(self) -> None:
        cast(StampingSink, self.server).connections.discard(self.request)
        super().finish()

    def handle(self) -> None:
        server = cast(StampingSink, self.server)
        self.wfile.write(b"220 sink ESMTP\r\n")
        while line := self.rfile.readline():
            match line[:4].upper():
                case b"EHLO":
                    self.wfile.write(b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
                case b"DATA":
                    self.wfile.write(b"354 go\r\n")
                    while self.rfile.readline() not in (b".\r\n", b""):
                        pass
                    server.stamps.put(time.perf_counter())
                    self.wfile.write(b"250 2.0.0 stored\r\n")
                case b"QUIT":
                    self.wfile.write(b"221 2.0.0 bye\r\n")
                    return
                case _:
                    self.wfile.write(b"250 2.0.0 ok\r\n")


class Client:
    """A client in lock-step on one connection."""

    def __init__(self, port: int) -> None:
        """Connect, and say EHLO.

        Raises:
            OSError: nobody is there.
            RuntimeError: a reply was not positive.
        """
        self._socket = socket.create_connection((LOOPBACK, port), REPLY_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self._socket.makefile("rb")
        self._reply()
        self.ask(b"EHLO client.example.com\r\n")

    def ask(self, octets: bytes) -> None:
        """Write, and read one reply.

        Raises:
            RuntimeError: it was not positive.
        """
        self._socket.sendall(octets)
        self._reply()

    def send(self, wire: bytes, *, mail_from: str = FROM) -> None:
        """Send a message, dots stuffed and the final one included.

        Raises:
            RuntimeError: a reply was not positive.
        """
        self.ask(b"MAIL FROM:<%b>\r\n" % mail_from.encode())
        self.ask(b"RCPT TO:<%b>\r\n" % TO.encode())
        self.ask(b"DATA\r\n")
        self.ask(wire)

    def close(self) -> None:
        """Say QUIT, and hang up."""
        self.ask(b"QUIT\r\n")
        self._replies.close()
        self._socket.close()

    def _reply(self) -> None:
        while (line := self._replies.readline())[3:4] == b"-":
            pass
        if line[:1] not in (b"2", b"3"):
            raise RuntimeError(f"the reply was {line!r}")


def on_the_wire(workload: Workload) -> bytes:
    """A message as it follows DATA, with its final dot."""
    lines = message(workload, sender=FROM, recipient=TO).encode("ascii").split(b"\n")[:-1]
    return b"".join(b"." * line.startswith(b".") + line + b"\r\n" for line in lines) + b".\r\n"


def time_messages(workload: Workload, port: int, sink: StampingSink) -> Waits:
    """Send one message after the other; a new one when the last has arrived.

    Where each message has a connection of its own, the time to connect counts, that for QUIT
    does not.
    """
    wire, total = on_the_wire(workload), workload.messages + WARM_UP
    connections, each = (1, total) if workload.is_kept else (total, 1)
    taken_ms, arrived_ms = [], []
    for _ in range(connections):
        began_at = time.perf_counter()
        with closing(Client(port)) as client:
            for _ in range(each):
                began_at = time.perf_counter() if workload.is_kept else began_at
                client.send(wire)
                taken_ms.append((time.perf_counter() - began_at) * 1000)
                arrived_at = sink.stamps.get(timeout=REPLY_SECONDS)
                arrived_ms.append((arrived_at - began_at) * 1000)
    return Waits(taken_ms[WARM_UP:], arrived_ms[WARM_UP:])
