"""Why a signature of the right key does not verify, from the received header alone. Pure.

RFC 6376 §3.4.1-3.4.2, §5.4, §3.5 (z=). Some changes can be taken back and tried; the former
value of a field cannot be guessed, so then the fields are named that hops rewrite most.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from relay.core.dkim.canonical import (
    Canonicalization,
    header_form,
    relaxed_field,
    select_fields,
)
from relay.core.dkim.diagnose.change import (
    CANONICAL_FIX,
    EIGHT_BIT_FIX,
    NOT_AFTER_SIGNING,
    REWRITTEN_BY,
    SIGNER_FIX,
    Change,
    spelled,
)
from relay.core.dkim.signature import Signature
from relay.core.dkim.tags import parse_tags
from relay.core.excerpt import excerpt
from relay.core.message import Field, Message, new_field

MAX_ATTEMPTS = 200
MAX_KEPT_ORIGINALS = 10
MAX_HASHED_OCTETS = 64 * 1024 * 1024  # in all attempts together
_KEPT_ORIGINAL = re.compile(rb"x-(?:[a-z0-9]+-)?original-([a-z-]+)")
# A tag at the beginning of a subject, behind any "Re:".
_SUBJECT_TAG = re.compile(
    rb"\A(\s*(?:(?:re|fwd?|aw|wg)\s*:\s*)*)"
    rb"(?:\[[^\]\r\n]{1,80}\]|\*{2,}[^*\r\n]{1,80}\*{2,}|(?:external|ext|spam|caution)\s*:)\s*",
    re.IGNORECASE,
)
_ENCODING = b"content-transfer-encoding"

Proves = Callable[[bytes], bool]
"""Whether a digest is the one that was signed."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A header section as it may have been when it was signed.

    Attributes:
        change: what was done to it since.
        fields: all of it, but the signature.
    """

    change: Change
    fields: Sequence[Field]


def explain_header(message: Message, signature: Signature, proves: Proves) -> tuple[Change, ...]:
    """Why b= is not a signature of this header section, although the key is the right one.

    Args:
        message: as received.
        signature: of that message.
        proves: whether a digest is the one that was signed.
    """
    fields = tuple(f for f in message.fields if f is not signature.field)
    found = _other_form(fields, signature, proves)
    if found is not None:
        return (found,)
    hashed = 0
    for number, attempt in enumerate(_attempts(fields, signature), start=1):
        octets = _signed_octets(attempt.fields, signature, signature.header_method)
        hashed += len(octets)
        if proves(hashlib.sha256(octets).digest()):
            return (attempt.change,)
        if number >= MAX_ATTEMPTS or hashed > MAX_HASHED_OCTETS:
            break
    copied = tuple(_copied_differences(fields, signature))
    return copied or _suspects(fields, signature)


def _signed_octets(
    fields: Sequence[Field], signature: Signature, method: Canonicalization
) -> bytes:
    forms = [header_form(f, method) for f in select_fields(fields, signature.names)]
    own = header_form(signature.unsigned_field, method).removesuffix(b"\r\n")
    return b"".join(forms) + own


def _other_form(fields: Sequence[Field], signature: Signature, proves: Proves) -> Change | None:
    """The same fields, hashed in another way than c= and §5.4.2 say."""
    method = signature.header_method
    if method is Canonicalization.RELAXED:
        simple = _signed_octets(fields, signature, Canonicalization.SIMPLE)
        if proves(hashlib.sha256(simple).digest()):
            what = "simple header canonicalization matches: the signer wrote relaxed in c= and "
            return Change(what + "hashed the fields as they were", SIGNER_FIX)
    octets = _signed_octets(fields, signature, method)
    if proves(hashlib.sha256(octets + b"\r\n").digest()):
        return Change("the signer hashed a line end behind its own field (§3.7)", SIGNER_FIX)
    upside_down = _signed_octets(fields[::-1], signature, method)
    if proves(hashlib.sha256(upside_down).digest()):
        what = "fields that stand several times are in another order than when they were signed, "
        return Change(what + "or the signer counted them from the top (§5.4.2)", SIGNER_FIX)
    return None


def _attempts(fields: Sequence[Field], signature: Signature) -> Iterator[_Attempt]:
    yield from _kept_originals(fields, signature)
    yield from _without_tag(fields)
    yield from _other_encodings(fields)
    if signature.header_method is Canonicalization.SIMPLE:
        yield from _tidied(fields, signature)
    yield from _without_added(fields, signature)


def _without_added(fields: Sequence[Field], signature: Signature) -> Iterator[_Attempt]:
    """Without one field that h= has a place for: an oversigned field that was added (§8.15)."""
    wanted = set(signature.names)
    for i, field in enumerate(fields):
        if field.key in wanted:
            name = _name(field)
            change = Change(
                f"a {name} field was added after signing, where h= says there was none of it, or "
                f"one less ({name}: {excerpt(field.value)})",
                "see which hop adds it; if it must, let it do so before signing",
            )
            yield _Attempt(change, [*fields[:i], *fields[i + 1 :]])


def _kept_originals(fields: Sequence[Field], signature: Signature) -> Iterator[_Attempt]:
    """With the former value that some hops keep in a field of their own."""
    wanted = set(signature.names)
    matches = ((kept, _KEPT_ORIGINAL.fullmatch(kept.key)) for kept in fields)
    originals = ((kept, found[1]) for kept, found in matches if found and found[1] in wanted)
    for kept, key in islice(originals, MAX_KEPT_ORIGINALS):
        for i, field in enumerate(fields):
            if field.key == key:
                former = _valued(field, kept.value)
                change = Change(
                    f"{_name(field)} was replaced after signing; {_name(kept)} has what it was "
                    f"({excerpt(kept.value)})",
                    f"let that hop keep it, or leave {_name(field)} unsigned with a profile",
                )
                yield _Attempt(change, _with(fields, i, former))


def _without_tag(fields: Sequence[Field]) -> Iterator[_Attempt]:
    for i, field in enumerate(fields):
        if field.key != b"subject":
            continue
        plain = _SUBJECT_TAG.sub(rb"\1", field.value)
        if plain != field.value:
            former = _valued(field, plain)
            change = Change(
                f"a tag was put in front of Subject after signing ({excerpt(field.value)})",
                NOT_AFTER_SIGNING,
            )
            yield _Attempt(change, _with(fields, i, former))


def _other_encodings(fields: Sequence[Field]) -> Iterator[_Attempt]:
    for i, field in enumerate(fields):
        if field.key == _ENCODING:
            for encoding in ("8bit", "8BIT", "7bit", "binary"):
                change = Change(
                    f"Content-Transfer-Encoding was {encoding} when it was signed, and is "
                    f"{excerpt(field.value)}: a hop without 8BITMIME does that",
                    EIGHT_BIT_FIX,
                )
                former = new_field("Content-Transfer-Encoding", encoding)
                yield _Attempt(change, _with(fields, i, former))


def _tidied(fields: Sequence[Field], signature: Signature) -> Iterator[_Attempt]:
    """With fields in the form that most programs write: for simple each blank counts (§3.4.1)."""
    wanted = set(signature.names)
    for i, field in enumerate(fields):
        if field.key not in wanted:
            continue
        change = Change(
            f"only white space, folding or the case of the name of {_name(field)} was changed "
            "after signing, which c=simple does not forgive",
            CANONICAL_FIX,
        )
        unfolded = field.octets.replace(b"\r\n", b"") + b"\r\n"
        value = b" ".join(field.value.split())
        usual = spelled(field.key).encode("ascii", "replace") + b": " + value + b"\r\n"
        for octets in dict.fromkeys((unfolded, usual)):
            if octets != field.octets:
                yield _Attempt(change, _with(fields, i, Field(field.key, octets)))


def _valued(field: Field, value: bytes) -> Field:
    """The field with another value."""
    return type(field)(field.key, field.octets[: -len(field.value)] + value)


def _with(fields: Sequence[Field], index: int, field: Field) -> list[Field]:
    return [*fields[:index], field, *fields[index + 1 :]]


def _copied_differences(fields: Sequence[Field], signature: Signature) -> Iterator[Change]:
    """What z= says that signed fields were (§3.5), where it is not what they are."""
    tag = parse_tags(signature.field.value, utf8=True).get("z")
    if tag is None:
        return
    present = {relaxed_field(f) for f in fields}
    for item in tag.value.split(b"|"):
        name, _, value = item.partition(b":")
        # dkim-quoted-printable (§2.11); white space in it is folding.
        former = binascii.a2b_qp(b"".join(value.split()))
        key = name.strip(b" \t\r\n").lower()
        if relaxed_field(Field(key, key + b":" + former + b"\r\n")) not in present:
            yield Change(
                f"{excerpt(name)} was changed after signing: z= of the signature has "
                f"{excerpt(former)!r}",
                NOT_AFTER_SIGNING,
            )


def _suspects(fields: Sequence[Field], signature: Signature) -> tuple[Change, ...]:
    signed = Counter(signature.names)
    present = Counter(f.key for f in fields)
    suspects = [
        f"{spelled(key)} ({who})"
        for key, who in REWRITTEN_BY.items()
        if signed[key] and present[key]
    ]
    simple = ""
    if signature.header_method is Canonicalization.SIMPLE:
        simple = " (under c=simple, white space, folding and case count)"
    missing = [spelled(name) for name in signed if not present[name]]
    changes = [
        Change(
            f"a signed field is another than when it was signed{simple}; the most likely: "
            + "; ".join(suspects[:4]),
            "compare with the message as it was sent: --original FILE",
        )
    ]
    if missing:
        listed = ", ".join(missing[:12]) + (", ..." if len(missing) > 12 else "")
        changes.append(
            Change(
                f"h= also names fields that are not there, absent from the start or removed "
                f"since: {listed}"
            )
        )
    return tuple(changes)


def _name(field: Field) -> str:
    """The name as the field writes it."""
    return excerpt(field.octets[: len(field.key)])
