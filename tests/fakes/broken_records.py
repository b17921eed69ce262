"""Records as consoles, people and time leave them, with what must be said of each."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from relay.core.dkim.algorithm import PublicKey
from relay.dns.finding import Code
from relay.dns.judge import RecordState

C = Code
S = RecordState


@dataclass(frozen=True)
class Case:
    """One row: the records, how they are judged, which finding there must be, and its words.

    In a text, {P} is the key's base64, {Q} another key's, {E} an Ed25519 key's, {W} a weak one's.
    """

    name: str
    records: tuple[str, ...]
    state: RecordState
    code: Code
    says: str = ""


P_SPACED = "{P100} {Prest}"
CASES = [
    Case(
        "as printed", ("v=DKIM1; k=rsa; p={P}",), S.MATCHES, C.PUBLISHED, "published and matching"
    ),
    Case("defaults left out", ("p={P}",), S.MATCHES, C.NO_VERSION),
    Case("final semicolon", ("v=DKIM1; k=rsa; p={P};",), S.MATCHES, C.PUBLISHED),
    Case("no spaces", ("v=DKIM1;k=rsa;p={P}",), S.MATCHES, C.PUBLISHED),
    Case("spaces around it", ("  v=DKIM1 ; k = rsa ; p = {P}  ",), S.MATCHES, C.PUBLISHED),
    Case("spaces in p=", (f"v=DKIM1; k=rsa; p={P_SPACED}",), S.MATCHES, C.SPACES_IN_KEY),
    Case("p= before k=", ("v=DKIM1; p={P}; k=rsa",), S.MATCHES, C.PUBLISHED),
    Case("testing", ("v=DKIM1; k=rsa; t=y; p={P}",), S.MATCHES, C.TESTING, "only testing"),
    Case("strict", ("v=DKIM1; k=rsa; t=s; p={P}",), S.MATCHES, C.PUBLISHED),
    Case("sha256 among hashes", ("v=DKIM1; h=sha1:sha256; p={P}",), S.MATCHES, C.PUBLISHED),
    Case("service email", ("v=DKIM1; s=email; p={P}",), S.MATCHES, C.PUBLISHED),
    Case(
        "unknown and historic tags",
        ("v=DKIM1; g=*; x_own=1; n=note; p={P}",),
        S.MATCHES,
        C.PUBLISHED,
    ),
    Case("the same twice, split elsewhere", ("p={P}", "p={P}"), S.MATCHES, C.NO_VERSION),
    Case("another key", ("v=DKIM1; k=rsa; p={Q}",), S.DIFFERENT, C.DIFFERENT, "{Q#}"),
    Case(
        "another kind of key", ("v=DKIM1; k=ed25519; p={E}",), S.DIFFERENT, C.DIFFERENT, "(ed25519)"
    ),
    Case("revoked", ("v=DKIM1; k=rsa; p=",), S.REVOKED, C.REVOKED, "revokes"),
    Case("revoked with spaces", ("v=DKIM1; p= ;",), S.REVOKED, C.REVOKED),
    Case("k= wrong", ("v=DKIM1; k=ed25519; p={P}",), S.MALFORMED, C.KEY_TYPE, "write k=rsa"),
    Case("k= unknown", ("v=DKIM1; k=dsa; p={P}",), S.MALFORMED, C.KEY_TYPE, "write k=rsa"),
    Case("quotes around it", ('"v=DKIM1; k=rsa; p={P}"',), S.MALFORMED, C.QUOTES, "without them"),
    Case("quotes inside", ('v=DKIM1; k=rsa; p={P100}" "{Prest}',), S.MALFORMED, C.QUOTES, "quotes"),
    Case("typographic quotes", ("\u201cv=DKIM1; p={P}\u201d",), S.MALFORMED, C.QUOTES, "quotes"),
    Case(
        "escaped semicolons", ("v=DKIM1\\; k=rsa\\; p={P}",), S.MALFORMED, C.ESCAPES, "backslashes"
    ),
    Case("no semicolons", ("v=DKIM1 k=rsa p={P}",), S.MALFORMED, C.LOST_SEMICOLONS, "semicolons"),
    Case(
        "no semicolons, no spaces",
        ("v=DKIM1k=rsap={P}",),
        S.MALFORMED,
        C.LOST_SEMICOLONS,
        "semicolons",
    ),
    Case(
        "one semicolon lost",
        ("v=DKIM1; k=rsa p={P}",),
        S.MALFORMED,
        C.LOST_SEMICOLONS,
        "semicolons",
    ),
    Case("two semicolons", ("v=DKIM1;; k=rsa; p={P}",), S.MALFORMED, C.MALFORMED, "an empty tag"),
    Case(
        "v= not first",
        ("k=rsa; v=DKIM1; p={P}",),
        S.MALFORMED,
        C.VERSION_NOT_FIRST,
        "must stand first",
    ),
    Case("v= in lower case", ("v=dkim1; k=rsa; p={P}",), S.MALFORMED, C.LETTER_CASE, "upper case"),
    Case(
        "tags in upper case", ("V=DKIM1; K=rsa; P={P}",), S.MALFORMED, C.LETTER_CASE, "lower case"
    ),
    Case("wrong version", ("v=DKIM2; k=rsa; p={P}",), S.MALFORMED, C.MALFORMED, "'v'"),
    Case("p= missing", ("v=DKIM1; k=rsa",), S.MALFORMED, C.MALFORMED, "is missing"),
    Case("p= twice", ("v=DKIM1; p={P}; p={P}",), S.MALFORMED, C.MALFORMED, "twice"),
    Case("cut at 255", ("v=DKIM1; k=rsa; p={Pto255}",), S.MALFORMED, C.CUT_OFF, "one string"),
    Case("cut anywhere", ("v=DKIM1; k=rsa; p={P100}",), S.MALFORMED, C.CUT_OFF, "100 of 392"),
    Case(
        "a letter lost", ("v=DKIM1; k=rsa; p={Pbut1}",), S.MALFORMED, C.MALFORMED, "publish it as"
    ),
    Case("not base64", ("v=DKIM1; k=rsa; p=*{P}",), S.MALFORMED, C.MALFORMED, "not base64"),
    Case(
        "PEM pasted",
        ("v=DKIM1; p=-----BEGIN PUBLIC KEY-----{P}",),
        S.MALFORMED,
        C.PEM_LINES,
        "BEGIN",
    ),
    Case(
        "name pasted",
        ("s._domainkey IN TXT v=DKIM1; p={P}",),
        S.MALFORMED,
        C.NAME_IN_VALUE,
        "name of the",
    ),
    Case("no-break spaces", ("v=DKIM1;\u00a0k=rsa; p={P}",), S.MALFORMED, C.NOT_ASCII, "document"),
    Case(
        "h= without sha256", ("v=DKIM1; h=sha1; p={P}",), S.MALFORMED, C.HASH_EXCLUDED, "remove h="
    ),
    Case(
        "s= without email",
        ("v=DKIM1; s=tlsrpt; p={P}",),
        S.MALFORMED,
        C.SERVICE_EXCLUDED,
        "remove s=",
    ),
    Case("empty text", ("",), S.MALFORMED, C.NOT_A_KEY, "no key record"),
    Case("no tags", ("hello",), S.MALFORMED, C.NOT_A_KEY, "no key record"),
    Case("SPF by a wildcard", ("v=spf1 -all",), S.MALFORMED, C.NOT_A_KEY, "wildcard"),
    Case("DMARC", ("v=DMARC1; p=none",), S.MALFORMED, C.NOT_A_KEY, "DMARC"),
    Case("old policy record", ("o=~",), S.MALFORMED, C.NOT_A_KEY, "policy"),
    Case(
        "two, one is ours",
        ("v=DKIM1; p={P}", "v=DKIM1; p={Q}"),
        S.SEVERAL,
        C.SEVERAL,
        "delete the rest",
    ),
    Case("two, none is ours", ("v=DKIM1; p={Q}", "hello"), S.SEVERAL, C.SEVERAL, "delete them all"),
    Case("two, both ours", ("v=DKIM1; p={P}", "p={P}"), S.SEVERAL, C.SEVERAL, "keep one"),
    Case(
        "ours and revoked", ("v=DKIM1; p={P}", "v=DKIM1; p="), S.SEVERAL, C.SEVERAL, "'v=DKIM1; p='"
    ),
    Case("name with TXT pasted", ("TXT v=DKIM1; k=rsa; p={P}",), S.MALFORMED, C.MALFORMED),
    Case("an Ed25519 key without k=", ("v=DKIM1; p={E}",), S.MALFORMED, C.MALFORMED),
    Case("backslash before a space", ("v=DKIM1; k=rsa;\\ p={P}",), S.MALFORMED, C.ESCAPES),
    Case("single quotes", ("'v=DKIM1; k=rsa; p={P}'",), S.MALFORMED, C.QUOTES, "quotes"),
    Case("value of another record", ("google-site-verification: x",), S.MALFORMED, C.NOT_A_KEY),
    Case("g= empty", ("v=DKIM1; g=; p={P}",), S.MATCHES, C.GRANULARITY, "remove g="),
    Case("g= of one user", ("v=DKIM1; g=bob; p={P}",), S.MATCHES, C.GRANULARITY, "remove g="),
    Case("h= misspelt", ("v=DKIM1; h=sha-256; p={P}",), S.MALFORMED, C.HASH_EXCLUDED),
    Case("s= of the web", ("v=DKIM1; s=web:tls; p={P}",), S.MALFORMED, C.SERVICE_EXCLUDED),
    Case("an RSA key of 512 bits", ("v=DKIM1; k=rsa; p={W}",), S.DIFFERENT, C.DIFFERENT),
]


def base64_of(public: PublicKey) -> str:
    """p= of a key."""
    return base64.b64encode(public.octets).decode()


def places(
    public: PublicKey, other: PublicKey, ed25519: PublicKey, weak: PublicKey
) -> Mapping[str, str]:
    """What stands for the names in braces."""
    p = base64_of(public)
    return {
        "{P}": p,
        "{Q}": base64_of(other),
        "{Q#}": other.fingerprint,
        "{E}": base64_of(ed25519),
        "{W}": base64_of(weak),
        "{P100}": p[:100],
        "{Prest}": p[100:],
        "{Pto255}": p[: 255 - len("v=DKIM1; k=rsa; p=")],
        "{Pbut1}": p[:50] + p[51:],
    }


def fill(text: str, texts: Mapping[str, str]) -> str:
    """A text of a case with keys in place of names in braces."""
    for name, value in texts.items():
        text = text.replace(name, value)
    return text
