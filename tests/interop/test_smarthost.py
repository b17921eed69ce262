"""The main job: what an application submits arrives at a real smarthost, signed, or is refused.

Every message of the corpus goes from a real client through the relay to a real
Postfix. Then it must be as its case says: refused with that code, and nothing of
it has gone out; or relayed, and then three things hold. Verifiers that others
wrote say pass to what Postfix stored; what it stored is what was on the wire,
octet for octet; and that is what the application sent, with fields put in front
and nothing else touched but what the case says is.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.corpus_case import Refused, Relayed
from tests.fakes.mailauth import has_misread_octet
from tests.fakes.postfix import Postfix
from tests.fakes.programs import require_program
from tests.fakes.verifiers import Records, Result, Verdicts
from tests.interop.conftest import SELECTOR, VERIFIERS, Keys, VerifierCalled
from tests.interop.corpus_run import CASES, WAYS, Run, once, run_corpus
from tests.interop.message_parts import decoded_parts, fields_of

ADDED_FIELDS = {"dkim-signature", "received", "date", "message-id"}
ENCODING_FIELDS = {"content-transfer-encoding", "mime-version"}
PROTECTED_FIELDS = (
    "From",
    "To",
    "Cc",
    "Subject",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
)

GetRun = Callable[[str], Run]
Judge = Callable[[tuple[str, str]], Mapping[str, Verdicts]]


def _pairs(*kinds: Relayed) -> list[object]:
    """A parameter for each way and case that must arrive so; of any kind when none is named."""
    return [
        pytest.param(way, name, id=f"{way}-{name}")
        for way, described in WAYS.items()
        for name in described.relayed_names()
        if not kinds or described.expected(name) in kinds
    ]


JUDGED = [
    pytest.param(way, name, id=f"{way}-{name}")
    for way, described in WAYS.items()
    for name in described.judged_names()
]
REFUSALS = [
    pytest.param(way, name, id=f"{way}-{name}")
    for way, described in WAYS.items()
    for name in described.names
    if isinstance(described.expected(name), Refused)
]


@pytest.fixture(scope="module")
def run_of(
    tmp_path_factory: pytest.TempPathFactory, keys: Keys, postfix: Postfix
) -> Iterator[GetRun]:
    """Each way's run, made when first asked for; its relay goes on to the end of the module."""
    with ExitStack() as running:

        def run(way: str) -> Run:
            folder = tmp_path_factory.mktemp("relay")
            return running.enter_context(run_corpus(WAYS[way], folder, keys.folder, postfix))

        yield once(run)


@pytest.fixture(scope="module")
def judge(run_of: GetRun, zone: Records, verifier_called: VerifierCalled) -> Judge:
    """The verdicts of a verifier about all that arrived on a way, asked for once."""

    def verdicts(asked: tuple[str, str]) -> Mapping[str, Verdicts]:
        verifier, way = asked
        return run_of(way).verdicts(verifier_called(verifier), zone)

    return once(verdicts)


@pytest.mark.parametrize(("way", "name"), JUDGED)
@pytest.mark.parametrize("verifier", VERIFIERS)
def test_independent_verifier_passes_what_the_smarthost_stored(
    judge: Judge, run_of: GetRun, verifier: str, way: str, name: str
) -> None:
    """Our signature, with the domain of From and our selector: pass."""
    verdicts = judge((verifier, way))[name]
    ours = [
        one
        for one in verdicts
        if (one.signing_domain, one.selector) == (CASES[name].signing_domain, SELECTOR)
    ]
    results = [one.result for one in ours]
    if verifier == "mailauth" and has_misread_octet(run_of(way).arrivals[name].wire):
        # A fault of its own, asserted so that its mending is noticed.
        assert results == [Result.FAIL]
    else:
        assert results, f"no verdict on ours among {verdicts}"
        assert results[0] is Result.PASS, ours
        # Another one only where the application's own message had it.
        assert len(ours) <= 1 + CASES[name].build().count(b" s=%b;" % SELECTOR.encode())


@pytest.mark.parametrize(("way", "name"), _pairs())
def test_stored_octets_are_the_octets_on_the_wire(run_of: GetRun, way: str, name: str) -> None:
    """From our DKIM-Signature on, every recipient's mailbox has exactly what the relay sent."""
    arrival = run_of(way).arrivals[name]
    assert [one.recipient for one in arrival.stored] == sorted(
        CASES[name].rcpt_to or ("ann@sink.test",)
    )
    assert arrival.wire.startswith(b"DKIM-Signature: v=1;")
    assert all(one.message.endswith(b"\r\n" + arrival.wire) for one in arrival.stored)


@pytest.mark.parametrize(("way", "name"), _pairs(Relayed.AS_IT_IS))
def test_fields_are_put_in_front_and_nothing_else_is_touched(
    run_of: GetRun, way: str, name: str
) -> None:
    """The message ends in what the application sent; missing fields are there exactly once."""
    wire, carried = run_of(way).arrivals[name].wire, CASES[name].carried()
    assert wire.endswith(carried)
    in_front = wire.removesuffix(carried)
    added = [field for field, _ in fields_of(in_front)]
    _assert_added(added, name)
    assert _is_fit(wire)


