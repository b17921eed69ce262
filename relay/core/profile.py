"""What an upstream does to a message after it was handed over. Pure; the data is in profiles/.

A header field that the upstream rewrites must be neither signed nor oversigned, or the
signature breaks there; one that is left out without need is not protected. An upstream that
takes one DKIM-Signature gets one. So each file says, for each fact, how well it is known:

    [[rewrites]]                      # also [[hosts]], [connection], [limits.…] and so on
    fields = ["Message-ID", "Date"]
    value = true
    status = "verified"               # a document of the maker, or a standard, says so
                                      # reported: others saw it; unknown: nobody told us
    source = "https://…"              # with verified and reported: where, and
    says = "Replaces both."           # what it says, in our words
    errs = "The signature …"          # with reported and unknown: what happens if it is wrong

The schema is strict: an unknown key, a missing one, a wrong type is a fault with file and key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from relay.core.errors import ConfigError, Fault

# Every file has an opinion on these: what we sign and some upstream is known to touch, and
# what the documents of upstreams name most.
JUDGED_FIELDS = (
    *("Message-ID", "Date", "Sender", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
    *("List-Unsubscribe", "List-Unsubscribe-Post"),
    *("Return-Path", "Bounces-To", "Bcc", "Feedback-ID"),
)
_FIELD_NAME = re.compile(r"[!-9;-~]+")  # RFC 5322 §3.6.8 ftext
_PATTERN = re.compile(r"(?:[a-z0-9*-]+\.)+[a-z0-9-]+\.[a-z]{2,}")
_ANY_LABEL = "[a-z0-9-]+"


class Status(StrEnum):
    """How well a fact is known."""

    VERIFIED = "verified"
    REPORTED = "reported"
    UNKNOWN = "unknown"


class BodyChange(StrEnum):
    """Whether the upstream changes bodies, which no choice of header fields can survive."""

    NEVER = "never"
    BY_SETTING = "by_setting"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement of a profile, and where it is from.

    Attributes:
        key: what it is about: "max_signatures", "rewrites.Date", "limits.max_recipients".
        value: what is assumed.
        status: how well it is known.
        source: address or title of the document; empty only when unknown.
        says: what it says there, in our words; empty only when unknown.
        errs: what happens if the value is wrong; empty only when verified.
    """

    key: str
    value: object
    status: Status
    source: str
    says: str
    errs: str


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """What the upstream takes; 0 where no number is known, or each account has its own.

    Sizes that a document gives in MB are read as MiB: too generous costs a refusal by the
    upstream, which the client hears; too strict would refuse what it takes.
    """

    max_message_bytes: int = 0
    max_recipients: int = 0
    max_connections: int = 0
    max_messages_per_connection: int = 0
    max_messages_per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of upstream.

    Attributes:
        name: as in `profile = "…"`.
        rewrites: lower-case header field names that it replaces or removes.
        max_signatures: DKIM-Signature fields it takes; 0 for any number.
        about: what it is, in a sentence.
        hosts: patterns of its host names; `*` stands for letters, digits, hyphens of one label.
        port: where it usually listens.
        tls: how it usually takes TLS, as in the settings of an upstream.
        adds_signature: whether it signs with DKIM itself.
        changes_body: whether it changes bodies.
        limits: what it takes.
        warnings: what an operator should know before the first message.
        facts: every statement of the file with its source.
    """

    name: str = "generic"
    rewrites: frozenset[bytes] = frozenset()
    max_signatures: int = 0
    about: str = ""
    hosts: tuple[str, ...] = ()
    port: int = 587
    tls: str = "starttls"
    adds_signature: bool = False
    changes_body: BodyChange = BodyChange.NEVER
    limits: UpstreamLimits = UpstreamLimits()
    warnings: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()


GENERIC = Profile()


def suggest(host: str, profiles: Iterable[Profile]) -> str | None:
    """The name of the profile for an upstream's host name, or None.

    The pattern that leaves least open wins, whatever the order of the profiles.
    """
    name = host.lower().removesuffix(".")
    found = (
        (len(pattern.replace("*", "")), profile.name)
        for profile in profiles
        for pattern in profile.hosts
        if _matches(pattern, name)
    )
    return max(found, default=(0, None))[1]


def _matches(pattern: str, host: str) -> bool:
    expression = _ANY_LABEL.join(map(re.escape, pattern.split("*")))
    return re.fullmatch(expression, host) is not None


def parse_profile(name: str, data: Mapping[str, object]) -> Profile:
    """Read a profile from its TOML data.

    Args:
        name: of the file, without ".toml".
        data: the parsed file.

    Raises:
        ConfigError: every fault of the file, each with file and key.
    """
    try:
        file = _File.model_validate(data)
    except ValidationError as exc:
        faults = tuple(_fault(name, error) for error in exc.errors())
        raise ConfigError(faults) from None
    rewritten = (field for group in file.rewrites if group.value for field in group.fields)
    return Profile(
        name=name,
        rewrites=frozenset(field.lower().encode("ascii") for field in rewritten),
        max_signatures=file.max_signatures.value,
        about=file.about,
        hosts=tuple(pattern for group in file.hosts for pattern in group.patterns),
        port=file.connection.port,
        tls=file.connection.tls,
        adds_signature=file.adds_signature.value,
        changes_body=file.changes_body.value,
        limits=UpstreamLimits(**{key: getattr(file.limits, key).value for key in _LIMITS}),
        warnings=tuple(file.warnings),
        facts=tuple(_facts(file)),
    )


def _facts(file: _File) -> Iterator[Fact]:
    for hosts in file.hosts:
        for pattern in hosts.patterns:
            yield hosts.fact(f"hosts.{pattern}", True)
    yield file.connection.fact("connection", f"{file.connection.tls}:{file.connection.port}")
    for group in file.rewrites:
        for field in group.fields:
            yield group.fact(f"rewrites.{field}", group.value)
    yield file.max_signatures.fact("max_signatures", file.max_signatures.value)
    yield file.adds_signature.fact("adds_signature", file.adds_signature.value)
    yield file.changes_body.fact("changes_body", file.changes_body.value)
    for key in _LIMITS:
        limit = getattr(file.limits, key)
        yield limit.fact(f"limits.{key}", limit.value)


def _fault(name: str, error: ErrorDetails) -> Fault:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    match error["type"]:
        case "missing":
            what, fix = "is missing", "every profile says it"
        case "extra_forbidden":
            what, fix = "unknown key", "see relay/core/profile.py for those there are"
        case _:
            what, fix = error["msg"], str(error.get("ctx", {}).get("fix", ""))
    return Fault(
        f"profiles/{name}.toml", f"{key.removeprefix('.')}: {what}".removeprefix(": "), fix
    )


def _wrong(what: str, fix: str) -> PydanticCustomError:
    return PydanticCustomError("profile", "{what}", {"what": what, "fix": fix})


def _host_pattern(value: str) -> str:
    if _PATTERN.fullmatch(value) is None:
        fix = "lower case, three labels or more, no * in the last two"
        raise _wrong(f"{value!r} is not a host name pattern", fix)
    return value


def _field_name(value: str) -> str:
    if _FIELD_NAME.fullmatch(value) is None:
        raise _wrong(f"{value!r} is not a header field name", "see RFC 5322 §3.6.8; no colon")
    if value.lower() == "from":
        fix = "without From a signature says nothing (RFC 6376 §5.4)"
        raise _wrong("From is always signed", fix)
    return value


_Text = Annotated[str, Field(min_length=1)]
_Count = Annotated[int, Field(ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, str_strip_whitespace=True, allow_inf_nan=False
    )


class _Evidence(_Model):
    """How well a statement is known."""

    status: Annotated[Status, Field(strict=False)]
    source: _Text | None = None
    says: _Text | None = None
    errs: _Text | None = None

    @model_validator(mode="after")
    def _check(self) -> _Evidence:
        if self.status is not Status.UNKNOWN and not (self.source and self.says):
            raise _wrong(f"{self.status} without source and says", "say where, and what it says")
        if self.status is not Status.VERIFIED and not self.errs:
            raise _wrong(f"{self.status} without errs", "say what happens if the value is wrong")
        return self

    def fact(self, key: str, value: object) -> Fact:
        """The statement about `key`, with this evidence."""
        said = (self.source or "", self.says or "", self.errs or "")
        return Fact(key, value, self.status, *said)


class _Hosts(_Evidence):
    patterns: list[Annotated[str, AfterValidator(_host_pattern)]]


class _Connection(_Evidence):
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: Literal["implicit", "starttls", "opportunistic", "none"]


class _Rewrites(_Evidence):
    fields: list[Annotated[str, AfterValidator(_field_name)]]
    value: bool


class _CountFact(_Evidence):
    value: _Count


class _RateFact(_Evidence):
    value: Annotated[float, Field(ge=0)]


class _FlagFact(_Evidence):
    value: bool


class _BodyFact(_Evidence):
    value: Annotated[BodyChange, Field(strict=False)]


class _Limits(_Model):
    max_message_bytes: _CountFact
    max_recipients: _CountFact
    max_connections: _CountFact
    max_messages_per_connection: _CountFact
    max_messages_per_second: _RateFact


_LIMITS = tuple(_Limits.model_fields)


class _File(_Model):
    about: _Text
    warnings: list[_Text]
    hosts: list[_Hosts]
    connection: _Connection
    rewrites: list[_Rewrites]
    max_signatures: _CountFact
    adds_signature: _FlagFact
    changes_body: _BodyFact
    limits: _Limits

    @model_validator(mode="after")
    def _check(self) -> _File:
        judged = [field.lower() for group in self.rewrites for field in group.fields]
        twice = sorted({field for field in judged if judged.count(field) > 1})
        missing = [field for field in JUDGED_FIELDS if field.lower() not in judged]
        if twice:
            raise _wrong(f"rewrites: {', '.join(twice)} more than once", "say it once")
        if missing:
            fix = 'if nobody knows: value = false, status = "unknown", errs = "…"'
            raise _wrong(f"rewrites: nothing about {', '.join(missing)}", fix)
        return self
