"""Fixtures of the interop tests: real programs, each started once for a test run.

With pytest-xdist each worker has its own of everything. Tests share the smarthost,
so each looks at its own message only: Postfix's queue id, which the client gets to
see, tells which that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.fakes.corpus_case import IDN_DOMAIN, LONG_DOMAIN, SIGNING_DOMAIN
from tests.fakes.corpus_envelopes import TWENTY_RECIPIENTS
from tests.fakes.dovecot_auth import DovecotAuth
from tests.fakes.mailauth import verify_many_with_mailauth
from tests.fakes.postfix import Listener, Postfix, Setup
from tests.fakes.processes import LOOPBACK
from tests.fakes.rspamd import Rspamd
from tests.fakes.verifiers import (
    BatchVerifier,
    Records,
    Result,
    Verifier,
    verify_many_with_dkimpy,
    verify_many_with_mail_dkim,
    verify_many_with_opendkim,
    verify_with_dkimpy,
    verify_with_mail_dkim,
    verify_with_opendkim,
)
from tests.interop.relay_process import RelayProcess, make_key
from tests.interop.wiretap import Wiretap

SELECTOR = "s2026"
VERIFIERS = ("opendkim", "mail-dkim", "dkimpy", "mailauth", "rspamd")
LOGIN, PASSWORD = "app", "only for tests"
SMALL_SIZE_OCTETS = 20_000

RECIPIENTS = ("ann@sink.test", "bob@sink.test", *TWENTY_RECIPIENTS)
REFUSED = {
    "gone@sink.test": "550 5.1.1 no such person here",
    "moved@sink.test": "551 5.1.6 try moved@sink.example instead",
    "full@sink.test": "452 4.2.2 mailbox is full",
    "busy@sink.test": "450 4.2.1 mailbox is busy, come back later",
    "odd@sink.test": "554 5.7.0 text with <angles>, 100 % signs and  two blanks",
}
# A client at an address of the smarthost's own is local to Postfix, which then completes and
# rewrites addresses in header fields. The relay is taken for what it is elsewhere: a client.
AS_FROM_ELSEWHERE = {"local_header_rewrite_clients": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A keys folder, and the records that its `.txt` files hold."""

    folder: Path
    records: Records


AssertSigned = Callable[[bytes], None]
VerifierCalled = Callable[[str], BatchVerifier]
# Starts a relay in front of a port of the smarthost, with further environment variables.
StartRelay = Callable[..., RelayProcess]


@pytest.fixture(scope="session")
def rspamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rspamd]:
    """One running rspamd."""
    with Rspamd(tmp_path_factory.mktemp("rspamd")) as running:
        yield running


@pytest.fixture(scope="session")
def verifier_called(request: pytest.FixtureRequest) -> VerifierCalled:
    """Each of `VERIFIERS` by its name; rspamd is started when it is first asked for."""

    def find(name: str) -> BatchVerifier:
        if name == "rspamd":
            rspamd: Rspamd = request.getfixturevalue("rspamd")
            return rspamd.verify_many
        return {
            "opendkim": verify_many_with_opendkim,
            "mail-dkim": verify_many_with_mail_dkim,
            "dkimpy": verify_many_with_dkimpy,
            "mailauth": verify_many_with_mailauth,
        }[name]

    return find


@pytest.fixture(scope="session")
def verifiers() -> dict[str, Verifier]:
    """Three that are quick to ask about a single message."""
    return {
        "opendkim": verify_with_opendkim,
        "mail-dkim": verify_with_mail_dkim,
        "dkimpy": verify_with_dkimpy,
    }


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Keys for the domains of the corpus, as `keys new` makes them."""
    folder = tmp_path_factory.mktemp("keys")
    records: dict[str, str] = {}
    for domain in (SIGNING_DOMAIN, IDN_DOMAIN, LONG_DOMAIN):
        records |= make_key(folder, domain, SELECTOR)
    return Keys(folder=folder, records=records)


@pytest.fixture(scope="session")
def zone(keys: Keys) -> Records:
    """The records of the relay's keys."""
    return keys.records


