"""One of several processes, at its end of the channel to the supervisor.

It hears what to serve with, serves, and answers what it is asked. When the supervisor has ended,
however that came, nobody looks after this process any more: it drains and ends, too.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from relay.assembly.status import Overview
from relay.config.settings import Config
from relay.core.errors import ConfigError
from relay.listener.shares import Shares
from relay.observe.sharing import count_as
from relay.service.channel import BEAT_SECONDS, Channel, Message, unpacked, written_faults
from relay.service.memory import settle
from relay.service.observers import Observers
from relay.service.orders import Orders
from relay.service.relay import Relay, relaying
from relay.service.share import share_of

Answer = Any
_CHANGES = ("prepare", "commit", "abandon")


class Worker:
    """What the supervisor asks for."""

    def __init__(
        self,
        relay: Relay,
        share: Callable[[Config], Config],
        *,
        observers: Observers,
        orders: Orders,
    ) -> None:
        """Answer for a relay.

        Args:
            relay: what serves.
            share: the part of settings that is for this process.
            observers: of this process.
            orders: told when the supervisor has this process end.
        """
        self._relay = relay
        self._share = share
        self._observers = observers
        self._orders = orders
        self._overview = Overview(relay, observers.chronicle)

    async def answer(self, asked: str, message: Message) -> Answer:
        """Do what is asked; what is to be said."""
        match asked:
            case "prepare":
                return await self._prepare(message)
            case "commit":
                await self._relay.commit()
                self._observers.adopt(self._relay.works.config)
            case "status":
                return await self._overview.status(message["domain"])
            case "abandon":
                await self._relay.abandon()
            case "drain":
                self._orders.stop.set()
            case "hurry":
                self._orders.hurry.set()
            case _:
                raise ValueError(f"nobody knows how to {asked!r}")
        return None

    async def _prepare(self, message: Message) -> Answer:
        try:
            config = self._share(unpacked(message["config"]))
            return {"changed": await self._relay.prepare(config)}
        except ConfigError as exc:
            return {"faults": written_faults(exc)}


async def serve_as_worker(end: socket.socket) -> None:
    """Serve until told to stop, or until the supervisor has ended.

    Args:
        end: of the channel.

    Raises:
        ExceptionGroup: something failed that should not.
    """
    orders = Orders()
    orders.listen(reloads=False)
    channel = await Channel.on(end)
    first = await channel.receive()
    if first is None:
        return
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(_beat(channel))
        try:
            await _serve(channel, first, orders)
        except ConfigError as exc:
            channel.send({"faults": written_faults(exc)})
        finally:
            beating.cancel()
    channel.close()


async def _serve(channel: Channel, first: Message, orders: Orders) -> None:
    process, processes = int(first["process"]), int(first["processes"])
    config = unpacked(first["config"])
    shares = Shares(first["shares"], mine=process, processes=processes)
    os.close(first["shares"])

    def share(of: Config) -> Config:
        return share_of(of, process, processes)

    count_as(process)
    observers = Observers(config)
    with observers.telling_failures():
        async with relaying(
            share(config),
            observers.emit,
            bound=[socket.socket(fileno=file) for file in first["sockets"]],
            shares=shares,
            rotates=process == 0,
        ) as relay:
            worker = Worker(relay, share, observers=observers, orders=orders)
            relay.attend(_answer(channel, worker.answer, orders))
            relay.attend(relay.hurry_when(orders.hurry))
            settle()
            channel.send({"ready": os.getpid()})
            await orders.stop.wait()
    shares.close()


async def _answer(
    channel: Channel, answer: Callable[[str, Message], Awaitable[Answer]], orders: Orders
) -> None:
    """Answer until nobody asks any more: changes of settings in turn, all else at once."""
    changes: asyncio.Queue[Message] = asyncio.Queue()

    async def reply_to(message: Message) -> None:
        said: Message = {"to": message["id"]}
        try:
            said["answer"] = await answer(message["ask"], message)
        except Exception as exc:  # the supervisor tells; mail goes on
            said["failed"] = f"{type(exc).__name__}: {exc}"
        channel.send(said)

    async def change_in_turn() -> None:
        while True:
            await reply_to(await changes.get())

    async with asyncio.TaskGroup() as tasks:
        changing = tasks.create_task(change_in_turn())
        while (message := await channel.receive()) is not None:
            if message["ask"] in _CHANGES:  # which may wait for DNS
                changes.put_nowait(message)
            else:
                tasks.create_task(reply_to(message))
        orders.stop.set()
        changing.cancel()


async def _beat(channel: Channel) -> None:
    """Say that the event loop turns."""
    while True:
        channel.send({"beat": True})
        await asyncio.sleep(BEAT_SECONDS)
