"""`dkim-relay serve`: run the relay until SIGTERM or SIGINT. Arguments and output only."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from relay.cli.options import Unusable, config_option, load_or_exit
from relay.config import Config
from relay.core.errors import ConfigError
from relay.observe.log import Log
from relay.service import running


@click.command()
@config_option
def serve(config_file: Path | None) -> None:
    """Run the relay: take mail, sign it, pass it to the upstream."""
    config = load_or_exit(config_file)
    log = Log(level=config.logging.level, form=config.logging.format)
    try:
        run_loop(_serve(config, log))
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc


async def _serve(config: Config, log: Log) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(config, log.emit):
        await stop.wait()


def run_loop(main: Coroutine[Any, Any, Any]) -> Any:
    """Run on uvloop where it is installed, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
