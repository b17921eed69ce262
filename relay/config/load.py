"""File and environment in; a Config, or every fault at once, out.

The environment wins over the file. `DKIM_RELAY_LISTEN`, `DKIM_RELAY_LISTENER__…`, `…CLIENT__…`
and `…UPSTREAM__…` speak of the single one of each, so that a sidecar needs no file at all.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from relay.config.contradictions import SECRETS as UPSTREAM_SECRETS
from relay.config.inbound import Client, Listener
from relay.config.lines import Location, find_lines, nearest_line
from relay.config.outbound import Upstream
from relay.config.settings import Config, cross_faults
from relay.core.errors import ConfigError, Fault

PREFIX = "DKIM_RELAY_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
DEFAULT_FILE = Path("config/relay.toml")
_SECTIONS = ("dns", "rotation", "signing", "limits", "logging", "service", "admin")
# What a variable calls the single one of them, and where it stands in the file.
_SINGLE: dict[str, tuple[str, type[BaseModel]]] = {
    "listener": ("listeners", Listener),
    "client": ("clients", Client),
    "upstream": ("upstreams", Upstream),
}
_SECRETS = {"upstreams": UPSTREAM_SECRETS, "clients": ("password_hash",)}
# What Kubernetes sets by itself for Services that are called dkim-relay, dkim-relay-admin …
_SERVICE_LINK = re.compile(
    r"(?!.*__)(?:[A-Z0-9_]+_)?(?:SERVICE_(?:HOST|PORT(?:_.+)?)|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_.+)?)?)"
)


class _Source:
    """Where each setting came from, so that a fault can name it."""

    def __init__(self, file: str, lines: dict[Location, int]) -> None:
        self._file = file
        self._lines = lines
        self._variables: dict[Location, str] = {}

    def from_variable(self, location: Location, variable: str) -> None:
        self._variables[location] = variable

    def is_variable(self, location: Location) -> bool:
        return location in self._variables

    def where(self, location: Location) -> str:
        for length in range(len(location), 0, -1):  # an item of a list, a key of a section
            if location[:length] in self._variables:
                return self._variables[location[:length]]
        line = nearest_line(self._lines, location)
        if line is not None:
            return f"{self._file}:{line}"
        return self._file or "settings"


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the settings.

    Args:
        path: the file that was asked for, or None: then `DKIM_RELAY_CONFIG`, then
            config/relay.toml where it exists, then none.
        environ: the environment.

    Raises:
        ConfigError: everything that is wrong, each with its place and its fix.
    """
    data, source = _read_file(path, environ)
    faults = _apply_environment(data, environ, source)
    faults += _read_secret_files(data, source)
    crossed = [
        Fault(source.where(location), what, fix) for location, what, fix in cross_faults(data)
    ]
    config = None
    try:
        config = Config.model_validate(data)
    except ValidationError as exc:
        faults += [_fault(error, source) for error in exc.errors() if error["type"] != "cross"]
    if config is None or faults or crossed:
        raise ConfigError((*faults, *crossed))
    return config


def _read_file(path: Path | None, environ: Mapping[str, str]) -> tuple[dict[str, Any], _Source]:
    if path is None and environ.get(CONFIG_VARIABLE):
        path = Path(environ[CONFIG_VARIABLE])
    if path is None:
        if not _default_file_counts():
            return {}, _Source("", {})
        path = DEFAULT_FILE
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text), _Source(str(path), find_lines(text))
    except OSError as exc:
        fix = "name an existing file with -c or DKIM_RELAY_CONFIG"
        raise ConfigError((Fault(str(path), exc.strerror or str(exc), fix),)) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError((Fault(str(path), f"not TOML: {exc}", "correct the syntax"),)) from exc


def _default_file_counts() -> bool:
    """Whether it is there; where its folder is closed to us it counts, and to read it says so."""
    for path in (DEFAULT_FILE, DEFAULT_FILE.parent):
        with suppress(OSError):
            return path.exists()
    return False  # we stand in a folder that is closed to us, as /root is for `runuser`


def _apply_environment(
    data: dict[str, Any], environ: Mapping[str, str], source: _Source
) -> list[Fault]:
    faults = []
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX)
        if name == variable or variable == CONFIG_VARIABLE or _SERVICE_LINK.fullmatch(name):
            continue
        location = _location(name.lower())
        if location is None:
            faults.append(Fault(variable, "is not a setting", "see dkim-relay config example"))
            continue
        given = data.get(str(location[0]))
        if len(location) == 3 and isinstance(given, list) and len(given) > 1:
            what = f"speaks of one, and the file has several [[{location[0]}]]"
            faults.append(Fault(variable, what, "set it in the file"))
        elif _put(data, location, environ[variable]):
            source.from_variable(location, variable)
            _forget_other_secret(data, location, source)
    return faults


