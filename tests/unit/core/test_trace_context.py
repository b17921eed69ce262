"""traceparent: read where it is one, and never a reason to fail."""

from __future__ import annotations

import pytest

from relay.core.message import Message, new_field
from relay.core.trace_context import trace_id

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"00-{TRACE}-{PARENT}-01", TRACE),
        (f"  00-{TRACE}-{PARENT}-00 ", TRACE),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-brings", TRACE),  # §3.2.4
        (f"00-{TRACE}-{PARENT}-01-more", ""),
        (f"ff-{TRACE}-{PARENT}-01", ""),
        (f"00-{'0' * 32}-{PARENT}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-{PARENT}-01", ""),
        (f"00-{TRACE}-{PARENT}", ""),
        ("", ""),
        ("x" * 100_000, ""),
    ],
)
def test_the_trace_of_a_message(value: str, expected: str) -> None:
    """W3C Trace Context §3.2.2: anything that is malformed is as if it were not there."""
    assert trace_id(Message((new_field("Traceparent", value),))) == expected


def test_a_message_without() -> None:
    """Most have none."""
    assert trace_id(Message((new_field("Subject", "x"),))) == ""
