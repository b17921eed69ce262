"""Settings of an upstream's connection: what goes together, and what arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relay.assembly import upstream_settings
from relay.config import Config, load
from relay.config.contradictions import SECRETS
from relay.core.errors import ConfigError
from relay.dns.tlsa import TlsaResolver
from relay.upstream.oauth import FixedToken, TokenFault, Tokens
from relay.upstream.settings import Auth, Dane, Tls, UpstreamSettings
from tests.fakes.certificates import Certificates
from tests.fakes.token_endpoint import TokenEndpoint, answer

PIN = "sha256:" + "0a" * 32
RESOLVER = '[dns]\nnameservers = ["127.0.0.1"]\n'
OAUTH = 'oauth_token_url = "https://login.test/t"\noauth_client_id = "c"\n'


def loaded(folder: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    """Settings with one upstream."""
    path = folder / "relay.toml"
    path.write_text(f"{RESOLVER}[[upstreams]]\n{text}")
    return load(path, environ or {})


def made(folder: Path, text: str) -> UpstreamSettings:
    """As the pool takes them."""
    return upstream_settings(loaded(folder, text))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://h.test", ("h.test", 25, "", False, Tls.STARTTLS)),
        ("smtps://h.test", ("h.test", 465, "", False, Tls.IMPLICIT)),
        ("lmtp://h.test", ("h.test", 24, "", True, Tls.STARTTLS)),
        ("LMTP://[::1]:2424", ("::1", 2424, "", True, Tls.STARTTLS)),
        ("unix:/run/smtp.sock", ("localhost", 0, "/run/smtp.sock", False, Tls.NONE)),
        ("lmtp+unix:/run/a@b.sock", ("localhost", 0, "/run/a@b.sock", True, Tls.NONE)),
    ],
)
def test_urls(url: str, expected: tuple[object, ...], tmp_path: Path) -> None:
    """Every kind, with its default port and TLS."""
    found = made(tmp_path, f'url = "{url}"\n')
    assert (found.host, found.port, found.socket_path, found.is_lmtp, found.tls) == expected
    assert found.max_recipients == int(found.is_lmtp)


def test_settings_arrive(tmp_path: Path) -> None:
    """Each of TLS, as it was given."""
    found = made(
        tmp_path,
        'url = "smtp://h.test"\ntls_min_version = "1.3"\ndane = "required"\n'
        'client_certificate_file = "/c.pem"\nclient_key_file = "/c.key"\nauth = "external"\n'
        "max_recipients_per_message = 50\n",
    )
    assert (found.tls_min_version, found.max_recipients) == ("1.3", 50)
    assert (found.client_certificate_file, found.client_key_file) == ("/c.pem", "/c.key")
    assert (found.dane, found.auth, found.logs_in) == (Dane.REQUIRED, Auth.EXTERNAL, True)
    assert isinstance(found.tlsa, TlsaResolver)


@pytest.mark.parametrize(
    "pin", [PIN, PIN.upper(), "0A:" * 31 + "0A", f"SHA256:{'0A' * 32}", "0a" * 32]
)
def test_fingerprints(pin: str, tmp_path: Path) -> None:
    """As openssl prints them, too; from the environment separated by commas."""
    found = made(tmp_path, f'url = "smtp://h.test"\ntls_fingerprints = ["{pin}"]\n')
    assert found.tls_fingerprints == {PIN}
    variables = {"DKIM_RELAY_UPSTREAM__TLS_FINGERPRINTS": f"{pin}, {'1b' * 32}"}
    config = loaded(tmp_path, 'url = "smtp://h.test"\n', variables)
    assert config.upstreams[0].tls_fingerprints == (PIN, f"sha256:{'1b' * 32}")


def test_tokens(tmp_path: Path) -> None:
    """Fetched, or given; none without settings for them."""
    url = 'url = "smtp://h.test"\nusername = "u"\n'
    assert isinstance(made(tmp_path, f'{url}{OAUTH}oauth_client_secret = "s"\n').tokens, Tokens)
    assert isinstance(made(tmp_path, f'{url}{OAUTH}oauth_refresh_token = "s"\n').tokens, Tokens)
    assert isinstance(made(tmp_path, f'{url}oauth_token = "s"\n').tokens, FixedToken)
    assert made(tmp_path, f'{url}password = "s"\n').tokens is None


async def test_every_setting_of_oauth_counts(tmp_path: Path) -> None:
    """What stands in the settings is what the token endpoint is asked with, over verified TLS."""
    certificates, secret = Certificates(tmp_path), tmp_path / "refresh"
    secret.write_text("renew-me")
    good = answer(200, {"access_token": "here", "token_type": "Bearer"})
    async with TokenEndpoint(certificates.server(), good) as endpoint:
        text = (
            'url = "smtp://h.test"\nusername = "u"\noauth_client_id = "c"\n'
            f'oauth_token_url = "{endpoint.url}"\noauth_scope = "mail.send offline"\n'
            f'oauth_refresh_token_file = "{secret}"\n'
        )
        unverified = made(tmp_path, text).tokens
        assert unverified is not None
        with pytest.raises(TokenFault, match="certificate verify failed"):
            await unverified.token()
        tokens = made(tmp_path, f'{text}oauth_ca_file = "{certificates.ca_file}"\n').tokens
        assert tokens is not None
        assert (await tokens.token()).text == "here"
        assert endpoint.forms == [
            {
                "grant_type": "refresh_token",
                "refresh_token": "renew-me",
                "client_id": "c",
                "scope": "mail.send offline",
            }
        ]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_file(secret: str, tmp_path: Path) -> None:
    """Its path is kept; one that cannot be read now is a fault; the environment wins."""
    path = tmp_path / "secret"
    text = f'url = "smtp://h.test"\nusername = "u"\n{secret}_file = "{path}"\n'
    text += OAUTH if "client" in secret or "refresh" in secret else ""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert f"{secret}_file: {path}: No such file" in str(caught.value)
    path.write_text("hunter2")
    [upstream] = loaded(tmp_path, text).upstreams
    assert getattr(upstream, f"{secret}_file") == str(path)
    variables = {f"DKIM_RELAY_UPSTREAM__{secret.upper()}": "from the environment"}
    [upstream] = loaded(tmp_path, text, variables).upstreams
    assert getattr(upstream, secret).get_secret_value() == "from the environment"
    assert getattr(upstream, f"{secret}_file") == ""


BAD: list[tuple[dict[str, Any], list[str]]] = [
    ({"url": "lmtp://h.test:25"}, ["port 25", "24"]),
    ({"url": "unix:relative"}, ["url"]),
    ({"url": "unix:/a b"}, ["url"]),
    ({"url": "lmtps://h.test"}, ["url"]),
    ({"url": "unix:/s", "tls": "starttls"}, ["starttls", "UNIX"]),
    ({"url": "unix:/s", "dane": "opportunistic"}, ["dane"]),
    ({"tls_min_version": "1.1"}, ["tls_min_version", "1.1"]),
    ({"tls_fingerprints": ["sha1:00"]}, ["sha1:00", "openssl"]),
    ({"tls_fingerprints": ["sha256:" + "0" * 63]}, ["not a SHA-256"]),
    ({"tls_fingerprints": [PIN], "tls": "opportunistic"}, ["opportunistic"]),
    ({"tls_fingerprints": [PIN], "tls": "none"}, ["none"]),
    ({"tls_fingerprints": [PIN], "ca_file": "/ca.pem"}, ["ca_file"]),
    ({"tls_fingerprints": [PIN], "dane": "required"}, ["dane and tls_fingerprints"]),
    ({"client_key_file": "/k"}, ["client_certificate_file"]),
    ({"client_certificate_file": "/c", "tls": "none"}, ["nobody", "none"]),
    ({"dane": "required", "tls": "opportunistic"}, ["required", "opportunistic"]),
    ({"dane": "opportunistic", "tls": "none"}, ["none"]),
    ({"dane": "required", "url": "smtp://192.0.2.1"}, ["192.0.2.1", "name"]),
    ({"auth": "digest-md5"}, ["auth", "digest-md5"]),
    ({"auth": "external", "username": "u"}, ["client_certificate_file"]),
    ({"auth": "plain", "username": "u"}, ["without a password", "password_file"]),
    ({"username": "u"}, ["nothing to log in with", "password_file"]),
    ({"password": "secret"}, ["a password without a username"]),
    ({"auth": "xoauth2", "username": "u"}, ["without a token"]),
    ({"username": "u", "password": "secret", "tls": "none"}, ["not verified", "insecure_auth"]),
    ({"username": "u", "password": "secret", "tls": "opportunistic"}, ["not verified"]),
    ({"oauth_token_url": "http://h.test/t"}, ["oauth_token_url", "https"]),
    ({"oauth_token_url": "https://u:secret@h.test/t"}, ["oauth_token_url", "credentials"]),
    ({"oauth_token_url": "https://h.test:port/t"}, ["oauth_token_url"]),
    ({"oauth_token_url": "https://h.test/t", "username": "u"}, ["oauth_client_id"]),
    (
        {"oauth_token_url": "https://h.test/t", "oauth_client_id": "c", "username": "u"},
        ["no secret", "oauth_client_secret"],
    ),
    ({"oauth_client_secret": "secret", "username": "u"}, ["without oauth_token_url"]),
    ({"oauth_client_id": "c", "username": "u"}, ["without oauth_token_url"]),
    ({"oauth_token": "secret"}, ["without a username"]),
    ({"oauth_token": "secret", "password": "secret", "username": "u"}, ["a password and OAuth"]),
    (
        {"oauth_token": "secret", "oauth_token_url": "https://h.test/t", "username": "u"},
        ["oauth_token_url and oauth_token"],
    ),
    ({"max_recipients_per_message": -1}, ["max_recipients_per_message", "-1"]),
]


@pytest.mark.parametrize(("given", "said"), BAD)
def test_what_does_not_go_together(given: dict[str, Any], said: list[str], tmp_path: Path) -> None:
    """One fault with its place and its fix; no secret is shown."""
    settings = {"url": "smtp://h.test"} | given
    lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, "".join(lines))
    [fault] = caught.value.faults
    assert fault.where.startswith(f"{tmp_path}/relay.toml:")
    assert fault.fix
    assert "secret" not in str(fault).replace("oauth_client_secret", "").replace("no secret", "")
    for part in said:
        assert part in str(fault)


@pytest.mark.parametrize("dane", ["opportunistic", "required"])
def test_dane_needs_a_resolver_that_is_named(dane: str, tmp_path: Path) -> None:
    """The AD bit of just any server is worth nothing."""
    path = tmp_path / "relay.toml"
    path.write_text(f'[[upstreams]]\nurl = "smtp://h.test"\ndane = "{dane}"\n')
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    [fault] = caught.value.faults
    assert fault.where == f"{path}:3"
    assert "dns.nameservers" in fault.fix


@pytest.mark.parametrize("name", ["SERVICE__WORKERS", "UPSTREAM__MAX_CONNECTIONS"])
def test_a_number_of_thousands_of_digits(name: str, tmp_path: Path) -> None:
    """A fault like any other number out of range."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, 'url = "smtp://h.test"\n', {f"DKIM_RELAY_{name}": "9" * 5000})
    assert name.partition("__")[2].lower() in str(caught.value).lower()
    assert "sys." not in str(caught.value)  # what Python advises is nothing for operators


@pytest.mark.parametrize(
    ("most", "workers", "environ", "is_good"),
    [
        ("max_connections = 2", "2", {}, True),
        ("max_connections = 2", "3", {}, False),
        ("max_connections = 2", '"auto"', {}, True),  # there are as many as there is room for
        ("", "50", {}, True),
        ("", "51", {}, False),
        ("max_connections = 2", "1", {"DKIM_RELAY_SERVICE__WORKERS": "3"}, False),
    ],
)
def test_each_worker_needs_a_connection(
    most: str, workers: str, environ: dict[str, str], is_good: bool, tmp_path: Path
) -> None:
    """Connections are divided among workers; told by `config check`, not first by `serve`."""
    text = f'url = "smtp://h.test"\n{most}\n[service]\nworkers = {workers}\n'
    if is_good:
        assert loaded(tmp_path, text, environ).upstreams
        return
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, environ)
    [fault] = caught.value.faults
    assert "leaves some without any" in str(fault)
    assert "service.workers" in fault.fix
