"""`python -m tests.bench.signing`: what one signature costs, against dkimpy in the same run.

"Whole sign" is what the relay does for one message: octets in blocks of 64 KiB into the reader,
body hash, fields, draft, RSA-2048, seal. Best of several, one core, milliseconds.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from functools import partial

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relay.core.dkim.algorithm import Algorithm, sign_digest
from relay.core.dkim.canonical import BodyHash
from relay.core.dkim.sign import draft, fields_to_sign
from relay.core.message import Message, MessageReader, ReadLimits
from tests.bench.workload import WORKLOADS, message

BLOCK_OCTETS = 64 * 1024
SECONDS_PER_CASE = 1.5


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
    print("| body | whole sign ms | of bare RSA | dkimpy ms | ratio | longest step ms | MiB over |")
    print("|---|---|---|---|---|---|---|")
    for name in ("small", "text100k", "medium", "text5m", "large"):
        octets = _octets(name)
        ours = best(partial(whole_sign, octets, key))
        theirs = best(partial(dkimpy_sign, octets, pem))
        print(
            f"| {name} {len(octets)} | {ours:.3f} | {ours / bare:.2f} | {theirs:.2f} "
            f"| {theirs / ours:.1f} | {longest_step(octets):.2f} "
            f"| {peak_over_message(octets, key):.2f} |"
        )
    for name, unit in HOSTILE.items():
        once, twice = (best(partial(_hash, unit * n)) for n in (N_HOSTILE, 2 * N_HOSTILE))
        print(f"hostile {name}: {once:.2f} ms, doubled {twice:.2f} ms: {twice / once:.2f} x")


N_HOSTILE = 200_000
HOSTILE = {"blanks": b"     ", "line ends": b"\r\n", "blank lines": b" \r\n", "tabs": b"\t\t\tx"}


def _hash(body: bytes) -> bytes:
    hasher = BodyHash()
    for start in range(0, len(body), BLOCK_OCTETS):
        hasher.feed(body[start : start + BLOCK_OCTETS])
    return hasher.digest()


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
