"""So much of each limit for each of several processes. Pure.

What is promised to others is divided: connections to an upstream and its rate, connections of
clients in all, octets in memory, failed logins. What only keeps one client from taking
everything stays as it is, and holds for each process: connections of one address. Each process
has memory for one message of the largest size, whatever its part would be.
"""

from __future__ import annotations

from relay.config.outbound import Upstream
from relay.config.settings import Config
from relay.config.values import per_second
from relay.core.errors import ConfigError, Fault


def share_of(config: Config, process: int, processes: int) -> Config:
    """The settings of one process.

    Args:
        config: of all of them together.
        process: which, from 0 on.
        processes: how many there are.

    Raises:
        ConfigError: an upstream takes fewer connections than there are processes. The settings
            say so themselves, but for `workers = "auto"`, read anew with fewer connections.
    """
    if processes == 1:
        return config
    faults = tuple(
        Fault(
            f"upstreams[{index}].max_connections",
            f"{upstream.max_connections} for {processes} workers leaves some without any",
            f"raise it, or set service.workers to {upstream.max_connections} at most",
        )
        for index, upstream in enumerate(config.upstreams)
        if upstream.max_connections < processes
    )
    if faults:
        raise ConfigError(faults)
    limits = config.limits
    divided = {
        name: _part(getattr(limits, name), process, processes)
        for name in ("max_connections", "max_inflight_bytes", "max_failed_logins")
    }
    # Less than one message would let none of that size through.
    least = min(limits.max_inflight_bytes, limits.max_message_bytes)
    divided["max_inflight_bytes"] = max(divided["max_inflight_bytes"], least)
    return config.model_copy(
        update={
            "limits": limits.model_copy(update=divided),
            "upstreams": tuple(_upstream(u, process, processes) for u in config.upstreams),
        }
    )


def _part(total: int, process: int, processes: int) -> int:
    """A whole number each, at least one, the first processes one more."""
    return max(1, total // processes + (process < total % processes))


def _upstream(upstream: Upstream, process: int, processes: int) -> Upstream:
    idle = upstream.min_idle_connections
    update: dict[str, object] = {
        "max_connections": _part(upstream.max_connections, process, processes),
        "min_idle_connections": idle // processes + (process < idle % processes),
    }
    if upstream.rate:
        burst = upstream.rate_burst or round(per_second(upstream.rate))
        update["rate"] = f"{per_second(upstream.rate) / processes * 3600:.6f}/h"
        update["rate_burst"] = _part(max(1, burst), process, processes)
    return upstream.model_copy(update=update)
