"""DANE against a zone that BIND has signed, asked through a BIND that validates."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.core.certificate import fingerprint, public_key_info
from relay.core.dane import Tlsa, Vouched
from relay.core.errors import Rejection
from relay.dns.tlsa import TlsaResolver
from relay.upstream.connect import Opener
from relay.upstream.settings import Dane, Tls
from tests.fakes.bind import Bind, bogus_anchor
from tests.fakes.certificates import Certificates
from tests.fakes.pools import upstream
from tests.fakes.processes import free_port
from tests.fakes.smarthost import Smarthost

DIGEST = "ab" * 32
# "localhost" is the one name that the system, too, finds on loopback.
SIGNED = f"""\
@ A 127.0.0.1
@ AAAA ::1
_2525._tcp TLSA 3 1 1 {DIGEST}
_2525._tcp TLSA 2 0 2 {DIGEST}{DIGEST}
_2525._tcp TLSA 0 0 1 {DIGEST}
_{{port}}._tcp TLSA 3 1 1 {{key}}
six AAAA ::1
_2525._tcp.six TLSA 3 1 1 {DIGEST}
alias CNAME six
named CNAME bare
bare A 127.0.0.1
_2525._tcp.named TLSA 3 0 1 {DIGEST}
"""
UNSIGNED = f"@ A 127.0.0.1\n_2525._tcp TLSA 3 1 1 {DIGEST}\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA that nobody trusts."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def smarthost(certificates: Certificates) -> Smarthost:
    """Not started yet; its certificate has another name."""
    file, key = certificates.files("other.test", stem="dane")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file, key)
    return Smarthost(tls=context, port=free_port())


@pytest.fixture(scope="module")
def authority(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, smarthost: Smarthost
) -> Iterator[Bind]:
    """Has a signed zone and one that is not."""
    file = Path(certificates.ca_file).with_name("dane.pem")
    der = ssl.PEM_cert_to_DER_cert(file.read_text("ascii"))
    key = fingerprint(public_key_info(der)).removeprefix("sha256:")
    zones = {"localhost": SIGNED.format(port=smarthost.port, key=key), "plain.test": UNSIGNED}
    folder = tmp_path_factory.mktemp("authority")
    with Bind(folder, zones=zones, signed=["localhost"]) as bind:
        yield bind


@pytest.fixture(scope="module")
def validating(tmp_path_factory: pytest.TempPathFactory, authority: Bind) -> Iterator[TlsaResolver]:
    """A resolver with the right trust anchor."""
    forwards = dict.fromkeys(("localhost", "plain.test"), authority.address)
    anchors = [authority.anchor("localhost")]
    with Bind(tmp_path_factory.mktemp("resolver"), forwards=forwards, anchors=anchors) as bind:
        yield TlsaResolver([bind.address])


async def test_records_of_a_signed_zone(validating: TlsaResolver) -> None:
    """All of them, for the port that is asked for; those of PKIX are there and not usable."""
    answer = await validating.tlsa("localhost", 2525)
    assert (answer.vouched, answer.base) == (Vouched.SECURE, "localhost")
    octets = bytes.fromhex(DIGEST)
    expected = {Tlsa(3, 1, 1, octets), Tlsa(2, 0, 2, 2 * octets), Tlsa(0, 0, 1, octets)}
    assert set(answer.records) == expected
    assert {record.usage for record in answer.usable} == {2, 3}
    assert "_2525._tcp.localhost" in answer.detail


async def test_a_name_without_an_ipv4_address(validating: TlsaResolver) -> None:
    """AAAA will do."""
    assert (await validating.tlsa("six.localhost", 2525)).vouched is Vouched.SECURE


async def test_a_cname(validating: TlsaResolver) -> None:
    """RFC 7672 §2.2.2: where it leads to first, and the name itself else."""
    answer = await validating.tlsa("alias.localhost", 2525)
    assert (answer.vouched, answer.base) == (Vouched.SECURE, "six.localhost")
    answer = await validating.tlsa("named.localhost", 2525)
    assert (answer.vouched, answer.base) == (Vouched.SECURE, "named.localhost")
    answer = await validating.tlsa("bare.localhost", 2525)
    assert answer.vouched is Vouched.NONE


async def test_no_record(validating: TlsaResolver) -> None:
    """Another port, no such name, no name at all."""
    for host, port in (("localhost", 25), ("none.localhost", 25), ("a..b", 25)):
        assert (await validating.tlsa(host, port)).vouched is Vouched.NONE


async def test_a_zone_that_is_not_signed(validating: TlsaResolver) -> None:
    """Its records count for nothing, and the log says why."""
    answer = await validating.tlsa("plain.test", 2525)
    assert (answer.vouched, answer.records) == (Vouched.NONE, ())
    assert "not vouched for" in answer.detail


async def test_a_server_that_does_not_validate(authority: Bind) -> None:
    """It sets no AD: the same."""
    answer = await TlsaResolver([authority.address]).tlsa("localhost", 2525)
    assert (answer.vouched, answer.records) == (Vouched.NONE, ())


async def test_a_zone_that_is_bogus(authority: Bind, tmp_path: Path) -> None:
    """Signed with another key than the trust anchor's: not known, which is not "none"."""
    anchors = [bogus_anchor(authority.anchor("localhost"))]
    forwards = {"localhost": authority.address}
    with Bind(tmp_path, forwards=forwards, anchors=anchors) as bind:
        answer = await TlsaResolver([bind.address]).tlsa("localhost", 2525)
    assert answer.vouched is Vouched.UNKNOWN
    assert "SERVFAIL" in answer.detail


async def test_a_server_that_is_not_there() -> None:
    """The same, within the time."""
    resolver = TlsaResolver([f"127.0.0.1:{free_port()}"], lifetime_seconds=0.3)
    answer = await resolver.tlsa("localhost", 2525)
    assert answer.vouched is Vouched.UNKNOWN


async def test_a_connection(
    validating: TlsaResolver, smarthost: Smarthost, authority: Bind
) -> None:
    """An unknown CA, another name, and a record that DNSSEC vouches for: verified."""
    async with smarthost as host:
        settings = upstream(
            host.port,
            host="localhost",
            tls=Tls.STARTTLS,
            dane=Dane.REQUIRED,
            tlsa=validating,
        )
        connection = await Opener(settings).open(lambda connection: None)
        assert connection.is_secured
        connection.abort("done")
        unsigned = TlsaResolver([authority.address])
        settings = upstream(
            host.port, host="localhost", tls=Tls.STARTTLS, dane=Dane.REQUIRED, tlsa=unsigned
        )
        with pytest.raises(Rejection) as caught:
            await Opener(settings).open(lambda connection: None)
        assert caught.value.reply.enhanced == "4.7.5"
