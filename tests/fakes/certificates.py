"""Certificates for fake servers, made by a CA of the test's own."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Certificates:
    """A CA and server contexts under it.

    Attributes:
        ca_file: the CA's certificate, PEM.
    """

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.ca_file)

    def server(self, *names: str) -> ssl.SSLContext:
        """The context of a server with these names or addresses; 127.0.0.1 without any."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._ca.issue_cert(*(names or ("127.0.0.1", "localhost"))).configure_cert(context)
        return context
