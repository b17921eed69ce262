"""config/relay.toml and the settings table of the README, made from the models. No IO."""

from __future__ import annotations

import json
from textwrap import wrap
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from relay.config.inbound import Client, Listener
from relay.config.keys import Publishing
from relay.config.outbound import Route, Upstream
from relay.config.settings import Config, Domain

_ARRAYS: dict[str, type[BaseModel]] = {
    "listeners": Listener,
    "clients": Client,
    "upstreams": Upstream,
    "routes": Route,
    "publishing": Publishing,
}
_OPTIONAL = ("clients", "routes", "publishing")
_SINGLE = (str, int, float)  # settings that stand in no section
_SHOWN = {
    (Client, "name"): "apps",
    (Client, "networks"): ["10.0.0.0/8"],
    (Route, "name"): "bulk",
    (Route, "upstreams"): ["esp"],
    (Publishing, "name"): "primary",
    (Publishing, "server"): "192.0.2.53",
    (Upstream, "name"): "esp",
    (Upstream, "url"): "smtp://smtp.example.net:587",
}
_ACTIVE = {(Listener, "address"), (Upstream, "name"), (Upstream, "url")}
_HEAD = """\
# dkim-relay: all settings with their defaults.
#
# Every setting can also come from the environment: DKIM_RELAY_KEYS_DIR, DKIM_RELAY_LISTEN,
# DKIM_RELAY_CLIENT__NETWORKS, DKIM_RELAY_UPSTREAM__URL, DKIM_RELAY_DNS__GATE and so on, lists
# with commas; the environment wins. A secret can come from a file:
# DKIM_RELAY_UPSTREAM__PASSWORD_FILE.
# Made by `dkim-relay config example`; check yours with `dkim-relay config check`.
"""


def example() -> str:
    """The annotated file."""
    single = {n: i for n, i in Config.model_fields.items() if i.annotation in _SINGLE}
    parts = [_HEAD, "".join(_setting(Config, name, info) for name, info in single.items())]
    for name, info in Config.model_fields.items():
        if name in single:
            continue
        if name == "domains":
            parts.append(_section(Domain, '# [domains."example.com"]'))
        elif name in _ARRAYS:
            commented = "# " if name in _OPTIONAL else ""
            parts.append(_section(_ARRAYS[name], f"{commented}[[{name}]]"))
        else:
            model = info.annotation
            assert isinstance(model, type)  # noqa: S101 - for the type checker
            parts.append(_section(model, f"[{name}]"))
    return "\n".join(parts)


def _section(model: type[BaseModel], header: str) -> str:
    about = "\n".join(f"# {line}" for line in wrap(str(model.__doc__).split("\n\n")[0], 96))
    settings = [_setting(model, name, info) for name, info in model.model_fields.items()]
    return f"{about}\n{header}\n" + "".join(settings)


def _setting(model: type[BaseModel], name: str, info: FieldInfo) -> str:
    value = _SHOWN.get((model, name), _default(info))
    active = (model, name) in _ACTIVE
    line = f"{'' if active else '# '}{name} = {_toml(value)}"
    comment = f"  # {info.description}"
    if len(line) + len(comment) <= 99:
        return line + comment + "\n"
    return "".join(f"# {part}\n" for part in wrap(str(info.description), 96)) + line + "\n"


def _default(info: FieldInfo) -> Any:
    return "" if info.is_required() else info.get_default(call_default_factory=True)


def _toml(value: Any) -> str:
    if isinstance(value, SecretStr):
        return '""'
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)  # strings, numbers, booleans and flat lists read alike in TOML


def table() -> str:
    """The settings as a Markdown table, for the README."""
    rows = ["| setting | default | what it does |", "|---|---|---|"]
    single = [(n, i) for n, i in Config.model_fields.items() if i.annotation in _SINGLE]
    rows += [_row(name, info) for name, info in single]
    for name, info in Config.model_fields.items():
        model = {**_ARRAYS, "domains": Domain}.get(name, info.annotation)
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            continue
        shown = {"domains": '[domains."…"]'}.get(
            name, f"[[{name}]]" if name in _ARRAYS else f"[{name}]"
        )
        rows += [_row(f"{shown} {key}", setting) for key, setting in model.model_fields.items()]
    return "\n".join(rows) + "\n"


def _row(name: str, info: FieldInfo) -> str:
    default = "required" if info.is_required() else f"`{_toml(_default(info))}`"
    return f"| `{name}` | {default} | {info.description} |"
