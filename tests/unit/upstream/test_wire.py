"""The octets of commands and data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.address import NULL_PATH, Path
from relay.core.capabilities import Capabilities, parse_capabilities
from relay.core.envelope import MailCommand, RcptCommand
from relay.core.errors import Reason, Rejection
from relay.upstream.wire import (
    WRITE_OCTETS,
    bdat_runs,
    command_line,
    data_runs,
    dot_stuffed,
    mail_line,
    message_parts,
    rcpt_line,
    runs,
)
from tests.fakes.pools import mail_from, rcpt_to

EVERYTHING = parse_capabilities(
    [b"SIZE 100000", b"8BITMIME", b"SMTPUTF8", b"DSN", b"AUTH PLAIN", b"REQUIRETLS"]
)
NOTHING = Capabilities()
DSN = parse_capabilities([b"DSN"])
ENVID = b"QQ314159+2Babc+3D"
NOTIFY = b"Success,FAILURE"
ORCPT = b"rfc822;Bob+2Bx@Example.COM"
OCTETS = st.binary(max_size=12) | st.text("\r\n.a", max_size=12).map(str.encode)


@pytest.mark.parametrize(
    ("mail", "capabilities", "line"),
    [
        (mail_from(), NOTHING, b"MAIL FROM:<app@example.com>\r\n"),
        (MailCommand(NULL_PATH), NOTHING, b"MAIL FROM:<>\r\n"),
        (mail_from(), EVERYTHING, b"MAIL FROM:<app@example.com> BODY=8BITMIME\r\n"),
        (mail_from(body="7BIT"), EVERYTHING, b"MAIL FROM:<app@example.com> BODY=8BITMIME\r\n"),
        (mail_from(body="8BITMIME"), NOTHING, b"MAIL FROM:<app@example.com>\r\n"),
        (
            mail_from("ä@example.com".encode(), smtputf8=True),
            EVERYTHING,
            "MAIL FROM:<ä@example.com> BODY=8BITMIME SMTPUTF8\r\n".encode(),
        ),
        (mail_from(ret="FULL"), DSN, b"MAIL FROM:<app@example.com> RET=FULL\r\n"),
        (
            mail_from(envelope_id=ENVID),
            DSN,
            b"MAIL FROM:<app@example.com> ENVID=QQ314159+2Babc+3D\r\n",
        ),
        (
            MailCommand(NULL_PATH, size=1000, ret="HDRS", envelope_id=ENVID, smtputf8=True),
            EVERYTHING,
            b"MAIL FROM:<> SIZE=3048 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ314159+2Babc+3D\r\n",
        ),
        (
            mail_from(ret="HDRS", envelope_id=ENVID),
            parse_capabilities([b"8BITMIME"]),
            b"MAIL FROM:<app@example.com> BODY=8BITMIME\r\n",
        ),
    ],
)
def test_mail_says_what_the_hop_understands(
    mail: MailCommand, capabilities: Capabilities, line: bytes
) -> None:
    """BODY=8BITMIME whenever offered, SMTPUTF8 when asked for, RET and ENVID with DSN only."""
    assert mail_line(mail, capabilities) == line


@pytest.mark.parametrize(
    ("offered", "size", "said"),
    [
        ([b"SIZE 100000", b"8BITMIME"], 50_000, b" SIZE=52048"),
        ([b"SIZE 100000", b"8BITMIME"], 97_952, b" SIZE=100000"),
        ([b"SIZE 100000", b"8BITMIME"], 97_953, b" SIZE=100000"),
        ([b"SIZE 100000", b"8BITMIME"], 100_000, b" SIZE=100000"),
        ([b"SIZE 100000", b"8BITMIME"], 100_001, b" SIZE=100001"),
        ([b"SIZE 0", b"8BITMIME"], 50_000, b" SIZE=52048"),
        ([b"SIZE", b"8BITMIME"], 10**20 - 1, b" SIZE=99999999999999999999"),
        ([b"SIZE", b"8BITMIME"], 0, b""),
        ([b"SIZE", b"8BITMIME"], None, b""),
        ([b"SIZE"], 50_000, b""),
        ([b"8BITMIME"], 50_000, b""),
    ],
)
def test_the_declared_size_refuses_nothing_needlessly(
    offered: list[bytes], size: int | None, said: bytes
) -> None:
    """With what we add, but for that never over the hop's limit; not where bodies may grow."""
    body = b" BODY=8BITMIME" if b"8BITMIME" in offered else b""
    line = mail_line(mail_from(size=size), parse_capabilities(offered))
    assert line == b"MAIL FROM:<app@example.com>" + said + body + b"\r\n"


