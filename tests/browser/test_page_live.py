"""The status page keeps itself fresh, and leaves its reader in peace while it does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.conftest import Shown
from tests.fakes.browser import PHONE, WAIT_SECONDS, Browser
from tests.fakes.page_statuses import (
    NOW,
    broken_upstream,
    good_status,
    transaction,
    unready_domain,
    upstream,
)

GOOD = good_status()
# What a browser says when one comes back to a tab: the page asks at once, not seconds later.
ASK_NOW = "document.dispatchEvent(new Event('visibilitychange'))"
COUNT_ASKING = """
window.asked = 0;
const real = window.fetch;
window.fetch = (...all) => { window.asked += 1; return real(...all); };
"""


def headline(browser: Browser) -> str:
    """What the page says first."""
    return str(browser.run("return document.querySelector('h1').textContent.trim()"))


def refresh(browser: Browser, shown: Shown, **changes: Any) -> None:
    """Change the relay, and wait until the page has seen it."""
    assert shown.now is not None
    shown.now = replace(shown.now, at=shown.now.at + 5, **changes)
    before = browser.run("return document.querySelector('.made time').textContent")
    browser.run(ASK_NOW)
    browser.wait("return document.querySelector('.made time').textContent !== arguments[0]", before)


def test_it_shows_what_changed_without_being_asked(browser: Browser, shown: Shown) -> None:
    """A few seconds later the page says what is now, and it is still the same document."""
    browser.open(shown.url)
    browser.run("window.mark = document.querySelector('h1')")
    assert headline(browser) == "Everything signs"
    shown.now = replace(GOOD, is_draining=True)
    browser.wait("return document.querySelector('h1').textContent.includes('Stopping')")
    assert browser.run("return window.mark === document.querySelector('h1')")
    assert browser.driver.title.startswith("Stopping: no new mail is taken · mail-relay-1")
    icon = browser.run("return document.querySelector('link[rel=icon]').href")
    assert "/assets/icon-bad.svg" in icon
    assert not browser.complaints()


def test_an_upstream_that_goes_down_turns_red_and_says_so(browser: Browser, shown: Shown) -> None:
    """The colour of its row, a word in it, the reason, and the state of the whole."""
    red = "rgb(251, 227, 223)"
    ground = "return getComputedStyle(document.querySelectorAll('.upstream')[1]).backgroundColor"
    browser.open(shown.url)
    assert browser.run(ground) != red
    refresh(browser, shown, upstreams=(upstream(), broken_upstream()))
    row = browser.driver.find_elements("css selector", ".upstream")[1]
    assert browser.run(ground) == red
    assert "down, probed now and then" in row.text
    assert "the connection was refused" in row.text
    assert headline(browser) == "1 upstream cannot be reached"
    refresh(browser, shown, upstreams=GOOD.upstreams)
    assert browser.run(ground) != red
    assert headline(browser) == "Everything signs"


def test_what_was_opened_stays_open_and_focused(browser: Browser, shown: Shown) -> None:
    """Even when its row moves, because another domain is in trouble now and stands before it."""
    browser.open(shown.url)
    browser.run(
        "window.row = document.querySelectorAll('.domain')[1]; row.open = true;"
        "row.querySelector('.record').open = true; row.querySelector('.copy').focus();"
        "window.button = document.activeElement; row.scrollIntoView()"
    )
    trouble = unready_domain("aaa.example")
    refresh(browser, shown, domains=(trouble, *reversed(GOOD.domains)), domain_count=5)
    names = browser.run("return [...document.querySelectorAll('.domain h3')].map(e => e.innerText)")
    assert names == ["aaa.example", *(domain.domain for domain in reversed(GOOD.domains))]
    assert browser.run("return row.isConnected && row.open && row.querySelector('.record').open")
    assert browser.run("return document.activeElement === button && button.matches('.copy')")
    assert browser.run("return row.querySelector('h3').innerText") == "example.net"


def test_what_was_closed_stays_closed(browser: Browser, shown: Shown) -> None:
    """A part that the page opens by itself is not opened again under its reader's hands."""
    shown.now = replace(GOOD, domains=(unready_domain("aaa.example"), *GOOD.domains))
    browser.open(shown.url)
    browser.run("document.querySelector('.domain').open = false")
    refresh(browser, shown, connections=18)
    assert not browser.run("return document.querySelector('.domain').open")


def test_selection_and_place_are_kept(browser: Browser, shown: Shown) -> None:
    """Whoever marks a reply to copy it, far down on the page, can go on."""
    browser.look(width=PHONE)
    browser.open(shown.url)
    browser.run(
        "const cells = document.querySelectorAll('.transactions td.reply bdi');"
        "window.cell = cells[8]; cell.scrollIntoView({ behavior: 'instant', block: 'center' });"
        "getSelection().selectAllChildren(cell); window.top0 = cell.getBoundingClientRect().top"
    )
    browser.run("return new Promise(requestAnimationFrame)")
    newer = replace(transaction(), at=NOW + 4, queue_id="NEW1")
    refresh(browser, shown, transactions=(newer, *GOOD.transactions[:-1]))
    assert browser.run("return document.querySelector('.transactions td.when').innerText").endswith(
        "NEW1"
    )
    assert browser.run("return String(getSelection())") == GOOD.transactions[8].reply
    browser.wait("return Math.abs(cell.getBoundingClientRect().top - top0) < 2")
    rows = browser.run("return document.querySelectorAll('.transactions tbody tr').length")
    assert rows == len(GOOD.transactions)


