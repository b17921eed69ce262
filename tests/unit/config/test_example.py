"""config/relay.toml and the table of the README are made from the models, and are true."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from relay.config import load
from relay.config.example import example, table
from relay.config.inbound import Client, Listener
from relay.config.keys import Publishing
from relay.config.outbound import Route, Upstream
from relay.config.settings import Config, Domain

ROOT = Path(__file__).parents[3]
SETTING = re.compile(r"^# ([a-z0-9_]+) = (.+?)(?:  # .*)?$", re.MULTILINE)
SECTION = re.compile(r"^#? ?(\[.*\])$")
MODELS: dict[str, type[BaseModel]] = {
    "": Config,
    "[[listeners]]": Listener,
    "[[clients]]": Client,
    "[[upstreams]]": Upstream,
    "[[routes]]": Route,
    "[[publishing]]": Publishing,
    '[domains."example.com"]': Domain,
}


def test_the_file_is_the_example() -> None:
    """config/relay.toml is what `config example` prints, octet for octet."""
    assert (ROOT / "config" / "relay.toml").read_text("utf-8") == example()


def test_the_example_loads() -> None:
    """As it stands it is a good configuration."""
    config = load(ROOT / "config" / "relay.toml", {})
    assert config.upstreams[0].url == "smtp://smtp.example.net:587"
    assert config.listeners[0].address == "127.0.0.1:2525"
    assert config.keys_dir == "keys"


def test_the_example_loads_with_everything_in_it(tmp_path: Path) -> None:
    """Every commented setting may be uncommented: its name, place and value are right."""
    text = re.sub(r"^# (?=[a-z0-9_]+ = |\[)", "", example(), flags=re.MULTILINE)
    path = tmp_path / "relay.toml"
    path.write_text(text)
    config = load(path, {})
    assert [client.name for client in config.clients] == ["apps"]
    assert list(config.domains) == ["example.com"]


def _settings() -> list[tuple[str, str, Any]]:
    """(section, name, value) of each setting in the example, commented or not."""
    found, section = [], ""
    for line in example().splitlines():
        if header := SECTION.match(line):
            section = header[1]
        elif setting := re.match(r"(?:# )?([a-z0-9_]+) = (.+?)(?:  # .*)?$", line):
            found.append((section, setting[1], tomllib.loads(f"x = {setting[2]}")["x"]))
    return found


@pytest.mark.parametrize(("section", "name", "value"), _settings())
def test_a_default_in_the_example_is_the_models(section: str, name: str, value: Any) -> None:
    """What the file says happens without a setting, happens."""
    model = MODELS.get(section)
    if model is None:
        model = type(getattr(Config(upstreams=(Upstream(url="smtp://h"),)), section.strip("[]")))
    info = model.model_fields[name]
    shown = {
        *((Client, "name"), (Client, "networks"), (Upstream, "name"), (Upstream, "url")),
        *((Route, "name"), (Route, "upstreams")),
        *((Publishing, "name"), (Publishing, "server")),
    }
    if (model, name) in shown:
        return
    default = info.get_default(call_default_factory=True)
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    assert value == (list(default) if isinstance(default, tuple) else default)


def test_the_example_has_every_setting() -> None:
    """None is forgotten."""
    listed = {(section, name) for section, name, _ in _settings()}
    for name, info in Config.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            for key in info.annotation.model_fields:
                assert (f"[{name}]", key) in listed
    for section in ("[[listeners]]", "[[clients]]", "[[upstreams]]", '[domains."example.com"]'):
        for key in MODELS[section].model_fields:
            assert (section, key) in listed


def test_the_table_is_markdown() -> None:
    """Three columns in every row, and a row for every setting."""
    rows = table().splitlines()
    assert len(rows) == len(_settings()) + 2
    for row in rows:
        assert len(re.split(r"(?<!\\)\|", row)) == 5
    assert any("`[limits] max_recipients` | `1000`" in row for row in rows)
    assert json.loads("[]") == []
