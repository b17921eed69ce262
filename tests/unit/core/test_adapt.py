"""relay.core.adapt: what this hop cannot carry is settled before signing, or refused with a reason.

DESIGN, "Making a message fit". Which parts are re-encoded, and how, is test_reencode's.
"""

from __future__ import annotations

import pytest

from relay.core.adapt import adapt
from relay.core.capabilities import Capabilities, parse_capabilities
from relay.core.dkim.canonical import relaxed_field
from relay.core.errors import Reason, Rejection
from relay.core.message import MAX_LINE_OCTETS, Message
from relay.core.profile import GENERIC, Profile, UpstreamLimits
from relay.core.reader import read_message

SEVEN_BIT = Capabilities()
EIGHT_BIT = parse_capabilities([b"8BITMIME"])
FULL = parse_capabilities([b"8BITMIME", b"SMTPUTF8", b"PIPELINING", b"SIZE 0"])
TEXT = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"


def message(body: bytes = b"body\r\n", extra: bytes = b"") -> Message:
    """A message with these further header lines."""
    return read_message(b"From: a@example.com\r\n" + extra + b"\r\n" + body)


def rejection(
    sent: Message, hop: Capabilities = EIGHT_BIT, profile: Profile = GENERIC, **options: bool
) -> tuple[str, Reason]:
    """How a message is refused: the reply as the client sees it, and the label."""
    with pytest.raises(Rejection) as caught:
        adapt(sent, hop, profile, **options)
    assert len(caught.value.reply.wire()) <= 512  # RFC 5321 §4.5.3.1.5
    return caught.value.reply.wire().decode("ascii").removesuffix("\r\n"), caught.value.reason


@pytest.mark.parametrize("hop", [SEVEN_BIT, EIGHT_BIT, FULL], ids=["7-bit", "8-bit", "full"])
@pytest.mark.parametrize("options", [{}, {"strip_signatures": True}, {"may_reencode": False}])
def test_message_that_fits_stays_what_it_is(hop: Capabilities, options: dict[str, bool]) -> None:
    """The very same object: the hash that was fed while it arrived holds."""
    sent = message(b"x" * MAX_LINE_OCTETS + b"\r\n", b"Subject: " + b"y" * 989 + b"\r\n")
    assert adapt(sent, hop, GENERIC, **options) is sent


@pytest.mark.parametrize("hop", [EIGHT_BIT, FULL], ids=["8-bit", "full"])
def test_eight_bit_body_goes_as_it_is_where_it_can(hop: Capabilities) -> None:
    """8BITMIME is what decides."""
    sent = message("grüße\r\n".encode(), TEXT)
    assert adapt(sent, hop, GENERIC) is sent


def test_eight_bit_body_is_encoded_where_it_cannot() -> None:
    """Before it is signed: body, encoding and traits are those of what will be sent."""
    sent = message("grüße\r\n".encode(), TEXT)
    fit = adapt(sent, SEVEN_BIT, GENERIC)
    assert b"".join(fit.body) == b"gr=C3=BC=C3=9Fe\r\n"
    assert fit.octets().isascii()
    assert not fit.traits.eight_bit_body
    assert fit.body is not sent.body
    assert fit.fields[: len(sent.fields)] == sent.fields


@pytest.mark.parametrize(
    ("sent", "hop", "text"),
    [
        (
            message("grüße\r\n".encode(), TEXT),
            SEVEN_BIT,
            "554 5.6.3 The next hop takes no 8-bit body",
        ),
        (message(b"x" * 999 + b"\r\n"), EIGHT_BIT, "554 5.6.0 A line is longer than 998 octets"),
        (
            message(b"a\x0cb\r\n"),
            EIGHT_BIT,
            "554 5.6.0 VT, FF or only white space in the body: verifiers disagree on it",
        ),
        (
            message(b" \r\n"),
            EIGHT_BIT,
            "554 5.6.0 VT, FF or only white space in the body: verifiers disagree on it",
        ),
    ],
)
def test_body_that_may_not_be_encoded(sent: Message, hop: Capabilities, text: str) -> None:
    """Where re-encoding is not wanted, the same messages are refused, each with its reason."""
    assert rejection(sent, hop, may_reencode=False) == (text, Reason.NOT_CARRIABLE)
    fit = adapt(sent, hop, GENERIC)  # and with leave to encode, they fit
    assert not fit.traits.long_body_line
    assert not fit.traits.is_ambiguous


