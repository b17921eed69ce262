"""READ FIRST: the path of a message, its stages in order.

    client ─SMTP─▶ listener ─▶ accept() ─────────────▶ forward() ─▶ upstream ─SMTP─▶ smarthost
                               admit → complete        adapt → sign → transmit

`accept` knows nothing of where the message goes; `forward` may be called again with the same
accepted message, on another connection or another day, and signs anew each time. The stages
before `transmit` are pure functions of octets, settings and `now`. A stage that cannot do its
work raises a `Rejection`: there is no way past it, so nothing leaves unsigned, unless an operator
has said of a route that it does not sign; then the message says so (`Accepted.unsigned`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.core.adapt import adapt
from relay.core.capabilities import Capabilities
from relay.core.complete import Trace, complete, pass_on
from relay.core.dkim.algorithm import Algorithm, SigningKey
from relay.core.dkim.canonical import hash_body
from relay.core.dkim.existing import is_signed_by_author
from relay.core.dkim.sign import MAX_NAMES_OCTETS, draft, fields_to_sign
from relay.core.errors import KeyFault, key_unavailable, unfit
from relay.core.events import Unsigned
from relay.core.immutable import immutable
from relay.core.message import Field, Message
from relay.core.policy import Admission, ClientRule, SigningDomains, admit
from relay.core.profile import Profile
from relay.core.reply import Reply
from relay.core.routing import SigningPolicy


class Keys(Protocol):
    """Which keys sign for a domain now; `relay.keyring` is one."""

    async def signers(self, domain: str) -> Sequence[SigningKey]:
        """The keys to sign with, RSA first; waits only for keys that were never asked for.

        Raises:
            Rejection: none is usable now (451 4.7.5).
        """


class Hop(Protocol):
    """A transaction with the upstream whose recipients are accepted; `relay.upstream` has one."""

    @property
    def capabilities(self) -> Capabilities:
        """What the upstream offers on this connection."""

    @property
    def profile(self) -> Profile:
        """What the upstream rewrites and limits."""

    async def send(self, header: bytes, body: Sequence[bytes]) -> Reply:
        """Transmit exactly these octets; the upstream's final reply, whatever it is.

        Raises:
            Rejection: the connection was lost, before or after the end of the data.
        """


@dataclass(frozen=True, slots=True)
class Terms:
    """The settings of the path."""

    domains: SigningDomains
    signing: SigningPolicy = SigningPolicy.SIGN
    expire_seconds: int = 0
    strip_existing: bool = False
    may_reencode: bool = True


@immutable
class Submission:
    """A message as the listener read it.

    Attributes:
        message: well formed, CRLF only.
        body_hash: SHA-256 of its relaxed body, fed while the octets arrived.
        client: the rule that let the client in.
        trace: for the Received field; None leaves it out.
        unique: for a Message-ID of ours.
    """

    message: Message
    body_hash: bytes
    client: ClientRule
    trace: Trace | None
    unique: str


@immutable
class Accepted:
    """A message that may go out and has everything it must have; not signed yet.

    Attributes:
        unsigned: why it is not to be signed; None: it is signed or refused.
    """

    message: Message
    body_hash: bytes
    admission: Admission
    unsigned: Unsigned | None = None


@immutable
class Signed:
    """The octets that go on the wire, and the keys that signed them."""

    message: Message
    keys: tuple[SigningKey, ...]


def accept(submission: Submission, terms: Terms, now: float) -> Accepted:
    """Who, as whom, and complete."""
    message, client = submission.message, submission.client
    unsigned = _why_unsigned(submission, terms, now)
    # RFC 6409 §6, RFC 6376 §5.1-5.2: may this client use this From, and which domain signs it?
    admission = admit(message, client, terms.domains, is_signing=unsigned is None)
    if unsigned is Unsigned.SIGNED_BY_AUTHOR:  # RFC 6376 §5.3: changed, it would not verify
        message = pass_on(message, submission.trace, now)
        return Accepted(message, submission.body_hash, admission, unsigned)
    # RFC 6409 §4.2 and §8, RFC 5321 §4.4: whole addresses, Date, Message-ID, Received; Bcc and
    # Return-Path out.
    author_domain = admission.from_address.domain
    message = complete(
        message,
        author_domain=author_domain,
        signing_domain=admission.signing_domain or author_domain,
        now=now,
        unique=submission.unique,
        trace=submission.trace,
    )
    return Accepted(message, submission.body_hash, admission, unsigned)


def _why_unsigned(submission: Submission, terms: Terms, now: float) -> Unsigned | None:
    """What the route says; by default that everything is signed."""
    match terms.signing:
        case SigningPolicy.SIGN | SigningPolicy.STRIP:
            return None
        case SigningPolicy.SKIP:
            return Unsigned.ROUTE_SKIPS
        case SigningPolicy.SKIP_IF_SIGNED:
            admission = admit(
                submission.message, submission.client, terms.domains, is_signing=False
            )
            is_signed = is_signed_by_author(
                submission.message,
                admission.from_address.domain,
                organizational=terms.domains.organizational,
                relaxed_hash=submission.body_hash,
                now=now,
            )
            return Unsigned.SIGNED_BY_AUTHOR if is_signed else None


async def forward(
    accepted: Accepted, hop: Hop, keys: Keys, terms: Terms, now: float
) -> tuple[Signed, Reply]:
    """For this hop: fit, signed, handed over. The reply is the upstream's own."""
    profile = hop.profile
    # RFC 6376 §5.3: what this hop would change is settled before the hash.
    message = adapt(
        accepted.message,
        hop.capabilities,
        profile,
        strip_signatures=_strips(accepted, profile, terms),
        may_reencode=terms.may_reencode and accepted.unsigned is not Unsigned.SIGNED_BY_AUTHOR,
    )
    # RFC 6376 §5.4-5.6: signed for exactly these octets.
    if accepted.unsigned is None:
        signed = await sign(message, accepted, keys, terms=terms, profile=profile, now=now)
    else:
        signed = Signed(message, ())
    # RFC 5321 §4.1.1.4, RFC 3030: those octets, and the truth about them.
    reply = await hop.send(signed.message.header, signed.message.body)
    return signed, reply


