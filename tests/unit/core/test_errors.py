"""relay.core.errors: two texts for everything that goes wrong, one of them public."""

from __future__ import annotations

import pytest

from relay.core.errors import (
    ConfigError,
    Fault,
    KeyFault,
    Reason,
    RelayError,
    key_unavailable,
    unfit,
)
from relay.core.reader import MessageFault


def test_fault_is_shown_on_one_line() -> None:
    """Where, what, and what to do about it."""
    assert str(Fault("relay.toml:3", "port 0", "use 25")) == "relay.toml:3: port 0 (use 25)"
    assert str(Fault("relay.toml:3", "port 0", "")) == "relay.toml:3: port 0"


def test_every_fault_of_the_settings_is_named() -> None:
    """All at once, a line each."""
    faults = (Fault("a", "b", "c"), Fault("d", "e", ""))
    error = ConfigError(faults)
    assert error.faults == faults
    assert str(error).splitlines() == ["a: b (c)", "d: e"]


def test_key_fault_carries_its_fault() -> None:
    """The path, the mode and the fix reach the log with it."""
    error = KeyFault("k.pem (mode 0644)", "others may read it", "chmod 600 k.pem")
    assert error.fault == Fault("k.pem (mode 0644)", "others may read it", "chmod 600 k.pem")
    assert str(error) == "k.pem (mode 0644): others may read it (chmod 600 k.pem)"


def test_message_that_cannot_be_made_fit() -> None:
    """554 with what is wrong; the reason is for logs and metrics."""
    rejected = unfit("5.6.3", "No")
    assert rejected.reply.wire() == b"554 5.6.3 No\r\n"
    assert rejected.reason is Reason.MESSAGE_SYNTAX
    assert unfit("5.6.0", "No", Reason.NOT_CARRIABLE).reason is Reason.NOT_CARRIABLE


def test_key_that_is_not_there_now() -> None:
    """451 4.7.5: later it may be; which key and why stands in the log only."""
    rejected = key_unavailable("example.com", "keys/example.com/s1.pem is unreadable")
    assert rejected.reply.wire() == b"451 4.7.5 No signing key is usable for this domain now\r\n"
    assert rejected.reason is Reason.KEY_UNAVAILABLE
    assert rejected.detail == "example.com: keys/example.com/s1.pem is unreadable"
    assert "s1.pem" in str(rejected)


def test_message_fault_has_a_code() -> None:
    """What the reader found, for the reply."""
    fault = MessageFault("5.6.0", "NUL in the message")
    assert (fault.enhanced, fault.text) == ("5.6.0", "NUL in the message")


@pytest.mark.parametrize(
    "error",
    [
        ConfigError(()),
        KeyFault("a", "b", "c"),
        unfit("5.6.0", "x"),
        key_unavailable("a", "b"),
        MessageFault("5.6.0", "x"),
    ],
)
def test_every_error_is_one_of_ours(error: Exception) -> None:
    """One root, so that a session can tell what it expected from what it did not."""
    assert isinstance(error, RelayError)


def test_reasons_are_labels() -> None:
    """Lower case and underscores, each once: they are the labels of a metric."""
    values = [reason.value for reason in Reason]
    assert all(value.replace("_", "").isalpha() and value.islower() for value in values)
    assert len(set(values)) == len(values)
