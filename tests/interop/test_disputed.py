"""Messages on which verifiers disagree, or that hops change: refused, or passed by all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.corpus_case import Case
from tests.fakes.corpus_disputed import DISPUTED
from tests.fakes.postfix import Postfix
from tests.fakes.verifiers import Records, Result, one_by_one
from tests.interop.clients import Mail, submit_with_smtplib
from tests.interop.conftest import SELECTOR, VERIFIERS, VerifierCalled
from tests.interop.relay_process import RelayProcess

AssertPassed = Callable[[bytes], None]


@pytest.fixture(scope="module")
def assert_passed(verifier_called: VerifierCalled, zone: Records) -> AssertPassed:
    """Assert that all five verifiers pass our signature."""

    def check(message: bytes) -> None:
        for name in VERIFIERS:
            verify = one_by_one(verifier_called(name))
            ours = [one.result for one in verify(message, zone) if one.selector == SELECTOR]
            assert ours == [Result.PASS], name

    return check


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in DISPUTED])
def test_message_passes_everywhere_or_is_refused(
    relay: RelayProcess, postfix: Postfix, assert_passed: AssertPassed, case: Case
) -> None:
    """Refused for good with a reason, or stored as sent and passed by every verifier."""
    mail = Mail(mail_from=case.mail_from, rcpt_to=("ann@sink.test",), message=case.build())
    submission = submit_with_smtplib(relay.port, mail)
    if submission.refusal is not None:
        assert submission.refusal.code in (550, 552, 554)
        assert submission.refusal.text.startswith(("5.6.", "5.3.4 "))
        return
    (stored,) = postfix.stored(submission.queue_id)
    assert_passed(stored.message)
