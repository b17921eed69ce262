"""`dkim-relay verify`: what a receiver would say of a message, why, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import click
import orjson

from relay import clock
from relay.cli.inputs import (
    LocalKeys,
    dns_options,
    find_answers,
    message_argument,
    organizational_domains,
    read_to_verify,
)
from relay.cli.options import keys_options, settings
from relay.cli.second_opinion import Opinion, Outcome, SecondOpinion
from relay.cli.verify_json import as_json
from relay.cli.verify_report import Judged, Report, as_text, overall_verdict
from relay.core.dkim.alignment import author_of
from relay.core.dkim.diagnose.change import Change
from relay.core.dkim.diagnose.changes import find_changes
from relay.core.dkim.query import TxtAnswer
from relay.core.dkim.record import record_name
from relay.core.dkim.signature import Signature
from relay.core.dkim.unsigned import unsigned
from relay.core.dkim.verdict import LocalKey, Verdict
from relay.core.dkim.verify import find_signatures, record_names
from relay.core.dkim.verify import verify as judge
from relay.core.message import Message
from relay.dns.judge import judge as judge_record

_MAX_OPINIONS = 100  # dkimpy looks for each signature among all fields
_MAX_EXPLAINED = 5  # what changed takes some seconds to find out in a large message
_TOO_MANY = Opinion(Outcome.NOT_ASKED, "there are too many signatures")


@click.command()
@message_argument
@dns_options
@keys_options
@click.option(
    "--original",
    type=click.File("rb"),
    help="The message as it was sent: what changed since is found by comparing.",
)
@click.option("--json", "as_object", is_flag=True, help="For scripts.")
def verify(
    message: BinaryIO,
    nameserver: tuple[str, ...],
    dns_file: Path | None,
    config_file: Path | None,
    keys_dir: Path | None,
    original: BinaryIO | None,
    *,
    as_object: bool,
) -> None:
    """Say for each signature what a receiver would say, why, and what to do.

    Results are the words of RFC 8601. Where a signature does not verify, what changed since it
    was made is measured as far as it can be; --original makes that exact. dkimpy, another
    verifier, is asked too. Exit 0 when a signature passes, else 1.
    """
    config = settings(config_file, keys_dir, nameserver)
    reading = read_to_verify(message)
    sent = read_to_verify(original) if original is not None else None
    local_keys = LocalKeys(Path(config.keys_dir), config.passphrase_file_of)
    signatures = find_signatures(reading.message)
    names = record_names(signatures)
    answers = find_answers(names, config.dns.nameservers, dns_file)
    verdicts = judge(
        reading.message,
        signatures,
        answers,
        clock.now(),
        local_keys=_local(signatures, names, local_keys),
    )
    author = author_of(reading.message)
    report = Report(
        file=message.name,
        size_octets=reading.message.size_octets,
        reading=reading.notes + tuple(f"--original: {n}" for n in (sent.notes if sent else ())),
        author=author,
        judged=tuple(_judged(reading.message, verdicts, answers, sent.message if sent else None)),
        overall=overall_verdict(verdicts, unsigned(reading.message, author, local_keys.domains)),
        organizational=organizational_domains(),
        local_domains=local_keys.domains,
    )
    if as_object:
        click.echo(orjson.dumps(as_json(report), option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo(as_text(report))
    local_keys.close()
    for fault in local_keys.faults:
        click.echo(f"local key: {fault}", err=True)
    if not report.overall.passed:
        raise click.exceptions.Exit(1)


def _local(
    signatures: Sequence[object], names: Sequence[str], local_keys: LocalKeys
) -> dict[str, LocalKey]:
    """Our own keys of the names that are asked for."""
    found: dict[str, LocalKey] = {}
    for signature in signatures:
        if isinstance(signature, Signature):
            name = record_name(signature.selector, signature.domain)
            if name in names and name not in found:
                key = local_keys.of(signature.domain, signature.selector)
                if key is not None:
                    found[name] = key
    return found


def _judged(
    message: Message,
    verdicts: Sequence[Verdict],
    answers: Mapping[str, TxtAnswer],
    original: Message | None,
) -> list[Judged]:
    second = SecondOpinion(message)
    explained = 0
    judged: list[Judged] = []
    for index, verdict in enumerate(verdicts):
        if verdict.copy_of is not None:
            judged.append(replace(judged[verdict.copy_of], verdict=verdict))
        elif verdict.is_skipped or index >= _MAX_OPINIONS:
            judged.append(Judged(verdict, _TOO_MANY))
        else:
            signature = verdict.signature
            name = record_name(signature.selector, signature.domain) if signature else ""
            opinion = second.on(index, answers[name].records if name in answers else ())
            changes: tuple[Change, ...] = ()
            if explained < _MAX_EXPLAINED:
                changes = find_changes(message, verdict, original)
            explained += bool(changes)
            state, detail = _record_of_local_key(verdict, answers.get(name))
            judged.append(Judged(verdict, opinion, changes, state, detail))
    return judged


def _record_of_local_key(verdict: Verdict, answer: TxtAnswer | None) -> tuple[str, str]:
    """How what is published stands to our own key of that name."""
    if verdict.local is None or answer is None:
        return "", ""
    state, detail = judge_record(answer, verdict.local.public)
    return state.value, detail
