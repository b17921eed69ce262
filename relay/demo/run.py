"""The proof, step by step: key, DNS, relay, smarthost, one message, verified by dkimpy.

Everything is real but small: sockets on loopback, a key made now, its record in DNS, the relay
as `serve` runs it, with its gate closed until it has seen that record.
"""

from __future__ import annotations

import asyncio
import io
import smtplib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import dkim
import dns.message
import dns.query

from relay.config.settings import Config
from relay.core.dkim.algorithm import DEFAULT_RSA_BITS, Algorithm
from relay.core.errors import RelayError
from relay.demo.dns_server import DnsServer
from relay.demo.smarthost import Smarthost
from relay.keyring.writing import write_key_pair
from relay.observe.log import Log
from relay.service.relay import running

_DOMAIN = "example.com"
_SELECTOR = "demo"
_DNS_SECONDS = 5.0
_SMTP_SECONDS = 30.0

Say = Callable[[str], None]


class StepFailed(RelayError):
    """A step of the demo did not do what it should."""

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"{step}: {why}")


@contextmanager
def _step(say: Say, name: str) -> Iterator[None]:
    say(f"• {name}")
    try:
        yield
    except (RelayError, OSError, smtplib.SMTPException, ValueError) as exc:
        raise StepFailed(name, f"{type(exc).__name__}: {exc}") from exc


async def run(say: Say, show: Say) -> None:
    """Go through all steps.

    Args:
        say: takes what is told to the person who watches.
        show: takes the results: header section, verdict, log line.

    Raises:
        StepFailed: which step, and why.
    """
    with tempfile.TemporaryDirectory(prefix="dkim-relay-demo-") as folder:
        keys_dir = Path(folder) / "keys"
        with _step(say, f"make a {DEFAULT_RSA_BITS}-bit key for {_DOMAIN}"):
            written = await asyncio.to_thread(
                write_key_pair,
                keys_dir,
                _DOMAIN,
                _SELECTOR,
                Algorithm.RSA_SHA256,
                DEFAULT_RSA_BITS,
            )
        zone = {written.record.name: [written.record.value]}
        async with DnsServer(zone) as dns_server, Smarthost() as smarthost:
            say(f"• its record is served by DNS on {dns_server.address}")
            say(f"• a smarthost listens on 127.0.0.1:{smarthost.port}")
            await _relay_one(_config(keys_dir, dns_server.address, smarthost.port), say, show)
            with _step(say, "the smarthost has the message"):
                if len(smarthost.messages) != 1:
                    raise ValueError(f"it has {len(smarthost.messages)} messages")
                message = smarthost.messages[0]
            show(message.partition(b"\r\n\r\n")[0].decode("utf-8", "backslashreplace"))
            with _step(say, "dkimpy verifies it, asking that DNS"):
                await asyncio.to_thread(_verify, message, dns_server.address)
            show(f"dkim=pass d={_DOMAIN} s={_SELECTOR}")


async def _relay_one(config: Config, say: Say, show: Say) -> None:
    lines = io.BytesIO()
    log = Log(level="info", form="json", stream=lines)
    with _step(say, "start the relay; its key signs once the record is seen in DNS"):
        relay = running(config, log.emit)
        listeners = await relay.__aenter__()
    try:
        with _step(say, "the gate opens"):
            if b"key.matched" not in lines.getvalue():
                raise ValueError(lines.getvalue().decode("utf-8"))
        host, port = listeners.addresses[0]
        with _step(say, f"an application submits a message to {host}:{port}"):
            await asyncio.to_thread(_submit, host, port)
    finally:
        await relay.__aexit__(None, None, None)
    with _step(say, "the relay wrote one line about it"):
        told = [line for line in lines.getvalue().splitlines() if b"message." in line]
        if len(told) != 1:
            raise ValueError(f"it wrote {len(told)}")
    show(told[0].decode("utf-8"))


def _config(keys_dir: Path, nameserver: str, smarthost_port: int) -> Config:
    return Config.model_validate(
        {
            "keys_dir": str(keys_dir),
            "listeners": [{"address": "127.0.0.1:0"}],
            "upstreams": [
                {"name": "demo", "url": f"smtp://127.0.0.1:{smarthost_port}", "tls": "none"}
            ],
            "dns": {"gate": "published", "nameservers": [nameserver]},
            "service": {"hostname": "relay.demo"},
        }
    )


def _submit(host: str, port: int) -> None:
    message = EmailMessage()
    message["From"] = f"Example Shop <orders@{_DOMAIN}>"
    message["To"] = "Some One <someone@example.net>"
    message["Subject"] = "Your order has shipped"
    message.set_content("Hello,\n\nyour order is on its way.\n")
    with smtplib.SMTP(host, port, timeout=_SMTP_SECONDS) as client:
        client.send_message(message)


def _verify(message: bytes, nameserver: str) -> None:
    host, _, port = nameserver.rpartition(":")

    def txt(name: bytes, timeout: int = 0) -> bytes | None:
        query = dns.message.make_query(name.decode("ascii"), "TXT", use_edns=0)
        answer = dns.query.udp(query, host, port=int(port), timeout=_DNS_SECONDS)
        strings = [b"".join(record.strings) for found in answer.answer for record in found]
        return strings[0] if strings else None

    if not dkim.verify(message, dnsfunc=txt):
        raise ValueError("dkimpy does not say pass")
