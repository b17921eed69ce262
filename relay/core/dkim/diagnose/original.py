"""What is different from the message as it was sent. Pure.

Only what the signature covers is compared, in the canonical form that it was signed in: what
does not matter to it is not told. Lines are compared from both ends, in linear time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

from relay.core.dkim.canonical import Canonicalization, header_form, select_fields
from relay.core.dkim.diagnose.body import canonical_body
from relay.core.dkim.diagnose.change import (
    CANONICAL_FIX,
    EIGHT_BIT_FIX,
    LONG_LINE_FIX,
    NOT_AFTER_SIGNING,
    PROFILE_FIX,
    REPLACED_BY_UPSTREAMS,
    REWRITTEN_BY,
    Change,
    spelled,
)
from relay.core.dkim.diagnose.header import Proves
from relay.core.dkim.diagnose.undo import MAX_DEPTH, decoded_content
from relay.core.dkim.signature import FIELD_KEY, Signature
from relay.core.errors import SyntaxFault
from relay.core.excerpt import counted, excerpt
from relay.core.message import Field, Message
from relay.core.mime import PLAIN_TEXT, Entity, read_entity, split_multipart

_CRLF = b"\r\n"
_ENCODING = b"content-transfer-encoding"


def compare_body(original: Message, received: Message, signature: Signature) -> tuple[Change, ...]:
    """What was done to the body."""
    sent, came = b"".join(original.body), b"".join(received.body)
    method = signature.body_method
    changes = [_body_change(original, received, sent, came, method)]
    signed = canonical_body(sent, method)[: signature.length]
    if hashlib.sha256(signed).digest() != signature.body_hash:
        what = "the body of the original is not the one that was signed either: bh= is not its hash"
        changes.append(Change(what, "compare with what the signer got, not with an earlier copy"))
    return tuple(changes)


def _body_change(
    original: Message, received: Message, sent: bytes, came: bytes, method: Canonicalization
) -> Change:
    before, after = canonical_body(sent, method), canonical_body(came, method)
    if before == after:
        return Change("the body is the same as in the original")
    if _relaxed(sent) == _relaxed(came):
        return Change(
            "only white space differs from the original, in lines or at their end", CANONICAL_FIX
        )
    lines, new_lines = before.split(_CRLF)[:-1], after.split(_CRLF)[:-1]
    head, tail = _common_ends(lines, new_lines)
    gone, added = lines[head : len(lines) - tail], new_lines[head : len(new_lines) - tail]
    if not gone:
        return _added(added, head, tail)
    if not added:
        place = "at the end of" if not tail else f"after line {head} of"
        what = f"text was removed {place} the body: {_span(gone)}, beginning {_first(gone)!r}"
        return Change(what, NOT_AFTER_SIGNING)
    if _content(original, sent) == _content(received, came):
        what = "the body was re-encoded: its content is the same, its transfer encoding is not"
        return Change(what, EIGHT_BIT_FIX)
    if b"".join(before.split()) == b"".join(after.split()):
        longest = max(map(len, lines))
        what = f"lines were wrapped anew from line {head + 1} on; no word was changed"
        fix = LONG_LINE_FIX if longest > 998 else NOT_AFTER_SIGNING
        return Change(f"{what} (the longest line had {counted(longest, 'octet')})", fix)
    return Change(
        f"the first line of the body that differs is line {head + 1}: it was {_first(gone)!r}, "
        f"and is {_first(added)!r}; {_span(gone)} became {_span(added)}",
        NOT_AFTER_SIGNING,
    )


def _relaxed(body: bytes) -> bytes:
    return canonical_body(body, Canonicalization.RELAXED)


def _added(added: Sequence[bytes], head: int, tail: int) -> Change:
    octets = counted(sum(map(len, added)) + len(_CRLF) * len(added), "octet")
    if not tail:
        what = f"a footer of {octets} was appended after line {head} of the body"
    elif not head:
        what = f"a warning or banner of {octets} was put in front of the body"
    else:
        what = f"text of {octets} was put into the body after line {head}"
    return Change(f"{what}, beginning {_first(added)!r}", NOT_AFTER_SIGNING)


def _common_ends(a: Sequence[bytes], b: Sequence[bytes]) -> tuple[int, int]:
    """How many lines are the same at the beginning, and at the end of the rest."""
    shorter = min(len(a), len(b))
    head = next((i for i in range(shorter) if a[i] != b[i]), shorter)
    rest = shorter - head
    tail = next((i for i in range(rest) if a[-1 - i] != b[-1 - i]), rest)
    return head, tail


def _first(lines: Sequence[bytes]) -> str:
    """The beginning of the first line that has something in it."""
    return excerpt(next((line for line in lines if line.strip()), b""))


def _span(lines: Sequence[bytes]) -> str:
    return counted(len(lines), "line")


def _content(message: Message, body: bytes) -> list[bytes]:
    return list(_decoded(Entity(message.fields, body), MAX_DEPTH))


def _decoded(entity: Entity, depth: int) -> Iterator[bytes]:
    """The content of every part, however encoded, and all that stands between parts."""
    try:
        kind, encoding = entity.content_type(PLAIN_TEXT), entity.transfer_encoding()
        if kind.main == "multipart" and depth:
            pieces = split_multipart(entity.body, kind.boundary)
            yield from pieces.between
            for part in pieces.parts:
                inner = read_entity(part)
                yield b"".join(f.octets for f in inner.fields if f.key != _ENCODING)
                yield from _decoded(inner, depth - 1)
            return
    except SyntaxFault:
        encoding = "7bit"
    content = decoded_content(entity.body, encoding)
    yield (entity.body if content is None else content).rstrip(_CRLF)


def compare_header(
    original: Message, received: Message, signature: Signature, proves: Proves
) -> tuple[Change, ...]:
    """What was done to the header fields that h= names.

    Args:
        original: as it was sent, with its signature or without.
        received: with the signature.
        signature: of `received`.
        proves: whether a digest is the one that was signed.
    """
    method = signature.header_method
    before = [f for f in original.fields if not _is_own(f, signature)]
    after = [f for f in received.fields if f is not signature.field]
    changes: list[Change] = []
    for key in dict.fromkeys(signature.names):
        sent = [header_form(f, method) for f in before if f.key == key]
        came = [header_form(f, method) for f in after if f.key == key]
        changes += _field_changes(key, sent, came)
    forms = [header_form(f, method) for f in select_fields(before, signature.names)]
    own = header_form(signature.unsigned_field, method).removesuffix(_CRLF)
    is_signed = proves(hashlib.sha256(b"".join(forms) + own).digest())
    if is_signed and not changes:
        changes.append(Change("signed fields of the same name are in another order", CANONICAL_FIX))
    if not is_signed:
        changes.append(_not_the_original(original, signature, has_changes=bool(changes)))
    return tuple(changes)


def _is_own(field: Field, signature: Signature) -> bool:
    """Whether a field is the original's copy of the signature."""
    if field.key != FIELD_KEY:
        return False
    own = signature.field
    return _bare(field) == _bare(own)


