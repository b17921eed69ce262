"""Records are put into a real BIND by dynamic updates, and taken out of it again."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dns.message
import dns.rdatatype
import dns.update
import pytest
from click.testing import CliRunner, Result

from relay.cli.dns import dns as dns_commands
from relay.core.dkim.algorithm import Algorithm, PublicKey
from relay.core.dkim.record import record_text
from relay.core.errors import ConfigError
from relay.dns.authorities import Authorities
from relay.dns.everywhere import taken_together
from relay.dns.judge import RecordState
from relay.dns.publish import Done, PublishFault, RecordConflict, publish, withdraw
from relay.dns.publish_rfc2136 import Rfc2136, tsig_key
from relay.keyring.writing import write_key_pair
from tests.fakes.bind import Bind
from tests.fakes.keys import rsa_private
from tests.fakes.processes import free_port

NAME = "s1._domainkey.example.test"
KEY_NAME = "relay.key"


def public(number: int = 0) -> PublicKey:
    """The public half of a key of the run."""
    return PublicKey(Algorithm.RSA_SHA256, rsa_private(number=number).public_key())


@pytest.fixture(scope="module")
def bind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bind]:
    """A primary whose zone takes updates of TXT records below _domainkey."""
    with Bind(
        tmp_path_factory.mktemp("bind"),
        zones={"example.test": "old TXT v=spf1\nalias._domainkey CNAME k.example.net."},
        updaters=[KEY_NAME],
        policies={"example.test": f"grant {KEY_NAME} subdomain _domainkey.example.test. TXT;"},
    ) as running:
        yield running


@pytest.fixture
def provider(bind: Bind) -> Iterator[Rfc2136]:
    """It, as the settings have it; nothing is at the name before and after."""
    key = tsig_key(KEY_NAME, "hmac-sha256", bind.secrets[KEY_NAME], where="test")
    yield Rfc2136("bind", bind.address, tsig=key, ttl_seconds=60)
    clear = dns.update.UpdateMessage("example.test")
    clear.delete("s1._domainkey", dns.rdatatype.TXT)
    bind.update(clear)


def texts(bind: Bind) -> list[str]:
    """The records at the name, as a resolver gets them."""
    answer = bind.ask(NAME)
    assert answer is not None
    return sorted(b"".join(rdata.strings).decode() for rrset in answer.answer for rdata in rrset)


async def test_add_verify_remove(bind: Bind, provider: Rfc2136) -> None:
    """Published, seen on the zone's server, withdrawn; each a second time does nothing."""
    assert await publish(provider, NAME, public()) is Done.PUBLISHED
    assert texts(bind) == [record_text(public())]
    survey = await Authorities([bind.address]).survey(NAME)
    assert taken_together(survey.answers, public()).state is RecordState.MATCHES
    assert await publish(provider, NAME, public()) is Done.NOTHING
    assert await withdraw(provider, NAME, public()) is Done.WITHDRAWN
    assert texts(bind) == []
    assert await withdraw(provider, NAME, public()) is Done.NOTHING


async def test_revoke(bind: Bind, provider: Rfc2136) -> None:
    """p= becomes empty, in one step; such a record can be removed later."""
    await publish(provider, NAME, public())
    assert await withdraw(provider, NAME, public(), revoke=True) is Done.REVOKED
    assert texts(bind) == ["v=DKIM1; k=rsa; p="]
    assert await withdraw(provider, NAME, public(), revoke=True) is Done.NOTHING
    assert await withdraw(provider, NAME, public()) is Done.WITHDRAWN


async def test_a_record_of_somebody_else_stays(bind: Bind, provider: Rfc2136) -> None:
    """Neither replaced nor removed; with force it is replaced."""
    await publish(provider, NAME, public(1))
    with pytest.raises(RecordConflict, match="not this key's"):
        await publish(provider, NAME, public())
    with pytest.raises(RecordConflict, match="by hand"):
        await withdraw(provider, NAME, public())
    assert texts(bind) == [record_text(public(1))]
    assert await publish(provider, NAME, public(), force=True) is Done.PUBLISHED
    assert texts(bind) == [record_text(public())]


async def test_our_record_in_another_form(bind: Bind, provider: Rfc2136) -> None:
    """Split elsewhere and with t=y by an operator: it is this key's, so it stays, or goes."""
    text = record_text(public()).replace("v=DKIM1;", "v=DKIM1; t=y;")
    by_hand = dns.update.UpdateMessage("example.test")
    by_hand.add("s1._domainkey", 60, "TXT", f'"{text[:100]}" "{text[100:300]}" "{text[300:]}"')
    bind.update(by_hand)
    assert await publish(provider, NAME, public()) is Done.NOTHING
    assert texts(bind) == [text]
    assert await withdraw(provider, NAME, public()) is Done.WITHDRAWN
    assert texts(bind) == []


async def test_what_changed_in_between_is_not_overwritten(bind: Bind, provider: Rfc2136) -> None:
    """The server compares: a record that came after the question stays."""
    assert await provider.find(NAME) == ()
    await publish(provider, NAME, public(1))
    assert not await provider.exchange(NAME, (), (record_text(public()),))
    assert not await provider.exchange(NAME, (record_text(public()),), ())
    assert texts(bind) == [record_text(public(1))]


