"""A crowd at the door: what it costs, and what it leaves to the others.

`python -m tests.bench.load`. 2,000 idle connections, half of them over TLS, and 200 clients that send
a few octets a second within DATA, beside normal traffic of 20 sessions: smtp-source → relay →
smtp-sink, all on loopback, about half a minute for each event loop. Latency is what one more
client sees, which sends a message now and then in lock-step. At the end everybody has to be
answered and every message to be at the sink, or the exit status is 1.

Memory is what is resident, without the kernel's socket buffers.
"""

from __future__ import annotations

import argparse
import os
import resource
import smtplib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.__main__ import FROM, TO, Bench
from tests.bench.crowd import CrowdProcess
from tests.bench.workload import Workload, message
from tests.fakes.certificates import Certificates
from tests.fakes.processes import LOOPBACK, Program, free_port, port_accepts, smtp_greets, wait_until

IDLE_PLAIN, IDLE_TLS, SLOW = 1_000, 1_000, 200
NORMAL_SESSIONS = 20
NEEDED_FILES = 6_000  # of this process, and so of those that it starts
PROBE_PAUSE_SECONDS = 0.02
MAX_RESIDENT_MIB = {"uvloop": 256, "asyncio": 512}  # with the whole crowd, during normal traffic

WITHOUT_UVLOOP = "import sys; sys.modules['uvloop'] = None; from relay.cli import main; main()"
SETTINGS = """
[[listeners]]
address = "{host}:{port}"
[[listeners]]
address = "{host}:{tls_port}"
tls = "implicit"
certificate_file = "{certificate}"
key_file = "{key}"
[limits]
max_connections = 3000
max_connections_per_address = 3000
min_data_bytes_per_second = 0  # the slow ones would be sent away after half a minute
[upstreams.0]
"""


@dataclass(frozen=True)
class Traffic:
    """Normal traffic, measured once.

    Attributes:
        per_second: messages of all sessions together.
        median_ms, p99_ms: how long one more client waits for a message to be taken.
        resident_mib: the relay's memory afterwards.
    """

    per_second: float
    median_ms: float
    p99_ms: float
    resident_mib: float


class LoadBench(Bench):
    """A relay with a second listener for TLS, and the load on it."""

    def __init__(self, folder: Path, loop: str) -> None:
        """Describe the programs.

        Args:
            folder: for keys, settings and output.
            loop: "asyncio" or "uvloop".
        """
        super().__init__(folder)
        self.tls_port = free_port()
        self.sent = 0
        self._as_module = ["-c", WITHOUT_UVLOOP] if loop == "asyncio" else ["-m", "relay"]
        self.relay = self._relay()
