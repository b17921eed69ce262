"""Certificates for fake servers, listeners and clients, made by a CA of the test's own."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme

from relay.listener import certificates as listener


@dataclass(frozen=True)
class ClientCertificate:
    """A client with a certificate.

    Attributes:
        context: what it connects with.
        fingerprint: "sha256:" and the digest of its certificate, in hexadecimal.
    """

    context: ssl.SSLContext
    fingerprint: str


class Certificates:
    """A CA, and what it issues.

    Attributes:
        ca_file: the CA's certificate, PEM.
    """

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.ca_file = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.ca_file)

    def server(self, *names: str, until: datetime | None = None) -> ssl.SSLContext:
        """The context of a server with these names or addresses; 127.0.0.1 without any."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        names = names or ("127.0.0.1", "localhost")
        self._ca.issue_cert(*names, not_after=until).configure_cert(context)
        return context

    def files(
        self, *names: str, stem: str = "listener", until: datetime | None = None
    ) -> tuple[Path, Path]:
        """A certificate with its chain and its key as PEM files, written over older ones."""
        issued = self._ca.issue_cert(*(names or ("127.0.0.1", "localhost")), not_after=until)
        certificate, key = self._folder / f"{stem}.pem", self._folder / f"{stem}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return certificate, key

    def listener(
        self, *names: str, stem: str = "listener", asks_clients: bool = False
    ) -> listener.Certificates:
        """What a listener presents; with `asks_clients` it believes the clients of this CA."""
        certificate, key = self.files(*names, stem=stem)
        client_ca = Path(self.ca_file) if asks_clients else None
        files = listener.CertificateFiles(certificate=certificate, key=key, client_ca=client_ca)
        return listener.Certificates(files)

    def trusting(self) -> ssl.SSLContext:
        """A client that shows no certificate."""
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        return context

    def client(self, *names: str) -> ClientCertificate:
        """A client whose certificate has these names, host names or addresses of mail."""
        context = self.trusting()
        issued = self._ca.issue_cert(*names)
        issued.configure_cert(context)
        der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode("ascii"))
        return ClientCertificate(context, f"sha256:{hashlib.sha256(der).hexdigest()}")
