"""A domain with two keys: each message has an RSA and an Ed25519 signature (RFC 8463).

A verifier that does not know Ed25519, such as the Mail::DKIM of Debian 12, still
has the RSA one.
"""

from __future__ import annotations

import pytest

from tests.fakes.corpus_case import SIGNING_DOMAIN
from tests.fakes.postfix import Postfix
from tests.fakes.verifiers import Records, Result
from tests.interop.clients import connect, submit_on
from tests.interop.conftest import VERIFIERS, VerifierCalled
from tests.interop.corpus_run import mail_of
from tests.interop.relay_process import RelayProcess, make_key

RSA, ED25519 = "rsa2026", "ed2026"
NAMES = (
    *("plain-text", "empty-body", "html-multipart", "eight-bit-utf-8", "form-feed", "newsletter"),
    *("line-of-999-octets", "folded-subject", "missing-date-and-message-id", "ten-signatures"),
)
WITHOUT_ED25519 = {"mail-dkim"}

Stored = tuple[list[bytes], Records]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, postfix: Postfix) -> Stored:
    """What Postfix stored of some messages, and the records of both keys."""
    keys_dir = tmp_path_factory.mktemp("two-keys")
    zone = {
        **make_key(keys_dir, SIGNING_DOMAIN, RSA),
        **make_key(keys_dir, SIGNING_DOMAIN, ED25519, algorithm="ed25519"),
    }
    folder = tmp_path_factory.mktemp("relay")
    with (
        RelayProcess(folder, keys_dir=keys_dir, upstream_port=postfix.port) as relay,
        connect(relay.port) as connection,
    ):
        queue_ids = [submit_on(connection, mail_of(name)).queue_id for name in NAMES]
    return [postfix.stored(queue_id)[0].message for queue_id in queue_ids], zone


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_both_signatures_pass(
    stored: Stored, verifier_called: VerifierCalled, verifier: str
) -> None:
    """Each passes for every verifier that knows its algorithm; the RSA one for all."""
    found = verifier_called(verifier)(*stored)
    passed = {
        name: {one.selector for one in verdicts if one.result is Result.PASS}
        for name, verdicts in zip(NAMES, found, strict=True)
    }
    expected = {RSA} if verifier in WITHOUT_ED25519 else {RSA, ED25519}
    assert passed == {name: expected for name in NAMES}


def test_rsa_comes_first(stored: Stored) -> None:
    """Who looks at one signature only sees that which every receiver knows."""
    for message in stored[0]:
        first, second = message.partition(b"DKIM-Signature: ")[2].split(b"DKIM-Signature: ")[:2]
        assert b" a=rsa-sha256;" in first
        assert b" a=ed25519-sha256;" in second
