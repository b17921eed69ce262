"""So much of each limit for each process; settings on their way to another one."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from relay.config.example import example
from relay.config.load import load
from relay.config.settings import Config
from relay.config.values import per_second
from relay.core.errors import ConfigError
from relay.service.channel import _revealed, packed, unpacked
from relay.service.cpus import usable_cpus
from relay.service.share import share_of

MIB = 1024 * 1024


def config(**upstream: object) -> Config:
    """Settings with an upstream."""
    return Config.model_validate({"upstreams": [{"url": "smtp://h.example", **upstream}]})


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 7])
def test_parts_make_the_whole(processes: int) -> None:
    """What is promised to others is neither more nor less than the settings say."""
    whole = config(max_connections=50, min_idle_connections=5, rate="14/s", rate_burst=28)
    parts = [share_of(whole, n, processes) for n in range(processes)]
    upstreams = [part.upstreams[0] for part in parts]
    assert sum(u.max_connections for u in upstreams) == 50
    assert sum(u.min_idle_connections for u in upstreams) == 5
    assert sum(u.rate_burst for u in upstreams) == 28
    assert sum(per_second(u.rate) for u in upstreams) == pytest.approx(14, rel=1e-6)
    assert sum(p.limits.max_connections for p in parts) == whole.limits.max_connections
    for part in parts:
        assert Config.model_validate(part.model_dump()) == part


def test_one_process_has_everything() -> None:
    """Nothing is changed."""
    whole = config(rate="14/s")
    assert share_of(whole, 0, 1) is whole


def test_memory_for_a_message() -> None:
    """However many there are, each takes a message of the largest size."""
    whole = config()
    assert share_of(whole, 0, 2).limits.max_inflight_bytes == 128 * MIB
    assert share_of(whole, 0, 32).limits.max_inflight_bytes == 50 * MIB


def test_no_burst_is_one_second_of_all() -> None:
    """The default burst is divided as a set one is."""
    parts = [share_of(config(rate="600/min"), n, 2).upstreams[0] for n in range(2)]
    assert [part.rate_burst for part in parts] == [5, 5]


def test_more_processes_than_connections() -> None:
    """Some would have none: the fault names both settings."""
    with pytest.raises(ConfigError, match=r"upstreams\[0\].max_connections: 3 for 4 workers"):
        share_of(config(max_connections=3), 0, 4)


def test_settings_for_another_process(tmp_path: Path) -> None:
    """They arrive as they were, secrets and all."""
    path = tmp_path / "relay.toml"
    path.write_text(example(), "utf-8")
    given = {
        "DKIM_RELAY_UPSTREAM__URL": "smtps://h.example",
        "DKIM_RELAY_UPSTREAM__USERNAME": "u",
        "DKIM_RELAY_UPSTREAM__PASSWORD": "hünter2",
        "DKIM_RELAY_CLIENT__NETWORKS": "192.0.2.0/24,2001:db8::/32",
    }
    for settings in (load(None, given), load(path, given)):
        sent = orjson.dumps(packed(settings), default=_revealed)
        there = unpacked(orjson.loads(sent))
        assert there == settings
        assert there.upstreams[0].password.get_secret_value() == "hünter2"


@pytest.mark.parametrize(
    ("group", "file", "text", "cpus"),
    [
        ("0::/", "cpu.max", "150000 100000", 1),
        ("0::/a/b", "a/cpu.max", "200000 100000", 2),
        ("0::/a/b", "a/b/cpu.max", "max 100000", 1000),
        ("0::/", "cpu.max", "50000 100000", 1),
        ("4:cpu,cpuacct:/a", "cpu,cpuacct/a/cpu.cfs_quota_us", "300000", 3),
        ("4:cpu,cpuacct:/a", "cpu,cpuacct/a/cpu.cfs_quota_us", "-1", 1000),
        ("0::/", "other", "", 1000),
    ],
)
def test_cpus_of_a_quota(tmp_path: Path, group: str, file: str, text: str, cpus: int) -> None:
    """The least of our group's and those above it, in whole CPUs; at least one."""
    groups = tmp_path / "groups"
    groups.write_text(f"1:name=systemd:/x\n{group}\n")
    path = tmp_path / "root" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.with_name("cpu.cfs_period_us").write_text("100000")
    affinity = usable_cpus(root=tmp_path / "none", groups=tmp_path / "none")
    assert usable_cpus(root=tmp_path / "root", groups=groups) == min(cpus, affinity)
