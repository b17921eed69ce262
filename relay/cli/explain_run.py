"""The stages of the relay, run on one message with a next hop that sends nothing.

What `relay.flow` does is done by `relay.flow`; here it is only prepared, stopped before the
wire, and told.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from relay import clock
from relay.assembly import client_rules, hostname, make_read_limits, make_terms
from relay.cli.explain_report import Explanation, Proof, Refusal
from relay.cli.inputs import find_answers, read_as_submitted
from relay.cli.key_settings import keyring_of
from relay.cli.second_opinion import SecondOpinion
from relay.config import Config
from relay.core.capabilities import Capabilities
from relay.core.complete import Trace
from relay.core.dkim.algorithm import SigningKey
from relay.core.dkim.alignment import author_of
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import record_name, record_text
from relay.core.dkim.signature import Signature
from relay.core.dkim.verify import find_signatures
from relay.core.dkim.verify import verify as judge
from relay.core.errors import Reason, Rejection
from relay.core.explain import choose_domain, choose_fields, differ, reencoded_parts
from relay.core.message import Message
from relay.core.policy import (
    ClientRule,
    Identity,
    find_rule,
    login_would_help,
)
from relay.core.profile import Profile
from relay.core.reader import MessageFault
from relay.core.reply import AUTH_NEEDED, NOT_PERMITTED, OK, Reply
from relay.dns.gate import RecordGate
from relay.flow import Signed, Submission, accept, forward
from relay.keyring.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Dns:
    """Whom to ask for the records of keys."""

    nameservers: tuple[str, ...]
    file: Path | None


@dataclass(frozen=True, slots=True)
class Case:
    """Under which circumstances a message is looked at.

    Attributes:
        config: the settings.
        profile: of the upstream.
        hop: what the upstream offers.
        dns: None to ask nobody.
        identity: of the client.
    """

    config: Config
    profile: Profile
    hop: Capabilities
    dns: Dns | None
    identity: Identity


class _Hop:
    """An upstream that takes everything, and sends nothing."""

    def __init__(self, capabilities: Capabilities, profile: Profile) -> None:
        self.capabilities, self.profile = capabilities, profile

    async def send(self, header: bytes, body: Sequence[bytes]) -> Reply:
        return OK


class _Answers:
    """A resolver that was given its answers beforehand."""

    def __init__(self) -> None:
        self.known: Mapping[str, TxtAnswer] = {}

    async def txt(self, name: str) -> TxtAnswer:
        return self.known.get(name, TxtAnswer(TxtOutcome.TIMEOUT))


class _Gate:
    """The gate as the settings have it, or open where DNS is not asked."""

    def __init__(self, records: RecordGate | None, *, blocks: bool) -> None:
        self._records = records
        self._blocks = blocks

    def is_open(self, key: SigningKey) -> bool:
        return self._records is None or not self._blocks or self._records.is_open(key)

    def detail(self, key: SigningKey) -> str:
        return "" if self._records is None else self._records.detail(key)


class Walk:
    """One message on its way through the stages; what is found out goes into `told`."""

    def __init__(self, case: Case, told: Explanation) -> None:
        self._case = case
        self._told = told
        self._now = clock.now()
        self._stage = "read"
        self._answers = _Answers()
        self._records = RecordGate(self._answers) if case.dns else None
        blocks = case.config.dns.gate != "off"
        gate = _Gate(self._records, blocks=blocks)
        self._keyring = keyring_of(case.config, gate)
        self._terms = make_terms(case.config, self._keyring.domains)
        if case.dns is None and blocks:
            told.notes.append(
                "DNS was not asked: a key signs only once its record is seen there (--dns asks)"
            )

    def run(self, stream: BinaryIO) -> None:
        """Go as far as the message gets."""
        try:
            self._run(stream)
        except Rejection as exc:
            self._told.refusal = Refusal(self._stage, str(exc.reply), exc.reason, exc.detail)

    def _run(self, stream: BinaryIO) -> None:
        message, body_hash = self._read(stream)
        self._stage = "client"
        rule = self._client()
        self._stage = "admit"
        self._choose(message)
        submission = Submission(
            message, body_hash, rule, self._trace(), f"{secrets.token_hex(8)}.{int(self._now)}"
        )
        accepted = accept(submission, self._terms, self._now)
        self._told.complete = differ(message, accepted.message)
        signing_domain = accepted.admission.signing_domain
        responsible = accepted.admission.from_address
        self._told.from_address = str(responsible)
        self._told.domain = choose_domain(responsible.domain, self._terms.domains)
        self._stage = "adapt"
        self._check_header(accepted.message)
        self._ask(signing_domain)
        self._tell_keys(signing_domain)
        try:
            signed, _ = asyncio.run(
                forward(
                    accepted,
                    _Hop(self._case.hop, self._case.profile),
                    self._keyring,
                    self._terms,
                    self._now,
                )
            )
        except Rejection as exc:
            if exc.reason is Reason.KEY_UNAVAILABLE:
                self._stage = "sign"
            raise
        self._tell_signed(accepted.message, signed)

    def _read(self, stream: BinaryIO) -> tuple[Message, bytes]:
        read_limits = make_read_limits(self._case.config)
        try:
            message, body_hash, self._told.reading = read_as_submitted(stream, read_limits)
        except MessageFault as exc:
            raise exc.rejection() from exc
        return message, body_hash

    def _client(self) -> ClientRule:
        case = self._case
        rules = client_rules(case.config)
        rule = find_rule(rules, case.identity)
        if rule is None:
            reply, why = self._why_nobody(rules)
            raise Rejection(reply, Reason.CLIENT_NOT_PERMITTED, why)
        self._told.rule, self._told.from_addresses = rule.name, rule.from_addresses
        return rule

    def _why_nobody(self, rules: Sequence[ClientRule]) -> tuple[Reply, str]:
        client = self._told.client_address
        if login_would_help(rules, self._case.identity):
            return AUTH_NEEDED, f"{client} must log in before it may send (here: --login NAME)"
        if not self._case.config.clients:
            why = f"without [[clients]] only this machine may send: add one for {client}"
        else:
            why = f"{client} is none of [[clients]], coming like this: add it to the right one"
        return NOT_PERMITTED, why

    def _choose(self, message: Message) -> None:
        author = author_of(message)
        self._told.from_address = author.address
        if author.domain is not None:
            self._told.domain = choose_domain(author.domain, self._terms.domains)

    def _trace(self) -> Trace | None:
        received = self._case.config.signing.received
        if received == "off":
            return None
        address = self._case.identity.address
        shown = str(address) if address is not None and received == "full" else ""
        return Trace(b"client", shown, hostname(self._case.config), "ESMTP", secrets.token_hex(8))

    def _check_header(self, message: Message) -> None:
        if message.header.isascii():
            return
        self._told.notes.append(
            "the header section is not ASCII: clients should ask for SMTPUTF8 in MAIL, and a hop "
            "with neither SMTPUTF8 nor 8BITMIME cannot take it"
        )

    def _ask(self, domain: str) -> None:
        """Read the keys of this domain, and find out how their records stand."""
        asyncio.run(self._keyring.load_domain(domain))
        keys = [key for key in self._keyring.keys if key.domain == domain]
        dns = self._case.dns
        if dns is not None and self._records is not None:
            names = [record_name(key.selector, key.domain) for key in keys]
            self._answers.known = find_answers(names, dns.nameservers, dns.file)
            asyncio.run(self._records.check(keys))

    def _tell_keys(self, domain: str) -> None:
        self._told.keys = tuple(s for s in self._keyring.statuses() if s.domain == domain)

    def _tell_signed(self, accepted: Message, signed: Signed) -> None:
        told, count = self._told, len(signed.keys)
        adapted = Message(signed.message.fields[count:], signed.message.body)
        told.adapt, told.body = differ(accepted, adapted), reencoded_parts(accepted, adapted)
        told.signing = frozenset(_place(self._keyring, key) for key in signed.keys)
        signatures = [
            s for s in find_signatures(signed.message)[:count] if isinstance(s, Signature)
        ]
        told.signatures = tuple(map(_unsigned_text, signatures))
        told.fields = choose_fields(
            adapted.fields, signatures[0].names, rewritten=self._rewritten()
        )
        told.proof = self._prove(signed, count)

    def _rewritten(self) -> dict[bytes, str]:
        """What the upstream rewrites, with how well that is known."""
        profile = self._case.profile
        known = {fact.key.lower(): f", {fact.status}" for fact in profile.facts}
        return {
            name: f"profile {profile.name}{known.get(f'rewrites.{name.decode()}', '')}"
            for name in profile.rewrites
        }

    def _prove(self, signed: Signed, count: int) -> tuple[Proof, ...]:
        """Both verifiers on the signatures just made, each with the record of its key."""
        answers = {
            record_name(key.selector, key.domain): TxtAnswer(
                TxtOutcome.FOUND, (record_text(key.public).encode("ascii"),)
            )
            for key in signed.keys
        }
        found = find_signatures(signed.message)[:count]
        proofs = [
            Proof("dkim-relay", verdict.result, "" if verdict.passed else verdict.cause)
            for verdict in judge(signed.message, found, answers, self._now)
        ]
        second = SecondOpinion(signed.message)
        for index, answer in enumerate(answers.values()):
            opinion = second.on(index, answer.records)
            proofs.append(Proof("dkimpy", opinion.outcome, opinion.reason))
        return tuple(proofs)


def _place(keyring: Keyring, signing: SigningKey) -> str:
    return next((str(key.path) for key in keyring.keys if key is signing), "")


def _unsigned_text(signature: Signature) -> str:
    """The field without the value of b=, for people."""
    text = signature.unsigned_field.octets.decode("utf-8", "backslashreplace")
    return text.replace("\r\n", "\n").rstrip()
