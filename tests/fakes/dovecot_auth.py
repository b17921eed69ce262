"""A login server for Postfix: the part of Dovecot's authentication protocol that it speaks.

IO: one thread on a loopback TCP port. Version 1.1 of the protocol, as smtpd(8)
uses it with `smtpd_sasl_type = dovecot`: the greeting with the mechanisms, then
an AUTH line with an initial response for each attempt. PLAIN only (RFC 4616).
"""

from __future__ import annotations

import base64
import socketserver
import threading
from collections.abc import Mapping
from typing import Self

from tests.fakes.processes import LOOPBACK

GREETING = (
    b"VERSION\t1\t1\n"
    b"MECH\tPLAIN\tplaintext\n"
    b"SPID\t1\n"
    b"CUID\t1\n"
    b"COOKIE\t00000000000000000000000000000000\n"
    b"DONE\n"
)


class DovecotAuth:
    """A login server; a context manager."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        """Bind a loopback port.

        Args:
            passwords: login name to password.
        """

        class Handler(socketserver.StreamRequestHandler):
            """One connection from smtpd."""

            def handle(self) -> None:
                """Greet, then answer each AUTH line."""
                self.wfile.write(GREETING)
                for line in self.rfile:
                    words = line.rstrip(b"\n").split(b"\t")
                    if words[0] == b"AUTH":
                        self.wfile.write(_answer(words, passwords))

        self._server = _Server((LOOPBACK, 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to answer."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    """One thread for each smtpd; none of them keeps the test run from ending."""

    daemon_threads = True
    allow_reuse_address = True


def _answer(words: list[bytes], passwords: Mapping[str, str]) -> bytes:
    """Answer `AUTH <id> <mechanism> … resp=<base64>`, the response always last."""
    request_id = words[1]
    response = words[-1].removeprefix(b"resp=")
    _, login, password = base64.b64decode(response).split(b"\0")  # RFC 4616 §2
    if passwords.get(login.decode()) == password.decode():
        return b"OK\t" + request_id + b"\tuser=" + login + b"\n"
    return b"FAIL\t" + request_id + b"\tuser=" + login + b"\n"
