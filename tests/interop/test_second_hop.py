"""Behind the smarthost there is another server: what was signed for the first hop holds there.

Two real Postfix: the relay's smarthost passes the mail on to a second one, by
SMTP and with Postfix's defaults. Where the second lacks 8BITMIME, smtp(8)
re-encodes 8-bit bodies and so breaks signatures, and nobody before it can know;
what the relay made 7-bit for a first hop without 8BITMIME is safe from that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.fakes.postfix import DEFAULT_LISTENER, SINK_DOMAIN, Listener, Postfix, Setup
from tests.fakes.processes import LOOPBACK
from tests.fakes.verifiers import Records, Result
from tests.interop.clients import Mail, connect, submit_on
from tests.interop.conftest import AS_FROM_ELSEWHERE, VERIFIERS, Keys, VerifierCalled
from tests.interop.corpus_run import mail_of
from tests.interop.relay_process import RelayProcess
from tests.interop.wiretap import Wiretap

# What smtp(8) would touch: line lengths, dots, blanks at line ends, MIME structure.
SEVEN_BIT_CASES = (
    "plain-text",
    "lines-beginning-with-dots",
    "lines-of-998-octets",
    "header-line-of-998-octets",
    "header-line-of-5400-octets",
    "trailing-white-space",
    "nested-multipart-with-attached-message",
    "line-of-100000-octets",
    "form-feed",
    "iso-2022-jp",
    "smime-signed",
    "newsletter",
    "references-of-60-kb",
)
EIGHT_BIT_CASES = (
    "eight-bit-utf-8",
    "eight-bit-every-octet",
    "eight-bit-declared-as-7bit",
    "eight-bit-parts",
    "eight-bit-within-a-forwarded-message",
    "thunderbird",
)
WITHOUT_8BITMIME = {"smtpd_discard_ehlo_keywords": "8bitmime,smtputf8,chunking"}


# The recipient decides to which port of the second server the smarthost passes a message.
TO_DEFAULT, TO_BARE = f"ann@{SINK_DOMAIN}", f"bob@{SINK_DOMAIN}"


class ForwardingPostfix(Postfix):
    """A Postfix with the client program smtp(8), which a smarthost that stores does not need."""

    def _listener_services(self) -> str:
        return super()._listener_services() + "smtp unix - - n - - smtp\n"


@pytest.fixture(scope="module")
def second() -> Iterator[Postfix]:
    """The server at the end."""
    setup = Setup(
        recipients=[TO_DEFAULT, TO_BARE],
        listeners=[Listener(name="bare", options=WITHOUT_8BITMIME)],
        settings={**AS_FROM_ELSEWHERE, "myhostname": "second.test"},
    )
    with Postfix(setup) as running:
        yield running


@pytest.fixture(scope="module")
def first(second: Postfix) -> Iterator[Postfix]:
    """The relay's smarthost, which stores nothing."""
    ports = {TO_DEFAULT: second.port, TO_BARE: second.ports["bare"]}
    transports = ", ".join(f"{name}=smtp:[{LOOPBACK}]:{port}" for name, port in ports.items())
    setup = Setup(
        recipients=(),
        listeners=[Listener(name="bare", options=WITHOUT_8BITMIME)],
        settings={
            **AS_FROM_ELSEWHERE,
            "virtual_mailbox_domains": "",
            "relay_domains": SINK_DOMAIN,
            "transport_maps": f"inline:{{{transports}}}",
        },
    )
    with ForwardingPostfix(setup) as running:
        yield running


@pytest.mark.parametrize(
    ("listener", "recipient", "names"),
    [
        pytest.param(
            DEFAULT_LISTENER, TO_DEFAULT, SEVEN_BIT_CASES + EIGHT_BIT_CASES, id="8bitmime-twice"
        ),
        pytest.param(DEFAULT_LISTENER, TO_BARE, SEVEN_BIT_CASES, id="8bitmime-at-the-first"),
        pytest.param("bare", TO_DEFAULT, SEVEN_BIT_CASES + EIGHT_BIT_CASES, id="at-the-second"),
        pytest.param("bare", TO_BARE, SEVEN_BIT_CASES + EIGHT_BIT_CASES, id="at-neither"),
    ],
)
def test_signature_holds_behind_the_smarthost(
    first: Postfix,
    second: Postfix,
    keys: Keys,
    zone: Records,
    verifier_called: VerifierCalled,
    tmp_path_factory: pytest.TempPathFactory,
    listener: str,
    recipient: str,
    names: tuple[str, ...],
) -> None:
    """The second server stores the octets that the relay signed, and all verifiers say pass."""
    with (
        Wiretap(first.ports[listener]) as wiretap,
        RelayProcess(
            tmp_path_factory.mktemp("relay"), keys_dir=keys.folder, upstream_port=wiretap.port
        ) as relay,
        connect(relay.port) as connection,
    ):
        queue_ids = [submit_on(connection, _to(recipient, name)).queue_id for name in names]
        wires = wiretap.contents()
    stored = [_stored_behind(first, second, queue_id) for queue_id in queue_ids]
    sent = [wires[queue_id] for queue_id in queue_ids]
    changed = [
        name
        for name, wire, message in zip(names, sent, stored, strict=True)
        if not message.endswith(wire)
    ]
    assert changed == []
    if listener == "bare":
        assert all(wire.isascii() for wire in sent)
    for verifier in VERIFIERS:
        verdicts = verifier_called(verifier)(stored, zone)
        failed = [
            (name, found)
            for name, found in zip(names, verdicts, strict=True)
            if [one.result for one in found] != [Result.PASS]
        ]
        assert failed == []


def _to(recipient: str, name: str) -> Mail:
    mail = mail_of(name)
    return Mail(mail_from=mail.mail_from, rcpt_to=(recipient,), message=mail.message)


def _stored_behind(first: Postfix, second: Postfix, queue_id: str) -> bytes:
    """What the second server stored of a message that has this queue id at the first."""
    assert first.stored(queue_id) == []
    passed_on = re.search(
        rf": {queue_id}: to=<.*status=sent \(250 .*queued as (\w+)\)", first.log()
    )
    assert passed_on, f"the smarthost did not pass {queue_id} on:\n{first.log()[-4000:]}"
    (stored,) = second.stored(passed_on[1])
    return stored.message