def _location(name: str) -> Location | None:
    """The setting that a variable means, its prefix taken off and in lower case."""
    section, _, key = name.partition("__")
    if name in ("keys_dir", "keys_passphrase_file", "keys_reload_seconds", "state_dir"):
        return (name,)
    if name == "listen":
        return ("listeners", 0, "address")
    if section in _SINGLE and name != "listener__address":
        array, model = _SINGLE[section]
        return (array, 0, key) if key in model.model_fields else None
    return (section, key) if key in _fields(section) else None


def _fields(section: str) -> Mapping[str, FieldInfo]:
    """The settings of a section that a variable can speak of."""
    model = Config.model_fields[section].annotation if section in _SECTIONS else None
    return model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}


def _put(data: dict[str, Any], location: Location, value: str) -> bool:
    """Set a value; False when the file has something of another kind there, a fault itself."""
    target: Any = data
    for part, following in pairwise(location):
        if isinstance(part, int):
            while len(target) <= part:
                target.append({})
            target = target[part]
        else:
            target = target.setdefault(part, [] if isinstance(following, int) else {})
        if not isinstance(target, list if isinstance(following, int) else dict):
            return False
    parts = [part.strip() for part in value.split(",") if part.strip()]
    target[location[-1]] = parts if _is_list(location) else value
    return True


def _forget_other_secret(data: dict[str, Any], location: Location, source: _Source) -> None:
    """A secret of the environment wins over the file's, whichever of the two forms it has."""
    *section, key = location
    array, name = str(location[0]), str(key)
    other = name.removesuffix("_file") if name.endswith("_file") else f"{name}_file"
    is_secret = name.removesuffix("_file") in _SECRETS.get(array, ())
    if is_secret and not source.is_variable((*section, other)):
        data[array][0].pop(other, None)


def _is_list(location: Location) -> bool:
    """Whether a setting is a list, which a variable gives with commas."""
    section, key = str(location[0]), str(location[-1])
    models = {array: model.model_fields for array, model in _SINGLE.values()}
    field = models.get(section, _fields(section)).get(key)
    return field is not None and get_origin(field.annotation) is tuple


def _read_secret_files(data: dict[str, Any], source: _Source) -> list[Fault]:
    """Look into each `…_file` of a secret, and take what it holds, without its last line end.

    Upstreams keep the path instead: their secrets are read anew whenever the file changes.
    """
    faults = []
    for section, secrets in _SECRETS.items():
        entries = data.get(section)
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            for secret in secrets if isinstance(entry, dict) else ():
                location = (section, index, f"{secret}_file")
                keeps_path = section == "upstreams"
                fault = _read_secret(entry, secret, source, location, keeps_path=keeps_path)
                faults += [fault] if fault is not None else []
    return faults


def _read_secret(
    entry: dict[str, Any], secret: str, source: _Source, location: Location, *, keeps_path: bool
) -> Fault | None:
    path = entry.get(f"{secret}_file")
    if not isinstance(path, str) or not path or entry.get(secret):
        return None
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        what = f"{secret}_file: {path}: not UTF-8"
        return Fault(source.where(location), what, "put the secret alone into it")
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        what = f"{secret}_file: {path}: {getattr(exc, 'strerror', None) or exc}"
        return Fault(source.where(location), what, "mount the secret, or correct the path")
    if not text:
        what = f"{secret}_file: {path}: it is empty"
        return Fault(source.where(location), what, "put the secret into it")
    if not keeps_path:
        entry[secret], entry[f"{secret}_file"] = text, ""
    return None


def _fault(error: Any, source: _Source) -> Fault:
    location: Location = tuple(part for part in error["loc"] if part != "[key]")
    context = error.get("ctx") or {}
    if context.get("at"):
        location = (*location, context["at"])
    name = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).lstrip(".")
    if error["type"] == "relay":
        return Fault(source.where(location), f"{name}: {context['what']}", context["fix"])
    return Fault(source.where(location), f"{name}: {_plain(error)}", _hint(error["type"], name))


def _plain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "is not a setting"
    text: str = error["msg"]
    text = text[:1].lower() + text[1:]
    given = error["input"]
    is_secret = error["loc"] and error["loc"][-1] in (*UPSTREAM_SECRETS, "password_hash")
    if error["type"] == "missing" or is_secret or not isinstance(given, str | int | float):
        return text
    return f"{text}, not {given!r:.100}"


def _hint(kind: str, name: str) -> str:
    match kind, name:
        case "extra_forbidden", _:
            return "see dkim-relay config example"
        case "missing", "upstreams[0].url":
            return "set DKIM_RELAY_UPSTREAM__URL, or url in [[upstreams]]"
        case "missing", _:
            return "set it"
        case _:
            return "correct the value"
