"""By what a hop is believed: CAs, pins, DANE; and what it is shown."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from relay.core.certificate import fingerprint, public_key_info
from relay.core.dane import DANE_TA, Tlsa
from relay.core.errors import Reason, Rejection
from relay.upstream.connect import Opener
from relay.upstream.events import Happened
from relay.upstream.protocol import Connection
from relay.upstream.rejections import Unusable
from relay.upstream.settings import Auth, Dane, Tls
from tests.fakes.certificates import Certificates
from tests.fakes.pools import upstream
from tests.fakes.smarthost import Smarthost, reply
from tests.fakes.tlsa import FakeTlsa, key_record, nothing, unknown, vouched

TLS_MODES = [Tls.STARTTLS, Tls.IMPLICIT]
USERS = {"app": "only for tests"}
LOGIN = {"username": "app", "password": "only for tests"}


async def opened(host: Smarthost, /, **changes: Any) -> Connection:
    """A connection; closed at once, and still telling how it was secured."""
    connection = await Opener(upstream(host.port, **changes)).open(lambda connection: None)
    connection.abort("done")
    return connection


async def refused(host: Smarthost, /, **changes: Any) -> Rejection:
    """Why there is none; nothing stays open, and another upstream may be tried."""
    with pytest.raises(Unusable) as caught:
        await Opener(upstream(host.port, **changes)).open(lambda connection: None)
    await host.until(lambda: host.open_sessions == 0)
    assert caught.value.reply.code == 451
    assert caught.value.reason is Reason.UPSTREAM_UNAVAILABLE
    return caught.value


class Shown:
    """A server's certificate: its context, and its octets."""

    def __init__(self, certificates: Certificates, *names: str, stem: str = "shown") -> None:
        file, key = certificates.files(*names, stem=stem)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(file, key)
        self.der = octets_of(file)


def octets_of(file: str | Path) -> bytes:
    """The certificate in a PEM file, as DER."""
    return ssl.PEM_cert_to_DER_cert(Path(file).read_text("ascii"))


def copied(source: str, target: Path) -> None:
    """Write over a file."""
    target.write_bytes(Path(source).read_bytes())


# Pins.


@pytest.mark.parametrize("tls", TLS_MODES)
@pytest.mark.parametrize("what", ["certificate", "key"])
async def test_a_pin_is_enough(tls: Tls, what: str, certificates: Certificates) -> None:
    """An unknown CA and another name: the pin counts, AUTH is spoken, REQUIRETLS can be kept."""
    shown = Shown(certificates, "other.test")
    pinned = shown.der if what == "certificate" else public_key_info(shown.der)
    pins = frozenset({fingerprint(b"another"), fingerprint(pinned)})
    async with Smarthost(tls=shown.context, implicit=tls is Tls.IMPLICIT, users=USERS) as host:
        connection = await opened(host, tls=tls, tls_fingerprints=pins, **LOGIN)
        assert connection.is_secured
        assert connection.is_authenticated
        assert connection.security.endswith("by pin")
        assert host.sessions[0].user == "app"


@pytest.mark.parametrize("tls", TLS_MODES)
async def test_another_certificate_than_the_pinned(tls: Tls, certificates: Certificates) -> None:
    """451 4.7.5, even with a good CA; the log has what to pin, and the password was not sent."""
    shown = Shown(certificates)
    async with Smarthost(tls=shown.context, implicit=tls is Tls.IMPLICIT, users=USERS) as host:
        pins = frozenset({fingerprint(b"another")})
        settings = {"tls": tls, "tls_fingerprints": pins, "ca_file": certificates.ca_file}
        rejection = await refused(host, **settings, **LOGIN)
        assert rejection.reply.enhanced == "4.7.5"
        assert fingerprint(shown.der) in rejection.detail
        assert fingerprint(public_key_info(shown.der)) in rejection.detail
        assert "AUTH" not in host.sessions[0].verbs


