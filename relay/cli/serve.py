"""`dkim-relay serve`: run the relay until SIGTERM or SIGINT. Arguments and output only."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import click

from relay.cli.options import Unusable, config_option, load_or_exit
from relay.config import load
from relay.config.settings import Config
from relay.core.errors import ConfigError, RelayError
from relay.service.notify import Notifier


@click.command()
@config_option
@click.option("--worker", type=int, hidden=True, help="The channel to the process that began us.")
def serve(config_file: Path | None, worker: int | None) -> None:
    """Run the relay: take mail, sign it, pass it to the upstream.

    SIGHUP reads the settings, keys, certificates and secrets anew; SIGTERM stops.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    try:
        run_loop(_worker(worker) if worker is not None else _serving(config_file))
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc
    except RelayError as exc:
        raise click.ClickException(str(exc)) from exc
    except ExceptionGroup as exc:
        raise click.ClickException("it failed; the log says how") from exc


async def _worker(channel: int) -> None:
    from relay.service.worker import serve_as_worker

    await serve_as_worker(socket.socket(fileno=channel))


def _serving(config_file: Path | None) -> Coroutine[Any, Any, None]:
    config = load_or_exit(config_file)
    notifier = Notifier(os.environ)
    read = partial(load, config_file, os.environ)
    # Of the two ways only one is imported: each has modules that the other does not need.
    if (processes := _processes(config)) == 1:
        from relay.service.alone import serve_alone

        return serve_alone(config, read, notifier)
    from relay.service.together import serve_together

    return serve_together(config, read, notifier, processes=processes)


def _processes(config: Config) -> int:
    """As many workers as set, or one for each CPU, as far as there are connections for them."""
    if isinstance(config.service.workers, int):
        return config.service.workers
    from relay.service.cpus import usable_cpus

    return min([usable_cpus(), *(upstream.max_connections for upstream in config.upstreams)])


def run_loop(main: Coroutine[Any, Any, Any]) -> Any:
    """Run on uvloop where it is installed, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