class Overtaken(Rfc2136):
    """Somebody else is faster: a record appears between our question and our update."""

    async def _send(self, message: dns.message.Message) -> dns.message.Message:
        if isinstance(message, dns.update.UpdateMessage):
            theirs = dns.update.UpdateMessage("example.test", keyring=self.tsig)
            theirs.delete("s1._domainkey", dns.rdatatype.TXT)
            theirs.add("s1._domainkey", 60, "TXT", "theirs")
            await super()._send(theirs)
        return await super()._send(message)


@pytest.mark.parametrize("number", [None, 1])
async def test_what_comes_between_question_and_update(
    bind: Bind, provider: Rfc2136, number: int | None
) -> None:
    """The server sees that it is not as it was, and changes nothing."""
    before: tuple[str, ...] = ()
    if number is not None:
        await publish(provider, NAME, public(number))
        before = (record_text(public(number)),)
    late = Overtaken("late", provider.server, tsig=provider.tsig)
    assert not await late.exchange(NAME, before, (record_text(public()),))
    assert texts(bind) == ["theirs"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"server": f"127.0.0.1:{free_port()}"}, "no answer"),
        ({"zone": "other.test"}, "NOTAUTH"),
        ({"tsig": None}, "REFUSED"),
        ({"tsig": tsig_key("other.key", "hmac-sha256", "c2VjcmV0", where="")}, "BadKey"),
        ({"tsig": tsig_key(KEY_NAME, "hmac-sha256", "c2VjcmV0", where="")}, "BadSignature"),
    ],
)
async def test_what_the_server_refuses(
    provider: Rfc2136, change: dict[str, object], says: str
) -> None:
    """The fault names the server, what it says, and what to do."""
    with pytest.raises(PublishFault, match=says) as raised:
        await publish(replace(provider, **change), NAME, public())  # type: ignore[arg-type]
    assert raised.value.fault.fix
    assert "c2VjcmV0" not in str(raised.value)


async def test_a_name_outside_the_policy(provider: Rfc2136) -> None:
    """The fix says the line that BIND needs."""
    with pytest.raises(PublishFault, match=r"grant relay\.key\. name s1\.example\.test\. TXT"):
        await publish(provider, "s1.example.test", public())


async def test_a_name_in_no_zone(provider: Rfc2136) -> None:
    """The server has another zone."""
    with pytest.raises(PublishFault, match=r"REFUSED \(it has no zone for that name"):
        await publish(provider, "s1._domainkey.other.test", public())


async def test_a_delegated_name(provider: Rfc2136) -> None:
    """A CNAME is not replaced: the record belongs where it leads to."""
    with pytest.raises(PublishFault, match=r"CNAME to k\.example\.net"):
        await publish(provider, "alias._domainkey.example.test", public())


def test_a_key_file() -> None:
    """As tsig-keygen writes it: name, algorithm and secret at once."""
    text = 'key "k.test" {\n\talgorithm hmac-sha512;\n\tsecret "c2VjcmV0";\n};\n'
    key = tsig_key("", "hmac-sha256", text, where="here")
    assert key is not None
    assert (key.name.to_text(), key.secret) == ("k.test.", b"secret")
    assert key.algorithm.to_text() == "hmac-sha512."
    assert tsig_key("", "hmac-sha256", "", where="here") is None


@pytest.mark.parametrize(
    ("name", "algorithm", "secret", "says"),
    [
        ("k.test", "hmac-sha256", "no base64!", "not base64"),
        ("k.test", "hmac-sha256", "", "not base64"),
        ("k.test", "md5", base64.b64encode(b"x").decode(), "'md5' is not known"),
        ("", "hmac-sha256", base64.b64encode(b"x").decode(), "key_name is missing"),
    ],
)
def test_a_bad_key(name: str, algorithm: str, secret: str, says: str) -> None:
    """What is wrong, without the secret."""
    with pytest.raises(ConfigError, match=says) as raised:
        tsig_key(name, algorithm, secret, where="here")
    assert not secret or secret not in str(raised.value)


def test_the_commands(bind: Bind, provider: Rfc2136, tmp_path: Path) -> None:
    """Publish, unpublish, and a record in the way, as an operator sees it."""
    write_key_pair(tmp_path / "keys", "example.test", "s1", Algorithm.ED25519_SHA256)
    (tmp_path / "secret").write_text(bind.secrets[KEY_NAME])
    (tmp_path / "relay.toml").write_text(
        f'keys_dir = "{tmp_path}/keys"\n[dns]\nnameservers = ["{bind.address}"]\n'
        "timeout_seconds = 0.3\n"
        f'[[publishing]]\nname = "b"\nserver = "{bind.address}"\nkey_name = "{KEY_NAME}"\n'
        f'key_file = "{tmp_path}/secret"\n'
    )

    def run(*arguments: str) -> Result:
        argv = [*arguments, "-c", str(tmp_path / "relay.toml")]
        return CliRunner().invoke(dns_commands, argv, catch_exceptions=False)

    published = run("publish", "example.test")
    assert (published.exit_code, published.stdout) == (0, "")
    assert "is published and matches" in published.stderr
    withdrawn = run("unpublish", "example.test", "--selector", "s1", "--revoke")
    assert (withdrawn.exit_code, texts(bind)) == (0, ["v=DKIM1; k=ed25519; p="])
    refused = run("publish", "example.test")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "--force" in refused.stderr
    assert run("publish", "example.test", "--force").exit_code == 0
    assert texts(bind)[0].startswith("v=DKIM1; k=ed25519; p=")
    late = run("publish", "example.test", "--nameserver", "127.0.0.1:1", "--timeout", "0")
    assert late.exit_code == 1
    assert "not seen everywhere" in late.stderr
