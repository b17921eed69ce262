"""Names and passwords as both sides of a login write them: SASLprep. Pure. RFC 4013, RFC 3454.

What looks the same is made the same octets, whichever keyboard it came from. It is a query, not
a stored string (RFC 3454 §7): characters younger than Unicode 3.2 stay as they are.
"""

from __future__ import annotations

import stringprep
from unicodedata import ucd_3_2_0

from relay.core.errors import SyntaxFault

_PROHIBITED = (  # RFC 4013 §2.3
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """Prepare a name or a password.

    Args:
        text: as it was typed.

    Returns:
        What goes on the wire, in UTF-8.

    Raises:
        SyntaxFault: nothing is left, or something that is not permitted; it is not shown.
    """
    mapped = "".join(  # RFC 4013 §2.1
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    prepared = ucd_3_2_0.normalize("NFKC", mapped)  # §2.2
    if not prepared:
        raise SyntaxFault("nothing is left of it after SASLprep (RFC 4013)")
    if any(is_prohibited(character) for character in prepared for is_prohibited in _PROHIBITED):
        raise SyntaxFault("a character that SASLprep (RFC 4013 §2.3) does not permit")
    _refuse_mixed_directions(prepared)
    return prepared


def _refuse_mixed_directions(text: str) -> None:
    """RFC 4013 §2.4, RFC 3454 §6."""
    right_to_left = [stringprep.in_table_d1(character) for character in text]
    if not any(right_to_left):
        return
    has_left_to_right = any(stringprep.in_table_d2(character) for character in text)
    if has_left_to_right or not (right_to_left[0] and right_to_left[-1]):
        raise SyntaxFault("directions mixed in a way that SASLprep (RFC 4013 §2.4) forbids")
