"""relay.core.dkim.diagnose: what changed a message after it was signed.

Each test signs a message, does to it what a hop on the way does, and expects that to be said:
from the received message alone where that is possible, and by comparing with the original.
"""

from __future__ import annotations

import base64
import hashlib
import quopri
from dataclasses import replace
from typing import Any

import pytest

from relay.core.dkim.canonical import Canonicalization, hash_body
from relay.core.dkim.diagnose.body import MAX_FOOTER_LINES, canonical_body
from relay.core.dkim.diagnose.change import Change
from relay.core.dkim.diagnose.changes import find_changes
from relay.core.dkim.verdict import Result
from relay.core.message import Message
from relay.core.reader import read_message
from tests.fakes.foreign import BODY, message_of, only_verdict, sign_as, zone_of
from tests.fakes.keys import FakeKey, ed25519_private, rsa_private

RSA = FakeKey(rsa_private(), "example.com", "s1")
OTHER_RSA = FakeKey(rsa_private(2048, 1), "example.com", "s1")
ED = FakeKey(ed25519_private(), "example.com", "s1")
CR = b"\r\n"
TEXT = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
EIGHT_BIT = TEXT + b"Content-Transfer-Encoding: 8bit\r\n"


def found(
    message: Message, key: FakeKey = RSA, original: Message | None = None
) -> tuple[Change, ...]:
    """What is found out about a message that does not verify."""
    verdict = only_verdict(message, zone_of(key))
    assert verdict.result is Result.FAIL
    return find_changes(message, verdict, original)


def only(message: Message, key: FakeKey = RSA, original: Message | None = None) -> str:
    """The only thing that is found."""
    (change,) = found(message, key, original)
    assert change.what.isprintable()
    return change.what


def changed(message: Message, old: bytes, new: bytes) -> Message:
    """The message with other octets."""
    octets = message.octets()
    assert octets.count(old) == 1, octets
    return read_message(octets.replace(old, new))


def with_body(message: Message, body: bytes) -> Message:
    """The message with another body."""
    return replace(message, body=(body,))


def body_of(message: Message) -> bytes:
    """Its body in one piece."""
    return b"".join(message.body)


def test_nothing_is_found_where_nothing_changed() -> None:
    """A pass needs no explanation."""
    message = sign_as(message_of(), RSA)
    assert find_changes(message, only_verdict(message, zone_of(RSA))) == ()


# The body alone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("c", ["relaxed/relaxed", "simple/simple"])
def test_footer(c: str) -> None:
    """How many octets were appended, after which line, and how they begin."""
    message = sign_as(message_of(), RSA, c=c)
    footer = b"\r\n____________\r\nmy-list mailing list\r\n"
    what = only(with_body(message, body_of(message) + footer))
    assert f"a footer of {len(footer)} octets was appended after line 6" in what
    assert "'____________ my-list mailing list'" in what


def test_footer_is_quoted_in_a_short_excerpt() -> None:
    """Not all of it: the body is nobody's business but the sender's; no control characters."""
    message = sign_as(message_of(), RSA)
    footer = b"\x1b[31mred\x1b[0m \xff\xfe" + b"x" * 5000 + CR
    what = only(with_body(message, body_of(message) + footer))
    assert len(what) < 300
    assert what.isprintable()


def test_footer_behind_many_lines() -> None:
    """The bound on lines counts from the end."""
    body = b"line\r\n" * (MAX_FOOTER_LINES + 10)
    message = sign_as(message_of(body), RSA)
    assert "appended after line 20010" in only(with_body(message, body + b"footer\r\n"))


def test_banner() -> None:
    """Lines in front of the body, and how they begin."""
    message = sign_as(message_of(), RSA)
    what = only(with_body(message, b"CAUTION: external mail\r\n\r\n" + body_of(message)))
    assert "in front of the body (2 lines, beginning 'CAUTION: external mail')" in what


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"numbers are", b"numbers  are"),
        (b"fine.\r\n", b"fine. \t\r\n"),
        (b"Good morning", b"Good\tmorning"),
    ],
)
def test_relaxed_would_have_matched(old: bytes, new: bytes) -> None:
    """Signed as simple, and only white space was added that relaxed leaves alone."""
    plain = b"Good morning,\r\nthe numbers are fine.\r\n"
    message = sign_as(message_of(plain), RSA, c="relaxed/simple")
    assert "relaxed body canonicalization would have matched" in only(changed(message, old, new))


