"""The admin port as clients and operators meet it, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import signal
import socket
import stat
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from relay.admin import http
from relay.admin.guard import Guard
from relay.admin.http import Connections
from relay.admin.server import admin_port
from relay.config.admin import Admin
from relay.core.errors import ConfigError, RelayError
from relay.core.events import Event, Noted
from relay.core.status import DomainStatus, KeyRole, KeyStatus, Reach
from tests.fakes.http_client import ask, connect, read, say
from tests.fakes.relay_status import DOMAIN, NOW, UPSTREAM, status
from tests.unit.admin.conftest import Open, Told

pytestmark = pytest.mark.usefixtures("nothing_is_left")
TOKEN = "a-token-of-some-length"
BROKEN = DomainStatus(
    domain="broken.example",
    is_ready=False,
    keys=(
        KeyStatus(
            selector="s1", algorithm="", bits=0, role=KeyRole.FAULTY, detail="no key (make\none)"
        ),
    ),
)


async def test_alive(opened: Open, source: Told) -> None:
    """/livez says that the process answers, and asks nobody."""
    async with opened() as address:
        answer = await ask(address, "/livez")
    assert (answer.status, answer.text) == (200, "alive\n")
    assert source.domains == []


async def test_ready(opened: Open) -> None:
    """/readyz is 200 while mail can pass."""
    async with opened() as address:
        answer = await ask(address, "/readyz")
    assert (answer.status, answer.text) == (200, "ready\n")


async def test_not_ready(opened: Open, source: Told) -> None:
    """503, with each part and why, on a line of its own whatever is in it."""
    source.now = status(domains=(BROKEN,), ready_domain_count=0)
    async with opened() as address:
        answer = await ask(address, "/readyz")
    assert answer.status == 503
    assert answer.text == "not ready\ndomain broken.example: s1: no key (make one)\n"


async def test_one_bad_domain_is_named_and_the_relay_is_ready(opened: Open, source: Told) -> None:
    """The mail of all others must not be sent elsewhere because of one domain."""
    source.now = status(domains=(BROKEN, DOMAIN), domain_count=2, ready_domain_count=1)
    async with opened() as address:
        answer = await ask(address, "/readyz")
        good = await ask(address, "/readyz?domain=example.com")
        bad = await ask(address, "/readyz?domain=Broken.example")
        unknown = await ask(address, "/readyz?domain=other.example%0aready")
    assert (answer.status, answer.text.split("\n")[0]) == (200, "ready")
    assert "domain broken.example" in answer.text
    assert (good.status, good.text) == (200, "ready\n")
    assert bad.status == 503
    assert (unknown.status, unknown.text) == (404, "no such domain: other.example ready\n")
    assert source.domains[1:3] == ["example.com", "Broken.example"]


async def test_an_upstream_that_is_left_alone(opened: Open, source: Told) -> None:
    """Without any upstream to try, mail cannot pass."""
    left = replace(UPSTREAM, reach=Reach.LEFT_ALONE, error="connection refused")
    source.now = status(upstreams=(left,))
    async with opened() as address:
        answer = await ask(address, "/readyz")
    assert answer.text == "not ready\nupstream esp: connection refused\n"


async def test_status_is_json(opened: Open, source: Told) -> None:
    """All of it, and what follows from it."""
    source.now = status(domains=(BROKEN,), ready_domain_count=0)
    async with opened() as address:
        answer = await ask(address, "/status")
    told = orjson.loads(answer.body)
    assert answer.headers["content-type"] == "application/json"
    assert told["is_ready"] is False
    assert told["not_ready"][0]["part"] == "domain broken.example"
    assert told["upstreams"][0]["reach"] == "ok"
    assert told["transactions"][0]["queue_id"] == "q1"


async def test_metrics(opened: Open) -> None:
    """As the source gives them, with the type that Prometheus wants."""
    async with opened() as address:
        answer = await ask(address, "/metrics")
    assert answer.body == b"# nothing\n"
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_the_page(opened: Open) -> None:
    """HTML, with the policy of the page; its files may be kept, it may not."""
    async with opened() as address:
        answer = await ask(address, "/")
        script = await ask(address, "/assets/page.js")
        none = await ask(address, "/assets/nothing.js")
    assert answer.headers["content-type"].startswith("text/html")
    assert "example.com" in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert "immutable" in script.headers["cache-control"]
    assert none.status == 404


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/status", "/nothing"])
async def test_headers_of_every_answer(opened: Open, path: str) -> None:
    """Nothing may be framed, guessed, kept or read by another site; nobody says what serves."""
    async with opened() as address:
        answer = await ask(address, path)
    headers = answer.headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["date"].endswith("GMT")
    assert "server" not in headers


async def test_head(opened: Open) -> None:
    """The fields of the answer, without its body."""
    async with opened() as address:
        answer = await ask(address, "/status", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 100


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_nothing_can_be_changed(opened: Open, method: str) -> None:
    """Other methods than GET and HEAD are refused."""
    async with opened() as address:
        answer = await ask(address, "/status", method=method)
    assert answer.status == 405


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.:x"])
async def test_dns_rebinding(opened: Open, host: str) -> None:
    """A name that is not ours is not answered, whatever it resolves to."""
    async with opened() as address:
        answer = await ask(address, "/status", host=host)
    assert answer.status == 421
    assert "admin.hosts" in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9525", "127.0.0.1:1", "relay.internal"])
async def test_our_own_names(opened: Open, host: str) -> None:
    """localhost, the address and what the settings name, with any port."""
    async with opened(hosts=["relay.internal"]) as address:
        answer = await ask(address, "/status", host=host)
    assert answer.status == 200


async def test_ipv6(opened: Open) -> None:
    """An IPv6 address is a name too."""
    async with opened(address="[::1]:0") as address:
        answer = await ask(address, "/livez", host=address)
    assert address.startswith("[::1]:")
    assert answer.status == 200


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """With a token."""
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return path


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Token {TOKEN}",
        "Basic !",
        "Basic \xe9",
        "Basic " + base64.b64encode(TOKEN.encode()).decode(),
    ],
)
async def test_without_the_token(opened: Open, token_file: Path, authorization: str) -> None:
    """401 for everything that says something, by any name of the host."""
    async with opened(token_file=str(token_file)) as address:
        headers = {"Authorization": authorization} if authorization else {}
        answers = [
            await ask(address, path, host="pod.example", headers=headers)
            for path in ("/status", "/metrics", "/", "/readyz?domain=example.com")
        ]
    assert [answer.status for answer in answers] == [401] * 4
    assert "Bearer" in answers[0].headers["www-authenticate"]
    assert all(TOKEN not in answer.text for answer in answers)


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {TOKEN}",
        f"bearer {TOKEN}",
        "Basic " + base64.b64encode(f"x:{TOKEN}".encode()).decode(),
    ],
)
async def test_with_the_token(opened: Open, token_file: Path, authorization: str) -> None:
    """As a bearer's token; in a browser, as the password of any user."""
    async with opened(token_file=str(token_file)) as address:
        answer = await ask(
            address, "/status", host="pod.example", headers={"Authorization": authorization}
        )
    assert answer.status == 200


