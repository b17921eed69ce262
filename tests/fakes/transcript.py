"""SMTP sessions as they would stand in an RFC, each held in three ways.

A transcript is lines of `C: ` and `S: `, each without its CRLF, and `C< ` for octets that are
written as in a Python literal and get no CRLF. The whole conversation is compared, to its end.
"""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import groupby
from textwrap import dedent

from tests.fakes.edge import Edge
from tests.fakes.smtp_client import MemoryClient


class Segments(Enum):
    """How a client's octets arrive."""

    WHOLE = "all in one segment"
    LINES = "line by line"
    OCTETS = "octet by octet"


class Conversation:
    """Holds transcripts with sessions of an edge.

    Attributes:
        edge: whose sessions.
        segments: how octets arrive there.
    """

    def __init__(self, edge: Edge, segments: Segments) -> None:
        self.edge = edge
        self.segments = segments

    async def __call__(self, transcript: str, *, client: MemoryClient | None = None) -> None:
        """Hold one, from the greeting until the server has closed.

        Raises:
            AssertionError: the server said something else, or did not close.
        """
        client = client or self.edge.client()
        turns = list(_turns(transcript))
        expected = b"".join(octets for who, octets in turns if who == "S")
        match self.segments:
            case Segments.WHOLE:
                client.send(b"".join(octets for who, octets in turns if who == "C"))
            case Segments.LINES:
                await _take_turns(client, turns, _by_line)
            case Segments.OCTETS:
                await _take_turns(client, turns, _by_octet)
        client.end()
        await client.rest()
        assert _shown(client.heard) == _shown(expected)


async def hold(client: MemoryClient, transcript: str) -> None:
    """Hold a part of a session, line by line; the session stays open.

    Raises:
        AssertionError: the server said something else.
    """
    await _take_turns(client, list(_turns(transcript)), _by_line)


async def _take_turns(
    client: MemoryClient,
    turns: list[tuple[str, bytes]],
    cut: Callable[[bytes], Iterator[bytes]],
) -> None:
    said = expected = b""
    for who, octets in turns:
        if who == "C":
            for piece in cut(octets):
                client.send(piece)
                await asyncio.sleep(0)  # a turn of the loop, so that pieces stay apart
            continue
        said += await client.take(len(octets))
        expected += octets
        assert _shown(said) == _shown(expected)


def _by_line(octets: bytes) -> Iterator[bytes]:
    yield from octets.splitlines(keepends=True)


def _by_octet(octets: bytes) -> Iterator[bytes]:
    for position in range(len(octets)):
        yield octets[position : position + 1]


def _turns(transcript: str) -> Iterator[tuple[str, bytes]]:
    """Who says what, neighbouring lines of one side taken together."""
    lines = [_line(text) for text in dedent(transcript).strip("\n").split("\n")]
    for who, group in groupby(lines, key=lambda line: line[0]):
        yield who, b"".join(octets for _, octets in group)


def _line(text: str) -> tuple[str, bytes]:
    mark, rest = text[:3], text[3:]
    match mark:
        case "C: " | "S: ":
            return mark[0], rest.encode() + b"\r\n"
        case "C<" | "C< ":
            octets = ast.literal_eval(f'b"""{rest}"""')
            assert isinstance(octets, bytes)
            return "C", octets
        case _:
            raise ValueError(f"neither C nor S: {text!r}")


def _shown(octets: bytes) -> list[str]:
    return octets.decode("utf-8", "backslashreplace").split("\r\n")
