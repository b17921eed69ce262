"""Messages taken apart for comparison, by Python's `email` and by hand: what a reader would see.

Pure. Used where the relay may change octets, but not what they mean.
"""

from __future__ import annotations

import re
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32

FIELD = re.compile(rb"([!-9;-~]+):.*(?:\r\n[ \t].*)*\r\n")  # RFC 5322 §2.2, obsolete folding too
FOLD = re.compile(rb"\r\n(?=[ \t])")  # RFC 5322 §2.2.3


def fields_of(message: bytes) -> list[tuple[str, bytes]]:
    """The header fields: name in lower case, and octets unfolded, in their order."""
    header = message.partition(b"\r\n\r\n")[0] + b"\r\n"
    return [
        (field[1].decode("ascii").lower(), FOLD.sub(b"", field[0]))
        for field in FIELD.finditer(header)
    ]


def decoded_parts(message: bytes) -> list[tuple[str, bytes]]:
    """Each part's content type and decoded content, in the order of reading.

    Containers are there with no content, so that their nesting is compared too.
    """
    parsed = BytesParser(policy=compat32).parsebytes(message)
    return [(_kind(part), _content(part)) for part in parsed.walk()]


def _kind(part: Message) -> str:
    return f"{part.get_content_type()}; {part.get_params(header='content-disposition')}"


def _content(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    # What ends the part's last line belongs to the delimiter, or to the end of data.
    return content.removesuffix(b"\r\n") if isinstance(content, bytes) else b""
