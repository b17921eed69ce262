"""What one can do with the status page: copy a record, go through it by keyboard, follow a link."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver import ActionChains, Keys

from tests.browser.conftest import Shown
from tests.fakes.browser import PHONE, Browser
from tests.fakes.page_statuses import bad_status, record_of

NAME, TEXT = record_of("s2026c", "shop.example.com")
BUTTONS = ".domain[open] .record[open] button"
NO_CLIPBOARD = 'Object.defineProperty(navigator, "clipboard", { value: undefined })'
REACHABLE = """
const seen = (e) => e.checkVisibility({ visibilityProperty: true });
return [...document.querySelectorAll("a[href], button, summary")].filter(seen).length
"""


@pytest.fixture
def bad(shown: Shown) -> Shown:
    """A relay with a record that is to be published."""
    shown.now = bad_status()
    return shown


def press(browser: Browser, *keys: str) -> None:
    """Type."""
    ActionChains(browser.driver).send_keys(*keys).perform()


@pytest.mark.parametrize(("number", "copied"), [(0, NAME), (1, TEXT)])
def test_a_button_copies_the_exact_record(
    browser: Browser, bad: Shown, number: int, copied: str
) -> None:
    """What the clipboard has then is what has to stand in DNS, and the button says so."""
    browser.open(bad.url)
    browser.command(
        "Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"]
    )
    button = browser.driver.find_elements("css selector", BUTTONS)[number]
    button.click()
    browser.wait("return arguments[0].textContent.startsWith('Copied')", button)
    read = "navigator.clipboard.readText().then(arguments[arguments.length - 1])"
    assert browser.driver.execute_async_script(read) == copied
    browser.wait("return arguments[0].textContent.startsWith('Copy ')", button)


def test_without_a_clipboard_the_record_is_selected_and_copied(
    browser: Browser, bad: Shown
) -> None:
    """By plain HTTP from another machine there is no clipboard to write to; Ctrl+V has it still."""
    added = browser.command("Page.addScriptToEvaluateOnNewDocument", source=NO_CLIPBOARD)
    try:
        browser.open(bad.url)
        button = browser.driver.find_elements("css selector", BUTTONS)[1]
        button.click()
        browser.wait("return arguments[0].textContent.startsWith('Copied')", button)
        assert browser.run("return String(getSelection())") == TEXT
        browser.run("document.body.append(document.createElement('textarea'))")
        area = browser.driver.find_element("css selector", "textarea")
        area.send_keys(Keys.CONTROL, "v")
        assert area.get_property("value") == TEXT
    finally:
        browser.command("Page.removeScriptToEvaluateOnNewDocument", **added)


@pytest.mark.parametrize("width", [PHONE, 1280])
def test_the_keyboard_reaches_everything_in_the_order_of_the_page(
    browser: Browser, bad: Shown, width: int
) -> None:
    """Tab goes through all links, buttons and folds, each seen to have the focus."""
    browser.look(width=width)
    browser.open(bad.url)
    expected = browser.run(REACHABLE)
    reached: list[Any] = []
    places: list[int] = []
    for _ in range(expected):
        press(browser, Keys.TAB)
        focused = browser.run("return document.activeElement")
        style, place = browser.run(
            "const e = arguments[0];"
            "return [getComputedStyle(e).outlineStyle,"
            " [...document.querySelectorAll('*')].indexOf(e)]",
            focused,
        )
        assert style == "solid", focused.tag_name
        reached.append(focused)
        places.append(place)
    assert len(set(places)) == expected > 20
    assert places == sorted(places)
    assert reached[0].get_attribute("class") == "skip"


def test_the_skip_link_shows_itself_and_leads_to_the_state(browser: Browser, bad: Shown) -> None:
    """The first Tab shows it; Enter goes past the navigation."""
    browser.open(bad.url)
    press(browser, Keys.TAB)
    assert browser.run("return document.activeElement.getBoundingClientRect().top") >= 0
    press(browser, Keys.ENTER)
    assert browser.wait("return document.activeElement.id === 'main'")
    press(browser, Keys.TAB)
    assert "shop.example.com" in browser.run("return document.activeElement.textContent")


def test_a_problem_leads_to_its_part_and_opens_it(browser: Browser, bad: Shown) -> None:
    """One click from "is to be replaced" to the keys of that domain."""
    browser.open(bad.url)
    link = browser.driver.find_element("partial link text", "example.net: key s2026b")
    link.click()
    opened = "const d = document.querySelector('.domain:target'); return d && d.open && d.innerText"
    assert "e2026b" in browser.wait(opened)


def test_folds_open_by_keyboard(browser: Browser, bad: Shown) -> None:
    """Enter on the name of a domain shows its keys."""
    browser.open(bad.url)
    browser.run("document.querySelectorAll('.domain')[2].querySelector('summary').focus()")
    press(browser, Keys.ENTER)
    assert browser.wait("return document.querySelectorAll('.domain')[2].open")