def test_simple_was_hashed_and_relaxed_written() -> None:
    """A signer that says one thing and does another."""
    message = sign_as(message_of(), RSA, hashed=canonical_body(BODY, Canonicalization.SIMPLE))
    assert "simple body canonicalization matches" in only(message)


@pytest.mark.parametrize(
    ("hashed", "word"),
    [
        (b"", "empty"),
        (CR, "empty"),
        (canonical_body(BODY, Canonicalization.RELAXED).replace(CR, b"\n"), "LF line ends"),
        (canonical_body(BODY, Canonicalization.RELAXED)[:-2], "last line end"),
    ],
)
def test_faulty_signer(hashed: bytes, word: str) -> None:
    """What signers hash by mistake is recognised."""
    (change,) = found(sign_as(message_of(), RSA, hashed=hashed))
    assert word in change.what
    assert "signs" in change.fix


def test_blank_lines_at_the_end_were_hashed() -> None:
    """Both canonicalizations leave them out."""
    body = b"x\r\n\r\n\r\n"
    assert "blank lines at the end" in only(sign_as(message_of(body), RSA, hashed=body))


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64"])
def test_body_was_re_encoded(encoding: str) -> None:
    """8-bit towards a hop without 8BITMIME: decoded, it matches."""
    body = "Gr\u00fc\u00dfe aus M\u00fcnchen, sch\u00f6nes Wochenende\r\n".encode() * 3
    message = sign_as(message_of(body, extra=EIGHT_BIT), RSA)
    encode = quopri.encodestring if encoding == "quoted-printable" else base64.encodebytes
    coded = encode(body)
    header = message.header.replace(b"8bit", encoding.encode())
    received = read_message(header + CR + coded.replace(b"\n", CR).replace(b"\r\r", b"\r"))
    what = only(received)
    assert "re-encoded" in what


def test_parts_of_a_multipart_were_re_encoded() -> None:
    """The field of the part is taken back with its content."""

    def body(encoding: bytes, text: bytes) -> bytes:
        part = b"--b\r\nContent-Type: text/%b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b\r\n"
        return part % (b"plain", encoding, text) + part % (b"html", encoding, text) + b"--b--\r\n"

    extra = b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="b"\r\n'
    text = "Sch\u00f6n = gut".encode()
    message = sign_as(message_of(body(b"8bit", text), extra=extra), RSA)
    coded = quopri.encodestring(text, quotetabs=False).replace(b"\n", CR)
    assert "re-encoded" in only(with_body(message, body(b"quoted-printable", coded)))


@pytest.mark.parametrize(("limit", "joint"), [(998, b"\r\n "), (990, b"!\r\n "), (900, b"\r\n ")])
def test_long_lines_were_folded(limit: int, joint: bytes) -> None:
    """Postfix and Sendmail break lines that SMTP does not carry."""
    long = bytes(b"abcdefghij"[i % 10] for i in range(3000))
    message = sign_as(message_of(b"x\r\n" + long + b"\r\ny\r\n"), RSA)
    pieces = [long[i : i + limit] for i in range(0, len(long), limit)]
    what = only(with_body(message, b"x\r\n" + joint.join(pieces) + b"\r\ny\r\n"))
    assert "folded after signing" in what


@pytest.mark.parametrize(
    ("sent", "came", "word"),
    [
        (b"x\r\nFrom here on\r\n", b"x\r\n>From here on\r\n", "mbox"),
        (b"From here on\r\n", b">From here on\r\n", "mbox"),
        (b"x\r\n.y\r\n", b"x\r\n..y\r\n", "one too many"),
        (b"x\r\n..y\r\n", b"x\r\n.y\r\n", "dot-stuffing"),
    ],
)
def test_small_manglings(sent: bytes, came: bytes, word: str) -> None:
    """Each is taken back and matches."""
    message = sign_as(message_of(sent), RSA, c="relaxed/simple")
    assert word in only(with_body(message, came))


def test_signature_dashes() -> None:
    """The blank behind "--" matters to simple only."""
    message = sign_as(message_of(b"x\r\n-- \r\nJane\r\n"), RSA, c="relaxed/simple")
    assert '"--"' in only(with_body(message, b"x\r\n--\r\nJane\r\n"))


def test_part_was_added() -> None:
    """A list's footer as a part of its own."""
    extra = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n'
    parts = b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n"
    message = sign_as(message_of(parts + b"--b--\r\n", extra=extra), RSA)
    what = only(with_body(message, parts + b"--b\r\n\r\nlist footer\r\n--b--\r\n"))
    assert "a part was added" in what