# Versions.


@pytest.mark.parametrize("tls", TLS_MODES)
async def test_the_least_version(tls: Tls, certificates: Certificates) -> None:
    """A server that has only TLS 1.2 is good enough by default, and not with "1.3"."""
    context = certificates.server()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Smarthost(tls=context, implicit=tls is Tls.IMPLICIT) as host:
        settings: dict[str, Any] = {"tls": tls, "ca_file": certificates.ca_file}
        assert (await opened(host, **settings)).security == "TLSv1.2"
        rejection = await refused(host, tls_min_version="1.3", **settings)
        assert rejection.reply.enhanced == "4.7.5"


# Client certificates, and files that change.


def asking(certificates: Certificates) -> ssl.SSLContext:
    """A server that wants a client certificate of this CA."""
    context = certificates.server()
    context.load_verify_locations(certificates.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # which refuses within the handshake
    return context


@pytest.mark.parametrize("is_one_file", [True, False])
async def test_a_client_certificate(
    is_one_file: bool, certificates: Certificates, tmp_path: Path
) -> None:
    """Shown to a server that asks for it; EXTERNAL lets in whom it names (RFC 4422 appendix A)."""
    file, key = certificates.files("relay.test", stem="client")
    if is_one_file:
        together = tmp_path / "both.pem"
        together.write_bytes(file.read_bytes() + key.read_bytes())
        files = {"client_certificate_file": str(together)}
    else:
        files = {"client_certificate_file": str(file), "client_key_file": str(key)}
    host = Smarthost(
        tls=asking(certificates), users={"relay.test": ""}, mechanisms=("PLAIN", "EXTERNAL")
    )
    async with host:
        settings = {"tls": Tls.STARTTLS, "ca_file": certificates.ca_file}
        rejection = await refused(host, **settings)
        assert "the handshake failed" in rejection.detail
        for more in ({"auth": Auth.EXTERNAL}, {"username": "relay.test"}):
            assert (await opened(host, **settings, **files, **more)).is_authenticated
            assert host.sessions[-1].user == "relay.test"
        assert host.sessions[1].lines[-1] == b"AUTH EXTERNAL ="


@pytest.mark.parametrize(
    ("setting", "content"),
    [
        ("ca_file", b"no certificate"),
        ("ca_file", None),
        ("client_certificate_file", b"no certificate"),
        ("client_certificate_file", None),
    ],
)
async def test_a_file_that_cannot_be_used(
    setting: str, content: bytes | None, tmp_path: Path
) -> None:
    """451 4.7.5 with setting and path, before anything is opened; mended, it works at once."""
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_bytes(content)
    async with Smarthost() as host:
        rejection = await refused(host, tls=Tls.STARTTLS, **{setting: str(path)})
        assert rejection.reply.enhanced == "4.7.5"
        assert f"{setting} {str(path)!r}" in rejection.detail
        assert host.sessions == []


async def test_an_encrypted_client_key_is_refused(
    certificates: Certificates, tmp_path: Path
) -> None:
    """OpenSSL does not ask for its password on the terminal."""
    from cryptography.hazmat.primitives import serialization as s

    file, key = certificates.files("relay.test", stem="locked")
    private = s.load_pem_private_key(key.read_bytes(), None)
    locked = s.BestAvailableEncryption(b"password")
    key.write_bytes(private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, locked))
    async with Smarthost(tls=certificates.server()) as host:
        files = {"client_certificate_file": str(file), "client_key_file": str(key)}
        rejection = await refused(host, tls=Tls.STARTTLS, **files)
        assert str(key) in rejection.detail


