"""Connections whose dialogue is in the log: a search for faults, not for every day. IO."""

from __future__ import annotations

from typing import Any

import aiosmtplib

from relay.core.reply import Reply
from relay.core.wire_trace import Trace, command_shown, message_shown, reply_shown
from relay.upstream.command import Command
from relay.upstream.protocol import Connection


class TracedOpening(aiosmtplib.SMTP):
    """Tells what is said until the connection is ready for mail; secrets are masked."""

    def __init__(self, trace: Trace, **given: Any) -> None:
        """As aiosmtplib's; `trace` is told each line."""
        super().__init__(**given)
        self._trace = trace

    async def execute_command(self, *args: bytes, **given: Any) -> aiosmtplib.SMTPResponse:
        """Every command but STARTTLS comes through here."""
        self._trace(command_shown(b" ".join(args)))
        response = await super().execute_command(*args, **given)
        for line in response.message.split("\n"):
            self._trace(f"S: {response.code} {line}")
        return response


class TracedConnection(Connection):
    """Tells each command and reply, and how many octets of messages were sent."""

    __slots__ = ("_trace",)

    def __init__(self, trace: Trace, *args: Any, **given: Any) -> None:
        """As `Connection`; `trace` is told each line."""
        super().__init__(*args, **given)
        self._trace = trace

    def command(self, *commands: Command) -> None:
        """Write commands."""
        for command in commands:
            self._trace(command_shown(command.line))
        super().command(*commands)

    def write(self, octets: bytes | memoryview) -> None:
        """Write message octets; the first ones of BDAT are its command."""
        is_command = octets[:5] == b"BDAT "
        command = bytes(octets[:40]).partition(b"\r\n")[0] if is_command else b""
        if command:
            self._trace(command_shown(command))
        self._trace(message_shown(len(octets) - (len(command) + 2 if command else 0)))
        super().write(octets)

    def _answer(self, reply: Reply) -> None:
        for line in reply_shown(reply):
            self._trace(line)
        super()._answer(reply)
