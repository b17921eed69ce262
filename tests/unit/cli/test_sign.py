"""`dkim-relay sign`: what depends on the profile; tests/unit/cli/test_message.py has the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from relay.cli import main
from relay.core.dkim.algorithm import Algorithm
from relay.core.dkim.signature import Signature
from relay.core.dkim.verify import find_signatures
from relay.core.reader import read_message
from relay.keyring.writing import write_key_pair
from tests.fakes.streams import Stdin

MESSAGE = b"From: a@example.com\r\nSubject: x\r\n\r\nHello.\r\n"


@pytest.mark.parametrize(
    ("profile", "algorithms", "dates"),
    [("generic", ["rsa-sha256", "ed25519-sha256"], 2), ("ses", ["rsa-sha256"], 0)],
)
def test_profile(tmp_path: Path, profile: str, algorithms: list[str], dates: int) -> None:
    """What the upstream rewrites is unsigned; it gets as many signatures as it takes, RSA first."""
    for selector, algorithm in (("r1", Algorithm.RSA_SHA256), ("e1", Algorithm.ED25519_SHA256)):
        write_key_pair(tmp_path, "example.com", selector, algorithm, 1024)
    arguments = ["sign", "--keys-dir", str(tmp_path), "--profile", profile]
    done = CliRunner().invoke(main, arguments, input=Stdin(MESSAGE), catch_exceptions=False)
    assert done.exit_code == 0
    found = find_signatures(read_message(done.stdout_bytes))
    signatures = [s for s in found if isinstance(s, Signature)]
    assert [s.algorithm for s in signatures] == algorithms
    assert {s.names.count(b"date") for s in signatures} == {dates}