@pytest.mark.parametrize(
    ("offered", "is_authenticated", "said"),
    [
        ([b"AUTH PLAIN"], True, b" AUTH=<>"),
        ([b"AUTH=LOGIN"], True, b" AUTH=<>"),
        ([b"AUTH PLAIN"], False, b""),
        ([b"SIZE"], True, b""),
    ],
)
def test_a_hop_that_we_logged_in_to_is_told_that_we_vouch_for_nobody(
    offered: list[bytes], is_authenticated: bool, said: bytes
) -> None:
    """RFC 4954 §5: AUTH=<> to a hop that offers AUTH and knows us by it, and only there."""
    line = mail_line(mail_from(), parse_capabilities(offered), is_authenticated=is_authenticated)
    assert line == b"MAIL FROM:<app@example.com>" + said + b"\r\n"


def test_requiretls_is_passed_on_where_it_is_kept() -> None:
    """RFC 8689 §4.2.1: over verified TLS, to a hop that offers it; nobody else asks for it."""
    line = mail_line(mail_from(requiretls=True), EVERYTHING, is_secured=True)
    assert line == b"MAIL FROM:<app@example.com> BODY=8BITMIME REQUIRETLS\r\n"
    assert b"REQUIRETLS" not in mail_line(mail_from(), EVERYTHING, is_secured=True)


@pytest.mark.parametrize(
    ("capabilities", "is_secured", "detail"),
    [
        (EVERYTHING, False, "not verified TLS"),
        (parse_capabilities([b"SIZE", b"DSN"]), True, "offered: SIZE, DSN"),
        (NOTHING, False, "not verified TLS"),
    ],
)
def test_requiretls_that_cannot_be_kept_is_refused(
    capabilities: Capabilities, is_secured: bool, detail: str
) -> None:
    """550 5.7.30 for good, and the log says which half is missing."""
    with pytest.raises(Rejection) as caught:
        mail_line(mail_from(requiretls=True), capabilities, is_secured=is_secured)
    assert caught.value.reply.wire() == b"550 5.7.30 REQUIRETLS support required\r\n"
    assert caught.value.reason is Reason.NOT_CARRIABLE
    assert detail in caught.value.detail


@pytest.mark.parametrize(
    ("rcpt", "capabilities", "line"),
    [
        (rcpt_to(), DSN, b"RCPT TO:<ann@sink.test>\r\n"),
        (
            rcpt_to(notify=NOTIFY),
            DSN,
            b"RCPT TO:<ann@sink.test> NOTIFY=Success,FAILURE\r\n",
        ),
        (
            rcpt_to(original_recipient=ORCPT),
            DSN,
            b"RCPT TO:<ann@sink.test> ORCPT=rfc822;Bob+2Bx@Example.COM\r\n",
        ),
        (
            rcpt_to(notify=NOTIFY, original_recipient=ORCPT),
            EVERYTHING,
            b"RCPT TO:<ann@sink.test> NOTIFY=Success,FAILURE ORCPT=rfc822;Bob+2Bx@Example.COM\r\n",
        ),
        (
            rcpt_to(notify=NOTIFY, original_recipient=ORCPT),
            parse_capabilities([b"SIZE", b"8BITMIME"]),
            b"RCPT TO:<ann@sink.test>\r\n",
        ),
        (
            rcpt_to(notify=b"NEVER", original_recipient="utf-8;ä@example.com".encode()),
            EVERYTHING,
            "RCPT TO:<ann@sink.test> NOTIFY=NEVER ORCPT=utf-8;ä@example.com\r\n".encode(),
        ),
        (
            rcpt_to(notify=b"NEVER", original_recipient="utf-8;ä@example.com".encode()),
            DSN,
            b"RCPT TO:<ann@sink.test> NOTIFY=NEVER\r\n",
        ),
    ],
)
def test_rcpt_says_what_the_hop_understands(
    rcpt: RcptCommand, capabilities: Capabilities, line: bytes
) -> None:
    """NOTIFY and ORCPT exactly as written, with DSN only; eight bits with SMTPUTF8 only."""
    assert rcpt_line(rcpt, capabilities) == line


def test_smtputf8_that_is_not_offered_is_refused() -> None:
    """RFC 6531 §3.5: 550 5.6.7, and the log says what the hop offers."""
    with pytest.raises(Rejection) as caught:
        mail_line(mail_from(smtputf8=True), parse_capabilities([b"SIZE", b"DSN"]))
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (550, "5.6.7")
    assert caught.value.reason is Reason.NOT_CARRIABLE
    assert "SIZE, DSN" in caught.value.detail


def test_paths_go_out_as_they_came_in() -> None:
    """Quoted local parts, literals and case are not touched."""
    line = rcpt_line(rcpt_to(b'"a b\\"c"@[192.0.2.1]'), EVERYTHING)
    assert line == b'RCPT TO:<"a b\\"c"@[192.0.2.1]>\r\n'


