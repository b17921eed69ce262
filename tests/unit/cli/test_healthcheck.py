"""`dkim-relay healthcheck`: exit codes and reasons, against a real admin port."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from relay.admin.server import admin_port
from relay.config.admin import Admin
from relay.core.events import Event
from relay.core.status import Reach
from tests.fakes.relay_status import NOW, UPSTREAM, status
from tests.unit.admin.conftest import Told

ROOT = Path(__file__).parents[3]
TOKEN = "a-token-of-some-length"
DOWN = status(upstreams=(replace(UPSTREAM, reach=Reach.LEFT_ALONE, error="refused"),))

Check = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Run the command with nothing but variables; exit code and standard error."""

    async def run(address: str, *arguments: str, **variables: str) -> tuple[int, str]:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("DKIM_RELAY_")} | {
            "PYTHONPATH": str(ROOT),
            "DKIM_RELAY_UPSTREAM__URL": "smtp://127.0.0.1",
            "DKIM_RELAY_ADMIN__ADDRESS": address,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "relay", "healthcheck", *arguments),
            env=environ | variables,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert out == b""
        assert process.returncode is not None
        return process.returncode, err.decode()

    return run


@pytest.fixture
def source() -> Told:
    """All is well."""
    return Told()


@pytest.fixture(params=["tcp", "ipv6", "unix"])
async def address(
    request: pytest.FixtureRequest, source: Told, tmp_path: Path
) -> AsyncIterator[str]:
    """An admin port of each kind."""
    addresses = {"tcp": "127.0.0.1:0", "ipv6": "[::1]:0", "unix": f"unix:{tmp_path}/admin.sock"}
    events: list[Event] = []
    admin = Admin(address=addresses[request.param])
    async with admin_port(admin, events.append, now=lambda: NOW) as port:
        await port.serve(source)
        yield port.address
    assert events == []


async def test_ready(address: str, check: Check) -> None:
    """0."""
    assert await check(address) == (0, "ready\n")


async def test_not_ready(address: str, check: Check, source: Told) -> None:
    """1, with the reasons."""
    source.now = DOWN
    assert await check(address) == (1, "not ready\nupstream esp: refused\n")


async def test_a_domain(address: str, check: Check) -> None:
    """One that is ready, and one that is not there."""
    assert await check(address, "--domain", "example.com") == (0, "ready\n")
    code, text = await check(address, "--domain", "other.example&x=\u00e9")
    assert code == 1
    assert "no such domain" in text


async def test_with_a_token(tmp_path: Path, check: Check, source: Told) -> None:
    """It is shown, so the reasons are told."""
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    source.now = DOWN
    admin = Admin(address="0.0.0.0:0", token_file=str(token_file))
    async with admin_port(admin, _nobody, now=lambda: NOW) as port:
        await port.serve(source)
        found = await check(port.address, DKIM_RELAY_ADMIN__TOKEN_FILE=str(token_file))
        missing = await check(port.address, DKIM_RELAY_ADMIN__TOKEN_FILE=str(tmp_path / "none"))
    assert found == (1, "not ready\nupstream esp: refused\n")
    assert missing[0] == 2
    assert f"{tmp_path}/none: No such file" in missing[1]


def _nobody(event: Event) -> None:
    raise AssertionError(event)


async def test_nobody_there(check: Check, tmp_path: Path) -> None:
    """2: refused, no socket, or switched off."""
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        assert await check(address) == (2, f"{address}: Connection refused\n")
    code, text = await check(f"unix:{tmp_path}/none.sock")
    assert (code, "No such file" in text) == (2, True)
    assert await check("") == (2, 'the admin port is switched off (admin.address = "")\n')


async def test_no_answer(check: Check) -> None:
    """2, after the time that was given."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        found = await check(address, "--timeout", "0.2")
    assert found == (2, f"{address}: no answer in time\n")


@pytest.mark.parametrize(
    "said",
    [b"", b"220 mail.example ESMTP\r\n", b"HTTP/1.1 302 Found\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"],
)
async def test_somebody_else(check: Check, said: bytes) -> None:
    """2: another server is not taken for a relay that is ready."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    code, text = await check(f"{host}:{port}")
    server.close()
    assert code == 2
    assert "is no dkim-relay" in text


async def test_settings_that_cannot_be_used(check: Check) -> None:
    """2, as every command."""
    code, text = await check("0.0.0.0:9525")
    assert code == 2
    assert "can be reached from elsewhere (set admin.token_file" in text
