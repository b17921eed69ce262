"""What a client hears when the next hop has given no reply to pass on. Pure.

RFC 3463 §3.5 (X.4: network and routing), §3.4 (X.3: system), §3.8 (X.7: security).
All of them are temporary but the last two: what is wrong is between us and the hop, and the
message may well go out later. `detail` names hosts, causes and fixes, and goes to the log.
"""

from __future__ import annotations

from relay.core.errors import Reason, Rejection
from relay.core.reply import Reply, own


class Unusable(Rejection):
    """No connection can be opened: nothing was asked of the hop, so another one may be tried.

    Attributes:
        refusal_code: of the reply with which the hop refused the connection; 0: there was none.
    """

    def __init__(self, reply: Reply, detail: str, *, refusal_code: int = 0) -> None:
        super().__init__(reply, Reason.UPSTREAM_UNAVAILABLE, detail)
        self.refusal_code = refusal_code


def unreachable(detail: str, *, refusal_code: int = 0) -> Unusable:
    """No connection, no greeting, or a greeting or EHLO that says no."""
    reply = own(451, "4.4.1", "The next hop cannot be reached now")
    return Unusable(reply, detail, refusal_code=refusal_code)


def broken(detail: str) -> Unusable:
    """The connection was lost, or garbled, while it was being opened."""
    reply = own(451, "4.4.2", "The connection to the next hop was lost")
    return Unusable(reply, detail)


def tls_missing(detail: str) -> Unusable:
    """The hop does not offer the TLS that is required of it."""
    reply = own(451, "4.7.4", "The next hop offers no secure connection now")
    return Unusable(reply, detail)


def tls_failed(detail: str) -> Unusable:
    """The TLS handshake failed, or the certificate is not the hop's."""
    reply = own(451, "4.7.5", "No secure connection to the next hop is possible now")
    return Unusable(reply, detail)


def auth_failed(detail: str) -> Unusable:
    """AUTH is not offered, not permitted on this connection, or was refused."""
    reply = own(451, "4.7.0", "The next hop does not let this relay in now")
    return Unusable(reply, detail)


def exhausted(detail: str) -> Rejection:
    """Connections or the rate were used up for too long."""
    reply = own(451, "4.3.2", "No connection to the next hop is free now")
    return Rejection(reply, Reason.UPSTREAM_UNAVAILABLE, detail)


def stopping(hop: str) -> Rejection:
    """The pool is closed, because the relay is about to end."""
    return exhausted(f"{hop}: the relay is stopping")


def lost(detail: str) -> Rejection:
    """The connection was lost before the end of the message: the hop does not have it."""
    reply = own(451, "4.4.2", "The connection to the next hop was lost")
    return Rejection(reply, Reason.UPSTREAM_LOST, detail)


def outcome_unknown(detail: str) -> Rejection:
    """No reply after the end of the message: the hop may have it, a retry may duplicate it."""
    reply = own(451, "4.4.2", "The next hop did not say whether it took the message")
    return Rejection(reply, Reason.OUTCOME_UNKNOWN, detail)


def smtputf8_missing(detail: str) -> Rejection:
    """SMTPUTF8 is asked for, and the hop cannot carry it (RFC 6531 §3.5: 550 5.6.7)."""
    reply = own(550, "5.6.7", "The next hop does not offer SMTPUTF8")
    return Rejection(reply, Reason.NOT_CARRIABLE, detail)


def requiretls_missing(detail: str) -> Rejection:
    """REQUIRETLS is asked for, and cannot be kept on this hop (RFC 8689 §4.2.1 and §5)."""
    reply = own(550, "5.7.30", "REQUIRETLS support required")
    return Rejection(reply, Reason.NOT_CARRIABLE, detail)