@pytest.mark.parametrize("octet", [*range(32), 127])
def test_a_control_character_never_leaves_in_a_command(octet: int) -> None:
    """Even a path that did not come from our grammar cannot inject a command."""
    evil = Path(b"a@b.c>%cRCPT TO:<v@x.y" % octet, "b.c")
    with pytest.raises(ValueError, match="control character"):
        mail_line(MailCommand(evil), NOTHING)
    with pytest.raises(ValueError, match="control character"):
        rcpt_line(RcptCommand(evil), NOTHING)
    with pytest.raises(ValueError, match="control character"):
        command_line(b"NOOP" + bytes([octet]))


@pytest.mark.parametrize("octet", [*range(32), 127])
def test_a_control_character_never_leaves_in_a_parameter(octet: int) -> None:
    """Nor does a parameter that did not come from our grammar."""
    evil = b"x%cRCPT TO:<v@x.y>" % octet
    for mail in (mail_from(ret=evil.decode("ascii")), mail_from(envelope_id=evil)):
        with pytest.raises(ValueError, match="control character"):
            mail_line(mail, EVERYTHING)
    for rcpt in (rcpt_to(notify=evil), rcpt_to(original_recipient=evil)):
        with pytest.raises(ValueError, match="control character"):
            rcpt_line(rcpt, EVERYTHING)


@given(st.lists(OCTETS))
def test_dot_stuffing_does_not_depend_on_where_the_parts_are_split(parts: list[bytes]) -> None:
    """RFC 5321 §4.5.2: a dot that begins a line is doubled; nothing else changes."""
    whole = b"\r\n" + b"".join(parts)
    assert b"\r\n" + b"".join(dot_stuffed(parts)) == whole.replace(b"\r\n.", b"\r\n..")


@given(st.lists(OCTETS))
def test_small_and_large_messages_are_the_same_octets(parts: list[bytes]) -> None:
    """Whole or in parts: with BDAT its length and the octets, with DATA stuffed and ended."""
    whole = b"".join(parts) + b"\r\n"
    stuffed = (b"\r\n" + whole).replace(b"\r\n.", b"\r\n..")[2:]
    for given_as in ([whole], [*parts, b"\r\n"]):
        assert b"".join(data_runs(given_as)) == stuffed + b".\r\n"
        assert b"".join(bdat_runs(given_as)) == b"BDAT %d LAST\r\n" % len(whole) + whole


def test_clean_blocks_are_not_copied_for_stuffing() -> None:
    """A block without a dot at a line's beginning is handed on as the same object."""
    block = b"no dots." * 10
    assert next(dot_stuffed([block])) is block


@given(st.lists(st.integers(0, 3 * WRITE_OCTETS), max_size=6))
def test_runs_are_the_same_octets_in_bounded_pieces(sizes: list[int]) -> None:
    """Nothing is lost, and no run is larger than twice `WRITE_OCTETS`."""
    parts = [bytes([i % 251]) * size for i, size in enumerate(sizes)]
    pieces = [bytes(run) for run in runs(parts)]
    assert b"".join(pieces) == b"".join(parts)
    assert all(len(piece) <= 2 * WRITE_OCTETS for piece in pieces)


def test_small_parts_are_one_run() -> None:
    """Command, header section and body of a small message are one segment."""
    assert [bytes(run) for run in runs([b"a", b"", b"b" * 100, b"c"])] == [b"a" + b"b" * 100 + b"c"]


@pytest.mark.parametrize(
    ("header", "body"),
    [(b"A: b", [b"x\r\n"]), (b"A: b\r\n", [b"x"]), (b"A: b\r\n", [b"x\r"]), (b"", [b"\n"])],
)
def test_a_message_that_does_not_end_in_crlf_is_the_callers_fault(
    header: bytes, body: list[bytes]
) -> None:
    """Adding the missing CRLF would change what was signed."""
    with pytest.raises(ValueError, match="does not end in CRLF"):
        message_parts(header, body)


@given(st.binary(max_size=8), st.lists(st.binary(max_size=4), max_size=4))
def test_the_message_is_header_blank_line_and_body(header: bytes, body: list[bytes]) -> None:
    """However the body is split, also between CR and LF of its end."""
    header, body = header + b"\r\n", [*body, b"\r", b"", b"\n"]
    assert b"".join(message_parts(header, body)) == header + b"\r\n" + b"".join(body)


def test_empty_header_and_body_are_a_message() -> None:
    """The blank line alone."""
    assert b"".join(message_parts(b"", [])) == b"\r\n"


def test_large_blocks_are_not_copied() -> None:
    """A block of the body goes to the transport as the same octets in memory."""
    block = bytes(WRITE_OCTETS - 2) + b"\r\n"
    assert message_parts(b"A: b\r\n", [block])[2] is block
