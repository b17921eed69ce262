"""Opening a connection: what has to be known before, and what is forgiven after. IO.

Before there is a connection: how the hop is to be believed (`trust`), and the token that it
will ask for (`auth`). The steps themselves are in `opening`. Only opportunistic TLS forgives a
handshake that fails, and goes on in clear on a second connection.
"""

from __future__ import annotations

from collections.abc import Callable

from relay import clock
from relay.upstream import rejections
from relay.upstream.auth import AuthFault, first_token
from relay.upstream.events import Happened
from relay.upstream.oauth import Token
from relay.upstream.opening import HandshakeFailed, Opening
from relay.upstream.protocol import Connection
from relay.upstream.settings import Dane, Tls, UpstreamSettings
from relay.upstream.trust import Trust, Truster


class Opener:
    """Opens connections to one upstream; they share a TLS context.

    Args:
        settings: of the upstream.
        tell: hears of files that have changed: RELOADED or OUTDATED, and a text for the log.
        now: seconds since 1970, UTC.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        *,
        tell: Callable[[Happened, str], None] = lambda happened, text: None,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._settings = settings
        self._now = now
        self._truster = Truster(settings, tell)

    async def open(self, on_closed: Callable[[Connection], None]) -> Connection:
        """A connection that is ready for MAIL.

        Args:
            on_closed: called once, when the connection is gone.

        Raises:
            Rejection: 451 4.4.1, 4.4.2, 4.7.0, 4.7.4 or 4.7.5.
        """
        self._refuse_hopeless_login()
        trust = await self._truster.trust()
        token = await self._token()
        try:
            return await self._opening(trust, token).run(on_closed)
        except HandshakeFailed as exc:
            if trust.tls is not Tls.OPPORTUNISTIC:
                raise exc.rejection from exc
        in_clear = Trust(tls=Tls.NONE, host=trust.host)
        return await self._opening(in_clear, token).run(on_closed)

    def _opening(self, trust: Trust, token: Token | None) -> Opening:
        return Opening(self._settings, trust, token=token, now=self._now())

    def _refuse_hopeless_login(self) -> None:
        """Connect to nobody whom we could not log in to anyway."""
        settings = self._settings
        may_be_protected = (
            settings.tls.is_verified
            or bool(settings.socket_path)
            or (settings.dane is not Dane.OFF and settings.tls is not Tls.NONE)
        )
        if settings.logs_in and not (may_be_protected or settings.insecure_auth):
            raise rejections.auth_failed(
                f'{settings.hop}: AUTH is not spoken with tls = "{settings.tls}", because it is '
                'not verified: set tls = "starttls" or "implicit", or insecure_auth = true'
            )

    async def _token(self) -> Token | None:
        if not self._settings.logs_in:
            return None
        try:
            return await first_token(self._settings)
        except AuthFault as exc:
            raise rejections.auth_failed(f"{self._settings.hop}, before AUTH: {exc}") from exc
