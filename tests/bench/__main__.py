"""`make bench`: smtp-source → relay → smtp-sink, and what a message costs.

Time runs from the start of the load until the sink has counted every message; CPU is what all
processes of the relay used, in milliseconds per message, which on a shared machine is the figure
to trust. Before and after each run messages have to come out signed and valid. Each figure is the
median of the runs. Tables go to standard output and with the figures and a plot into a folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.contender import LOOPS, ROOT, Contender, Ground, Nothing, Relay, make_ground
from tests.bench.contest import Results, hold
from tests.bench.profile import Profile
from tests.bench.report import markdown, write
from tests.bench.tools import draw
from tests.bench.workload import WORKLOADS, Workload


def arguments_for(program: str, about: str | None) -> argparse.ArgumentParser:
    """The options that all contests have."""
    parser = argparse.ArgumentParser(prog=program, description=about)
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="separated by commas")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the messages")
    parser.add_argument("--workers", default="1", help="of ours: one number, or several: 1,2")
    parser.add_argument("--loop", choices=[*LOOPS, "both"], default="uvloop", help="of ours")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "bench", help="a folder")
    parser.add_argument("--no-plot", action="store_true")
    return parser


def chosen_workloads(arguments: argparse.Namespace) -> list[Workload]:
    """The workloads that were asked for, at their scale."""
    names = arguments.workloads.split(",")
    if unknown := [name for name in names if name not in WORKLOADS]:
        sys.exit(f"no such workload: {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    return [WORKLOADS[name].scaled(arguments.scale) for name in names]


def relays(
    arguments: argparse.Namespace, ground: Ground, python_options: Sequence[str] = ()
) -> list[Relay]:
    """Ours, once for each event loop and number of workers that was asked for."""
    loops = list(LOOPS) if arguments.loop == "both" else [arguments.loop]
    found = []
    for workers in map(int, arguments.workers.split(",")):
        for loop in loops:
            relay = Relay(ground, loop=loop, workers=workers, python_options=python_options)
            told = relay.unusable()
            if loop != "uvloop" and workers != 1:
                told = "workers choose their event loop themselves"
            if told:
                tell(f"{relay.name} is left out: {told}")
            else:
                found.append(relay)
    return found


def publish(results: Results, arguments: argparse.Namespace) -> None:
    """Print and write what came out; the end of the program, with status 1 when ours failed."""
    table, data = write(results, arguments.out)
    print(markdown(results))
    if not arguments.no_plot and draw(data, arguments.out / "bench.png"):
        print(f"{arguments.out / 'bench.png'}", file=sys.stderr)
    print(f"{table}\n{data}", file=sys.stderr)
    sys.exit(1 if any(name.startswith("dkim-relay") for name in results.failures) else 0)


def tell(line: str) -> None:
    """What goes on, for whoever waits."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Run the workloads that were asked for."""
    parser = arguments_for("make bench ARGS=", __doc__)
    parser.add_argument("--profile", action="store_true", help="of each workload; figures are off")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dkim-relay-bench-") as name:
        ground = make_ground(Path(name))
        profile = Profile(arguments.out) if arguments.profile else None
        options = profile.python_options if profile else ()
        contenders: list[Contender] = [Nothing(ground), *relays(arguments, ground, options)]
        results = hold(
            contenders,
            chosen_workloads(arguments),
            runs=arguments.runs,
            tell=tell,
            profiling=profile.of if profile else None,
        )
    publish(results, arguments)


if __name__ == "__main__":
    main()
