"""What pins and TLSA records name in a certificate: its octets, and those of its key. Pure.

RFC 5280 §4.1, RFC 6698 §2.1.2. Only as much DER (X.690) is read as leads to the key: what is
compared are the octets as they were sent, never something written anew.
"""

from __future__ import annotations

import hashlib

from relay.core.errors import SyntaxFault

_SEQUENCE = 0x30
_VERSION = 0xA0  # [0] EXPLICIT, absent in certificates of version 1
# serialNumber, signature, issuer, validity and subject stand before subjectPublicKeyInfo.
_FIELDS_BEFORE_KEY = 5
_LONG_FORM = 0x80
_MAX_LENGTH_OCTETS = 4


def public_key_info(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate (RFC 5280 §4.1.2.7).

    Args:
        certificate: DER.

    Raises:
        SyntaxFault: not a certificate.
    """
    at, _ = _content(certificate, 0, _SEQUENCE)
    at, _ = _content(certificate, at, _SEQUENCE)  # tbsCertificate
    if certificate[at : at + 1] == bytes([_VERSION]):
        at = _content(certificate, at)[1]
    for _ in range(_FIELDS_BEFORE_KEY):
        at = _content(certificate, at)[1]
    return certificate[at : _content(certificate, at, _SEQUENCE)[1]]


def fingerprint(octets: bytes) -> str:
    """The name of a certificate or key: "sha256:" and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(octets).hexdigest()}"


def _content(octets: bytes, at: int, tag: int | None = None) -> tuple[int, int]:
    """Where the content of the element at `at` begins, and where the element ends."""
    head = octets[at : at + 2]
    if len(head) < 2 or (tag is not None and head[0] != tag):
        raise SyntaxFault("not a certificate in DER")
    begin, length = at + 2, head[1]
    if length >= _LONG_FORM:
        count = length - _LONG_FORM
        begin += count
        length = int.from_bytes(octets[at + 2 : begin], "big")
        if not 0 < count <= _MAX_LENGTH_OCTETS:
            raise SyntaxFault("not a certificate in DER")
    if begin + length > len(octets):
        raise SyntaxFault("a certificate that is cut off")
    return begin, begin + length
