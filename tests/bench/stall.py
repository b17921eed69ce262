"""Whether large messages stop the others: `python -m tests.bench.stall`.

16 sessions send small messages, first alone, then beside 4 sessions that send 25 MB each: p50 and
p99 of the small ones, and the longest that the relay's event loop stood still. Once with every
session sending as fast as it is answered, which is a queue of 16, and once with pauses, where
nothing hides what a message waits for. Load generator, sinks and relay share the machine's cores:
what they take from each other is in the waits.

The large ones go to a sink of their own, by a route: smtp-sink reads on in one session as long as
there is something, and lets all others wait. Sent to one sink without any relay between, small
messages wait some hundred milliseconds for large ones, and hardly at all with two.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.bench.accounting import quantile
from tests.bench.bench import Bench, say
from tests.bench.lag_probe import Lag, read
from tests.bench.latency import on_the_wire
from tests.bench.postfix_tools import FROM, TO, Sink
from tests.bench.workload import WORKLOADS, Workload
from tests.fakes.processes import LOOPBACK, Program, free_port

SMALL_SESSIONS, LARGE_SESSIONS = 16, 4
LARGE_OCTETS = 25_000_000
PAUSE_SECONDS = 0.05
LARGE_SENDER = "large@example.com"
MAX_RATIO, MAX_STALL_MS = 5.0, 20.0
SETTINGS = """
[[upstreams]]
name = "small"
url = "smtp://{host}:{small_port}"
tls = "none"

[[upstreams]]
name = "large"
url = "smtp://{host}:{large_port}"
tls = "none"

[[routes]]
name = "large"
mail_from = ["{sender}"]
upstreams = ["large"]

[[routes]]
name = "small"
upstreams = ["small"]
"""


@dataclass(frozen=True)
class Phase:
    """A stretch of time: what the small messages waited, how late the loop was."""

    waits_ms: list[float]
    lag: Lag


async def session(
    port: int, wire: bytes, pause_seconds: float, is_over: Callable[[], bool]
) -> list[float]:
    """Send messages in lock-step until it is over; how long each took, in milliseconds."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)

    async def ask(octets: bytes) -> None:
        writer.write(octets)
        while (line := await reader.readline())[3:4] == b"-":
            pass
        if line[:1] not in (b"2", b"3"):
            raise RuntimeError(f"the reply was {line!r}")

    waits_ms = []
    await ask(b"")
    await ask(b"EHLO client.example.com\r\n")
    while not is_over():
        began_at = time.perf_counter()
        await ask(b"MAIL FROM:<%b>\r\n" % FROM.encode())
        await ask(b"RCPT TO:<%b>\r\n" % TO.encode())
        await ask(b"DATA\r\n")
        await ask(wire)
        waits_ms.append((time.perf_counter() - began_at) * 1000)
        await asyncio.sleep(pause_seconds)
    await ask(b"QUIT\r\n")
    writer.close()
    return waits_ms


async def small_ones(port: int, pause_seconds: float, is_over: Callable[[], bool]) -> list[float]:
    """All small sessions at once; begun one after the other, so that pauses do not coincide."""
    wire = on_the_wire(WORKLOADS["small"])
    async with asyncio.TaskGroup() as tasks:
        started = []
        for _ in range(SMALL_SESSIONS):
            started.append(tasks.create_task(session(port, wire, pause_seconds, is_over)))
            await asyncio.sleep(pause_seconds / SMALL_SESSIONS)
    return [wait for task in started for wait in task.result()]


def measure(
    bench: Bench, lags: Path, pause_seconds: float, large: Workload | None, seconds: float
) -> Phase:
    """Small messages for so many seconds, or for as long as the large ones take."""
    began_at = time.perf_counter()
    count = bench.count()
    is_sent = threading.Event()

    def load() -> None:
        try:
            if large is not None:
                bench.source.send(large, bench.port, sender=LARGE_SENDER)
        finally:
            is_sent.set()

    def is_over() -> bool:
        if large is not None:
            return is_sent.is_set()
        return time.perf_counter() > began_at + seconds

    loader = threading.Thread(target=load)
    loader.start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        waits_ms = runner.run(small_ones(bench.port, pause_seconds, is_over))
    loader.join()
    bench.wait_count(count + len(waits_ms))
    return Phase(waits_ms, read(lags, from_at=began_at, to_at=time.perf_counter()))


def probed(bench: Bench) -> tuple[Path, Sink]:
    """Have the relay run with a clock in its loop, and the large messages go their own way.

    Returns:
        What the clock writes, and the sink of the large ones.
    """
    relay, large_sink = bench.relay, Sink(bench.folder, free_port(), name="large-sink")
    file, lags = bench.folder / "relay.toml", bench.folder / "lags"
    file.write_text(
        SETTINGS.format(
            host=LOOPBACK,
            small_port=bench.sink_port,
            large_port=large_sink.port,
            sender=LARGE_SENDER,
        )
    )
    argv = [sys.executable, "-m", "tests.bench.lag_probe", str(lags), "serve", "-c", str(file)]
    given = relay.environment or {}
    environment = {name: text for name, text in given.items() if "_UPSTREAM__" not in name}
    bench.relay = Program(argv, folder=relay.folder, name="relay", environment=environment)
    return lags, large_sink


def main() -> None:
    """Measure and print; exit 1 when a bound of the project was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.stall", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the quiet phases")
    parser.add_argument("--messages", type=int, default=40, help="of 25 MB, in each loaded phase")
    arguments = parser.parse_args()
    large = Workload("25 MB", LARGE_OCTETS, "base64", LARGE_SESSIONS, arguments.messages)
    is_kept = True
    with tempfile.TemporaryDirectory(prefix="dkim-relay-stall-") as name:
        bench = Bench(Path(name))
        lags, large_sink = probed(bench)
        say(
            "| small messages | quiet p50 / p99 ms | loaded p50 / p99 ms | p99 ratio "
            "| longest stall ms, quiet / loaded | of it own CPU |"
        )
        say("|---|---:|---:|---:|---:|---:|")
        with large_sink, bench.running():
            measure(bench, lags, 0.0, None, 1.0)  # code, pools and caches get ready
            for what, pause in (("one after the other", 0.0), ("with pauses", PAUSE_SECONDS)):
                quiet = measure(bench, lags, pause, None, arguments.seconds)
                loaded = measure(bench, lags, pause, large, arguments.seconds)
                is_kept = tell(what, quiet, loaded) and is_kept
            large_sink.wait_count(2 * large.messages)
    sys.exit(0 if is_kept else 1)


def tell(what: str, quiet: Phase, loaded: Phase) -> bool:
    """A row of the table; whether the bounds were kept."""
    p99 = [quantile(phase.waits_ms, 0.99) for phase in (quiet, loaded)]
    p50 = [quantile(phase.waits_ms, 0.5) for phase in (quiet, loaded)]
    ratio = p99[1] / p99[0]
    say(
        f"| {what}, {len(quiet.waits_ms)} and {len(loaded.waits_ms)} "
        f"| {p50[0]:.1f} / {p99[0]:.1f} | {p50[1]:.1f} / {p99[1]:.1f} | {ratio:.1f} "
        f"| {quiet.lag.late_ms:.1f} / {loaded.lag.late_ms:.1f} "
        f"| {quiet.lag.cpu_ms:.1f} / {loaded.lag.cpu_ms:.1f} |"
    )
    return ratio <= MAX_RATIO and loaded.lag.cpu_ms <= MAX_STALL_MS


if __name__ == "__main__":
    main()
