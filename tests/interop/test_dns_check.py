"""`dns check` and what is under it against real BINDs: transport, servers, CNAMEs, DNSSEC."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from relay.core.dkim.query import TxtOutcome
from relay.dns.authorities import Authorities
from relay.dns.dnssec import DnssecState, ResolverDnssec
from relay.dns.survey import ServerAnswer, Trouble
from tests.fakes.bind import Bind, bogus_anchor
from tests.fakes.processes import free_port, wait_until
from tests.interop.relay_process import make_key

ZONE = "example.test"
SELECTOR = "s1"
NAME = f"{SELECTOR}._domainkey.{ZONE}"
ANSWER_SECONDS = 0.5
SERVERS = """
@ NS ns1
@ NS ns2
ns1 A 127.0.0.2
ns2 A 127.0.0.3
"""
LONG = "long TXT " + " ".join(f'"{"A" * 250}"' for _ in range(12)) + "\n"  # over any datagram

StartBind = Callable[..., Bind]


@pytest.fixture
def start_bind(tmp_path: Path) -> Iterator[StartBind]:
    """Start a BIND of the test's own; all have one port."""
    port = free_port()
    with ExitStack() as started:

        def start(name: str, **settings: Any) -> Bind:
            bind = Bind(tmp_path / name, port=port, **settings)
            return started.enter_context(bind)

        yield start


@pytest.fixture
def start_zone(start_bind: StartBind) -> Callable[[str, str], tuple[Bind, Bind, Bind]]:
    """Two servers of the zone with a text each, and a resolver before them."""

    def start(first: str, second: str) -> tuple[Bind, Bind, Bind]:
        one = start_bind("ns1", host="127.0.0.2", zones={ZONE: SERVERS + first})
        two = start_bind("ns2", host="127.0.0.3", zones={ZONE: SERVERS + second})
        resolver = start_bind("resolver", forwards={ZONE: one.address})
        return one, two, resolver

    return start


async def ask(resolver: Bind, name: str) -> tuple[ServerAnswer, ...]:
    """What each authoritative server says."""
    authorities = Authorities([resolver.address], timeout_seconds=ANSWER_SECONDS)
    survey = await authorities.survey(name)
    assert not survey.problem
    return survey.answers


