"""Records in a zone that takes dynamic updates. IO, over dnspython.

RFC 2136 (updates and their prerequisites), RFC 8945 (TSIG). Every change carries what must still
be there as a prerequisite, so the server itself sees to it that nothing is replaced unseen.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from typing import cast

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.rrset
import dns.tsig
import dns.update
from dns.rdtypes.ANY.TXT import TXT

from relay.cancelling import heeding
from relay.core.dkim.record import split_strings
from relay.core.errors import ConfigError, Fault
from relay.dns.publish import PublishFault
from relay.dns.resolver import parse_nameserver

ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1")
# As tsig-keygen and named.conf write it: key "name" { algorithm hmac-sha256; secret "…"; };
_KEY_FILE = re.compile(
    r'\s*key\s+"?([^"\s{]+)"?\s*\{\s*(?:algorithm\s+"?([\w.-]+)"?\s*;\s*|secret\s+"?([^"\s;]+)"?\s*;'
    r"\s*)+\}\s*;?\s*"
)
_ALGORITHM = re.compile(r'algorithm\s+"?([\w.-]+)"?\s*;')
_SECRET = re.compile(r'secret\s+"?([^"\s;]+)"?\s*;')


@dataclass(frozen=True, slots=True)
class Rfc2136:
    """One name server that takes updates; a `Provider`.

    Attributes:
        name: as the settings call it.
        server: "127.0.0.1:53"; the primary of the zone.
        zone: in A-labels; empty: the server is asked which of its zones has the name.
        tsig: what signs updates and questions; None for a server that goes by addresses.
        ttl_seconds: of records that are made.
        timeout_seconds: for each exchange with the server.
    """

    name: str
    server: str
    zone: str = ""
    tsig: dns.tsig.Key | None = field(default=None, repr=False)
    ttl_seconds: int = 3600
    timeout_seconds: float = 10.0

    async def find(self, name: str) -> tuple[str, ...]:
        """The TXT records at a name, each as one text; none when there are none.

        Raises:
            PublishFault: that cannot be found out.
        """
        return _texts(await self._rrset(name))

    async def exchange(self, name: str, before: tuple[str, ...], after: tuple[str, ...]) -> bool:
        """Put `after` in the place of `before`, if that is still what is there (RFC 2136 §2.4).

        Raises:
            PublishFault: it was refused, or the outcome is not known.
        """
        owner = dns.name.from_text(name)
        there = await self._rrset(name)
        if _texts(there) != before:
            return False
        update = dns.update.UpdateMessage(await self._zone_of(owner), keyring=self.tsig)
        if there is None:
            update.absent(owner, dns.rdatatype.TXT)  # §2.4.3
        else:
            # §2.4.2: the octets of every string, which the text alone does not tell.
            update.present(owner, *there)
            update.delete(owner, dns.rdatatype.TXT)
        for text in after:
            update.add(owner, self.ttl_seconds, _rdata(text))
        code = (await self._send(update)).rcode()
        if code in (dns.rcode.YXRRSET, dns.rcode.NXRRSET, dns.rcode.YXDOMAIN, dns.rcode.NXDOMAIN):
            return False
        if code != dns.rcode.NOERROR:
            raise self._refused(name, code)
        return True

    async def _rrset(self, name: str) -> dns.rrset.RRset | None:
        owner = dns.name.from_text(name)
        response = await self._question(owner, dns.rdatatype.TXT)
        if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise self._no_answer(name, response.rcode())
        for rrset in response.answer:
            if rrset.rdtype == dns.rdatatype.CNAME and rrset.name == owner:
                target = rrset[0].to_text()
                what = f"is a CNAME to {target}, so its record stands there"
                raise PublishFault(name, what, "publish it where the CNAME leads to")
        return response.get_rrset(dns.message.ANSWER, owner, dns.rdataclass.IN, dns.rdatatype.TXT)

    async def _zone_of(self, owner: dns.name.Name) -> dns.name.Name:
        """The zone of this server that a name is in (RFC 2308 §2: negative answers say it)."""
        if self.zone:
            return dns.name.from_text(self.zone)
        response = await self._question(owner, dns.rdatatype.SOA)
        for rrset in (*response.answer, *response.authority):
            if rrset.rdtype == dns.rdatatype.SOA and owner.is_subdomain(rrset.name):
                return rrset.name
        where = owner.to_text(omit_final_dot=True)
        fix = f"set zone of publishing {self.name!r}, or name the zone's primary as its server"
        raise PublishFault(where, f"{self.server} has no zone for it", fix)

    async def _question(
        self, owner: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> dns.message.Message:
        query = dns.message.make_query(owner, kind, use_edns=0)
        if self.tsig is not None:
            query.use_tsig(self.tsig)  # the view that updates see
        return await self._send(query)

    async def _send(self, message: dns.message.Message) -> dns.message.Message:
        host, port = parse_nameserver(self.server)
        try:
            return await heeding(dns.asyncquery.tcp(message, host, self.timeout_seconds, port))
        except dns.tsig.PeerError as exc:
            what = f"it does not accept our TSIG key: {type(exc).__name__.removeprefix('Peer')}"
            fix = "compare name, algorithm and secret with the server's, and both clocks"
            raise self._fault(what, fix) from exc
        except (dns.tsig.BadSignature, dns.tsig.BadTime) as exc:
            what = f"its answer is not signed by our TSIG key: {type(exc).__name__}"
            raise self._fault(what, "compare the secrets, and both clocks") from exc
        except (OSError, EOFError, dns.exception.DNSException) as exc:
            what = f"no answer: {exc or type(exc).__name__}"
            raise self._fault(what, "is it the address of a name server, over TCP?") from exc

    def _no_answer(self, name: str, code: dns.rcode.Rcode) -> PublishFault:
        """To a question: before anything was to be changed."""
        fix = "see its log"
        if code in (dns.rcode.REFUSED, dns.rcode.NOTAUTH):
            fix = "it has no zone for that name, or answers nobody here: name the zone's primary"
        return self._fault(f"{name}: asked for it, it answers {dns.rcode.to_text(code)}", fix)

    def _refused(self, name: str, code: dns.rcode.Rcode) -> PublishFault:
        signed = f"key {self.tsig.name}" if self.tsig is not None else "this address"
        match code:
            case dns.rcode.REFUSED:
                rule = f"update-policy {{ grant {signed.removeprefix('key ')} name {name}. TXT; }};"
                fix = f"let {signed} change TXT records there; in BIND: {rule}"
            case dns.rcode.NOTAUTH | dns.rcode.NOTZONE:
                fix = "name the primary of the zone as the server, and the zone as it calls it"
            case _:
                fix = "see its log"
        return self._fault(f"{name}: it answers {dns.rcode.to_text(code)}", fix)

    def _fault(self, what: str, fix: str) -> PublishFault:
        return PublishFault(f"publishing {self.name!r}, server {self.server}", what, fix)


def tsig_key(name: str, algorithm: str, secret: str, *, where: str) -> dns.tsig.Key | None:
    """A TSIG key from the settings; None when there is none.

    Args:
        name: of the key; may be empty when the secret is a whole key file.
        algorithm: one of `ALGORITHMS`; the key file's own wins.
        secret: in base64; or the text of a file as tsig-keygen writes it.
        where: the setting, for the fault.

    Raises:
        ConfigError: it is no such key.
    """
    if not (name or secret):
        return None
    if found := _KEY_FILE.fullmatch(secret):
        kind, value = _ALGORITHM.search(secret), _SECRET.search(secret)
        name, algorithm = found[1], kind[1] if kind else algorithm
        secret = value[1] if value else ""
    fault = None
    if not name:
        fault = "key_name is missing", "name the key as the name server calls it"
    elif algorithm not in ALGORITHMS:
        fault = f"algorithm {algorithm!r} is not known", f"one of {', '.join(ALGORITHMS)}"
    elif not (octets := _base64(secret)):
        fault = "the secret is not base64", "take it as tsig-keygen prints it"
    if fault is not None:
        raise ConfigError((Fault(where, *fault),))
    return dns.tsig.Key(dns.name.from_text(name), octets, dns.name.from_text(algorithm))


def _base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64("".join(text.split()).encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""


def _rdata(text: str) -> dns.rdtypes.ANY.TXT.TXT:
    strings = [part.encode("ascii") for part in split_strings(text)]
    return dns.rdtypes.ANY.TXT.TXT(dns.rdataclass.IN, dns.rdatatype.TXT, strings)


def _texts(rrset: dns.rrset.RRset | None) -> tuple[str, ...]:
    if rrset is None:
        return ()
    joined = (b"".join(cast("TXT", rdata).strings) for rdata in rrset)
    return tuple(sorted(octets.decode("utf-8", "backslashreplace") for octets in joined))
