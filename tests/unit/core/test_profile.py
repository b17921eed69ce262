"""The schema of profiles: strict, and every fault with its file and key."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from relay.core.errors import ConfigError
from relay.core.profile import (
    GENERIC,
    JUDGED_FIELDS,
    BodyChange,
    Fact,
    Profile,
    Status,
    UpstreamLimits,
    parse_profile,
    suggest,
)

VERIFIED = {"status": "verified", "source": "RFC 5321", "says": "So it is."}
REPORTED = {**VERIFIED, "status": "reported", "errs": "It fails."}
UNKNOWN = {"status": "unknown", "errs": "It fails."}
LIMITS = (
    "max_message_bytes",
    "max_recipients",
    "max_connections",
    "max_messages_per_connection",
    "max_messages_per_second",
)


def sample() -> dict[str, Any]:
    """The data of a file without a fault."""
    return copy.deepcopy(
        {
            "about": "An example.",
            "warnings": ["Mind the gap."],
            "hosts": [{"patterns": ["smtp.*.example.net"], **VERIFIED}],
            "connection": {"port": 465, "tls": "implicit", **VERIFIED},
            "rewrites": [
                {"fields": ["Message-ID", "Date"], "value": True, **REPORTED},
                {"fields": list(JUDGED_FIELDS[2:]), "value": False, **UNKNOWN},
            ],
            "max_signatures": {"value": 2, **VERIFIED},
            "adds_signature": {"value": True, **VERIFIED},
            "changes_body": {"value": "by_setting", **VERIFIED},
            "limits": {limit: {"value": 7, **VERIFIED} for limit in LIMITS},
        }
    )


def put(data: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Set the value at a path like "hosts.0.patterns" and return the data."""
    *parents, last = path.split(".")
    table: Any = data
    for part in parents:
        table = table[int(part)] if isinstance(table, list) else table[part]
    table[last] = value
    return data


def faults(data: dict[str, Any]) -> list[str]:
    """What is wrong with the data, a line for each fault."""
    with pytest.raises(ConfigError) as caught:
        parse_profile("esp", data)
    return [str(fault) for fault in caught.value.faults]


def test_every_part_arrives() -> None:
    """The file's values are the profile's; header names in lower case."""
    profile = parse_profile("esp", sample())
    assert profile == Profile(
        name="esp",
        rewrites=frozenset({b"message-id", b"date"}),
        max_signatures=2,
        about="An example.",
        hosts=("smtp.*.example.net",),
        port=465,
        tls="implicit",
        adds_signature=True,
        changes_body=BodyChange.BY_SETTING,
        limits=UpstreamLimits(7, 7, 7, 7, 7.0),
        warnings=("Mind the gap.",),
        facts=profile.facts,
    )


def test_each_statement_keeps_its_evidence() -> None:
    """One fact for each pattern, field and number, with where it is from."""
    facts = {fact.key: fact for fact in parse_profile("esp", sample()).facts}
    assert set(facts) == {
        "hosts.smtp.*.example.net",
        "connection",
        *(f"rewrites.{field}" for field in JUDGED_FIELDS),
        "max_signatures",
        "adds_signature",
        "changes_body",
        *(f"limits.{limit}" for limit in LIMITS),
    }
    assert facts["rewrites.Date"] == Fact(
        "rewrites.Date", True, Status.REPORTED, "RFC 5321", "So it is.", "It fails."
    )
    assert facts["rewrites.Sender"] == Fact(
        "rewrites.Sender", False, Status.UNKNOWN, "", "", "It fails."
    )


def test_a_rate_may_be_a_fraction() -> None:
    """Thirty a minute is half a message a second; a whole number is a rate too."""
    data = put(sample(), "limits.max_messages_per_second.value", 0.5)
    assert parse_profile("esp", data).limits.max_messages_per_second == 0.5


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("zzz", "zzz"),
        ("hosts.0.zzz", "hosts[0].zzz"),
        ("connection.zzz", "connection.zzz"),
        ("rewrites.1.zzz", "rewrites[1].zzz"),
        ("max_signatures.zzz", "max_signatures.zzz"),
        ("limits.zzz", "limits.zzz"),
        ("limits.max_recipients.zzz", "limits.max_recipients.zzz"),
    ],
)
def test_an_unknown_key_is_named_with_its_file(path: str, named: str) -> None:
    """At every level: a slip of the pen must not silently mean nothing."""
    (fault,) = faults(put(sample(), path, 1))
    assert fault.startswith(f"profiles/esp.toml: {named}: unknown key")


@pytest.mark.parametrize("key", sorted(sample()))
def test_every_key_must_be_there(key: str) -> None:
    """What is not known is said to be unknown, not left out."""
    data = sample()
    del data[key]
    (fault,) = faults(data)
    assert fault.startswith(f"profiles/esp.toml: {key}: is missing")


