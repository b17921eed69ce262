"""The contract of a transaction, over a fake smarthost on real sockets."""

from __future__ import annotations

import asyncio

import pytest

from relay.core.errors import Reason, Rejection
from relay.core.reply import Reply
from relay.upstream.settings import Timeouts
from tests.fakes.pools import (
    BODY,
    HEADER,
    MESSAGE,
    accepted_transaction,
    mail_from,
    pool_to,
    rcpt_to,
    relay,
)
from tests.fakes.smarthost import ALL_EXTENSIONS, EXTENSIONS, Drip, Fault, Smarthost, reply

HOPS = {
    "BDAT": ALL_EXTENSIONS,
    "DATA": EXTENSIONS,
    "lock-step": ("8BITMIME", "SIZE"),
    "lock-step BDAT": ("CHUNKING",),
}
every_hop = pytest.mark.parametrize("extensions", HOPS.values(), ids=HOPS.keys())


@every_hop
async def test_a_message_arrives_as_it_is(extensions: tuple[str, ...]) -> None:
    """Envelope and octets, whatever the hop offers; the hop's reply is ours."""
    async with Smarthost(extensions=extensions) as host, pool_to(host) as pool:
        host.on("dot", reply("250 2.0.0 Ok: queued as 4XyZ"))
        transaction = await pool.begin(mail_from(size=17))
        answers = [
            transaction.recipient(rcpt_to(path)) for path in (b"a@sink.test", b"b@sink.test")
        ]
        assert [(await answer).code for answer in answers] == [250, 250]
        assert await transaction.send(HEADER, [BODY]) == Reply(250, (b"2.0.0 Ok: queued as 4XyZ",))
        await transaction.abandon()
        [received] = host.received
        assert received.octets == MESSAGE
        assert received.verb == ("BDAT" if "CHUNKING" in extensions else "DATA")
        assert received.recipients == [b"RCPT TO:<a@sink.test>", b"RCPT TO:<b@sink.test>"]
        assert received.mail.startswith(b"MAIL FROM:<app@example.com>")
        assert (b"SIZE=2065 BODY=8BITMIME" in received.mail) == ("8BITMIME" in extensions)
        assert host.violations == []


async def test_dsn_parameters_are_passed_on_as_written() -> None:
    """RFC 3461, to a hop that offers it: whole lines, nothing lost on the way to the wire."""
    async with Smarthost(extensions=(*EXTENSIONS, "DSN")) as host, pool_to(host) as pool:
        transaction = await pool.begin(mail_from(ret="HDRS", envelope_id=b"Id+2B1"))
        await transaction.recipient(
            rcpt_to(notify=b"DELAY,failure", original_recipient=b"rfc822;Ann@Old.test")
        )
        await transaction.recipient(rcpt_to(b"b@sink.test"))
        await transaction.send(HEADER, [BODY])
        [received] = host.received
        assert received.mail == (b"MAIL FROM:<app@example.com> BODY=8BITMIME RET=HDRS ENVID=Id+2B1")
        assert received.recipients == [
            b"RCPT TO:<ann@sink.test> NOTIFY=DELAY,failure ORCPT=rfc822;Ann@Old.test",
            b"RCPT TO:<b@sink.test>",
        ]
        assert host.violations == []


