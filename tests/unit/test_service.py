"""The composition root: everything together, from bound sockets to nothing left."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import dkim
import pytest

import relay
from relay.assembly import client_rules, hostname, load_profile, upstream_settings
from relay.config.settings import Config
from relay.core.dkim.algorithm import Algorithm
from relay.core.errors import ConfigError
from relay.core.events import Event, Noted, Outcome, TransactionEnded
from relay.keyring.writing import WrittenKey, write_key_pair
from relay.listener.sockets import Listeners
from relay.service.relay import running
from relay.upstream.settings import Tls
from tests.fakes.dns_server import LoopbackDNS
from tests.fakes.processes import free_port
from tests.fakes.smarthost import Fault, Smarthost, reply
from tests.fakes.smtp_client import SocketClient

pytestmark = pytest.mark.usefixtures("nothing_is_left")
Settings = dict[str, Any]
MESSAGE = (
    b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.net>\r\nDATA\r\n"
    b"From: a@example.com\r\n\r\nx\r\n.\r\n"
)


def write(folder: Path, domain: str) -> WrittenKey:
    """A key that is made in no time."""
    return write_key_pair(folder, domain, "s1", Algorithm.ED25519_SHA256, 256)


async def submit(listeners: Listeners, *, domain: str = "example.com") -> list[bytes]:
    """Hand one message in; the replies from MAIL on."""
    async with SocketClient(*listeners.addresses[0]) as client:
        await client.reply()
        replies = await client.say(
            b"EHLO client.example",
            b"MAIL FROM:<bounces@example.com>",
            b"RCPT TO:<someone@example.net>",
            b"DATA",
            b"From: a@" + domain.encode() + b"\r\nTo: someone@example.net\r\n\r\nHello.\r\n.",
            b"QUIT",
        )
    return replies[1:-1]


def noted(events: list[Event], name: str) -> list[dict[str, object]]:
    """The fields of the facts of one name."""
    return [dict(e.fields) for e in events if isinstance(e, Noted) and e.name == name]


async def test_a_message_goes_through(
    settings: Settings, smarthost: Smarthost, events: list[Event], keys_dir: Path
) -> None:
    """Signed, accepted, logged; dkimpy verifies what the smarthost received."""
    async with running(Config.model_validate(settings), events.append) as listeners:
        replies = await submit(listeners)
    assert [r[:3] for r in replies] == [b"250", b"250", b"354", b"250"]
    [received] = smarthost.accepted
    record = (keys_dir / "example.com" / "s1.txt").read_text()
    value = record[record.index("v=DKIM1") :].partition("\n")[0]
    assert dkim.verify(received.octets, dnsfunc=lambda *_, **__: value.encode())
    [ended] = [e for e in events if isinstance(e, TransactionEnded)]
    assert ended.outcome is Outcome.RELAYED
    names = [e.name for e in events]
    assert names[0] == "key.loaded"
    assert names.index("service.started") < names.index("message.relayed")
    assert names[-1] == "service.stopped"
    assert smarthost.open_sessions == 0


async def test_stopping_without_a_message(settings: Settings, events: list[Event]) -> None:
    """Start and stop, nothing in between."""
    async with running(Config.model_validate(settings), events.append) as listeners:
        [address] = listeners.addresses
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(*address)


async def test_a_port_in_use(settings: Settings, events: list[Event]) -> None:
    """ConfigError itself, not wrapped, and it names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings["listeners"] = [{"address": "127.0.0.1:0"}, {"address": f"127.0.0.1:{port}"}]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: cannot listen"):
            async with running(Config.model_validate(settings), events.append):
                pass


async def test_an_unknown_profile(settings: Settings, events: list[Event]) -> None:
    """The fix lists the profiles that there are."""
    settings["upstreams"][0]["profile"] = "nope"
    with pytest.raises(ConfigError, match=r"'nope' \(one of .*generic.*ses"):
        async with running(Config.model_validate(settings), events.append):
            pass


async def test_an_exception_in_the_body_is_itself(settings: Settings, events: list[Event]) -> None:
    """What happens within `running` comes out of it as it was."""
    with pytest.raises(LookupError, match="mine"):
        async with running(Config.model_validate(settings), events.append):
            raise LookupError("mine")


async def test_being_cancelled(settings: Settings, events: list[Event]) -> None:
    """The loop's own stop ends everything too."""
    started = asyncio.Event()

    async def serve() -> None:
        async with running(Config.model_validate(settings), events.append):
            started.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve())
        await started.wait()
        serving.cancel()
    assert serving.cancelled()
    assert events[-1].name == "service.stopped"


async def test_one_bad_key_stops_no_other(
    settings: Settings, smarthost: Smarthost, events: list[Event], keys_dir: Path
) -> None:
    """451 4.7.5 for its domain, with path and fix in the log; the others sign."""
    write(keys_dir, "bad.example").key_path.write_text("not a key")
    async with running(Config.model_validate(settings), events.append) as listeners:
        good = await submit(listeners)
        bad = await submit(listeners, domain="bad.example")
    assert good[-1].startswith(b"250 ")
    assert bad[-1] == b"451 4.7.5 No signing key is usable for this domain now\r\n"
    [failed] = noted(events, "key.failed")
    assert str(keys_dir / "bad.example" / "s1.pem") in str(failed["where"])
    assert failed["fix"]
    assert len(smarthost.accepted) == 1


