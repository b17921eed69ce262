"""An upstream that says 421: it closes its connection with us, not the client's."""

from __future__ import annotations

import pytest

from tests.fakes.edge import Edge
from tests.fakes.pools import pool_to
from tests.fakes.smarthost import Smarthost, reply

MESSAGE = b"From: a@example.com\r\n\r\nHello.\r\n.\r\n"
COMMANDS = (
    b"MAIL FROM:<a@example.com>\r\n",
    b"RCPT TO:<b@example.net>\r\n",
    b"DATA\r\n",
    MESSAGE,
)
TAKEN = [b"250 ", b"250 ", b"354 ", b"250 "]


@pytest.mark.parametrize(("stage", "said"), [("mail", 2), ("rcpt", 2), ("data", 4), ("dot", 4)])
async def test_the_clients_session_goes_on(stage: str, said: int) -> None:
    """451 with the upstream's words; RSET, and the next message passes in the same session."""
    edge = Edge()
    async with Smarthost() as host, pool_to(host) as pool:
        host.on(stage, reply("421 4.3.2 Going down"), times=1)
        edge.use_upstream(pool)
        client = edge.client()
        assert (await client.reply()).startswith(b"220 ")

        async def say(*commands: bytes) -> list[bytes]:
            heard = []
            for command in commands:
                client.send(command)
                heard.append(await client.reply())
            return heard

        await say(b"HELO c\r\n")
        *before, last = await say(*COMMANDS[:said])
        assert [answer[:4] for answer in before] == TAKEN[: said - 1]
        assert last == b"451 4.3.2 Going down\r\n"
        await say(b"RSET\r\n")
        assert [answer[:4] for answer in await say(*COMMANDS)] == TAKEN
        client.send(b"QUIT\r\n")
        assert (await client.rest()).endswith(b"221 2.0.0 Goodbye\r\n")
        assert len(host.accepted) == 1
        assert len(host.sessions) == 2
