"""Nothing is lost and nothing goes out unsigned, whatever is down or broken.

The smarthost's outage has a Postfix of its own, because it is stopped and started.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.fakes.corpus_case import SIGNING_DOMAIN, compose
from tests.fakes.postfix import Postfix, Setup
from tests.interop.clients import (
    Client,
    Mail,
    connect,
    submit_on,
    submit_with_smtplib,
    submit_with_swaks,
)
from tests.interop.conftest import SELECTOR, AssertSigned, StartRelay
from tests.interop.relay_process import RelayProcess, make_key
from tests.interop.wiretap import Wiretap

RECIPIENT = "ann@sink.test"
BROKEN_DOMAIN = "broken.example"


@pytest.fixture(scope="module")
def own_postfix() -> Iterator[Postfix]:
    """A Postfix that a test may stop."""
    with Postfix(Setup(recipients=[RECIPIENT])) as running:
        yield running


@pytest.mark.parametrize(
    "client",
    [
        pytest.param(submit_with_smtplib, id="smtplib"),
        pytest.param(submit_with_swaks, id="swaks"),
    ],
)
def test_outage_is_temporary_and_ends_by_itself(
    start_relay: StartRelay,
    own_postfix: Postfix,
    assert_signed: AssertSigned,
    client: Client,
) -> None:
    """Down from the start, up, down, up: 4yz or signed and stored, by one and the same relay."""
    mail = _mail_of(SIGNING_DOMAIN)
    own_postfix.stop()
    relay = start_relay(own_postfix.port)
    for _ in range(2):
        submission = client(relay.port, mail)
        assert 400 <= submission.rcpt[RECIPIENT].code < 500, submission
        assert submission.rcpt[RECIPIENT].text.startswith("4.")
        assert submission.data is None or submission.data.code != 250
        own_postfix.start()
        (stored,) = own_postfix.stored(client(relay.port, mail).queue_id)
        assert_signed(stored.message)
        own_postfix.stop()  # with a connection to it lying in the relay's pool
    own_postfix.start()


def test_outage_in_the_middle_of_a_session(start_relay: StartRelay, own_postfix: Postfix) -> None:
    """The client stays connected: mail, outage, 4yz, mail again in the same session."""
    mail = _mail_of(SIGNING_DOMAIN)
    relay = start_relay(own_postfix.port)
    with connect(relay.port) as connection:
        before = submit_on(connection, mail).queue_id
        own_postfix.stop()
        refused = submit_on(connection, mail)
        own_postfix.start()
        after = submit_on(connection, mail).queue_id
    assert 400 <= refused.rcpt[RECIPIENT].code < 500
    assert refused.data is not None
    assert refused.data.code != 250
    assert [len(own_postfix.stored(queue_id)) for queue_id in (before, after)] == [1, 1]


def test_smarthost_that_goes_away_after_rcpt(start_relay: StartRelay, own_postfix: Postfix) -> None:
    """Recipients accepted, then the smarthost dies: DATA or the message gets 4yz, never 250."""
    relay = start_relay(own_postfix.port)
    stored_before = len(own_postfix.mailbox(RECIPIENT))
    with connect(relay.port) as connection:
        connection.mail("app@example.com")
        assert connection.rcpt(RECIPIENT)[0] == 250
        own_postfix.stop()
        code, text = connection.docmd("DATA")
        if code == 354:
            connection.send(compose() + b".\r\n")
            code, text = connection.getreply()
        own_postfix.start()
    assert 400 <= code < 500, text
    assert len(own_postfix.mailbox(RECIPIENT)) == stored_before


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A relay with one good and one broken key, and the wire behind it."""

    relay: RelayProcess
    wiretap: Wiretap


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, postfix: Postfix) -> Iterator[Guarded]:
    """The key of one domain is no key."""
    keys = tmp_path_factory.mktemp("keys-one-broken")
    make_key(keys, SIGNING_DOMAIN, SELECTOR)
    make_key(keys, BROKEN_DOMAIN, SELECTOR)
    (keys / BROKEN_DOMAIN / f"{SELECTOR}.pem").write_text("no key at all\n")
    with (
        Wiretap(postfix.port) as wiretap,
        RelayProcess(
            tmp_path_factory.mktemp("relay"), keys_dir=keys, upstream_port=wiretap.port
        ) as relay,
    ):
        yield Guarded(relay=relay, wiretap=wiretap)


@pytest.mark.parametrize(
    ("domain", "code", "enhanced"),
    [
        pytest.param(BROKEN_DOMAIN, 451, "4.7.5", id="key-unreadable"),
        pytest.param("unknown.example", 550, "5.7.1", id="domain-not-configured"),
        pytest.param(f"sub.{SIGNING_DOMAIN}", 550, "5.7.1", id="subdomain-not-configured"),
        pytest.param(f"not{SIGNING_DOMAIN}", 550, "5.7.1", id="domain-that-ends-alike"),
    ],
)
@pytest.mark.parametrize(
    "client",
    [
        pytest.param(submit_with_smtplib, id="smtplib"),
        pytest.param(submit_with_swaks, id="swaks"),
    ],
)
def test_what_cannot_be_signed_does_not_leave(
    guarded: Guarded, client: Client, domain: str, code: int, enhanced: str
) -> None:
    """Refused with the code that says why; not one octet of the message is on the wire."""
    submission = client(guarded.relay.port, _mail_of(domain))
    assert submission.data is not None
    assert (submission.data.code, submission.data.text.split()[0]) == (code, enhanced)
    sent = [one.content for one in guarded.wiretap.transactions() if one.content is not None]
    assert all(f"jane@{domain}".encode() not in content for content in sent)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(compose(fields={"From": None}), id="no-from"),
        pytest.param(compose(extra=b"From: eve@unknown.example\r\n"), id="two-from-fields"),
        pytest.param(compose(fields={"From": b"not an address"}), id="from-without-address"),
        pytest.param(compose(fields={"From": b"undisclosed:;"}), id="from-empty-group"),
    ],
)
def test_message_without_one_author_is_refused(guarded: Guarded, message: bytes) -> None:
    """RFC 6376 §5.1 has no domain to sign with: permanent, and nothing goes out."""
    before = _content_count(guarded.wiretap)
    submission = submit_with_smtplib(
        guarded.relay.port,
        Mail(mail_from="app@example.com", rcpt_to=[RECIPIENT], message=message),
    )
    assert submission.data is not None
    assert 500 <= submission.data.code < 600
    assert _content_count(guarded.wiretap) == before


def test_broken_key_of_one_domain_leaves_the_others_alone(
    guarded: Guarded, postfix: Postfix
) -> None:
    """In one session: the broken domain is deferred, the good one signed before and after."""
    with connect(guarded.relay.port) as connection:
        first = submit_on(connection, _mail_of(SIGNING_DOMAIN))
        broken = submit_on(connection, _mail_of(BROKEN_DOMAIN))
        second = submit_on(connection, _mail_of(SIGNING_DOMAIN))
    assert broken.data is not None
    assert broken.data.code == 451
    for submission in (first, second):
        (stored,) = postfix.stored(submission.queue_id)
        assert stored.message.count(b"\r\nDKIM-Signature: ") == 1


def _mail_of(domain: str) -> Mail:
    message = compose(fields={"From": f"Jane <jane@{domain}>".encode()})
    return Mail(mail_from=f"app@{domain}", rcpt_to=[RECIPIENT], message=message)


def _content_count(wiretap: Wiretap) -> int:
    return sum(one.content is not None for one in wiretap.transactions())
