"""What is said of a record: symptom, likely cause, what to do. Pure data.

Codes are stable: scripts compare them. New ones may be added.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters, the least first."""

    OK = "ok"
    NOTE = "note"  # harmless, worth knowing
    WARNING = "warning"  # mail is signed and verifies, but should be looked at
    FAULT = "fault"  # signatures do not verify, everywhere or somewhere


class Code(StrEnum):
    """What was found."""

    # A key record
    PUBLISHED = "published"
    MISSING = "missing"
    MISPLACED = "misplaced"  # it stands at another name
    DIFFERENT = "different"
    SEVERAL = "several"
    REVOKED = "revoked"
    MALFORMED = "malformed"  # none of the following
    NOT_A_KEY = "not_a_key"
    QUOTES = "quotes"
    ESCAPES = "escapes"
    PEM_LINES = "pem_lines"
    NAME_IN_VALUE = "name_in_value"
    NOT_ASCII = "not_ascii"
    KEY_TYPE = "key_type"
    CUT_OFF = "cut_off"
    LOST_SEMICOLONS = "lost_semicolons"
    LETTER_CASE = "letter_case"
    VERSION_NOT_FIRST = "version_not_first"
    HASH_EXCLUDED = "hash_excluded"
    SERVICE_EXCLUDED = "service_excluded"
    SHORT_KEY = "short_key"
    LONG_KEY = "long_key"
    TESTING = "testing"
    GRANULARITY = "granularity"
    SPACES_IN_KEY = "spaces_in_key"
    NO_VERSION = "no_version"
    DELEGATED = "delegated"  # by a CNAME
    # DNS itself
    SERVFAIL = "servfail"
    TIMEOUT = "timeout"
    NOT_EVERYWHERE = "not_everywhere"
    SERVER_TIMEOUT = "server_timeout"
    SERVER_SERVFAIL = "server_servfail"
    SERVER_REFUSED = "server_refused"
    SERVER_LAME = "server_lame"
    SERVER_UNREACHABLE = "server_unreachable"
    SERVER_NO_ADDRESS = "server_no_address"
    SERVER_ERROR = "server_error"
    AUTHORITIES_UNKNOWN = "authorities_unknown"
    RESOLVER_DIFFERS = "resolver_differs"
    RESOLVER_SERVFAIL = "resolver_servfail"
    RESOLVER_TIMEOUT = "resolver_timeout"
    DNSSEC_BOGUS = "dnssec_bogus"
    # The key here
    KEY_UNREADABLE = "key_unreadable"
    NO_KEY = "no_key"
    # What stands around it
    DMARC = "dmarc"
    DMARC_MISSING = "dmarc_missing"
    DMARC_SEVERAL = "dmarc_several"
    DMARC_MALFORMED = "dmarc_malformed"
    DMARC_NONE = "dmarc_none"
    DMARC_SUBDOMAINS_NONE = "dmarc_subdomains_none"
    DMARC_STRICT = "dmarc_strict"
    DMARC_UNKNOWN = "dmarc_unknown"
    SPF = "spf"
    SPF_MISSING = "spf_missing"
    SPF_SEVERAL = "spf_several"
    SPF_UNKNOWN = "spf_unknown"
    LEGACY_POLICY = "legacy_policy"
    OTHER_SELECTOR = "other_selector"
    OTHER_SELECTOR_ABSENT = "other_selector_absent"
    OTHER_SELECTOR_REVOKED = "other_selector_revoked"
    OTHER_SELECTOR_SAME_KEY = "other_selector_same_key"
    OTHER_SELECTOR_BROKEN = "other_selector_broken"
    OTHER_SELECTOR_UNKNOWN = "other_selector_unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        code: for scripts.
        severity: how much it matters.
        symptom: what there is to see.
        cause: what probably led to it; empty where nothing is wrong.
        fix: what to do; empty where there is nothing to do.
        tag: the tag concerned, of a record that cannot be read.
        offset: octets from the start of that record.
    """

    code: Code
    severity: Severity
    symptom: str
    cause: str = ""
    fix: str = ""
    tag: str | None = None
    offset: int | None = None

    def __str__(self) -> str:
        """The finding on one line."""
        said = "; ".join(text for text in (self.symptom, self.cause) if text)
        return f"{said}: {self.fix}" if self.fix else said


def worst(findings: Iterable[Finding]) -> Severity:
    """The severity that matters most; OK when there is no finding."""
    order = list(Severity)
    return max((finding.severity for finding in findings), key=order.index, default=Severity.OK)
