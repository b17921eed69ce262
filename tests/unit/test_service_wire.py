"""logging.wire: both dialogues in the log, without a secret and without the message."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from relay.config.settings import Config
from relay.core.dkim.algorithm import Algorithm
from relay.core.events import Event, Noted
from relay.keyring.writing import write_key_pair
from relay.service.relay import running
from tests.fakes.smarthost import Smarthost
from tests.fakes.smtp_client import SocketClient

PASSWORD = "correct horse"
MESSAGE = b"From: a@example.com\r\nSubject: SECRET subject\r\n\r\nSECRET body\r\n.\r\n"


def settings(folder: Path, port: int, *, wire: bool) -> Config:
    """A relay that logs in to its upstream."""
    write_key_pair(folder, "example.com", "s1", Algorithm.ED25519_SHA256, 256)
    upstream = {
        "name": "esp",
        "url": f"smtp://127.0.0.1:{port}",
        "tls": "none",
        "username": "relay",
        "password": PASSWORD,
        "insecure_auth": True,
    }
    return Config.model_validate(
        {
            "keys_dir": str(folder),
            "listeners": [{"address": "127.0.0.1:0"}],
            "upstreams": [upstream],
            "dns": {"gate": "off"},
            "logging": {"wire": wire},
        }
    )


@pytest.mark.parametrize("wire", [True, False])
async def test_both_dialogues(tmp_path: Path, wire: bool) -> None:
    """Of client and upstream, in order; only when it is asked for."""
    events: list[Event] = []
    async with (
        Smarthost(users={"relay": PASSWORD}) as smarthost,
        running(settings(tmp_path, smarthost.port, wire=wire), events.append) as listeners,
        SocketClient(*listeners.addresses[0]) as client,
    ):
        await client.send(b"EHLO app\r\nAUTH PLAIN U0VDUkVU\r\nMAIL FROM:<a@example.com>\r\n")
        await client.send(b"RCPT TO:<b@sink.test>\r\nDATA\r\n" + MESSAGE + b"QUIT\r\n")
        assert b"221 " in await client.rest()
    told: dict[str, list[str]] = {"wire.client": [], "wire.upstream": []}
    for event in events:
        if isinstance(event, Noted) and event.name in told:
            assert event.level == "info"
            told[event.name].append(str(dict(event.fields)["detail"]))
    inbound, outbound = told["wire.client"], told["wire.upstream"]
    if not wire:
        assert not inbound
        assert not outbound
        return
    assert [line for line in inbound if line.startswith("C:")] == [
        "C: EHLO app",
        "C: AUTH PLAIN ***",
        "C: MAIL FROM:<a@example.com>",
        "C: RCPT TO:<b@sink.test>",
        "C: DATA",
        "C: QUIT",
    ]
    assert inbound[-1].startswith("S: 221 ")
    assert "C: AUTH PLAIN ***" in outbound
    assert any(line.startswith("C: MAIL FROM:<a@example.com>") for line in outbound)
    assert any(line.endswith("octets of a message]") for line in outbound)
    whole = "\n".join((*inbound, *outbound))
    secret = base64.b64encode(f"\0relay\0{PASSWORD}".encode()).decode()
    assert not any(word in whole for word in ("SECRET", PASSWORD, secret, "U0VDUkVU"))
