"""The main job: what an application submits arrives at a real smarthost, signed.

Every message of the corpus goes from a real client through the relay to a real
Postfix. Then three things must hold: verifiers that others wrote say pass to what
Postfix stored; what it stored is what was on the wire, octet for octet; and that
is what the application sent, with fields put in front and nothing else touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest

from tests.fakes.corpus import corpus
from tests.fakes.postfix import Postfix, Stored
from tests.fakes.rspamd import Rspamd
from tests.fakes.verifiers import Records, Result, Verifier
from tests.interop.clients import Client, Mail, submit_with_smtplib, submit_with_swaks
from tests.interop.conftest import SELECTOR
from tests.interop.relay_process import RelayProcess
from tests.interop.wiretap import Wiretap

CASES = corpus()
CLIENTS: dict[str, Client] = {"smtplib": submit_with_smtplib, "swaks": submit_with_swaks}
# swaks cannot send parameters with MAIL.
SUBMISSIONS = [
    pytest.param(client, name, id=f"{client}-{name}")
    for client in CLIENTS
    for name, case in CASES.items()
    if client == "smtplib" or not case.mail_options
]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One submission and what became of it.

    Attributes:
        wire: message octets between relay and smarthost, transparency undone.
        stored: what Postfix stored for each recipient.
        queue_id: Postfix's, as the client was told.
    """

    wire: bytes
    stored: list[Stored]
    queue_id: str


Deliver = Callable[[str, str], Delivery]


@pytest.fixture(scope="module")
def deliver(relay: RelayProcess, postfix: Postfix, wiretap: Wiretap) -> Deliver:
    """Submit a case of the corpus with a client, once however many tests look at it."""

    @cache
    def delivery(client: str, name: str) -> Delivery:
        case = CASES[name]
        mail = Mail(
            mail_from=case.mail_from,
            rcpt_to=case.rcpt_to or ("ann@sink.test",),
            message=case.build(),
            mail_options=case.mail_options,
        )
        queue_id = CLIENTS[client](relay.port, mail).queue_id
        stored = postfix.stored(queue_id)
        assert [one.recipient for one in stored] == sorted(mail.rcpt_to)
        return Delivery(wire=wiretap.content_of(queue_id), stored=stored, queue_id=queue_id)

    return delivery


@pytest.fixture(params=["opendkim", "mail-dkim", "dkimpy", "rspamd"])
def verify(request: pytest.FixtureRequest, verifiers: dict[str, Verifier]) -> Verifier:
    """Each verifier in turn."""
    if request.param == "rspamd":
        rspamd: Rspamd = request.getfixturevalue("rspamd")
        return rspamd
    return verifiers[request.param]


@pytest.mark.parametrize(("client", "name"), SUBMISSIONS)
def test_independent_verifier_passes_what_the_smarthost_stored(
    deliver: Deliver, verify: Verifier, zone: Records, client: str, name: str
) -> None:
    """One signature of ours, pass, with the domain of From and our selector."""
    case = CASES[name]
    message = deliver(client, name).stored[0].message
    (ours,) = (one for one in verify(message, zone) if one.signing_domain == case.signing_domain)
    # A verifier's known fault is asserted too, so that its mending is noticed.
    expected = Result.FAIL if ours.verifier in case.failed_by else Result.PASS
    assert (ours.result, ours.selector) == (expected, SELECTOR), ours


@pytest.mark.parametrize(("client", "name"), SUBMISSIONS)
def test_stored_octets_are_the_octets_on_the_wire(deliver: Deliver, client: str, name: str) -> None:
    """From the DKIM-Signature on, every mailbox has exactly what the relay sent."""
    delivery = deliver(client, name)
    sent = _from_signature(delivery.wire)
    assert all(_from_signature(one.message) == sent for one in delivery.stored)


@pytest.mark.parametrize(("client", "name"), SUBMISSIONS)
def test_fields_are_put_in_front_and_nothing_else_is_touched(
    deliver: Deliver, client: str, name: str
) -> None:
    """The message ends in what the application sent; missing fields are there exactly once."""
    case = CASES[name]
    wire = deliver(client, name).wire
    carried = case.carried()
    assert wire.endswith(carried)
    in_front = wire.removesuffix(carried)
    added = [field.lower() for field in re.findall(r"(?m)^([\w-]+):", in_front.decode())]
    assert added[0] == "dkim-signature"
    assert added.count("dkim-signature") == 1
    for field in ("date", "message-id"):
        assert added.count(field) == (field.title() in map(str.title, case.added))
    assert set(added) <= {"dkim-signature", "received", "date", "message-id"}


@pytest.mark.parametrize("field", PROTECTED_FIELDS)
def test_added_field_breaks_the_signature(
    deliver: Deliver, verify: Verifier, zone: Records, field: str
) -> None:
    """A second From, Subject, Content-Type … put in front afterwards does not verify."""
    stored = deliver("smtplib", "plain-text").stored[0].message
    forged = f"{field}: forged@example.com\r\n".encode() + stored
    assert [one.result for one in verify(stored, zone)] == [Result.PASS]
    assert Result.PASS not in [one.result for one in verify(forged, zone)]


def test_log_ties_the_message_to_the_smarthosts_queue_id(
    deliver: Deliver, relay: RelayProcess
) -> None:
    """One canonical line for the transaction, with Postfix's queue id in it."""
    queue_id = deliver("smtplib", "plain-text").queue_id
    outcomes = [event["event"] for event in relay.outcomes_with(queue_id)]
    assert outcomes == ["message.relayed"]


def _from_signature(message: bytes) -> bytes:
    """The message from its first DKIM-Signature field on."""
    found = re.search(rb"(?m)^DKIM-Signature:", message)
    assert found, "there is no DKIM-Signature"
    return message[found.start() :]
