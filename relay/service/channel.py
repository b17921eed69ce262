"""What supervisor and worker say to each other: JSON, a line each, on a pair of sockets. IO.

Whoever finds the other end closed knows that the other process has ended. Secrets of the settings
pass here and nowhere else: nobody but these two processes has the sockets.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from typing import Any, Final, Self

import orjson
from pydantic import SecretStr

from relay.config.settings import Config
from relay.core.errors import ConfigError, Fault

Message = dict[str, Any]
BEAT_SECONDS: Final = 0.5  # so often a worker says that its event loop turns
_MAX_LINE_OCTETS: Final = 1024 * 1024 * 1024  # the settings of a million domains


class Channel:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """See `on`."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def on(cls, end: socket.socket) -> Self:
        """The end of a pair of sockets, which it takes over."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=_MAX_LINE_OCTETS))

    def send(self, message: Message) -> None:
        """Say something; nothing happens when nobody hears it."""
        if not self._writer.is_closing():
            self._writer.write(orjson.dumps(message, default=_revealed) + b"\n")

    async def receive(self) -> Message | None:
        """What the other end says next; None when it is closed."""
        try:
            line = await self._reader.readline()
        except (ConnectionError, ValueError):
            return None
        if not line.endswith(b"\n"):
            return None
        message: Message = orjson.loads(line)
        return message

    def close(self) -> None:
        """Say and hear nothing more."""
        self._writer.close()


def packed(config: Config) -> Message:
    """Settings for another process, secrets and all."""
    return config.model_dump()


def unpacked(message: Message) -> Config:
    """The settings that were `packed`."""
    return Config.model_validate(message)


def written_faults(error: ConfigError) -> list[list[str]]:
    """Faults for another process."""
    return [[fault.where, fault.what, fault.fix] for fault in error.faults]


def read_faults(faults: Iterable[Sequence[str]]) -> ConfigError:
    """The faults that were written."""
    return ConfigError(tuple(Fault(where, what, fix) for where, what, fix in faults))


def _revealed(value: object) -> object:
    """What JSON cannot say by itself.

    Raises:
        TypeError: nor can we.
    """
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, frozenset | set):
        return list(value)
    raise TypeError(type(value).__name__)
