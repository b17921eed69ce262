"""Metrics, alerts and dashboard fit together, and the real promtool takes them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.core.status import KeyRole
from relay.observe.exposition import exposition
from relay.observe.metrics import Metrics
from tests.deploy.metrics_table import table
from tests.fakes.programs import require_program
from tests.fakes.relay_status import status
from tests.unit.observe.test_metrics import RELAYED

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config/deploy/prometheus-rules.yaml"
RULE_TESTS = Path(__file__).with_name("prometheus-rules.test.yaml")
DASHBOARD = ROOT / "config/deploy/grafana-dashboard.json"
_SELECTOR = re.compile(r"(dkim_relay_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!=|=)\s*"([^"]*)"')
_PLACEHOLDERS = {"$__rate_interval": "5m", "$instance": ".*"}
GRID_COLUMNS = 24


def promtool(*arguments: str, given: bytes | None = None, folder: Path | None = None) -> None:
    """Run it; what it complains of is what the test shows."""
    done = subprocess.run(
        [require_program("promtool", "prometheus"), *arguments],
        input=given,
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def scrape() -> bytes:
    """What a relay says that has relayed a message."""
    metrics = Metrics(upstreams=["esp"])
    metrics.emit(RELAYED)
    return exposition(status(), metrics.registry)


@pytest.fixture(scope="module")
def samples() -> dict[str, dict[str, set[str]]]:
    """By name: its labels, each with the values that are known beforehand."""
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(scrape().decode("utf-8")):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def test_names_and_help_are_as_prometheus_wants_them() -> None:
    """`promtool check metrics` has nothing to say; of the process's own ones neither."""
    promtool("check", "metrics", given=scrape())


def test_the_readme_has_every_metric() -> None:
    """Its table is the generated one: `python -m tests.deploy.metrics_table`."""
    assert table() in (ROOT / "README.md").read_text("utf-8")


def test_the_rules_are_valid() -> None:
    """`promtool check rules` reads expressions and templates."""
    promtool("check", "rules", str(RULES))


def test_the_rules_do_what_they_say(tmp_path: Path) -> None:
    """`promtool test rules`: each alert comes when it should, and not otherwise."""
    shutil.copy(RULES, tmp_path)
    shutil.copy(RULE_TESTS, tmp_path)
    promtool("test", "rules", RULE_TESTS.name, folder=tmp_path)


def test_every_alert_is_tested() -> None:
    """With a time at which it fires and one at which it does not."""
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    tested = re.findall(r'alertname(?:="|: )(\w+)', RULE_TESTS.read_text())
    assert alerts
    assert {alert: tested.count(alert) for alert in alerts} == dict.fromkeys(alerts, 2)


def _dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    return loaded


def _expressions() -> Iterator[str]:
    """All of the dashboard."""
    dashboard = _dashboard()
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (one["expr"] for one in dashboard["annotations"]["list"])


def _filled(expression: str) -> str:
    for name, value in _PLACEHOLDERS.items():
        expression = expression.replace(name, value)
    return expression


def test_the_dashboard_can_be_drawn(tmp_path: Path) -> None:
    """Every expression is one: promtool reads them as recording rules."""
    expressions = [_filled(expression) for expression in _expressions()]
    assert not any("$" in expression for expression in expressions)
    rules = [{"record": f"panel:{n}", "expr": e} for n, e in enumerate(expressions)]
    written = tmp_path / "panels.yaml"  # JSON is YAML
    written.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(written))


def test_panels_have_ids_and_places_of_their_own() -> None:
    """None lies over another, none outside, and each says what it shows."""
    panels = _dashboard()["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= GRID_COLUMNS
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"]
        assert panel["type"] == "row" or panel["targets"]


def test_the_dashboard_names_no_data_source_of_ours() -> None:
    """Whoever imports it chooses one."""
    sources = re.findall(r'"uid": "([^"]*)"', DASHBOARD.read_text())
    assert set(sources) == {"dkim-relay", "${datasource}"}


@pytest.mark.parametrize("expression", [*_expressions(), RULES.read_text()])
def test_every_metric_exists(expression: str, samples: dict[str, dict[str, set[str]]]) -> None:
    """Names, labels and label values of rules and panels are those of the code."""
    selectors = _SELECTOR.findall(_filled(expression))
    assert selectors
    for name, matchers in selectors:
        assert name in samples, name
        for label, how, value in _MATCHER.findall(matchers):
            if label == "instance":  # Prometheus adds it
                continue
            assert label in samples[name], f"{name}: {label}"
            wanted = value.split("|") if how == "=~" else [value]
            assert set(wanted) <= samples[name][label], f"{name}: {label}"


def test_roles_and_reaches_are_complete(samples: dict[str, dict[str, set[str]]]) -> None:
    """A state is one series for each value that it may have."""
    assert samples["dkim_relay_key_role"]["role"] == {role.value for role in KeyRole}
