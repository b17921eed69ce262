"""Settings of how much an upstream is given."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from relay.config.outbound import Upstream
from relay.config.values import per_second


@pytest.mark.parametrize(
    ("rate", "expected"),
    [("", 0), ("14/s", 14), ("0.5/s", 0.5), ("600/min", 10), ("7200/h", 2)],
)
def test_rates(rate: str, expected: float) -> None:
    """By the second, the minute or the hour; nothing is no limit."""
    assert per_second(rate) == expected


@pytest.mark.parametrize("rate", ["14", "14/d", "0/s", "-1/s", "1e3/s", "inf/s", "14 / s", "/s"])
def test_what_is_no_rate(rate: str) -> None:
    """The fault shows how one is written."""
    with pytest.raises(PydanticCustomError) as caught:
        per_second(rate)
    assert caught.value.context is not None
    assert "14/s" in caught.value.context["fix"]


@pytest.mark.parametrize(
    "settings",
    [
        {"rate": "many"},
        {"rate_burst": 3},
        {"rate": "1/s", "rate_burst": -1},
        {"min_idle_connections": 51},
        {"min_idle_connections": -1},
        {"breaker_failures": 0},
        {"breaker_seconds": 0},
        {"backoff_seconds": 0},
    ],
)
def test_what_makes_no_sense(settings: dict[str, Any]) -> None:
    """Refused when the settings are read."""
    with pytest.raises(ValidationError):
        Upstream.model_validate({"url": "smtp://mx.test"} | settings)
