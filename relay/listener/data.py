"""The end of DATA and its transparency, on blocks of octets. No IO. RFC 5321 §4.1.1.4, §4.5.2.

Only CRLF.CRLF ends the data; LF.LF, CR.CR and their mixtures are content, which the message
reader then refuses (SMTP smuggling, CVE-2023-51764 and its kin).
"""

from __future__ import annotations

from collections.abc import Callable

from relay.core.reader import MessageReader

_END = b"\r\n.\r\n"
_STUFFED = b"\r\n."


class DataDecoder:
    """Takes octets from the wire until the end of data, and hands the message on in blocks."""

    __slots__ = ("_held", "_is_start", "_sink")

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        """Start behind the CRLF of the DATA command.

        Args:
            sink: gets the octets of the message, dots unstuffed, in order.
        """
        self._sink = sink
        self._held = b"\r\n"  # the command's own line end: a dot may follow at once
        self._is_start = True

    def feed(self, data: bytes) -> bytes | None:
        """Take the next octets.

        Returns:
            None while the data goes on; at its end, the octets that stand behind it.
        """
        data = self._held + data
        # A dot that begins a line is a stuffed one, or the end. Base64 has no dot at all.
        dot = data.find(_STUFFED) if data.find(b".") >= 0 else -1
        if dot >= 0:
            end = data.find(_END, dot)
            if end >= 0:
                self._hand_on(data[: end + 2], is_stuffed=dot < end)
                return data[end + len(_END) :]
        # What may be the beginning of a terminator or of a stuffed dot waits for more.
        keep = len(data) - 4
        if keep > 0 and data[keep - 1] == 0x0D:
            keep -= 1
        elif keep > 1 and data[keep - 2 : keep] == b"\r\n":
            keep -= 2
        keep = max(0, keep)
        self._held = data[keep:]
        self._hand_on(data[:keep], is_stuffed=dot >= 0)
        return None

    def _hand_on(self, block: bytes, *, is_stuffed: bool) -> None:
        if is_stuffed:
            block = block.replace(_STUFFED, b"\r\n")
        if self._is_start and block:
            block = block[2:]  # the command's line end is not the message's
            self._is_start = False
        if block:
            self._sink(block)


class Incoming(MessageReader):
    """A message that comes in, and knows when nothing of it is kept any more.

    Attributes:
        is_refused: it is only read to its end.
    """

    is_refused = False

    def refuse(self, enhanced: str, text: str) -> None:
        """Give the message up."""
        super().refuse(enhanced, text)
        self.is_refused = True


class ChunkDecoder:
    """Takes the octets of one BDAT chunk (RFC 3030 §2): so many, whatever they are."""

    __slots__ = ("_left", "_sink")

    def __init__(self, size_octets: int, sink: Callable[[bytes], None]) -> None:
        """Start behind the BDAT command line."""
        self._left = size_octets
        self._sink = sink

    def feed(self, data: bytes) -> bytes | None:
        """Take the next octets; see `DataDecoder.feed`."""
        if len(data) < self._left:
            self._left -= len(data)
            self._sink(data)
            return None
        if self._left:
            self._sink(data[: self._left])
        rest, self._left = data[self._left :], 0
        return rest