@pytest.mark.parametrize(("way", "name"), _pairs(Relayed.FOLDED))
def test_long_header_lines_are_folded_and_nothing_else_is_touched(
    run_of: GetRun, way: str, name: str
) -> None:
    """Unfolded (RFC 5322 §2.2.3), the header section is what the application sent."""
    wire, message = run_of(way).arrivals[name].wire, CASES[name].build()
    fields, given = fields_of(wire), fields_of(message)
    assert fields[-len(given) :] == given
    _assert_added([field for field, _ in fields[: -len(given)]], name)
    assert wire.partition(b"\r\n\r\n")[2] == message.partition(b"\r\n\r\n")[2]
    assert _is_fit(wire)
    assert not _is_fit(message)


@pytest.mark.parametrize(("way", "name"), _pairs(Relayed.REENCODED))
def test_reencoded_parts_decode_to_what_they_were(run_of: GetRun, way: str, name: str) -> None:
    """Python's `email` reads the same parts; header fields but those of encodings are the same."""
    run = run_of(way)
    wire, message = run.arrivals[name].wire, CASES[name].build()
    assert decoded_parts(wire) == decoded_parts(message)
    kept = [field for field in fields_of(wire) if field[0] not in ENCODING_FIELDS]
    given = [field for field in fields_of(message) if field[0] not in ENCODING_FIELDS]
    assert kept[-len(given) :] == given
    _assert_added([field for field, _ in kept[: -len(given)]], name)
    body = wire.partition(b"\r\n\r\n")[2]
    assert _is_fit(wire)
    assert not {b"\x0b", b"\x0c"} & set(re.findall(rb"[\x0b\x0c]", body))
    assert body.isascii() or run.way.listener != "bare"
    assert body != message.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(("way", "name"), REFUSALS)
def test_message_is_refused_with_a_reason(run_of: GetRun, way: str, name: str) -> None:
    """The client hears the code and enhanced code that the case says (RFC 3463)."""
    run = run_of(way)
    refusal, expected = run.submissions[name].refusal, run.way.expected(name)
    assert isinstance(expected, Refused)
    assert refusal is not None, "it was accepted"
    assert (refusal.code, refusal.text.split()[0]) == (expected.code, expected.enhanced), refusal


@pytest.mark.parametrize("way", WAYS)
def test_nothing_but_what_must_arrive_was_on_the_wire(run_of: GetRun, way: str) -> None:
    """Of a refused message no octet goes out, and no message goes out twice."""
    run = run_of(way)
    assert set(run.arrivals) == set(run.way.relayed_names())
    assert run.contents == len(run.arrivals)


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_added_fields_break_the_signature(
    run_of: GetRun, zone: Records, verifier_called: VerifierCalled, verifier: str
) -> None:
    """A second From, Subject, Content-Type … put in front afterwards does not verify."""
    stored = run_of("smtplib").arrivals["plain-text"].stored[0].message
    forged = [f"{name}: forged@example.com\r\n".encode() + stored for name in PROTECTED_FIELDS]
    genuine, *others = verifier_called(verifier)([stored, *forged], zone)
    assert [one.result for one in genuine] == [Result.PASS]
    passed = [Result.PASS in [one.result for one in verdicts] for verdicts in others]
    assert dict(zip(PROTECTED_FIELDS, passed, strict=True)) == dict.fromkeys(
        PROTECTED_FIELDS, False
    )


@pytest.mark.parametrize("name", ["smime-signed", "smime-signed-eight-bit"])
def test_signature_of_smime_holds(run_of: GetRun, tmp_path: Path, name: str) -> None:
    """What was signed from end to end verifies still, with openssl, at the other end."""
    openssl = require_program("openssl", "openssl")
    path = tmp_path / "message.eml"
    path.write_bytes(run_of("smtplib").arrivals[name].stored[0].message)
    argv = [openssl, "cms", "-verify", "-noverify", "-in", str(path), "-inform", "SMIME"]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr.decode()


def test_log_ties_the_message_to_the_smarthosts_queue_id(run_of: GetRun) -> None:
    """One canonical line for the transaction, with Postfix's queue id in it."""
    run = run_of("smtplib")
    outcomes = run.relay.outcomes_with(run.arrivals["plain-text"].queue_id)
    assert [event["event"] for event in outcomes] == ["message.relayed"]


def _assert_added(added: list[str], name: str) -> None:
    """Our signature first, what the case says is missing once, and nothing unheard of."""
    assert added[0] == "dkim-signature"
    assert added.count("dkim-signature") == 1
    for field in ("date", "message-id"):
        assert added.count(field) == (field in map(str.lower, CASES[name].added))
    assert set(added) <= ADDED_FIELDS


def _is_fit(message: bytes) -> bool:
    """Whether no line is over 998 octets (RFC 5322 §2.1.1)."""
    return max(map(len, message.split(b"\r\n"))) <= 998
