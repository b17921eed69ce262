"""A DNS server on loopback that answers TXT questions from a table.

IO: one thread on a UDP socket. Only what a verifier needs in order to fetch a
key record (RFC 6376 §3.6.2): TXT answers, NXDOMAIN for everything else, EDNS so
that the record of a 4096-bit key fits into one datagram.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.rrset

from tests.fakes.processes import LOOPBACK

TTL_SECONDS = 60
CHUNK_OCTETS = 255  # RFC 1035 §3.3.14: a TXT character-string has a length octet
MAX_DATAGRAM_OCTETS = 4096


class LoopbackDNS:
    """A DNS server for tests; a context manager. Its records may be replaced at any time."""

    def __init__(self, records: Mapping[str, str] | None = None) -> None:
        """Bind the socket.

        Args:
            records: owner name to the one TXT record there, ASCII.
        """
        self.records: Mapping[str, str] = records if records is not None else {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="loopback-dns")

    def __enter__(self) -> Self:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to answer, and close the socket."""
        # An empty datagram is no DNS message: it means the end.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (LOOPBACK, self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            datagram, client = self._socket.recvfrom(MAX_DATAGRAM_OCTETS)
            if not datagram:
                return
            try:
                query = dns.message.from_wire(datagram)
            except dns.exception.DNSException:
                continue
            self._socket.sendto(self._answer(query).to_wire(), client)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(query, recursion_available=True)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        record = self.records.get(name)
        if record is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.TXT:
            octets = record.encode("ascii")
            starts = range(0, len(octets), CHUNK_OCTETS)
            txt = dns.rdtypes.ANY.TXT.TXT(
                dns.rdataclass.IN,
                dns.rdatatype.TXT,
                [octets[start : start + CHUNK_OCTETS] for start in starts],
            )
            answer.answer.append(dns.rrset.from_rdata(question.name, TTL_SECONDS, txt))
        return answer