def test_unknown_change_asks_for_the_original() -> None:
    """What cannot be told is not guessed at."""
    (change,) = found(changed(sign_as(message_of(), RSA), b"fine", b"bad"))
    assert "cannot be told" in change.what
    assert "--original" in change.fix


@pytest.mark.parametrize(
    "body",
    [
        b"",
        CR,
        CR * 200_000,
        b"a\r\n" * 100_000,
        b"." * 100_000 + CR,
        b" " * 1_000_000 + CR,
        b"\t \t" * 300_000 + CR,
        b">From " * 100_000 + CR,
        (b"x" * 950 + b"\r\n ") * 1000 + CR,
        b"--b\r\n" * 100_000,
        b"=\r\n" * 100_000,
        b"\r" * 100_000 + CR,
    ],
)
def test_hostile_body_is_explained_or_not(body: bytes) -> None:
    """Whatever the body is, the search ends; it says something in a few words."""
    extra = (
        b'Content-Type: multipart/mixed; boundary="b"\r\n'
        b"Content-Transfer-Encoding: quoted-printable\r\n"
    )
    sent = message_of(b"something else\r\n", extra=extra)
    message = replace(sign_as(sent, RSA), body=(body,) if body else ())
    changes = found(message)
    assert changes
    assert all(len(change.what) < 400 for change in changes)


# The header section alone -----------------------------------------------------------------------


@pytest.mark.parametrize("key", [RSA, ED], ids=["rsa", "ed25519"])
@pytest.mark.parametrize(
    ("tags", "old", "new", "words"),
    [
        (
            {"c": "simple/simple"},
            b"Subject: Numbers of the week",
            b"Subject: Numbers of\r\n\tthe week",
            ("only white space, folding", "Subject", "c=simple"),
        ),
        ({"c": "simple/simple"}, b"Subject: ", b"subject:  ", ("case of the name", "subject")),
        ({}, b"Subject: ", b"Subject: [my-list] ", ("tag", "Subject")),
        ({}, b"Subject: ", b"Subject: ***SPAM*** ", ("tag",)),
        ({}, b"Subject: ", b"Subject: EXTERNAL: ", ("tag",)),
        ({}, b"Subject: ", b"Cc: ann@example.net\r\nSubject: ", ("Cc", "added")),
        ({"h": "from:from:subject"}, b"To: ", b"From: eve@evil.example\r\nTo: ", ("From", "added")),
        (
            {},
            b"Message-ID: <1@example.com>\r\n",
            b"Message-ID: <2@esp.example>\r\nX-Original-Message-ID: <1@example.com>\r\n",
            ("Message-ID was replaced", "X-Original-Message-ID", "<1@example.com>"),
        ),
        (
            {},
            b"From: Jane <jane@example.com>\r\n",
            b"From: Bot <bot@example.com>\r\nX-Google-Original-From: Jane <jane@example.com>\r\n",
            ("From was replaced", "X-Google-Original-From"),
        ),
    ],
)
def test_change_that_can_be_taken_back(
    key: FakeKey, tags: dict[str, Any], old: bytes, new: bytes, words: tuple[str, ...]
) -> None:
    """Taken back, the signature verifies: so that is what happened."""
    what = only(changed(sign_as(message_of(), key, **tags), old, new), key)
    for word in words:
        assert word in what


def test_reply_with_a_tag_inside() -> None:
    """Lists put their tag behind "Re:"."""
    message = sign_as(
        read_message(b"From: jane@example.com\r\nSubject: Re: numbers\r\n\r\nx\r\n"),
        RSA,
        h="from:subject",
    )
    assert "tag" in only(changed(message, b"Re: numbers", b"Re: [my-list] numbers"))


def test_transfer_encoding_field_was_rewritten() -> None:
    """Body and header section change together; both are told."""
    body = "Gr\u00fc\u00dfe\r\n".encode()
    message = sign_as(
        message_of(body, extra=EIGHT_BIT), RSA, h="from:subject:content-transfer-encoding"
    )
    coded = quopri.encodestring(body).replace(b"\n", CR).replace(b"\r\r", b"\r")
    received = with_body(changed(message, b"8bit", b"quoted-printable"), coded)
    first, second = found(received)
    assert "re-encoded" in first.what
    assert "Content-Transfer-Encoding was 8bit" in second.what


def test_order_of_repeated_fields() -> None:
    """The signer counted from the top, or a hop turned them round."""
    header = b"From: jane@example.com\r\nX-A: 1\r\nX-A: 2\r\n"
    message = sign_as(read_message(header + b"\r\nx\r\n"), RSA, h="from:x-a:x-a")
    turned = changed(message, b"X-A: 1\r\nX-A: 2", b"X-A: 2\r\nX-A: 1")
    assert "another order" in only(turned)


