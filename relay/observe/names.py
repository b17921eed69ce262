"""Names and label values of metrics that are known beforehand. Pure.

They are what other parts tell; tests compare them with those parts.
"""

from __future__ import annotations

from typing import Final

PREFIX: Final = "dkim_relay_"
REPLY_CLASSES: Final = ("2xx", "4xx", "5xx", "none")
INTERNAL_FAILURES: Final = ("internal.failed", "session.failed")
UPSTREAM_EVENTS: Final = (
    "upstream.opened",
    "upstream.failed",
    "upstream.closed",
    "upstream.replayed",
    "upstream.diverted",
    "upstream.tripped",
    "upstream.probing",
    "upstream.restored",
    "upstream.throttled",
    "upstream.reloaded",
    "upstream.outdated",
)
LIMITS: Final = (
    "max_connections",
    "max_connections_per_address",
    "max_messages_per_session",
    "max_recipients",
    "max_bad_commands",
    "max_command_bytes",
    "max_failed_logins",
    "max_failed_logins_per_session",
    "min_data_bytes_per_second",
    "auth_line",
    "command_seconds",
    "idle_seconds",
    "memory_seconds",
)
OTHER_EVENTS: Final = (
    "key.loaded",
    "key.replaced",
    "key.removed",
    "key.failed",
    "key.questionable",
    "key.matched",
    "key.unanswered",
    "key.mismatched",
    "rotation.due",
    "rotation.failed",
    "certificates.loaded",
    "certificates.failed",
    "clients.alike",
    "listener.exhausted",
    "state.failed",
    "service.reloaded",
    "service.reload_failed",
    "service.failed",
    "worker.started",
    "worker.ended",
    "worker.failed",
    "worker.stalled",
    "wire.client",
    "wire.upstream",
)
