"""Messages in other character sets than ASCII, in bodies and in header fields.

Pure. RFC 6152 (8BITMIME), RFC 2047 (encoded words), RFC 6532 (UTF-8 header fields), RFC 1468
(ISO-2022-JP). A hop without 8BITMIME gets text as quoted-printable; UTF-8 in header fields
is carried as it is; a hop that has neither 8BITMIME nor SMTPUTF8 gets no such message, and
one without SMTPUTF8 none for which the client asked for it.
"""

from __future__ import annotations

from functools import partial

from tests.fakes.corpus_case import (
    IDN_DOMAIN,
    NEEDS_SMTPUTF8,
    NOT_CONVERTIBLE,
    SIGNING_DOMAIN,
    Case,
    Relayed,
    compose,
    lines_of,
    mime,
    with_mime,
    with_values,
)

JAPANESE = "日本語の件名と本文です。\n東京、大阪。\n"
UTF8_TEXT = lines_of("Grüße aus München, 100 €\n日本語の本文\n")


def _eight_bit(name: str, charset: str, body: bytes) -> Case:
    """A text in 8 bits, which a hop without 8BITMIME gets in 7."""
    content_type = f"text/plain; charset={charset}".encode()
    return with_mime(name, content_type, body, b"8bit", at_bare_hop=Relayed.REENCODED)


def _encoded(text: str, charset: str) -> bytes:
    return text.encode(charset).replace(b"\n", b"\r\n")


def _raw(name: str, **fields: bytes) -> Case:
    """8-bit header fields without SMTPUTF8, as scripts send them."""
    return with_values(name, {"at_bare_hop": NEEDS_SMTPUTF8}, **fields)


def _smtputf8(name: str, signing_domain: str = SIGNING_DOMAIN, **fields: str) -> Case:
    """UTF-8 header fields, and SMTPUTF8 asked for."""
    values = {field.replace("_", "-"): value.encode() for field, value in fields.items()}
    body = compose(
        lines_of("Grüße\n"), fields=values, extra=mime(b"text/plain; charset=utf-8", b"8bit")
    )
    return Case(
        name=name,
        build=lambda: body,
        signing_domain=signing_domain,
        mail_options=("SMTPUTF8", "BODY=8BITMIME"),
        at_bare_hop=NEEDS_SMTPUTF8,
    )


BODIES: tuple[Case, ...] = (
    _eight_bit("eight-bit-utf-8", "utf-8", UTF8_TEXT),
    _eight_bit("eight-bit-latin-1", "iso-8859-1", b"Gr\xfc\xdfe aus M\xfcnchen\xa0!\r\n"),
    _eight_bit("eight-bit-windows-1251", "windows-1251", _encoded("Добрый день!\n", "cp1251")),
    _eight_bit("eight-bit-koi8-r", "koi8-r", _encoded("Добрый день!\n", "koi8-r")),
    # Octets of the second place are ASCII: a backslash, a tilde, a vertical bar.
    _eight_bit("eight-bit-shift-jis", "shift_jis", _encoded(JAPANESE + "表示\n", "shift_jis")),
    _eight_bit("eight-bit-big5", "big5", _encoded("許功蓋\n", "big5")),
    # Four-octet forms with ASCII digits within.
    _eight_bit("eight-bit-gb18030", "gb18030", _encoded("汉字 𠀀 €\n", "gb18030")),
    _eight_bit("eight-bit-euc-kr", "euc-kr", _encoded("안녕하세요\n", "euc-kr")),
    _eight_bit("eight-bit-every-octet", "windows-1252", bytes(range(0x80, 0x100)) + b"\r\n"),
    # White space to some languages' \s: NBSP 0xA0, NEL 0x85, U+2028; to RFC 6376 §2.8 none is.
    _eight_bit("no-break-spaces", "utf-8", lines_of("x \u00a0\n\u00a0\n\u0085\n\u2028 \n")),
    _eight_bit("byte-order-mark", "utf-8", lines_of("\ufefftext\n")),
    with_mime(
        "iso-2022-jp", b"text/plain; charset=iso-2022-jp", _encoded(JAPANESE, "iso2022_jp"), b"7bit"
    ),
    with_mime("utf-7", b"text/plain; charset=utf-7", _encoded("Grüße, €\n", "utf-7"), b"7bit"),
    with_mime(
        "quoted-printable",
        b"text/plain; charset=utf-8",
        b"Gr=C3=BC=C3=9Fe =E2=82=AC=20\r\na soft line =\r\nbreak\r\n=2E\r\n",
        b"quoted-printable",
    ),
    with_mime("base64-text", b"text/plain; charset=utf-8", b"R3LDvMOfZQo=\r\n", b"base64"),
    # Says 7bit and is not; common. The smarthost carries it where it has 8BITMIME.
    with_mime(
        "eight-bit-declared-as-7bit",
        b"text/plain; charset=utf-8",
        UTF8_TEXT,
        b"7bit",
        at_bare_hop=Relayed.REENCODED,
    ),
    with_mime(
        "eight-bit-without-an-encoding",
        b"text/plain; charset=utf-8",
        UTF8_TEXT,
        at_bare_hop=Relayed.REENCODED,
    ),
    with_mime(
        "binary-encoding-of-text-lines",
        b"application/octet-stream",
        b"\x80\x81 \xff\r\n",
        b"binary",
        at_bare_hop=Relayed.REENCODED,
    ),
    # Nobody knows what these octets mean, so nobody may re-encode them.
    Case(
        name="eight-bit-without-mime",
        build=partial(compose, b"Gr\xfc\xdfe\r\n"),
        at_bare_hop=NOT_CONVERTIBLE,
    ),
    Case(
        name="body-8bitmime-declared",
        build=partial(compose, UTF8_TEXT, extra=mime(b"text/plain; charset=utf-8", b"8bit")),
        mail_options=("BODY=8BITMIME",),
        at_bare_hop=Relayed.REENCODED,
    ),
)