@pytest.mark.parametrize(
    "encoding", ["ü", "x-ü", "\\", "x" * 500, "8bit; x", "\x01", "8bit\u2028", "base64"]
)
def test_encoding_that_cannot_be_read(encoding: str) -> None:
    """554 5.6.3 whatever stands there: a permanent answer, not an exception and a 451."""
    field = b"Content-Transfer-Encoding: " + encoding.encode() + b"\r\n"
    text, reason = rejection(message("grüße\r\n".encode(), TEXT + field), SEVEN_BIT)
    assert text.startswith("554 5.6.3 The body cannot be re-encoded: ")
    assert reason is Reason.NOT_CARRIABLE


@pytest.mark.parametrize(
    "content_type",
    [
        "ü/ü",
        "text",
        "",
        "multipart/mixed",
        'multipart/mixed; boundary="ü"',
        "multipart/signed; boundary=b",
        "multipart/" + "x" * 500,
        "application/pkcs7-mime; name=ü",
        "message/" + "y" * 500,
        "message/partial",
    ],
)
def test_content_type_that_cannot_be_changed(content_type: str) -> None:
    """554 5.6.3 in one line of ASCII that fits into a reply, whatever the client wrote."""
    field = b"MIME-Version: 1.0\r\nContent-Type: " + content_type.encode() + b"\r\n"
    text, _ = rejection(message("grüße\r\n".encode(), field), SEVEN_BIT)
    assert text.startswith("554 5.6.3 The body cannot be re-encoded: ")


# Header lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(b"To: " + b", ".join([b"person@example.net"] * 200), id="recipients"),
        pytest.param(b"References: " + b"\t".join([b"<1@example.net>"] * 200), id="tabs"),
        pytest.param(b"Subject: " + b"x" * 990, id="blank after the colon"),
        pytest.param(b"Subject: " + b"x" * 900 + b"  \t  " + b"y" * 900, id="a run"),
        pytest.param(b"X:" + b"x" * 990 + b" " + b"y" * 990, id="blank near the limit"),
        pytest.param(b"X:" + b"x" * 995 + b" " + b"y" * 990, id="blank one before the limit"),
        pytest.param(b"X:" + b"x" * 996 + b" " + b"y" * 990, id="blank at the limit"),
        pytest.param(b"X: " + b"x" * 997 + b" y", id="blank at the limit of the second line"),
        pytest.param(b"X: a\r\n " + b"b " * 700 + b"\r\n\tc", id="long continuation"),
        pytest.param(b"Subject: " + "grüße aus ".encode() * 200, id="eight bits"),
    ],
)
def test_long_header_line_is_folded(field: bytes) -> None:
    """Where there is white space: the same field unfolded, so no signature of another breaks."""
    sent = message(extra=field + b"\r\n")
    fit = adapt(sent, FULL, GENERIC)
    (before, after) = (m.fields[1] for m in (sent, fit))
    lines = after.octets[:-2].split(b"\r\n")
    assert len(lines) > 1
    assert all(0 < len(line) <= MAX_LINE_OCTETS for line in lines)
    assert all(line.strip(b" \t") for line in lines)
    assert after.octets.replace(b"\r\n", b"") == before.octets.replace(b"\r\n", b"")
    assert relaxed_field(after) == relaxed_field(before)
    assert fit.fields[0] is sent.fields[0]
    assert fit.body is sent.body


@pytest.mark.parametrize(
    "field",
    [
        b"X:" + b"x" * 997,
        b"X: " + b"x" * 999,
        b"X: a " + b"x" * 998,
        b"X: " + b"x" * 999 + b" y",
        b"X: a\r\n " + b"b" * 998,
        b"X:" + b" " * 2000 + b"x",
        b"X: x" + b" " * 2000,
        b"X" * 999 + b": x",
    ],
)
def test_long_header_line_that_cannot_be_folded(field: bytes) -> None:
    """Nothing to fold at, or only into lines of blanks: refused, never cut."""
    text = "554 5.6.0 A line is longer than 998 octets"
    assert rejection(message(extra=field + b"\r\n"), FULL) == (text, Reason.NOT_CARRIABLE)


