"""What the parts tell, made into events that are noted: names, levels and fields. Pure."""

from __future__ import annotations

from collections.abc import Callable

from relay.core.errors import Fault
from relay.core.events import Event, Noted
from relay.dns.gate import RecordChange
from relay.dns.judge import RecordState
from relay.keyring.changes import Became, KeyChange
from relay.upstream.events import Happened, UpstreamEvent

Emit = Callable[[Event], None]


def key_teller(emit: Emit) -> Callable[[KeyChange], None]:
    """For the keyring: what became of a key."""

    def tell(change: KeyChange) -> None:
        match change.became:
            case Became.LOADED | Became.REPLACED:
                level = "info"
            case Became.REMOVED | Became.QUESTIONABLE:
                level = "warning"
            case Became.FAILED:
                level = "error"
        fields = (
            ("domain", change.domain),
            ("selector", change.selector),
            ("where", change.where),
            ("detail", change.detail),
            ("fix", change.fix),
        )
        given = tuple((name, value) for name, value in fields if value)
        emit(Noted(change.became.value, level, given))

    return tell


def record_teller(emit: Emit) -> Callable[[RecordChange], None]:
    """For the gate: how the record of a key stands now."""

    def tell(change: RecordChange) -> None:
        fields = (
            ("domain", change.domain),
            ("selector", change.selector),
            ("state", change.after.value),
            ("signs", change.is_open),
            ("detail", change.detail),
        )
        match change.after:
            case RecordState.MATCHES:
                emit(Noted("key.matched", "info", fields))
            case RecordState.TEMPERROR | RecordState.UNCHECKED:
                emit(Noted("key.unanswered", "warning", fields))
            case _:
                emit(Noted("key.mismatched", "error", fields))

    return tell


def fault_teller(emit: Emit, name: str) -> Callable[[Fault], None]:
    """For what keeps files of its own: one cannot be read or written, and mail goes on."""

    def tell(fault: Fault) -> None:
        fields = (("where", fault.where), ("detail", fault.what), ("fix", fault.fix))
        emit(Noted(name, "warning", fields))

    return tell


def dialogue_teller(emit: Emit) -> Callable[[str, str], None]:
    """For upstreams whose dialogues an operator wants to see: a name, and a line."""

    def tell(upstream: str, line: str) -> None:
        emit(Noted("wire.upstream", "info", (("upstream", upstream), ("detail", line))))

    return tell


def upstream_teller(emit: Emit) -> Callable[[UpstreamEvent], None]:
    """For pools and routes: what happened to connections and upstreams."""

    def tell(event: UpstreamEvent) -> None:
        fields = (
            ("upstream", event.upstream),
            ("detail", event.detail),
            ("seconds", event.seconds),
            ("transactions", event.transactions),
        )
        match event.happened:
            case Happened.TRIPPED:
                level = "error"
            case Happened.FAILED | Happened.THROTTLED:
                level = "warning"
            case Happened.OPENED | Happened.CLOSED | Happened.REPLAYED | Happened.PROBING:
                level = "debug"
            case Happened.RESTORED | Happened.DIVERTED:
                level = "info"
            case Happened.OUTDATED:
                level = "warning"
            case Happened.RELOADED:
                level = "info"
        emit(Noted(event.happened.value, level, fields))

    return tell
