"""relay.flow: accepted, made fit, signed and handed over; or refused, and then nothing leaves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

import pytest
from dkim.canonicalization import Relaxed

from relay.core.capabilities import parse_capabilities
from relay.core.complete import Trace
from relay.core.dkim.algorithm import SigningKey
from relay.core.dkim.canonical import hash_body
from relay.core.dkim.signature import Signature
from relay.core.dkim.verify import Result, find_signatures, verify
from relay.core.errors import KeyFault, Reason, Rejection, key_unavailable
from relay.core.events import Unsigned
from relay.core.message import Message
from relay.core.policy import ClientRule, SigningDomains
from relay.core.profile import GENERIC, Profile
from relay.core.reader import read_message
from relay.core.reply import Reply, own
from relay.core.routing import SigningPolicy
from relay.flow import Accepted, Signed, Submission, Terms, accept, forward, sign
from tests.fakes.hop import HELO_ONLY, FakeHop
from tests.fakes.keys import FakeKey, answers, ed25519_key, rsa_key, zone
from tests.fakes.verifiers import verify_with_dkimpy

NOW = 1_795_168_800.5
CLIENT = ClientRule("loopback", (ip_network("127.0.0.0/8"),))
DOMAINS = SigningDomains({"example.com": True, "example.net": False}, lambda _: "example.com")
TERMS = Terms(DOMAINS)
SES = Profile("ses", frozenset({b"message-id", b"date", b"return-path", b"bounces-to"}), 1)
TRACE = Trace(b"app.example.com", "192.0.2.7", "relay.example.com", "ESMTP", "Q1")

OCTETS = (
    b"Return-Path: <old@example.net>\r\n"
    b"From: Jane <jane@example.com>\r\n"
    b"To: Ann <ann@example.net>,\r\n\tBob <bob@example.net>\r\n"
    b"Bcc: hidden@example.net\r\n"
    b"Subject:  the   numbers \r\n"
    b"\r\n"
    b"Good  morning, \r\n\r\n.dots\r\n \r\n\r\n"
)


@dataclass
class FakeKeys:
    """Keys by domain; a domain without any is refused as the keyring refuses it."""

    keys: Sequence[SigningKey] = ()
    asked: list[str] = field(default_factory=list)

    async def signers(self, domain: str) -> Sequence[SigningKey]:
        """The keys of a domain."""
        self.asked.append(domain)
        found = [key for key in self.keys if key.domain == domain]
        if not found:
            raise key_unavailable(domain, "no key")
        return found


def submission(octets: bytes = OCTETS, *, trace: Trace | None = TRACE) -> Submission:
    """A message as the listener has it."""
    message = read_message(octets)
    return Submission(message, hash_body(message.body), CLIENT, trace, "U1")


async def relayed(
    hop: FakeHop, *keys: FakeKey, octets: bytes = OCTETS, terms: Terms = TERMS
) -> tuple[Signed, Reply]:
    """A message on its whole way."""
    return await forward(accept(submission(octets), terms, NOW), hop, FakeKeys(keys), terms, NOW)


def signatures(octets: bytes) -> list[Signature]:
    """The signatures of a message, all of which can be read."""
    found = find_signatures(read_message(octets))
    assert all(isinstance(s, Signature) for s in found)
    return [s for s in found if isinstance(s, Signature)]


def results(octets: bytes, *keys: FakeKey, now: float = NOW) -> list[Result]:
    """What our verifier says of each signature."""
    message = read_message(octets)
    found = find_signatures(message)
    return [v.result for v in verify(message, found, answers(zone(*keys)), now)]


def independent_digest(octets: bytes, signature: Signature) -> bytes:
    """The data hash of RFC 6376 §3.7, from the octets on the wire, by none of our code.

    dkimpy canonicalizes the fields; which ones is counted out here.
    """
    lines = octets.partition(b"\r\n\r\n")[0].split(b"\r\n")
    section: list[list[bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            section[-1][1] += b"\r\n" + line
        else:
            name, _, value = line.partition(b":")
            section.append([name, value])
    own = next(f for f in section if f[1] + b"\r\n" == signature.field.value)
    section.remove(own)
    chosen = []
    for name in signature.names:
        for one in reversed(section):
            if one[0].lower() == name:
                chosen.append((one[0], one[1] + b"\r\n"))
                section.remove(one)
                break
    unsigned = own[1][: own[1].rindex(b"b=") + 2]
    forms = Relaxed.canonicalize_headers([*chosen, (own[0], unsigned)])
    return hashlib.sha256(b"".join(n + b":" + v for n, v in forms).removesuffix(b"\r\n")).digest()


# The whole way ----------------------------------------------------------------------------------


async def test_what_was_sent_is_what_was_signed() -> None:
    """Body hash and header digest, counted anew from the octets that the hop got."""
    hop, keys = FakeHop(), (rsa_key(), ed25519_key())
    signed, reply = await relayed(hop, *keys)
    assert reply is hop.reply
    assert hop.octets == signed.message.octets()
    body = hop.octets.partition(b"\r\n\r\n")[2]
    found = signatures(hop.octets)
    assert len(found) == 2
    for signature, key in zip(found, keys, strict=True):
        expected = hashlib.sha256(Relaxed.canonicalize_body(body)).digest()
        assert signature.body_hash == expected
        assert key.digests[-1:] == [independent_digest(hop.octets, signature)]
        assert key.public.verifies(signature.value, key.digests[-1])
    assert results(hop.octets, *keys) == [Result.PASS, Result.PASS]
    verdicts = verify_with_dkimpy(hop.octets, zone(*keys))
    assert [v.result.value for v in verdicts] == ["pass", "pass"]


async def test_octets_on_the_wire() -> None:
    """New fields in front, two fields gone, and every other octet where it was."""
    hop, key = FakeHop(), ed25519_key()
    await relayed(hop, key)
    signature, _, rest = hop.octets.partition(b"Received: ")
    assert signature.startswith(b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=")
    assert rest == (
        b"from app.example.com ([192.0.2.7])\r\n"
        b"\tby relay.example.com with ESMTP id Q1;\r\n\tFri, 20 Nov 2026 10:00:00 +0000\r\n"
        b"Message-ID: <U1@example.com>\r\n"
        b"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n"
        b"From: Jane <jane@example.com>\r\n"
        b"To: Ann <ann@example.net>,\r\n\tBob <bob@example.net>\r\n"
        b"Subject:  the   numbers \r\n"
        b"\r\n"
        b"Good  morning, \r\n\r\n.dots\r\n \r\n\r\n"
    )


async def test_body_goes_as_the_blocks_it_came_in() -> None:
    """No copy is made of a large message."""
    message = read_message((OCTETS[:200], OCTETS[200:230], OCTETS[230:]))
    accepted = accept(replace(submission(), message=message), TERMS, NOW)
    hop = FakeHop()
    await forward(accepted, hop, FakeKeys([ed25519_key()]), TERMS, NOW)
    ((_, body),) = hop.sent
    assert all(a is b for a, b in zip(body, message.body, strict=True))


async def test_signing_domain_and_time() -> None:
    """The nearest configured parent signs; t= is now, x= only when asked for."""
    hop, keys = FakeHop(), FakeKeys([ed25519_key("example.com"), ed25519_key("example.net")])
    octets = OCTETS.replace(b"jane@example.com", b"jane@mail.example.com")
    terms = replace(TERMS, expire_seconds=3600)
    for chosen in (TERMS, terms):
        accepted = accept(submission(octets), chosen, NOW)
        await forward(accepted, hop, keys, chosen, NOW)
    assert keys.asked == ["example.com", "example.com"]
    found = [signatures(header + b"\r\n" + b"".join(body))[0] for header, body in hop.sent]
    assert [s.domain for s in found] == ["example.com", "example.com"]
    assert [(s.signed_at, s.expires_at) for s in found] == [
        (1_795_168_800, None),
        (1_795_168_800, 1_795_172_400),
    ]
    assert b"Message-ID: <U1@example.com>\r\n" in hop.sent[0][0]


async def test_accepted_message_is_signed_anew_each_time() -> None:
    """Another hop, another day: the same message, a signature of its own, nothing left over."""
    accepted = accept(submission(), TERMS, NOW)
    hops = [FakeHop(), FakeHop()]
    for hop, later in zip(hops, (0, 86_400), strict=True):
        await forward(accepted, hop, FakeKeys([ed25519_key()]), TERMS, NOW + later)
        assert results(hop.octets, ed25519_key(), now=NOW + later) == [Result.PASS]
    first, second = (signatures(hop.octets)[0] for hop in hops)
    assert first.signed_at == int(NOW)
    assert second.signed_at == int(NOW) + 86_400
    assert accepted.message.octets() in hops[0].octets
    assert accepted.message.octets() in hops[1].octets


@pytest.mark.parametrize(
    "reply",
    [
        own(250, "2.0.0", "OK"),
        own(451, "4.3.0", "Later"),
        own(554, "5.6.0", "No"),
        Reply(550, (b"5.7.1 gr\xfc\xdfe", b"second line")),
    ],
)
async def test_reply_is_the_upstreams_own(reply: Reply) -> None:
    """Whatever it is: code, enhanced code and text."""
    _, heard = await relayed(FakeHop(reply=reply), ed25519_key())
    assert heard is reply


# Which keys -------------------------------------------------------------------------------------


async def test_rsa_goes_first() -> None:
    """Whatever order the keys come in; each has its own field."""
    hop = FakeHop()
    signed, _ = await relayed(hop, ed25519_key(), rsa_key())
    assert [s.algorithm for s in signatures(hop.octets)] == ["rsa-sha256", "ed25519-sha256"]
    assert [k.selector for k in signed.keys] == ["rsa1", "ed1"]


@pytest.mark.parametrize(
    ("most", "selectors"),
    [
        (0, ["rsa1", "rsa2", "ed1"]),
        (1, ["rsa1"]),
        (2, ["rsa1", "rsa2"]),
        (9, ["rsa1", "rsa2", "ed1"]),
    ],
)
async def test_number_of_signatures(most: int, selectors: list[str]) -> None:
    """No more than the profile lets through, and RSA of those (SES: one)."""
    hop = FakeHop(profile=Profile(max_signatures=most))
    keys = (ed25519_key(), rsa_key(), rsa_key(selector="rsa2"))
    signed, _ = await relayed(hop, *keys)
    assert [s.selector for s in signatures(hop.octets)] == selectors
    assert [k.selector for k in signed.keys] == selectors


async def test_upstream_that_takes_one_signature_gets_one() -> None:
    """What others signed goes, and what this upstream rewrites is not named in h=."""
    hop, key = FakeHop(profile=SES), rsa_key()
    octets = b"DKIM-Signature: v=1; d=old.example\r\n" + OCTETS
    await relayed(hop, ed25519_key(), key, octets=octets)
    (found,) = signatures(hop.octets)
    assert hop.octets.count(b"DKIM-Signature:") == 1
    assert not {b"date", b"message-id"} & set(found.names)
    rewritten = hop.octets.replace(b"<U1@example.com>", b"<0100@email.amazonses.com>")
    assert results(rewritten, key) == [Result.PASS]


async def test_signature_of_another_is_left_alone() -> None:
    """Below ours, octet for octet; unless existing = "strip"."""
    foreign = (
        b"DKIM-Signature: v=1; a=rsa-sha256; d=old.example; s=x;\r\n\th=from; bh=AAAA; b=AAAA\r\n"
    )
    hop = FakeHop()
    await relayed(hop, ed25519_key(), octets=foreign + OCTETS)
    assert foreign in hop.octets
    assert results(hop.octets, ed25519_key())[0] is Result.PASS
    hop = FakeHop()
    stripped = replace(TERMS, strip_existing=True)
    await relayed(hop, ed25519_key(), octets=foreign + OCTETS, terms=stripped)
    assert foreign not in hop.octets
    assert results(hop.octets, ed25519_key()) == [Result.PASS]


async def test_an_unreadable_signature_of_another_is_taken_out() -> None:
    """Some verifiers look at no signature of a message that has one."""
    hop = FakeHop()
    await relayed(hop, ed25519_key(), octets=b"DKIM-Signature: none\r\n" + OCTETS)
    assert b"DKIM-Signature: none" not in hop.octets
    assert results(hop.octets, ed25519_key()) == [Result.PASS]


async def test_too_many_names_for_h() -> None:
    """Verifiers have room for about 4,096 octets of names; more is refused, nothing is sent."""
    hop = FakeHop()
    with pytest.raises(Rejection, match="Too many header fields to sign"):
        await relayed(hop, ed25519_key(), octets=b"List-Post: NO\r\n" * 500 + OCTETS)
    assert not hop.sent


@pytest.mark.parametrize("name", [b"To", b"CC", b"subject", b"Date", b"Message-ID", b"References"])
async def test_a_field_that_stands_twice(name: bytes) -> None:
    """RFC 5322 §3.6: refused, for receivers take either of them, or none."""
    hop = FakeHop()
    with pytest.raises(Rejection, match="stands more than once"):
        await relayed(hop, ed25519_key(), octets=(name + b": <1@x>\r\n") * 2 + OCTETS)
    assert not hop.sent


# Never unsigned ---------------------------------------------------------------------------------

BROKEN = KeyFault("keys/example.com/s1.pem", "the token is gone", "plug it in")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        pytest.param([], Reason.KEY_UNAVAILABLE, id="no key"),
        pytest.param([ed25519_key("example.net")], Reason.KEY_UNAVAILABLE, id="another's key"),
        pytest.param([replace(rsa_key(), fault=BROKEN)], Reason.KEY_UNAVAILABLE, id="a fault"),
        pytest.param(
            [rsa_key(), replace(ed25519_key(), fault=BROKEN)],
            Reason.KEY_UNAVAILABLE,
            id="a fault of the second",
        ),
    ],
)
async def test_message_that_cannot_be_signed_is_not_sent(
    keys: list[FakeKey], reason: Reason
) -> None:
    """Promise 1: 451 4.7.5, with the reason in the log only, and the hop gets nothing."""
    hop = FakeHop()
    with pytest.raises(Rejection) as caught:
        await relayed(hop, *keys)
    assert hop.sent == []
    assert caught.value.reason is reason
    wire = caught.value.reply.wire()
    assert wire == b"451 4.7.5 No signing key is usable for this domain now\r\n"
    assert "example.com" in caught.value.detail
    assert "token" not in wire.decode()


class NoKeys:
    """A ring that breaks its word: it has no keys, and does not say so."""

    async def signers(self, domain: str) -> Sequence[SigningKey]:
        """No keys at all."""
        del domain
        return ()


async def test_no_keys_is_no_reason_to_send_unsigned() -> None:
    """Promise 1 does not depend on the ring keeping its contract."""
    hop = FakeHop()
    with pytest.raises(Rejection) as caught:
        await forward(accept(submission(), TERMS, NOW), hop, NoKeys(), TERMS, NOW)
    assert hop.sent == []
    assert caught.value.reply.code == 451


@dataclass(frozen=True)
class SilentKey(FakeKey):
    """A key that makes nothing of a digest, and does not say why."""

    value: bytes = b""

    async def sign(self, digest: bytes) -> bytes:
        """What a broken token might return."""
        del digest
        return self.value


async def test_empty_signature_is_none() -> None:
    """An empty b= is no signature: it is refused like a key that says so."""
    hop = FakeHop()
    with pytest.raises(Rejection) as caught:
        await relayed(hop, SilentKey(rsa_key().private))
    assert hop.sent == []
    assert caught.value.reply.code == 451


@pytest.mark.parametrize(
    "fault", [RuntimeError("x"), OSError("x"), ValueError("x"), TimeoutError()]
)
async def test_any_other_exception_of_a_key_sends_nothing(fault: Exception) -> None:
    """What nobody foresaw ends the transaction too; the session answers 451 4.3.0."""
    hop = FakeHop()
    with pytest.raises(type(fault)):
        await relayed(hop, replace(rsa_key(), fault=fault))
    assert hop.sent == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda o: o.replace(b"From:", b"X:"), Reason.FROM_FIELD, id="no From"),
        pytest.param(lambda o: b"From: x@example.com\r\n" + o, Reason.FROM_FIELD, id="two From"),
        pytest.param(
            lambda o: o.replace(b"jane@example.com", b"jane@other.example"),
            Reason.DOMAIN_NOT_CONFIGURED,
            id="another's domain",
        ),
        pytest.param(lambda o: o + b"x" * 999, Reason.NOT_CARRIABLE, id="a long line"),
        pytest.param(lambda o: o + b"\xff\r\n", Reason.NOT_CARRIABLE, id="eight bits"),
    ],
)
async def test_message_that_is_refused_is_not_sent(
    change: Callable[[bytes], bytes], reason: Reason
) -> None:
    """No stage is passed by: the key is not even asked."""
    key, hop = ed25519_key(), FakeHop(HELO_ONLY)
    signed_before = len(key.digests)
    with pytest.raises(Rejection) as caught:
        await relayed(hop, key, octets=change(OCTETS), terms=replace(TERMS, may_reencode=False))
    assert caught.value.reason is reason
    assert hop.sent == []
    assert len(key.digests) == signed_before


async def test_lost_connection_is_told() -> None:
    """What the hop raises is raised on: after the end of data the outcome is not known."""
    lost = Rejection(own(451, "4.4.2", "Connection lost"), Reason.OUTCOME_UNKNOWN, "lost")
    hop = FakeHop(lost=lost)
    with pytest.raises(Rejection) as caught:
        await relayed(hop, ed25519_key())
    assert caught.value is lost
    assert len(hop.sent) == 1


# The body hash ----------------------------------------------------------------------------------


async def test_hash_of_the_arrival_is_used_for_the_body_that_arrived() -> None:
    """Nothing is hashed twice: what was fed while DATA came in stands in bh=."""
    marked = replace(submission(), body_hash=b"\x5a" * 32)
    hop = FakeHop()
    await forward(accept(marked, TERMS, NOW), hop, FakeKeys([ed25519_key()]), TERMS, NOW)
    assert signatures(hop.octets)[0].body_hash == b"\x5a" * 32


async def test_body_that_was_changed_is_hashed_anew() -> None:
    """8-bit text towards a hop of seven bits: signed as it is sent."""
    octets = (
        b"From: jane@example.com\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "grüße\r\n".encode()
    )
    hop, key = FakeHop(HELO_ONLY), ed25519_key()
    await relayed(hop, key, octets=octets)
    assert hop.octets.isascii()
    assert b"gr=C3=BC=C3=9Fe\r\n" in hop.octets
    assert results(hop.octets, key) == [Result.PASS]
    (verdict,) = verify_with_dkimpy(hop.octets, zone(key))
    assert verdict.result.value == "pass"


async def test_sign_looks_at_the_body_it_is_given() -> None:
    """A body that is another object is hashed, whatever the accepted one's hash says."""
    accepted = accept(submission(), TERMS, NOW)
    other = replace(accepted.message, body=(b"another body\r\n",))
    stale = Accepted(accepted.message, b"\0" * 32, accepted.admission)
    signed = await sign(
        other, stale, FakeKeys([ed25519_key()]), terms=TERMS, profile=GENERIC, now=NOW
    )
    assert results(signed.message.octets(), ed25519_key()) == [Result.PASS]


