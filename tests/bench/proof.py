"""Whether what came out is signed and valid: `python -m tests.bench.proof KEY.pem FOLDER`.

IO. In a process of its own, so that nothing the relay has in memory is shared with the one that
measures it. Every message in the folder has to carry one signature of the key, relaxed/relaxed,
rsa-sha256, that dkimpy finds valid.
"""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path

_SIGNATURE = re.compile(
    rb"^dkim-signature:.*?\r\n(?![ \t])", re.IGNORECASE | re.MULTILINE | re.DOTALL
)
_WANTED = {b"a": b"rsa-sha256", b"c": b"relaxed/relaxed"}


class UnprovenError(RuntimeError):
    """A message came out unsigned, or its signature is not valid: figures would mean nothing."""


def prove(key_path: Path, folder: Path) -> None:
    """Verify every message in the folder.

    Args:
        key_path: the private key that signs, PEM.
        folder: has a file for each message, as smtp-sink stores it.

    Raises:
        UnprovenError: one is not signed and valid, or there is none.
    """
    argv = [sys.executable, "-m", "tests.bench.proof", str(key_path), str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UnprovenError(f"not signed and valid: {done.stdout}{done.stderr}")


def fault(stored: bytes, record: bytes) -> str:
    """What is wrong with a message, or nothing.

    Args:
        stored: as smtp-sink writes it: fields of its own in front, LF line ends.
        record: the TXT record of the key.
    """
    import dkim

    octets = stored.replace(b"\n", b"\r\n")
    signatures = _SIGNATURE.findall(octets.partition(b"\r\n\r\n")[0] + b"\r\n")
    if len(signatures) != 1:
        return f"{len(signatures)} signatures"
    tags = dict(
        part.strip().split(b"=", 1)
        for part in signatures[0].partition(b":")[2].split(b";")
        if b"=" in part
    )
    wrong = [
        f"{name!r} is {tags.get(name)!r}" for name in _WANTED if tags.get(name) != _WANTED[name]
    ]
    if wrong:
        return ", ".join(wrong)
    is_valid = dkim.verify(octets, dnsfunc=lambda _name, timeout=0: record)
    return "" if is_valid else "dkimpy finds the signature invalid"


def record_of(key_path: Path) -> bytes:
    """The TXT record of a private key."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key(key_path.read_bytes(), None).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)


def main() -> None:
    """Verify; exit 1 when anything is wrong, or there is nothing."""
    record, paths = record_of(Path(sys.argv[1])), sorted(Path(sys.argv[2]).iterdir())
    faults = {path.name: told for path in paths if (told := fault(path.read_bytes(), record))}
    for name, told in faults.items():
        print(f"{name}: {told}")
    if faults or not paths:
        sys.exit("" if paths else "nothing was stored")


if __name__ == "__main__":
    main()
