"""How the status page looks: on a phone and on a desk, in light and in dark; pictures are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.browser.conftest import Shown
from tests.fakes.browser import DESK, PHONE, Browser
from tests.fakes.page_statuses import bad_status, broken_upstream, good_status

LONG = "a" * 300
STATUSES = {"good": good_status(), "bad": bad_status()}
# What is drawn beyond the right edge and is not cut off by what it lies in.
BEYOND = """
return [...document.querySelectorAll("main *, header *")].filter((e) => {
  const box = e.getBoundingClientRect();
  return box.width > 1 && box.right > document.documentElement.clientWidth + 1;
}).map((e) => e.outerHTML.slice(0, 120))
"""
# Cells whose words stand out of them.
OVERFULL = """
return [...document.querySelectorAll(".transactions td, .certificates td, dd")].filter((e) =>
  e.scrollWidth > e.clientWidth + 1
).map((e) => e.outerHTML.slice(0, 120))
"""


@pytest.mark.parametrize("name", STATUSES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_it_fits_every_screen(
    browser: Browser, shown: Shown, pictures: Path, *, width: int, scheme: str, name: str
) -> None:
    """Nothing has to be scrolled sideways, folded or not; nothing is complained about."""
    shown.now = STATUSES[name]
    browser.look(width=width, scheme=scheme)
    browser.open(shown.url)
    picture = pictures / f"{name}-{width}-{scheme}.png"
    browser.picture(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    for parts in ("", "document.querySelectorAll('details').forEach((e) => { e.open = true });"):
        assert browser.run(f"{parts} return document.documentElement.scrollWidth") <= width
        assert not browser.run(BEYOND)
        assert not browser.run(OVERFULL)
    assert not browser.complaints()


def test_long_words_do_not_widen_the_page(browser: Browser, shown: Shown) -> None:
    """A name or reply without blanks is broken, not let out of its place."""
    bad = bad_status()
    mail = replace(bad.transactions[0], from_address=f"{LONG}@{LONG}", rcpt_to=(LONG,), reply=LONG)
    shown.now = replace(
        bad,
        hostname=LONG,
        domains=(replace(bad.domains[0], domain=LONG), *bad.domains[1:]),
        upstreams=(replace(broken_upstream(), name=LONG, url=LONG, error=LONG),),
        certificates=(replace(bad.certificates[0], listener=LONG, names=(LONG,)),),
        transactions=(mail,),
    )
    for width in (PHONE, DESK):
        browser.look(width=width)
        browser.open(shown.url)
        assert browser.run("return document.documentElement.scrollWidth") <= width
        assert not browser.run(BEYOND)


def test_light_and_dark_are_different(browser: Browser, shown: Shown) -> None:
    """The page follows what its reader prefers."""
    grounds = []
    for scheme in ("light", "dark"):
        browser.look(width=DESK, scheme=scheme)
        browser.open(shown.url)
        grounds.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(245, 243, 238)", "rgb(19, 23, 22)"]


def test_nothing_moves_for_whoever_wants_no_motion(browser: Browser, shown: Shown) -> None:
    """Neither a transition nor smooth scrolling is left."""
    moving = """return [...document.querySelectorAll("*")].filter((e) => {
      const style = getComputedStyle(e);
      return style.transitionDuration !== "0s" || style.scrollBehavior === "smooth";
    }).length"""
    browser.look(width=DESK, motion="no-preference")
    browser.open(shown.url)
    assert browser.run(moving) > 0
    browser.look(width=DESK)
    assert browser.run(moving) == 0


def test_a_row_of_the_widest_table_stays_a_row_for_a_screen_reader(
    browser: Browser, shown: Shown
) -> None:
    """On a phone rows look like cards; the accessibility tree still has a table with headers."""
    browser.look(width=PHONE)
    browser.open(shown.url)
    nodes = browser.command("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node["ignored"] and "role" in node]
    columns = 3 + 7  # of certificates and of transactions; the table of minutes is folded away
    assert roles.count("columnheader") == columns
    assert roles.count("row") == (1 + 1) + (1 + 12)
    assert {"banner", "navigation", "main"} <= set(roles)