def test_a_copied_word_is_not_taken_away_by_a_refresh(browser: Browser, shown: Shown) -> None:
    """The button says "Copied" for its two seconds, whatever comes in meanwhile."""
    browser.open(shown.url)
    browser.run(
        "window.row = document.querySelector('.domain'); row.open = true;"
        "row.querySelector('.record').open = true; window.button = row.querySelector('button');"
        "button.setAttribute('data-copied', 'Copy'); button.firstChild.nodeValue = 'Copied'"
    )
    refresh(browser, shown, connections=18)
    assert browser.run("return button.isConnected && button.textContent.startsWith('Copied')")


def test_a_relay_that_does_not_answer_is_said_to(browser: Browser, shown: Shown) -> None:
    """Plainly, in words, in the title, where a screen reader hears it; and taken back after."""
    silent = "const s = document.getElementById('silence'); return !s.hidden && s.innerText"
    browser.open(shown.url)
    browser.command("Network.enable")
    try:
        browser.command(
            "Network.emulateNetworkConditions",
            offline=True,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )
        browser.run(ASK_NOW)
        words = browser.wait(silent)
        assert words.startswith("The relay does not answer. It is asked again and again;")
        assert "2026-11-21 16:20:05 UTC" in words
        assert browser.driver.title.startswith("No answer · Everything signs")
        assert browser.run("return document.querySelector('[aria-live]').textContent").count(words)
    finally:
        browser.command(
            "Network.emulateNetworkConditions",
            offline=False,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )
    refresh(browser, shown, connections=18)
    assert not browser.run(silent)
    assert browser.driver.title.startswith("Everything signs")


def test_an_answer_that_is_no_page_is_told_apart(browser: Browser, shown: Shown) -> None:
    """A relay that fails, or asks who one is, does answer."""
    browser.open(shown.url)
    shown.now = None
    browser.run(ASK_NOW)
    words = browser.wait(
        "const s = document.getElementById('silence'); return !s.hidden && s.innerText"
    )
    assert words.startswith("The relay answers 500 instead of this page.")


def test_nobody_is_asked_while_the_tab_is_hidden(browser: Browser, shown: Shown) -> None:
    """A page in the background rests; coming back to it shows at once what is now."""
    browser.open(shown.url)
    browser.run(COUNT_ASKING)
    hide = "Object.defineProperty(document, 'hidden', { value: arguments[0], configurable: true });"
    assert browser.run(f"{hide} {ASK_NOW}; return asked", True) == 0
    assert browser.run(f"{hide} {ASK_NOW}; return asked", False) == 1


def test_refreshing_can_be_paused(browser: Browser, shown: Shown) -> None:
    """By a button that says what it does next (WCAG 2.2 §2.2.2)."""
    browser.open(shown.url)
    browser.run(COUNT_ASKING)
    pause = browser.driver.find_element("id", "pause")
    assert pause.text.startswith("Pause")
    pause.click()
    assert pause.text.startswith("Resume")
    assert browser.run(f"{ASK_NOW}; return asked") == 0
    pause.click()
    assert pause.text.startswith("Pause")
    assert browser.run("return asked") == 1


def test_another_version_loads_anew(browser: Browser, shown: Shown) -> None:
    """After an upgrade the page takes the script and style that belong to it."""
    browser.open(shown.url)
    browser.run("window.mark = true")
    shown.now = replace(GOOD, version="9.9.9")
    browser.run(ASK_NOW)
    browser.wait("return !window.mark && document.body.textContent.includes('9.9.9')")


def test_without_script_it_reloads_and_offers_nothing_that_does_not_work(
    browser: Browser, shown: Shown
) -> None:
    """All is there to read; buttons that need the script are not shown."""
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.driver.get(shown.url)
        asked = shown.asked
        WebDriverWait(browser.driver, WAIT_SECONDS).until(lambda _: shown.asked > asked)
        snapshot = browser.command("DOMSnapshot.captureSnapshot", computedStyles=["display"])
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)
    document, strings = snapshot["documents"][0], snapshot["strings"]
    drawn = {strings[document["nodes"]["nodeName"][i]] for i in document["layout"]["nodeIndex"]}
    assert "H1" in drawn
    assert "BUTTON" not in drawn


@pytest.mark.parametrize(
    "text", ["<img src=x onerror=window.broken=1>", "</title><script>broken=1"]
)
def test_hostile_texts_stay_texts(browser: Browser, shown: Shown, text: str) -> None:
    """At the first load as after a refresh: shown as they are, never run, the policy untouched."""
    mail = replace(transaction(), reply=text, from_address=text, rcpt_to=(text,))
    assert shown.now is not None
    shown.now = replace(GOOD, transactions=(mail,), hostname=text)
    browser.open(shown.url)
    refresh(browser, shown, upstreams=(replace(broken_upstream(), error=text, name=text),))
    assert browser.driver.find_element("css selector", ".transactions td.reply").text == text
    assert not browser.run("return window.broken")
    assert not browser.complaints()
