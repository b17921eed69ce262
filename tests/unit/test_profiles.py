"""The profiles that come with the relay: all readable, all sourced, and safe to sign by."""

from __future__ import annotations

import hashlib
import re
import tomllib
from importlib import resources

import pytest

from relay.core.dkim.algorithm import Algorithm
from relay.core.dkim.sign import NEVER_SIGNED, draft, fields_to_sign
from relay.core.message import Field
from relay.core.profile import GENERIC, BodyChange, Profile, Status, parse_profile, suggest

NAMES = (
    "generic",
    "google-relay",
    "mailgun",
    "office365",
    "postfix",
    "postmark",
    "sendgrid",
    "ses",
)


def load(name: str) -> Profile:
    """The profile of the package by its name."""
    text = (resources.files("relay.profiles") / f"{name}.toml").read_text("utf-8")
    return parse_profile(name, tomllib.loads(text))


@pytest.fixture(params=NAMES)
def profile(request: pytest.FixtureRequest) -> Profile:
    """Each profile in turn."""
    return load(request.param)


def header() -> list[Field]:
    """One of each field that is ever signed or named by a profile, Message-ID in odd case."""
    names = (
        *("From", "To", "Cc", "Subject", "Reply-To", "Date", "MESSAGE-ID", "In-Reply-To"),
        *("References", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Sender"),
        *("List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Bounces-To", "Feedback-ID"),
    )
    return [Field(n.lower().encode(), f"{n}: as it was\r\n".encode()) for n in names]


def digest(fields: list[Field], names: tuple[bytes, ...]) -> bytes:
    """What a signature over these fields of a header covers."""
    drafted = draft(
        fields,
        names,
        hashlib.sha256(b"\r\n").digest(),
        domain="example.com",
        selector="s",
        algorithm=Algorithm.RSA_SHA256,
        now=1_790_000_000,
    )
    return drafted.digest


def test_the_profiles_are_those_that_are_documented() -> None:
    """No file is left out of these tests."""
    folder = resources.files("relay.profiles")
    files = {f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")}
    assert files == set(NAMES)


def test_every_fact_has_its_source_or_says_unknown(profile: Profile) -> None:
    """A source is an address or an RFC; the rest says which way it errs."""
    assert profile.about
    for fact in profile.facts:
        if fact.status is Status.UNKNOWN:
            assert fact.errs, fact.key
        else:
            assert re.search(r"https?://|RFC \d", fact.source), fact.key
            assert fact.says, fact.key
        if fact.status is Status.REPORTED:
            assert fact.errs, fact.key


def test_nothing_is_left_unsigned_on_a_guess(profile: Profile) -> None:
    """A field goes unsigned only where someone saw it rewritten."""
    for fact in profile.facts:
        if fact.key.startswith("rewrites.") and fact.value:
            assert fact.status is not Status.UNKNOWN, fact.key


def test_what_is_rewritten_are_header_field_names(profile: Profile) -> None:
    """In lower case, as the signer compares them; what makes a message is not among them."""
    for name in profile.rewrites:
        assert re.fullmatch(rb"[!-9;-@\[-~]+", name), name
    assert not profile.rewrites & {b"from", b"to", b"cc", b"subject", b"content-type"}


def test_a_signature_survives_what_the_profile_says_is_rewritten(profile: Profile) -> None:
    """Replacing or removing these fields changes nothing that is signed."""
    before = header()
    names = fields_to_sign(before, never=profile.rewrites)
    replaced = [
        Field(f.key, f.octets.replace(b"was", b"is not")) if f.key in profile.rewrites else f
        for f in before
    ]
    removed = [f for f in before if f.key not in profile.rewrites]
    assert digest(before, names) == digest(replaced, names) == digest(removed, names)


def test_everything_else_stays_signed(profile: Profile) -> None:
    """A profile takes exactly its own fields out of the signature."""
    fields = header()
    all_names = fields_to_sign(fields)
    names = fields_to_sign(fields, never=profile.rewrites)
    assert names == tuple(name for name in all_names if name not in profile.rewrites)
    assert names.count(b"from") == 2


def test_whoever_breaks_signatures_warns_of_it(profile: Profile) -> None:
    """An upstream that can change bodies says so before the first message."""
    if profile.changes_body is not BodyChange.NEVER:
        assert any("signature" in warning for warning in profile.warnings)
    if profile.changes_body is BodyChange.ALWAYS:
        # What we sign is not worth much there: somebody else's signature has to be.
        assert profile.adds_signature


def test_each_profile_is_suggested_for_its_hosts_alone(profile: Profile) -> None:
    """No pattern of one profile takes a host of another."""
    everyone = [load(name) for name in NAMES]
    for pattern in profile.hosts:
        assert suggest(pattern.replace("*", "x-1"), everyone) == profile.name


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("email-smtp.eu-west-1.amazonaws.com", "ses"),
        ("email-smtp-fips.us-gov-west-1.amazonaws.com", "ses"),
        ("vpce-0123-ab.email-smtp.us-east-1.vpce.amazonaws.com", "ses"),
        ("smtp.postmarkapp.com", "postmark"),
        ("smtp-broadcasts.postmarkapp.com", "postmark"),
        ("smtp.sendgrid.net", "sendgrid"),
        ("smtp.eu.mailgun.org", "mailgun"),
        ("smtp.office365.com", "office365"),
        ("contoso-com.mail.protection.outlook.com", "office365"),
        ("smtp-relay.gmail.com", "google-relay"),
        ("smtp.gmail.com", None),
        ("inbound-smtp.eu-west-1.amazonaws.com", None),
        ("localhost", None),
    ],
)
def test_known_hosts(host: str, name: str | None) -> None:
    """The names that people put into `url`."""
    assert suggest(host, [load(each) for each in NAMES]) == name


def test_ses_is_as_amazon_says() -> None:
    """The four fields that must not be signed, and one DKIM-Signature."""
    ses = load("ses")
    assert ses.rewrites >= {b"message-id", b"date", b"return-path", b"bounces-to"}
    assert ses.max_signatures == 1
    assert (ses.limits.max_message_bytes, ses.limits.max_recipients) == (40 * 1024**2, 50)


def test_generic_signs_all_there_is() -> None:
    """The file and the constant that stands for it without one treat a message alike."""
    generic = load("generic")
    assert generic.rewrites <= NEVER_SIGNED
    assert (generic.max_signatures, generic.limits) == (GENERIC.max_signatures, GENERIC.limits)
    assert (generic.changes_body, generic.warnings) == (BodyChange.NEVER, ())
