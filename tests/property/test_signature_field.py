"""Whatever is signed, the DKIM-Signature field is one that every verifier can read."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from relay.core.dkim.algorithm import Algorithm
from relay.core.dkim.sign import draft, fields_to_sign
from relay.core.dkim.signature import parse_signature
from relay.core.message import new_field

LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=63).map(
    lambda label: "x" + label[1:-1] + "x"
)
domains = st.lists(LABEL, min_size=1, max_size=4).map(
    lambda labels: ".".join(labels)[-250:].strip("-.")
)
NAMES = st.sampled_from(["To", "Subject", "List-Unsubscribe-Post", "Content-Transfer-Encoding"])
ODD_NAMES = st.text("!#$%&'*+-^_`|~azAZ09", min_size=1, max_size=80).map(lambda n: "List-" + n)
sections = st.lists(NAMES | ODD_NAMES, max_size=40)
values = st.binary(min_size=1, max_size=512)


@given(
    domain=domains,
    selector=domains,
    names=sections,
    value=values,
    algorithm=st.sampled_from(Algorithm),
    now=st.integers(0, 9 * 10**9),  # ten digits, which will do until 2255
    expire_seconds=st.integers(0, 10**7),
    local_part=st.none() | st.sampled_from(["", "jane", "=20x"]),
)
def test_field_reads_as_it_was_written(
    domain: str,
    selector: str,
    names: list[str],
    value: bytes,
    algorithm: Algorithm,
    now: int,
    expire_seconds: int,
    local_part: str | None,
) -> None:
    """The same tags come back, and no token was folded."""
    fields = tuple(new_field(name, "x") for name in names)
    signed_names = fields_to_sign(fields)
    auid = "" if local_part is None else f"{local_part}@{domain}"
    drafted = draft(
        fields,
        signed_names,
        b"\x5a" * 32,
        domain=domain,
        selector=selector,
        algorithm=algorithm,
        now=now,
        expire_seconds=expire_seconds,
        auid=auid,
    )
    field = drafted.seal(value)
    found = parse_signature(field)
    assert found.names == signed_names
    assert (found.domain, found.selector, found.algorithm) == (domain, selector, algorithm)
    assert (found.value, found.body_hash) == (value, b"\x5a" * 32)
    assert found.signed_at == now
    assert found.expires_at == (now + expire_seconds if expire_seconds else None)
    assert found.auid == (auid or None)
    assert found.length is None

    octets = field.octets
    assert octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r")
    assert octets.endswith(b"\r\n")
    for line in octets[:-2].split(b"\r\n"):
        tokens = re.findall(rb"[^\s:;]+[:;]?", line)
        assert line.strip()
        assert len(line) <= 78 or len(tokens) == 1, "a line is long only when one token is"
    for token in (f"d={domain};", f"s={selector};", f"a={algorithm};"):
        assert token.encode() in octets
    before = octets.rsplit(b"b=", 1)[0]
    assert all(end in b";:" for end in re.findall(rb"(.)\r\n\t", before))
