"""Asks a relay whether it is ready, as `dkim-relay healthcheck` does. IO, without an event loop.

Written on bare sockets: a health check runs every few seconds, and the libraries for HTTP would
take longer to load than the answer takes to come.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from relay.config.admin import Admin
from relay.config.values import split_host_port
from relay.core.errors import RelayError

MAX_ANSWER_OCTETS: Final = 1024 * 1024
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to connect, not to listen


class NoAnswer(RelayError):
    """Nobody could be asked; the text says who and why."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was answered.

    Attributes:
        is_ready: whether mail can pass.
        text: for people: the parts that are not ready, each on a line.
    """

    is_ready: bool
    text: str


def ask_readiness(settings: Admin, *, domain: str = "", within_seconds: float) -> Readiness:
    """Ask /readyz of the admin port that the settings name.

    Args:
        settings: of the relay.
        domain: only this domain and what all need; empty for all.
        within_seconds: for all of it.

    Raises:
        NoAnswer: there is no admin port, nobody answers there, or something else does.
    """
    if not settings.address:
        raise NoAnswer('the admin port is switched off (admin.address = "")')
    query = f"?domain={quote(domain, safe='')}" if domain else ""
    lines = [f"GET /readyz{query} HTTP/1.0", "Host: localhost"]
    try:
        if settings.token_file:
            token = Path(settings.token_file).read_text(encoding="utf-8").strip()
            lines.append(f"Authorization: Bearer {token}")
        request = "\r\n".join((*lines, "", "")).encode("utf-8")
        octets = _exchange(settings.address, request, within_seconds)
    except (OSError, UnicodeError) as exc:
        reason = "no answer in time" if isinstance(exc, TimeoutError) else _reason(exc)
        raise NoAnswer(f"{settings.address}: {reason}") from exc
    return _read(octets, settings.address)


def _reason(exc: Exception) -> str:
    named = getattr(exc, "filename", None)
    text = getattr(exc, "strerror", None) or str(exc)
    return f"{named}: {text}" if named else text


def _exchange(address: str, request: bytes, within_seconds: float) -> bytes:
    deadline = time.monotonic() + within_seconds
    with _connection(address, within_seconds) as connection:
        connection.sendall(request)
        octets = bytearray()
        while len(octets) <= MAX_ANSWER_OCTETS:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            if not (part := connection.recv(65536)):
                break
            octets += part
    return bytes(octets)


def _connection(address: str, within_seconds: float) -> socket.socket:
    if not address.startswith("unix:"):
        host, port = split_host_port(address)
        return socket.create_connection((_ANYWHERE.get(host, host), port), within_seconds)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(within_seconds)
    try:
        connection.connect(address.removeprefix("unix:"))
    except OSError:
        connection.close()
        raise
    return connection


def _read(octets: bytes, address: str) -> Readiness:
    head, _, body = octets.partition(b"\r\n\r\n")
    words = head.partition(b"\r\n")[0].split()
    status = words[1] if len(words) > 1 and words[0].startswith(b"HTTP/") else b""
    text = body.decode("utf-8", "replace").strip()
    match status:
        case b"200" | b"503" | b"404" if text:
            return Readiness(status == b"200", text)
        case _:
            shown = head.partition(b"\r\n")[0][:100].decode("utf-8", "backslashreplace")
            raise NoAnswer(f"{address}: what answers there is no dkim-relay: {shown or 'nothing'}")
