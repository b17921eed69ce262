"""The gate in front of two real name servers of one zone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from relay.core.dkim.record import record_text, split_strings
from relay.dns.authorities import Authorities
from relay.dns.gate import RecordGate
from relay.dns.judge import RecordState
from relay.dns.resolver import DnsResolver
from relay.dns.standing import Pace
from tests.fakes.bind import Bind
from tests.fakes.keys import rsa_key
from tests.fakes.processes import free_port

ZONE = "example.test"
SERVERS = f"@ NS ns1.{ZONE}.\n@ NS ns2.{ZONE}.\nns1.{ZONE}. A 127.0.0.1\nns2.{ZONE}. A 127.0.0.2\n"


@pytest.fixture
def binds(tmp_path: Path) -> Iterator[tuple[Bind, Bind]]:
    """Both, without the record."""
    port = free_port()
    with ExitStack() as started:
        one, other = (
            started.enter_context(
                Bind(tmp_path / host, zones={ZONE: SERVERS}, host=host, port=port)
            )
            for host in ("127.0.0.1", "127.0.0.2")
        )
        yield one, other


async def test_a_record_on_its_way(binds: tuple[Bind, Bind]) -> None:
    """Missing, then at the first server, then at both; then one is away, then it has lost it."""
    one, other = binds
    key = rsa_key(ZONE, "s1")
    strings = " ".join(f'"{part}"' for part in split_strings(record_text(key.public)))
    with_record = f"{SERVERS}s1._domainkey TXT {strings}\n"
    gate = RecordGate(
        DnsResolver([one.address]),
        Authorities([one.address], timeout_seconds=0.2),
        pace=Pace(),
    )
    await gate.check([key])
    assert (gate.is_open(key), gate.state(key)) == (False, RecordState.MISSING)
    one.replace(ZONE, with_record)
    await gate.check([key])
    assert (gate.is_open(key), gate.state(key)) == (False, RecordState.MISSING)
    assert "it matches at ns1.example.test, but ns2.example.test (127.0.0.2" in gate.detail(key)
    other.replace(ZONE, with_record)
    await gate.check([key])
    assert (gate.is_open(key), gate.state(key)) == (True, RecordState.MATCHES)
    other.pause()
    await gate.check([key])
    other.resume()
    assert (gate.is_open(key), gate.state(key)) == (True, RecordState.MATCHES)
    assert "no answer from ns2.example.test" in gate.detail(key)
    other.replace(ZONE, SERVERS)
    await gate.check([key])
    assert (gate.is_open(key), gate.state(key)) == (True, RecordState.MISSING)
    one.replace(ZONE, SERVERS)
    await gate.check([key])
    assert not gate.is_open(key)


async def test_a_server_that_is_silent_from_the_start(binds: tuple[Bind, Bind]) -> None:
    """It holds the new key up for an hour."""
    one, other = binds
    key = rsa_key(ZONE, "s1")
    strings = " ".join(f'"{part}"' for part in split_strings(record_text(key.public)))
    one.replace(ZONE, f"{SERVERS}s1._domainkey TXT {strings}\n")
    other.stop()
    now = 1.8e9
    gate = RecordGate(
        DnsResolver([one.address]),
        Authorities([one.address], timeout_seconds=0.2),
        now=lambda: now,
    )
    await gate.check([key])
    assert (gate.is_open(key), gate.state(key)) == (False, RecordState.TEMPERROR)
    now += Pace().silent_seconds
    await gate.check([key])
    assert gate.is_open(key)
