"""How many CPUs this process may use: its affinity, and the quota of its control groups. IO."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_GROUPS: Final = Path("/proc/self/cgroup")


def usable_cpus(*, root: Path = _ROOT, groups: Path = _GROUPS) -> int:
    """At least one.

    Args:
        root: where control groups are mounted.
        groups: says in which ones this process is.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, min([allowed, *_quotas(root, groups)]))


def _quotas(root: Path, groups: Path) -> list[int]:
    """Whole CPUs in a quota, of our group and of those it is in."""
    try:
        lines = groups.read_text("ascii", "replace").splitlines()
    except OSError:
        return []
    found: list[int] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "cpu", "cpu,cpuacct"):
            inner = Path(path.lstrip("/"))
            found += [
                quota
                for group in (inner, *inner.parents)
                for quota in (_v2(root / group), _v1(root / (controllers or "cpu") / group))
                if quota is not None
            ]
    return found


def _v2(group: Path) -> int | None:
    quota, _, period = _text(group / "cpu.max").partition(" ")
    return int(quota) // int(period) if quota.isdecimal() and period.isdecimal() else None


def _v1(group: Path) -> int | None:
    quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
    return int(quota) // int(period) if quota.isdecimal() and period.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