def _bare(field: Field) -> bytes:
    return b"".join(field.value.split())


def _field_changes(key: bytes, sent: list[bytes], came: list[bytes]) -> Iterator[Change]:
    gone = list((Counter(sent) - Counter(came)).elements())
    added = list((Counter(came) - Counter(sent)).elements())
    name = spelled(key)
    who = f" ({REWRITTEN_BY[key]})" if key in REWRITTEN_BY else ""
    fix = PROFILE_FIX if key in REPLACED_BY_UPSTREAMS else NOT_AFTER_SIGNING
    for was, now in zip(gone, added, strict=False):
        what = f"{name} was changed: it was {_value(was)!r}, and is {_value(now)!r}{who}"
        yield Change(what, fix)
    for was in gone[len(added) :]:
        yield Change(f"{name} was removed: it was {_value(was)!r}", NOT_AFTER_SIGNING)
    for now in added[len(gone) :]:
        what = f"{name} was added: {_value(now)!r}"
        yield Change(what, "let it be added before signing, or not at all")


def _value(form: bytes) -> str:
    return excerpt(form.partition(b":")[2])


def _not_the_original(original: Message, signature: Signature, *, has_changes: bool) -> Change:
    if has_changes:
        return Change(
            "the header section of the original does not verify either: it is not the one that "
            "was signed, or the DKIM-Signature field itself was changed too",
            "compare with what left the signer, not with an earlier copy",
        )
    if any(_is_own(f, signature) for f in original.named(FIELD_KEY)):
        return Change("no signed field differs, and neither message verifies: see the signer")
    return Change(
        "no signed field differs from the original, so the DKIM-Signature field itself was changed",
        NOT_AFTER_SIGNING,
    )
