"""What became of keys, as facts for the log. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from relay.core.errors import Fault
from relay.keyring.contents import Contents
from relay.keyring.loading import DomainKeys
from relay.keyring.stored import StoredKey

Item = TypeVar("Item")


class Became(StrEnum):
    """What became of a key; the value is the event's name."""

    LOADED = "key.loaded"
    REPLACED = "key.replaced"  # another key under the same selector
    REMOVED = "key.removed"
    FAILED = "key.failed"
    QUESTIONABLE = "key.questionable"


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One thing that became of a key, or of the keys folder.

    Attributes:
        domain, selector: empty when it is not about one.
        where: the file or folder.
        detail: what happened, or what is wrong.
        fix: what to do; empty when nothing.
    """

    became: Became
    domain: str
    selector: str
    where: str
    detail: str = ""
    fix: str = ""


def changes_between(
    domain: str, before: DomainKeys, after: DomainKeys, *, is_ours: bool = True
) -> Iterator[KeyChange]:
    """What became of the keys of a domain.

    Args:
        domain: in A-labels.
        before: its keys until now.
        after: its keys from now on.
        is_ours: whether it has a folder or settings still.
    """
    old, new = before.by_selector(), after.by_selector()
    for selector, (_, key) in new.items():
        if selector not in old:
            yield _about(Became.LOADED, key)
        elif old[selector][1].public != key.public:
            yield _about(Became.REPLACED, key)
    for selector in sorted(old.keys() - new.keys()):
        detail = "its file is gone, so it signs no more" + _for_mail(is_ours=is_ours, keys=len(new))
        yield _about(Became.REMOVED, old[selector][1], detail, f"dkim-relay keys new {domain}")
    for failed in _only_in(after.failed, before.failed):
        yield _fault(Became.FAILED, failed.fault, domain, failed.selector)
    for warning in _only_in(after.warnings, before.warnings):
        yield _fault(Became.QUESTIONABLE, warning, domain)


def changes_of_folder(before: Contents, after: Contents) -> Iterator[KeyChange]:
    """What became of the keys folder itself."""
    for fault in _only_in(after.faults, before.faults):
        yield _fault(Became.FAILED, fault)
    for warning in _only_in(after.warnings, before.warnings):
        yield _fault(Became.QUESTIONABLE, warning)


def _only_in(after: Sequence[Item], before: Sequence[Item]) -> list[Item]:
    return [item for item in after if item not in before]


def _for_mail(*, is_ours: bool, keys: int) -> str:
    if not is_ours:
        return "; mail from this domain is refused, it has neither folder nor settings"
    return "" if keys else "; it was the last one, so mail from this domain waits"


def _about(became: Became, key: StoredKey, detail: str = "", fix: str = "") -> KeyChange:
    return KeyChange(became, key.domain, key.selector, str(key.path), detail, fix)


def _fault(became: Became, fault: Fault, domain: str = "", selector: str = "") -> KeyChange:
    return KeyChange(became, domain, selector, fault.where, fault.what, fault.fix)