async def test_long_header_line_is_folded_before_it_is_signed() -> None:
    """The folded field is what is sent, and what is signed."""
    long = b"To: " + b", ".join([b"person@example.net"] * 100) + b"\r\n"
    octets = b"From: jane@example.com\r\n" + long + b"\r\nbody\r\n"
    hop, key = FakeHop(parse_capabilities([b"8BITMIME"])), rsa_key()
    await relayed(hop, key, octets=octets)
    assert max(map(len, hop.octets.split(b"\r\n"))) <= 998
    assert results(hop.octets, key) == [Result.PASS]


def test_accept_changes_no_body() -> None:
    """What is accepted has the hash that was fed, for the very body that arrived."""
    arrived = submission()
    accepted = accept(arrived, TERMS, NOW)
    assert accepted.message.body is arrived.message.body
    assert accepted.body_hash is arrived.body_hash
    assert isinstance(accepted.message, Message)
    assert str(accepted.admission.from_address) == "jane@example.com"


def test_received_can_be_left_out() -> None:
    """No trace, no Received field."""
    accepted = accept(submission(trace=None), TERMS, NOW)
    assert not accepted.message.has(b"received")


# Routes that sign in another way ----------------------------------------------------------------

SKIP = replace(TERMS, signing=SigningPolicy.SKIP)
STRIP = replace(TERMS, signing=SigningPolicy.STRIP)
SKIP_IF_SIGNED = replace(TERMS, signing=SigningPolicy.SKIP_IF_SIGNED)


