"""One attempt to open a connection, step by step: TCP, greeting, EHLO, STARTTLS, AUTH. IO.

RFC 5321 §3.1, §3.2 and §4.1.1.1, RFC 3207 (STARTTLS), RFC 8314 (implicit TLS), RFC 4954 (AUTH),
RFC 2033 (LMTP).
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
from functools import partial
from typing import cast

import aiosmtplib

from relay.cancelling import heeding
from relay.core.capabilities import Capabilities, parse_capabilities
from relay.core.errors import Rejection
from relay.upstream import rejections
from relay.upstream.auth import AuthFault, Login
from relay.upstream.oauth import Token
from relay.upstream.protocol import Connection
from relay.upstream.settings import Tls, UpstreamSettings
from relay.upstream.traced import TracedConnection, TracedOpening
from relay.upstream.trust import Means, Trust

# How asyncio reports a handshake that fails, is hung up on, or takes too long.
_HANDSHAKE_ERRORS = (ssl.SSLError, ConnectionResetError, ConnectionAbortedError)
_IMPLICIT_HINT = 'the server may speak clear text first on this port: try tls = "starttls"'
_STARTTLS_HINT = 'the server may expect TLS at once on this port: try tls = "implicit"'
_LMTP_HINT = "the server may not speak LMTP: try smtp:// or unix: in the url"
_INSECURE_HINT = 'set tls = "starttls" or "implicit", or insecure_auth = true'


class HandshakeFailed(Exception):
    """TLS could not be started; in opportunistic mode that is not the end."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.detail)
        self.rejection = rejection


