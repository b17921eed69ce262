"""One HTTPS request that sends a form and takes a small answer. IO. RFC 9110, RFC 9112.

`http.client` writes the request and reads the response; asyncio moves the octets. So nothing
blocks, time and size have a limit, and a cancelled request leaves neither thread nor socket.
Redirects are not followed: what is sent is secret, and meant for one server.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import ssl
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlencode, urlsplit

from relay.core.errors import RelayError

_READ_OCTETS = 16384


class HttpFault(RelayError):
    """There is no response that can be used; the text says why, and has nothing that was sent."""


async def post_form(
    url: str,
    form: Mapping[str, str],
    *,
    ca_file: str,
    timeout_seconds: float,
    max_octets: int,
) -> tuple[int, bytes]:
    """POST a form, for a JSON answer.

    Args:
        url: https://HOST[:PORT]/PATH.
        form: what is sent, as application/x-www-form-urlencoded.
        ca_file: PEM bundle that the server is verified against; empty: the system's.
        timeout_seconds: for everything.
        max_octets: of the whole response.

    Returns:
        Status and body.

    Raises:
        HttpFault: no connection, no verified TLS, too slow, too long, not HTTP.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or http.client.HTTPS_PORT
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        async with asyncio.timeout(timeout_seconds):
            # In a thread: reading the system's trust store takes tens of ms. Anew each time:
            # this happens once an hour, and the file may have changed.
            context = await asyncio.to_thread(_context, ca_file)
            request = _request(host, port, target, form)
            octets = await _exchange(host, port, context, request, max_octets)
        return _response(octets)
    except TimeoutError as exc:
        raise HttpFault(f"no answer within {timeout_seconds:g} s") from exc
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise HttpFault(str(exc) or type(exc).__name__) from exc


def _context(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class _Octets:
    """What `http.client` takes for a socket: gathers what is sent, and has what was received."""

    def __init__(self, received: bytes = b"") -> None:
        self.sent = bytearray()
        self._received = received

    def sendall(self, octets: bytes) -> None:
        """Take octets of the request."""
        self.sent += octets

    def makefile(self, _mode: str) -> io.BytesIO:
        """The octets of the response."""
        return io.BytesIO(self._received)

    def close(self) -> None:
        """There is nothing to close."""


def _request(host: str, port: int, target: str, form: Mapping[str, str]) -> bytes:
    octets = _Octets()
    connection = http.client.HTTPConnection(host, port)
    connection.default_port = http.client.HTTPS_PORT  # which the Host field leaves out
    connection.sock = cast("ssl.SSLSocket", octets)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
        "Connection": "close",
    }
    connection.request("POST", target, urlencode(form).encode("ascii"), headers)
    return bytes(octets.sent)


async def _exchange(
    host: str, port: int, context: ssl.SSLContext, request: bytes, max_octets: int
) -> bytes:
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        writer.write(request)
        await writer.drain()
        received = bytearray()
        while octets := await reader.read(_READ_OCTETS):
            received += octets
            if len(received) > max_octets:
                raise HttpFault(f"more than {max_octets} octets")
        return bytes(received)
    finally:
        writer.transport.abort()


def _response(octets: bytes) -> tuple[int, bytes]:
    pipe = cast("ssl.SSLSocket", _Octets(octets))
    with http.client.HTTPResponse(pipe, method="POST") as response:
        response.begin()
        return response.status, response.read()
