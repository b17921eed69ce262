"""Whether a message costs more when there is more of something: `python -m tests.bench.growth`.

CPU of the relay for a small message against the number of domains, of idle connections beside, of
messages served so far (with the memory after each lot: a leak would show), of header fields, and of
recipients. Each line is a relay of its own between load generator and sink.
"""

from __future__ import annotations

import argparse
import resource
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.accounting import Account
from tests.bench.bench import Bench, say
from tests.bench.domains import fill
from tests.bench.postfix_tools import FROM, TO
from tests.bench.workload import WORKLOADS, Workload, message
from tests.fakes.processes import LOOPBACK

NEEDED_FILES = 6_000
SESSIONS = 20
SENDERS = 25  # domains that send, where there are so many
AT_REST_CPU_SECONDS, AT_REST_SECONDS = 0.02, 0.5
LIMITS = {
    "DKIM_RELAY_LIMITS__MAX_CONNECTIONS": "5000",
    "DKIM_RELAY_LIMITS__MAX_CONNECTIONS_PER_ADDRESS": "5000",
    "DKIM_RELAY_LIMITS__MAX_HEADER_FIELDS": "2000",
    "DKIM_RELAY_LIMITS__MAX_RECIPIENTS": "200",
}


def small(messages: int) -> Workload:
    """So many small messages."""
    return Workload("small", 2048, "plain", SESSIONS, max(SESSIONS, messages))


