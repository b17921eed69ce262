"""`python -m tests.bench.signing`: what one signature costs, against dkimpy in the same run.

"Whole sign" is what the relay does for one message: octets in blocks of 64 KiB into the reader,
body hash, fields, draft, RSA-2048, seal. Body hash (with canonicalization) and header
canonicalization (with the split into fields; all of them) are parts of it. Best of several, one
core, milliseconds.
"""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Callable
from functools import partial

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relay.core.dkim.algorithm import Algorithm, sign_digest
from relay.core.dkim.canonical import BodyHash, relaxed_field
from relay.core.dkim.sign import draft, fields_to_sign
from relay.core.dkim.tags import TagFault, parse_tags
from relay.core.errors import SyntaxFault
from relay.core.mailboxes import parse_mailboxes
from relay.core.message import Message, new_field, parse_header
from relay.core.mime import Entity
from relay.core.reader import MessageReader, ReadLimits
from relay.core.reencode import CannotReencode, reencode
from tests.bench.workload import WORKLOADS, message

BLOCK_OCTETS = 64 * 1024
SECONDS_PER_CASE = 0.7


def best(work: Callable[[], object]) -> float:
    """The shortest of many runs, in milliseconds."""
    shortest, until = float("inf"), time.perf_counter() + SECONDS_PER_CASE
    while time.perf_counter() < until:
        began_at = time.perf_counter()
        work()
        shortest = min(shortest, time.perf_counter() - began_at)
    return shortest * 1000


def whole_sign(octets: bytes, key: rsa.RSAPrivateKey) -> Message:
    """Read, hash, draft, sign, seal."""
    body_hash = BodyHash()
    reader = MessageReader(ReadLimits(), body_sink=body_hash.feed)
    for start in range(0, len(octets), BLOCK_OCTETS):
        reader.feed(octets[start : start + BLOCK_OCTETS])
    read = reader.finish()
    drafted = draft(
        read.fields,
        fields_to_sign(read.fields),
        body_hash.digest(),
        domain="example.com",
        selector="bench",
        algorithm=Algorithm.RSA_SHA256,
        now=1_700_000_000,
    )
    return read.prepend(drafted.seal(sign_digest(key, drafted.digest)))


def dkimpy_sign(octets: bytes, pem: bytes) -> bytes:
    """The same message and canonicalization by dkimpy."""
    relaxed = (b"relaxed", b"relaxed")
    signed: bytes = dkim.sign(octets, b"bench", b"example.com", pem, canonicalize=relaxed)
    return signed


def longest_step(octets: bytes) -> float:
    """The longest that one block holds the loop, in milliseconds; the shortest of five tries."""

    def once() -> float:
        body_hash = BodyHash()
        reader = MessageReader(ReadLimits(), body_sink=body_hash.feed)
        longest = 0.0
        for start in range(0, len(octets), BLOCK_OCTETS):
            block = octets[start : start + BLOCK_OCTETS]
            began_at = time.perf_counter()
            reader.feed(block)
            longest = max(longest, time.perf_counter() - began_at)
        return longest * 1000

    return min(once() for _ in range(5))


def peak_over_message(octets: bytes, key: rsa.RSAPrivateKey) -> float:
    """Memory at its peak while signing, less the message itself, in MiB."""
    tracemalloc.start()
    signed = whole_sign(octets, key)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (peak - signed.size_octets) / 2**20


def main() -> None:
    """Print the table."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    bare = best(lambda: sign_digest(key, bytes(32)))
    print(f"bare RSA-2048 {bare:.3f} ms; one core")
    print(
        "| body | body hash ms | header canonicalization ms | whole sign ms | of bare RSA "
        "| dkimpy ms | ratio | longest step ms | MiB over |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in ("small", "text100k", "medium", "text5m", "large"):
        octets = _octets(name)
        header, _, body = octets.partition(b"\r\n\r\n")
        hashing = best(partial(_hash, body))
        canonicalizing = best(partial(_fields, header + b"\r\n"))
        ours = best(partial(whole_sign, octets, key))
        theirs = best(partial(dkimpy_sign, octets, pem))
        print(
            f"| {name} {len(octets)} | {hashing:.3f} | {canonicalizing:.4f} "
            f"| {ours:.3f} | {ours / bare:.2f} | {theirs:.2f} "
            f"| {theirs / ours:.1f} | {longest_step(octets):.2f} "
            f"| {peak_over_message(octets, key):.2f} |"
        )
    for name, (work, unit, count) in HOSTILE.items():
        once, twice = (best(partial(work, unit * n)) for n in (count, 2 * count))
        print(f"hostile {name}: {once:.2f} ms, doubled {twice:.2f} ms: {twice / once:.2f} x")


def _hash(body: bytes) -> bytes:
    hasher = BodyHash()
    for start in range(0, len(body), BLOCK_OCTETS):
        hasher.feed(body[start : start + BLOCK_OCTETS])
    return hasher.digest()


def _fields(section: bytes) -> object:
    fields = parse_header(section, max_fields=1_000_000)
    return [relaxed_field(field) for field in fields]


def _addresses(value: bytes) -> None:
    with contextlib.suppress(SyntaxFault):
        parse_mailboxes(value)


def _tags(octets: bytes) -> None:
    with contextlib.suppress(TagFault):
        parse_tags(b"n=" + octets)


def _parts(body: bytes) -> None:
    header = new_field("Content-Type", "multipart/mixed; boundary=b")
    with contextlib.suppress(CannotReencode):
        reencode(Entity((header,), body), seven_bit=True)


# What is done, the octets that are repeated, and how often; then twice as often.
HOSTILE: dict[str, tuple[Callable[[bytes], object], bytes, int]] = {
    "blanks": (_hash, b"     ", 200_000),
    "line ends": (_hash, b"\r\n", 200_000),
    "blank lines": (_hash, b" \r\n", 200_000),
    "tabs": (_hash, b"\t\t\tx", 200_000),
    "folded field": (lambda octets: _fields(b"X: y\r\n" + octets), b" \t  z\r\n", 5_000),
    "fields": (_fields, b"x:  y\r\n", 5_000),
    "colons": (_fields, b"x::::\r\n", 5_000),
    "quotes": (_addresses, b'"a"', 20_000),
    "open quotes": (_addresses, b'"\\', 20_000),
    "nested comments": (_addresses, b"(", 100_000),
    "angles": (_addresses, b"<", 50_000),
    "commas": (_addresses, b"a@b.c,", 20_000),
    "parts": (_parts, b"--b\r\n\r\nx\xff\r\n", 2_000),
    "long parts": (_parts, b"--b\r\n\r\n\xff" + b" = \t" * 200 + b"\r\n", 200),
    "tags": (_tags, b" \t\r\n=x", 50_000),
}


def _octets(name: str) -> bytes:
    repeated = {"text100k": 100_000, "text5m": 5_000_000}
    workload = WORKLOADS["small" if name in repeated else name]
    text = message(workload, sender="user@example.com", recipient="someone@sink.test")
    octets = text.replace("\n", "\r\n").encode("ascii")
    if name in repeated:
        header, _, body = octets.partition(b"\r\n\r\n")
        return header + b"\r\n\r\n" + body * (repeated[name] // len(body))
    return octets


if __name__ == "__main__":
    main()
