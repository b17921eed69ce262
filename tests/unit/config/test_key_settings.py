"""Settings of rotation, publishing and the state folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.config import Config, load
from relay.config.keys import Publishing
from relay.config.values import duration_seconds
from relay.core.errors import ConfigError

UPSTREAM = '[[upstreams]]\nurl = "smtp://h.example"\n'


def loaded(tmp_path: Path, text: str, **environ: str) -> Config:
    """Settings with an upstream."""
    path = tmp_path / "relay.toml"
    path.write_text(f"{text}\n{UPSTREAM}")
    return load(path, environ)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0), ("never", 0), ("90d", 7_776_000), ("12h", 43_200), ("1.5min", 90), ("30s", 30)],
)
def test_a_length_of_time(text: str, seconds: float) -> None:
    """A number and a unit."""
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["90", "d", "-1d", "0d", "1w", "1 d", "1d12h", "never"])
def test_no_length_of_time(tmp_path: Path, text: str) -> None:
    """The fault has its line and the forms there are."""
    with pytest.raises(ConfigError, match=r"relay\.toml:2: rotation\.every: .*\"90d\""):
        loaded(tmp_path, f'[rotation]\nevery = "{text}"')


def test_by_domain(tmp_path: Path) -> None:
    """A domain may have its own, or none."""
    text = '[domains."a.example"]\nrotation = "30d"\n[domains."b.example"]\nrotation = "never"'
    config = loaded(tmp_path, text)
    assert [domain.rotation for domain in config.domains.values()] == ["30d", "never"]


def test_the_environment(tmp_path: Path) -> None:
    """A sidecar needs no file for these."""
    config = loaded(
        tmp_path,
        "",
        DKIM_RELAY_STATE_DIR="/state",
        DKIM_RELAY_ROTATION__EVERY="90d",
        DKIM_RELAY_DNS__GRACE="1d",
    )
    assert (config.state_dir, config.rotation.every, config.dns.grace) == ("/state", "90d", "1d")


@pytest.mark.parametrize(
    ("patterns", "has", "has_not"),
    [
        (("*",), ("a.example", "b.a.example"), ()),
        (("a.example",), ("a.example",), ("b.a.example", "ba.example")),
        (("*.a.example",), ("b.a.example",), ("a.example", "ba.example")),
        (("a.example", "c.example"), ("a.example", "c.example"), ("b.example",)),
    ],
)
def test_whose_records(
    patterns: tuple[str, ...], has: tuple[str, ...], has_not: tuple[str, ...]
) -> None:
    """A domain, all below one, or all."""
    publishing = Publishing(name="x", domains=patterns, server="192.0.2.1")
    assert all(publishing.has(domain) for domain in has)
    assert not any(publishing.has(domain) for domain in has_not)