class TestAuthorities:
    """Every server asked directly."""

    async def test_two_servers_out_of_sync(
        self, start_zone: Callable[[str, str], tuple[Bind, Bind, Bind]]
    ) -> None:
        """Each says what it has; the resolver's opinion does not hide one of them."""
        _, _, resolver = start_zone('x TXT "new"\nempty A 127.0.0.1', 'x TXT "old"')
        first, second = await ask(resolver, f"x.{ZONE}")
        assert (first.server, first.answer.records) == (f"ns1.{ZONE}", (b"new",))
        assert (second.server, second.answer.records) == (f"ns2.{ZONE}", (b"old",))
        assert (first.trouble, second.trouble) == (Trouble.NONE, Trouble.NONE)
        outcomes = [one.answer.outcome for one in await ask(resolver, f"empty.{ZONE}")]
        assert outcomes == [TxtOutcome.NO_DATA, TxtOutcome.NXDOMAIN]

    async def test_a_long_record_comes_over_tcp(
        self, start_zone: Callable[[str, str], tuple[Bind, Bind, Bind]]
    ) -> None:
        """A truncated answer is asked for again: 3,000 octets arrive whole from both."""
        one, _, resolver = start_zone(LONG, LONG)
        answers = await ask(resolver, f"long.{ZONE}")
        assert [one.answer.records for one in answers] == [(b"A" * 3000,)] * 2
        questions = [line for line in one.log.splitlines() if f"query: long.{ZONE} IN TXT" in line]
        assert any(" -E(0)T" in line for line in questions), questions  # T: TCP; -: no recursion
        assert any(" -E(0) " in line for line in questions), questions

    async def test_servers_that_fail_are_told_apart(self, start_bind: StartBind) -> None:
        """SERVFAIL, lame, without an address, silent: none of them is absence."""
        zone = (
            "@ NS ns1\n@ NS ns2\n@ NS ns3\n@ NS ns4.nowhere.test.\n@ NS ns5\n"
            "ns1 A 127.0.0.2\nns2 A 127.0.0.3\nns3 A 127.0.0.4\nns5 A 127.0.0.5\n"
        )
        good = start_bind("ns1", host="127.0.0.2", zones={ZONE: zone + 'x TXT "x"'})
        start_bind("ns2", host="127.0.0.3", zones={ZONE: "no zone"})
        start_bind("ns3", host="127.0.0.4", zones={"other.test": ""})
        start_bind("ns5", host="127.0.0.5", zones={ZONE: zone}).pause()
        resolver = start_bind("resolver", forwards={ZONE: good.address})
        answers = await ask(resolver, f"x.{ZONE}")
        assert [(one.server.partition(".")[0], one.trouble) for one in answers] == [
            ("ns1", Trouble.NONE),
            ("ns2", Trouble.SERVFAIL),
            ("ns3", Trouble.REFUSED),
            ("ns5", Trouble.TIMEOUT),
            ("ns4", Trouble.NO_ADDRESS),
        ]
        assert answers[3].answer.outcome is TxtOutcome.TIMEOUT

    async def test_a_server_that_is_no_authority(self, start_bind: StartBind) -> None:
        """One that would have to ask others itself is lame, even when it knows the answer."""
        zone = '@ NS ns1\n@ NS ns2\nns1 A 127.0.0.2\nns2 A 127.0.0.1\nx TXT "x"\n'
        good = start_bind("ns1", host="127.0.0.2", zones={ZONE: zone})
        resolver = start_bind("resolver", forwards={ZONE: good.address})
        resolver.ask(f"x.{ZONE}")  # now it is in its cache
        answers = await ask(resolver, f"x.{ZONE}")
        assert [one.trouble for one in answers] == [Trouble.NONE, Trouble.LAME]

    async def test_a_cname_is_followed_to_the_servers_of_its_target(
        self, start_bind: StartBind
    ) -> None:
        """Through two zones, where the second has servers of its own."""
        alias = f"{SERVERS}x CNAME y.vendor.test.\nloop CNAME loop2\nloop2 CNAME loop\n"
        one = start_bind("ns1", host="127.0.0.2", zones={ZONE: alias})
        start_bind("ns2", host="127.0.0.3", zones={ZONE: alias})
        vendor = '@ NS a\n@ NS b\na A 127.0.0.4\nb A 127.0.0.5\ny TXT "theirs"\n'
        three = start_bind("a", host="127.0.0.4", zones={"vendor.test": vendor})
        start_bind("b", host="127.0.0.5", zones={"vendor.test": vendor})
        forwards = {ZONE: one.address, "vendor.test": three.address}
        resolver = start_bind("resolver", forwards=forwards)
        answers = await ask(resolver, f"x.{ZONE}")
        assert [(a.server, a.name, a.answer.records) for a in answers] == [
            ("a.vendor.test", "y.vendor.test", (b"theirs",)),
            ("b.vendor.test", "y.vendor.test", (b"theirs",)),
        ]
        survey = await Authorities([resolver.address]).survey(f"loop.{ZONE}")
        assert {one.trouble for one in survey.answers} == {Trouble.SERVFAIL} or survey.problem

    async def test_what_is_no_name_is_not_asked_for(self, start_bind: StartBind) -> None:
        """It is a problem that is told, never an exception."""
        resolver = start_bind("resolver", forwards={ZONE: "127.0.0.2:1"})
        survey = await Authorities([resolver.address]).survey("a..b")
        assert "not a name" in survey.problem
        assert survey.answers == ()

    async def test_a_resolver_that_does_not_answer(self, start_bind: StartBind) -> None:
        """Without it no server is found, and that is said."""
        resolver = start_bind("resolver", forwards={ZONE: "127.0.0.2:1"})
        resolver.pause()
        servers = [resolver.address]
        authorities = Authorities(servers, timeout_seconds=0.1, lifetime_seconds=0.2)
        assert "did not answer" in (await authorities.survey(f"x.{ZONE}")).problem


class TestDnssec:
    """What a resolver that validates says."""

    @pytest.fixture
    def signed(self, start_bind: StartBind) -> Bind:
        """A signed zone."""
        zones = {ZONE: f'{NAME}. TXT "x"'}
        return start_bind("signed", host="127.0.0.2", zones=zones, signed=[ZONE])

    @pytest.mark.parametrize("name", [NAME, f"absent.{ZONE}"])
    async def test_a_signed_zone(self, start_bind: StartBind, signed: Bind, name: str) -> None:
        """The resolver that has its anchor verifies records, and that there is none."""
        anchors = [signed.anchor(ZONE)]
        resolver = start_bind("resolver", forwards={ZONE: signed.address}, anchors=anchors)
        assert await ResolverDnssec([resolver.address]).state(name) is DnssecState.SECURE

    async def test_bogus_is_told_from_other_failures(
        self, start_bind: StartBind, signed: Bind
    ) -> None:
        """SERVFAIL that goes away without checking; the servers can still be asked."""
        anchors = [bogus_anchor(signed.anchor(ZONE))]
        resolver = start_bind("resolver", forwards={ZONE: signed.address}, anchors=anchors)
        dnssec = ResolverDnssec([resolver.address])
        assert await dnssec.state(NAME) is DnssecState.BOGUS
        (answer,) = await ask(resolver, NAME)
        assert answer.answer.records == (b"x",)
        signed.stop()
        assert await dnssec.state(f"other.{ZONE}") is DnssecState.UNKNOWN

    async def test_a_resolver_that_does_not_validate(
        self, start_bind: StartBind, signed: Bind
    ) -> None:
        """Signatures are seen, and not taken for more."""
        resolver = start_bind("resolver", forwards={ZONE: signed.address})
        assert await ResolverDnssec([resolver.address]).state(NAME) is DnssecState.SIGNED

    async def test_an_unsigned_zone(self, start_bind: StartBind) -> None:
        """No signatures, no state."""
        server = start_bind("ns1", host="127.0.0.2", zones={ZONE: f'{NAME}. TXT "x"'})
        resolver = start_bind("resolver", forwards={ZONE: server.address})
        assert await ResolverDnssec([resolver.address]).state(NAME) is DnssecState.UNSIGNED