async def test_no_key_at_all(settings: Settings, events: list[Event], tmp_path: Path) -> None:
    """The relay starts, says so, and sends nothing unsigned."""
    settings["keys_dir"] = str(tmp_path / "none")
    async with running(Config.model_validate(settings), events.append) as listeners:
        replies = await submit(listeners)
    assert replies[-1].startswith(b"550 5.7.1 ")
    assert noted(events, "key.failed")


@pytest.fixture
def dns() -> Iterator[LoopbackDNS]:
    """A name server that knows nothing yet."""
    with LoopbackDNS() as server:
        yield server


async def test_the_gate(
    settings: Settings, events: list[Event], keys_dir: Path, dns: LoopbackDNS
) -> None:
    """A key whose record is not published defers its own domain only."""
    published = write(keys_dir, "published.example").record
    dns.records = {published.name: published.value}
    settings["dns"] = {"gate": "published", "nameservers": [f"127.0.0.1:{dns.port}"]}
    async with running(Config.model_validate(settings), events.append) as listeners:
        closed = await submit(listeners)
        opened = await submit(listeners, domain="published.example")
    assert closed[-1] == b"451 4.7.5 No signing key is usable for this domain now\r\n"
    assert opened[-1].startswith(b"250 ")
    assert [f["domain"] for f in noted(events, "key.matched")] == ["published.example"]
    assert [f["domain"] for f in noted(events, "key.mismatched")] == ["example.com"]


async def test_a_domain_that_comes_while_running(
    settings: Settings, events: list[Event], keys_dir: Path
) -> None:
    """Its folder is enough: refused as a stranger's before, signed and relayed after."""
    settings["keys_reload_seconds"] = 0.01
    has_come = asyncio.Event()

    def emit(event: Event) -> None:
        events.append(event)
        if any(fields["domain"] == "new.example" for fields in noted(events, "key.loaded")):
            has_come.set()

    async with running(Config.model_validate(settings), emit) as listeners:
        refused = await submit(listeners, domain="new.example")
        write(keys_dir, "new.example")
        await has_come.wait()
        relayed = await submit(listeners, domain="new.example")
    assert refused[-1].startswith(b"550 5.7.1 ")
    assert relayed[-1].startswith(b"250 ")


async def test_no_upstream(settings: Settings, events: list[Event]) -> None:
    """451 at RCPT while the smarthost is away; the log says which host refused."""
    settings["upstreams"][0]["url"] = f"smtp://127.0.0.1:{free_port()}"
    async with running(Config.model_validate(settings), events.append) as listeners:
        replies = await submit(listeners)
    assert replies[1].startswith(b"451 4.4.1 ")
    assert replies[2].startswith(b"554 5.5.1 ")
    [ended] = [e for e in events if isinstance(e, TransactionEnded)]
    assert "127.0.0.1" in ended.detail


async def test_stopping_in_the_middle_of_a_message(
    settings: Settings, smarthost: Smarthost, events: list[Event]
) -> None:
    """Time is up while the smarthost thinks: cut off, counted, told as unknown, nothing left."""
    smarthost.on("dot", Fault.BLACK_HOLE)
    settings["service"]["drain_seconds"] = 0.05
    relay = running(Config.model_validate(settings), events.append)
    async with AsyncExitStack() as stack, relay as listeners:
        client = SocketClient(*listeners.addresses[0])
        await stack.enter_async_context(client)
        await client.send(MESSAGE)
        await smarthost.until(lambda: bool(smarthost.received))
    assert noted(events, "service.stopped") == [{"sessions_cut_off": 1}]
    [ended] = [e for e in events if isinstance(e, TransactionEnded)]
    assert ended.outcome is Outcome.UNKNOWN


async def test_stopping_while_a_message_comes(
    settings: Settings, smarthost: Smarthost, events: list[Event]
) -> None:
    """Time is up while the client sends: the line does not say that it was the client who left."""
    settings["service"]["drain_seconds"] = 0.05
    relay = running(Config.model_validate(settings), events.append)
    async with AsyncExitStack() as stack, relay as listeners:
        client = SocketClient(*listeners.addresses[0])
        await stack.enter_async_context(client)
        await client.reply()
        await client.say(b"HELO c", b"MAIL FROM:<>", b"RCPT TO:<a@example.net>", b"DATA")
        await client.send(b"From: a@example.com\r\n")
    [ended] = [e for e in events if isinstance(e, TransactionEnded)]
    assert (ended.outcome, ended.detail) == (Outcome.ABANDONED, "the relay ended the session")


