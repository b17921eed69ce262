"""What makes a hop believed: a CA, a pin, DANE, or nothing; and the TLS context for it. IO.

RFC 8314 §4 (versions), RFC 7435 (opportunistic security), RFC 7672 §2.2 (DANE with SMTP).

A pin or a TLSA record stands in the place of CAs: it names the very certificate or key, so that
names and dates in it say nothing more. The handshake then takes any certificate, and the hop is
checked right after it, before anything but EHLO and STARTTLS is said.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from relay.core.certificate import fingerprint, public_key_info
from relay.core.dane import Tlsa, Vouched, mismatch
from relay.core.errors import SyntaxFault
from relay.upstream import rejections
from relay.upstream.events import Happened
from relay.upstream.settings import Dane, Tls, TlsaLookup, UpstreamSettings
from relay.upstream.stamp import stamp

# Without one, OpenSSL asks for the password of an encrypted key on the terminal, and waits.
_NO_PASSWORD = b""
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_DER = 1 << 1  # of _ssl.Certificate.public_bytes: ENCODING_DER


class Means(StrEnum):
    """By what a hop is believed to be the one it should be."""

    CA = "CA"
    PIN = "pin"
    DANE = "DANE"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How one connection is to be secured.

    Attributes:
        tls: as the settings have it; STARTTLS where records forbid to go on in clear.
        host: what is connected to; the name in SNI, and in the certificate.
        means: see there.
        context: None when TLS is not spoken.
        pins: one of them has to match.
        records: the same.
        names: what the hop may be called in a certificate that records vouch for.
    """

    tls: Tls
    host: str
    means: Means = Means.NOTHING
    context: ssl.SSLContext | None = None
    pins: frozenset[str] = frozenset()
    records: tuple[Tlsa, ...] = ()
    names: tuple[str, ...] = ()

    def doubt(self, tls: Any, now: float) -> str:
        """Why the hop at the other end is not believed; empty when it is.

        Args:
            tls: the `ssl.SSLObject` after the handshake.
            now: seconds since 1970, UTC.
        """
        match self.means:
            case Means.PIN:
                return _unpinned(tls.getpeercert(binary_form=True) or b"", self.pins)
            case Means.DANE:
                return mismatch(shown_chain(tls), self.records, names=self.names, now=now)
            case Means.CA | Means.NOTHING:  # the handshake has checked it, or nobody does
                return ""


