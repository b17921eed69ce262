"""Configuration of the peers: the files beside this one, with @names@ filled in."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tests.bench.contender import SELECTOR, Contender
from tests.bench.postfix_tools import DOMAIN

HERE = Path(__file__).parent
_NAME = re.compile(r"@([a-z_]+)@")


def fill(template: str, target: Path, contender: Contender, **further: str) -> None:
    """Write a configuration file.

    Args:
        template: its path below this folder.
        target: what is written.
        contender: whose ports, folder and key are filled in.
        further: names and what they stand for.

    Raises:
        KeyError: the file has a name that stands for nothing.
    """
    known = {
        "folder": str(contender.folder),
        "port": str(contender.port),
        "sink_port": str(contender.ground.sink_port),
        "domain": DOMAIN,
        "selector": SELECTOR,
        "key": str(contender.folder / "key.pem"),
        "cores": str(len(os.sched_getaffinity(0))),
        **further,
    }
    text = (HERE / template).read_text("utf-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_NAME.sub(lambda found: known[found[1]], text), "utf-8")


def copy_key(contender: Contender, target: Path, owner: str | None = None) -> None:
    """Put the key where a peer reads it, as a file of whoever the peer runs as."""
    target.unlink(missing_ok=True)
    target.touch(mode=0o600)
    target.write_bytes(contender.ground.key_path.read_bytes())
    if owner is not None:
        shutil.chown(target, owner)
