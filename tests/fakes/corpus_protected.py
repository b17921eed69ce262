"""Messages that are signed or encrypted from end to end: their octets stay, or they are refused.

Pure, but for keys made once in each process. RFC 8551 (S/MIME), RFC 3156 (PGP/MIME),
RFC 1847 §2.1: nothing on the way may change the octets under such a signature.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

from tests.fakes.corpus_case import (
    NOT_CONVERTIBLE,
    Case,
    Relayed,
    compose,
    lines_of,
    mime,
    with_body,
    with_mime,
)

SMIME_BOUNDARY = b"----smime"
SIGNED_TEXT = "Content-Type: text/plain; charset=us-ascii\n\nGood  morning, \n.\n\nJane\n"
SIGNED_EIGHT_BIT = (
    "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße\n"
)

# Looks like a signature; nothing here verifies it.
ARMOR = """\
-----BEGIN PGP {kind}-----

iHUEARYKAB0WIQTExampleExampleExampleExampleEQUCZzuP4AAKCRDExample
=abcd
-----END PGP {kind}-----
"""


@cache
def smime_certificate() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A key, and a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, "jane@example.com")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return key, certificate


@cache
def _smime_signed(part: str) -> bytes:
    """The message with this part, signed (multipart/signed, RFC 8551 §3.5.3)."""
    key, certificate = smime_certificate()
    octets = lines_of(part)
    signature = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(octets)
        .add_signer(certificate, key, hashes.SHA256())
        .sign(
            serialization.Encoding.DER,
            [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary],
        )
    )
    body = (
        b"This is an S/MIME signed message\r\n\r\n--%(b)b\r\n%(part)b\r\n--%(b)b\r\n"
        b'Content-Type: application/pkcs7-signature; name="smime.p7s"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="smime.p7s"\r\n\r\n'
        b"%(signature)b\r\n--%(b)b--\r\n"
    ) % {
        b"b": SMIME_BOUNDARY,
        b"part": octets,
        b"signature": base64.encodebytes(signature).replace(b"\n", b"\r\n"),
    }
    parameters = b'protocol="application/pkcs7-signature"; micalg=sha-256;\r\n boundary="%b"'
    return compose(body, extra=mime(b"multipart/signed; " + parameters % SMIME_BOUNDARY))


def _smime(name: str, part: str, **more: Any) -> Case:
    return Case(name=name, build=partial(_smime_signed, part), **more)


def _pgp_signed(name: str, part: str, **more: Any) -> Case:
    body = f"--pgp\n{part}\n--pgp\nContent-Type: application/pgp-signature; name=signature.asc\n\n"
    body += ARMOR.format(kind="SIGNATURE") + "\n--pgp--\n"
    parameters = b'signed; micalg=pgp-sha512;\r\n\tprotocol="application/pgp-signature"'
    content_type = b"multipart/" + parameters + b'; boundary="pgp"'
    return with_mime(name, content_type, lines_of(body), **more)


PGP_ENCRYPTED = (
    "--pgp\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n"
    "--pgp\nContent-Type: application/octet-stream; name=encrypted.asc\n\n"
    + ARMOR.format(kind="MESSAGE")
    + "\n--pgp--\n"
)
PGP_INLINE = (
    "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nGood morning,\n\n- -- \nJane\n"
    + ARMOR.format(kind="SIGNATURE")
)

PROTECTED: tuple[Case, ...] = (
    _smime("smime-signed", SIGNED_TEXT),
    _smime("smime-signed-eight-bit", SIGNED_EIGHT_BIT, at_bare_hop=NOT_CONVERTIBLE),
    _smime(
        "smime-signed-with-form-feed",
        SIGNED_TEXT.replace("Jane", "\x0cJane"),
        expected=NOT_CONVERTIBLE,
    ),
    _smime(
        "smime-signed-with-a-line-of-1000-octets",
        SIGNED_TEXT.replace("Jane", "x" * 1000),
        expected=NOT_CONVERTIBLE,
    ),
    with_mime(
        "smime-opaque",
        b"application/pkcs7-mime; smime-type=signed-data; name=smime.p7m",
        base64.encodebytes(bytes(range(256)) * 3).replace(b"\n", b"\r\n"),
        b"base64",
    ),
    with_mime(
        "smime-encrypted",
        b"application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
        base64.encodebytes(bytes(range(256)) * 3).replace(b"\n", b"\r\n"),
        b"base64",
    ),
    _pgp_signed("pgp-mime-signed", SIGNED_TEXT),
    _pgp_signed("pgp-mime-signed-eight-bit", SIGNED_EIGHT_BIT, at_bare_hop=NOT_CONVERTIBLE),
    with_mime(
        "pgp-mime-encrypted",
        b'multipart/encrypted; protocol="application/pgp-encrypted"; boundary=pgp',
        lines_of(PGP_ENCRYPTED),
    ),
    with_body("pgp-inline", lines_of(PGP_INLINE)),
    with_mime(
        "pgp-inline-eight-bit",
        b"text/plain; charset=utf-8",
        lines_of(PGP_INLINE.replace("Jane", "Jörg")),
        b"8bit",
        at_bare_hop=NOT_CONVERTIBLE,
    ),
    # The signed message is forwarded whole, so it is still under its signature.
    with_mime(
        "smime-signed-message-forwarded-with-long-line",
        b"message/rfc822",
        b"Subject: before\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/signed; protocol="x/y"; boundary=b\r\n\r\n'
        b"--b\r\n\r\n" + b"x" * 1000 + b"\r\n--b\r\nContent-Type: x/y\r\n\r\n\r\n--b--\r\n",
        expected=NOT_CONVERTIBLE,
    ),
    # Beside a signed part another one may be changed, and only that.
    with_mime(
        "long-line-beside-a-signed-part",
        b"multipart/mixed; boundary=outer",
        b"--outer\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 1000 + b"\r\n--outer\r\n"
        b'Content-Type: multipart/signed; protocol="x/y"; boundary=b\r\n\r\n'
        b"--b\r\n\r\nsigned  text \r\n--b\r\nContent-Type: x/y\r\n\r\n\r\n--b--\r\n--outer--\r\n",
        expected=Relayed.REENCODED,
    ),
)
