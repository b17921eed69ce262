"""relay.core.complete: what is added before signing, and what must not leave (RFC 6409 §8)."""

from __future__ import annotations

import re

import pytest

from relay.core.complete import Trace, complete, format_date, received_field
from relay.core.message import Message
from relay.core.reader import read_message

NOW = 1_795_168_800.9  # Fri, 20 Nov 2026 10:00:00 UTC, and a bit
DATE = "Fri, 20 Nov 2026 10:00:00 +0000"
TRACE = Trace(b"app.example.com", "192.0.2.7", "relay.example.com", "ESMTP", "Q1")
RECEIVED = (
    b"Received: from app.example.com ([192.0.2.7])\r\n"
    b"\tby relay.example.com with ESMTP id Q1;\r\n"
    b"\tFri, 20 Nov 2026 10:00:00 +0000\r\n"
)


def completed(message: Message, trace: Trace | None = None) -> Message:
    """A message, complete."""
    return complete(
        message,
        author_domain="example.com",
        signing_domain="example.com",
        now=NOW,
        unique="U1",
        trace=trace,
    )


FULL = b"From: a@example.com\r\nDate: x\r\nMessage-ID: <y>\r\n\r\nbody\r\n"


def test_complete_message_stays_what_it_is() -> None:
    """Nothing missing, nothing to remove: the same message, not even a copy."""
    message = read_message(FULL)
    assert completed(message) is message


@pytest.mark.parametrize(
    ("header", "added"),
    [
        (
            b"From: a@example.com\r\n",
            b"Message-ID: <U1@example.com>\r\nDate: " + DATE.encode() + b"\r\n",
        ),
        (b"From: a@example.com\r\nDate: x\r\n", b"Message-ID: <U1@example.com>\r\n"),
        (b"From: a@example.com\r\nmessage-id: <y>\r\n", b"Date: " + DATE.encode() + b"\r\n"),
        (b"DATE: x\r\nMESSAGE-ID: <y>\r\n", b""),
        (b"Date:\r\nMessage-ID:\r\n", b""),  # present, if empty: nothing of the client's is changed
        (
            b"Resent-Date: x\r\nResent-Message-ID: y\r\nDate: x\r\n",
            b"Message-ID: <U1@example.com>\r\n",
        ),
    ],
)
def test_missing_fields_are_added_in_front(header: bytes, added: bytes) -> None:
    """In RFC form, with the signing domain on the right of a Message-ID."""
    octets = header + b"\r\nbody\r\n"
    assert completed(read_message(octets)).octets() == added + octets


@pytest.mark.parametrize("name", ["Bcc", "BCC", "Resent-Bcc", "Return-Path", "return-PATH"])
def test_fields_that_must_not_leave(name: str) -> None:
    """All of them go, folded ones with every line, and nothing else."""
    field = f"{name}: hidden@example.net,\r\n also@example.net\r\n".encode()
    octets = field + FULL.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n") + field
    assert completed(read_message(octets)).octets() == FULL + field  # in the body it is text


@pytest.mark.parametrize("name", ["X-Bcc", "Bcc-Note", "Return-Path-Note", "Cc", "Delivered-To"])
def test_other_fields_stay(name: str) -> None:
    """Names that look alike are other names."""
    octets = f"{name}: x@y.test\r\n".encode() + FULL
    assert completed(read_message(octets)).octets() == octets


def test_received_stands_on_top() -> None:
    """In front of everything that is added, then of everything that was there."""
    message = read_message(b"Received: before\r\nBcc: x\r\nFrom: a@example.com\r\n\r\nbody\r\n")
    assert completed(message, TRACE).octets() == (
        RECEIVED + b"Message-ID: <U1@example.com>\r\nDate: " + DATE.encode() + b"\r\n"
        b"Received: before\r\nFrom: a@example.com\r\n\r\nbody\r\n"
    )


def test_body_is_the_same_memory() -> None:
    """The hash that was fed while the body arrived still holds."""
    message = read_message(b"From: a@example.com\r\nBcc: x\r\n\r\nbody\r\n")
    assert completed(message, TRACE).body is message.body


@pytest.mark.parametrize(
    ("helo", "address", "client"),
    [
        (b"app.example.com", "192.0.2.7", "from app.example.com ([192.0.2.7])"),
        (b"app", "192.0.2.7", "from app ([192.0.2.7])"),
        (b"my_host", "::1", "from my_host ([IPv6:::1])"),
        (b"[192.0.2.7]", "192.0.2.7", "from [192.0.2.7] ([192.0.2.7])"),
        (b"", "192.0.2.7", "from [192.0.2.7] ([192.0.2.7])"),
        (b"", "2001:DB8::1", "from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])"),
        # what a client can say in EHLO must not become header lines, comments or encoded text
        (b"a b", "192.0.2.7", "from [192.0.2.7] ([192.0.2.7])"),
        (b"a (by evil.example)", "192.0.2.7", "from [192.0.2.7] ([192.0.2.7])"),
        (b"a\r\nBcc: x", "192.0.2.7", "from [192.0.2.7] ([192.0.2.7])"),
        (b"a;", "192.0.2.7", "from [192.0.2.7] ([192.0.2.7])"),
        (b"a\n", "192.0.2.7", "from [192.0.2.7] ([192.0.2.7])"),
        (b"\xff", "192.0.2.7", "from [192.0.2.7] ([192.0.2.7])"),
        ("münchen.example".encode(), "192.0.2.7", "from [192.0.2.7] ([192.0.2.7])"),
        (b"x" * 300, "192.0.2.7", "from [192.0.2.7] ([192.0.2.7])"),
        (b"app.example.com", "", ""),  # received = "anonymous"
    ],
)
def test_client_in_received(helo: bytes, address: str, client: str) -> None:
    """The address is ours to say; the name is the client's, and only a name by grammar stands."""
    field = received_field(Trace(helo, address, "relay.example.com", "SMTP", "Q1"), NOW)
    rest = f"by relay.example.com with SMTP id Q1;\r\n\t{DATE}\r\n"
    folded = f"{client}\r\n\t" if client else ""
    assert field.octets.decode() == f"Received: {folded}{rest}"
    assert field.key == b"received"


def test_lines_of_received_are_short() -> None:
    """Even with a name of 255 octets no line comes near 998."""
    field = received_field(Trace(b"x" * 255, "2001:db8::1", "y" * 253, "ESMTPSA", "Q" * 40), NOW)
    assert max(map(len, field.octets.split(b"\r\n"))) < 400


@pytest.mark.parametrize(
    ("now", "date"),
    [
        (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
        (1_735_689_599.999, "Tue, 31 Dec 2024 23:59:59 +0000"),
        (NOW, DATE),
        (4_102_444_800, "Fri, 01 Jan 2100 00:00:00 +0000"),
    ],
)
def test_date_in_rfc_form(now: float, date: str) -> None:
    """RFC 5322 §3.3, in UTC, in English whatever the locale."""
    assert format_date(now) == date


def test_every_month_and_day_is_spelled() -> None:
    """A date of each day of a year has the RFC's grammar."""
    days = {format_date(day * 86_400.0) for day in range(366)}
    form = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] ([A-Z][a-z]{2}) 197[01] 00:00:00 \+0000"
    months = {found[2] for day in days if (found := re.fullmatch(form, day))}
    assert len(days) == 366
    assert len(months) == 12