async def test_a_route_that_skips_signs_nothing_and_says_so() -> None:
    """The operator's decision: complete, unsigned, and counted as such."""
    hop = FakeHop()
    accepted = accept(submission(), SKIP, NOW)
    signed, _ = await forward(accepted, hop, FakeKeys(), SKIP, NOW)
    assert accepted.unsigned is Unsigned.ROUTE_SKIPS
    assert signed.keys == ()
    assert signatures(hop.octets) == []
    assert b"Message-ID: <U1@example.com>" in hop.octets


async def test_a_route_that_skips_takes_domains_without_a_key() -> None:
    """Nothing has to be configured for what is not signed; who may send as whom still counts."""
    octets = OCTETS.replace(b"jane@example.com", b"jane@elsewhere.test")
    hop = FakeHop()
    await relayed(hop, octets=octets, terms=SKIP)
    assert b"Message-ID: <U1@elsewhere.test>" in hop.octets
    bounded = replace(submission(octets), client=ClientRule("c", (), ("example.com",)))
    with pytest.raises(Rejection) as caught:
        accept(bounded, SKIP, NOW)
    assert caught.value.reason is Reason.FROM_NOT_PERMITTED


async def test_a_route_that_strips_leaves_ours_alone() -> None:
    """Signatures of others go, ours comes."""
    hop, key = FakeHop(), rsa_key()
    octets = b"DKIM-Signature: v=1; d=old.example\r\n" + OCTETS
    await relayed(hop, key, octets=octets, terms=STRIP)
    assert hop.octets.count(b"DKIM-Signature:") == 1
    assert results(hop.octets, key) == [Result.PASS]


