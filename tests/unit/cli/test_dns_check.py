"""`dkim-relay dns check`: arguments, exit codes, what is printed, and waiting."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from relay.cli import main
from relay.cli.dns_report import Display, as_text
from relay.cli.dns_run import Checker, DomainReport
from relay.cli.dns_targets import KeyReader, Target
from relay.config import Config
from relay.config.outbound import Upstream
from relay.core.dkim.record import record_text
from relay.dns.check import RecordCheck, RecordReport, Wanted
from relay.keyring.files import read_key_file
from tests.fakes.authorities import FakeAuthority, FakeDnssec
from tests.fakes.dns_server import LoopbackDNS
from tests.fakes.keys import rsa_key
from tests.fakes.processes import LOOPBACK
from tests.fakes.resolver import FakeResolver

PUBLIC = rsa_key().public
UPSTREAMS = (Upstream(url="smtp://localhost:25"),)
NAME = "s1._domainkey.example.com"
AROUND = {"_dmarc.example.com": "v=DMARC1; p=reject", "example.com": "v=spf1 -all"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DKIM_RELAY_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def dns() -> Iterator[LoopbackDNS]:
    """A name server without records; it knows no zones."""
    with LoopbackDNS() as server:
        yield server


def make_key(domain: str = "example.com", selector: str = "s1") -> str:
    """A key in the keys folder; its record."""
    made = CliRunner().invoke(main, ["keys", "new", domain, "--selector", selector])
    assert made.exit_code == 0, made.output
    path = Path("keys") / domain / f"{selector}.pem"
    return record_text(read_key_file(path, domain=domain, selector=selector).public)


def check(dns: LoopbackDNS, *arguments: str) -> Result:
    """Run the command before this server."""
    nameserver = ["--nameserver", f"{LOOPBACK}:{dns.port}"]
    return CliRunner().invoke(main, ["dns", "check", *nameserver, *arguments])


class TestExitCodes:
    """0: all is right, 1: something is not, 2: it could not be asked for."""

    def test_published(self, dns: LoopbackDNS) -> None:
        """The table has it, and nothing is said on standard error."""
        dns.records = {NAME: make_key(), **AROUND}
        done = check(dns)
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout.startswith("DOMAIN ")
        assert "example.com  s1        rsa 2048  matches" in done.stdout
        assert done.stdout.endswith("1 record, all published and matching\n")

    def test_missing(self, dns: LoopbackDNS) -> None:
        """The finding says what to do."""
        make_key()
        done = check(dns)
        assert done.exit_code == 1
        assert "fault missing: the name does not exist" in done.stdout
        assert "keys record" in done.stdout

    def test_only_what_was_asked_for(self, dns: LoopbackDNS) -> None:
        """Another domain of the folder, with no record, does not count."""
        dns.records = {NAME: make_key(), **AROUND}
        make_key("example.net")
        assert check(dns, "Example.COM").exit_code == 0
        assert check(dns, "example.com", "--selector", "s1").exit_code == 0
        assert check(dns).exit_code == 1

    def test_a_key_that_cannot_be_read_costs_only_itself(self, dns: LoopbackDNS) -> None:
        """The file is named, and the other key is still checked."""
        dns.records = {NAME: make_key(), **AROUND}
        make_key(selector="s2")
        Path("keys/example.com/s2.pem").write_text("no key\n")
        done = check(dns, "--json")
        first, second = json.loads(done.stdout)["domains"][0]["records"]
        assert (done.exit_code, first["result"], second["result"]) == (1, "ok", "fault")
        assert "s2.pem" in str(second["findings"])

    def test_an_encrypted_key_is_opened_as_the_settings_say(self, dns: LoopbackDNS) -> None:
        """The passphrase of the settings opens it; without one the finding says how."""
        dns.records = {NAME: make_key(), **AROUND}
        path = Path("keys/example.com/s1.pem")
        private = load_pem_private_key(path.read_bytes(), None)
        form = (Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
        path.write_bytes(private.private_bytes(*form))
        done = check(dns)
        assert (done.exit_code, "key_unreadable" in done.stdout) == (1, True)
        Path("passphrase").write_text("secret\n")
        Path("passphrase").chmod(0o600)
        Path("relay.toml").write_text('keys_passphrase_file = "passphrase"\n')
        assert check(dns, "-c", "relay.toml").exit_code == 0

    def test_settings_say_where_keys_and_servers_are(self, dns: LoopbackDNS) -> None:
        """No upstream is needed; a configured domain without a key is told."""
        dns.records = {NAME: make_key(), **AROUND}
        Path("keys").rename("elsewhere")
        Path("relay.toml").write_text(
            f'keys_dir = "elsewhere"\n[dns]\nnameservers = ["{LOOPBACK}:{dns.port}"]\n'
        )
        arguments = ["dns", "check", "-c", "relay.toml"]
        assert CliRunner().invoke(main, arguments).exit_code == 0
        with Path("relay.toml").open("a") as file:
            file.write('[domains."example.org"]\n')
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 1
        assert "example.org: there is no key" in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ([], "no key to check"),
            (["example.com"], "keys new example.com"),
            (["not a domain"], "not a domain name"),
            (["example.com", "--selector", "a b"], "not a selector name"),
            (["example.com", "--selector", "s1", "--nameserver", "x"], "dns.nameservers"),
            (["--timeout", "5"], "--timeout is for --wait"),
            (["--wait", "--timeout", "0"], "--timeout"),
            (["-c", "absent.toml"], "absent.toml"),
        ],
    )
    def test_what_cannot_be_asked_for(self, arguments: list[str], says: str) -> None:
        """Exit 2, nothing on standard output, and the word that helps."""
        done = CliRunner().invoke(main, ["dns", "check", *arguments])
        assert (done.exit_code, done.stdout) == (2, "")
        assert says in done.stderr


def test_json(dns: LoopbackDNS) -> None:
    """The shape that scripts rely on."""
    dns.records = {NAME: make_key(), "old._domainkey.example.com": "v=DKIM1; p="}
    done = check(dns, "--json", "--other-selector", "old")
    answer = json.loads(done.stdout)
    assert list(answer) == ["version", "result", "domains"]
    (domain,) = answer["domains"]
    assert list(domain) == ["domain", "result", "findings", "records"]
    found = [finding["code"] for finding in domain["findings"]]
    assert found == ["dmarc_missing", "spf_missing", "other_selector_revoked"]
    (record,) = domain["records"]
    assert set(record) == {
        "domain", "selector", "name", "result", "state", "key", "published", "findings",
        "zone", "cnames", "servers", "resolver", "dnssec",
    }  # fmt: skip
    assert record["key"]["fingerprint"] == record["published"]["fingerprint"]
    assert set(record["findings"][0]) == {
        "code", "severity", "symptom", "cause", "fix", "tag", "offset",
    }  # fmt: skip


def test_a_selector_without_a_key_here(dns: LoopbackDNS) -> None:
    """A record can be looked at from any machine."""
    dns.records = {"s9._domainkey.example.com": make_key(), **AROUND}
    done = check(dns, "example.com", "--selector", "s9")
    assert done.exit_code == 0
    assert "not here  usable" in done.stdout


class Quiet:
    """Is told everything, and keeps it."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.done: list[int] = []

    def progress(self, done: int, total: int) -> None:
        """Keep it."""
        self.done.append(done)

    def waiting(self, reports: Sequence[DomainReport], seconds: float) -> None:
        """Nothing to keep."""

    def changed(self, before: RecordReport, after: RecordReport) -> None:
        """Keep it."""
        self.changes.append(f"{before.state} -> {after.state}")


