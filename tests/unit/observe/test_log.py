"""The log: one line for each event, whatever is in it, and never an exception."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import Reason
from relay.core.events import Event, Noted, Outcome, TransactionEnded
from relay.observe.log import Log

RELAYED = TransactionEnded(
    outcome=Outcome.RELAYED,
    session_id="s1",
    queue_id="q1",
    client="192.0.2.7",
    client_rule="apps",
    mail_from="bounces@example.com",
    from_address="a@example.com",
    signing_domain="example.com",
    signatures=("s1/rsa-sha256", "s2/ed25519-sha256"),
    message_id="<1@example.com>",
    rcpt_to=("b@example.net", "c@example.net"),
    rcpt_refused=1,
    size_octets=1234,
    upstream="esp",
    reply="250 2.0.0 Ok: queued as 4F",
    client_left=True,
    total_seconds=1.23456789,
    upstream_seconds=0.5,
)


def lines(*events: Event, form: str = "json", level: str = "debug") -> list[str]:
    """What is written about some events."""
    stream = io.BytesIO()
    log = Log(level=level, form=form, stream=stream)
    for event in events:
        log.emit(event)
    text = stream.getvalue().decode("utf-8")
    assert not text or text.endswith("\n")
    return text.removesuffix("\n").split("\n") if text else []


def line(event: Event) -> dict[str, Any]:
    """The one JSON line of an event."""
    [text] = lines(event)
    read = json.loads(text)
    assert isinstance(read, dict)
    return read


def test_the_canonical_line() -> None:
    """One line ties client, From, selectors, Message-ID, recipients, upstream and reply."""
    read = line(RELAYED)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", read.pop("timestamp"))
    assert read == {
        "event": "message.relayed",
        "level": "info",
        "session_id": "s1",
        "queue_id": "q1",
        "client": "192.0.2.7",
        "client_rule": "apps",
        "mail_from": "bounces@example.com",
        "from_address": "a@example.com",
        "signing_domain": "example.com",
        "signatures": ["s1/rsa-sha256", "s2/ed25519-sha256"],
        "message_id": "<1@example.com>",
        "rcpt_to": ["b@example.net", "c@example.net"],
        "rcpt_refused": 1,
        "size_octets": 1234,
        "upstream": "esp",
        "reply": "250 2.0.0 Ok: queued as 4F",
        "client_left": True,
        "total_seconds": 1.2346,
        "upstream_seconds": 0.5,
    }


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        (Outcome.RELAYED, "info"),
        (Outcome.REJECTED, "warning"),
        (Outcome.DEFERRED, "warning"),
        (Outcome.UNKNOWN, "warning"),
        (Outcome.ABANDONED, "info"),
    ],
)
def test_the_name_and_level_of_an_end(outcome: Outcome, level: str) -> None:
    """The outcome is the event's name; what is not relayed stands out."""
    read = line(replace(RELAYED, outcome=outcome, reason=Reason.KEY_UNAVAILABLE, detail="why"))
    assert (read["event"], read["level"]) == (outcome.value, level)
    assert (read["reason"], read["detail"]) == ("key_unavailable", "why")


def test_what_is_empty_is_left_out() -> None:
    """A line has what there is to say."""
    read = line(replace(RELAYED, mail_from="", rcpt_to=(), client_left=False))
    assert not {"mail_from", "rcpt_to", "client_left", "reason", "detail"} & set(read)


def test_seconds_of_a_note_are_rounded() -> None:
    """As those of a transaction are: a clock's last digits say nothing."""
    assert line(Noted("upstream.failed", "warning", (("seconds", 0.0010000000002037),)))[
        "seconds"
    ] == pytest.approx(0.001, abs=0)


def test_an_exception_has_its_traceback() -> None:
    """In one line, and with the whole story."""

    def fail() -> None:
        raise RuntimeError("broken")

    try:
        fail()
    except RuntimeError as exc:
        read = line(Noted("internal.failed", "error", (("exception", exc),)))
    assert read["level"] == "error"
    assert "in fail" in read["exception"]
    assert read["exception"].endswith("RuntimeError: broken\n")


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_the_least_level(level: str) -> None:
    """Lines below it are not written."""
    order = ["debug", "info", "warning", "error"]
    events = [Noted(f"x.{name}", name) for name in order]
    names = [json.loads(text)["event"] for text in lines(*events, level=level)]
    assert names == [f"x.{name}" for name in order[order.index(level) :]]


