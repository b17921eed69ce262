"""Settings, keys and certificates read anew while mail flows: all of it, or nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from relay.config.settings import Config
from relay.core.dkim.algorithm import Algorithm
from relay.core.errors import ConfigError
from relay.core.events import Event, TransactionEnded
from relay.keyring.writing import write_key_pair
from relay.service.relay import Relay, relaying
from tests.fakes.certificates import Certificates
from tests.fakes.processes import free_port
from tests.fakes.smarthost import Smarthost
from tests.fakes.smtp_client import SocketClient

Settings = dict[str, Any]
HERE = {"address": "127.0.0.1:0"}
TLS = {"tls": "starttls", "certificate_file": "/x"}
CLIENT = {"name": "lan", "networks": ["192.0.2.0/24"]}
HEAD = (b"EHLO client.example", b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.net>", b"DATA")


@pytest.fixture
async def relay(settings: Settings, events: list[Event]) -> AsyncIterator[Relay]:
    """It runs."""
    async with relaying(Config.model_validate(settings), events.append) as relay:
        yield relay


async def change(relay: Relay, settings: Settings) -> tuple[str, ...]:
    """Take settings into use; the names of those that differ."""
    names = await relay.prepare(Config.model_validate(settings))
    await relay.commit()
    return names


async def opened(stack: AsyncExitStack, relay: Relay, which: int = 0) -> SocketClient:
    """A client that has been greeted."""
    client = await stack.enter_async_context(SocketClient(*relay.listeners.addresses[which]))
    await client.reply()
    return client


async def submit(client: SocketClient) -> bytes:
    """One message; the last reply."""
    return (await client.say(*HEAD, b"From: a@example.com\r\n\r\nHello.\r\n."))[-1]


async def test_names_of_what_changed(relay: Relay, settings: Settings) -> None:
    """Settings by name, never their values; nothing when nothing has changed."""
    assert await change(relay, settings) == ()
    settings["limits"] = {"max_connections": 7}
    settings["upstreams"][0]["password"] = "hunter2"
    settings["upstreams"][0]["username"] = "u"
    settings["upstreams"][0]["insecure_auth"] = True
    assert set(await change(relay, settings)) == {"limits.max_connections", "upstreams"}


async def test_an_open_session_gets_the_new_settings(
    relay: Relay, settings: Settings, smarthost: Smarthost
) -> None:
    """From its next command on: another smarthost, other limits, another name."""
    async with AsyncExitStack() as stack, Smarthost() as other:
        client = await opened(stack, relay)
        assert (await submit(client)).startswith(b"250 ")
        settings["upstreams"][0]["url"] = f"smtp://127.0.0.1:{other.port}"
        settings["limits"] = {"max_message_bytes": 12345}
        settings["service"]["hostname"] = "other.example"
        await change(relay, settings)
        [hello] = await client.say(b"EHLO client.example")
        assert hello.startswith(b"250-other.example\r\n250-SIZE 12345\r\n")
        assert (await submit(client)).startswith(b"250 ")
        assert (len(smarthost.accepted), len(other.accepted)) == (1, 1)


async def test_a_transaction_under_way_ends_as_it_began(
    relay: Relay, settings: Settings, smarthost: Smarthost
) -> None:
    """Between MAIL and RCPT, and behind RCPT: both go where they would have gone."""
    async with AsyncExitStack() as stack, Smarthost() as other:
        early, late = await opened(stack, relay), await opened(stack, relay)
        await early.say(*HEAD[:2])
        await late.say(*HEAD[:3])
        settings["upstreams"][0]["url"] = f"smtp://127.0.0.1:{other.port}"
        await change(relay, settings)
        await early.say(HEAD[2])
        for client in (early, late):
            said = await client.say(b"DATA", b"From: a@example.com\r\n\r\nHello.\r\n.")
            assert said[-1].startswith(b"250 ")
        assert (len(smarthost.accepted), len(other.accepted)) == (2, 0)
        assert (await submit(early)).startswith(b"250 ")
        assert len(other.accepted) == 1
        await smarthost.until(lambda: smarthost.open_sessions == 0)  # nobody needs it any more


async def test_a_client_that_is_permitted_no_more(relay: Relay, settings: Settings) -> None:
    """A rule that is gone holds for nobody, open sessions included."""
    async with AsyncExitStack() as stack:
        client = await opened(stack, relay)
        assert (await submit(client)).startswith(b"250 ")
        settings["clients"] = [{"name": "others", "networks": ["192.0.2.0/24"]}]
        await change(relay, settings)
        said = await client.say(b"MAIL FROM:<a@example.com>")
        assert said[0].startswith(b"550 5.7.1 ")


async def test_what_has_not_changed_is_kept(
    relay: Relay, settings: Settings, smarthost: Smarthost
) -> None:
    """Connections to an upstream, what is known of keys and of failed logins."""
    async with AsyncExitStack() as stack:
        client = await opened(stack, relay)
        await submit(client)
        # One more may be on its way: that which asks at the start what the smarthost offers.
        sessions = [session for session in smarthost.sessions if session.is_open]
        before = relay.works
        settings["limits"] = {"max_recipients": 5}
        await change(relay, settings)
        assert (await submit(client)).startswith(b"250 ")
        assert sessions
        assert all(session.is_open for session in sessions)
    after = relay.works
    assert after is not before
    assert (after.pools, after.keyring, after.gate) == (before.pools, before.keyring, before.gate)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"upstreams": [{"url": "smtp://h.example", "profile": "nope"}]}, "no profile 'nope'"),
        ({"listeners": [{"address": "127.0.0.1:0", **TLS}]}, "/x: cannot be used for TLS"),
        ({"listeners": [HERE, {"address": "192.0.2.1:1"}], "clients": [CLIENT]}, "192.0.2.1:1"),
        ({"publishing": [{"name": "x", "server": "192.0.2.1", "key_file": "/no"}]}, "/no"),
        ({"state_dir": "/var/lib/x"}, "state_dir: has changed, which needs a restart"),
        ({"service": {"workers": 3}}, "service.workers: has changed, which needs a restart"),
        ({"admin": {"address": ""}}, "admin.address: has changed, which needs a restart"),
    ],
)
async def test_settings_that_cannot_be_used(
    relay: Relay, settings: Settings, smarthost: Smarthost, wrong: Settings, says: str
) -> None:
    """The fault is named, and all goes on as before, with the settings of before."""
    config, works = relay.works.config, relay.works
    with pytest.raises(ConfigError, match=re.escape(says)):
        await change(relay, {**settings, **wrong})
    assert (relay.works, relay.works.config) == (works, config)
    async with AsyncExitStack() as stack:
        assert (await submit(await opened(stack, relay))).startswith(b"250 ")
    assert len(smarthost.accepted) == 1


async def test_every_fault_at_once(relay: Relay, settings: Settings) -> None:
    """An operator mends all of them in one go."""
    listeners = [
        {"address": f"127.0.0.1:{n}", "tls": "starttls", "certificate_file": f"/{n}"}
        for n in (1, 2)
    ]
    with pytest.raises(ConfigError) as caught:
        await change(relay, {**settings, "listeners": listeners})
    assert {fault.where for fault in caught.value.faults} == {"/1", "/2"}


async def test_a_key_that_cannot_be_read(relay: Relay, settings: Settings, tmp_path: Path) -> None:
    """Nothing of the settings is taken up; the key that was there goes on signing."""
    (tmp_path / "keys" / "example.com" / "s1.pem").write_text("half of a k")
    settings["limits"] = {"max_recipients": 5}
    with pytest.raises(ConfigError, match=r"s1\.pem"):
        await change(relay, settings)
    assert relay.works.config.limits.max_recipients != 5
    async with AsyncExitStack() as stack:
        assert (await submit(await opened(stack, relay))).startswith(b"250 ")


async def test_a_key_that_was_faulty_before_hinders_nothing(
    settings: Settings, tmp_path: Path, events: list[Event]
) -> None:
    """It was told at the start; settings can be changed all the same."""
    write_key_pair(tmp_path / "keys", "bad.example", "s1", Algorithm.ED25519_SHA256)
    (tmp_path / "keys" / "bad.example" / "s1.pem").write_text("not a key")
    async with relaying(Config.model_validate(settings), events.append) as relay:
        settings["limits"] = {"max_recipients": 5}
        assert await change(relay, settings) == ("limits.max_recipients",)


async def test_a_new_key(
    relay: Relay, settings: Settings, smarthost: Smarthost, tmp_path: Path
) -> None:
    """A domain that has come is signed for at once, without the pause of the watch."""
    write_key_pair(tmp_path / "keys", "new.example", "s9", Algorithm.ED25519_SHA256)
    await change(relay, settings)
    async with AsyncExitStack() as stack:
        client = await opened(stack, relay)
        said = await client.say(*HEAD, b"From: a@new.example\r\n\r\nHello.\r\n.")
    assert said[-1].startswith(b"250 ")
    assert b"d=new.example" in smarthost.accepted[0].octets


async def test_another_folder_of_keys(
    relay: Relay, settings: Settings, smarthost: Smarthost, tmp_path: Path
) -> None:
    """Its keys sign from then on, the others do not."""
    write_key_pair(tmp_path / "other", "example.com", "s2", Algorithm.ED25519_SHA256)
    await change(relay, {**settings, "keys_dir": str(tmp_path / "other")})
    async with AsyncExitStack() as stack:
        await submit(await opened(stack, relay))
    assert b"s=s2;" in smarthost.accepted[0].octets


async def test_listeners_that_come_and_go(relay: Relay, settings: Settings) -> None:
    """New ones take clients before the old ones close, whose sessions hear 421."""
    async with AsyncExitStack() as stack:
        old = relay.listeners.addresses[0]
        client = await opened(stack, relay)
        port = free_port()
        settings["listeners"] = [{"address": f"127.0.0.1:{port}"}]
        await change(relay, settings)
        assert relay.listeners.addresses == (("127.0.0.1", port),)
        assert (await submit(await opened(stack, relay))).startswith(b"250 ")
        assert await client.rest() == b"421 4.3.2 The service is shutting down\r\n"
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(*old)


async def test_a_new_certificate(settings: Settings, events: list[Event], tmp_path: Path) -> None:
    """The next handshake shows it; in one file or in another one."""
    ours, theirs = Certificates(tmp_path), tmp_path / "other"
    theirs.mkdir()
    certificate, key = ours.files()
    tls = {"tls": "implicit", "certificate_file": str(certificate), "key_file": str(key)}
    settings["listeners"] = [{"address": "127.0.0.1:0", **tls}]
    async with relaying(Config.model_validate(settings), events.append) as relay:
        before = relay.works.bindings[0].endpoint.certificates
        ours.files()
        await change(relay, settings)
        after = relay.works.bindings[0].endpoint.certificates
        assert before is not None
        assert after is not None
        assert after.context is not before.context


async def test_reloads_every_moment_under_traffic(
    relay: Relay, settings: Settings, smarthost: Smarthost, events: list[Event]
) -> None:
    """Other pools, keys, limits and certificates again and again: no message notices."""
    messages, clients = 40, 6

    async def send(stack: AsyncExitStack) -> list[bytes]:
        client = await opened(stack, relay)
        return [await submit(client) for _ in range(messages)]

    def has(count: int) -> bool:
        return len(smarthost.accepted) >= count

    async def reload() -> None:
        for count in range(1, messages * clients // 5):
            await smarthost.until(partial(has, 5 * count))
            settings["upstreams"][0]["max_connections"] = 20 + count % 5
            settings["domains"] = {"example.com": {"subdomains": bool(count % 2)}}
            settings["limits"] = {"max_recipients": 50 + count}
            await change(relay, settings)

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        tasks.create_task(reload())
        sending = [tasks.create_task(send(stack)) for _ in range(clients)]
    replies = [reply for task in sending for reply in task.result()]
    assert {reply[:4] for reply in replies} == {b"250 "}
    assert len(smarthost.accepted) == messages * clients
    assert all(m.octets.startswith(b"DKIM-Signature: v=1;") for m in smarthost.accepted)
    ended = [event for event in events if isinstance(event, TransactionEnded)]
    assert len(ended) == messages * clients


async def test_nothing_is_left_of_settings_of_before(
    relay: Relay, settings: Settings, smarthost: Smarthost
) -> None:
    """Ten reloads with mail in between: one pool's connections at the end, and as many tasks."""
    async with AsyncExitStack() as stack:
        client = await opened(stack, relay)
        await submit(client)
        tasks = len(asyncio.all_tasks()) - smarthost.open_sessions
        for count in range(10):
            settings["upstreams"][0]["max_connections"] = 20 + count
            await change(relay, settings)
            await submit(client)
        idle = relay.works.pools["esp"].snapshot().idle
        await smarthost.until(lambda: smarthost.open_sessions <= idle)
        async with asyncio.timeout(5):
            while len(asyncio.all_tasks()) - smarthost.open_sessions > tasks:  # noqa: ASYNC110 - they end by themselves
                await asyncio.sleep(0)


async def test_a_part_that_fails(settings: Settings, events: list[Event]) -> None:
    """What should never end by itself ends the service: drained, and told as it was."""

    async def fail() -> None:
        raise LookupError("a fault of ours")

    async def serve() -> None:
        async with relaying(Config.model_validate(settings), events.append) as relay:
            relay.attend(fail())
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await serve()
    assert caught.group_contains(LookupError, match="a fault of ours")
    assert events[-1].name == "service.stopped"
