"""The arithmetic of the benchmarks: what is a median, a percentile, a ratio, a proof."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.bench.__main__ import chosen_workloads
from tests.bench.accounting import Account, quantile
from tests.bench.contest import Results, median
from tests.bench.lag_probe import read
from tests.bench.latency import on_the_wire
from tests.bench.measuring import Figures
from tests.bench.proof import fault, record_of
from tests.bench.report import markdown, ratios
from tests.bench.workload import WORKLOADS, message

MESSAGE = b"From: user@example.com\r\nSubject: hello\r\n\r\nbody\r\n"


def figures(cpu_ms: float, per_second: float | None = None) -> Figures:
    """Figures of a run in which nothing else was measured."""
    return Figures(cpu_ms=cpu_ms, pss_mib=1.0, per_second=per_second, tools_ms=0.1)


def contest() -> Results:
    """Ours, one that signs nothing and is the fastest, two that sign: one cheap, one fast."""
    runs = {
        "dkim-relay": [figures(0.5, 2000)],
        "signs nothing": [figures(0.1, 9000)],
        "cheap": [figures(2.0, 300)],
        "fast": [figures(4.0, 500)],
    }
    signs = {name: name != "signs nothing" for name in runs}
    return Results(["small"], list(runs), signs, {"small": runs}, {"cheap": "medium: 451"})


def test_a_median_is_taken_for_each_figure() -> None:
    """The run with the median CPU need not be the one with the median rate."""
    runs = [figures(1.0, 10.0), figures(2.0, 30.0), figures(9.0, 20.0)]
    assert median(runs) == figures(2.0, 20.0)


def test_what_was_not_measured_has_no_median() -> None:
    """None stays None."""
    assert median([figures(1.0), figures(3.0)]).per_second is None


def test_ratios_are_against_the_best_that_sign() -> None:
    """Figure by figure: the cheapest for CPU, the fastest for the rate, among those that sign."""
    assert ratios(contest(), "dkim-relay", "small") == (4.0, 4.0)


def test_the_report_names_who_failed_and_how() -> None:
    """A contender that fell out is in the table and in a line of its own."""
    text = markdown(contest())
    assert "* cheap failed at medium: 451\n" in text
    assert "| dkim-relay | 2000 | 0.50 | 1 |" in text


@pytest.mark.parametrize(("share", "expected"), [(0.5, 51), (0.99, 100), (1.0, 100), (0.0, 1)])
def test_quantile(share: float, expected: int) -> None:
    """A quantile is one of the values."""
    assert quantile(range(100, 0, -1), share) == expected


def test_quantile_of_one_value() -> None:
    """One value is every quantile."""
    assert quantile([7.0], 0.99) == 7.0


def test_an_account_holds_this_process() -> None:
    """A living process has CPU and memory, one that never was has nothing."""
    mine, nobody = Account([os.getpid()]), Account([2**30])
    assert os.getpid() in mine.pids()
    assert mine.cpu_seconds() > 0
    assert mine.rss_mib() >= mine.pss_mib() > 1
    assert (nobody.pids(), nobody.cpu_seconds(), nobody.pss_mib()) == ([], 0, 0)


def test_lags_are_those_of_the_time_that_was_asked_for(tmp_path: Path) -> None:
    """What the loop did before and afterwards does not count, nor a line that is half written."""
    path = tmp_path / "lags"
    path.write_text("1.0 900 900\n2.5 3.0 1.0\n2.6 2.0 7.5\n4.0 800 800\n2.")
    lag = read(path, from_at=2.0, to_at=3.0)
    assert (lag.late_ms, lag.cpu_ms) == (3.0, 7.5)


def test_an_unknown_workload_is_named() -> None:
    """A workload that there is not ends `make bench` before anything is measured."""
    with pytest.raises(SystemExit, match="no such workload: tiny; there are small,"):
        chosen_workloads(argparse.Namespace(workloads="small,tiny", scale=1.0))


def test_messages_have_the_size_that_they_should_have() -> None:
    """The body, CRLF counted, has the octets of its workload; dots are stuffed on the wire."""
    for workload in WORKLOADS.values():
        text = message(workload, sender="a@example.com", recipient="b@sink.test")
        body = text.partition("\n\n")[2]
        assert abs(len(body) + body.count("\n") - workload.body_octets) <= 2
    assert b"\r\n..a leading dot" in on_the_wire(WORKLOADS["small"])
    assert on_the_wire(WORKLOADS["small"]).endswith(b"\r\n.\r\n")


@pytest.fixture(scope="module")
def key_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An RSA key."""
    key = rsa.generate_private_key(65537, 2048)
    path = tmp_path_factory.mktemp("key") / "key.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return path


def signed(key_path: Path, body: bytes = b"relaxed") -> bytes:
    """The message as smtp-sink stores it, signed by dkimpy."""
    pem, methods = key_path.read_bytes(), (b"relaxed", body)
    signature: bytes = dkim.sign(MESSAGE, b"bench", b"example.com", pem, canonicalize=methods)
    return b"X-Client-Proto: ESMTP\n" + (signature + MESSAGE).replace(b"\r\n", b"\n")


def test_a_signed_message_is_proven(key_path: Path) -> None:
    """What smtp-sink puts in front does no harm."""
    assert fault(signed(key_path), record_of(key_path)) == ""


def test_what_is_not_as_it_should_be_is_no_proof(key_path: Path) -> None:
    """Unsigned, signed twice, changed, or another canonicalization: each is named."""
    record, good = record_of(key_path), signed(key_path)
    assert "0 signatures" in fault(MESSAGE.replace(b"\r\n", b"\n"), record)
    assert "invalid" in fault(good.replace(b"body", b"other"), record)
    assert "relaxed/simple" in fault(signed(key_path, b"simple"), record)
    field = good.partition(b"\n")[2].partition(b"From:")[0]
    assert "2 signatures" in fault(field + good, record)
