"""What clients say when they say anything at all: words, phrases, and what happens meanwhile."""

from __future__ import annotations

from hypothesis import strategies as st

from relay.listener.proxy import SIGNATURE

MESSAGE = b"From: a@example.com\r\n\r\nbody\r\n"
BIG = b"From: a@example.com\r\n\r\n" + (b"x" * 62 + b"\r\n") * 200
PROXY_HEADER = b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n"
WORDS = [
    b"EHLO c\r\n",
    b"HELO c\r\n",
    b"MAIL FROM:<a@example.com>\r\n",
    b"MAIL FROM:<> SIZE=99999999\r\n",
    b"MAIL FROM:<a@example.com> SMTPUTF8 BODY=8BITMIME RET=FULL\r\n",
    b"MAIL FROM:<a@example.com> REQUIRETLS\r\n",
    b"MAIL FROM:<a@example.com> X=1\r\n",
    b"MAIL FROM:a@example.com\r\n",
    b"RCPT TO:<b@example.net> NOTIFY=NEVER ORCPT=utf-8;\xc3\xa4\r\n",
    b"RCPT TO:<b@example.net>\r\n",
    b"RCPT TO:<no@example.net>\r\n",
    b"RCPT TO:<boom@example.net>\r\n",
    b"RCPT TO:<\x00@example.net>\r\n",
    b"RCPT TO:<>\r\n",
    b"DATA\r\n",
    b"From: a@example.com\r\n",
    b"From: a@closed.example\r\n",
    b"Subject: x\r\n",
    b"\r\n",
    b"body\r\n",
    b".\r\n",
    b".",
    b"\r",
    b"\n",
    b"\0",
    b"..\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"HELP\r\n",
    b"EXPN x\r\n",
    b"VRFY x\r\n",
    b"QUIT\r\n",
    b"GET / HTTP/1.1\r\n",
    b"x" * 600,
    b"\xff\xfe\r\n",
    BIG,
    # BDAT
    b"BDAT 3 LAST\r\nabc",
    b"BDAT 0\r\n",
    b"BDAT 0 LAST\r\n",
    b"BDAT %d LAST\r\n" % len(MESSAGE) + MESSAGE,
    b"BDAT %d\r\n" % len(MESSAGE) + MESSAGE,
    b"BDAT %d\r\n" % len(BIG) + BIG,
    b"BDAT 50\r\n",
    b"BDAT 100000\r\n",
    b"BDAT x\r\n",
    b"BDAT 5\n",
    b"BDAT " + b"0" * 600 + b"\r\n",
    # AUTH: right, wrong, in steps, broken
    b"AUTH PLAIN AGFwcABzZWNyZXQ=\r\n",
    b"AUTH PLAIN AGFwcAB4\r\n",
    b"AUTH PLAIN\r\n",
    b"AUTH LOGIN\r\n",
    b"AUTH LOGIN YXBw\r\n",
    b"AUTH X\r\n",
    b"YXBw\r\n",
    b"c2VjcmV0\r\n",
    b"AGFwcABzZWNyZXQ=\r\n",
    b"*\r\n",
    b"=\r\n",
    b"auth plain " + b"A" * 13_000 + b"\r\n",
    # TLS and PROXY
    b"STARTTLS\r\n",
    b"STARTTLS x\r\n",
    b"STARTTLS\r\n\x16\x03\x01",
    b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
    PROXY_HEADER,
    b"PROXY UNKNOWN\r\n",
    b"PROXY TCP6 ::1 ::1 1 2\r\n",
    SIGNATURE + b"\x20\x00\x00\x00",
    SIGNATURE + b"\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x01\x00\x02",
    SIGNATURE + b"\x31",
]
MAIL = b"MAIL FROM:<a@example.com>\r\n"
RCPT = b"RCPT TO:<b@example.net>\r\n"
GOOD = b"EHLO c\r\n" + MAIL + RCPT
WHOLE = b"DATA\r\n" + MESSAGE + b".\r\n"
CHUNKED = b"BDAT 10\r\n" + MESSAGE[:10]
CHUNKED += b"BDAT %d LAST\r\n" % (len(MESSAGE) - 10) + MESSAGE[10:]
LOGIN = b"AUTH PLAIN AGFwcABzZWNyZXQ=\r\n"
# Single words seldom make sense in a row; these lead to where it gets interesting.
PHRASES = [
    GOOD,
    MAIL + RCPT,
    GOOD + WHOLE,
    GOOD + CHUNKED,
    MAIL + RCPT + WHOLE + MAIL + RCPT + CHUNKED,
    GOOD + b"DATA\r\n",
    GOOD + b"DATA\r\n" + BIG + b"\r\n.\r\n",
    GOOD + b"DATA\r\n" + BIG,
    b"\r\n.\r\n",
    GOOD + b"BDAT %d\r\n" % len(BIG) + BIG,
    GOOD + b"DATA\r\nFrom: a@closed.example\r\n\r\n.\r\n",
    GOOD + b"DATA\r\nFrom: a@example.com\r\n\r\na\nb\r\n.\r\n",
    b"EHLO c\r\n" + MAIL + b"RCPT TO:<no@example.net>\r\n",
    b"EHLO c\r\n" + MAIL + b"RCPT TO:<no@example.net>\r\n" + RCPT + WHOLE,
    b"EHLO c\r\n" + MAIL + RCPT + b"RCPT TO:<boom@example.net>\r\n" + RCPT + WHOLE,
    b"EHLO c\r\n" + MAIL + RCPT * 6 + WHOLE,
    b"EHLO c\r\n" + LOGIN,
    b"EHLO c\r\nAUTH PLAIN AGFwcAB4\r\n",
    b"EHLO c\r\nAUTH LOGIN\r\n",
    b"EHLO c\r\nAUTH LOGIN\r\nYXBw\r\n",
    b"EHLO c\r\nAUTH PLAIN\r\n",
    b"EHLO c\r\n" + LOGIN + MAIL + RCPT + WHOLE,
    b"HELO c\r\n" + MAIL + RCPT + WHOLE,
]
SIGNALS = [
    *("turn", "turn", "turn", "end", "vanish", "secure", "secure", "secure"),
    *("hold", "release", "lose upstream", "find upstream", "drain"),
    *("a minute", "five minutes", "memory is short", "memory is short"),
]
Act = bytes | str

OCTETS: st.SearchStrategy[bytes] = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(PHRASES),
    st.sampled_from(PHRASES),
    st.binary(max_size=20),
)
_ACT = st.tuples(st.integers(0, 2), st.one_of(OCTETS, OCTETS, OCTETS, st.sampled_from(SIGNALS)))
# Lists of a given length: left to itself, hypothesis makes short ones.
ACTS: st.SearchStrategy[list[tuple[int, Act]]] = st.integers(0, 40).flatmap(
    lambda count: st.lists(_ACT, min_size=count, max_size=count)
)
CUTS = st.sampled_from([1, 2, 3, 7, 40, 1000, 1 << 20])
