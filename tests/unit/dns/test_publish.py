"""Which change of a zone is right; the provider is a table."""

from __future__ import annotations

import pytest

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.record import record_text
from relay.dns.publish import Done, PublishFault, RecordConflict, publish, withdraw
from tests.fakes.zone import FakeZone

NAME = "s1._domainkey.example.com"


@pytest.fixture
def zone() -> FakeZone:
    """Without records."""
    return FakeZone()


async def test_publish_and_withdraw(zone: FakeZone, rsa_public: PublicKey) -> None:
    """Each once; again is nothing to do."""
    assert await publish(zone, NAME, rsa_public) is Done.PUBLISHED
    assert zone.resolver.records == {NAME: [record_text(rsa_public)]}
    assert await publish(zone, NAME, rsa_public) is Done.NOTHING
    assert await withdraw(zone, NAME, rsa_public) is Done.WITHDRAWN
    assert await withdraw(zone, NAME, rsa_public) is Done.NOTHING
    assert len(zone.exchanges) == 2


@pytest.mark.parametrize(
    "records",
    [
        ["v=DKIM1; p="],
        ["v=spf1 -all"],
        ["no record at all"],
        ["{ours}", "v=spf1 -all"],
        ["{other}"],
    ],
)
async def test_what_is_there_stays(
    zone: FakeZone, rsa_public: PublicKey, other_rsa_public: PublicKey, records: list[str]
) -> None:
    """Without force; with it, ours is the only one then."""
    ours, other = record_text(rsa_public), record_text(other_rsa_public)
    there = [text.format(ours=ours, other=other) for text in records]
    zone.resolver.records[NAME] = there
    with pytest.raises(RecordConflict, match="--force"):
        await publish(zone, NAME, rsa_public)
    assert zone.resolver.records[NAME] == there
    assert await publish(zone, NAME, rsa_public, force=True) is Done.PUBLISHED
    assert zone.resolver.records[NAME] == [ours]


async def test_two_records_of_ours(zone: FakeZone, rsa_public: PublicKey) -> None:
    """One with t=y beside one without: both go."""
    plain = record_text(rsa_public)
    zone.resolver.records[NAME] = [plain, record_text(rsa_public, "t=y; ")]
    assert await withdraw(zone, NAME, rsa_public) is Done.WITHDRAWN


async def test_a_zone_that_changes_all_the_time(rsa_public: PublicKey) -> None:
    """Tried some times, then said."""

    class Restless(FakeZone):
        async def exchange(
            self, name: str, before: tuple[str, ...], after: tuple[str, ...]
        ) -> bool:
            return False

    with pytest.raises(PublishFault, match="somebody else"):
        await publish(Restless(), NAME, rsa_public)
    zone = Restless()
    zone.resolver.records[NAME] = [record_text(rsa_public)]
    with pytest.raises(PublishFault, match="somebody else"):
        await withdraw(zone, NAME, rsa_public)
