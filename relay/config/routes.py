"""What upstreams and routes say against each other and the rest. No IO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Crossing = tuple[tuple[str | int, ...], str, str]
_BUILT_IN_CLIENTS = ("loopback", "socket")  # the rules there are without [[clients]]
_CRITERIA = ("listeners", "clients", "mail_from", "rcpt_to")


def route_faults(data: Mapping[str, Any]) -> Iterator[Crossing]:
    """Names that lead nowhere: (location, what is wrong, what to do).

    Args:
        data: the settings as they were given; other faults in them are passed over.
    """
    upstreams = [entry.get("name", "upstream") for entry in _entries(data, "upstreams")]
    if not upstreams:
        fix = "set DKIM_RELAY_UPSTREAM__URL, or url in one [[upstreams]]"
        yield ("upstreams",), "no upstream, one is needed", fix
        return
    yield from _repeated("upstreams", upstreams)
    routes = _entries(data, "routes")
    yield from _repeated("routes", [route.get("name") for route in routes])
    for index, route in enumerate(routes):
        yield from _unknown(index, route, "upstreams", upstreams)
        yield from _unknown(index, route, "listeners", _listeners(data))
        yield from _unknown(index, route, "clients", _clients(data))
        if index + 1 < len(routes) and not any(route.get(key) for key in _CRITERIA):
            what = f"route {route.get('name')!r} takes everything, those behind it nothing"
            yield ("routes", index, "name"), what, "move it to the end, or give it a criterion"
    leads = [_names(route, "upstreams") for route in routes]
    if not all(names and set(names) <= set(upstreams) for names in leads):
        return  # which upstream is meant is what the operator has to say first
    for index, name in enumerate(upstreams):
        if routes and not any(name in names for names in leads):
            what = f"upstream {name!r} is in no route"
            yield ("upstreams", index, "name"), what, "name it in a route, or remove it"


def _repeated(section: str, names: Sequence[Any]) -> Iterator[Crossing]:
    for index, name in enumerate(names):
        if name is not None and name in names[:index]:
            what = f"another of [[{section}]] is called {name!r} too"
            yield (section, index, "name"), what, "give each a name of its own"


def _unknown(
    index: int, route: Mapping[str, Any], key: str, known: Sequence[str]
) -> Iterator[Crossing]:
    for name in _names(route, key):
        if name not in known:
            what = f"route {route.get('name')!r}: there is no {name!r} in [[{key}]]"
            yield ("routes", index, key), what, f"one of {', '.join(map(repr, known))}"


def _listeners(data: Mapping[str, Any]) -> list[str]:
    default = "127.0.0.1:2525"
    return [e.get("address", default) for e in _entries(data, "listeners")] or [default]


def _clients(data: Mapping[str, Any]) -> list[str]:
    return [e.get("name", "client") for e in _entries(data, "clients")] or list(_BUILT_IN_CLIENTS)


def _entries(data: Mapping[str, Any], section: str) -> list[Mapping[str, Any]]:
    given = data.get(section)
    entries = given if isinstance(given, list | tuple) else ()
    return [entry for entry in entries if isinstance(entry, Mapping)]


def _names(route: Mapping[str, Any], key: str) -> list[str]:
    given = route.get(key)
    return [n for n in given if isinstance(n, str)] if isinstance(given, list | tuple) else []
