"""A real BIND on loopback: authoritative, updatable by TSIG, signing, or a validating resolver.

IO: one `named` process for each `Bind`, without privileges, in a folder of its own. How to use it:

    with Bind(folder, zones={"example.test": 's1._domainkey TXT "v=DKIM1; p="'}) as bind:
        bind.address                    "127.0.0.1:12345", as dns.nameservers has it
        bind.replace("example.test", "other records")   taken up while it runs
        bind.pause(), bind.resume()     no answers for a while
        bind.stop(), bind.start()       the zones and their journals stay

What a zone's text leaves out is put in front: $TTL, SOA, and, when it has no NS record at all,
an NS record "ns1" with the address of this server.

Updates (RFC 2136): `updaters=["key.test"]` makes a TSIG key of that name (`bind.secrets`, base64,
hmac-sha256) that may change every zone; `policies={"example.test": "grant key.test zonesub TXT;"}`
is an update-policy for one zone instead. `bind.update(message)` sends a `dns.update.UpdateMessage`
signed by the first key.

Several servers of one zone: the same `port` at 127.0.0.2, 127.0.0.3 … (`host=`), and the NS
records and addresses in the zones' texts. `free_port()` finds a port.

DNSSEC: zones in `signed` are signed at start; `bind.anchor(zone)` is the trust anchor. A resolver
that validates, with no way to the Internet:

    anchor = server.anchor("example.test")
    Bind(folder, forwards={"example.test": server.address}, anchors=[anchor])

It sets AD, and answers SERVFAIL for what is bogus, as with `bogus_anchor(anchor)`. Other names than
those in `forwards` do not exist for it. A server whose zone file cannot be read (text "no zone")
fails with SERVFAIL; one without the zone answers REFUSED: it is lame.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsigkeyring
import dns.update

from tests.fakes.dns_forward import DnsForward
from tests.fakes.processes import LOOPBACK, Program, free_port, wait_until
from tests.fakes.programs import require_program

PACKAGE = "bind9"
ASK_SECONDS = 1.0
FIRST_SERIAL = 1

OPTIONS = """\
options {{
  directory "{folder}";
  pid-file none;
  lock-file none;
  session-keyfile "{folder}/session.key";
  listen-on port {port} {{ {host}; }};
  listen-on-v6 {{ none; }};
  querylog yes;
  notify no;
  empty-zones-enable no;
  minimal-responses yes;
  allow-query {{ any; }};
  allow-transfer {{ none; }};
  max-udp-size 1232;
{role}
}};
controls {{ }};
"""
AUTHORITY = "  recursion no;\n  dnssec-validation no;"
RESOLVER = "  recursion yes;\n  allow-recursion {{ any; }};\n  dnssec-validation {validation};"
KEY = 'key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};\n'
ZONE = 'zone "{name}" {{ type primary; file "{file}"; {more} }};\n'
FORWARD = 'zone "{name}" {{ type forward; forward only; forwarders {{ {host} port {port}; }}; }};\n'
ROOT = "$TTL 60\n@ SOA . . 1 3600 600 86400 1\n@ NS ns.\nns. A 127.0.0.1\n"
SIGNED = "dnssec-policy default; inline-signing yes;"


class Bind:
    """One BIND; a context manager that stops it. See the top of this module."""

    def __init__(
        self,
        folder: Path,
        *,
        zones: Mapping[str, str] | None = None,
        host: str = LOOPBACK,
        port: int = 0,
        updaters: Sequence[str] = (),
        policies: Mapping[str, str] | None = None,
        signed: Sequence[str] = (),
        forwards: Mapping[str, str] | None = None,
        anchors: Sequence[str] = (),
    ) -> None:
        """Write its configuration; nothing is started yet.

        Args:
            folder: for its files; made when absent, one for each server.
            zones: name without a final dot → records, as in a zone file.
            host: a loopback address to listen on.
            port: for UDP and TCP; 0 for any that is free.
            updaters: names of TSIG keys that may update.
            policies: name of a zone → its update-policy, in place of all rights for `updaters`.
            signed: zones that are signed with DNSSEC.
            forwards: name of a zone → "HOST:PORT" that has it; makes this a resolver.
            anchors: what it validates with; none: it validates nothing.
        """
        program = require_program("named", PACKAGE)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder = folder.resolve()
        self.host, self.port = host, port or free_port()
        # BIND listens on addresses of interfaces only, and loopback's is 127.0.0.1.
        self._inner_port = self.port if host == LOOPBACK else free_port()
        self._forward: DnsForward | None = None
        self.secrets = {name: _secret() for name in updaters}
        self._zones = dict(zones or {})
        self._signed = frozenset(signed)
        self._policies = dict(policies or {})
        self._serials = dict.fromkeys(self._zones, FIRST_SERIAL)
        for name in self._zones:
            self._write_zone(name)
        (folder / "named.conf").write_text(self._configuration(forwards or {}, anchors))
        argv = [program, "-g", "-n", "1", "-c", str(folder / "named.conf")]
        self._program = Program(argv, folder=folder, name="named")

    @property
    def address(self) -> str:
        """Address and port, as `dns.nameservers` has them."""
        return f"{self.host}:{self.port}"

    @property
    def log(self) -> str:
        """What it said so far, every question included."""
        return self._program.stderr_path.read_text("utf-8", "replace")

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers and its signed zones are signed."""
        if self._inner_port != self.port:
            self._forward = DnsForward(self.host, self.port, self._inner_port).__enter__()
        try:
            self._program.start()
            self._program.wait_ready(self._answers)
            for name in self._signed:
                self.anchor(name)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process; what was updated stays in its journal."""
        if self._program.is_running:
            self.resume()
        self._program.stop()
        if self._forward is not None:
            self._forward.__exit__()
            self._forward = None

    def pause(self) -> None:
        """Answer nothing until `resume`: questions time out."""
        os.kill(self._program.pid, signal.SIGSTOP)
        os.waitpid(self._program.pid, os.WUNTRACED)  # until the last of its threads has stopped

    def resume(self) -> None:
        """Go on after `pause`."""
        os.kill(self._program.pid, signal.SIGCONT)

    def replace(self, zone: str, text: str) -> None:
        """Give a zone other records while it runs; not for a zone that may be updated."""
        if self._is_updatable(zone):
            raise ValueError(f"{zone} may be updated: send an update")
        self._zones[zone] = text
        self._serials[zone] += 1
        self._write_zone(zone)
        os.kill(self._program.pid, signal.SIGHUP)
        wait_until(
            lambda: self._serial(zone) >= self._serials[zone],
            what=f"{zone} is loaded again",
            describe=self._program.tail,
        )

    def update(self, message: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        """Send an update signed by the first of `updaters`; its response code."""
        name, secret = next(iter(self.secrets.items()))
        message.use_tsig(dns.tsigkeyring.from_text({name: secret}), name, algorithm="hmac-sha256")
        answer = dns.query.tcp(message, self.host, ASK_SECONDS * 5, self.port)
        return answer.rcode()

    def anchor(self, zone: str) -> str:
        """The trust anchor of a signed zone, for another `Bind`."""
        found: list[str] = []

        def is_signed() -> bool:
            answer = self.ask(zone, "DNSKEY", wants_dnssec=True)
            rrset = answer and answer.get_rrset(
                "ANSWER", answer.question[0].name, dns.rdataclass.IN, dns.rdatatype.DNSKEY
            )
            is_whole = answer is not None and len(answer.answer) > 1  # the signatures too
            found[:] = [rdata.to_text() for rdata in rrset] if rrset and is_whole else []
            return bool(found)

        wait_until(is_signed, what=f"{zone} is signed", describe=self._program.tail)
        flags, protocol, algorithm, *key = found[0].split()
        return f'"{zone}" static-key {flags} {protocol} {algorithm} "{"".join(key)}";'

    def ask(
        self, name: str, rdtype: str = "TXT", *, wants_dnssec: bool = False
    ) -> dns.message.Message | None:
        """The answer to a question over TCP, or None."""
        query = dns.message.make_query(name, rdtype, want_dnssec=wants_dnssec)
        with contextlib.suppress(OSError, EOFError, dns.exception.DNSException):
            return dns.query.tcp(query, self.host, ASK_SECONDS, self.port)
        return None

    def _answers(self) -> bool:
        query = dns.message.make_query("version.bind", "TXT", rdclass="CH")
        with contextlib.suppress(OSError, EOFError, dns.exception.DNSException):
            dns.query.tcp(query, self.host, ASK_SECONDS, self.port)
            dns.query.udp(query, self.host, ASK_SECONDS, self.port)
            return True
        return False

    def _serial(self, zone: str) -> int:
        answer = self.ask(zone, "SOA")
        if answer is None or not answer.answer:
            return 0
        return int(answer.answer[0][0].to_text().split()[2])

    def _is_updatable(self, zone: str) -> bool:
        return bool(self.secrets) or zone in self._policies

    def _write_zone(self, name: str) -> None:
        text = self._zones[name]
        parts = []
        if "$TTL" not in text:
            parts.append("$TTL 60")
        if re.search(r"\sSOA\s", text) is None:
            times = f"{self._serials[name]} 3600 600 86400 1"  # what is absent is soon asked again
            parts.append(f"@ SOA ns1.{name}. hostmaster.{name}. {times}")
        if re.search(r"\sNS\s", text) is None:
            parts.append(f"@ NS ns1.{name}.\nns1.{name}. A {self.host}")
        (self.folder / f"{name}.zone").write_text("\n".join((*parts, text, "")))

    def _configuration(self, forwards: Mapping[str, str], anchors: Sequence[str]) -> str:
        role = RESOLVER.format(validation="yes" if anchors else "no") if forwards else AUTHORITY
        parts = [
            OPTIONS.format(folder=self.folder, host=LOOPBACK, port=self._inner_port, role=role),
            *(KEY.format(name=name, secret=secret) for name, secret in self.secrets.items()),
            *(
                ZONE.format(name=name, file=f"{name}.zone", more=self._more(name))
                for name in self._zones
            ),
        ]
        if forwards:
            # Delegated, so that this server does not answer that they do not exist.
            delegations = "".join(f"{name}. NS ns.\n" for name in forwards)
            (self.folder / "root.zone").write_text(ROOT + delegations)
            parts.append(ZONE.format(name=".", file="root.zone", more=""))
        for name, address in forwards.items():
            host, _, port = address.rpartition(":")
            parts.append(FORWARD.format(name=name, host=host, port=port))
        if anchors:
            parts.append("trust-anchors {\n" + "\n".join(anchors) + "\n};\n")
        return "".join(parts)

    def _more(self, zone: str) -> str:
        parts = [SIGNED] if zone in self._signed else []
        if zone in self._policies:
            parts.append(f"update-policy {{ {self._policies[zone]} }};")
        elif self.secrets:
            keys = " ".join(f'key "{name}";' for name in self.secrets)
            parts.append(f"allow-update {{ {keys} }};")
        return " ".join(parts)


def _secret() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def bogus_anchor(anchor: str) -> str:
    """A trust anchor that no key of its zone matches: everything in it becomes bogus."""
    zone = anchor.partition(" ")[0]
    key = base64.b64encode(secrets.token_bytes(64)).decode("ascii")
    return f'{zone} static-key 257 3 13 "{key}";'
