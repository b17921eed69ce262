"""What stands around the keys of a domain: DMARC, SPF, old policies, selectors of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.record import record_text
from relay.dns.finding import Code, Severity
from relay.dns.surroundings import DomainWanted, look_around
from tests.fakes.resolver import FakeResolver

C = Code
SPF = {"example.com": ["v=spf1 -all", "another=text"]}
DMARC = {"_dmarc.example.com": ["v=DMARC1; p=reject"]}
GOOD = {**SPF, **DMARC}
DOMAIN = DomainWanted("example.com")


def organizational(domain: str) -> str | None:
    """The last two labels."""
    return ".".join(domain.split(".")[-2:])


async def around(records: dict[str, Sequence[str]], wanted: DomainWanted = DOMAIN) -> list[Code]:
    """The codes of all findings."""
    found = await look_around(wanted, FakeResolver(records), organizational)
    assert all(finding.severity is not Severity.FAULT for finding in found)
    assert all(finding.fix for finding in found if finding.severity is not Severity.OK)
    return [finding.code for finding in found]


async def test_all_is_well() -> None:
    """Both are there, and other texts at the domain are nobody's business."""
    assert await around({**GOOD}) == [C.DMARC, C.SPF]


@pytest.mark.parametrize(
    ("texts", "codes"),
    [
        ([], [C.DMARC_MISSING]),
        (["v=spf1 -all"], [C.DMARC_MISSING]),  # a wildcard
        (["v=DMARC1; p=none"], [C.DMARC, C.DMARC_NONE]),
        (["v=DMARC1;p=quarantine; sp=none"], [C.DMARC, C.DMARC_SUBDOMAINS_NONE]),
        (["v=DMARC1; p=reject; adkim=s"], [C.DMARC]),
        (["v=DMARC1; p=reject; rua=mailto:a@example.com,mailto:b@example.com!10m"], [C.DMARC]),
        (["v=DMARC1; p=block"], [C.DMARC_MALFORMED]),
        (["v=DMARC1; p=reject; sp=yes"], [C.DMARC_MALFORMED]),
        (["v=DMARC1"], [C.DMARC_MALFORMED]),
        (["v=DMARC1; p"], [C.DMARC_MALFORMED]),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], [C.DMARC_SEVERAL]),
    ],
)
async def test_dmarc(texts: list[str], codes: list[Code]) -> None:
    """Each state of the policy record has its finding."""
    assert await around({**SPF, "_dmarc.example.com": texts}) == [*codes, C.SPF]


async def test_strict_alignment_matters_for_subdomains() -> None:
    """With adkim=s, a subdomain's mail signed by its parent fails DMARC."""
    records: dict[str, Sequence[str]] = {
        **SPF, "_dmarc.example.com": ["v=DMARC1; p=reject; adkim=s"],
    }  # fmt: skip
    wanted = replace(DOMAIN, has_subdomains=True)
    assert await around(records, wanted) == [C.DMARC, C.DMARC_STRICT, C.SPF]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("v=DMARC1; p=reject", [C.DMARC]),
        ("v=DMARC1; p=reject; sp=none", [C.DMARC, C.DMARC_NONE]),
        ("v=DMARC1; p=none; sp=reject", [C.DMARC]),
    ],
)
async def test_a_subdomain_has_the_policy_of_its_organization(text: str, codes: list[Code]) -> None:
    """RFC 7489 §6.6.3: without a record of its own, sp= of the organizational domain counts."""
    wanted = DomainWanted("mail.example.com")
    records = {"_dmarc.example.com": [text], "mail.example.com": ["v=spf1 mx -all"]}
    assert await around({**records}, wanted) == [*codes, C.SPF]


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ([], C.SPF_MISSING),
        (["v=spf10 -all"], C.SPF_MISSING),
        (["v=spf1"], C.SPF),
        (["V=SPF1 mx"], C.SPF),
        (["v=spf1 mx", "v=spf1 -all"], C.SPF_SEVERAL),
    ],
)
async def test_spf(texts: list[str], code: Code) -> None:
    """There, absent, or a permanent error; nothing is evaluated."""
    assert await around({**DMARC, "example.com": texts}) == [C.DMARC, code]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("_domainkey.example.com", "o=~"),
        ("_domainkey.example.com", "t=y; o=-;"),
        ("_adsp._domainkey.example.com", "dkim=discardable"),
    ],
)
async def test_old_policies_are_harmless(name: str, text: str) -> None:
    """They are told as a note that says so."""
    assert await around({**GOOD, name: [text]}) == [C.DMARC, C.SPF, C.LEGACY_POLICY]


async def test_dns_that_fails_is_no_absence() -> None:
    """Nothing is said to be missing that was not answered."""
    resolver = FakeResolver(timeout={"_dmarc.example.com"}, servfail={"example.com"})
    found = await look_around(DOMAIN, resolver, organizational)
    assert [finding.code for finding in found] == [C.DMARC_UNKNOWN, C.SPF_UNKNOWN]


async def test_selectors_of_others(rsa_public: PublicKey, other_rsa_public: PublicKey) -> None:
    """Gone, revoked, still there, with our own key, broken, unanswered: each apart."""
    records: dict[str, Sequence[str]] = {
        **GOOD,
        "revoked._domainkey.example.com": ["v=DKIM1; p="],
        "there._domainkey.example.com": [record_text(other_rsa_public)],
        "ours._domainkey.example.com": [record_text(rsa_public)],
        "broken._domainkey.example.com": ["hello"],
    }
    others = ("gone", "revoked", "there", "ours", "broken", "slow")
    wanted = DomainWanted("example.com", publics=[rsa_public], others=others)
    resolver = FakeResolver(records, timeout={"slow._domainkey.example.com"})
    found = await look_around(wanted, resolver, organizational)
    assert [finding.code for finding in found[2:]] == [
        C.OTHER_SELECTOR_ABSENT,
        C.OTHER_SELECTOR_REVOKED,
        C.OTHER_SELECTOR,
        C.OTHER_SELECTOR_SAME_KEY,
        C.OTHER_SELECTOR_BROKEN,
        C.OTHER_SELECTOR_UNKNOWN,
    ]