class Opening:
    """One attempt.

    Args:
        settings: of the upstream.
        trust: how this connection is to be secured.
        token: to log in with, when there are any.
        now: seconds since 1970, UTC.
    """

    def __init__(
        self, settings: UpstreamSettings, trust: Trust, *, token: Token | None, now: float
    ) -> None:
        self._settings = settings
        self._trust = trust
        self._token = token
        self._now = now
        self._step = ""
        self._capabilities = Capabilities()
        smtp = aiosmtplib.SMTP if settings.trace is None else partial(TracedOpening, settings.trace)
        self._smtp = smtp(
            hostname=trust.host,
            port=None if settings.socket_path else settings.port,
            socket_path=settings.socket_path or None,
            local_hostname=settings.ehlo_name,  # else aiosmtplib asks the DNS, in a thread
            timeout=settings.connect_seconds,
            use_tls=trust.tls is Tls.IMPLICIT,
            start_tls=False,  # done here, so that errors can say what was offered
            tls_context=trust.context,
        )

    async def run(self, on_closed: Callable[[Connection], None]) -> Connection:
        """All steps; whatever goes wrong, nothing stays open.

        Raises:
            Rejection: it did not work.
            HandshakeFailed: TLS did not, which `Trust.tls` may forgive.
        """
        try:
            with self._mapped():
                async with asyncio.timeout(2 * self._settings.connect_seconds):
                    await heeding(self._connect())
                    await heeding(self._hello())
                    if self._trust.tls in (Tls.STARTTLS, Tls.OPPORTUNISTIC):
                        await heeding(self._start_tls())
                    if self._settings.logs_in:
                        await heeding(self._log_in())
                return self._hand_over(on_closed)
        except BaseException:
            if self._smtp.transport is not None:
                cast(asyncio.WriteTransport, self._smtp.transport).abort()
            raise

    async def _connect(self) -> None:
        """TCP, the handshake of implicit TLS, and the greeting (RFC 5321 §3.1)."""
        is_implicit = self._trust.tls is Tls.IMPLICIT
        self._step = "UNIX socket" if self._settings.socket_path else "TCP"
        self._step += " and TLS" if is_implicit else ""
        try:
            await self._smtp.connect()
        except aiosmtplib.SMTPConnectResponseError:
            self._step = "greeting"
            raise
        except aiosmtplib.SMTPConnectError as exc:
            cause = exc.__cause__
            if is_implicit and isinstance(cause, _HANDSHAKE_ERRORS):
                raise self._tls_failed(cause) from exc
            if isinstance(cause, aiosmtplib.SMTPException):  # connected, and then no greeting
                hint = "" if is_implicit or self._settings.socket_path else f"; {_STARTTLS_HINT}"
                raise rejections.unreachable(
                    self._detail(f"connected, but no greeting came: {cause}{hint}")
                ) from exc
            raise
        if is_implicit:
            self._check_hop()
        self._refuse_surplus()

    async def _hello(self) -> None:
        """EHLO or LHLO; or HELO for a server that knows no EHLO (RFC 5321 §3.2)."""
        smtp = self._smtp
        self._step = "LHLO" if self._settings.is_lmtp else "EHLO"
        self._capabilities = Capabilities()
        try:
            response = await (self._lhlo() if self._settings.is_lmtp else smtp.ehlo())
        except aiosmtplib.SMTPHeloError:
            if self._settings.is_lmtp or not smtp.is_connected:  # 421
                raise
            self._step = "HELO"
            await smtp.helo()
        else:
            lines = response.message.encode("utf-8", "surrogateescape").split(b"\n")
            self._capabilities = parse_capabilities(lines[1:])
        self._refuse_surplus()

    async def _lhlo(self) -> aiosmtplib.SMTPResponse:
        """RFC 2033 §4.1: like EHLO, and there is nothing to fall back to."""
        name = self._settings.ehlo_name.encode("ascii")
        response = await self._smtp.execute_command(b"LHLO", name)
        if response.code != aiosmtplib.SMTPStatus.completed:
            hint = f"{response.message}; {_LMTP_HINT}"
            raise aiosmtplib.SMTPHeloError(response.code, hint)
        self._smtp.last_ehlo_response = response  # where aiosmtplib looks for STARTTLS
        return response

    async def _start_tls(self) -> None:
        """STARTTLS, then EHLO anew: what was said in clear does not count (RFC 3207 §4.2)."""
        self._step = "STARTTLS"
        is_required = self._trust.tls is Tls.STARTTLS
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
            raise HandshakeFailed(self._tls_failed(exc)) from exc
        self._check_hop()
        await self._hello()

    def _check_hop(self) -> None:
        """Compare what it has shown with pins or TLSA records."""
        transport = self._smtp.transport
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        if doubt := self._trust.doubt(tls, self._now):
            what = f"the certificate was not accepted: {doubt}"
            raise rejections.tls_failed(self._detail(what))

    async def _log_in(self) -> None:
        self._step = "AUTH"
        settings, offered = self._settings, self._capabilities.keywords.get("AUTH", ())
        is_protected = self._is_verified or bool(settings.socket_path)
        if not (is_protected or settings.insecure_auth):
            raise rejections.auth_failed(
                self._detail(f"not spoken, because the server is not verified: {_INSECURE_HINT}")
            )
        login = Login(
            settings, self._smtp.execute_command, token=self._token, host=self._trust.host
        )
        try:
            await login.run(offered, is_protected=is_protected)
        except AuthFault as exc:
            raise rejections.auth_failed(self._detail(f"{exc}; {self._offered()}")) from exc
        self._refuse_surplus()

    def _hand_over(self, on_closed: Callable[[Connection], None]) -> Connection:
        """Put our protocol on aiosmtplib's transport, and let aiosmtplib forget it."""
        smtp = self._smtp
        if smtp.transport is None or smtp.transport.is_closing():
            raise rejections.broken(self._detail("the server closed the connection"))
        transport = cast(asyncio.Transport, smtp.transport)
        security, is_secured = self._security, self._is_verified
        smtp.transport = smtp.protocol = None  # it must not close what is not its own any more
        trace = self._settings.trace
        make = Connection if trace is None else partial(TracedConnection, trace)
        connection = make(
            transport,
            self._capabilities,
            security=security,
            on_closed=on_closed,
            is_secured=is_secured,
            is_authenticated=self._settings.logs_in,
        )
        transport.set_protocol(connection)
        return connection

    @property
    def _is_verified(self) -> bool:
        """Whether this is TLS with the right hop."""
        is_tls = self._smtp.get_transport_info("ssl_object") is not None
        return is_tls and self._trust.means is not Means.NOTHING

    @property
    def _security(self) -> str:
        """How the connection is secured, for people."""
        tls = self._smtp.get_transport_info("ssl_object")
        if tls is None:
            return "UNIX socket" if self._settings.socket_path else "clear"
        match self._trust.means:
            case Means.CA:
                return str(tls.version())
            case Means.NOTHING:
                return f"{tls.version()}, not verified"
            case Means.PIN | Means.DANE:
                return f"{tls.version()}, by {self._trust.means}"

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
            raise rejections.unreachable(self._detail(said), refusal_code=exc.code) from exc
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
            hint = f"; {_IMPLICIT_HINT}" if self._trust.tls is Tls.IMPLICIT else ""
            said = f"the handshake failed: {exc}{hint}"
        return rejections.tls_failed(self._detail(said))

    def _offered(self) -> str:
        words = [" ".join((k, *v)) for k, v in self._capabilities.keywords.items()]
        return f"offered: {', '.join(words) or 'nothing'}"

    def _detail(self, what: str) -> str:
        means = self._trust.means
        by = f" by {means}" if means in (Means.PIN, Means.DANE) else ""
        return f"{self._settings.hop}, tls = {self._trust.tls}{by}, at {self._step}: {what}"
