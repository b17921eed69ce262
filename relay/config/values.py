"""Values that settings may have, each with what is wrong with others. No IO."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from relay.core.address import a_label, is_domain
from relay.core.errors import SyntaxFault

Item = TypeVar("Item")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/\s]+):([0-9]{1,5})")
_URL = re.compile(r"(?i)(smtps?|lmtp)://(\[[0-9a-f:.]+\]|[a-z0-9._\-]+)(?::([^/]*))?/?")
_SOCKET_URL = re.compile(r"(?i)(lmtp\+)?unix:(/[^\s?#]+)")
_FINGERPRINT = re.compile(r"(?i)(?:sha256:)?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})")
MAX_PORT = 65535
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)/(s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(d|h|min|s)")
_LENGTHS = {"d": 86400, "h": 3600, "min": 60, "s": 1}
_SELECTOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?")


def fault(what: str, fix: str, *, at: str = "") -> PydanticCustomError:
    """A fault of a setting: what is wrong, what to do, and at which key of its section."""
    return PydanticCustomError("relay", "{what}", {"what": what, "fix": fix, "at": at})


def domain_name(value: str) -> str:
    """A domain in A-labels."""
    try:
        name = a_label(value)
    except SyntaxFault:
        name = ""
    if "." not in name or not is_domain(name.encode("ascii")):
        raise fault(f"{value!r} is not a domain name", 'write it like "example.com"')
    return name


def selector_name(value: str) -> str:
    """A selector in lower case."""
    if _SELECTOR.fullmatch(value) is None:
        raise fault(f"{value!r} is not a selector", "letters, digits, hyphens, dots")
    return value.lower()


def split_host_port(value: str) -> tuple[str, int]:
    """Split "127.0.0.1:25" or "[::1]:25" into host and port.

    Raises:
        PydanticCustomError: it is neither.
    """
    found = _HOST_PORT.fullmatch(value)
    if found is None or int(found[2]) > MAX_PORT:
        raise fault(f"{value!r} is not HOST:PORT", 'for example "127.0.0.1:2525" or "[::1]:2525"')
    return found[1].strip("[]"), int(found[2])


def listen_address(value: str) -> str:
    """Where to listen: IP address and port, a UNIX socket, or a passed one."""
    kind, _, rest = value.partition(":")
    if kind == "unix":
        if not rest.startswith("/"):
            raise fault(f"{value!r} is not an absolute path", '"unix:/run/dkim-relay.sock"')
        return value
    if kind == "fd":
        if not (rest.isdecimal() and int(rest) > 2):
            raise fault(f"{value!r} is not a passed socket", '"fd:3" is the first of systemd')
        return value
    host, _ = split_host_port(value)
    try:
        ip_address(host)
    except ValueError as exc:
        raise fault(f"{host!r} is not an IP address", 'for example "127.0.0.1:2525"') from exc
    return value


def nameserver(value: str) -> str:
    """An IP address, with or without a port."""
    host = value if is_ip(value) else split_host_port(value)[0]
    if not is_ip(host):
        raise fault(f"{host!r} is not an IP address", 'for example "127.0.0.1:5353"')
    return value


def is_ip(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def bounded_network(value: str) -> str:
    """A network that is not everybody."""
    try:
        network = ip_network(value)
    except ValueError as exc:
        raise fault(f"{value!r} is not a network", 'for example "10.0.0.0/8"') from exc
    if network.prefixlen == 0:
        raise fault(f"{value!r} would believe everyone", "name the networks of your own proxies")
    return value


def network(value: str) -> str:
    """A network, everybody included."""
    try:
        ip_network(value)
    except ValueError as exc:
        raise fault(f"{value!r} is not a network", 'for example "10.0.0.0/8"') from exc
    return value


def mode(value: str) -> str:
    """Permissions in octal."""
    if re.fullmatch(r"0?[0-7]{3}", value) is None:
        raise fault(f"{value!r} is not a mode", 'octal, for example "0660"')
    return value


def from_address(value: str) -> str:
    """A domain, "*.domain", an address, or "*"."""
    if value == "*":
        return value
    head, at, domain = value.rpartition("@")
    wildcard = not at and domain.startswith("*.")
    try:
        name = domain_name(domain[2:] if wildcard else domain)
    except PydanticCustomError:
        name = ""
    if not name or (at and ("@" in head or "*" in head or not head)):
        what = f'{value!r} is no domain, "*.domain" or address'
        raise fault(what, 'for example "example.com", "*.example.com" or "user@example.com"')
    return f"{head}@{name}" if at else ("*." if wildcard else "") + name


def reverse_path(value: str) -> str:
    """A domain, "*.domain", an address, "*", or "<>" for the null reverse-path."""
    return value if value == "<>" else from_address(value)


def host_name(value: str) -> str:
    """A host name, or nothing."""
    if value and not is_domain(value.encode("ascii", "replace")):
        raise fault(f"{value!r} is not a host name", 'for example "relay.example.net"')
    return value


def split_url(url: str) -> tuple[str, str, int]:
    """Scheme and host in lower case, and the port, 0 when there is none.

    For the URL of a UNIX socket, "smtp" or "lmtp", "localhost" and 0.
    """
    if socket := _SOCKET_URL.fullmatch(url):
        return "lmtp" if socket[1] else "smtp", "localhost", 0
    found = _URL.fullmatch(url)
    if found is None:
        # Not shown: people put passwords into it.
        fix = 'for example "smtp://smtp.example.net:587", "lmtp://127.0.0.1:24" or "unix:/path"'
        raise fault("url is not smtp://HOST:PORT", fix)
    port = found[3]
    if port is not None and not (port.isdecimal() and 0 < int(port[:6]) <= MAX_PORT):
        raise fault("url has a bad port", "1 to 65535")
    return found[1].lower(), found[2].strip("[]").lower(), int(port or 0)


def socket_path(url: str) -> str:
    """The path in the URL of a UNIX socket; empty in any other URL."""
    found = _SOCKET_URL.fullmatch(url)
    return found[2] if found else ""


def upstream_url(url: str) -> str:
    """smtp://, smtps:// or lmtp://, a host, perhaps a port; unix: or lmtp+unix:, and a path."""
    if "@" in url and not socket_path(url):
        raise fault("url has credentials in it", "put them into username and password")
    split_url(url)
    return url


