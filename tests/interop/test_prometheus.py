"""The real Prometheus scrapes a real relay of several processes, with our rules loaded."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.processes import LOOPBACK, Program, free_port, wait_until
from tests.fakes.programs import require_program
from tests.fakes.smarthost import Smarthost, in_thread
from tests.interop.relay_process import RelayProcess, make_key

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-some-length"
DOMAIN = "example.com"


class Prometheus:
    """A server that scrapes one relay every second."""

    def __init__(self, folder: Path, admin_port: int, token_file: Path) -> None:
        """Describe it."""
        self._port = free_port()
        settings = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ROOT / "config/deploy/prometheus-rules.yaml")],
            "scrape_configs": [
                {
                    "job_name": "dkim-relay",
                    "authorization": {"credentials_file": str(token_file)},
                    "static_configs": [{"targets": [f"{LOOPBACK}:{admin_port}"]}],
                }
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(settings))
        self.program = Program(
            [
                require_program("prometheus", "prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={LOOPBACK}:{self._port}",
            ],
            folder=folder,
            name="prometheus",
        )

    def is_ready(self) -> bool:
        """Whether it answers questions."""
        try:
            urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}/-/ready", timeout=30).close()
        except OSError:  # URLError and HTTPError are
            return False
        return True

    def api(self, path: str, **query: str) -> Any:
        """The data of an answer of its API."""
        url = f"http://{LOOPBACK}:{self._port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def value(self, expression: str) -> float | None:
        """The value of an expression now; None when there is none."""
        found = self.api("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None


class Scraped:
    """A relay with two workers, and the Prometheus that scrapes it."""

    def __init__(self, relay: RelayProcess, prometheus: Prometheus, admin_port: int) -> None:
        """Both run."""
        self.relay = relay
        self.prometheus = prometheus
        self._url = f"http://{LOOPBACK}:{admin_port}"

    def send(self, count: int) -> None:
        """So many messages, each on a connection of its own."""
        for _ in range(count):
            with smtplib.SMTP(LOOPBACK, self.relay.port) as client:
                client.sendmail(f"a@{DOMAIN}", ["b@example.net"], f"From: a@{DOMAIN}\r\n\r\nx\r\n")

    def workers(self) -> list[int]:
        """The processes that take mail."""
        asked = urllib.request.Request(  # noqa: S310 - loopback
            f"{self._url}/status", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - loopback
            found: list[int] = json.load(answer)["processes"]
        return found

    def wait_for(self, expression: str, value: float) -> None:
        """Until Prometheus has this value."""
        wait_until(
            lambda: self.prometheus.value(expression) == value,
            what=f"{expression} is {value}",
            wait_seconds=30,
            describe=lambda: f"{self.prometheus.value(expression)}\n{self.relay.tail()}",
        )


@pytest.fixture
def scraped(tmp_path: Path) -> Iterator[Scraped]:
    """Two workers, a token, a key and a smarthost."""
    folders = [tmp_path / name for name in ("relay", "keys", "prometheus")]
    for folder in folders:
        folder.mkdir()
    relay_folder, keys_dir, prometheus_folder = folders
    token_file, admin_port = tmp_path / "token", free_port()
    token_file.write_text(TOKEN)
    make_key(keys_dir, DOMAIN, "s1", algorithm="ed25519")
    settings = {
        "DKIM_RELAY_ADMIN__ADDRESS": f"{LOOPBACK}:{admin_port}",
        "DKIM_RELAY_ADMIN__TOKEN_FILE": str(token_file),
        "DKIM_RELAY_SERVICE__WORKERS": "2",
    }
    prometheus = Prometheus(prometheus_folder, admin_port, token_file)
    with (
        in_thread(Smarthost()) as smarthost,
        RelayProcess(
            relay_folder, keys_dir=keys_dir, upstream_port=smarthost.port, settings=settings
        ) as relay,
        prometheus.program as program,
    ):
        program.wait_ready(prometheus.is_ready)
        yield Scraped(relay, prometheus, admin_port)


def test_counts_of_all_workers_even_of_one_that_was_killed(scraped: Scraped) -> None:
    """Every message is counted once, whoever relayed it and whatever became of that process."""
    scraped.wait_for("dkim_relay_processes", 2)
    scraped.wait_for("dkim_relay_signed_total", 0)
    scraped.send(8)
    scraped.wait_for("dkim_relay_signed_total", 8)
    before = scraped.workers()
    os.kill(before[0], signal.SIGKILL)
    wait_until(
        lambda: len(now := scraped.workers()) == 2 and before[0] not in now,
        what="another worker has taken its place",
    )
    scraped.send(4)
    scraped.wait_for("dkim_relay_signed_total", 12)
    scraped.wait_for('sum(dkim_relay_messages_total{outcome="relayed"})', 12)
    scraped.wait_for("sum(dkim_relay_unsigned_total)", 0)
    scraped.wait_for('dkim_relay_upstream_reach{reach="ok"}', 1)
    scraped.wait_for("dkim_relay_ready", 1)


def test_targets_and_rules_have_no_complaints(scraped: Scraped) -> None:
    """Prometheus takes every line of the exposition, and evaluates every rule."""
    scraped.wait_for("up", 1)
    scraped.wait_for("dkim_relay_ready", 1)
    [target] = scraped.prometheus.api("targets")["activeTargets"]
    assert target["lastError"] == ""

    def evaluated() -> bool:
        [group] = scraped.prometheus.api("rules")["groups"]
        return all(rule["health"] == "ok" for rule in group["rules"])

    wait_until(evaluated, what="every rule was evaluated")
    alerts = scraped.prometheus.api("alerts")["alerts"]
    assert [a["labels"]["alertname"] for a in alerts if a["state"] == "firing"] == []