def _strips(accepted: Accepted, profile: Profile, terms: Terms) -> bool:
    """Whether signatures of others go out, so that ours is the one there is room for."""
    is_wanted = terms.strip_existing or terms.signing is SigningPolicy.STRIP
    return accepted.unsigned is None and (is_wanted or profile.max_signatures == 1)


async def sign(
    message: Message,
    accepted: Accepted,
    keys: Keys,
    *,
    terms: Terms,
    profile: Profile,
    now: float,
) -> Signed:
    """One DKIM-Signature for each key that the profile lets through, in front of the message."""
    signers = _permitted(await keys.signers(accepted.admission.signing_domain), profile)
    if not signers:
        raise key_unavailable(accepted.admission.signing_domain, "no key was given")
    names = fields_to_sign(message.fields, never=profile.rewrites)
    if sum(map(len, names)) + len(names) > MAX_NAMES_OCTETS:
        raise unfit("5.6.0", "Too many header fields to sign")
    # The hash that was fed while DATA arrived holds as long as nothing touched the body.
    is_same_body = message.body is accepted.message.body
    body_hash = accepted.body_hash if is_same_body else hash_body(message.body)
    signatures: list[Field] = []
    for key in signers:
        drafted = draft(
            message.fields,
            names,
            body_hash,
            domain=key.domain,
            selector=key.selector,
            algorithm=key.public.algorithm,
            now=int(now),
            expire_seconds=terms.expire_seconds,
        )
        try:
            value = await key.sign(drafted.digest)
        except KeyFault as exc:
            raise key_unavailable(key.domain, str(exc)) from exc
        if not value:
            raise key_unavailable(key.domain, f"{key.selector} made an empty signature")
        signatures.append(drafted.seal(value))
    return Signed(message.prepend(*signatures), signers)


def _permitted(signers: Sequence[SigningKey], profile: Profile) -> tuple[SigningKey, ...]:
    """RSA goes first where an upstream takes few signatures: every receiver knows it."""
    ordered = sorted(signers, key=lambda k: k.public.algorithm is not Algorithm.RSA_SHA256)
    return tuple(ordered[: profile.max_signatures or None])