async def test_stopping_waits_for_a_message(
    settings: Settings, smarthost: Smarthost, events: list[Event]
) -> None:
    """A message behind its dot is finished, and its client hears how it went."""
    smarthost.on("dot", reply("250 2.0.0 Ok at last"))
    async with AsyncExitStack() as stack:
        async with running(Config.model_validate(settings), events.append) as listeners:
            client = SocketClient(*listeners.addresses[0])
            await stack.enter_async_context(client)
            await client.send(MESSAGE)
            await smarthost.until(lambda: bool(smarthost.received))
        heard = await client.rest()
    assert heard.endswith(b"250 2.0.0 Ok at last\r\n421 4.3.2 The service is shutting down\r\n")
    assert noted(events, "service.stopped") == [{"sessions_cut_off": 0}]


# ---- what is made of the settings --------------------------------------------------------------


def config(**sections: Any) -> Config:
    """Settings with an upstream."""
    return Config.model_validate({"upstreams": [{"url": "smtp://h.example"}], **sections})


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        ("relay-7d9f", "relay-7d9f"),
        ("host.example", "host.example"),
        ("two words", "localhost"),
        ("", "localhost"),
        ("ümlaut", "localhost"),
        ("evil\r\n250 x", "localhost"),
    ],
)
def test_our_name(machine: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's when it is one by grammar, and never looked up."""
    monkeypatch.setattr(socket, "gethostname", lambda: machine)
    monkeypatch.setattr(socket, "getfqdn", _forbidden)
    assert hostname(config()) == name
    assert hostname(config(service={"hostname": "mine.example"})) == "mine.example"


def _forbidden(*_: object) -> str:
    raise AssertionError("a name was looked up")


def test_clients() -> None:
    """Without [[clients]] this machine, with them nobody else."""
    [loopback] = client_rules(config())
    assert {str(n) for n in loopback.networks} == {"127.0.0.0/8", "::1/128"}
    named = {"name": "apps", "networks": ["192.0.2.0/24"], "from_addresses": ["example.com"]}
    [apps] = client_rules(config(clients=[named]))
    assert (apps.name, apps.from_addresses) == ("apps", ("example.com",))


def test_the_upstream() -> None:
    """Every setting of an upstream arrives; the password is not in the repr."""
    given = {
        "name": "esp",
        "url": "smtps://h.example:4650",
        "username": "u",
        "password": "hunter2",
        "ca_file": "/ca.pem",
        "insecure_auth": True,
        "max_connections": 3,
        "max_messages_per_connection": 4,
        "idle_seconds": 5,
        "connect_seconds": 6,
        "acquire_seconds": 7,
    }
    made = upstream_settings(config(upstreams=[given], service={"hostname": "me.example"}))
    assert (made.host, made.port, made.tls) == ("h.example", 4650, Tls.IMPLICIT)
    assert (made.username, made.password.read(), made.ehlo_name) == ("u", "hunter2", "me.example")
    for name in given.keys() - {"url", "password"}:
        assert getattr(made, name) == given[name]
    assert "hunter2" not in repr(made)


def test_every_profile_loads() -> None:
    """All that `config check` offers can be used."""
    folder = Path(relay.__file__).parent / "profiles"
    names = [path.stem for path in folder.glob("*.toml")]
    assert {"generic", "ses"} <= set(names)
    assert [load_profile(name).name for name in names] == names


# ---- several upstreams -------------------------------------------------------------------------


async def test_the_next_upstream_when_the_first_is_away(
    settings: Settings, smarthost: Smarthost, events: list[Event]
) -> None:
    """Without routes: in the order of the file, each the fallback of the one before."""
    gone = {"name": "gone", "url": f"smtp://127.0.0.1:{free_port()}", "tls": "none"}
    settings["upstreams"].insert(0, gone)
    async with running(Config(**settings), events.append) as listeners:
        assert (await submit(listeners))[-1].startswith(b"250 ")
    assert len(smarthost.accepted) == 1
    [ended] = [e for e in events if isinstance(e, TransactionEnded)]
    assert (ended.route, ended.upstream) == ("default", "esp")
    assert any(isinstance(e, Noted) and e.name == "upstream.diverted" for e in events)


async def test_routes_of_the_settings(
    settings: Settings, smarthost: Smarthost, events: list[Event]
) -> None:
    """Each recipient domain its own upstream and its own signing."""
    async with Smarthost() as other:
        settings["upstreams"].append(
            {"name": "lan", "url": f"smtp://127.0.0.1:{other.port}", "tls": "none"}
        )
        settings["routes"] = [
            {"name": "in", "rcpt_to": ["example.net"], "upstreams": ["lan"], "signing": "skip"},
            {"name": "rest", "upstreams": ["esp"]},
        ]
        async with running(Config(**settings), events.append) as listeners:
            assert (await submit(listeners))[-1].startswith(b"250 ")
        [received] = other.accepted
    assert smarthost.accepted == []
    assert b"DKIM-Signature" not in received.octets
    [ended] = [e for e in events if isinstance(e, TransactionEnded)]
    assert (ended.route, ended.upstream, ended.unsigned) == ("in", "lan", "route_skips")
