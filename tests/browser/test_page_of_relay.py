"""The status page of a relay as users run it: mail goes through, the smarthost goes away."""

from __future__ import annotations

import base64
import re
import smtplib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.browser import Browser
from tests.fakes.processes import LOOPBACK, free_port, wait_until
from tests.fakes.smarthost import Smarthost, in_thread
from tests.interop.relay_process import RelayProcess, make_key

DOMAIN, SELECTOR = "example.com", "s2026"
PASSWORD = "hunter2-opens-nothing"
TOKEN = "a-token-that-opens-nothing-either"
MESSAGE = f"From: <ann@{DOMAIN}>\r\nSubject: zebra\r\n\r\nxylophone\r\n"


@dataclass
class Running:
    """A relay, its smarthost, its keys, and its admin port."""

    relay: RelayProcess
    take_smarthost_away: Callable[[], None]
    keys_dir: Path
    url: str

    def send(self, sender: str = f"ann@{DOMAIN}") -> None:
        """Send a message through it."""
        with smtplib.SMTP(LOOPBACK, self.relay.port) as client:
            client.sendmail(sender, ["bob@sink.test"], MESSAGE)

    def ask(self, path: str) -> str:
        """What the admin port says."""
        credentials = base64.b64encode(f"operator:{TOKEN}".encode()).decode()
        asked = urllib.request.Request(  # noqa: S310 # loopback
            self.url + path, headers={"Authorization": f"Basic {credentials}"}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
            return str(answer.read().decode())


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A relay with a key, a password for its upstream, and a token for its admin port."""
    keys_dir, token, admin = tmp_path / "keys", tmp_path / "token", free_port()
    keys_dir.mkdir()
    make_key(keys_dir, DOMAIN, SELECTOR)
    token.write_text(TOKEN)
    token.chmod(0o600)
    settings = {
        "DKIM_RELAY_UPSTREAM__USERNAME": "app",
        "DKIM_RELAY_UPSTREAM__PASSWORD": PASSWORD,
        "DKIM_RELAY_UPSTREAM__INSECURE_AUTH": "true",
        "DKIM_RELAY_ADMIN__ADDRESS": f"{LOOPBACK}:{admin}",
        "DKIM_RELAY_ADMIN__TOKEN_FILE": str(token),
    }
    folder = tmp_path / "relay"
    folder.mkdir()
    with ExitStack() as stack:
        smarthost = stack.enter_context(in_thread(Smarthost(users={"app": PASSWORD})))
        port = smarthost.port
        with RelayProcess(
            folder, keys_dir=keys_dir, upstream_port=port, settings=settings
        ) as relay:
            yield Running(relay, stack.close, keys_dir, f"http://{LOOPBACK}:{admin}/")


def test_no_secret_is_ever_shown(running: Running) -> None:
    """Neither a password, nor the token, nor a line of a private key, nor a message's content."""
    running.send()
    private = (running.keys_dir / DOMAIN / f"{SELECTOR}.pem").read_text("ascii").splitlines()
    secrets = [PASSWORD, TOKEN, "PRIVATE KEY", "zebra", "xylophone", *private[1:-1]]
    # What may be shown is, a moment after the client has its answer.
    wait_until(lambda: "bob@sink.test" in running.ask("").replace("<wbr>", ""), what="the page")
    for answer in (running.ask(""), running.ask("status"), running.ask("metrics")):
        assert not [secret for secret in secrets if secret in answer]
        assert not [s for s in secrets if base64.b64encode(s.encode()).decode()[:-4] in answer]


def test_mail_and_the_outage_of_a_smarthost_are_seen(browser: Browser, running: Running) -> None:
    """A message appears among the transactions; a smarthost that goes away turns its row red."""
    # As if the token was typed in: the browser sends it along with what the page asks for, too.
    browser.open(running.url.replace("://", f"://operator:{TOKEN}@"))
    running.send()
    mail = browser.wait(
        "const row = document.querySelector('.transactions tbody tr'); return row && row.innerText"
    )
    assert re.search(rf"Signed\b.*ann@.*bob@sink\.test.*250 .*{SELECTOR}/rsa", mail, re.DOTALL)
    assert "1 signed" in browser.run("return document.querySelector('.legend').innerText")
    running.take_smarthost_away()
    with pytest.raises(smtplib.SMTPException):
        running.send()
    upstream = browser.wait(
        "const row = document.querySelector('.upstream.bad'); return row && row.innerText"
    )
    assert "cannot be reached" in upstream
    assert "refused" in upstream
    headline = browser.run("return document.querySelector('h1').innerText")
    assert headline.strip() in ("1 upstream cannot be reached", "No mail can pass")
    assert not browser.complaints()
