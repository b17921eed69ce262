"""What records mean: a table of what consoles, people and time do to them."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import record_text
from relay.dns.judge import RecordState, judge

S = RecordState


@dataclass(frozen=True)
class Case:
    """One row: the records, how they are judged, and a part of what is said.

    In a text, {P} is the key's base64, {Q} another key's, {E} an Ed25519 key's.
    """

    name: str
    records: tuple[str, ...]
    state: RecordState
    says: str = ""


P_SPACED = "{P100} {Prest}"
CASES = [
    Case("as printed", ("v=DKIM1; k=rsa; p={P}",), S.MATCHES, "published and matching"),
    Case("defaults left out", ("p={P}",), S.MATCHES),
    Case("final semicolon", ("v=DKIM1; k=rsa; p={P};",), S.MATCHES),
    Case("no spaces", ("v=DKIM1;k=rsa;p={P}",), S.MATCHES),
    Case("spaces around it", ("  v=DKIM1 ; k = rsa ; p = {P}  ",), S.MATCHES),
    Case("spaces in p=", (f"v=DKIM1; k=rsa; p={P_SPACED}",), S.MATCHES),
    Case("p= before k=", ("v=DKIM1; p={P}; k=rsa",), S.MATCHES),
    Case("testing", ("v=DKIM1; k=rsa; t=y; p={P}",), S.MATCHES, "only testing"),
    Case("strict", ("v=DKIM1; k=rsa; t=s; p={P}",), S.MATCHES),
    Case("sha256 among hashes", ("v=DKIM1; h=sha1:sha256; p={P}",), S.MATCHES),
    Case("service email", ("v=DKIM1; s=email; p={P}",), S.MATCHES),
    Case("unknown and historic tags", ("v=DKIM1; g=*; x_own=1; n=note; p={P}",), S.MATCHES),
    Case("the same twice, split elsewhere", ("p={P}", "p={P}"), S.MATCHES),
    Case("another key", ("v=DKIM1; k=rsa; p={Q}",), S.DIFFERENT, "{Q#}"),
    Case("another kind of key", ("v=DKIM1; k=ed25519; p={E}",), S.DIFFERENT, "(ed25519)"),
    Case("revoked", ("v=DKIM1; k=rsa; p=",), S.REVOKED, "revokes"),
    Case("revoked with spaces", ("v=DKIM1; p= ;",), S.REVOKED),
    Case("k= wrong", ("v=DKIM1; k=ed25519; p={P}",), S.MALFORMED, "write k=rsa"),
    Case("k= unknown", ("v=DKIM1; k=dsa; p={P}",), S.MALFORMED, "write k=rsa"),
    Case("quotes around it", ('"v=DKIM1; k=rsa; p={P}"',), S.MALFORMED, "without them"),
    Case("quotes inside", ('v=DKIM1; k=rsa; p={P100}" "{Prest}',), S.MALFORMED, "quotes"),
    Case("typographic quotes", ("\u201cv=DKIM1; p={P}\u201d",), S.MALFORMED, "quotes"),
    Case("escaped semicolons", ("v=DKIM1\\; k=rsa\\; p={P}",), S.MALFORMED, "backslashes"),
    Case("no semicolons", ("v=DKIM1 k=rsa p={P}",), S.MALFORMED, "semicolons"),
    Case("no semicolons, no spaces", ("v=DKIM1k=rsap={P}",), S.MALFORMED, "semicolons"),
    Case("one semicolon lost", ("v=DKIM1; k=rsa p={P}",), S.MALFORMED, "semicolons"),
    Case("two semicolons", ("v=DKIM1;; k=rsa; p={P}",), S.MALFORMED, "an empty tag"),
    Case("v= not first", ("k=rsa; v=DKIM1; p={P}",), S.MALFORMED, "must stand first"),
    Case("v= in lower case", ("v=dkim1; k=rsa; p={P}",), S.MALFORMED, "upper case"),
    Case("tags in upper case", ("V=DKIM1; K=rsa; P={P}",), S.MALFORMED, "lower case"),
    Case("wrong version", ("v=DKIM2; k=rsa; p={P}",), S.MALFORMED, "'v'"),
    Case("p= missing", ("v=DKIM1; k=rsa",), S.MALFORMED, "is missing"),
    Case("p= twice", ("v=DKIM1; p={P}; p={P}",), S.MALFORMED, "twice"),
    Case("cut at 255", ("v=DKIM1; k=rsa; p={Pto255}",), S.MALFORMED, "one string"),
    Case("cut anywhere", ("v=DKIM1; k=rsa; p={P100}",), S.MALFORMED, "100 of 392"),
    Case("a letter lost", ("v=DKIM1; k=rsa; p={Pbut1}",), S.MALFORMED, "publish it as"),
    Case("not base64", ("v=DKIM1; k=rsa; p=*{P}",), S.MALFORMED, "not base64"),
    Case("PEM pasted", ("v=DKIM1; p=-----BEGIN PUBLIC KEY-----{P}",), S.MALFORMED, "BEGIN"),
    Case("name pasted", ("s._domainkey IN TXT v=DKIM1; p={P}",), S.MALFORMED, "name of the"),
    Case("no-break spaces", ("v=DKIM1;\u00a0k=rsa; p={P}",), S.MALFORMED, "document"),
    Case("h= without sha256", ("v=DKIM1; h=sha1; p={P}",), S.MALFORMED, "remove h="),
    Case("s= without email", ("v=DKIM1; s=tlsrpt; p={P}",), S.MALFORMED, "remove s="),
    Case("empty text", ("",), S.MALFORMED, "no key record"),
    Case("no tags", ("hello",), S.MALFORMED, "no key record"),
    Case("SPF by a wildcard", ("v=spf1 -all",), S.MALFORMED, "wildcard"),
    Case("DMARC", ("v=DMARC1; p=none",), S.MALFORMED, "DMARC"),
    Case("old policy record", ("o=~",), S.MALFORMED, "policy"),
    Case("two, one is ours", ("v=DKIM1; p={P}", "v=DKIM1; p={Q}"), S.SEVERAL, "delete the rest"),
    Case("two, none is ours", ("v=DKIM1; p={Q}", "hello"), S.SEVERAL, "delete them all"),
    Case("two, both ours", ("v=DKIM1; p={P}", "p={P}"), S.SEVERAL, "keep one"),
    Case("ours and revoked", ("v=DKIM1; p={P}", "v=DKIM1; p="), S.SEVERAL, "'v=DKIM1; p='"),
]


def base64_of(public: PublicKey) -> str:
    """p= of a key."""
    return base64.b64encode(public.octets).decode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_records(
    case: Case, rsa_public: PublicKey, other_rsa_public: PublicKey, ed25519_public: PublicKey
) -> None:
    """Each row is judged as it says, and the finding names cause or fix."""
    p = base64_of(rsa_public)
    texts = {
        "{P}": p,
        "{Q}": base64_of(other_rsa_public),
        "{Q#}": other_rsa_public.fingerprint,
        "{E}": base64_of(ed25519_public),
        "{P100}": p[:100],
        "{Prest}": p[100:],
        "{Pto255}": p[: 255 - len("v=DKIM1; k=rsa; p=")],
        "{Pbut1}": p[:50] + p[51:],
    }

    def fill(text: str) -> str:
        for name, value in texts.items():
            text = text.replace(name, value)
        return text

    answer = TxtAnswer(TxtOutcome.FOUND, tuple(fill(text).encode() for text in case.records))
    state, detail = judge(answer, rsa_public)
    assert state is case.state, detail
    assert fill(case.says) in detail
    assert detail.isprintable()
    assert len(detail) < 600


@pytest.mark.parametrize(
    ("outcome", "state", "says"),
    [
        (TxtOutcome.NXDOMAIN, S.MISSING, "does not exist"),
        (TxtOutcome.NO_DATA, S.MISSING, "no TXT record"),
        (TxtOutcome.FOUND, S.MISSING, "no record"),
        (TxtOutcome.SERVFAIL, S.TEMPERROR, "failed to answer"),
        (TxtOutcome.TIMEOUT, S.TEMPERROR, "in time"),
    ],
)
def test_no_records(
    outcome: TxtOutcome, state: RecordState, says: str, rsa_public: PublicKey
) -> None:
    """Absence is not failure; who was asked is part of what is said."""
    found, detail = judge(TxtAnswer(outcome, (), "asked 127.0.0.1:53"), rsa_public)
    assert found is state
    assert says in detail
    assert detail.endswith("[asked 127.0.0.1:53]")


def test_an_ed25519_record(ed25519_public: PublicKey, rsa_public: PublicKey) -> None:
    """RFC 8463 §4: the raw key in p=; the SubjectPublicKeyInfo that people publish is no key."""
    good = TxtAnswer(TxtOutcome.FOUND, (record_text(ed25519_public).encode(),))
    assert judge(good, ed25519_public)[0] is S.MATCHES
    p = base64_of(rsa_public)
    wrong = TxtAnswer(TxtOutcome.FOUND, (f"v=DKIM1; k=ed25519; p={p}".encode(),))
    assert judge(wrong, ed25519_public)[0] is S.MALFORMED
    k_left_out = TxtAnswer(TxtOutcome.FOUND, (f"p={base64_of(ed25519_public)}".encode(),))
    state, detail = judge(k_left_out, ed25519_public)
    assert (state, "write k=ed25519" in detail) == (S.MALFORMED, True)


@given(records=st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_no_record_raises_or_matches_by_chance(records: list[bytes], rsa_public: PublicKey) -> None:
    """Whatever octets stand there: one named state, and a text for one line of a log."""
    state, detail = judge(TxtAnswer(TxtOutcome.FOUND, tuple(records)), rsa_public)
    assert state in {S.MALFORMED, S.SEVERAL, S.REVOKED, S.DIFFERENT}
    assert detail.isprintable()


@given(data=st.data())
def test_one_octet_changed_never_matches_another_key(
    data: st.DataObject, rsa_public: PublicKey
) -> None:
    """A record with one octet of p= changed is not taken for the key."""
    text = bytearray(record_text(rsa_public).encode())
    start = text.index(b"p=") + 2
    at = data.draw(st.integers(start, len(text) - 1))
    before = text[at]
    text[at] = data.draw(st.integers(33, 126).filter(lambda octet: octet != before))
    state, _ = judge(TxtAnswer(TxtOutcome.FOUND, (bytes(text),)), rsa_public)
    assert state is not S.MATCHES
