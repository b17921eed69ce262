"""testssl.sh at STARTTLS and at implicit TLS: no finding above low.

Protocols, cipher categories, forward secrecy and vulnerabilities; both entrances are examined at
the same time, because most of it is waiting. Everything else, by hand:

    testssl --warnings=off --nodns none --jsonfile-pretty findings.json -t smtp 127.0.0.1:2525

finds three more, all in the certificate of a test's authority and none in the server: it is not in
the system's store (`cert_chain_of_trust`), names no CRL or OCSP (`cert_revocation`), and is valid
until the year 3000 (`cert_validityPeriod`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fakes.processes import LOOPBACK
from tests.fakes.programs import require_program
from tests.interop.clients_edge import Edge
from tests.interop.clients_run import run

pytest_plugins = ("tests.interop.clients_setup",)

EXAMINE_SECONDS = 110
EXAMINATIONS = ("--protocols", "--std", "--pfs", "--vulnerable")
ENTRANCES: Mapping[str, tuple[str, ...]] = {"starttls": ("--starttls", "smtp"), "implicit": ()}

TOO_BAD = frozenset({"MEDIUM", "HIGH", "CRITICAL", "FATAL"})
NOT_EXAMINED = "WARN"
# Debian's OpenSSL has no GOST ciphers, which testssl could test with its own.
NEVER_EXAMINED = frozenset({"engine_problem"})

# What must have been looked at, with the severity of the answer that is wanted. "INFO" is how
# testssl says that an old thing is not offered which it would not call a fault.
WANTED = {
    "SSLv2": "OK",
    "SSLv3": "OK",
    "TLS1": "INFO",
    "TLS1_1": "INFO",
    "TLS1_2": "OK",
    "TLS1_3": "OK",
    "cipherlist_NULL": "OK",
    "cipherlist_aNULL": "OK",
    "cipherlist_EXPORT": "OK",
    "cipherlist_LOW": "OK",
    "cipherlist_3DES_IDEA": "INFO",
    "cipherlist_AVERAGE": "INFO",
    "cipherlist_STRONG": "OK",
    "PFS": "OK",
    "heartbleed": "OK",
    "CCS": "OK",
    "ROBOT": "OK",
    "secure_renego": "OK",
    "secure_client_renego": "OK",
    "CRIME_TLS": "OK",
    "POODLE_SSL": "OK",
    "SWEET32": "OK",
    "FREAK": "OK",
    "DROWN": "OK",
    "LOGJAM": "OK",
    "BEAST": "OK",
    "LUCKY13": "OK",
    "RC4": "OK",
}

Findings = Mapping[str, Mapping[str, str]]


@pytest.fixture(scope="module")
def findings(edge: Edge, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Findings]:
    """What testssl found, by entrance and then by its own id."""
    program = require_program("testssl", "testssl.sh")
    folder = tmp_path_factory.mktemp("testssl")

    def examine(entrance: str) -> Findings:
        path = folder / f"{entrance}.json"
        argv = [program, "--quiet", "--warnings=off", "--color=0", "--nodns=none"]
        argv += ["--jsonfile", str(path), *EXAMINATIONS, *ENTRANCES[entrance]]
        done = run(
            [*argv, f"{LOOPBACK}:{edge.ports[entrance]}"],
            folder=folder,
            wait_seconds=EXAMINE_SECONDS,
        )
        assert path.exists(), done
        return _read(path)

    with ThreadPoolExecutor(len(ENTRANCES)) as examiners:
        return dict(zip(ENTRANCES, examiners.map(examine, ENTRANCES), strict=True))


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_no_finding_is_above_low(findings: Mapping[str, Findings], entrance: str) -> None:
    """And nothing was left unexamined."""
    found = findings[entrance]
    assert {name: one for name, one in found.items() if one["severity"] in TOO_BAD} == {}
    unexamined = {name for name, one in found.items() if one["severity"] == NOT_EXAMINED}
    assert unexamined <= NEVER_EXAMINED
    assert {name: found[name]["severity"] for name in WANTED} == WANTED


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_only_new_protocols_are_offered(findings: Mapping[str, Findings], entrance: str) -> None:
    """TLS 1.2 and 1.3 (RFC 8996); nothing that lacks authenticated encryption."""
    found = findings[entrance]
    names = ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3")
    offered = [name for name in names if found[name]["finding"].startswith("offered")]
    assert offered == ["TLS1_2", "TLS1_3"]
    assert found["cipherlist_AVERAGE"]["finding"] == "not offered"


def _read(path: Path) -> Findings:
    return {one["id"]: one for one in json.loads(path.read_text("utf-8"))}