def of_domains(folder: Path, messages: int, counts: Sequence[int]) -> None:
    """Mail from 25 of them in turn; with one domain, 25 times from that one."""
    say("\n| domains | CPU ms per message | RSS MiB | ready after s |\n|---:|---:|---:|---:|")
    for count in counts:
        below = folder / f"domains-{count}"
        below.mkdir()
        keys_dir = below / "many"
        fill(keys_dir, count)
        bench = Bench(below, settings={"DKIM_RELAY_KEYS_DIR": str(keys_dir)})
        (keys_dir / "example.com").symlink_to(bench.ground.keys_dir / "example.com")
        with bench.running() as account:
            at_rest(account)
            senders = [f"user@d{i * count // SENDERS:05}.example" for i in range(SENDERS)]
            send_from(bench, below, senders, SESSIONS)  # their keys are read
            cpu = account.cpu_seconds()
            sent = send_from(bench, below, senders, max(SESSIONS, messages // SENDERS))
            used = (account.cpu_seconds() - cpu) * 1000 / sent
            say(f"| {count} | {used:.3f} | {account.rss_mib():.0f} | {bench.ready_seconds:.1f} |")


def send_from(bench: Bench, folder: Path, senders: Sequence[str], each: int) -> int:
    """Send from each of them in turn; how many messages it was."""
    before = bench.count()
    for sender in senders:
        path = folder / f"{sender}.eml"
        path.write_text(message(WORKLOADS["small"], sender=sender, recipient=TO), "ascii")
        options = ["-d", "-s", str(SESSIONS), "-m", str(each)]
        bench.source.send_file(path, bench.port, *options, sender=sender)
    bench.wait_count(before + each * len(senders))
    return each * len(senders)


def of_connections(folder: Path, messages: int, counts: Sequence[int]) -> None:
    """Clients that have said EHLO and then nothing, beside 20 that send."""
    say("\n| idle connections | CPU ms per message | KiB for each |\n|---:|---:|---:|")
    for count in counts:
        below = folder / f"connections-{count}"
        below.mkdir()
        bench = Bench(below, settings=LIMITS)
        with ExitStack() as stack:
            account = stack.enter_context(bench.running())
            bench.run(small(messages // 10))
            before = account.rss_mib()
            for _ in range(count):
                idle = stack.enter_context(socket.create_connection((LOOPBACK, bench.port)))
                idle.recv(512)
                idle.sendall(b"EHLO idle.example.com\r\n")
                idle.recv(1024)
            each = (account.rss_mib() - before) * 1024 / count if count else 0.0
            say(f"| {count} | {bench.run(small(messages)).cpu_ms:.3f} | {each:.1f} |")


def of_served(folder: Path, messages: int, lots: int) -> None:
    """Lots of messages one after the other, to one relay."""
    say("\n| messages served | CPU ms per message | RSS MiB |\n|---:|---:|---:|")
    bench = Bench(folder)
    with bench.running() as account:
        for lot in range(1, lots + 1):
            cost = bench.run(small(messages))
            say(f"| {lot * messages} | {cost.cpu_ms:.3f} | {account.rss_mib():.1f} |")


def of_fields(folder: Path, messages: int, counts: Sequence[int]) -> None:
    """Header fields besides the usual ones."""
    text = message(WORKLOADS["small"], sender=FROM, recipient=TO)

    def options(count: int) -> tuple[str, list[str]]:
        more = "".join(f"X-Field-{i}: and what it says\n" for i in range(count))
        return more + text, []

    vary(folder, "header fields more", messages, counts, options)


def of_recipients(folder: Path, messages: int, counts: Sequence[int]) -> None:
    """Recipients of one message."""
    text = message(WORKLOADS["small"], sender=FROM, recipient=TO)
    vary(folder, "recipients", messages, counts, lambda count: (text, ["-r", str(count)]))


def vary(
    folder: Path,
    what: str,
    messages: int,
    counts: Sequence[int],
    options: Callable[[int], tuple[str, list[str]]],
) -> None:
    """One relay; for each count a message, and options of the load generator."""
    say(f"\n| {what} | CPU ms per message | µs for each more |\n|---:|---:|---:|")
    bench = Bench(folder, settings=LIMITS)
    with bench.running() as account:
        bench.run(small(messages // 4))
        first: tuple[int, float] | None = None
        for count in counts:
            text, further = options(count)
            path = folder / f"{count}.eml"
            path.write_text(text, "ascii")
            before, cpu = bench.count(), account.cpu_seconds()
            sending = ["-d", "-s", str(SESSIONS), "-m", str(messages), *further]
            bench.source.send_file(path, bench.port, *sending)
            bench.wait_count(before + messages)
            used = (account.cpu_seconds() - cpu) * 1000 / messages
            first = first or (count, used)
            more = (used - first[1]) * 1000 / (count - first[0]) if count > first[0] else 0.0
            say(f"| {count} | {used:.3f} | {more:.1f} |")


def at_rest(account: Account) -> None:
    """Wait until the processes have nothing more to do, such as reading keys."""
    used = account.cpu_seconds()
    while True:
        time.sleep(AT_REST_SECONDS)
        before, used = used, account.cpu_seconds()
        if used - before <= AT_REST_CPU_SECONDS:
            return


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    kinds = ("domains", "connections", "served", "fields", "recipients")
    parser.add_argument("--of", default=",".join(kinds), help="separated by commas")
    parser.add_argument("--messages", type=int, default=5000, help="in each measurement")
    parser.add_argument("--domains", type=int, default=20_000)
    parser.add_argument("--idle", type=int, default=2_000)
    parser.add_argument("--served", type=int, default=100_000, help="in lots of a tenth")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(NEEDED_FILES, hard), hard))
    measure: dict[str, Callable[[Path], None]] = {
        "domains": lambda f: of_domains(f, arguments.messages, (1, arguments.domains)),
        "connections": lambda f: of_connections(f, arguments.messages, (0, arguments.idle)),
        "served": lambda f: of_served(f, arguments.served // 10, 10),
        "fields": lambda f: of_fields(f, arguments.messages, (10, 100, 1000)),
        "recipients": lambda f: of_recipients(f, arguments.messages, (1, 10, 100)),
    }
    for kind in arguments.of.split(","):
        with tempfile.TemporaryDirectory(prefix="dkim-relay-growth-") as name:
            Path(name).chmod(0o755)  # the sink runs as somebody else
            measure[kind](Path(name))


if __name__ == "__main__":
    main()
