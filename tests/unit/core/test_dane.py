"""TLSA records against the certificates that a hop shows."""

from __future__ import annotations

import datetime
import hashlib
import ssl

import pytest
import trustme

from relay.core.certificate import public_key_info
from relay.core.dane import Tlsa, TlsaAnswer, Vouched, mismatch

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
EXPIRED = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
ROOT = trustme.CA()
ISSUER = ROOT.create_child_ca()


def der(blob: trustme.Blob) -> bytes:
    """A PEM certificate as DER."""
    return ssl.PEM_cert_to_DER_cert(blob.bytes().decode("ascii"))


LEAF = ISSUER.issue_cert("mx.test")
CHAIN = (der(LEAF.cert_chain_pems[0]), der(ISSUER.cert_pem), der(ROOT.cert_pem))


def record(usage: int, selector: int, matching: int, certificate: bytes) -> Tlsa:
    """A record for a certificate."""
    octets = certificate if selector == 0 else public_key_info(certificate)
    algorithm = {0: None, 1: "sha256", 2: "sha512"}[matching]
    data = hashlib.new(algorithm, octets).digest() if algorithm else octets
    return Tlsa(usage, selector, matching, data)


def why(*records: Tlsa, chain: tuple[bytes, ...] = CHAIN, name: str = "mx.test") -> str:
    """Why the chain is not what the records name."""
    return mismatch(chain, records, names=(name,), now=NOW.timestamp())


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
class TestEveryForm:
    """All selectors and matching types (RFC 6698 §2.1.2, §2.1.3)."""

    def test_the_certificate_of_the_server(self, selector: int, matching: int) -> None:
        """DANE-EE(3)."""
        matches = record(3, selector, matching, CHAIN[0])
        assert matches.is_usable
        assert why(matches) == ""
        assert "not the server's certificate" in why(record(3, selector, matching, CHAIN[1]))

    @pytest.mark.parametrize("depth", [1, 2])
    def test_an_issuer(self, selector: int, matching: int, depth: int) -> None:
        """DANE-TA(2), a root or what stands below it."""
        assert why(record(2, selector, matching, CHAIN[depth])) == ""

    def test_another_issuer(self, selector: int, matching: int) -> None:
        """Of another tree: named, and not believed."""
        assert why(record(2, selector, matching, der(trustme.CA().cert_pem)))

    def test_the_certificate_itself_is_no_issuer(self, selector: int, matching: int) -> None:
        """RFC 7671 §5.2: a trust anchor issues."""
        assert why(record(2, selector, matching, CHAIN[0]))


def test_names_and_dates_do_not_count_for_the_certificate_itself() -> None:
    """RFC 7672 §3.1.1."""
    leaf = der(ISSUER.issue_cert("other.test", not_after=EXPIRED).cert_chain_pems[0])
    assert why(record(3, 1, 1, leaf), chain=(leaf,)) == ""


def test_names_count_below_an_issuer() -> None:
    """RFC 7672 §3.1.2: the issuer has other customers."""
    assert "other.test" in why(record(2, 0, 1, CHAIN[1]), name="other.test")
    both = mismatch(
        CHAIN, [record(2, 0, 1, CHAIN[1])], names=("other.test", "mx.test"), now=NOW.timestamp()
    )
    assert both == ""


def test_dates_count_below_an_issuer() -> None:
    """The same."""
    leaf = der(ISSUER.issue_cert("mx.test", not_after=EXPIRED).cert_chain_pems[0])
    assert why(record(2, 0, 1, CHAIN[1]), chain=(leaf, *CHAIN[1:]))


def test_an_issuer_that_did_not_sign() -> None:
    """Shown beside a certificate that it has nothing to do with."""
    stranger = der(trustme.CA().issue_cert("mx.test").cert_chain_pems[0])
    assert "does not vouch" in why(record(2, 0, 1, CHAIN[1]), chain=(stranger, *CHAIN[1:]))


def test_an_issuer_that_is_not_shown() -> None:
    """Enough when the record has it whole (2 0 0); else the server has to show it."""
    assert why(record(2, 0, 0, CHAIN[1]), chain=CHAIN[:1]) == ""
    assert "not among the issuers" in why(record(2, 0, 1, CHAIN[1]), chain=CHAIN[:1])


def test_one_of_several_is_enough() -> None:
    """While certificates change, both are published (RFC 7671 §8.1)."""
    wrong, right = record(3, 1, 1, CHAIN[1]), record(3, 1, 1, CHAIN[0])
    assert why(wrong, right) == why(right, wrong) == ""
    assert str(wrong) in why(wrong)


@pytest.mark.parametrize(
    "unusable",
    [
        Tlsa(0, 0, 1, bytes(32)),
        Tlsa(1, 1, 1, bytes(32)),
        Tlsa(3, 2, 1, bytes(32)),
        Tlsa(3, 1, 3, bytes(32)),
        Tlsa(3, 1, 1, bytes(31)),
        Tlsa(3, 1, 2, bytes(32)),
        Tlsa(255, 255, 255, b""),
    ],
)
def test_records_that_cannot_be_used(unusable: Tlsa) -> None:
    """PKIX usages (RFC 7672 §3.1.3), unknown numbers, digests of another length."""
    usable = Tlsa(3, 1, 1, bytes(32))
    assert TlsaAnswer(Vouched.SECURE, "mx.test", (unusable, usable)).usable == (usable,)


@pytest.mark.parametrize("chain", [(), (b"",), (b"\x30\x80", *CHAIN[1:])])
@pytest.mark.parametrize("usage", [2, 3])
def test_what_is_no_certificate(chain: tuple[bytes, ...], usage: int) -> None:
    """Never believed, and no exception."""
    assert why(record(usage, 1, 1, CHAIN[1]), chain=chain)
    assert why(Tlsa(usage, 0, 0, b"no certificate"), chain=chain)


def test_no_records() -> None:
    """Nothing to believe it by."""
    assert why()