def test_copied_fields_tell_what_was() -> None:
    """z= has the former values (RFC 6376 §3.5), in dkim-quoted-printable, folded at will."""
    z = "From:Jane=20<jane@example.com>|Subject:=20Numbers=20of=20\r\n\t =20 the=20week|To:x"
    message = sign_as(message_of(), RSA, z=z)
    changes = found(changed(message, b"Numbers of the week", b"Letters"))
    told = "\n".join(change.what for change in changes)
    assert "Subject was changed" in told
    assert "'Numbers of the week'" in told
    assert "From was changed" not in told


def test_value_that_nobody_can_know() -> None:
    """Then the signed fields are named that hops rewrite most, and what is absent."""
    first, second = found(changed(sign_as(message_of(), RSA), b"Numbers", b"Letters"))
    assert "Subject" in first.what
    assert 'profile = "ses"' in first.what
    assert "--original" in first.fix
    assert "Cc" in second.what


def test_wrong_key_explains_no_header_field() -> None:
    """With the wrong key nothing can be said of the header section, so nothing is."""
    message = sign_as(message_of(), RSA)
    verdict = only_verdict(message, zone_of(OTHER_RSA))
    assert verdict.result is Result.FAIL
    assert find_changes(message, verdict) == ()


def test_many_fields_are_tried_up_to_a_limit() -> None:
    """A header section of thousands of signed fields ends in words, not in hours."""
    extra = b"".join(b"X-Original-Subject: %d\r\nX-A: %d\r\n" % (i, i) for i in range(900))
    message = sign_as(message_of(extra=extra), RSA, h="from:subject:" + ":".join(["x-a"] * 900))
    assert found(changed(message, b"Numbers", b"Letters"))


# With the original ------------------------------------------------------------------------------


def compared(sent: Message, received: Message) -> str:
    """What comparing says."""
    return "\n".join(change.what for change in found(received, RSA, sent))


def test_first_line_that_differs() -> None:
    """Its number, and both versions in short."""
    sent = sign_as(message_of(), RSA)
    told = compared(sent, changed(sent, b"the numbers  are fine. ", b"the letters are fine."))
    assert "line 3" in told
    assert "'the numbers are fine.'" in told
    assert "'the letters are fine.'" in told
    assert "1 line became 1 line" in told


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"-- \r\nJane\r\n", b"", ("removed at the end of the body: 3 lines", "'--'")),
        (b"Good morning,\r\n", b"", ("removed", "1 line", "'Good morning,'")),
        (b"fine. \r\n", b"fine. \r\ntracked\r\n", ("text of 9 octets", "line 3", "'tracked'")),
        (b"Jane\r\n", b"Jane\r\nlist\r\n", ("a footer of 6 octets", "line 6", "'list'")),
        (b"Good", b"note\r\nGood", ("in front of the body", "'note'")),
        (b"Good morning,", b"Good\r\nmorning,", ("wrapped anew from line 1", "no word")),
    ],
)
@pytest.mark.parametrize("is_measured", [True, False])
def test_kind_of_change(old: bytes, new: bytes, words: tuple[str, ...], is_measured: bool) -> None:
    """Added, removed, wrapped: where, how much, how it begins; whether or not bh= tells too."""
    sent = sign_as(message_of(), RSA, hashed=None if is_measured else b"a faulty signer")
    told = compared(sent, changed(sent, old, new))
    for word in words:
        assert word in told


def test_white_space_only() -> None:
    """Line ends and blanks: what relaxed leaves alone."""
    sent = sign_as(message_of(), RSA, c="simple/simple")
    told = compared(sent, changed(sent, b"fine. \r\n", b"fine.\r\n"))
    assert "only white space differs" in told


def test_long_lines_wrapped_elsewhere() -> None:
    """Where a hop wraps text at its blanks, undoing it blindly is not possible."""
    words = b"word " * 300
    sent = sign_as(message_of(words.strip() + CR), RSA)
    received = with_body(sent, words.strip().replace(b"word word word", b"word word\r\nword") + CR)
    (change,) = found(received, RSA, sent)
    assert "wrapped anew from line 1" in change.what
    assert "1,499 octets" in change.what
    assert "998" in change.fix


