"""Opening a connection: TCP, TLS, greeting, EHLO, AUTH by aiosmtplib; then it is ours. IO.

RFC 5321 §3.1, §3.2 and §4.1.1.1, RFC 3207 (STARTTLS), RFC 8314 (implicit TLS), RFC 4954 (AUTH).
aiosmtplib speaks until the hop is ready for mail. Then its transport gets our own protocol,
if nothing is left in aiosmtplib's buffer: a second reply in there would answer our first
command. Whatever fails becomes a `Rejection` whose detail says what was tried, at which step,
and what the server offered.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import aiosmtplib

from relay.core.capabilities import Capabilities, parse_capabilities
from relay.core.errors import Rejection
from relay.upstream import rejections
from relay.upstream.protocol import Connection
from relay.upstream.settings import Tls, UpstreamSettings

_MECHANISM_UNKNOWN = (500, 501, 502, 503, 504)  # RFC 4954 §4: said of AUTH with PLAIN
# How asyncio reports a handshake that fails, is hung up on, or takes too long.
_HANDSHAKE_ERRORS = (ssl.SSLError, ConnectionResetError, ConnectionAbortedError)
_IMPLICIT_HINT = 'the server may speak clear text first on this port: try tls = "starttls"'
_STARTTLS_HINT = 'the server may expect TLS at once on this port: try tls = "implicit"'


class Opener:
    """Opens connections to one upstream; they share one TLS context."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings
        self._context: ssl.SSLContext | None = None
        self._context_lock = asyncio.Lock()

    async def open(self, on_closed: Callable[[Connection], None]) -> Connection:
        """A connection that is ready for MAIL.

        Args:
            on_closed: called once, when the connection is gone.

        Raises:
            Rejection: 451 4.4.1, 4.4.2, 4.7.0, 4.7.4 or 4.7.5.
        """
        settings = self._settings
        if settings.username and not (settings.tls.is_verified or settings.insecure_auth):
            raise rejections.auth_failed(
                f'{settings.hop}: AUTH is not spoken with tls = "{settings.tls}", because it is '
                'not verified: set tls = "starttls" or "implicit", or insecure_auth = true'
            )
        context = await self._shared_context()
        try:
            return await _Opening(settings, settings.tls, context).run(on_closed)
        except _HandshakeFailed as exc:
            if settings.tls is not Tls.OPPORTUNISTIC:
                raise exc.rejection from exc
        return await _Opening(settings, Tls.NONE, context).run(on_closed)

    async def _shared_context(self) -> ssl.SSLContext | None:
        if self._settings.tls is Tls.NONE:
            return None
        async with self._context_lock:
            if self._context is None:
                try:  # in a thread: reading the system's trust store takes tens of ms
                    self._context = await asyncio.to_thread(_tls_context, self._settings)
                except OSError as exc:  # ssl.SSLError is one too
                    raise rejections.tls_failed(
                        f"{self._settings.hop}: ca_file {self._settings.ca_file!r} cannot be "
                        f"used: {exc}"
                    ) from exc
            return self._context


