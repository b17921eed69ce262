"""The server's side of one connection of a fake smarthost. See `tests.fakes.smarthost`."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
import struct
from collections.abc import Mapping, Sequence
from typing import Protocol

from tests.fakes.smarthost_logins import LOGINS
from tests.fakes.smarthost_script import (
    Drip,
    Fault,
    Pause,
    Received,
    Rule,
    Session,
    Step,
    code_of,
    first_code,
    is_positive,
    not_offered,
    reply,
)


class Host(Protocol):
    """What a dialogue needs of its smarthost."""

    extensions: Sequence[str]
    extensions_after_tls: Sequence[str] | None
    tls: ssl.SSLContext | None
    implicit: bool
    users: Mapping[str, str]
    mechanisms: Sequence[str]
    is_lmtp: bool
    received: list[Received]
    violations: list[str]

    def changed(self) -> None:
        """Something was recorded."""

    def rule(self, stage: str, line: bytes, session: int, after: int = 0) -> Rule | None:
        """What to do at this moment, if not the usual."""


class Gone(ConnectionError):
    """The connection is at its end, by the client's will or ours."""


class Dialogue:
    """The server's side of one connection."""

    def __init__(
        self,
        host: Host,
        session: Session,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.host = host
        self.session = session
        self.reader = reader
        self.writer = writer
        self.buffer = bytearray()
        self.extensions = host.extensions
        self.mail = b""
        self.recipients: list[bytes] = []
        self.chunks = bytearray()

    async def run(self) -> None:
        """From the greeting to the end of the connection."""
        if self.host.implicit:
            self._note_tls()
        await self._answer("connect", b"", b"")
        await self._answer("banner", b"", reply("220 smarthost.test ESMTP"))
        while True:
            line = await self._line()
            await self._command(line)

    async def _command(self, line: bytes) -> None:
        handlers = {
            b"EHLO": self._ehlo,
            b"HELO": self._helo,
            b"STARTTLS": self._starttls,
            b"AUTH": self._auth,
            b"MAIL": self._mail,
            b"RCPT": self._rcpt,
            b"DATA": self._data,
            b"BDAT": self._bdat,
            b"RSET": self._rset,
            b"NOOP": self._noop,
            b"QUIT": self._quit,
        }
        verb = line.split(b" ")[0].upper()
        if self.host.is_lmtp:  # RFC 2033 §4.1
            handlers[b"LHLO"] = handlers.pop(b"EHLO")
            del handlers[b"HELO"]
        if verb in handlers:
            await handlers[verb](line)
        else:
            self.host.violations.append(f"unknown command {line!r}")
            await self._write(reply("500 5.5.2 What?"))

    # Commands.

    async def _ehlo(self, line: bytes) -> None:
        words = ["smarthost.test", *self.extensions]
        if self.host.tls is not None and not self.session.tls:
            words.append("STARTTLS")
        if self.host.users:
            words.append(f"AUTH {' '.join(self.host.mechanisms)}")
        lines = [f"250-{word}" for word in words[:-1]] + [f"250 {words[-1]}"]
        await self._answer("ehlo", line, reply(*lines))
        self._forget()

    async def _helo(self, line: bytes) -> None:
        self.extensions = ()
        await self._answer("helo", line, reply("250 smarthost.test"))
        self._forget()

    async def _starttls(self, line: bytes) -> None:
        if self.host.tls is None or self.session.tls:
            await self._answer("starttls", line, reply("502 5.5.1 Not offered"))
            return
        if await self._answer("starttls", line, reply("220 2.0.0 Go ahead")) != 220:
            return
        self.buffer.clear()  # RFC 3207 §4.2: what came in clear does not count
        await self.writer.start_tls(self.host.tls)
        self._note_tls()
        if self.host.extensions_after_tls is not None:
            self.extensions = self.host.extensions_after_tls
        self._forget()

    async def _auth(self, line: bytes) -> None:
        words = line.split(b" ")
        if (rule := self.host.rule("auth", line, self.session.number)) is not None:
            await self._do(rule.steps)
            return
        mechanism = words[1].upper().decode()
        if mechanism not in self.host.mechanisms:
            await self._write(reply("504 5.5.4 Unknown mechanism"))
            return
        initial = words[2] if len(words) > 2 else None
        if user := await LOGINS[mechanism](self, initial):
            self.session.user = user
            await self._write(reply("235 2.7.0 Welcome"))
        else:
            await self._write(reply("535 5.7.8 Who?"))

    # For logins.

    @property
    def users(self) -> Mapping[str, str]:
        """Name → password or token."""
        return self.host.users

    @property
    def certificate_names(self) -> tuple[str, ...]:
        """The names in the client's verified certificate."""
        tls = self.writer.get_extra_info("ssl_object")
        shown = (tls.getpeercert() if tls is not None else None) or {}
        return tuple(value for _, value in shown.get("subjectAltName", ()))

    async def challenged(self, octets: bytes) -> bytes:
        """What the client answers to a challenge."""
        return base64.b64decode(await self._challenge(base64.b64encode(octets).decode("ascii")))

    async def _mail(self, line: bytes) -> None:
        self._check_parameters(line)
        usual = reply("503 5.5.1 Nested MAIL") if self.mail else reply("250 2.1.0 Sender ok")
        if self.mail:
            self.host.violations.append("nested MAIL")
        if is_positive(await self._answer("mail", line, usual)):
            self.mail = line

    async def _rcpt(self, line: bytes) -> None:
        self._check_parameters(line)
        usual = reply("250 2.1.5 Recipient ok") if self.mail else reply("503 5.5.1 MAIL first")
        if is_positive(await self._answer("rcpt", line, usual)):
            self.recipients.append(line)

    async def _data(self, line: bytes) -> None:
        usual = reply("354 Go on") if self.recipients else reply("503 5.5.1 RCPT first")
        if await self._answer("data", line, usual) != 354:
            return
        raw = await self._until_dot()
        octets = raw[:-3]
        octets = octets[1:] if octets.startswith(b".") else octets
        await self._message("DATA", octets.replace(b"\r\n.", b"\r\n"), raw)

    async def _bdat(self, line: bytes) -> None:
        found = re.fullmatch(rb"BDAT ([0-9]+)( LAST)?", line)
        if found is None:
            raise ValueError(f"not a BDAT command: {line!r}")
        self.chunks += await self._octets(int(found[1]))
        if not found[2]:
            await self._write(reply("250 2.0.0 Chunk ok"))
            return
        octets = bytes(self.chunks)
        if not self.recipients:
            self.host.violations.append("BDAT without a recipient")
            await self._write(reply("503 5.5.1 RCPT first"))
            return
        await self._message("BDAT", octets, octets)

    async def _message(self, verb: str, octets: bytes, raw: bytes) -> None:
        number = self.session.number
        received = Received(number, self.mail, self.recipients, verb, octets, raw)
        self.host.received.append(received)
        self._forget()
        usual = reply(f"250 2.0.0 Queued as {len(self.host.received)}")
        rule = self.host.rule("dot", received.mail, number)
        steps = (usual,) if rule is None else rule.steps
        # Before the steps: they may end the session, and the message is accepted all the same.
        received.is_accepted = any(is_positive(code_of(step)) for step in steps)
        self.host.changed()
        await self._do(steps)

    async def _rset(self, line: bytes) -> None:
        if is_positive(await self._answer("rset", line, reply("250 2.0.0 Reset"))):
            self._forget()

    async def _noop(self, line: bytes) -> None:
        await self._answer("noop", line, reply("250 2.0.0 Ok"))

    async def _quit(self, line: bytes) -> None:
        await self._answer("quit", line, reply("221 2.0.0 Bye"))
        await self._do((Fault.CLOSE,))

    def _check_parameters(self, line: bytes) -> None:
        offered = [*self.extensions, "AUTH"] if self.host.users else self.extensions
        for name in not_offered(line, offered):
            self.host.violations.append(f"{name} in {line!r}, which is not offered")

    def _forget(self) -> None:
        self.mail, self.recipients, self.chunks = b"", [], bytearray()

    def _note_tls(self) -> None:
        self.session.tls = str(self.writer.get_extra_info("ssl_object").version())

    # Octets.

    async def _answer(self, stage: str, line: bytes, usual: bytes) -> int:
        """Do what the rule says, else the usual; the code that was said first, or 0."""
        rule = self.host.rule(stage, line, self.session.number)
        return await self._do((usual,) if rule is None else rule.steps)

    async def _do(self, steps: Sequence[Step]) -> int:
        for step in steps:
            match step:
                case bytes():
                    await self._write(step)
                case Drip():
                    for octet in step.octets:
                        await self._write(bytes([octet]))
                        await asyncio.sleep(step.pause_seconds)
                case Pause():
                    await asyncio.sleep(step.seconds)
                case Fault():
                    await self._fail(step)
        return first_code(steps)

    async def _fail(self, fault: Fault) -> None:
        match fault:
            case Fault.CLOSE:
                self.writer.close()
            case Fault.RESET:
                linger = struct.pack("ii", 1, 0)
                connection = self.writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.writer.transport.abort()
            case Fault.BLACK_HOLE:
                while True:
                    await self._fill()
                    self.buffer.clear()
            case Fault.STALL:
                await asyncio.get_running_loop().create_future()
        raise Gone

    async def _write(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def _fill(self) -> None:
        segment = await self.reader.read(65536)
        if not segment:
            self.writer.close()
            raise Gone
        self.session.segments.append(segment)
        self.buffer += segment

    async def _line(self) -> bytes:
        while (end := self.buffer.find(b"\r\n")) < 0:
            await self._fill()
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        self.session.lines.append(line)
        self.host.changed()
        if re.search(rb"[\x00-\x1f\x7f]", line):
            self.host.violations.append(f"a control character in {line!r}")
        may_follow = "PIPELINING" in self.extensions or line.startswith(b"BDAT ")
        if self.buffer and not may_follow:
            self.host.violations.append(f"{bytes(self.buffer[:80])!r} pipelined after {line!r}")
        return line

    async def _challenge(self, text: str) -> bytes:
        await self._write(reply(f"334 {text}"))
        return await self._line()

    async def _until_dot(self) -> bytes:
        start = 0
        self.buffer[:0] = b"\r\n"  # so that a message without any line ends as well
        while (end := self.buffer.find(b"\r\n.\r\n", start)) < 0:
            start = max(0, len(self.buffer) - 4)
            await self._fill_message(len(self.buffer) - 2)
        raw = bytes(self.buffer[2 : end + 5])
        del self.buffer[: end + 5]
        return raw

    async def _octets(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self._fill_message(len(self.buffer))
        octets = bytes(self.buffer[:size])
        del self.buffer[:size]
        return octets

    async def _fill_message(self, octets_so_far: int) -> None:
        rule = self.host.rule("body", b"", self.session.number, octets_so_far)
        if rule is not None:
            await self._do(rule.steps)
        try:
            await self._fill()
        except (Gone, ConnectionError):
            if rule is None:
                self.host.violations.append("the connection ended within the message")
            raise
