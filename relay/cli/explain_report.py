"""What `dkim-relay explain` says: for people, and as JSON. Output only.

The JSON is one object, and its shape is stable; new keys may be added.

    version      1
    file         the argument, "<stdin>" for standard input
    outcome      signed or refused
    refusal      {stage: read, client, admit, adapt or sign; reply; reason; detail} or null;
                 reason is the label of logs and metrics
    reading      what had to be supposed in order to read the message
    notes        what depends on more than this command can see
    client       {address, rule, from_addresses}; rule null when nobody knows the client
    from         {address, domain, how: exact, parent or none; signing_domain,
                 organizational_domain, why}; null when it cannot be read
    profile      its name
    keys         of the signing domain: [{domain, selector, algorithm, bits, fingerprint, path,
                 state: usable, waiting or faulty; detail; signs}]
    complete     {added, removed}: header fields, cut short
    adapt        {added, removed, body}: the same for this hop, and what becomes of body parts
    fields       [{name, present, named, treatment: oversigned, signed or left out; reason}]
    signatures   the DKIM-Signature fields, b= left empty
    proof        [{verifier, outcome, reason}] of those signatures with their keys' records

What stands behind the stage of a refusal is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from relay.cli.layout import columns, labelled, lines, wrapped
from relay.core.excerpt import counted, excerpt
from relay.core.explain import Difference, DomainChoice, FieldChoice, Treatment
from relay.keyring.keyring import KeyState, KeyStatus


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the relay would not take the message.

    Attributes:
        stage: read, client, admit, adapt or sign.
        reply: what the application would be answered.
        reason: the label of logs and metrics.
        detail: what the log would say, with the fix.
    """

    stage: str
    reply: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What a verifier says of the signatures, with the records of their keys."""

    verifier: str
    outcome: str
    reason: str = ""


@dataclass(slots=True)
class Explanation:
    """Everything that is known about what would become of a message; filled stage by stage."""

    file: str
    client_address: str
    profile: str
    reading: tuple[str, ...] = ()
    rule: str | None = None
    from_addresses: tuple[str, ...] = ()
    from_address: str = ""
    domain: DomainChoice | None = None
    keys: tuple[KeyStatus, ...] = ()
    signing: frozenset[str] = frozenset()
    complete: Difference = field(default_factory=Difference)
    adapt: Difference = field(default_factory=Difference)
    body: tuple[str, ...] = ()
    fields: tuple[FieldChoice, ...] = ()
    signatures: tuple[str, ...] = ()
    proof: tuple[Proof, ...] = ()
    refusal: Refusal | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """The word for it."""
        return "signed" if self.refusal is None else "refused"


def as_json(told: Explanation) -> dict[str, Any]:
    """The object that the top of this module describes."""
    domain = told.domain
    return {
        "version": 1,
        "file": told.file,
        "outcome": told.outcome,
        "refusal": asdict(told.refusal) if told.refusal else None,
        "reading": told.reading,
        "notes": told.notes,
        "client": {
            "address": told.client_address,
            "rule": told.rule,
            "from_addresses": told.from_addresses,
        },
        "from": {
            "address": told.from_address,
            "domain": domain.from_domain,
            "how": domain.how,
            "signing_domain": domain.signing_domain,
            "organizational_domain": domain.organizational_domain,
            "why": domain.why,
        }
        if domain
        else None,
        "profile": told.profile,
        "keys": [_key_object(told, status) for status in told.keys],
        "complete": asdict(told.complete),
        "adapt": {**asdict(told.adapt), "body": told.body},
        "fields": [{**asdict(f), "treatment": f.treatment} for f in told.fields],
        "signatures": told.signatures,
        "proof": [asdict(proof) for proof in told.proof],
    }


def _key_object(told: Explanation, status: KeyStatus) -> dict[str, Any]:
    public = status.public
    return {
        "domain": status.domain,
        "selector": status.selector or None,
        "algorithm": public.algorithm if public else None,
        "bits": public.bits if public else None,
        "fingerprint": public.fingerprint if public else None,
        "path": status.path,
        "state": status.state,
        "detail": status.detail,
        "signs": status.path in told.signing,
    }


def as_text(told: Explanation) -> str:
    """The same for people."""
    return lines(
        (
            *(labelled("reading", note, indent=0) for note in told.reading),
            labelled("client", _client_text(told), indent=0),
            labelled("domain", told.domain.why if told.domain else "", indent=0),
            *(labelled("key", _key_text(told, status), indent=0) for status in told.keys),
            *_change_texts(told),
            *_field_texts(told),
            *(f"\n{signature}" for signature in told.signatures),
            *(labelled("proof", _proof_text(proof), indent=0) for proof in told.proof),
            *(labelled("note", note, indent=0) for note in told.notes),
            _outcome_text(told),
        )
    )


def _client_text(told: Explanation) -> str:
    if told.rule is None:
        return f"{told.client_address} is none of [[clients]]"
    named = ("every configured domain" if f == "*" else f for f in told.from_addresses)
    allowed = ", ".join(named)
    return f"{told.client_address} is {told.rule!r}, which may have in From: {allowed}"


def _key_text(told: Explanation, status: KeyStatus) -> str:
    public = status.public
    kind = ""
    if public is not None:
        kind = f" ({public.algorithm.key_type} {public.bits}, fingerprint {public.fingerprint})"
    if status.path in told.signing:
        verb = "signs"
    elif status.state is KeyState.USABLE and not told.signatures:
        verb = "can sign"
    elif status.state is KeyState.USABLE:
        verb = "does not sign: another key comes first, or the profile takes no more"
    else:
        verb = f"is {status.state}"
    return f"{status.path}{kind} {verb}" + (f"; {status.detail}" if status.detail else "")


def _change_texts(told: Explanation) -> Iterator[str]:
    for stage, difference, body in (
        ("complete", told.complete, ()),
        ("adapt", told.adapt, told.body),
    ):
        parts = [f"adds {text!r}" for text in difference.added]
        parts += [f"takes out {text!r}" for text in difference.removed]
        yield from (labelled(stage, part, indent=0) for part in (*parts, *body))
    if told.signatures and not (told.adapt.added or told.adapt.removed or told.body):
        yield labelled("adapt", "nothing has to change for this hop", indent=0)


def _field_texts(told: Explanation) -> Iterator[str]:
    if not told.fields:
        return
    yield f"fields, with the profile {told.profile}:"
    width = min(26, max(len(f.name) for f in told.fields))
    order = list(Treatment)
    for choice in sorted(told.fields, key=lambda f: order.index(f.treatment)):
        times = f" ({choice.present})" if choice.present > 1 else ""
        head = f"  {choice.name:<{width}}  {choice.treatment:<10}  "
        text = f"{head}{choice.reason}{times}"
        yield text if len(text) <= columns() else wrapped(text, indent=0, hang=len(head))


def _proof_text(proof: Proof) -> str:
    because = f" ({proof.reason})" if proof.reason else ""
    return f"{proof.verifier} says {proof.outcome} with the records of these keys{because}"


def _outcome_text(told: Explanation) -> str:
    refusal = told.refusal
    if refusal is None:
        return f"outcome: signed, with {counted(len(told.signatures), 'signature')}"
    return lines(
        (
            wrapped(f"outcome: refused, with {excerpt(refusal.reply, 500)}"),
            labelled("why", excerpt(refusal.detail, 2000)),
        )
    )