def _tls_context(settings: UpstreamSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if not settings.tls.is_verified:
        # RFC 7435: opportunistic security protects against listening only; refusing an unknown
        # certificate would only mean to go on in clear.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _HandshakeFailed(Exception):
    """TLS could not be started; in opportunistic mode that is not the end."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.detail)
        self.rejection = rejection


class _Opening:
    """One attempt, step by step."""

    def __init__(
        self, settings: UpstreamSettings, tls: Tls, context: ssl.SSLContext | None
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._step = ""
        self._capabilities = Capabilities()
        self._smtp = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            local_hostname=settings.ehlo_name,  # else aiosmtplib asks the DNS, in a thread
            timeout=settings.connect_seconds,
            use_tls=tls is Tls.IMPLICIT,
            start_tls=False,  # done here, so that errors can say what was offered
            tls_context=context if tls is not Tls.NONE else None,
        )

    async def run(self, on_closed: Callable[[Connection], None]) -> Connection:
        """All steps; whatever goes wrong, nothing stays open."""
        try:
            with self._mapped():
                async with asyncio.timeout(2 * self._settings.connect_seconds):
                    await self._connect()
                    await self._ehlo()
                    if self._tls in (Tls.STARTTLS, Tls.OPPORTUNISTIC):
                        await self._start_tls()
                    if self._settings.username:
                        await self._auth()
                return self._hand_over(on_closed)
        except BaseException:
            if self._smtp.transport is not None:
                cast(asyncio.WriteTransport, self._smtp.transport).abort()
            raise

    async def _connect(self) -> None:
        """TCP, the handshake of implicit TLS, and the greeting (RFC 5321 §3.1)."""
        self._step = "TCP and TLS" if self._tls is Tls.IMPLICIT else "TCP"
        try:
            await self._smtp.connect()
        except aiosmtplib.SMTPConnectResponseError:
            self._step = "greeting"
            raise
        except aiosmtplib.SMTPConnectError as exc:
            cause = exc.__cause__
            if self._tls is Tls.IMPLICIT and isinstance(cause, _HANDSHAKE_ERRORS):
                raise self._tls_failed(cause) from exc
            if isinstance(cause, aiosmtplib.SMTPException):  # connected, and then no greeting
                hint = "" if self._tls is Tls.IMPLICIT else f"; {_STARTTLS_HINT}"
                raise rejections.unreachable(
                    self._detail(f"connected, but no greeting came: {cause}{hint}")
                ) from exc
            raise
        self._refuse_surplus()

    async def _ehlo(self) -> None:
        """EHLO, or HELO for a server that does not know it (RFC 5321 §3.2)."""
        self._step = "EHLO"
        try:
            response = await self._smtp.ehlo()
        except aiosmtplib.SMTPHeloError:
            if not self._smtp.is_connected:  # 421
                raise
            self._step = "HELO"
            await self._smtp.helo()
            self._capabilities = Capabilities()
        else:
            lines = response.message.encode("utf-8", "surrogateescape").split(b"\n")
            self._capabilities = parse_capabilities(lines[1:])
        self._refuse_surplus()

    async def _start_tls(self) -> None:
        """STARTTLS, then EHLO anew: what was said in clear does not count (RFC 3207 §4.2)."""
        self._step = "STARTTLS"
        is_required = self._tls is Tls.STARTTLS
        if "STARTTLS" not in self._capabilities:
            if is_required:
                raise rejections.tls_missing(self._detail(f"not offered; {self._offered()}"))
            return
        try:
            await self._smtp.starttls()
        except aiosmtplib.SMTPResponseException as exc:
            said = f"refused with {exc.code} {exc.message}"
            if is_required or not self._smtp.is_connected:
                raise rejections.tls_missing(self._detail(said)) from exc
            return
        except (ssl.SSLError, aiosmtplib.SMTPServerDisconnected) as exc:
            raise _HandshakeFailed(self._tls_failed(exc)) from exc
        await self._ehlo()

    async def _auth(self) -> None:
        """AUTH PLAIN, else LOGIN; once: a second attempt would count as a second failure."""
        self._step = "AUTH"
        smtp, settings = self._smtp, self._settings
        offered = self._capabilities.keywords.get("AUTH", ())
        try:
            if "PLAIN" in offered:
                try:
                    await smtp.auth_plain(settings.username, settings.password)
                except aiosmtplib.SMTPAuthenticationError as exc:
                    if "LOGIN" not in offered or exc.code not in _MECHANISM_UNKNOWN:
                        raise
                    await smtp.auth_login(settings.username, settings.password)
            elif "LOGIN" in offered:
                await smtp.auth_login(settings.username, settings.password)
            else:
                raise rejections.auth_failed(
                    self._detail(f"PLAIN and LOGIN are not offered; {self._offered()}")
                )
        except aiosmtplib.SMTPAuthenticationError as exc:
            said = f"as {settings.username!r} refused with {exc.code} {exc.message}"
            raise rejections.auth_failed(self._detail(f"{said}; {self._offered()}")) from exc
        self._refuse_surplus()

    def _hand_over(self, on_closed: Callable[[Connection], None]) -> Connection:
        """Put our protocol on aiosmtplib's transport, and let aiosmtplib forget it."""
        smtp = self._smtp
        if smtp.transport is None or smtp.transport.is_closing():
            raise rejections.broken(self._detail("the server closed the connection"))
        transport = cast(asyncio.Transport, smtp.transport)
        smtp.transport = smtp.protocol = None  # it must not close what is not its own any more
        tls = transport.get_extra_info("ssl_object")
        doubt = "" if self._settings.tls.is_verified else ", not verified"
        connection = Connection(
            transport,
            self._capabilities,
            security=f"{tls.version()}{doubt}" if tls is not None else "clear",
            on_closed=on_closed,
            is_secured=tls is not None and self._settings.tls.is_verified,
            is_authenticated=bool(self._settings.username),
        )
        transport.set_protocol(connection)
        return connection

    def _refuse_surplus(self) -> None:
        """Refuse a connection with octets in it that answer nothing (see the module's text)."""
        protocol = self._smtp.protocol
        if protocol is not None and protocol._buffer:
            raise rejections.broken(
                self._detail(
                    f"the server sent more than one reply: {bytes(protocol._buffer[:80])!r}"
                )
            )

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """Map what aiosmtplib, ssl and asyncio raise."""
        try:
            yield
        except aiosmtplib.SMTPResponseException as exc:
            said = f"the server said {exc.code} {exc.message}" if exc.code > 0 else exc.message
            raise rejections.unreachable(self._detail(said)) from exc
        except TimeoutError as exc:  # of asyncio, and the parent of aiosmtplib's
            said = f"nothing within {self._settings.connect_seconds:g} s: {exc}"
            raise rejections.unreachable(self._detail(said)) from exc
        except aiosmtplib.SMTPConnectError as exc:
            raise rejections.unreachable(self._detail(str(exc))) from exc
        except (aiosmtplib.SMTPException, OSError) as exc:
            raise rejections.broken(self._detail(str(exc))) from exc

    def _tls_failed(self, exc: Exception) -> Rejection:
        if isinstance(exc, ssl.SSLCertVerificationError):
            trust = self._settings.ca_file or "the system's trust store"
            said = f"the certificate was not accepted: {exc.verify_message} (verified by {trust})"
        else:
            hint = f"; {_IMPLICIT_HINT}" if self._tls is Tls.IMPLICIT else ""
            said = f"the handshake failed: {exc}{hint}"
        return rejections.tls_failed(self._detail(said))

    def _offered(self) -> str:
        words = [" ".join((k, *v)) for k, v in self._capabilities.keywords.items()]
        return f"offered: {', '.join(words) or 'nothing'}"

    def _detail(self, what: str) -> str:
        return f"{self._settings.hop}, tls = {self._tls}, at {self._step}: {what}"