class Truster:
    """Decides for each connection to one upstream, with files and DNS as they are then.

    Args:
        settings: of the upstream.
        tell: hears of files that have changed: RELOADED or OUTDATED, and a text for the log.
    """

    def __init__(self, settings: UpstreamSettings, tell: Callable[[Happened, str], None]) -> None:
        self._settings = settings
        self._tell = tell
        self._contexts: dict[bool, tuple[object, ssl.SSLContext]] = {}
        self._lock = asyncio.Lock()
        files = (settings.ca_file, settings.client_certificate_file, settings.client_key_file)
        self._files = tuple(Path(file) for file in files if file)

    async def trust(self) -> Trust:
        """What to do for the next connection.

        Raises:
            Rejection: 451 4.7.5, a file cannot be used, or DANE is required or in doubt.
        """
        settings = self._settings
        if settings.tls is Tls.NONE:
            return Trust(tls=Tls.NONE, host=settings.host)
        if settings.dane is not Dane.OFF and settings.tlsa is not None:
            by_dane = await self._by_dane(settings.tlsa)
            if by_dane is not None:
                return by_dane
        if settings.tls_fingerprints:
            means = Means.PIN
        else:
            means = Means.CA if settings.tls.is_verified else Means.NOTHING
        return Trust(
            tls=settings.tls,
            host=settings.host,
            means=means,
            context=await self._context(is_verified=means is Means.CA),
            pins=settings.tls_fingerprints,
        )

    async def _by_dane(self, lookup: TlsaLookup) -> Trust | None:
        """What DNS demands, or None when it demands nothing (RFC 7672 §2.2)."""
        settings = self._settings
        answer = await lookup.tlsa(settings.host, settings.port)
        where = f"{settings.hop}, dane = {settings.dane}"
        if answer.vouched is Vouched.UNKNOWN:
            # RFC 7672 §2.1.2: not as if there were no records: that is what an attacker wants.
            raise rejections.tls_failed(f"{where}: the TLSA look-up failed: {answer.detail}")
        usable = answer.usable
        if settings.dane is Dane.REQUIRED and not usable:
            what = "no TLSA record that DNSSEC vouches for and that can be used"
            raise rejections.tls_failed(f"{where}: {what}: {answer.detail}")
        if answer.vouched is Vouched.NONE or (settings.tls.is_verified and not usable):
            return None
        # RFC 7672 §2.2: records that are there rule clear text out, even if none can be used.
        tls = Tls.STARTTLS if settings.tls is Tls.OPPORTUNISTIC else settings.tls
        return Trust(
            tls=tls,
            host=answer.base,  # RFC 7672 §8.1: the name in SNI
            means=Means.DANE if usable else Means.NOTHING,
            context=await self._context(is_verified=False),
            records=usable,
            names=tuple(dict.fromkeys((answer.base, settings.host))),  # RFC 7672 §3.2.2
        )

    async def _context(self, *, is_verified: bool) -> ssl.SSLContext:
        """The shared context, made anew when a file has changed."""
        async with self._lock:
            seen = tuple(map(stamp, self._files))
            before, kept = self._contexts.get(is_verified, (None, None))
            if kept is not None and seen == before:
                return kept
            try:  # in a thread: reading the system's trust store takes tens of ms
                context = await asyncio.to_thread(_context, self._settings, is_verified)
            except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
                what = f"{self._settings.hop}: {exc}"
                if kept is None:
                    raise rejections.tls_failed(what) from exc
                self._tell(Happened.OUTDATED, f"{what}; what was read before stays in use")
                context = kept
            else:
                if kept is not None:
                    self._tell(Happened.RELOADED, f"{', '.join(map(str, self._files))} read anew")
            self._contexts[is_verified] = seen, context
            return context


def _context(settings: UpstreamSettings, is_verified: bool) -> ssl.SSLContext:
    """A context of the settings.

    Raises:
        ValueError: a file cannot be used; the text names setting, path and cause.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as exc:
        raise ValueError(f"ca_file {settings.ca_file!r} cannot be used: {exc}") from exc
    context.minimum_version = _VERSIONS[settings.tls_min_version]
    if not is_verified:
        # RFC 7435: opportunistic security protects against listening only; refusing an unknown
        # certificate would only mean to go on in clear. Pins and records are checked later.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = settings.client_certificate_file, settings.client_key_file
    if certificate:
        try:
            context.load_cert_chain(certificate, key or None, _NO_PASSWORD)
        except (OSError, ValueError) as exc:
            which = f"client_certificate_file {certificate!r}"
            which += f" with client_key_file {key!r}" if key else ""
            raise ValueError(f"{which} cannot be used: {exc}") from exc
    return context


def shown_chain(tls: Any) -> tuple[bytes, ...]:
    """The certificates that a server has shown, DER, its own first; nothing verified."""
    if hasattr(tls, "get_unverified_chain"):  # Python 3.13
        return tuple(tls.get_unverified_chain())
    # The object within has had it since 3.10, and nothing else tells the issuers.
    shown = tls._sslobj.get_unverified_chain() or ()
    return tuple(certificate.public_bytes(_DER) for certificate in shown)


def _unpinned(certificate: bytes, pins: frozenset[str]) -> str:
    try:
        shown = {
            "certificate": fingerprint(certificate),
            "public key": fingerprint(public_key_info(certificate)),
        }
    except SyntaxFault as exc:
        return str(exc)
    if not pins.isdisjoint(shown.values()):
        return ""
    names = " and ".join(f"the {what} {name}" for what, name in shown.items())
    return f"none of tls_fingerprints matches: the server showed {names}"