# Thirty encoded words, folded: over 2,000 octets of subject.
LONG_SUBJECT = b"\r\n ".join([b"=?UTF-8?B?w5ZzdGVycmVpY2hpc2NoZSBHcsO8w59lIHVuZCBadcO8?="] * 30)

HEADERS: tuple[Case, ...] = (
    with_values(
        "subject-of-encoded-words", Subject=b"=?utf-8?b?R3LDvMOfZQ==?=\r\n =?utf-8?q?_M=C3=BC?="
    ),
    with_values("subject-of-thirty-encoded-words", Subject=LONG_SUBJECT),
    with_values("subject-of-a-broken-encoded-word", Subject=b"=?utf-8?q?Gr=C3=?= =?x?= =?"),
    _raw("raw-utf-8-subject", Subject="Grüße aus München".encode()),
    _raw("raw-latin-1-subject", Subject=b"Gr\xfc\xdfe aus M\xfcnchen"),
    # What mailauth takes for blanks; see tests.fakes.mailauth.
    _raw("raw-utf-8-subject-with-the-octet-a0", Subject="à la carte, Šibenik".encode()),
    _raw("raw-utf-8-subject-with-the-octet-85", Subject="Åland … and more …".encode()),
    # Old Japanese mailers leave out the encoded word.
    with_values("raw-iso-2022-jp-subject", Subject="日本語の件名".encode("iso2022_jp")),
    _raw("raw-gb18030-subject", Subject="汉字主题".encode("gb18030")),
    _raw("raw-utf-8-display-name", From="Jörg <jane@example.com>".encode()),
    _raw("raw-utf-8-to", To="Ännchen <ann@sink.test>".encode()),
    with_values(
        "subject-of-control-characters", Subject=b"\x01\x02 a\x08\x0e\x1b[1m\x1c\x1d\x1e\x1f \x7f"
    ),
    _smtputf8("smtputf8-header", Subject="Grüße aus München", To="Ännchen <ann@sink.test>"),
    _smtputf8("smtputf8-local-part", From="Jörg <jörg@example.com>"),
    _smtputf8("smtputf8-from-u-label-domain", IDN_DOMAIN, From="Jörg <jörg@münchen.example>"),
    _smtputf8("smtputf8-message-id", Message_ID="<grüße.1@example.com>"),
)

CHARSETS: tuple[Case, ...] = (*BODIES, *HEADERS)