def test_re_encoded_multipart() -> None:
    """Part by part the content is the same."""

    def body(encoding: bytes, text: bytes) -> bytes:
        part = b"--b\r\nContent-Type: text/plain\r\ncontent-transfer-encoding: %b\r\n\r\n%b\r\n"
        return part % (encoding, text) + b"--b--\r\n"

    extra = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n'
    text = "Sch\u00f6n\r\nund gut".encode()
    sent = sign_as(message_of(body(b"binary", text), extra=extra), RSA)
    received = with_body(sent, body(b"base64", base64.encodebytes(text).replace(b"\n", CR)))
    assert "its content is the same" in compared(sent, received)


def test_body_of_another_original() -> None:
    """When the original is not what was signed either, that is said."""
    sent = sign_as(message_of(), RSA)
    received = changed(sent, b"fine", b"bad")
    told = compared(message_of(b"quite another text\r\n"), received)
    assert "not the one that was signed" in told


def test_same_body_as_the_original() -> None:
    """The signer's fault, or the wrong original."""
    sent = sign_as(message_of(), RSA, hashed=b"whatever")
    told = compared(sent, sent)
    assert "the body is the same as in the original" in told


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"Numbers of the week", b"Letters", ("Subject was changed", "'Letters'")),
        (b"Message-ID: <1@example.com>", b"Message-ID: <2@x>", ("Message-ID was changed", "ses")),
        (b"Subject: Numbers of the week\r\n", b"", ("Subject was removed",)),
    ],
)
def test_signed_field_changed(old: bytes, new: bytes, words: tuple[str, ...]) -> None:
    """Which one, from what to what."""
    sent = sign_as(message_of(), RSA)
    told = compared(sent, changed(sent, old, new))
    for word in words:
        assert word in told


def test_signed_fields_added_and_changed() -> None:
    """Several at once, which no single step takes back; unsigned ones are not mentioned."""
    sent = sign_as(message_of(), RSA)
    received = changed(sent, b"Subject: Numbers", b"Cc: x@y\r\nX-New: 1\r\nSubject: Letters")
    told = compared(sent, received)
    assert "Cc was added: 'x@y'" in told
    assert "Subject was changed" in told
    assert "X-New" not in told
    assert "does not verify either" not in told


def test_original_before_signing() -> None:
    """The copy that the application kept has no signature and need not have one."""
    sent = message_of()
    received = changed(sign_as(sent, RSA), b"Numbers", b"Letters")
    told = compared(sent, received)
    assert "Subject was changed" in told
    assert "does not verify either" not in told


def test_original_that_is_another_message() -> None:
    """It does not verify either: said beside the differences."""
    received = changed(sign_as(message_of(), RSA), b"Numbers", b"Letters")
    other = read_message(b"From: x@example.com\r\n\r\nx\r\n")
    assert "does not verify either" in compared(other, received)


def test_signature_field_itself_was_changed() -> None:
    """No signed field differs, so it must be this one."""
    sent = sign_as(message_of(), RSA)
    received = changed(sent, b"; h=from", b"; y=1; h=from")
    assert "DKIM-Signature field itself was changed" in compared(sent, received)


def test_order_differs_from_the_original() -> None:
    """The same fields, turned round."""
    header = b"From: jane@example.com\r\nX-A: 1\r\nX-A: 2\r\nX-A: 3\r\n"
    sent = sign_as(read_message(header + b"\r\nx\r\n"), RSA, h="from:x-a:x-a:x-a")
    received = changed(sent, b"X-A: 1\r\nX-A: 2\r\nX-A: 3", b"X-A: 2\r\nX-A: 1\r\nX-A: 3")
    assert "another order" in compared(sent, received)


def test_faulty_signer_is_told_apart_from_a_change() -> None:
    """The original does not verify either, and nothing differs: then it is the signer."""
    signed = sign_as(message_of(), RSA)
    field = signed.fields[0].octets.replace(b"c=relaxed/", b"c=simple/")
    received = read_message(field + signed.octets()[len(signed.fields[0].octets) :])
    assert "neither message verifies" in compared(received, received)


@pytest.mark.parametrize("method", list(Canonicalization))
@pytest.mark.parametrize(
    "body", [b"", CR, CR * 3, BODY, b" \t\r\n", b"a \t b\r\n\r\n", b"\ta\r\n", b"a\r\n \r\n"]
)
def test_canonical_body_is_what_is_hashed(method: Canonicalization, body: bytes) -> None:
    """The same octets as the incremental hash takes."""
    digest = hashlib.sha256(canonical_body(body, method)).digest()
    assert digest == hash_body((body,), method)
