"""The relay as clients meet it: one process with a listener of every kind, and what came through.

IO. Behind it stands the recording smarthost, in a thread, so that a test has the very octets that
went out, and the envelope with its parameters. Who may do what at which entrance:

* plain, starttls, implicit, socket: whoever comes to them
* submission, submissions, cleartext: only with a login, or with a client's certificate
* proxied: clients of 192.0.2.0/24 or 2001:db8::/32, as the PROXY header says
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.fakes.certificates import Certificates
from tests.fakes.processes import LOOPBACK, Program, free_port, smtp_greets, wait_until
from tests.fakes.smarthost import ALL_EXTENSIONS, Received, Smarthost, in_thread
from tests.fakes.verifiers import Records, Result, verify_with_dkimpy
from tests.interop.clients import connect
from tests.interop.message_parts import fields_of

ROOT = Path(__file__).parents[2]
LOGIN, PASSWORD = "app", "only for tests"
CERTIFICATE_NAME = "client.test"
SENDER, RECIPIENT = "app@example.com", "ann@sink.test"
HASH_SECONDS = 60  # only a hang gets there

# What the listeners differ in; all but the socket are on loopback, each on a port of its own.
ENTRANCES: Mapping[str, str] = {
    "plain": "",
    "starttls": 'tls = "starttls"\n{files}',
    "implicit": 'tls = "implicit"\n{files}',
    "submission": 'tls = "starttls"\nrequire_tls = true\n{files}',
    "submissions": 'tls = "implicit"\n{files}',
    "cleartext": "insecure_auth = true\n",
    "proxied": 'proxy_from = ["127.0.0.0/8"]\n',
}
OPEN_ENTRANCES = ("plain", "starttls", "implicit")

SETTINGS = """
keys_dir = {keys}
[service]
hostname = "relay.test"
[dns]
gate = "off"
[[upstreams]]
url = "smtp://{host}:{upstream_port}"
tls = "none"
[[clients]]
name = "login"
login = {login}
password_hash = {password_hash}
[[clients]]
name = "certificate"
certificates = [{certificate}]
[[clients]]
name = "user"
listeners = [{socket}]
uids = [{uid}]
[[clients]]
name = "behind the proxy"
networks = ["192.0.2.0/24", "2001:db8::/32"]
[[clients]]
name = "this machine"
networks = ["127.0.0.0/8"]
listeners = [{open_listeners}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files.

    Attributes:
        ca: whose certificates clients trust.
        certificate, key: a client's own.
    """

    ca: str
    certificate: str
    key: str


class Edge:
    """A running relay with its entrances; a context manager."""

    def __init__(self, folder: Path, *, keys_dir: Path, records: Records) -> None:
        """Describe it; nothing is started yet.

        Args:
            folder: an empty folder, its working folder.
            keys_dir: holds `<domain>/<selector>.pem`.
            records: of these keys.
        """
        self._keys_dir = keys_dir
        self._records = records
        self._settings_path = folder / "relay.toml"
        argv = [sys.executable, "-m", "relay", "serve", "-c", str(self._settings_path)]
        self._relay = Program(argv, folder=folder, name="relay", environment=_environment())
        self._running = ExitStack()
        self.ports = {name: free_port() for name in ENTRANCES}
        self.socket = str(folder / "relay.sock")
        certificates = Certificates(folder)
        self._server_files = certificates.files(LOOPBACK, "localhost", stem="server")
        client, key = certificates.files(CERTIFICATE_NAME, stem="client")
        self.tls = TlsFiles(ca=certificates.ca_file, certificate=str(client), key=str(key))
        self.smarthost = Smarthost(extensions=(*ALL_EXTENSIONS, "DSN"))

    def __enter__(self) -> Self:
        """Start both; when this ends, the relay has met the smarthost and knows what it offers."""
        with ExitStack() as starting:
            starting.enter_context(in_thread(self.smarthost))
            self._settings_path.write_text(self._settings(), "utf-8")
            starting.enter_context(self._relay)
            self._relay.wait_ready(lambda: all(map(smtp_greets, self._greeting_ports())))
            with connect(self.ports["plain"]) as first:
                first.mail(SENDER)
                assert first.rcpt(RECIPIENT)[0] == 250, self._relay.tail()
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop both; the smarthost never saw what a client must not do."""
        self._running.close()
        assert self.smarthost.violations == []

    def arrived(self, marker: str, *, protocol: str) -> Received:
        """The one message with a marker in it, which must be signed, valid and traced.

        Args:
            marker: text that no other message has.
            protocol: the word after "with" in the relay's Received field (RFC 3848, RFC 6531).
        """
        (received,) = self._received(marker)
        assert received.is_accepted
        verdicts = verify_with_dkimpy(received.octets, self._records)
        assert [one.result for one in verdicts] == [Result.PASS], verdicts
        assert trace_of(received).protocol == protocol
        return received

    def has_seen(self, marker: str) -> bool:
        """Whether any octets with a marker in them came to the smarthost."""
        return bool(self._received(marker))

    def told_of(self, marker: str) -> Mapping[str, Any]:
        """The canonical line of the message with a marker in its Message-ID.

        It is written after the client has its answer, hence the wait.
        """

        def lines() -> list[str]:
            text = self._relay.stderr_path.read_text("utf-8")
            return [line for line in text.splitlines(keepends=True) if f"<{marker}@" in line]

        wait_until(
            lambda: any(line.endswith("\n") for line in lines()),
            what=f"{marker} is in the log",
            describe=self._relay.tail,
        )
        (line,) = lines()
        told: Mapping[str, Any] = json.loads(line)
        return told

    def _received(self, marker: str) -> list[Received]:
        return [one for one in self.smarthost.received if marker.encode() in one.octets]

    def _greeting_ports(self) -> list[int]:
        silent = ("implicit", "submissions", "proxied")  # these wait for the client's first octets
        return [port for name, port in self.ports.items() if name not in silent]

    def _settings(self) -> str:
        text = SETTINGS.format(
            keys=_quoted(str(self._keys_dir)),
            host=LOOPBACK,
            upstream_port=self.smarthost.port,
            login=_quoted(LOGIN),
            password_hash=_quoted(hash_password(PASSWORD)),
            certificate=_quoted(CERTIFICATE_NAME),
            socket=_quoted(f"unix:{self.socket}"),
            uid=os.getuid(),
            open_listeners=", ".join(_quoted(self._address(name)) for name in OPEN_ENTRANCES),
        )
        certificate, key = self._server_files
        files = f"certificate_file = {_quoted(str(certificate))}\nkey_file = {_quoted(str(key))}\n"
        files += f"client_ca_file = {_quoted(self.tls.ca)}\n"
        for name, options in ENTRANCES.items():
            address = _quoted(self._address(name))
            text += f"[[listeners]]\naddress = {address}\n{options.format(files=files)}"
        return (
            f'{text}[[listeners]]\naddress = {_quoted("unix:" + self.socket)}\nunix_mode = "0600"\n'
        )

    def _address(self, name: str) -> str:
        return f"{LOOPBACK}:{self.ports[name]}"


@dataclass(frozen=True, slots=True)
class Trace:
    """What the relay's Received field says.

    Attributes:
        client: what stands between "from" and "by"; empty when there is no "from".
        protocol: the word after "with".
    """

    client: str
    protocol: str


def trace_of(received: Received) -> Trace:
    """Read the topmost Received field, which is the relay's own."""
    value = next(value for name, value in fields_of(received.octets) if name == "received")
    pattern = r"Received:(?: from (?P<client>.+?))?\s+by relay\.test with (?P<word>\w+) id .*\r\n"
    found = re.fullmatch(pattern, value.decode("ascii"))
    assert found, f"not a Received field of the relay's: {value!r}"
    return Trace(found["client"] or "", found["word"])


def new_marker() -> str:
    """Text for a header field or body by which a message is found again."""
    return uuid.uuid4().hex


def make_message(marker: str, *, sender: str = SENDER, body: str = "Good morning.\r\n") -> bytes:
    """A message as an application would make it, without Date; CRLF line ends."""
    text = f"From: {sender}\r\nTo: {RECIPIENT}\r\nSubject: {marker}\r\n"
    text += f"Message-ID: <{marker}@example.com>\r\n\r\n{body}"
    return text.encode("utf-8")


def hash_password(password: str) -> str:
    """Make a password hash as an operator does."""
    done = subprocess.run(
        [sys.executable, "-m", "relay", "config", "hash-password"],
        input=password + "\n",
        env=_environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=HASH_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    """The test's environment without settings of a relay, and with the checkout importable."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("DKIM_RELAY")}
    path = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(path), "DKIM_RELAY_ADMIN__ADDRESS": ""}


def _quoted(text: str) -> str:
    """A basic string of TOML; JSON's is one."""
    return json.dumps(text)
