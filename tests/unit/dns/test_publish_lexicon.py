"""Publishing through dns-lexicon, with its provider that edits a zone file."""

from __future__ import annotations

import sys
from pathlib import Path

import dns.zone
import pytest

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.record import record_text
from relay.core.errors import ConfigError
from relay.dns.publish import Done, PublishFault, RecordConflict, publish, withdraw
from relay.dns.publish_lexicon import Lexicon

NAME = "s1._domainkey.example.com"
ZONE = """\
$ORIGIN example.com.
$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 192.0.2.1
www TXT "not ours"
"""


@pytest.fixture
def zone_file(tmp_path: Path) -> Path:
    """A zone without our record."""
    pytest.importorskip("lexicon", reason="pip install 'dkim-relay[dev]'")
    pytest.importorskip("localzone", reason="pip install 'dkim-relay[dev]'")
    path = tmp_path / "zone"
    path.write_text(ZONE)
    return path


@pytest.fixture
def provider(zone_file: Path) -> Lexicon:
    """Its own local provider."""
    options = {"filename": str(zone_file)}
    return Lexicon("local", "localzone", "example.com", 60, options)


def texts(zone_file: Path, name: str = "s1._domainkey") -> list[str]:
    """TXT records in the file, by another reader."""
    zone = dns.zone.from_file(str(zone_file), "example.com.")
    found = zone.get_rdataset(name, "TXT")
    return [b"".join(rdata.strings).decode() for rdata in found or ()]


async def test_add_and_remove(provider: Lexicon, zone_file: Path, rsa_public: PublicKey) -> None:
    """A record longer than one string; again is nothing to do."""
    assert await publish(provider, NAME, rsa_public) is Done.PUBLISHED
    assert texts(zone_file) == [record_text(rsa_public)]
    assert await publish(provider, NAME, rsa_public) is Done.NOTHING
    assert await withdraw(provider, NAME, rsa_public, revoke=True) is Done.REVOKED
    assert texts(zone_file) == ["v=DKIM1; k=rsa; p="]
    assert await withdraw(provider, NAME, rsa_public) is Done.WITHDRAWN
    assert texts(zone_file) == []
    assert texts(zone_file, "www") == ["not ours"]


async def test_a_record_of_somebody_else(
    provider: Lexicon, zone_file: Path, rsa_public: PublicKey, other_rsa_public: PublicKey
) -> None:
    """It stays, but for force."""
    await publish(provider, NAME, other_rsa_public)
    with pytest.raises(RecordConflict):
        await publish(provider, NAME, rsa_public)
    with pytest.raises(RecordConflict):
        await withdraw(provider, NAME, rsa_public)
    assert texts(zone_file) == [record_text(other_rsa_public)]
    await publish(provider, NAME, rsa_public, force=True)
    assert texts(zone_file) == [record_text(rsa_public)]


async def test_a_provider_that_fails(tmp_path: Path, provider: Lexicon) -> None:
    """A fault that names the variables; not the text of the error, which may have secrets."""
    bad = Lexicon("local", "localzone", "example.com", 60, {"filename": str(tmp_path)})
    with pytest.raises(PublishFault, match="LEXICON_LOCALZONE_"):
        await bad.find(NAME)


async def test_a_provider_that_is_unknown(zone_file: Path) -> None:
    """Said when it is first used."""
    with pytest.raises(PublishFault, match="no provider 'nope'"):
        await Lexicon("x", "nope", "example.com").find(NAME)


def test_lexicon_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault says what to install."""
    monkeypatch.setitem(sys.modules, "lexicon.client", None)
    with pytest.raises(ConfigError, match=r"pip install 'dkim-relay\[lexicon\]'"):
        Lexicon("x", "cloudflare")