NASTY = [
    "two\r\nlines",
    "\x1b[2J\x1b]0;title\x07",
    "\x00\x08\x7f",
    "\x85\x9b31m\u2028\u2029",
    '"}{"event":"forged"}',
    "\ud800 alone",
    "%s {0} {event}",
    "x" * 100_000,
]


@pytest.mark.parametrize("text", NASTY, ids=ascii)
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_is_one_line_of_printable_characters(form: str, text: str) -> None:
    """What a client or an upstream says can neither forge a line nor drive a terminal."""
    events: tuple[Event, ...] = (
        replace(RELAYED, message_id=text),
        replace(RELAYED, mail_from=text, reply=text, detail=text),
        replace(RELAYED, rcpt_to=(text, text)),
        Noted("client.refused", "warning", (("detail", text),)),
    )
    for event in events:
        [written] = lines(event, form=form)
        assert event.name in written
        if form == "console":
            assert written.isprintable()
        else:
            assert json.loads(written)["event"] == event.name


def test_the_traceback_on_a_console_is_for_people() -> None:
    """It may have lines of its own, indented or not, but nothing else may."""
    written = lines(
        Noted("x.failed", "error", (("exception", ValueError("a\x1bb")),)), form="console"
    )
    assert "ValueError" in "\n".join(written)
    assert "\x1b" not in "\n".join(written)


class _Awkward:
    def __str__(self) -> str:
        raise RuntimeError("cannot be told")

    __repr__ = __str__


@pytest.mark.parametrize(
    "value",
    [
        Path("/keys"),
        {1, 2},
        {"a": (1, 2)},
        2**70,
        float("nan"),
        b"octets",
        object(),
        _Awkward(),
        ...,
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("form", ["json", "console"])
def test_any_value_at_all(form: str, value: object, capsys: pytest.CaptureFixture[str]) -> None:
    """A value nobody thought of costs at most itself; the event is still told."""
    stream = io.BytesIO()
    Log(level="info", form=form, stream=stream).emit(Noted("x.noted", "info", (("v", value),)))
    assert "x.noted" in stream.getvalue().decode() + capsys.readouterr().err


@pytest.mark.parametrize("name", ["event", "level", "timestamp", "exc_info", "stack_info", "self"])
def test_any_name_of_a_field(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Names that structlog gives a meaning to do no harm."""
    written = lines(Noted("x.noted", "info", ((name, "value"),)))
    assert "x.noted" in "\n".join(written) + capsys.readouterr().err


class _Full(io.RawIOBase):
    """A stream whose disk is full, or whose reader is gone."""

    def __init__(self, error: OSError) -> None:
        self._error = error

    def writable(self) -> bool:
        return True

    def write(self, _octets: object) -> int:
        raise self._error


@pytest.mark.parametrize("error", [OSError(28, "No space"), BrokenPipeError(32, "Broken pipe")])
@pytest.mark.parametrize("stderr_too", [False, True])
def test_a_log_that_cannot_be_written(
    error: OSError, stderr_too: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is raised: the message was relayed, and its client must hear so."""
    full: Any = _Full(error)
    if stderr_too:
        monkeypatch.setattr("sys.stderr", io.TextIOWrapper(full, write_through=True))
    log = Log(level="info", form="json", stream=full)
    for _ in range(3):
        log.emit(RELAYED)
        log.emit(Noted("service.started"))
    monkeypatch.undo()


def test_a_closed_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon without one (2>&-) runs all the same."""
    monkeypatch.setattr("sys.stderr", None)
    Log(level="info", form="auto").emit(RELAYED)


@given(st.dictionaries(st.sampled_from(["mail_from", "reply", "detail"]), st.text()))
def test_every_json_line_is_read_back(fields: dict[str, str]) -> None:
    """Any text is written so that it is read as it was."""
    read = orjson.loads(lines(replace(RELAYED, **fields))[0])  # type: ignore[arg-type]
    for name, text in fields.items():
        assert read.get(name, "") == text


def test_the_form_follows_the_stream() -> None:
    """auto: JSON unless it is a terminal."""

    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    for stream, is_json in ((io.BytesIO(), True), (Terminal(), False)):
        Log(level="info", form="auto", stream=stream).emit(RELAYED)
        assert stream.getvalue().startswith(b"{") is is_json
