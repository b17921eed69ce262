"""How much hypothesis tries; for more: `pytest tests/property --hypothesis-profile thorough`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Examples are small and quick; these numbers keep the folder at a few seconds. In CI the same
# examples are tried each time, so that a change is what makes a run fail.
settings.register_profile(
    "property",
    max_examples=100,
    deadline=None,
    derandomize=os.environ.get("CI") == "true",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", parent=settings.get_profile("property"), max_examples=2000)
if settings.get_current_profile_name() != "thorough":
    settings.load_profile("property")