async def test_a_parameter_that_would_inject_a_command_writes_nothing() -> None:
    """The transaction goes on without that recipient."""
    async with Smarthost(extensions=(*EXTENSIONS, "DSN")) as host, pool_to(host) as pool:
        transaction = await pool.begin(mail_from())
        with pytest.raises(ValueError, match="control character"):
            transaction.recipient(rcpt_to(b"b@sink.test", notify=b"NEVER\r\nRSET"))
        assert (await transaction.recipient(rcpt_to())).code == 250
        await transaction.send(HEADER, [BODY])
        assert host.received[0].recipients == [b"RCPT TO:<ann@sink.test>"]
        assert host.sessions[0].verbs == ["EHLO", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize("username", ["app", ""])
async def test_auth_is_passed_on_as_unknown_where_we_are_logged_in(username: str) -> None:
    """RFC 4954 §5: only there."""
    async with (
        Smarthost(users={"app": "for tests"}) as host,
        pool_to(host, username=username, password="for tests", insecure_auth=True) as pool,
    ):
        await relay(pool)
        said = b" AUTH=<>" if username else b""
        assert host.received[0].mail == b"MAIL FROM:<app@example.com> BODY=8BITMIME" + said
        assert host.violations == []


async def test_mail_and_rcpt_travel_in_one_segment() -> None:
    """RFC 2920: one write, and further recipients without waiting for replies."""
    async with Smarthost() as host, pool_to(host) as pool:
        transaction = await pool.begin(mail_from())
        first = transaction.recipient(rcpt_to(b"a@sink.test"))
        second = transaction.recipient(rcpt_to(b"b@sink.test"))
        assert ((await first).code, (await second).code) == (250, 250)
        [session] = host.sessions
        assert any(
            segment.startswith(b"MAIL ") and b"\r\nRCPT TO:<a@sink.test>\r\n" in segment
            for segment in session.segments
        )
        await transaction.abandon()


async def test_command_and_message_travel_in_one_segment_with_chunking() -> None:
    """RFC 3030 §2: BDAT needs no reply before the octets."""
    async with Smarthost(extensions=ALL_EXTENSIONS) as host, pool_to(host) as pool:
        await relay(pool)
        expected = b"BDAT %d LAST\r\n" % len(MESSAGE) + MESSAGE
        assert expected in host.sessions[0].segments


@every_hop
async def test_each_recipient_hears_its_own_reply(extensions: tuple[str, ...]) -> None:
    """Code, enhanced code and text of every line, unchanged; only the accepted get the mail."""
    async with Smarthost(extensions=extensions) as host, pool_to(host) as pool:
        host.on("rcpt", reply("550-5.1.1 No such user", "550 5.1.1 here"), match=b"bad@")
        host.on("rcpt", reply("451 4.7.1 Greylisted"), match=b"later@")
        host.on("rcpt", reply("251 2.1.5 Will forward"), match=b"moved@")
        transaction = await pool.begin(mail_from())
        paths = (b"ann@sink.test", b"bad@sink.test", b"later@sink.test", b"moved@sink.test")
        answers = [transaction.recipient(rcpt_to(path)) for path in paths]
        replies = [await answer for answer in answers]
        assert [r.code for r in replies] == [250, 550, 451, 251]
        assert replies[1].lines == (b"5.1.1 No such user", b"5.1.1 here")
        assert transaction.accepted == 2
        assert (await transaction.send(HEADER, [BODY])).code == 250
        [received] = host.received
        assert received.recipients == [b"RCPT TO:<ann@sink.test>", b"RCPT TO:<moved@sink.test>"]


@every_hop
async def test_a_refused_mail_is_every_recipients_reply(extensions: tuple[str, ...]) -> None:
    """Not the 503 that the pipelined RCPT gets; also for recipients that come later."""
    async with Smarthost(extensions=extensions) as host, pool_to(host, max_connections=1) as pool:
        host.on("mail", reply("553 5.1.8 Sender unknown"), times=1)
        transaction = await pool.begin(mail_from())
        answers = [transaction.recipient(rcpt_to()) for _ in range(2)]
        replies = [await answer for answer in answers]
        replies.append(await transaction.recipient(rcpt_to(b"late@sink.test")))
        assert [(r.code, r.enhanced) for r in replies] == [(553, "5.1.8")] * 3
        assert transaction.accepted == 0
        await transaction.abandon()
        assert (await relay(pool)).code == 250  # and the connection is as good as before
        verbs = host.sessions[0].verbs
        before_reset = verbs[: verbs.index("RSET")]
        assert ("RCPT" in before_reset) == ("PIPELINING" in extensions)
        assert len(host.sessions) == 1
        assert host.violations == []


@pytest.mark.parametrize("extensions", [ALL_EXTENSIONS, EXTENSIONS], ids=["BDAT", "DATA"])
@pytest.mark.parametrize("answer", ["250 ok", "251 2.0.0 ok", "252 hm", "200 odd"])
async def test_every_2yz_after_the_message_is_success(
    extensions: tuple[str, ...], answer: str
) -> None:
    """251 after DATA is no failure (a retry would duplicate); the connection is reused."""
    async with Smarthost(extensions=extensions) as host, pool_to(host) as pool:
        host.on("dot", reply(answer))
        for _ in range(2):
            assert str(await relay(pool)) == answer
        assert len(host.accepted) == 2
        assert host.sessions[0].verbs.count("RSET") == 0
        assert len(host.sessions) == 1


@every_hop
@pytest.mark.parametrize("answer", ["554 5.7.1 Spam", "452 4.3.1 Full", "599 5.0.0"])
async def test_a_refused_message_is_the_hops_own_words(
    extensions: tuple[str, ...], answer: str
) -> None:
    """And the connection is reset before it is used again."""
    async with Smarthost(extensions=extensions) as host, pool_to(host, max_connections=1) as pool:
        host.on("dot", reply(answer), times=1)
        assert str(await relay(pool)) == answer
        assert (await relay(pool)).code == 250
        assert len(host.sessions) == 1
        assert host.sessions[0].verbs.count("RSET") == 1


@pytest.mark.parametrize("answer", ["451 4.3.0 Not now", "554 5.5.1 No"])
async def test_a_refused_data_command_is_the_hops_own_words(answer: str) -> None:
    """No octet of the message follows it."""
    async with Smarthost() as host, pool_to(host, max_connections=1) as pool:
        host.on("data", reply(answer), times=1)
        assert str(await relay(pool)) == answer
        assert (await relay(pool)).code == 250
        assert len(host.received) == 1
        assert len(host.sessions) == 1


@pytest.mark.parametrize("answer", ["250 2.0.0 Accepted already", "221 Bye"])
async def test_a_positive_reply_to_data_is_no_acceptance(answer: str) -> None:
    """The message was never sent: the client must not hear 250."""
    async with Smarthost() as host, pool_to(host) as pool:
        host.on("data", reply(answer))
        transaction = await accepted_transaction(pool)
        with pytest.raises(Rejection) as caught:
            await transaction.send(HEADER, [BODY])
        assert caught.value.reason is Reason.UPSTREAM_LOST
        assert (caught.value.reply.code, caught.value.reply.enhanced) == (451, "4.4.2")
        assert host.received == []


async def test_354_after_the_message_is_no_reply() -> None:
    """Nobody knows what it means; the hop may have the message."""
    async with Smarthost() as host, pool_to(host) as pool:
        host.on("dot", reply("354 More?"))
        transaction = await accepted_transaction(pool)
        with pytest.raises(Rejection) as caught:
            await transaction.send(HEADER, [BODY])
        assert caught.value.reason is Reason.OUTCOME_UNKNOWN


@every_hop
async def test_replies_may_drip(extensions: tuple[str, ...]) -> None:
    """Octet by octet, multi-line: still one reply for each command."""
    async with Smarthost(extensions=extensions) as host, pool_to(host) as pool:
        host.on("mail", Drip(reply("250-2.1.0 a", "250 2.1.0 b")))
        host.on("rcpt", Drip(reply("250 2.1.5 c")))
        host.on("data", Drip(reply("354-go", "354 on")))
        host.on("dot", Drip(reply("250-2.0.0 d", "250 2.0.0 e")))
        assert (await relay(pool)).lines == (b"2.0.0 d", b"2.0.0 e")
        assert (await relay(pool)).code == 250
        assert len(host.sessions) == 1


@every_hop
async def test_bare_line_ends_and_every_octet_stay_as_they_were_signed(
    extensions: tuple[str, ...],
) -> None:
    """The transaction changes nothing: no bare CR or LF is repaired after signing."""
    body = (
        b".\r\n..\r\n.\n\r.\r\r\n" + bytes(range(256)) + b"\n.\n" + b"x" * 5000 + b"\r\r\n"
        b".dot\r\n\r\n.\r\n\r\n"
    )
    async with Smarthost(extensions=extensions) as host, pool_to(host) as pool:
        await relay(pool, b".Odd: header\r\nSubject: x\r\n .folded\r\n", body)
        [received] = host.received
        assert received.octets == b".Odd: header\r\nSubject: x\r\n .folded\r\n\r\n" + body


async def test_any_split_of_the_body_gives_the_same_octets() -> None:
    """Blocks may be cut anywhere, also within a CRLF before a dot."""
    body = b"a\r\n.b\r\n..\r\n.\r\n\r\n.\r\n"
    async with Smarthost() as host, pool_to(host) as pool:
        for cut in range(len(body) + 1):
            transaction = await accepted_transaction(pool)
            await transaction.send(HEADER, [body[:cut], body[cut:]])
        one_by_one = await accepted_transaction(pool)
        await one_by_one.send(HEADER, [bytes([octet]) for octet in body])
        assert {received.octets for received in host.received} == {HEADER + b"\r\n" + body}
        assert len(host.received) == len(body) + 2


async def test_a_body_without_crlf_at_its_end_is_refused_before_anything_is_written() -> None:
    """The caller guarantees it; the transaction can still be abandoned or sent right."""
    async with Smarthost() as host, pool_to(host) as pool:
        transaction = await accepted_transaction(pool)
        with pytest.raises(ValueError, match="CRLF"):
            await transaction.send(HEADER, [b"no end"])
        assert (await transaction.send(HEADER, [BODY])).code == 250
        assert [received.octets for received in host.received] == [MESSAGE]


async def test_a_message_needs_an_accepted_recipient() -> None:
    """The flow answers 554 5.5.1 itself; here it would be a fault of the program."""
    async with Smarthost(extensions=ALL_EXTENSIONS) as host, pool_to(host) as pool:
        host.on("rcpt", reply("550 5.1.1 no"))
        transaction = await pool.begin(mail_from())
        await transaction.recipient(rcpt_to())
        with pytest.raises(RuntimeError):
            await transaction.send(HEADER, [BODY])
        await transaction.abandon()
        assert host.received == []


async def test_replies_not_awaited_yet_are_awaited_before_the_message() -> None:
    """BDAT never overtakes the question whether anybody is there."""
    async with Smarthost(extensions=ALL_EXTENSIONS) as host, pool_to(host) as pool:
        transaction = await pool.begin(mail_from())
        transaction.recipient(rcpt_to())
        assert (await transaction.send(HEADER, [BODY])).code == 250
        assert host.violations == []


async def test_a_transaction_is_over_after_the_message() -> None:
    """No recipient and no message after it; to abandon it does nothing."""
    async with Smarthost() as host, pool_to(host) as pool:
        transaction = await accepted_transaction(pool)
        await transaction.send(HEADER, [BODY])
        with pytest.raises(RuntimeError):
            transaction.recipient(rcpt_to())
        with pytest.raises(RuntimeError):
            await transaction.send(HEADER, [BODY])
        await transaction.abandon()
        assert pool.snapshot().idle == 1
        assert len(host.received) == 1


@every_hop
async def test_an_abandoned_transaction_leaves_a_clean_connection(
    extensions: tuple[str, ...],
) -> None:
    """RSET is said and answered before the next MAIL; replies on their way are consumed."""
    async with Smarthost(extensions=extensions) as host, pool_to(host) as pool:
        transaction = await pool.begin(mail_from(b"first@example.com"))
        for _ in range(3):
            transaction.recipient(rcpt_to())
        await transaction.abandon()
        await transaction.abandon()
        await host.until(lambda: "RSET" in host.sessions[0].verbs)
        await relay(pool)
        [received] = host.received
        assert received.mail.startswith(b"MAIL FROM:<app@example.com>")
        assert received.recipients == [b"RCPT TO:<ann@sink.test>"]
        assert host.violations == []


async def test_a_transaction_without_a_command_needs_no_rset() -> None:
    """Begun and abandoned: nothing was written."""
    async with Smarthost() as host, pool_to(host) as pool:
        await (await pool.begin(mail_from())).abandon()
        assert pool.snapshot().idle == 1
        assert host.sessions[0].verbs == ["EHLO"]


async def test_awaited_recipients_of_an_abandoned_transaction_are_told() -> None:
    """Nobody waits for ever."""
    async with Smarthost() as host, pool_to(host) as pool:
        host.on("rcpt", Fault.BLACK_HOLE)
        transaction = await pool.begin(mail_from())
        pending = transaction.recipient(rcpt_to())
        waiting = asyncio.ensure_future(pending)
        await host.until(lambda: "RCPT" in host.sessions[0].verbs)
        await transaction.abandon()
        with pytest.raises(Rejection):
            await waiting


@every_hop
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
async def test_a_failed_rset_ends_the_connection_and_nothing_else(
    extensions: tuple[str, ...], at_once: bool
) -> None:
    """The next transaction, already behind the RSET or not, goes by another connection."""
    async with Smarthost(extensions=extensions) as host, pool_to(host) as pool:
        host.on("rset", reply("500 What?"))
        transaction = await accepted_transaction(pool)
        await transaction.abandon()
        if not at_once:
            await host.until(lambda: host.open_sessions == 0)
        assert (await relay(pool)).code == 250
        await host.until(lambda: host.open_sessions == 1)
        assert [received.session for received in host.received] == [2]


async def test_a_cancelled_recipient_can_be_awaited_again() -> None:
    """A client that is gone cancels the wait, not the transaction."""
    async with Smarthost() as host, pool_to(host) as pool:
        host.on("mail", reply("250 ok"))
        transaction = await pool.begin(mail_from())
        pending = transaction.recipient(rcpt_to())
        waiting = asyncio.ensure_future(pending)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await pending).code == 250
        assert transaction.accepted == 1
        await transaction.abandon()


