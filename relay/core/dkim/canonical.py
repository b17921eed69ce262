"""Canonicalization, in linear time and fed in blocks. Pure. RFC 6376 §3.4.

Input has CRLF line ends only. White space means SP and HTAB and nothing else (§2.8): VT and
FF are ordinary octets, whatever regular expressions and `split` take for white space.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from relay.core.message import Field

_BLANKS = re.compile(rb"  +")
_FEW_RUNS = 200  # in one block; from there on the regular expression is faster
_SAMPLE_OCTETS, _MANY_IN_SAMPLE = 4096, 16
_CR, _BLANK = 0x0D, 0x20
new_sha256 = hashlib.sha256().copy  # OpenSSL looks an algorithm up by its name each time
_FOLDING = b" \t\r\n"  # white space, folded or not (RFC 5322 §3.2.2)
_CACHED_NAMES, _CACHED_OCTETS = 192, 4096  # in the key of a cache


class Canonicalization(StrEnum):
    """A c= value for header or body."""

    SIMPLE = "simple"
    RELAXED = "relaxed"


def relaxed_field(field: Field) -> bytes:
    """One field in relaxed form with its CRLF (§3.4.2)."""
    value = field.value.replace(b"\r\n", b"")
    if b"\t" in value:
        value = value.replace(b"\t", b" ")
    if b"  " in value:
        value = _BLANKS.sub(b" ", value)
    return field.key + b":" + value.strip(b" ") + b"\r\n"


def relaxed_fields(fields: Iterable[Field]) -> bytes:
    """Several fields in relaxed form, one after the other (§3.4.2); for many, far cheaper."""
    octets = b"".join(
        [f.key + b":" + (f.octets[len(f.key) + 1 :].lstrip(_FOLDING) or b"\r\n") for f in fields]
    )
    octets = octets.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").replace(b"\t", b" ")
    if octets.find(b"  ") >= 0:
        octets = _BLANKS.sub(b" ", octets)
    return octets.replace(b" \r\n", b"\r\n")


def header_form(field: Field, method: Canonicalization) -> bytes:
    """One field in the form of `method`, with its CRLF (§3.4.1, §3.4.2)."""
    return field.octets if method is Canonicalization.SIMPLE else relaxed_field(field)


def select_fields(fields: Sequence[Field], names: Iterable[bytes]) -> list[Field]:
    """The fields that h= names: for each name the lowest one not yet taken (§5.4.2).

    Args:
        fields: the header section from the top.
        names: h= in lower case; a name may repeat or be absent, then it selects nothing.
    """
    keys, names = tuple([f.key for f in fields]), tuple(names)
    # What strangers can make large is not kept.
    given = keys + names
    is_short = len(given) <= _CACHED_NAMES and len(b"".join(given)) <= _CACHED_OCTETS
    find = _positions if is_short else _positions.__wrapped__
    return [fields[position] for position in find(keys, names)]


@lru_cache(maxsize=256)  # of one application's mail, most messages have the same fields
def _positions(keys: tuple[bytes, ...], names: tuple[bytes, ...]) -> tuple[int, ...]:
    by_name: dict[bytes, list[int]] = {}
    for position, key in enumerate(keys):
        by_name.setdefault(key, []).append(position)
    return tuple([stack.pop() for name in names if (stack := by_name.get(name))])


class _Sha256(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _LimitedSha256:
    """SHA-256 of the first `limit` octets: l= when verifying (§3.5, §3.7)."""

    def __init__(self, limit_octets: int) -> None:
        self._hash = new_sha256()
        self._left = limit_octets

    def update(self, data: bytes, /) -> None:
        self._hash.update(data[: self._left])
        self._left -= min(self._left, len(data))

    def digest(self) -> bytes:
        return self._hash.digest()


class BodyHash:
    """SHA-256 of a canonical body, for blocks split anywhere (§3.4.3, §3.4.4).

    Held back between blocks: how many line ends may yet turn out to be the end of the body,
    and at most one blank and one CR whose meaning depends on what follows.
    """

    __slots__ = ("_hash", "_held", "_is_relaxed", "_line_ends", "_seen")

    def __init__(
        self,
        method: Canonicalization = Canonicalization.RELAXED,
        *,
        limit_octets: int | None = None,
    ) -> None:
        """Start a body.

        Args:
            method: the canonicalization of the body.
            limit_octets: l=: only so many canonical octets are hashed (§3.5); verifying only.
        """
        self._hash: _Sha256 = new_sha256() if limit_octets is None else _LimitedSha256(limit_octets)
        self._is_relaxed = method is Canonicalization.RELAXED
        self._held = b""
        self._line_ends = 0
        self._seen = False  # whether a line that is not empty was hashed

    def feed(self, block: bytes) -> None:
        """Take the next octets of the body."""
        if self._held:
            block = self._held + block
        if self._is_relaxed:
            block = _squeeze(block)
        text = block.rstrip(b" \r\n" if self._is_relaxed else b"\r\n")
        line_ends, self._held = _read_tail(block, len(text))
        content = len(block) - 2 * line_ends - len(self._held)
        if content:
            if self._line_ends:
                self._hash.update(b"\r\n" * self._line_ends)
            self._hash.update(text if len(text) == content else block[:content])
            self._seen = True
            self._line_ends = line_ends
        else:
            self._line_ends += line_ends

    def digest(self) -> bytes:
        """The digest; feeding ends with this.

        Relaxed: blanks at the end of the last line do not count, and an empty body stays
        empty. Simple: an empty body is one CRLF.
        """
        held = self._held.rstrip(b" ") if self._is_relaxed else self._held
        if held:  # a bare CR at the very end is content
            self._hash.update(b"\r\n" * self._line_ends + held)
            self._seen = True
        if self._seen or not self._is_relaxed:
            self._hash.update(b"\r\n")
        return self._hash.digest()


def _squeeze(block: bytes) -> bytes:
    """Runs of white space become one blank, and none before a line end (§3.4.4 a).

    `split` and `join` search once where `replace` searches twice and `re` is slower, as long
    as the runs are few (tests/bench/signing.py); HTML has many, which its beginning shows.
    """
    block = block.replace(b"\t", b" ")
    if block.find(b" ") < 0:
        return block
    has_many = block.count(b"  ", 0, _SAMPLE_OCTETS) > _MANY_IN_SAMPLE
    if has_many or len(pieces := block.split(b"  ", _FEW_RUNS)) > _FEW_RUNS:
        block = b" ".join(_BLANKS.split(block))  # a third less time than `sub`
    elif len(pieces) > 1:
        first, *others = pieces
        last = others.pop().lstrip(b" ")
        kept = [text for piece in others if (text := piece.lstrip(b" "))]
        block = b" ".join((first, *kept, last))
    return b"\r\n".join(block.split(b" \r\n"))


def _read_tail(block: bytes, start: int) -> tuple[int, bytes]:
    """How many line ends `block` ends in, and what behind them must wait for more octets.

    From `start` on there are only blanks, CR and LF. What must wait is a blank, a CR, or both.
    """
    end = len(block)
    if end > start and block[end - 1] == _CR:
        end -= 1
    if end > start and block[end - 1] == _BLANK:
        end -= 1
    held = block[end:]
    line_ends = block.count(b"\r\n", start, end)
    if 2 * line_ends != end - start:  # a bare CR or LF among them is content
        line_ends = 0
        while end - start >= 2 and block[end - 2 : end] == b"\r\n":
            end -= 2
            line_ends += 1
    return line_ends, held


def hash_body(
    body: Iterable[bytes],
    method: Canonicalization = Canonicalization.RELAXED,
    *,
    limit_octets: int | None = None,
) -> bytes:
    """The SHA-256 of a whole body, given in blocks (§3.7)."""
    hasher = BodyHash(method, limit_octets=limit_octets)
    for block in body:
        hasher.feed(block)
    return hasher.digest()
