"""A message read from octets as they arrive: limits, line ends, and where the body begins. Pure.

RFC 5322 §2.1-2.3. What verifiers canonicalize in different ways is refused here, or noted in
the message's traits, because no signature over it is sure to hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import IncrementalNewlineDecoder

from relay.core.errors import Reason, Rejection, SyntaxFault, unfit
from relay.core.message import (
    MAX_LINE_OCTETS,
    Field,
    Message,
    TooManyFields,
    Traits,
    parse_header,
)
from relay.core.reply import NO_MEMORY, own

_SMALL_OCTETS, _BLOCK_OCTETS = 4096, 65536
_VT, _FF = b"\x0b", b"\x0c"
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much of a message is read, and how its line ends are treated.

    Attributes:
        max_message_octets: the whole message; 0 for no limit.
        max_header_octets: the header section.
        max_header_fields: fields in it.
        max_field_octets: one field; Postfix cuts what is over 102,400.
        normalize_newlines: turn a bare CR or LF into CRLF instead of refusing it.
    """

    max_message_octets: int = 0
    max_header_octets: int = 256 * 1024
    max_header_fields: int = 2000
    max_field_octets: int = 100_000
    normalize_newlines: bool = False


class MessageFault(SyntaxFault):
    """A message that cannot be signed without changing its meaning.

    Attributes:
        enhanced: the RFC 3463 code.
        text: what is wrong, fit for the wire.
    """

    def __init__(self, enhanced: str, text: str) -> None:
        super().__init__(text)
        self.enhanced = enhanced
        self.text = text

    def rejection(self) -> Rejection:
        """What the client hears of it."""
        match self.enhanced:
            case "5.3.4":
                return Rejection(own(552, "5.3.4", self.text), Reason.MESSAGE_SIZE, self.text)
            case "4.3.1":
                return Rejection(NO_MEMORY, Reason.NO_MEMORY, self.text)
            case _:
                return unfit(self.enhanced, self.text)


