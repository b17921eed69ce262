"""What settings of one upstream say against each other. No IO."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from relay.config import values

if TYPE_CHECKING:
    from relay.config.outbound import Upstream

Contradiction = tuple[str, str, str]  # the setting, what is wrong, what to do

# Secrets of an upstream; each may be in a file, whose setting has "_file" behind the name.
SECRETS = ("password", "oauth_client_secret", "oauth_refresh_token", "oauth_token")
_SMTP_PORT = 25


def contradictions(upstream: Upstream) -> Iterator[Contradiction]:
    """Everything that does not go together."""
    yield from _of_the_url(upstream)
    yield from _of_tls(upstream)
    yield from _of_secrets(upstream)
    yield from _of_the_mechanism(upstream)
    yield from _of_login_in_clear(upstream)


def _of_the_url(upstream: Upstream) -> Iterator[Contradiction]:
    if upstream.url.lower().startswith("smtps:") and upstream.tls not in ("", "implicit"):
        what = f"tls = {upstream.tls!r} contradicts smtps:// of the url"
        yield "tls", what, "use smtp://, or leave tls out"
    if upstream.socket_path and upstream.tls_mode != "none":
        what = f"tls = {upstream.tls!r}, and the url is a UNIX socket"
        yield "tls", what, "leave tls out: nobody listens in on a UNIX socket"
    if upstream.is_lmtp and upstream.host_port[1] == _SMTP_PORT:
        # RFC 2033 §5: what is there could take it for SMTP, and answer once for all.
        yield "url", "lmtp:// on port 25, which is SMTP's", "port 24, or smtp://"


def _of_tls(upstream: Upstream) -> Iterator[Contradiction]:
    tls = upstream.tls_mode
    if upstream.tls_fingerprints and tls not in ("implicit", "starttls"):
        fix = 'set tls = "starttls" or "implicit"'
        yield "tls_fingerprints", f'they count for nothing with tls = "{tls}"', fix
    if upstream.tls_fingerprints and upstream.ca_file:
        what = "ca_file is not read when there are tls_fingerprints"
        yield "tls_fingerprints", what, "keep one of them"
    if upstream.client_key_file and not upstream.client_certificate_file:
        yield "client_key_file", "a key without a certificate", "set client_certificate_file"
    if upstream.client_certificate_file and tls == "none":
        what = 'it is shown to nobody with tls = "none"'
        yield "client_certificate_file", what, 'set tls = "starttls" or "implicit"'
    if upstream.dane != "off":
        yield from _of_dane(upstream)


def _of_dane(upstream: Upstream) -> Iterator[Contradiction]:
    tls, (host, _) = upstream.tls_mode, upstream.host_port
    if tls == "none" or (tls == "opportunistic" and upstream.dane == "required"):
        what = f'dane = "{upstream.dane}" contradicts tls = "{tls}"'
        yield "dane", what, 'set tls = "starttls" or "implicit"'
    if upstream.tls_fingerprints:
        yield "dane", "dane and tls_fingerprints are both set", "keep one"
    if values.is_ip(host):
        yield "dane", f"{host} is an address, and TLSA records belong to names", "use its name"


def _of_secrets(upstream: Upstream) -> Iterator[Contradiction]:
    for name in SECRETS:
        if getattr(upstream, name).get_secret_value() and getattr(upstream, f"{name}_file"):
            yield f"{name}_file", f"{name} and {name}_file are both set", "keep one"
    fetched, given = bool(upstream.oauth_token_url), _has(upstream, "oauth_token")
    if fetched and given:
        what = "oauth_token_url and oauth_token are both set"
        yield "oauth_token_url", what, "keep one: a token is fetched, or given"
    parts = [name for name in SECRETS[1:3] if _has(upstream, name)]
    parts += ["oauth_client_id"] if upstream.oauth_client_id else []
    if parts and not fetched:
        yield parts[0], f"{parts[0]} without oauth_token_url", "set oauth_token_url"
    if fetched and not upstream.oauth_client_id:
        yield "oauth_token_url", "oauth_token_url without oauth_client_id", "set oauth_client_id"
    if fetched and len(parts) < 2:
        fix = "set oauth_client_secret, or oauth_refresh_token, or both"
        yield "oauth_token_url", "no secret to fetch a token with", fix


def _of_the_mechanism(upstream: Upstream) -> Iterator[Contradiction]:
    has_token = bool(upstream.oauth_token_url) or _has(upstream, "oauth_token")
    if has_token and _has(upstream, "password"):
        yield "password", "a password and OAuth are both set", "keep one"
    if has_token and not upstream.username:
        yield "oauth_token_url", "OAuth without a username", "set username"
    has_password = _has(upstream, "password")
    if has_password and not upstream.username:
        yield "password", "a password without a username", "set username"
    match upstream.auth:
        case "external" if not upstream.client_certificate_file:
            yield "auth", "external without a client certificate", "set client_certificate_file"
        case "xoauth2" | "oauthbearer" if not has_token:
            fix = "set oauth_token_url or oauth_token_file"
            yield "auth", f"{upstream.auth} without a token", fix
        case "plain" | "login" | "cram-md5" if not has_password:
            yield "auth", f"{upstream.auth} without a password", "set password_file"
        case "auto" if upstream.username and not (
            has_password or has_token or upstream.client_certificate_file
        ):
            fix = "set password_file, oauth_token_url or client_certificate_file, or no username"
            yield "username", "nothing to log in with", fix
        case _:
            pass


def _of_login_in_clear(upstream: Upstream) -> Iterator[Contradiction]:
    """A login that no connection would ever permit: every message would be refused."""
    tls = upstream.tls_mode
    may_be_protected = (
        tls in ("implicit", "starttls")
        or bool(upstream.socket_path)
        or (tls == "opportunistic" and upstream.dane != "off")
    )
    logs_in = upstream.username or upstream.auth == "external"
    if logs_in and not (may_be_protected or upstream.insecure_auth):
        fix = 'set tls = "starttls" or "implicit", or insecure_auth = true'
        yield "tls", f'AUTH is not spoken with tls = "{tls}": the server is not verified', fix


def _has(upstream: Upstream, secret: str) -> bool:
    text = getattr(upstream, secret).get_secret_value()
    return bool(text or getattr(upstream, f"{secret}_file"))
