"""Who lets the next client in, of several processes; and one client in each turn."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from relay.core.events import Noted
from relay.listener.bind import Binding, bind_all
from relay.listener.shares import ABSENT, Shares, make_shares
from tests.fakes.edge import Edge
from tests.fakes.smtp_client import SocketClient

GREETING = b"220 relay.example ESMTP dkim-relay\r\n"


@pytest.fixture
def shares() -> Iterator[list[Shares]]:
    """Those of three processes."""
    file = make_shares(3)
    made = [Shares(file, mine=number, processes=3) for number in range(3)]
    os.close(file)
    yield made
    for one in made:
        one.close()


def test_the_one_with_the_fewest(shares: list[Shares]) -> None:
    """Who has more than another leaves the next client; who has as many does not."""
    first, second, third = shares
    for one, sessions in zip(shares, (2, 1, 1), strict=True):
        one.tell(sessions)
    assert first.leaves_next(2)
    assert not second.leaves_next(1)
    assert not third.leaves_next(1)


def test_those_that_are_not_there(shares: list[Shares]) -> None:
    """Before a process serves and after it has ended, nobody waits for it."""
    first, second, _ = shares
    first.tell(5)
    assert not first.leaves_next(5)
    second.tell(0)
    assert first.leaves_next(5)
    first.tell(ABSENT, process=1)
    assert not first.leaves_next(5)


async def test_two_on_one_socket(shares: list[Shares]) -> None:
    """Clients that come one after the other are spread evenly."""
    [one] = bind_all([Binding(address="127.0.0.1:0")])
    edges = [Edge(), Edge()]
    listeners = [edge.listeners(max_connections=100) for edge in edges]
    for made, bound, share in zip(listeners, (one, one.dup()), shares, strict=False):
        await made.open([Binding(address="127.0.0.1:0")], bound=[bound], shares=share)
    clients = [SocketClient(*listeners[0].addresses[0]) for _ in range(10)]
    for client in clients:
        await client.__aenter__()
        assert await client.reply() == GREETING
    assert [made.connections for made in listeners] == [5, 5]
    for made in listeners:
        assert await made.close(5.0) == 0
    for client in clients:
        await client.close()


async def test_a_client_is_left_but_not_alone(shares: list[Shares]) -> None:
    """Where the other process does not take it, it is let in after a moment."""
    shares[1].tell(0)
    edge = Edge()
    listeners = edge.listeners()
    await listeners.open([Binding(address="127.0.0.1:0")], shares=shares[0])
    async with (
        SocketClient(*listeners.addresses[0]) as first,
        SocketClient(*listeners.addresses[0]) as second,
    ):
        assert [await first.reply(), await second.reply()] == [GREETING, GREETING]
        await listeners.close(5.0)


async def test_no_descriptors_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told with what to do, and tried again when there may be some."""
    edge = Edge()
    failures = iter([OSError(errno.EMFILE, os.strerror(errno.EMFILE))])
    accept = socket.socket.accept

    def short_of(listening: socket.socket) -> tuple[socket.socket, object]:
        for failure in failures:
            raise failure
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", short_of)
    monkeypatch.setattr("relay.listener.door._EXHAUSTED_SECONDS", 0.01)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        assert await client.reply() == GREETING
    [told] = [e for e in edge.events if isinstance(e, Noted) and e.name == "listener.exhausted"]
    assert dict(told.fields)["detail"] == "Too many open files"