@pytest.mark.parametrize("stage", ["data", "dot"])
async def test_cancelled_on_the_way_closes_the_connection(stage: str) -> None:
    """A message half sent, or one whose reply is outstanding, is never given back."""
    async with Smarthost() as host, pool_to(host) as pool:
        host.on(stage, Fault.BLACK_HOLE)
        transaction = await accepted_transaction(pool)
        sending = asyncio.ensure_future(transaction.send(HEADER, [BODY]))
        if stage == "data":
            await host.until(lambda: "DATA" in host.sessions[0].verbs)
        else:
            await host.until(lambda: len(host.received) == 1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await host.until(lambda: host.open_sessions == 0)
        assert pool.snapshot().idle == pool.snapshot().busy == 0


async def test_abandoning_while_sending_closes_the_connection() -> None:
    """The one who sends hears that the connection is gone."""
    async with Smarthost() as host, pool_to(host) as pool:
        host.on("dot", Fault.BLACK_HOLE)
        transaction = await accepted_transaction(pool)
        sending = asyncio.ensure_future(transaction.send(HEADER, [BODY]))
        await host.until(lambda: len(host.received) == 1)
        await transaction.abandon()
        with pytest.raises(Rejection) as caught:
            await sending
        assert caught.value.reason is Reason.OUTCOME_UNKNOWN


async def test_421_to_a_recipient_is_passed_on() -> None:
    """As 451. The connection is closed; what comes after it is a lost connection."""
    async with Smarthost() as host, pool_to(host) as pool:
        host.on("rcpt", reply("421 4.3.2 Going down"), match=b"b@")
        transaction = await accepted_transaction(pool, b"a@sink.test")
        assert (await transaction.recipient(rcpt_to(b"b@sink.test"))).code == 451
        with pytest.raises(Rejection) as caught:
            await transaction.recipient(rcpt_to(b"c@sink.test"))
        assert caught.value.reason is Reason.UPSTREAM_LOST
        assert "Going down" in caught.value.detail
        with pytest.raises(Rejection):
            await transaction.send(HEADER, [BODY])
        await transaction.abandon()
        await host.until(lambda: host.open_sessions == 0)
        assert host.received == []


@pytest.mark.parametrize("stage", ["mail", "data", "dot"])
async def test_421_is_passed_on_and_the_connection_closed(stage: str) -> None:
    """RFC 5321 §3.8: wherever it comes; as 451 with its text, since our client's is not closed."""
    async with Smarthost() as host, pool_to(host) as pool:
        host.on(stage, reply("421 4.7.0 Too many"))
        transaction = await pool.begin(mail_from())
        answer = await transaction.recipient(rcpt_to())
        if stage != "mail":
            answer = await transaction.send(HEADER, [BODY])
        assert str(answer) == "451 4.7.0 Too many"
        await transaction.abandon()
        await host.until(lambda: host.open_sessions == 0)
        assert pool.snapshot().idle == pool.snapshot().busy == 0


async def test_a_reply_to_nothing_between_recipients_and_message_ends_it() -> None:
    """While the client is still writing: the message is not sent on such a connection."""
    async with Smarthost(extensions=ALL_EXTENSIONS) as host, pool_to(host) as pool:
        host.on("rcpt", reply("250 ok", "421 4.4.2 Timeout"))
        transaction = await pool.begin(mail_from())
        assert (await transaction.recipient(rcpt_to())).code == 250
        await host.until(lambda: host.open_sessions == 0)
        with pytest.raises(Rejection) as caught:
            await transaction.send(HEADER, [BODY])
        assert caught.value.reason is Reason.UPSTREAM_LOST
        assert "Timeout" in caught.value.detail
        assert host.received == []


async def test_a_second_reply_after_the_message_never_answers_the_next_command() -> None:
    """The desync of a stock client: the surplus reply stayed and answered the next MAIL."""
    async with Smarthost() as host, pool_to(host) as pool:
        host.on("dot", reply("250 2.0.0 first", "250 2.0.0 and another"), times=1)
        assert (await relay(pool)).text == "2.0.0 first"
        host.on("mail", reply("550 5.7.1 Not you"))
        transaction = await pool.begin(mail_from())
        assert (await transaction.recipient(rcpt_to())).code == 550
        await transaction.abandon()
        assert len(host.sessions) == 2


@pytest.mark.parametrize("extensions", [ALL_EXTENSIONS, EXTENSIONS], ids=["BDAT", "DATA"])
async def test_no_reply_to_the_message_in_time_is_an_unknown_outcome(
    extensions: tuple[str, ...],
) -> None:
    """RFC 5321 §4.5.3.2.6; the connection is closed and its place free."""
    patience = Timeouts(final_seconds=0.1)
    async with Smarthost(extensions=extensions) as host, pool_to(host, timeouts=patience) as pool:
        host.on("dot", Fault.BLACK_HOLE)
        transaction = await accepted_transaction(pool)
        with pytest.raises(Rejection) as caught:
            await transaction.send(HEADER, [BODY])
        assert caught.value.reason is Reason.OUTCOME_UNKNOWN
        assert (caught.value.reply.code, caught.value.reply.enhanced) == (451, "4.4.2")
        assert "no reply to the message within 0.1 s" in caught.value.detail
        await host.until(lambda: host.open_sessions == 0)