async def test_a_ca_bundle_is_read_anew(certificates: Certificates, tmp_path: Path) -> None:
    """A new CA takes effect without a restart; a broken file takes nothing away; both are told."""
    other = tmp_path / "other"
    other.mkdir()
    bundle, events = tmp_path / "ca.pem", list[tuple[Happened, str]]()
    copied(Certificates(other).ca_file, bundle)
    broken = tmp_path / "broken"
    broken.write_bytes(b"broken")
    async with Smarthost(tls=certificates.server()) as host:
        settings = upstream(host.port, tls=Tls.STARTTLS, ca_file=str(bundle))
        opening = Opener(settings, tell=lambda *event: events.append(event))
        with pytest.raises(Rejection):
            await opening.open(lambda connection: None)
        changes = {certificates.ca_file: Happened.RELOADED, str(broken): Happened.OUTDATED}
        for source, happened in changes.items():
            copied(source, bundle)
            for _ in range(2):
                (await opening.open(lambda connection: None)).abort("done")
            [(told, text)] = events
            assert told is happened
            assert str(bundle) in text
            events.clear()


# DANE.


async def by_dane(host: Smarthost, tlsa: FakeTlsa, /, **changes: Any) -> Connection:
    """Opened with DANE; the hop's name is localhost."""
    settings = {"host": "localhost", "tls": Tls.STARTTLS, "dane": Dane.REQUIRED, "tlsa": tlsa}
    return await opened(host, **settings | changes)


async def not_by_dane(host: Smarthost, tlsa: FakeTlsa, /, **changes: Any) -> Rejection:
    """Refused with DANE."""
    settings = {"host": "localhost", "tls": Tls.STARTTLS, "dane": Dane.REQUIRED, "tlsa": tlsa}
    return await refused(host, **settings | changes)


@pytest.mark.parametrize("dane", [Dane.OPPORTUNISTIC, Dane.REQUIRED])
@pytest.mark.parametrize("tls", TLS_MODES)
async def test_a_record_stands_in_the_place_of_a_ca(
    tls: Tls, dane: Dane, certificates: Certificates
) -> None:
    """An unknown CA and another name, and a record with the key: believed, AUTH is spoken."""
    shown = Shown(certificates, "other.test")
    dns = vouched(key_record(shown.der))
    async with Smarthost(tls=shown.context, implicit=tls is Tls.IMPLICIT, users=USERS) as host:
        connection = await by_dane(host, dns, tls=tls, dane=dane, **LOGIN)
        assert connection.is_secured
        assert connection.security.endswith("by DANE")
        assert dns.asked == [("localhost", host.port)]


async def test_an_issuer_in_a_record(certificates: Certificates) -> None:
    """DANE-TA(2), whole: names and dates are checked, no CA bundle is needed."""
    issuer = octets_of(certificates.ca_file)
    dns = vouched(Tlsa(DANE_TA, 0, 0, issuer))
    async with Smarthost(tls=certificates.server("localhost")) as host:
        assert (await by_dane(host, dns)).is_secured
    async with Smarthost(tls=certificates.server("other.test")) as host:
        assert "localhost" in (await not_by_dane(host, dns)).detail


@pytest.mark.parametrize("tls", TLS_MODES)
async def test_a_record_of_another_certificate(tls: Tls, certificates: Certificates) -> None:
    """451 4.7.5, even when a CA would vouch for the hop, and no password is sent."""
    dns = vouched(key_record(Shown(certificates, stem="another").der))
    context = certificates.server("localhost")
    async with Smarthost(tls=context, implicit=tls is Tls.IMPLICIT, users=USERS) as host:
        ca = certificates.ca_file
        for dane in (Dane.OPPORTUNISTIC, Dane.REQUIRED):
            rejection = await not_by_dane(host, dns, tls=tls, dane=dane, ca_file=ca, **LOGIN)
            assert rejection.reply.enhanced == "4.7.5"
            assert str(dns.answer.records[0]) in rejection.detail
        assert all("AUTH" not in session.verbs for session in host.sessions)


