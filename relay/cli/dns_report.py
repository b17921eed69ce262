"""What `dkim-relay dns check` says to people: a table, then what matters. Output only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from relay.cli.dns_run import DomainReport
from relay.cli.layout import columns, labelled, lines, wrapped
from relay.core.excerpt import counted
from relay.dns.check import RecordReport
from relay.dns.finding import Code, Finding, Severity
from relay.dns.judge import RecordState
from relay.dns.survey import Trouble

_HEAD = ("DOMAIN", "SELECTOR", "KEY", "RECORD", "SERVERS", "DNSSEC")
_SHOWN_WAITING = 3


def as_text(reports: Sequence[DomainReport]) -> str:
    """A row for each record, then every finding that is not just fine."""
    records = [record for report in reports for record in report.records]
    wrong = sum(not record.is_right for record in records)
    parts = [_table(map(_row, records))]
    for report in reports:
        for record in report.records:
            parts += _section(record.wanted.name, record.findings)
        parts += _section(report.domain, report.findings)
    found = f"{counted(len(records), 'record')}, "
    parts += ["", found + ("all published and matching" if not wrong else f"{wrong} not right")]
    return "\n".join(parts)


def _row(report: RecordReport) -> tuple[str, ...]:
    wanted = report.wanted
    public = wanted.public
    if public is None:
        key = "unreadable" if wanted.problem else "not here"
    else:
        key = f"{public.algorithm.key_type} {public.bits}"
    answers = report.survey.answers
    servers = "not asked"
    if answers:
        good = sum(one.trouble is Trouble.NONE for one in answers)
        servers = f"{good} of {len(answers)} answer"
    state = report.state.value
    if report.is_right and public is None:
        state = "usable"
    elif any(finding.code is Code.NOT_EVERYWHERE for finding in report.findings):
        state = "not everywhere"
    elif not report.is_right and report.state is RecordState.MATCHES:
        state = "matches, but see below"
    return wanted.domain, wanted.selector, key, state, servers, report.dnssec.value


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    table = [_HEAD, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def _section(title: str, findings: Iterable[Finding]) -> list[str]:
    """A heading and its findings; nothing when all is fine."""
    worth = [finding for finding in findings if finding.severity is not Severity.OK]
    return ["", title, *map(_finding, worth)] if worth else []


def _finding(finding: Finding) -> str:
    return lines(
        [
            wrapped(f"{finding.severity} {finding.code}: {finding.symptom}", indent=2, hang=2),
            labelled("cause", finding.cause, indent=4),
            labelled("to do", finding.fix, indent=4),
        ]
    )


class Display:
    """Progress on standard error: one line that is written over, or on no terminal only changes."""

    def __init__(self, stream: TextIO, *, is_terminal: bool) -> None:
        self._stream = stream
        self._is_terminal = is_terminal
        self._width = 0

    def progress(self, done: int, total: int) -> None:
        """So many domains of so many were asked for."""
        self._over(f"asked for {done} of {counted(total, 'domain')}")

    def waiting(self, reports: Sequence[DomainReport], seconds: float) -> None:
        """Some records are not right yet; they are asked for again after so many seconds."""
        records = [record for report in reports for record in report.records]
        open_ones = [record for record in records if not record.is_right]
        named = ", ".join(f"{r.wanted.name} ({r.state})" for r in open_ones[:_SHOWN_WAITING])
        more = ", ..." if len(open_ones) > _SHOWN_WAITING else ""
        done = f"{len(records) - len(open_ones)} of {len(records)} right"
        self._over(f"{done}, again in {seconds:.0f} s: {named}{more}")

    def changed(self, before: RecordReport, after: RecordReport) -> None:
        """The record stands differently than before."""
        self.clear()
        first = after.findings[0].symptom if after.findings else ""
        step = f"{before.state} -> {after.state}"
        self._stream.write(f"{after.wanted.name}: {step}: {first}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Leave the line empty for what comes next."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0

    def _over(self, text: str) -> None:
        if self._is_terminal:
            self.clear()
            text = text[: columns() - 1]
            self._stream.write(text)
            self._stream.flush()
            self._width = len(text)
