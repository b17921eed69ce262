"""What has changed from one Config to another one, and what cannot change. Pure."""

from __future__ import annotations

from relay.config.section import Section
from relay.config.settings import Config
from relay.core.errors import Fault


def changed(before: Config, after: Config) -> tuple[str, ...]:
    """The names of the settings that differ, never their values."""
    names: list[str] = []
    for name in Config.model_fields:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            names += _changed_within(name, old, new) if isinstance(new, Section) else [name]
    return tuple(names)


def _changed_within(name: str, old: Section, new: Section) -> list[str]:
    keys = type(new).model_fields
    return [f"{name}.{key}" for key in keys if getattr(old, key) != getattr(new, key)]


def fixed_faults(before: Config, after: Config) -> tuple[Fault, ...]:
    """What has changed that cannot change while the service runs."""
    names = [
        name
        for name in changed(before, after)
        if name in ("state_dir", "service.workers") or name.startswith("admin.")
    ]
    old = {listener.address: listener for listener in before.listeners}
    new = {listener.address: listener for listener in after.listeners}
    if after.service.workers != 1 and old.keys() != new.keys():
        names.append("listeners")  # the sockets of all processes were made at the start
    names += [
        f"listener {address}"
        for address in old.keys() & new.keys()
        if (old[address].unix_mode, old[address].unix_owner)
        != (new[address].unix_mode, new[address].unix_owner)
    ]
    what, fix = "has changed, which needs a restart", "restart the service, or undo the change"
    return tuple(Fault(name, what, fix) for name in names)