@pytest.mark.parametrize("limit", LIMITS)
def test_every_limit_must_be_there(limit: str) -> None:
    """The same for limits."""
    data = sample()
    del data["limits"][limit]
    (fault,) = faults(data)
    assert fault.startswith(f"profiles/esp.toml: limits.{limit}: is missing")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("about", 3),
        ("about", "  "),
        ("warnings", "one"),
        ("warnings", [""]),
        ("hosts", {}),
        ("hosts.0.patterns", "smtp.example.net"),
        ("connection.port", "587"),
        ("connection.port", True),
        ("connection.port", 0),
        ("connection.port", 65536),
        ("connection.tls", "tls"),
        ("rewrites.0.fields", "Date"),
        ("rewrites.0.value", 1),
        ("rewrites.0.value", "true"),
        ("max_signatures.value", True),
        ("max_signatures.value", 1.0),
        ("max_signatures.value", -1),
        ("max_signatures.value", "1"),
        ("adds_signature.value", 0),
        ("changes_body.value", True),
        ("changes_body.value", "sometimes"),
        ("limits.max_message_bytes.value", 1e6),
        ("limits.max_recipients", 50),
        ("limits.max_messages_per_second.value", -0.5),
        ("limits.max_messages_per_second.value", float("inf")),
        ("limits.max_messages_per_second.value", float("nan")),
        ("limits.max_messages_per_second.value", True),
        ("max_signatures.status", "certain"),
        ("max_signatures.source", 5),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(path: str, value: object) -> None:
    """Nothing is converted: what is written is what is meant."""
    where = ".".join(part for part in path.split(".") if not part.isdigit())
    (fault,) = faults(put(sample(), path, value))
    named = fault.removeprefix("profiles/esp.toml: ").partition(": ")[0]
    assert named.replace("[0]", "") == where


def test_all_faults_are_told_at_once() -> None:
    """One run names everything that is wrong."""
    data = put(sample(), "about", 3)
    put(data, "connection.port", 0)
    put(data, "limits.zzz", 1)
    assert len(faults(data)) == 3


@pytest.mark.parametrize(
    ("status", "without"),
    [
        ("verified", "source"),
        ("verified", "says"),
        ("reported", "source"),
        ("reported", "says"),
        ("reported", "errs"),
        ("unknown", "errs"),
    ],
)
def test_a_statement_needs_its_evidence(status: str, without: str) -> None:
    """Known facts have a source; of the others it is said what happens if they are wrong."""
    evidence = {**REPORTED, "status": status}
    del evidence[without]
    (fault,) = faults(put(sample(), "max_signatures", {"value": 1, **evidence}))
    assert fault.startswith(f"profiles/esp.toml: max_signatures: {status} without")
    assert without in fault


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("name", ["From", "from", "FROM"])
def test_from_is_not_up_for_judgement(name: str, *, value: bool) -> None:
    """A signature that does not cover From is none (RFC 6376 §5.4)."""
    data = sample()
    data["rewrites"].append({"fields": [name], "value": value, **VERIFIED})
    (fault,) = faults(data)
    assert fault.startswith("profiles/esp.toml: rewrites[2].fields[0]: From is always signed")


@pytest.mark.parametrize("name", ["", "Message-ID:", "Message ID", "Dät", "X\r\nY", "X\x00"])
def test_rewritten_fields_have_field_names(name: str) -> None:
    """A name that no field can have would never be left out of a signature."""
    data = sample()
    data["rewrites"].append({"fields": [name], "value": True, **VERIFIED})
    (fault,) = faults(data)
    assert fault.startswith("profiles/esp.toml: rewrites[2].fields[0]: ")


def test_a_field_is_judged_once() -> None:
    """Two opinions on one field, in whatever case, are a fault."""
    data = sample()
    data["rewrites"].append({"fields": ["DATE"], "value": False, **VERIFIED})
    (fault,) = faults(data)
    assert fault.startswith("profiles/esp.toml: rewrites: date more than once")


def test_no_field_is_forgotten() -> None:
    """Nobody's silence on a field passes for knowledge."""
    data = put(sample(), "rewrites.0.fields", ["Date"])
    (fault,) = faults(data)
    assert fault.startswith("profiles/esp.toml: rewrites: nothing about Message-ID")


@pytest.mark.parametrize(
    "pattern", ["*", "*.com", "*.example.*", "smtp.example.*", "SMTP.example.net", "a..example.net"]
)
def test_a_pattern_cannot_match_the_world(pattern: str) -> None:
    """A pattern names a service's own domain."""
    (fault,) = faults(put(sample(), "hosts.0.patterns", [pattern]))
    assert fault.startswith("profiles/esp.toml: hosts[0].patterns[0]: ")
    assert "not a host name pattern" in fault


ESP = Profile(name="esp", hosts=("smtp.*.example.net", "*.mail.example.org"))
SPECIAL = Profile(name="aaa", hosts=("smtp.eu-1.example.net",))


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("smtp.us-1.example.net", "esp"),
        ("SMTP.US-1.Example.NET.", "esp"),
        ("smtp.eu-1.example.net", "aaa"),
        ("tenant.mail.example.org", "esp"),
        ("mail.example.org", None),
        (".mail.example.org", None),
        ("smtp..example.net", None),
        ("smtp.a.b.example.net", None),
        ("smtp.us-1.example.net.evil.test", None),
        ("xsmtp.us-1.example.net", None),
        ("smtp.us-1.exampleXnet", None),
        ("smtp.us-1.example.net\n", None),
        ("127.0.0.1", None),
        ("::1", None),
        ("", None),
    ],
)
def test_a_host_suggests_a_profile(host: str, name: str | None) -> None:
    """Whole names only; a star is within one label; the closer pattern wins in any order."""
    assert suggest(host, (ESP, SPECIAL)) == name
    assert suggest(host, (SPECIAL, ESP)) == name


def test_without_profiles_nothing_is_suggested() -> None:
    """Neither of none, nor of one without host names."""
    assert suggest("smtp.us-1.example.net", ()) is None
    assert suggest("smtp.us-1.example.net", (GENERIC,)) is None