async def test_records_forbid_to_go_on_in_clear(certificates: Certificates) -> None:
    """RFC 7672 §2.2: with them even opportunistic TLS is verified, or nothing."""
    shown = Shown(certificates, "other.test")
    changes: dict[str, Any] = {"tls": Tls.OPPORTUNISTIC, "dane": Dane.OPPORTUNISTIC}
    dns = vouched(key_record(shown.der))
    async with Smarthost(tls=shown.context, users=USERS) as host:
        assert (await by_dane(host, dns, **changes, **LOGIN)).is_secured
        host.on("starttls", reply("454 4.7.0 Not now"))
        assert (await not_by_dane(host, dns, **changes)).reply.enhanced == "4.7.4"
    async with Smarthost() as host:  # somebody has taken STARTTLS out
        assert (await not_by_dane(host, dns, **changes)).reply.enhanced == "4.7.4"
        assert host.sessions[0].verbs == ["EHLO"]


async def test_records_that_cannot_be_used_forbid_it_too(certificates: Certificates) -> None:
    """The same section: TLS is a must, and nobody is verified, so that no password goes out."""
    changes: dict[str, Any] = {"tls": Tls.OPPORTUNISTIC, "dane": Dane.OPPORTUNISTIC}
    dns = vouched(Tlsa(1, 1, 1, bytes(32)))
    async with Smarthost(tls=certificates.server("other.test"), users=USERS) as host:
        assert (await by_dane(host, dns, **changes)).security.endswith("not verified")
        rejection = await not_by_dane(host, dns, **changes, **LOGIN)
        assert rejection.reply.enhanced == "4.7.0"
        assert "insecure_auth" in rejection.detail
        assert "AUTH" not in host.sessions[-1].verbs
    async with Smarthost() as host:
        assert (await not_by_dane(host, dns, **changes)).reply.enhanced == "4.7.4"


@pytest.mark.parametrize("dns", [nothing(), vouched(Tlsa(0, 0, 1, bytes(32)))])
async def test_without_usable_records(dns: FakeTlsa, certificates: Certificates) -> None:
    """Opportunistic: as without DANE, a CA is asked for. Required: 451 4.7.5, unopened."""
    async with Smarthost(tls=certificates.server("localhost")) as host:
        changes: dict[str, Any] = {"dane": Dane.OPPORTUNISTIC, "ca_file": certificates.ca_file}
        assert (await by_dane(host, dns, **changes)).security.startswith("TLSv1.")
        assert (
            "unable to get local issuer"
            in (await not_by_dane(host, dns, dane=Dane.OPPORTUNISTIC)).detail
        )
        opened_before = len(host.sessions)
        rejection = await not_by_dane(host, dns, ca_file=certificates.ca_file)
        assert rejection.reply.enhanced == "4.7.5"
        assert "asked the fake" in rejection.detail
        assert len(host.sessions) == opened_before


@pytest.mark.parametrize("dane", [Dane.OPPORTUNISTIC, Dane.REQUIRED])
async def test_no_answer_is_not_the_same_as_no_record(
    dane: Dane, certificates: Certificates
) -> None:
    """RFC 7672 §2.1.2: 451 4.7.5; who can make DNS fail must not be able to switch DANE off."""
    async with Smarthost(tls=certificates.server("localhost")) as host:
        rejection = await not_by_dane(host, unknown(), dane=dane, ca_file=certificates.ca_file)
        assert rejection.reply.enhanced == "4.7.5"
        assert "SERVFAIL" in rejection.detail
        assert host.sessions == []


async def test_the_name_that_a_cname_leads_to(certificates: Certificates) -> None:
    """RFC 7672 §2.2.2: the records' name is connected to; the certificate may have either name."""
    issuer = octets_of(certificates.ca_file)
    dns = vouched(Tlsa(DANE_TA, 0, 0, issuer), base="localhost")
    for name in ("localhost", "alias.test"):
        async with Smarthost(tls=certificates.server(name)) as host:
            assert (await by_dane(host, dns, host="alias.test")).is_secured
