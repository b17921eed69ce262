"""`make bench-peers`: ours and other relays that sign, on the same workloads in the same run.

They take turns, so that whatever else the machine does meets all of them. Each has to hand out
messages that are signed and valid before and after each run (Postfix alone signs nothing). What
is missing is installed first, and named: Debian packages (as root), Haraka by npm. How each is
configured is to be seen in tests/bench/peers.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.bench.__main__ import arguments_for, chosen_workloads, publish, relays, tell
from tests.bench.contender import Contender, Ground, Nothing, make_ground
from tests.bench.contest import hold
from tests.bench.peers.haraka import Haraka
from tests.bench.peers.install import haraka_folder, install_packages
from tests.bench.peers.postfix import Postfix, PostfixOpenDkim, PostfixRspamd

POSTFIXES = {"postfix": Postfix, "opendkim": PostfixOpenDkim, "rspamd": PostfixRspamd}
HARAKA = "haraka"


def peers(names: list[str], ground: Ground) -> list[Contender]:
    """Those that were asked for and can run here; of the others it is told why not."""
    found: list[Contender] = []
    for name in names:
        if name == HARAKA:
            if folder := haraka_folder():
                found.append(Haraka(ground, folder))
            else:
                tell(f"{Haraka.name} is left out: it cannot be installed by npm")
        elif reason := POSTFIXES[name].missing():
            tell(f"{POSTFIXES[name].name} is left out: {reason}")
        else:
            found.append(POSTFIXES[name](ground))
    return found


def main() -> None:
    """Install, run, print."""
    parser = arguments_for("make bench-peers ARGS=", __doc__)
    known = [*POSTFIXES, HARAKA]
    parser.add_argument("--peers", default=",".join(known), help="separated by commas")
    parser.set_defaults(workers="1,2")
    arguments = parser.parse_args()
    names = arguments.peers.split(",")
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"no such peer: {', '.join(unknown)}; there are {', '.join(known)}")
    install_packages()
    with tempfile.TemporaryDirectory(prefix="dkim-relay-bench-") as folder:
        ground = make_ground(Path(folder))
        # Users of the peers have to pass through.
        ground.folder.chmod(0o755)
        ours = relays(arguments, ground)
        contenders: list[Contender] = [Nothing(ground), *ours, *peers(names, ground)]
        results = hold(contenders, chosen_workloads(arguments), runs=arguments.runs, tell=tell)
    publish(results, arguments)


if __name__ == "__main__":
    main()
