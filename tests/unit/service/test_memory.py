"""What the service lets go of when it is ready; in a process of its own, which it changes."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
