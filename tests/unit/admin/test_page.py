"""The status page as a document: well-formed, complete, for everybody, and of one's own making."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest

from relay.admin.page import ASSETS, CONTENT_SECURITY_POLICY, render
from relay.core.status import CertificateStatus, KeyStatus, Status
from tests.fakes.html import Element, read_html
from tests.fakes.page_statuses import (
    NOW,
    bad_status,
    broken_upstream,
    domain,
    good_status,
    record_of,
    transaction,
    upstream,
)

NEW_STATUS = Status(version="0.9.0", hostname="relay.example", at=NOW, started_at=NOW, processes=())
STATUSES = {"good": good_status(), "bad": bad_status(), "new": NEW_STATUS}


@pytest.fixture(params=STATUSES)
def page(request: pytest.FixtureRequest) -> Element:
    """The page of each status; reading it proves that it is well-formed."""
    return show(STATUSES[request.param])


def show(status: Status) -> Element:
    """The page of a status."""
    return read_html(render(status, now=NOW))


def test_every_id_is_given_once(page: Element) -> None:
    """Two elements with one id would send links and labels astray."""
    ids = [element.attributes["id"] for element in page.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids)) > 10


@pytest.mark.parametrize("attribute", ["aria-labelledby", "data-copies"])
def test_what_is_referred_to_is_there(page: Element, attribute: str) -> None:
    """Labels and copy buttons name elements that exist."""
    for element in page.all():
        for name in element.attributes.get(attribute, "").split():
            assert page.by_id(name)


def test_every_link_within_the_page_leads_somewhere(page: Element) -> None:
    """Navigation, problems and signs point at something."""
    links = [e.attributes["href"] for e in page.all("a", "use")]
    assert links
    for link in links:
        assert page.by_id(link.removeprefix("#"))


def test_headings_make_an_outline(page: Element) -> None:
    """One first heading, and no level is left out."""
    levels = [int(element.tag[1]) for element in page.all("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_section_and_landmark_has_a_name(page: Element) -> None:
    """A screen reader lists them by their names."""
    assert page.one("nav").attributes["aria-label"]
    assert page.one("main").attributes["id"] == "main"
    for section in page.all("section"):
        assert page.by_id(section.attributes["aria-labelledby"]).text


def test_the_first_link_skips_to_the_main_part(page: Element) -> None:
    """Who goes by keyboard does not walk through the navigation each time."""
    assert next(page.all("a")).attributes["href"] == "#main"


def test_every_control_has_a_name_of_its_own(page: Element) -> None:
    """Several buttons that are called "Copy" could not be told apart by ear."""
    buttons = [button.text for button in page.all("button")]
    assert all(buttons)
    assert len(set(buttons)) == len(buttons)
    assert all(control.text for control in page.all("a", "summary"))


def test_every_table_has_headers_and_a_caption(page: Element) -> None:
    """Each cell belongs to a column that has a name; roles survive what CSS does to rows."""
    for table in page.all("table"):
        assert table.one("caption").text
        columns = list(table.one("thead").all("th"))
        assert all(column.attributes["scope"] == "col" and column.text for column in columns)
        for row in table.one("tbody").all("tr"):
            assert len(list(row.elements())) == len(columns)
        for cell in table.all("thead", "tbody", "tr", "th", "td"):
            assert cell.attributes["role"]
        for head in table.one("tbody").all("th"):
            assert head.attributes["scope"] == "row"


def test_every_picture_has_words_or_is_decoration(page: Element) -> None:
    """A drawing is described, or hidden from those who cannot see it."""
    for picture in page.all("svg"):
        is_hidden = picture.attributes.get("aria-hidden") == "true"
        assert is_hidden or (picture.attributes["role"] == "img" and picture.one("desc").text)


def test_every_sign_has_a_word_beside_it(page: Element) -> None:
    """Colour and shape are never the only sign."""
    for mark in page.with_class("mark"):
        assert mark.text


def test_only_the_overall_state_is_live(page: Element) -> None:
    """A screen reader speaks when the state changes, not when a number does."""
    (live,) = [element for element in page.all() if "aria-live" in element.attributes]
    assert live.attributes["aria-live"] == "polite"
    assert not list(live.all("time"))
    assert live.text == page.one("h1").text
    assert not re.search(r"\d{3}", live.text)


def test_nothing_needs_more_than_the_policy_allows(page: Element) -> None:
    """No inline script, style or handler, and no address but our own assets."""
    for element in page.all():
        names = element.attributes.keys()
        assert not [name for name in names if name.startswith("on") or name == "style"]
        assert element.tag not in ("style", "form", "iframe", "object", "base", "img")
    addresses = [e.attributes["src"] for e in page.all("script")]
    addresses += [e.attributes["href"] for e in page.all("link")]
    assert len(addresses) == 3
    assert all(f"/{address.partition('?')[0]}" in ASSETS for address in addresses)
    assert not [script.text for script in page.all("script") if script.text]


def test_the_policy_forbids_all_but_our_own_files() -> None:
    """Nothing inline, nothing evaluated, no other place, no frame around the page."""
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; ")
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert {part.split()[1] for part in CONTENT_SECURITY_POLICY.split("; ")} == {"'self'", "'none'"}


@pytest.mark.parametrize("path", ASSETS)
def test_assets_load_nothing(path: str) -> None:
    """No font, picture or script of somebody else's; `#` names what is in the page."""
    content_type, octets = ASSETS[path]
    assert content_type.partition(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
    text = octets.decode().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|@import|//[a-z]|innerHTML|eval\(", text)
    assert all(name.startswith("#") for name in re.findall(r"url\(([^)]*)\)", text))


def test_without_script_it_reloads_by_itself(page: Element) -> None:
    """The page stays true where scripts are forbidden."""
    (meta,) = page.one("noscript").all("meta")
    assert meta.attributes["http-equiv"] == "refresh"
    assert int(meta.attributes["content"]) > 0


def test_it_shows_all_there_is_to_know() -> None:
    """Each fact of a status is on the page, with its unit."""
    text = show(bad_status()).one("main").text
    for fact in (
        "shop.example.com",
        "RSA 2048",
        "Ed25519",
        "record missing",
        "made 59 days ago",
        "s2026b is to be replaced",
        "smtp://smtp.postmark.example:587",
        "TLSv1.3, verified",
        "2 busy, 3 idle",
        "4 waiting for one",
        "the connection was refused",
        "[::]:465",
        "in 3 days",
        "3.1 MiB of 256 MiB",
        "17 connections",
        "0.9.0",
        "4117, 4118",
        "127.0.0.1:2525",
        "orders@example.com",
        "bounces+7841@mail.example.com",
        "10.20.0.14",
        "anna.lindqvist@customer.example",
        "and 38 more",
        "s2026b/rsa, e2026b/ed25519",
        "550 5.7.1 web-3.internal",
        "14.2 KiB 84 ms",
        "710 signed",
        "5 refused",
    ):
        assert fact in text, fact


def test_the_exact_record_is_there_to_copy() -> None:
    """Not a character of it is changed, and its button names the element that has it alone."""
    page = show(bad_status())
    name, text = record_of("s2026c", "shop.example.com")
    buttons = [b for b in page.all("button") if "shop.example.com" in b.text]
    assert [page.by_id(b.attributes["data-copies"]).children for b in buttons] == [[name], [text]]


def test_the_record_that_is_to_be_published_stands_open() -> None:
    """What has to be done next is not hidden; what is well is folded away."""
    page = show(bad_status())
    records = {r.text.split()[1]: "open" in r.attributes for r in page.with_class("record")}
    assert set(records) >= {"to", "record"}
    assert [r for r in page.with_class("record") if "open" in r.attributes] == [
        r for r in page.with_class("record") if r.text.startswith("Record to publish")
    ]


def test_times_are_relative_with_the_absolute_one_beside() -> None:
    """Each time says how long ago for people, and when exactly for a log."""
    for time in show(good_status()).with_class("when"):
        for element in time.all("time"):
            assert element.text.endswith("ago")
            assert element.attributes["title"].endswith(" UTC")
            assert element.attributes["datetime"].endswith("Z")


def test_a_broken_upstream_is_said_in_words_and_marked() -> None:
    """Its row has the class that turns it red, the reason, and a word."""
    (row,) = show(bad_status()).with_class("upstream")[1:]
    assert "bad" in row.attributes["class"].split()
    assert "down, probed now and then" in row.text
    assert "the connection was refused" in row.text


def test_domains_that_are_not_shown_are_counted() -> None:
    """Of 20,000 domains, 50 are listed, and what is left out is said, with its faults."""
    shown = tuple(domain(f"d{n}.example") for n in range(60))
    status = replace(good_status(), domains=shown, domain_count=20_000, ready_domain_count=19_991)
    page = show(status)
    assert len(page.with_class("domain")) == 50
    assert "19,950 more domains are not shown; 9 of them do not sign" in page.text


def test_a_problem_of_a_part_that_is_not_shown_is_no_link() -> None:
    """A link to nowhere would be worse than none."""
    many = (*(upstream(f"u{n}") for n in range(50)), broken_upstream("last"))
    page = show(replace(good_status(), upstreams=many))
    (what,) = page.with_class("what")
    assert what.text == "last cannot be reached"
    assert not list(what.all("a"))


def test_the_largest_status_makes_a_page_of_bounded_size() -> None:
    """However much there is and however long its words are, a browser can take it."""
    long = "<&\"'>" * 2000
    one_key = replace(domain("a").keys[0], selector=long, detail=long)
    keys = tuple(replace(one_key, made_at=float(n)) for n in range(100))
    milestones = tuple(
        replace(domain("a").milestones[0], what=long, selector=long) for _ in range(100)
    )
    whole = replace(domain("a"), domain=long, is_ready=False, keys=keys, milestones=milestones)
    mail = replace(
        transaction(), from_address=long, rcpt_to=(long,) * 1000, reply=long, signatures=(long,) * 9
    )
    status = replace(
        bad_status(),
        domains=(whole,) * 1000,
        upstreams=(replace(broken_upstream(), name=long, url=long, error=long),) * 1000,
        certificates=(CertificateStatus(listener=long, names=(long,) * 99, expires_at=NOW),) * 1000,
        transactions=(mail,) * 10_000,
        listeners=(long,) * 1000,
        processes=tuple(range(1000)),
    )
    page = render(status, now=NOW)
    assert len(page.encode()) < 5_000_000
    assert "more transactions are not shown" in read_html(page).text


def test_twenty_thousand_domains_make_a_page_of_modest_size() -> None:
    """What a large relay shows, every few seconds, to each operator."""
    status = replace(
        good_status(),
        domains=tuple(domain(f"customer-{n}.example") for n in range(100)),
        domain_count=20_000,
        ready_domain_count=20_000,
        transactions=tuple(transaction(n) for n in range(100)),
    )
    assert len(render(status, now=NOW).encode()) < 500_000


def test_a_key_without_a_record_offers_nothing_to_copy() -> None:
    """A key that could not be read shows its fault alone."""
    faulty = KeyStatus(
        selector="",
        algorithm="",
        bits=0,
        role=domain("a").keys[0].role.FAULTY,
        detail="keys/a/s1.pem: may be read by others; chmod 600 keys/a/s1.pem",
    )
    page = show(replace(good_status(), domains=(replace(domain("a"), keys=(faulty,)),)))
    assert "may be read by others" in page.one("main").text
    assert not page.with_class("copy")