class TestCommand:
    """The command as a process."""

    @pytest.fixture
    def record(self, tmp_path: Path) -> str:
        """The right record of a new key, as a line of a zone file."""
        (tmp_path / "keys").mkdir()
        ((name, text),) = make_key(tmp_path / "keys", ZONE, SELECTOR).items()
        return f'{name}. TXT "{text[:200]}" "{text[200:]}"\n'

    @pytest.fixture
    def command(self, tmp_path: Path) -> list[str]:
        """What runs it on the keys of this test."""
        folder = str(tmp_path / "keys")
        return [sys.executable, "-m", "relay", "dns", "check", "--keys-dir", folder, "--nameserver"]

    @staticmethod
    def run(command: list[str], *arguments: str) -> tuple[int, str, str]:
        """Its exit status, standard output and standard error."""
        done = subprocess.run(
            [*command, *arguments], capture_output=True, check=False, text=True, timeout=60
        )
        return done.returncode, done.stdout, done.stderr

    def test_published_everywhere(
        self,
        start_zone: Callable[[str, str], tuple[Bind, Bind, Bind]],
        command: list[str],
        record: str,
    ) -> None:
        """Exit 0, and the table says how many servers answer."""
        _, _, resolver = start_zone(record, record)
        status, out, err = self.run(command, resolver.address)
        assert (status, err) == (0, "")
        assert "matches  2 of 2 answer  unsigned" in out
        assert "1 record, all published and matching" in out

    def test_one_server_lags_behind(
        self,
        start_zone: Callable[[str, str], tuple[Bind, Bind, Bind]],
        command: list[str],
        record: str,
    ) -> None:
        """Exit 1, and JSON names the server that has none."""
        _, _, resolver = start_zone(record, "")
        status, out, _ = self.run(command, resolver.address, "--json")
        assert status == 1
        answer = json.loads(out)
        (found,) = answer["domains"][0]["records"]
        assert (answer["result"], found["state"], found["zone"]) == ("fault", "missing", ZONE)
        assert [server["outcome"] for server in found["servers"]] == ["found", "nxdomain"]
        (code,) = [f for f in found["findings"] if f["code"] == "not_everywhere"]
        assert f"ns2.{ZONE}" in code["symptom"]

    def test_wait_ends_when_the_record_appears(
        self,
        start_zone: Callable[[str, str], tuple[Bind, Bind, Bind]],
        command: list[str],
        record: str,
    ) -> None:
        """It waits for the last server; each change is one line on standard error."""
        _, two, resolver = start_zone(record, "")
        with subprocess.Popen(
            [*command, resolver.address, "--wait", "--timeout", "60"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            wait_until(lambda: f"query: {NAME} IN TXT" in two.log, what="it has asked once")
            two.replace(ZONE, SERVERS + record)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert f"{NAME}: missing -> matches: published and matching\n" in err
        assert "all published and matching" in out

    def test_wait_ends_when_the_time_is_up(
        self,
        start_zone: Callable[[str, str], tuple[Bind, Bind, Bind]],
        command: list[str],
        record: str,
    ) -> None:
        """Exit 1 with what is still wrong."""
        _, _, resolver = start_zone(record, "")
        status, out, _ = self.run(command, resolver.address, "--wait", "--timeout", "0.2")
        assert status == 1
        assert "not everywhere" in out

    def test_interrupting_it_leaves_no_traceback(
        self, start_bind: StartBind, command: list[str], record: str
    ) -> None:
        """Ctrl-C ends a wait as people expect."""
        resolver = start_bind("resolver", forwards={ZONE: "127.0.0.2:1"})
        with subprocess.Popen(
            [*command, resolver.address, "--wait"], stderr=subprocess.PIPE, text=True
        ) as process:
            wait_until(lambda: f"query: {NAME} IN" in resolver.log, what="it asks")
            os.kill(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "Traceback" not in err
