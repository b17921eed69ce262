"""Immutable values that are cheap to make. Pure.

`@dataclass(frozen=True)` sets each field by a call of `object.__setattr__`, which for the dozens
of small objects that a message needs is a tenth of all that its path costs besides RSA
(tests/bench/hot_path.py). Here only the type checker keeps fields from being set again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def immutable(cls: type[_T]) -> type[_T]:
    """A dataclass with slots, compared and hashed by its fields, which nobody sets again."""
    return dataclass(slots=True, unsafe_hash=True)(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def immutable_by_name(cls: type[_T]) -> type[_T]:
    """The same, whose fields are given by name."""
    return dataclass(slots=True, unsafe_hash=True, kw_only=True)(cls)
