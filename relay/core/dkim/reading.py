"""Messages from files and from strangers, read leniently for verifying. Pure. RFC 5322 §2, §4.

A verifier takes what it gets; whatever had to be supposed is said in notes. What is signed is
read by `relay.core.reader` instead, which refuses all of this.

LF alone ends a line in files, and is made CRLF; a CR alone is content. The "From " line of mbox
files, a byte order mark and blank lines in front are no part of the message. A blank before the
colon of a field is the obsolete form of RFC 5322 §4.5; a line that is no field belongs to none.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.errors import SyntaxFault
from relay.core.excerpt import counted, excerpt
from relay.core.message import Field, Message, Traits

MAX_HEADER_OCTETS = 16 * 1024 * 1024  # h= of 100,000 names must be read, a disk image need not
_BOM = b"\xef\xbb\xbf"
_CRLF = b"\r\n"
_SHOWN_NOTES = 5  # of one kind


class ObsoleteField(Field):
    """A field with white space before its colon (RFC 5322 §4.5)."""

    __slots__ = ()

    @property
    def value(self) -> bytes:
        """What follows the colon, as it stands, with its last CRLF."""
        return self.octets[self.octets.index(b":") + 1 :]


@dataclass(frozen=True, slots=True)
class Reading:
    """A message, and what had to be supposed in order to read it."""

    message: Message
    notes: tuple[str, ...] = ()


class LooseReader:
    """Builds a message from octets in any split, in linear time."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._searched = 0
        self._body: list[bytes] | None = None
        self._held = b""  # a CR at the end of a block: its LF may follow
        self._line_feeds = self._line_ends = self._bare_returns = 0
        self._has_begun = self._has_bom = self._has_blank_prefix = self._has_nul = False

    def feed(self, block: bytes) -> None:
        """Take the next octets.

        Raises:
            SyntaxFault: this is no message: its header section does not end.
        """
        block = self._held + block
        self._held = b"\r" if block.endswith(b"\r") else b""
        self._take(block[: len(block) - len(self._held)])

    def finish(self) -> Reading:
        """The message, complete.

        Raises:
            SyntaxFault: there is nothing to read.
        """
        self._take(self._held)
        body = self._body
        if not self._header:
            raise SyntaxFault("the message is empty")
        if body is None and not self._header.endswith(_CRLF):
            self._header += _CRLF
        if body and not _ends_line(body):
            body.append(_CRLF)
        notes = self._notes()
        section = _without_mbox_line(bytes(self._header), notes)
        fields = _read_fields(section, notes)
        return Reading(Message(fields, tuple(body or ()), Traits()), tuple(notes))

    def _take(self, block: bytes) -> None:
        line_feeds, line_ends = block.count(b"\n"), block.count(_CRLF)
        self._line_feeds += line_feeds
        self._line_ends += line_ends
        self._bare_returns += block.count(b"\r") - line_ends
        self._has_nul = self._has_nul or b"\0" in block
        if line_feeds != line_ends:
            block = block.replace(_CRLF, b"\n").replace(b"\n", _CRLF)
        if self._body is not None:
            if block:
                self._body.append(block)
            return
        self._header += block
        if not self._has_begun:
            self._skip_prefix()
        if self._has_begun:
            self._find_body()

    def _skip_prefix(self) -> None:
        """Leave out what stands in front of the first line of the message."""
        header = self._header
        start = len(_BOM) if header.startswith(_BOM) else 0
        while header.startswith(_CRLF, start):
            start += len(_CRLF)
            self._has_blank_prefix = True
        self._has_bom = self._has_bom or header.startswith(_BOM)
        del header[:start]
        self._has_begun = bool(header) and not _BOM.startswith(header)

    def _find_body(self) -> None:
        header = self._header
        end = header.find(b"\r\n\r\n", max(0, self._searched - 3))
        self._searched = len(header)
        if end >= 0:
            body = bytes(header[end + 4 :])
            del header[end + 2 :]
            self._body = [body] if body else []
        elif len(header) > MAX_HEADER_OCTETS:
            raise SyntaxFault(f"no message: no end of the header in {MAX_HEADER_OCTETS} octets")

    def _notes(self) -> list[str]:
        notes = []
        bare = self._line_feeds - self._line_ends
        if bare and not self._line_ends:
            notes.append("line ends are LF, as files have them: read as CRLF")
        elif bare:
            notes.append(
                f"{counted(bare, 'line')} of {self._line_feeds:,} end in LF without CR, read as "
                "CRLF: on the wire, verifiers differ on such messages"
            )
        if self._bare_returns:
            found = counted(self._bare_returns, "CR octet")
            notes.append(f"{found} without LF, read as content: verifiers differ on them")
        if self._has_nul:
            notes.append("there are NUL octets: verifiers differ on such messages")
        if self._has_bom:
            notes.append("a byte order mark in front was left out")
        if self._has_blank_prefix:
            notes.append("blank lines in front were left out: they would end the header section")
        if self._body is None:
            notes.append("there is no blank line after the header section, and so no body")
        return notes


def _ends_line(blocks: list[bytes]) -> bool:
    """Whether blocks end in CRLF, wherever they were split."""
    tail = b"".join(blocks[-2:]) if len(blocks[-1]) < len(_CRLF) else blocks[-1]
    return tail.endswith(_CRLF)


def _without_mbox_line(section: bytes, notes: list[str]) -> bytes:
    if section.startswith((b"From ", b">From ")):
        line, _, rest = section.partition(_CRLF)
        if line.partition(b":")[0].rstrip(b" \t") != b"From":
            notes.append('the "From " line of an mbox file was left out')
            return rest
    return section


def _read_fields(section: bytes, notes: list[str]) -> tuple[Field, ...]:
    """The fields of a header section; what is none gets an empty key, which nothing selects."""
    lines = section.split(_CRLF)
    starts = [i for i, line in enumerate(lines) if i == 0 or line[:1] not in (b" ", b"\t")]
    odd: list[str] = []
    fields: list[Field] = []
    for i, start in enumerate(starts[:-1]):
        octets = b"".join(line + _CRLF for line in lines[start : starts[i + 1]])
        name, colon, _ = lines[start].partition(b":")
        key = name.rstrip(b" \t").lower()
        if not colon or not key or name[:1] in (b" ", b"\t"):
            odd.append(
                f"line {start + 1} of the header section is no field: {excerpt(octets, 40)!r}"
            )
            fields.append(Field(b"", octets))
        elif len(key) == len(name):
            fields.append(Field(key, octets))
        else:
            odd.append(f"{excerpt(name)} has a blank before its colon: some verifiers refuse it")
            fields.append(ObsoleteField(key, octets))
    notes += odd[:_SHOWN_NOTES]
    if len(odd) > _SHOWN_NOTES:
        notes.append(f"and {len(odd) - _SHOWN_NOTES:,} more of the kind")
    return tuple(fields)
