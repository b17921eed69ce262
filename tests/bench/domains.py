"""How the keyring bears many domains: `python -m tests.bench.domains 20000`.

Prints the time from nothing to the first signed message, what reading all the others in the
background costs, memory, and a look-up with one domain and with all of them.

200 RSA keys of 2048 bits are made and copied to all domains, because making 20,000 takes hours;
every copy is a file of its own, and is read, proven and held as if it were the only one.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import sys
import tempfile
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relay.core.dkim.algorithm import SigningKey
from relay.keyring.keyring import Keyring
from relay.keyring.loading import KeySource
from relay.keyring.watch import KeyWatch

_DISTINCT_KEYS = 200
_DIGEST = bytes(32)
_LOOKUPS = 100_000


class _OpenGate:
    """A gate that is always open."""

    def is_open(self, key: SigningKey) -> bool:
        """Yes."""
        return True

    def detail(self, key: SigningKey) -> str:
        """Nothing."""
        return ""


def fill(keys_dir: Path, domains: int) -> None:
    """Give d00000.example and its successors a key each, selector s1."""
    made = []
    for _ in range(min(domains, _DISTINCT_KEYS)):
        key = rsa.generate_private_key(65537, 2048)
        made.append(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for number in range(domains):
        folder = keys_dir / f"d{number:05}.example"
        folder.mkdir(parents=True, mode=0o700)
        path = folder / "s1.pem"
        path.touch(0o600)
        path.write_bytes(made[number % len(made)])


def _resident_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


async def _lookup_microseconds(keyring: Keyring, domain: str) -> float:
    await keyring.signers(domain)
    started = time.perf_counter()
    for _ in range(_LOOKUPS):
        await keyring.signers(domain)
    return (time.perf_counter() - started) / _LOOKUPS * 1e6


async def _measure(keys_dir: Path, domains: int) -> None:
    gc.collect()
    before = _resident_kib()
    started = time.perf_counter()
    keyring = Keyring(KeySource(keys_dir, {}), gate=_OpenGate())
    watch = KeyWatch(keyring, every_seconds=10)
    await watch.look()
    listed = time.perf_counter()
    last = f"d{domains - 1:05}.example"
    (key,) = await keyring.signers(last)
    await key.sign(_DIGEST)
    signed = time.perf_counter()
    print(f"domains                                 {domains}")
    print(f"folders listed after                    {listed - started:.3f} s")
    print(f"first signature, key read and proven    {signed - started:.3f} s")
    print(f"memory then                             {(_resident_kib() - before) / 1024:.0f} MiB")
    cpu = time.process_time()
    await watch.load(domains)
    spent = time.process_time() - cpu
    each = spent / domains * 1e3
    print(f"all keys read and proven, CPU           {spent:.1f} s ({each:.2f} ms each)")
    gc.collect()
    print(f"memory then                             {(_resident_kib() - before) / 1024:.0f} MiB")
    print(f"keys, faults                            {len(keyring.keys)}, {len(keyring.faults)}")
    cpu = time.process_time()
    await watch.look()
    print(f"one look for changes, CPU               {time.process_time() - cpu:.2f} s")
    lookup = await _lookup_microseconds(keyring, last)
    print(f"look-up                                 {lookup:.2f} µs")
    for key in keyring.keys:
        await key.sign(_DIGEST)
    gc.collect()
    print(f"memory once every key has signed        {(_resident_kib() - before) / 1024:.0f} MiB")


def main() -> None:
    """Measure one domain, then as many as were asked for."""
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    for domains in (1, most):
        keys_dir = Path(tempfile.mkdtemp(prefix="domains-"))
        try:
            fill(keys_dir, domains)
            asyncio.run(_measure(keys_dir, domains))
            print()
        finally:
            shutil.rmtree(keys_dir)


if __name__ == "__main__":
    main()
