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
    command_line,
    dot_stuffed,
    mail_line,
    message_parts,
    rcpt_line,
    runs,
)
from tests.fakes.pools import mail_from, rcpt_to

EVERYTHING = parse_capabilities([b"SIZE 1000", b"8BITMIME", b"SMTPUTF8"])
NOTHING = Capabilities()
OCTETS = st.binary(max_size=12) | st.text("\r\n.a", max_size=12).map(str.encode)


@pytest.mark.parametrize(
    ("mail", "capabilities", "line"),
    [
        (mail_from(), NOTHING, b"MAIL FROM:<app@example.com>\r\n"),
        (MailCommand(NULL_PATH), NOTHING, b"MAIL FROM:<>\r\n"),
        (mail_from(size=17), NOTHING, b"MAIL FROM:<app@example.com>\r\n"),
        (
            mail_from(size=17),
            EVERYTHING,
            b"MAIL FROM:<app@example.com> SIZE=17 BODY=8BITMIME\r\n",
        ),
        (
            mail_from(size=0),
            parse_capabilities([b"SIZE"]),
            b"MAIL FROM:<app@example.com> SIZE=0\r\n",
        ),
        (mail_from(body="7BIT"), EVERYTHING, b"MAIL FROM:<app@example.com> BODY=8BITMIME\r\n"),
        (mail_from(body="8BITMIME"), NOTHING, b"MAIL FROM:<app@example.com>\r\n"),
        (
            mail_from("ä@example.com".encode(), smtputf8=True),
            EVERYTHING,
            "MAIL FROM:<ä@example.com> BODY=8BITMIME SMTPUTF8\r\n".encode(),
        ),
    ],
)
def test_mail_says_what_the_hop_understands(
    mail: MailCommand, capabilities: Capabilities, line: bytes
) -> None:
    """SIZE as declared, BODY=8BITMIME whenever offered, SMTPUTF8 when asked for."""
    assert mail_line(mail, capabilities) == line


def test_smtputf8_that_is_not_offered_is_refused() -> None:
    """RFC 6531 §3.5: 550 5.6.7, and the log says what the hop offers."""
    with pytest.raises(Rejection) as caught:
        mail_line(mail_from(smtputf8=True), parse_capabilities([b"SIZE", b"DSN"]))
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (550, "5.6.7")
    assert caught.value.reason is Reason.NOT_CARRIABLE
    assert "SIZE, DSN" in caught.value.detail


def test_paths_go_out_as_they_came_in() -> None:
    """Quoted local parts, literals and case are not touched."""
    assert rcpt_line(rcpt_to(b'"a b\\"c"@[192.0.2.1]')) == b'RCPT TO:<"a b\\"c"@[192.0.2.1]>\r\n'


@pytest.mark.parametrize("octet", [*range(32), 127])
def test_a_control_character_never_leaves_in_a_command(octet: int) -> None:
    """Even a path that did not come from our grammar cannot inject a command."""
    evil = Path(b"a@b.c>%cRCPT TO:<v@x.y" % octet, "b.c")
    with pytest.raises(ValueError, match="control character"):
        mail_line(MailCommand(evil), NOTHING)
    with pytest.raises(ValueError, match="control character"):
        rcpt_line(RcptCommand(evil))
    with pytest.raises(ValueError, match="control character"):
        command_line(b"NOOP" + bytes([octet]))


@given(st.lists(OCTETS))
def test_dot_stuffing_does_not_depend_on_where_the_parts_are_split(parts: list[bytes]) -> None:
    """RFC 5321 §4.5.2: a dot that begins a line is doubled; nothing else changes."""
    whole = b"\r\n" + b"".join(parts)
    assert b"\r\n" + b"".join(dot_stuffed(parts)) == whole.replace(b"\r\n.", b"\r\n..")


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
