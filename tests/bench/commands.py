"""What a session's commands cost: `python -m tests.bench.commands`.

The listener alone: nothing is there upstream, and no command asks for it. CPU of the relay's
process for each command, and how many a core can do in a second; commands one by one, where each
waits for its reply, and in batches as PIPELINING allows them (RFC 2920).
"""

from __future__ import annotations

import argparse
import socket
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.bench.bench import say
from tests.bench.contender import Relay, make_ground
from tests.bench.growth import LIMITS
from tests.bench.postfix_tools import FROM
from tests.fakes.processes import LOOPBACK

SESSIONS = 20
BATCH = 50
MAIL = b"MAIL FROM:<%b>\r\n" % FROM.encode()
SETTINGS = {**LIMITS, "DKIM_RELAY_LIMITS__MAX_BAD_COMMANDS": "1000000"}


class Session:
    """A client that takes no time to think."""

    def __init__(self, port: int) -> None:
        """Connect, hear the greeting, say EHLO."""
        self._socket = socket.create_connection((LOOPBACK, port), 60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.hear(1)
        self.say(b"EHLO client.example.com\r\n")
        self.hear(1)

    def say(self, octets: bytes) -> None:
        """Write."""
        self._socket.sendall(octets)

    def hear(self, replies: int) -> None:
        """Read so many replies, all of them positive.

        Raises:
            RuntimeError: one was not.
        """
        held = b""
        while replies:
            held += (got := self._socket.recv(65536))
            *lines, held = held.split(b"\r\n")
            if not got or any(line[:1] not in (b"2", b"3") for line in lines):
                raise RuntimeError(f"the reply was {lines or got!r}")
            replies -= sum(line[3:4] == b" " for line in lines)

    def leave(self) -> None:
        """Hang up."""
        self._socket.close()


def connections(port: int, count: int) -> int:
    """Connect, EHLO, QUIT, one after the other; how many connections."""
    for _ in range(count):
        session = Session(port)
        session.say(b"QUIT\r\n")
        session.hear(1)
        session.leave()
    return count


def dialogue(*commands: bytes, batch: int) -> Callable[[int, int], int]:
    """The same commands again and again in 20 sessions.

    Args:
        commands: each has one reply.
        batch: how often they are said before the replies are read.
    """

    def run(port: int, count: int) -> int:
        with ExitStack() as stack:
            sessions = [Session(port) for _ in range(SESSIONS)]
            for session in sessions:
                stack.callback(session.leave)
            steps = [b"".join(commands) * batch] if batch > 1 else list(commands)
            each = len(commands) * batch if batch > 1 else 1
            rounds = max(1, count // (SESSIONS * len(commands) * batch))
            for step in steps * rounds:
                for session in sessions:
                    session.say(step)
                for session in sessions:
                    session.hear(each)
            return rounds * len(steps) * each * SESSIONS

    return run


CASES: dict[str, tuple[Callable[[int, int], int], float]] = {
    "NOOP": (dialogue(b"NOOP\r\n", batch=1), 1.0),
    "NOOP, 50 in a batch": (dialogue(b"NOOP\r\n", batch=BATCH), 1.0),
    "MAIL, RSET": (dialogue(MAIL, b"RSET\r\n", batch=1), 1.0),
    "MAIL, RSET, 50 in a batch": (dialogue(MAIL, b"RSET\r\n", batch=BATCH), 1.0),
    "EHLO": (dialogue(b"EHLO client.example.com\r\n", batch=1), 0.5),
    "connect, EHLO, QUIT": (connections, 0.1),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.commands", description=__doc__)
    parser.add_argument("--commands", type=int, default=40_000, help="of each kind")
    arguments = parser.parse_args()
    say("| commands | CPU µs for each | a second on one core |\n|---|---:|---:|")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dkim-relay-commands-"))
        relay = stack.enter_context(Relay(make_ground(Path(folder)), settings=SETTINGS))
        for title, (run, share) in CASES.items():
            run(relay.port, SESSIONS)
            cpu = relay.account.cpu_seconds()
            done = run(relay.port, round(arguments.commands * share))
            used = relay.account.cpu_seconds() - cpu
            say(f"| {title} | {used * 1e6 / done:.1f} | {done / max(used, 1e-9):,.0f} |")


if __name__ == "__main__":
    main()