def per_second(rate: str) -> float:
    """What a rate like "14/s", "600/min" or "20000/h" is in a second; 0 for none.

    Raises:
        PydanticCustomError: it is not like these.
    """
    if not rate:
        return 0.0
    found = _RATE.fullmatch(rate)
    if found is None or not float(found[1]):
        raise fault(f"{rate!r} is not a rate", 'for example "14/s", "600/min" or "20000/h"')
    return float(found[1]) / _SECONDS[found[2]]


def rate(value: str) -> str:
    """So many a second, a minute or an hour, or nothing."""
    per_second(value)
    return value


def token_url(url: str) -> str:
    """https://, a host, perhaps port and path; or nothing."""
    if not url:
        return url
    try:
        parts = urlsplit(url)
        is_good = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or "@" in parts.netloc or not (url.isascii() and url.isprintable()):
        fix = 'for example "https://login.example.net/oauth2/token"'
        raise fault("is not https://HOST/PATH, without credentials", fix)
    return url


def fingerprint(value: str) -> str:
    """A SHA-256 digest: "sha256:" and 64 digits in lower case, without colons between octets."""
    found = _FINGERPRINT.fullmatch(value)
    if found is None:
        fix = "as `openssl x509 -fingerprint -sha256` prints it: 64 hexadecimal digits"
        raise fault(f"{value!r} is not a SHA-256 fingerprint", fix)
    return f"sha256:{found[1].replace(':', '').lower()}"


def duration(value: str) -> str:
    """A length of time like "90d", "12h" or "30s", or nothing."""
    if value and (_DURATION.fullmatch(value) is None or not float(value.rstrip("dhmins"))):
        raise fault(f"{value!r} is not a length of time", 'for example "90d", "12h" or "30min"')
    return value


def duration_seconds(value: str) -> float:
    """What `duration` permits, in seconds; 0 for nothing."""
    found = _DURATION.fullmatch(value)
    return float(found[1]) * _LENGTHS[found[2]] if found else 0.0


def rotation(value: str) -> str:
    """A length of time, "never", or nothing."""
    return value if value == "never" else duration(value)


def optional_domain_name(value: str) -> str:
    """A domain in A-labels, or nothing."""
    return domain_name(value) if value else value


def domain_pattern(value: str) -> str:
    """A domain, "*.domain", or "*"."""
    if value == "*":
        return value
    return f"*.{domain_name(value[2:])}" if value.startswith("*.") else domain_name(value)


def some(values: tuple[Item, ...]) -> tuple[Item, ...]:
    """At least one."""
    if not values:
        raise fault("is empty", "name at least one, or leave it out")
    return values


def number(value: object) -> object:
    """Not `true`, which would count as 1."""
    if isinstance(value, bool):
        raise fault(f"{str(value).lower()} is not a number of seconds", "write a number, like 10")
    return value


Seconds = Annotated[float, BeforeValidator(number), Field(gt=0, allow_inf_nan=False)]
# Or none at all.
Pause = Annotated[float, BeforeValidator(number), Field(ge=0, allow_inf_nan=False)]
