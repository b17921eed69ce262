"""The client's side of TLS without a connection: octets in, octets out.

A test decides itself which octets stand in which segment: a ClientHello behind a PROXY header,
a handshake in single octets, a record behind commands in clear.
"""

from __future__ import annotations

import contextlib
import ssl


class TlsEngine:
    """One client's TLS.

    Attributes:
        is_secured: whether the handshake is complete on this side.
        has_failed: whether one side has refused the handshake or a record.
        is_ended: whether the server said that nothing more will come (close_notify).
        is_polite: whether that is answered.
    """

    def __init__(self, context: ssl.SSLContext, server_name: str = "127.0.0.1") -> None:
        self.is_polite = True
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self.is_secured = False
        self.has_failed = False
        self.is_ended = False

    @property
    def version(self) -> str:
        """The version of TLS that was agreed on."""
        return self._tls.version() or ""

    @property
    def server_certificate(self) -> bytes:
        """The server's certificate, DER."""
        return self._tls.getpeercert(binary_form=True) or b""

    def start(self) -> bytes:
        """The ClientHello."""
        self._shake_hands()
        return self._outgoing.read()

    def take(self, octets: bytes) -> tuple[bytes, bytes]:
        """Octets of the server.

        Returns:
            What it said in plain text, and the octets that must go back to it.

        Raises:
            ssl.SSLError: the server refused, or is not to be trusted.
        """
        self._incoming.write(octets)
        try:
            if not self.is_secured:
                self._shake_hands()
            plain = self._read() if self.is_secured else b""
        except ssl.SSLError:
            self.has_failed = True
            raise
        return plain, self._outgoing.read()

    def seal(self, octets: bytes) -> bytes:
        """Plain text as records."""
        if octets:
            self._tls.write(octets)
        return self._outgoing.read()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.is_secured = True

    def _read(self) -> bytes:
        plain = b""
        try:
            while piece := self._tls.read(65_536):
                plain += piece
        except ssl.SSLWantReadError:
            return plain
        except ssl.SSLZeroReturnError:
            pass
        self.is_ended = True
        if self.is_polite:
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
        return plain
