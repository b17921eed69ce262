"""Names that become paths and records."""

from __future__ import annotations

import contextlib
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import KeyFault
from relay.keyring.names import (
    DEFAULT_TEMPLATE,
    free_selector,
    host_name,
    key_selector,
    signing_domain,
)

NOVEMBER = 1_763_000_000  # 2025-11-13
MONTH_END = 1_764_547_199  # 2025-11-30 23:59:59 UTC


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("example.com", "example.com"),
        ("Mail.EXAMPLE.com", "mail.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),  # as macOS writes file names
        ("under_score.example", "under_score.example"),
    ],
)
def test_domains_are_in_a_labels(text: str, domain: str) -> None:
    """RFC 8616: one spelling, whatever people and file systems write."""
    assert signing_domain(text) == domain


BAD_NAMES = [
    "",
    ".",
    "..",
    "../x",
    "../../etc/passwd",
    "a/b.example",
    "a\\b.example",
    "/etc",
    ".example.com",
    "example.com.",
    "a..b",
    "-a.example",
    "a-.example",
    "*.example.com",
    "lost+found",
    "a b.example",
    "a\n.example",
    "\x00.example",
    "x" * 64 + ".example",
    "xn--zz.example",
    "a;b.example",
    'a"b.example',
    "$ORIGIN.example",
    "\udcff.example",
    "\uff0f.example",  # a full-width solidus
]


@pytest.mark.parametrize("text", [*BAD_NAMES, "localhost", "example"])
def test_what_is_no_domain_is_refused(text: str) -> None:
    """The fault shows the name on one line of ASCII and says what to do."""
    with pytest.raises(KeyFault) as caught:
        signing_domain(text)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert caught.value.fault.fix


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("s202611", "s202611"),
        ("S1", "s1"),
        ("2026.november", "2026.november"),  # RFC 6376 §3.1: dots are legal
        ("k-1", "k-1"),
        ("schlüssel", "xn--schlssel-95a"),
    ],
)
def test_selectors(text: str, selector: str) -> None:
    """Selectors are labels like those of domains, and dots may stand between them."""
    assert key_selector(text, "example.com") == selector


@pytest.mark.parametrize("text", BAD_NAMES)
def test_what_is_no_selector_is_refused(text: str) -> None:
    """The same as for domains, but one label is enough."""
    with pytest.raises(KeyFault):
        key_selector(text, "example.com")


def test_the_name_of_the_record_must_fit() -> None:
    """RFC 1035 §2.3.4: selector, _domainkey and domain together have at most 253 octets."""
    domain = ".".join(["d" * 49] * 4)  # 199
    longest = "s" * 20 + "." + "s" * 21  # 42, and 12 for what stands between
    assert key_selector(longest, domain) == longest
    with pytest.raises(KeyFault, match=r"254 octets.*shorten the selector by 1"):
        key_selector(longest + "s", domain)


@given(text=st.text(max_size=40))
def test_no_name_leaves_its_folder(text: str) -> None:
    """Whatever text: refused, or one plain component of a path."""
    for read in (signing_domain, lambda name: key_selector(name, "example.com")):
        with contextlib.suppress(KeyFault):
            name = read(text)
            assert PurePosixPath(name).parts == (name,)
            assert name not in (".", "..")
            assert name.isascii()
            assert name == name.lower()


def free(template: str = DEFAULT_TEMPLATE, now: float = NOVEMBER, *taken: str) -> str:
    """The selector of example.com after a template."""
    return free_selector(template, domain="example.com", now=now, taken=set(taken))


def test_the_default_selector_has_year_and_month() -> None:
    """The month is UTC's, whatever the time zone of the host."""
    assert free() == "s202511"
    assert free(now=MONTH_END) == "s202511"
    assert free(now=MONTH_END + 1) == "s202512"


@pytest.mark.parametrize(
    ("template", "selector"),
    [
        ("UE{year}{month}", "ue202511"),
        ("{year}-{month}-{day}", "2025-11-13"),
        ("k{day}.{year}", "k13.2025"),
        ("plain", "plain"),
    ],
)
def test_a_template_is_filled(template: str, selector: str) -> None:
    """With year, month and day; the rest stands."""
    assert free(template) == selector


@pytest.mark.parametrize(
    "template", ["{domain}", "{years}", "s{", "{}", "{year", "year}", "{YEAR}"]
)
def test_another_placeholder_is_refused(template: str) -> None:
    """The fault says which there are; the name of the record has the domain anyway."""
    with pytest.raises(KeyFault, match=r"there are {year}, {month} and {day}"):
        free(template)


def test_a_taken_selector_gets_a_letter() -> None:
    """The first letter that makes a new name; in the end a fault, never an old name."""
    taken: list[str] = []
    for expected in ("s202511", "s202511a", "s202511b"):
        assert free(DEFAULT_TEMPLATE, NOVEMBER, *taken) == expected
        taken.append(expected)
    taken += [f"s202511{letter}" for letter in "cdefghijklmnopqrstuvwxyz"]
    with pytest.raises(KeyFault, match="with each letter behind it"):
        free(DEFAULT_TEMPLATE, NOVEMBER, *taken)


def test_companions_have_to_be_free_too() -> None:
    """Two selectors made together get the same letter."""
    for taken in ("s202511", "s202511-x"):
        selector = free_selector(
            DEFAULT_TEMPLATE,
            domain="example.com",
            now=NOVEMBER,
            taken={taken},
            companions=["-x"],
        )
        assert selector == "s202511a"


def test_the_letter_has_to_fit() -> None:
    """A label of 63 octets has no room for one: a fault, not a name that DNS refuses."""
    with pytest.raises(KeyFault, match="not a selector name"):
        free("s" * 63, NOVEMBER, "s" * 63)


def test_host_names() -> None:
    """Where a CNAME may lead to: A-labels, as everywhere."""
    assert host_name("S1.Bücher.example") == "s1.xn--bcher-kva.example"
    with pytest.raises(KeyFault, match="not a host name"):
        host_name("a b")
