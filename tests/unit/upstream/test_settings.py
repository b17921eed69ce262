"""Settings of an upstream."""

from __future__ import annotations

import pytest

from relay.upstream.settings import Timeouts, Tls
from tests.fakes.pools import upstream


def test_the_password_is_not_shown() -> None:
    """Neither repr nor str of the settings has it."""
    settings = upstream(25, username="u", password="a secret")
    assert "a secret" not in f"{settings!r} {settings}"


@pytest.mark.parametrize("name", ["", "a b", "a\r\nRCPT TO:<x@y.z>", "ä.test", "a\x00"])
def test_names_cannot_break_out_of_a_command(name: str) -> None:
    """What stands in EHLO is checked before anything is opened."""
    with pytest.raises(ValueError, match="not a host name"):
        upstream(25, ehlo_name=name)
    with pytest.raises(ValueError, match="not a host name"):
        upstream(25, host=name)


def test_default_timeouts_are_those_of_the_standard() -> None:
    """RFC 5321 §4.5.3.2.2 to .6, in seconds."""
    patience = Timeouts()
    assert (patience.mail_seconds, patience.rcpt_seconds) == (300, 300)
    assert (patience.data_seconds, patience.block_seconds, patience.final_seconds) == (
        120,
        180,
        600,
    )


def test_only_required_tls_is_verified() -> None:
    """Opportunistic TLS takes any certificate and does not count as verified."""
    assert [tls for tls in Tls if tls.is_verified] == [Tls.IMPLICIT, Tls.STARTTLS]


def test_the_hop_is_named_for_people() -> None:
    """Name, host and port; an IPv6 address in brackets."""
    assert upstream(25, host="::1").hop == "esp ([::1]:25)"
    assert upstream(587, host="mx.test").hop == "esp (mx.test:587)"
