"""Certificates of a listener: loaded whole or not at all, and anew when their files change. IO.

RFC 8314 §4 (TLS 1.2 and later), RFC 3207 §4. A context is never changed: connections that are
open keep theirs, new ones get the newest that could be loaded.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relay.core.errors import ConfigError, Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """Where the PEM files are.

    Attributes:
        certificate: with its chain, the leaf first.
        key: the private key; empty when it is in the same file.
        client_ca: CAs whose client certificates count; empty to ask for none.
    """

    certificate: Path
    key: Path | None = None
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those there are."""
        named = (self.certificate, self.key, self.client_ca)
        return tuple(path for path in named if path is not None)


# Without one, OpenSSL asks for the password of an encrypted key on the terminal, and waits.
_NO_PASSWORD: Final = b""


class Certificates:
    """The TLS context of a listener, as new as its files."""

    def __init__(self, files: CertificateFiles) -> None:
        """Load them.

        Raises:
            ConfigError: a file is missing, unreadable or not of one pair.
        """
        self._files = files
        self._seen = self._stamp()
        self.context = _load(files)

    def refresh(self, told: Callable[[Fault | None], None]) -> None:
        """Take up changed files.

        Args:
            told: called when they changed: with None, or with why the old ones stay.
        """
        seen = self._stamp()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self.context = _load(self._files)
        except ConfigError as exc:
            told(exc.faults[0])
        else:
            told(None)

    def _stamp(self) -> tuple[object, ...]:
        return tuple(map(_stamp, self._files.paths))


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as exc:
        return exc.errno
    return found.st_ino, found.st_mtime_ns, found.st_size


def _load(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    # Forward secrecy and authenticated encryption only; TLS 1.3 has nothing else anyway.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    where = files.certificate
    try:
        for where in files.paths:
            _check(where.read_bytes(), is_key=where == (files.key or files.certificate))
        where = files.certificate
        context.load_cert_chain(files.certificate, files.key, _NO_PASSWORD)
        if files.client_ca is not None:
            where = files.client_ca
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        what = getattr(exc, "reason", None) or getattr(exc, "strerror", None) or exc
        fix = "PEM files of one certificate and its key, readable by this user"
        raise ConfigError((Fault(str(where), f"cannot be used for TLS: {what}", fix),)) from exc
    return context


def _check(octets: bytes, *, is_key: bool) -> None:
    """Say in words what OpenSSL calls "PEM lib".

    Raises:
        ValueError: it is no such file.
    """
    if is_key and b"PRIVATE KEY-----" not in octets:
        raise ValueError("there is no private key in it")
    if is_key and b"ENCRYPTED" in octets:
        raise ValueError("the private key has a password")
    if not is_key and b"CERTIFICATE-----" not in octets:
        raise ValueError("there is no certificate in it")


def certificate_names(transport_info: Callable[[str], Any]) -> frozenset[str]:
    """What a client's certificate says it is, once it was verified (RFC 5280 §4.2.1.6).

    Args:
        transport_info: `get_extra_info` of the connection.

    Returns:
        Its DNS and e-mail names in lower case, and "sha256:" with its fingerprint; empty when
        the client showed none.
    """
    tls = transport_info("ssl_object")
    octets = tls.getpeercert(binary_form=True) if tls is not None else None
    if not octets:
        return frozenset()
    names = {f"sha256:{hashlib.sha256(octets).hexdigest()}"}
    for kind, value in (tls.getpeercert() or {}).get("subjectAltName", ()):
        if kind in ("DNS", "email"):
            names.add(value.lower())
    return frozenset(names)