class MessageReader:
    """Builds a message from octets as they arrive, in any split, in linear time.

    Nothing is raised while octets arrive, so that a client can be read to the end of its
    data; `finish` says the first thing that was wrong. From then on nothing is kept.
    """

    def __init__(self, limits: ReadLimits, *, body_sink: Callable[[bytes], None]) -> None:
        """Start a message.

        Args:
            limits: what is refused.
            body_sink: gets every block of the body once, in order (the body hash).
        """
        self._limits = limits
        self._sink = body_sink
        self._fault: tuple[str, str] | None = None
        self._held = b""  # a CR at the end of a block: its LF may follow
        self._header = bytearray()
        self._fields: tuple[Field, ...] | None = None
        self._body: list[bytes] = []
        self._small = bytearray()
        self._open_line = 0  # octets since the last CRLF of the body
        self._eight_bit = self._long_line = self._is_ambiguous = False
        self._is_blank = True  # the body has had nothing but white space so far
        self.size_octets = 0

    def feed(self, block: bytes) -> None:
        """Take the next octets, dot-stuffing already removed."""
        self.size_octets += len(block)
        if self._fault is not None:
            return
        if 0 < self._limits.max_message_octets < self.size_octets:
            self.refuse("5.3.4", "Message is over the size limit")
            return
        if self._held:
            block, self._held = self._held + block, b""
        if block.endswith(b"\r"):
            block, self._held = block[:-1], b"\r"
        self._take(block)

    def finish(self) -> Message:
        """The message, complete.

        Raises:
            MessageFault: the first thing that was wrong, as an enhanced code and a text.
        """
        if self._held:
            block, self._held = self._held, b""
            self._take(block)
        if self._fields is None:  # no blank line: the whole is header section
            if self._header and not self._header.endswith(b"\r\n"):
                self._header += b"\r\n"
            self._end_header(len(self._header), b"")
        if self._fault is not None or self._fields is None:
            raise MessageFault(*(self._fault or ("5.6.0", "Message is not readable")))
        if self._open_line:  # only a file can end so, never DATA
            self._take_body(b"\r\n")
        if self._small:
            self._body.append(bytes(self._small))
        blank = self._is_blank and any(b" " in b or b"\t" in b for b in self._body)
        traits = Traits(self._eight_bit, self._long_line, self._is_ambiguous or blank)
        return Message(self._fields, tuple(self._body), traits)

    def _take(self, block: bytes) -> None:
        if _has_bare_newline(block):
            if not self._limits.normalize_newlines:
                self.refuse("5.6.0", "Bare CR or LF in the message")
                return
            block = _LINE_END.sub(b"\r\n", block)
        if block.find(b"\0") >= 0:
            self.refuse("5.6.0", "NUL in the message")
        elif self._fields is None:
            self._take_header(block)
        elif block:
            self._take_body(block)

    def _take_header(self, block: bytes) -> None:
        searched = max(0, len(self._header) - 3)
        self._header += block
        if self._header.startswith(b"\r\n"):
            self._end_header(0, bytes(self._header[2:]))
            return
        end = self._header.find(b"\r\n\r\n", searched)
        if end >= 0:
            self._end_header(end + 2, bytes(self._header[end + 4 :]))
        elif len(self._header) > self._limits.max_header_octets:
            self.refuse("5.3.4", "Header section is over the limit (limits.max_header_bytes)")

    def _end_header(self, length: int, body: bytes) -> None:
        if length > self._limits.max_header_octets:
            self.refuse("5.3.4", "Header section is over the limit (limits.max_header_bytes)")
            return
        section = _without_mbox_line(bytes(self._header[:length]))
        if section.find(_VT) >= 0 or section.find(_FF) >= 0:
            # Verifiers disagree on whether these are white space at the end of a field.
            self.refuse("5.6.0", "VT or FF in the header section")
            return
        try:
            self._fields = parse_header(section, max_fields=self._limits.max_header_fields)
        except TooManyFields:
            self.refuse("5.3.4", "Too many header fields (limits.max_header_fields)")
            return
        except SyntaxFault as exc:
            self.refuse("5.6.0", str(exc))
            return
        longest = max([len(f.octets) for f in self._fields], default=0)
        if longest > self._limits.max_field_octets:
            self.refuse("5.3.4", "A header field is over the limit (limits.max_header_field_bytes)")
            return
        self._header = bytearray()
        if body:
            self._take_body(body)

    def _take_body(self, block: bytes) -> None:
        if not self._eight_bit and not block.isascii():
            self._eight_bit = True
        if block.find(_VT) >= 0 or block.find(_FF) >= 0:
            self._is_ambiguous = True
        self._is_blank = self._is_blank and block.isspace()
        self._measure_lines(block)
        self._keep(block)
        self._sink(block)

    def _keep(self, block: bytes) -> None:
        """Gather small blocks: a client decides how large they are, and each costs memory."""
        if len(block) >= _SMALL_OCTETS and not self._small:
            self._body.append(block)
            return
        self._small += block
        if len(self._small) >= _BLOCK_OCTETS:
            self._body.append(bytes(self._small))
            self._small = bytearray()

    def _measure_lines(self, block: bytes) -> None:
        """Look for a line over the limit, one search for each 998 octets."""
        position, allowed = 0, MAX_LINE_OCTETS - self._open_line
        while len(block) - position > allowed:
            end = block.rfind(b"\r\n", position, max(position, position + allowed + 2))
            if end < 0:
                self._long_line = True
                end = block.find(b"\r\n", position)
                if end < 0:
                    break
            position, allowed, self._open_line = end + 2, MAX_LINE_OCTETS, 0
        end = block.rfind(b"\r\n", position)
        if end >= 0:
            self._open_line = len(block) - end - 2
        else:
            self._open_line += len(block) - position

    def refuse(self, enhanced: str, text: str) -> None:
        """Give the message up: all its memory goes, and `finish` says the first reason."""
        if self._fault is None:
            self._fault = (enhanced, text)
            self._header, self._fields, self._body = bytearray(), (), []
            self._small = bytearray()


def normalize_newlines(octets: bytes) -> bytes:
    """Every bare CR or LF turned into CRLF (for files; a message from SMTP is refused)."""
    return _LINE_END.sub(b"\r\n", octets) if _BARE.search(octets) else octets


def read_message(octets: bytes | Sequence[bytes], limits: ReadLimits | None = None) -> Message:
    """A whole message at once, for commands and tests.

    Raises:
        MessageFault: see `MessageReader.finish`.
    """
    reader = MessageReader(limits or ReadLimits(), body_sink=lambda _: None)
    for block in (octets,) if isinstance(octets, bytes) else octets:
        reader.feed(block)
    return reader.finish()


def _has_bare_newline(block: bytes) -> bool:
    """Whether a CR or an LF stands alone.

    The standard library's newline decoder notes which kinds of line ends it meets, in a third
    of the time that splitting or counting takes (tests/bench/signing.py).
    """
    decoder = IncrementalNewlineDecoder(None, translate=False)
    decoder.decode(block.decode("latin-1"), final=True)
    return decoder.newlines not in (None, "\r\n")


def _without_mbox_line(section: bytes) -> bytes:
    """Leave out the "From " line that mailbox files have in front; it is no header field."""
    if not section.startswith((b"From ", b">From ")):
        return section
    line, _, rest = section.partition(b"\r\n")
    return section if line.partition(b":")[0].rstrip(b" \t") == b"From" else rest