class Dns:
    """DNS that can be published to, and a checker of it in time that passes when it sleeps."""

    def __init__(self) -> None:
        self.resolver = FakeResolver()
        self.slept: list[float] = []
        self.publish_after = 0
        self.told = Quiet()
        self.authority = FakeAuthority({"ns1": self.resolver})
        record = RecordCheck(self.resolver, self.authority, FakeDnssec())
        self.checker = Checker(
            record,
            KeyReader(Config(upstreams=UPSTREAMS)),
            lambda domain: domain,
            self.told,
            sleep=self._sleep,
            monotonic=lambda: sum(self.slept),
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == self.publish_after:
            self.publish()

    def publish(self) -> None:
        """Put the right record there."""
        self.resolver.records[NAME] = [record_text(PUBLIC)]

    async def report(self) -> DomainReport:
        """The first round, of one key."""
        wanted = Wanted("example.com", "s1", PUBLIC)
        return DomainReport("example.com", (await self.checker.check.check(wanted),))


class TestWaiting:
    """Rounds until all is right or the time is up."""

    async def test_until_it_is_right(self) -> None:
        """Waits grow; the change is told once; then it ends."""
        dns = Dns()
        dns.publish_after = 4
        (after,) = await dns.checker.until_right([await dns.report()], timeout_seconds=3600)
        assert after.is_right
        assert dns.slept == [1, 2, 4, 8]
        assert dns.told.changes == ["missing -> matches"]

    async def test_until_the_time_is_up(self) -> None:
        """Never longer than was asked for, and what is wrong is still in the report."""
        dns = Dns()
        (after,) = await dns.checker.until_right([await dns.report()], timeout_seconds=100)
        assert not after.is_right
        assert sum(dns.slept) == 100
        assert max(dns.slept) == 30

    async def test_what_is_right_is_not_asked_for_again(self) -> None:
        """A record that matches costs no more questions."""
        dns = Dns()
        dns.publish()
        right = await dns.report()
        asked = len(dns.resolver.asked)
        assert await dns.checker.until_right([right], timeout_seconds=3600) == [right]
        assert (len(dns.resolver.asked), dns.slept) == (asked, [])


async def test_thousands_of_domains_are_asked_for_a_few_at_a_time() -> None:
    """Every domain once, in order, never more at once than allowed."""
    dns = Dns()
    targets = [Target(f"d{i}.example", False, (), ("s1",)) for i in range(2000)]
    reports = await dns.checker.all_of(targets)
    assert [report.domain for report in reports] == [target.domain for target in targets]
    assert dns.told.done == list(range(1, 2001))
    assert dns.authority.most_under_way == dns.checker.max_concurrent


class TestDisplay:
    """Progress on standard error."""

    async def test_a_terminal_has_one_line_that_is_written_over(self) -> None:
        """And it is gone before anything else is printed."""
        stream, dns = io.StringIO(), Dns()
        display = Display(stream, is_terminal=True)
        display.progress(1, 2)
        display.waiting([await dns.report()], 4)
        display.clear()
        assert "asked for 1 of 2 domains" in stream.getvalue()
        assert f"0 of 1 right, again in 4 s: {NAME} (missing)" in stream.getvalue()
        assert stream.getvalue().rpartition("\r")[2] == ""
        assert "\n" not in stream.getvalue()

    async def test_elsewhere_only_changes_are_told(self) -> None:
        """A line each, for a log."""
        stream, dns = io.StringIO(), Dns()
        display = Display(stream, is_terminal=False)
        before = await dns.report()
        dns.publish()
        after = await dns.report()
        display.progress(1, 2)
        display.waiting([before], 4)
        display.changed(before.records[0], after.records[0])
        assert stream.getvalue() == f"{NAME}: missing -> matches: published and matching\n"

    async def test_the_report_counts_what_is_not_right(self) -> None:
        """At its end, after everything else."""
        dns = Dns()
        assert as_text([await dns.report()]).endswith("\n1 record, 1 not right")