async def test_what_its_author_has_signed_passes_untouched() -> None:
    """But for Received, and what must not leave; the signature holds, and it is counted."""
    key, first, second = rsa_key(), FakeHop(), FakeHop()
    await relayed(first, key)
    accepted = accept(submission(first.octets), SKIP_IF_SIGNED, NOW)
    signed, _ = await forward(accepted, second, FakeKeys(), SKIP_IF_SIGNED, NOW)
    assert accepted.unsigned is Unsigned.SIGNED_BY_AUTHOR
    assert signed.keys == ()
    assert second.octets.endswith(first.octets)
    assert results(second.octets, key) == [Result.PASS]


async def test_what_its_author_has_signed_keeps_that_signature_towards_one_signature() -> None:
    """An upstream that takes one gets that one."""
    key, first, second = rsa_key(), FakeHop(), FakeHop(profile=Profile(max_signatures=1))
    await relayed(first, key)
    await relayed(second, key, octets=first.octets, terms=SKIP_IF_SIGNED)
    assert results(second.octets, key) == [Result.PASS]


async def test_what_its_author_has_signed_is_not_reencoded() -> None:
    """It would not verify any more: refused, not broken."""
    octets = OCTETS.replace(b"morning", b"m\xc3\xb8rning")
    key, first = rsa_key(), FakeHop()
    await relayed(first, key, octets=octets)
    with pytest.raises(Rejection) as caught:
        await relayed(FakeHop(HELO_ONLY), key, octets=first.octets, terms=SKIP_IF_SIGNED)
    assert caught.value.reply.code == 554


@pytest.mark.parametrize(
    "damage",
    [
        lambda octets: octets.replace(b"Good  morning", b"Bad  morning"),
        lambda octets: octets.replace(b"d=example.com", b"d=example.net"),
        lambda octets: octets.replace(b"DKIM-Signature: v=1", b"DKIM-Signature: v=9"),
    ],
)
async def test_what_only_looks_signed_is_signed(damage: Callable[[bytes], bytes]) -> None:
    """Another body, another domain, unreadable: ours is made, and passes."""
    key, first, second = rsa_key(), FakeHop(), FakeHop()
    await relayed(first, key)
    await relayed(second, key, octets=damage(first.octets), terms=SKIP_IF_SIGNED)
    assert results(second.octets, key)[0] is Result.PASS


async def test_what_is_not_signed_needs_a_domain_of_ours() -> None:
    """skip-if-signed is no way around a missing key."""
    octets = OCTETS.replace(b"jane@example.com", b"jane@elsewhere.test")
    with pytest.raises(Rejection) as caught:
        await relayed(FakeHop(), octets=octets, terms=SKIP_IF_SIGNED)
    assert caught.value.reason is Reason.DOMAIN_NOT_CONFIGURED