def test_header_line_of_998_is_not_touched() -> None:
    """However many there are in a field."""
    field = b"X: " + b"x" * 995 + b"\r\n" + (b" " + b"y" * 997 + b"\r\n") * 5
    sent = message(extra=field)
    assert adapt(sent, FULL, GENERIC).fields[1].octets == field


def test_eight_bit_header_needs_a_hop_that_takes_it() -> None:
    """SMTPUTF8 is needed, and a hop of seven bits does not offer it: 550 5.6.7."""
    sent = message(extra="Subject: grüße\r\n".encode())
    text, reason = rejection(sent, SEVEN_BIT)
    assert text.startswith("550 5.6.7 ")
    assert reason is Reason.NOT_CARRIABLE


# Size -------------------------------------------------------------------------------------------


def test_size_limit_of_the_hop() -> None:
    """Exactly so many octets pass, blank line counted; one more is 552 5.3.4."""
    sent = message()
    size = len(sent.octets())
    assert adapt(sent, parse_capabilities([b"SIZE %d" % size]), GENERIC) is sent
    text, reason = rejection(sent, parse_capabilities([b"SIZE %d" % (size - 1)]))
    assert text == "552 5.3.4 Message is over the size limit of the next hop"
    assert reason is Reason.MESSAGE_SIZE


@pytest.mark.parametrize(
    ("offer", "published", "passes"),
    [
        (b"", 0, True),
        (b"SIZE", 0, True),
        (b"SIZE 0", 10, False),
        (b"", 10, False),
        (b"SIZE 1000", 10, True),  # what the hop says itself wins
        (b"SIZE 10", 1000, False),
    ],
)
def test_size_limit_of_the_profile(offer: bytes, published: int, passes: bool) -> None:
    """A published number stands in where the hop says none."""
    profile = Profile(limits=UpstreamLimits(max_message_bytes=published))
    hop = parse_capabilities([offer])
    if passes:
        assert adapt(message(), hop, profile)
    else:
        assert rejection(message(), hop, profile)[1] is Reason.MESSAGE_SIZE


def test_size_is_that_of_what_will_be_sent() -> None:
    """Base64 is longer than what it encodes: the encoded message is measured."""
    sent = message(b"\xff" * 600 + b"\r\n", b"MIME-Version: 1.0\r\nContent-Type: image/png\r\n")
    hop = parse_capabilities([b"SIZE %d" % (sent.size_octets + 50)])
    assert rejection(sent, hop)[1] is Reason.MESSAGE_SIZE
    assert adapt(sent, parse_capabilities([*b"8BITMIME".split(), b"SIZE 9999"]), GENERIC) is sent


# Signatures of others ---------------------------------------------------------------------------

FOREIGN = b"DKIM-Signature: v=1; d=lists.example.net\r\ndkim-signature: v=1;\r\n\td=a\r\n"


@pytest.mark.parametrize("strip", [False, True])
def test_signatures_of_others(strip: bool) -> None:
    """Left alone unless they are to go; see test_flow for when that is."""
    sent, stays = message(extra=FOREIGN), not strip
    fit = adapt(sent, FULL, Profile(), strip_signatures=strip)
    assert (fit is sent) is stays
    assert fit.has(b"dkim-signature") is stays
    assert fit.octets() == (sent.octets() if stays else message().octets())


def test_signature_that_goes_is_no_reason_to_refuse() -> None:
    """A line too long, and octets too many, in a field that is left out anyway."""
    sent = message(extra=b"DKIM-Signature: v=1; b=" + b"A" * 2000 + b"\r\n")
    hop = parse_capabilities([b"SIZE 1000"])
    assert adapt(sent, hop, GENERIC, strip_signatures=True).octets() == message().octets()
