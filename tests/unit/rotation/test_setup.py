"""Settings of rotations get to what goes by them."""

from __future__ import annotations

from relay.config.outbound import Upstream
from relay.config.settings import Config
from relay.dns.gate import OpenGate
from relay.rotation.plan import DAY_SECONDS, Policy
from relay.rotation.setup import make_surroundings

UPSTREAM = Upstream(url="smtp://192.0.2.1", tls="none")
CONFIG = Config.model_validate(
    {
        "upstreams": [UPSTREAM],
        "rotation": {"every": "90d", "retire_after": "10d", "old_records": "revoke"},
        "domains": {"often.example": {"rotation": "30d"}, "never.example": {"rotation": "never"}},
        "publishing": [{"name": "ours", "domains": ["often.example"], "server": "192.0.2.53"}],
    }
)


def test_what_settings_say_of_a_domain() -> None:
    """The section counts for all, a domain's own setting before it, a provider for its domains."""
    policy = make_surroundings(CONFIG, OpenGate()).policy
    kept = Policy(90 * DAY_SECONDS, 10 * DAY_SECONDS, is_published_by_us=False, revokes=True)
    assert policy("example.com") == kept
    often = Policy(30 * DAY_SECONDS, 10 * DAY_SECONDS, is_published_by_us=True, revokes=True)
    assert policy("often.example") == often
    assert policy("never.example").every_seconds == 0


def test_defaults_of_rotations() -> None:
    """Nothing is due by itself, and old records are removed after a week."""
    config = Config(upstreams=(UPSTREAM,))
    assert make_surroundings(config, OpenGate()).policy("example.com") == Policy()
