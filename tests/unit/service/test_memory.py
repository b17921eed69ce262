"""What the service lets go of when it is ready; in a process of its own, which it changes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from relay.service.memory import _unwritten

PROGRAM = """
import gc, hashlib, ssl
from pathlib import Path
import cryptography.hazmat.primitives.asymmetric.rsa as rsa
from relay.service.memory import settle

def code_kib():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssFile:")[2].split()[0])

before = code_kib()
settle()
after = code_kib()
assert gc.get_freeze_count() > 1000
hashlib.sha256(b"x").digest(), ssl.create_default_context()
rsa.generate_private_key(65537, 1024)
print(before - after)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is let go of")
def test_code_is_let_go_of_and_comes_back() -> None:
    """Less of the libraries is resident, and all of it still works."""
    argv = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1024


SMAPS = """\
55d0-55d4 r-xp 00000000 08:01 42    /usr/bin/a program
Rss:                 100 kB
Anonymous:             0 kB
55d4-55d8 r--p 00004000 08:01 42    /usr/bin/a program
Anonymous:             4 kB
55d8-55dc rw-p 00008000 08:01 42    /usr/bin/a program
Anonymous:             0 kB
55dc-55e0 r--p 00000000 08:01 43    /usr/lib/unwritten.so
Anonymous:             0 kB
7f00-7f10 r-xp 00000000 00:00 0     [vdso]
Anonymous:             0 kB
7f10-7f20 r--p 00000000 00:00 0
Anonymous:             0 kB
VmFlags: rd mr mw me
"""


def test_only_what_was_never_written_to() -> None:
    """Anything else would be lost: the system has it nowhere but in memory."""
    assert list(_unwritten(SMAPS)) == [(0x55D0, 0x55D4), (0x55DC, 0x55E0)]
