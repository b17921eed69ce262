"""Until when the certificates of listeners are valid. IO."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from relay.config.inbound import Listener
from relay.core.status import CertificateStatus

_Seen = tuple[int, int, int]


class Expiries:
    """What certificate files say, read again when they change.

    A file that cannot be read leaves things as they were: so does the listener.
    """

    def __init__(self) -> None:
        """None is read yet."""
        self._known: dict[str, tuple[_Seen, tuple[str, ...], float]] = {}

    def read(self, listeners: Iterable[Listener]) -> tuple[CertificateStatus, ...]:
        """The certificates of those listeners that have one; for a thread."""
        found = []
        for listener in listeners:
            if listener.tls == "none":
                continue
            self._look(listener.certificate_file)
            known = self._known.get(listener.certificate_file)
            if known is not None:
                _, names, expires_at = known
                found.append(
                    CertificateStatus(listener=listener.address, names=names, expires_at=expires_at)
                )
        return tuple(found)

    def _look(self, path: str) -> None:
        known = self._known.get(path)
        try:
            status = Path(path).stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if known is None or known[0] != seen:
                self._known[path] = (seen, *_certificate(Path(path).read_bytes()))
        except (OSError, ValueError):
            return


def _certificate(octets: bytes) -> tuple[tuple[str, ...], float]:
    """The names and the end of the first certificate of a PEM file.

    Raises:
        ValueError: there is none.
    """
    from cryptography import x509  # not needed without TLS, and 2 MB

    leaf = x509.load_pem_x509_certificate(octets)
    expires_at = leaf.not_valid_after_utc.timestamp()
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (leaf.subject.rfc4514_string(),), expires_at
    return tuple(names.get_values_for_type(x509.DNSName)), expires_at