async def test_probes_need_no_token(opened: Open, token_file: Path, source: Told) -> None:
    """They get their answer, and no reasons: those are for who has the token."""
    source.now = status(domains=(BROKEN,), ready_domain_count=0)
    async with opened(token_file=str(token_file)) as address:
        alive = await ask(address, "/livez", host="10.0.0.1:9525")
        ready = await ask(address, "/readyz", host="10.0.0.1:9525")
        known = await ask(address, "/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
    assert alive.status == 200
    assert (ready.status, ready.text) == (503, "not ready\n")
    assert "broken.example" in known.text


async def test_a_new_token(opened: Open, token_file: Path, events: list[Event]) -> None:
    """The file is read anew when it changes; a broken one leaves the token as it was."""
    async with opened(token_file=str(token_file)) as address:

        async def asked(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return (await ask(address, "/status", headers=headers)).status

        other = token_file.with_name("other")
        other.write_text("another-token-of-some-length")
        other.replace(token_file)
        assert await asked(TOKEN) == 401
        assert await asked("another-token-of-some-length") == 200
        other.symlink_to("nothing")
        other.replace(token_file)
        assert await asked("another-token-of-some-length") == 200
    assert [e.level for e in events if isinstance(e, Noted)] == ["info", "warning"]


@pytest.mark.parametrize("text", [None, "", "short"])
async def test_no_token_at_the_start(opened: Open, tmp_path: Path, text: str | None) -> None:
    """A missing, empty or short one is a fault of the settings, with the fix."""
    path = tmp_path / "token"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"admin.token_file: .*token.* \(for example: head -c 32"):
        async with opened(token_file=str(path)):
            pass


async def test_a_unix_socket(opened: Open, tmp_path: Path) -> None:
    """With its mode, any Host, and gone afterwards."""
    path = tmp_path / "admin.sock"
    async with opened(address=f"unix:{path}", unix_mode="0600") as address:
        answer = await ask(address, "/readyz", host="whatever")
        mode = stat.S_IMODE(path.stat().st_mode)
    assert address == f"unix:{path}"
    assert answer.status == 200
    assert mode == 0o600
    assert not path.exists()


async def test_switched_off(opened: Open) -> None:
    """An empty address is no port."""
    async with opened(address="") as address:
        assert address == ""


async def test_an_address_in_use(opened: Open) -> None:
    """A fault that names the setting, the address and the fix."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            ConfigError, match=f"admin.address: cannot listen on {address}: .*in use"
        ):
            async with opened(address=address):
                pass


async def test_a_fault_of_ours(opened: Open, source: Told, events: list[Event]) -> None:
    """500 without a word of it, and the whole of it in the log."""
    source.fault = LookupError("secret")
    async with opened() as address:
        answer = await ask(address, "/status")
        source.fault = None
        after = await ask(address, "/status")
    assert (answer.status, answer.text) == (500, "Internal Server Error")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert after.status == 200
    [event] = events
    assert isinstance(event, Noted)
    assert event.name == "internal.failed"
    assert dict(event.fields)["exception"] is not None


async def test_nobody_who_could_say(opened: Open, source: Told, events: list[Event]) -> None:
    """A relay without a process that serves is not ready; that is no fault of the admin port."""
    source.fault = RelayError("no worker\nanswers")
    async with opened() as address:
        answer = await ask(address, "/readyz")
    assert (answer.status, answer.text) == (503, "not ready\nno worker answers\n")
    assert events == []


async def test_a_domain_in_letters(opened: Open, source: Told) -> None:
    """Is found by its A-labels."""
    source.now = status(domains=(replace(DOMAIN, domain="xn--bcher-kva.example"),))
    async with opened() as address:
        answer = await ask(address, "/readyz?domain=B%C3%BCcher.example")
    assert (answer.status, answer.text) == (200, "ready\n")


async def test_an_answer_that_does_not_come(events: list[Event]) -> None:
    """It is given up after a time, with 503."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    guard = Guard(
        app, token=None, hosts=None, now=lambda: NOW, emit=events.append, answer_seconds=0.01
    )
    connections, loop = Connections(guard), asyncio.get_running_loop()
    server = await loop.create_server(connections.accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    answer = await ask(f"{host}:{port}", "/status")
    server.close()
    await connections.close()
    assert answer.status == 503
    assert [event.name for event in events] == ["internal.failed"]


async def test_garbage(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    """What is no HTTP, or too long, gets 400 and a closed connection; the log stays silent."""
    caplog.set_level(logging.DEBUG)
    async with opened() as address:
        none = read(await say(address, b"EHLO relay\r\n\r\n"))
        long = read(
            await say(
                address,
                b"GET / HTTP/1.1\r\nX: " + bytes(http.MAX_REQUEST_OCTETS + 1000) + b"\r\n\r\n",
            )
        )
    assert (none.status, long.status) == (400, 400)
    assert not [r for r in caplog.records if r.name.startswith("uvicorn")]


async def test_a_client_that_says_nothing(source: Told) -> None:
    """Its connection ends after a time, so nobody can hold all of them."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nobody asked")

    connections, loop = Connections(app, connection_seconds=0.05), asyncio.get_running_loop()
    server = await loop.create_server(connections.accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    with suppress(ConnectionResetError):  # or nothing: it depends on what was sent
        assert await say(f"{host}:{port}", b"GET / HTTP/1.1\r\n") == b""
    server.close()
    await connections.close()


async def test_too_many_connections(opened: Open) -> None:
    """Who holds as many as there may be keeps nobody out: the oldest ones end."""
    async with opened() as address:
        held = [await connect(address) for _ in range(http.MAX_CONNECTIONS + 1)]
        with suppress(ConnectionResetError):  # or nothing: it depends on the loop
            assert await held[0][0].read() == b""
        answer = await ask(address, "/livez")
        reader, writer = held[-1]
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        newest = await reader.readline()
        for _, writer in held:
            writer.close()
            with suppress(ConnectionResetError):
                await writer.wait_closed()
    assert answer.status == 200
    assert newest == b"HTTP/1.1 200 OK\r\n"


async def test_stopping_with_a_question_open(opened: Open, source: Told) -> None:
    """An answer under way is given when it comes at once, and holds nobody up for long."""
    source.hold = asyncio.Event()
    async with asyncio.TaskGroup() as tasks, opened() as address:
        asking = tasks.create_task(ask(address, "/status"))
        await source.was_asked.wait()
        source.hold.set()
        assert (await asking).status == 200


async def test_signals_are_left_alone(opened: Open) -> None:
    """SIGTERM and SIGINT stay whose they were: the relay drains by itself."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with opened() as address:
        await ask(address, "/livez")
        assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before


async def test_no_descriptor_is_left(opened: Open) -> None:
    """Opening, asking and closing leaves no socket behind."""
    async with opened() as address:
        await ask(address, "/livez")
    before, left = len(os.listdir("/proc/self/fd")), []
    for _ in range(5):
        async with opened() as address:
            await ask(address, "/status")
            left.append((await connect(address))[1])
    for writer in left:
        writer.close()
    assert len(os.listdir("/proc/self/fd")) == before + len(left)


async def test_who_comes_early_waits(source: Told, events: list[Event]) -> None:
    """From the bind on a connection is taken; it is answered once there is something to say."""
    admin = Admin(address="127.0.0.1:0")
    async with admin_port(admin, events.append, now=lambda: NOW) as port, asyncio.TaskGroup() as t:
        reader, writer = await connect(port.address)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        waiting = t.create_task(reader.readline())
        await port.serve(source)
        assert (await waiting).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_nothing_to_serve(events: list[Event]) -> None:
    """A relay that cannot start leaves no port, and no complaint."""
    admin = Admin(address="127.0.0.1:0")
    async with admin_port(admin, events.append) as port:
        address = port.address
    with pytest.raises(ConnectionError):
        await connect(address)