@pytest.fixture(scope="session")
def assert_signed(verifiers: dict[str, Verifier], zone: Records) -> AssertSigned:
    """Assert that each verifier finds exactly one signature in a message, ours, and passes it."""

    def check(message: bytes) -> None:
        for verify in verifiers.values():
            verdicts = verify(message, zone)
            assert [(one.result, one.selector) for one in verdicts] == [(Result.PASS, SELECTOR)]

    return check


@pytest.fixture(scope="session")
def certificate_authority() -> trustme.CA:
    """The authority that issued the smarthost's certificate."""
    return trustme.CA()


@pytest.fixture(scope="session")
def postfix(
    tmp_path_factory: pytest.TempPathFactory, certificate_authority: trustme.CA
) -> Iterator[Postfix]:
    """One running Postfix with a listener for each kind of smarthost."""
    pem = tmp_path_factory.mktemp("smarthost") / "certificate.pem"
    certificate_authority.issue_cert(LOOPBACK).private_key_and_cert_chain_pem.write_to_path(pem)
    with DovecotAuth({LOGIN: PASSWORD}) as auth:
        listeners = (
            Listener(
                name="bare",
                options={"smtpd_discard_ehlo_keywords": "pipelining,chunking,8bitmime,smtputf8"},
            ),
            Listener(name="without-chunking", options={"smtpd_discard_ehlo_keywords": "chunking"}),
            Listener(name="impatient", options={"smtpd_timeout": "2s"}),
            Listener(
                name="one-connection",
                options={
                    "smtpd_client_connection_count_limit": "1",
                    "smtpd_client_event_limit_exceptions": "",
                },
            ),
            Listener(
                name="same-machine",
                options={"local_header_rewrite_clients": "permit_inet_interfaces"},
            ),
            Listener(name="small", options={"message_size_limit": str(SMALL_SIZE_OCTETS)}),
            Listener(
                name="submission",
                options={
                    "smtpd_tls_security_level": "encrypt",
                    "smtpd_tls_chain_files": str(pem),
                    "smtpd_tls_received_header": "yes",
                    "smtpd_sasl_auth_enable": "yes",
                    "smtpd_sasl_type": "dovecot",
                    "smtpd_sasl_path": f"inet:{LOOPBACK}:{auth.port}",
                    "smtpd_sasl_authenticated_header": "yes",
                    "smtpd_client_restrictions": "permit_sasl_authenticated,reject",
                },
            ),
        )
        setup = Setup(
            recipients=RECIPIENTS, refused=REFUSED, listeners=listeners, settings=AS_FROM_ELSEWHERE
        )
        with Postfix(setup) as running:
            yield running


@pytest.fixture(scope="session")
def wiretap(postfix: Postfix) -> Iterator[Wiretap]:
    """The wire between the shared relay and the smarthost.

    At the end of the run it is looked through: no message was ever on it unsigned.
    """
    with Wiretap(postfix.port) as tapped:
        yield tapped
        contents = [one.content for one in tapped.transactions() if one.content is not None]
    assert all(content.startswith(b"DKIM-Signature: v=1;") for content in contents)


@pytest.fixture(scope="session")
def relay(
    tmp_path_factory: pytest.TempPathFactory, keys: Keys, wiretap: Wiretap
) -> Iterator[RelayProcess]:
    """The relay that most tests share, in front of Postfix with its own defaults."""
    folder = tmp_path_factory.mktemp("relay")
    with RelayProcess(folder, keys_dir=keys.folder, upstream_port=wiretap.port) as running:
        yield running


@pytest.fixture
def start_relay(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[StartRelay]:
    """Start a relay of the test's own, stopped when the test ends."""
    with ExitStack() as started:

        def start(upstream_port: int, settings: Mapping[str, str] | None = None) -> RelayProcess:
            return started.enter_context(
                RelayProcess(
                    tmp_path_factory.mktemp("relay"),
                    keys_dir=keys.folder,
                    upstream_port=upstream_port,
                    settings=settings,
                )
            )

        yield start
