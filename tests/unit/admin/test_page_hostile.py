"""Whatever strangers put into addresses, replies and errors, the page stays what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.admin.page import render
from relay.core.status import CertificateStatus, Status
from tests.fakes.html import Element, read_html
from tests.fakes.page_statuses import NOW, bad_status, broken_upstream, transaction, unready_domain

_KEPT = ("algorithm", "record", "outcome", "role", "reach")

nasty = st.one_of(
    st.text(min_size=1, max_size=200),
    st.text(alphabet="<>&\"'`=/{}%#!-\\ \r\n\t\x00\u202e\u2028\ud800;a1", min_size=1, max_size=200),
)


def strewn(text: str) -> Status:
    """A status that says a text wherever somebody else may have a word."""
    whole = replace(
        bad_status(),
        domains=(unready_domain("shop.example.com"),),
        upstreams=(broken_upstream(),),
        certificates=(CertificateStatus(listener="a", names=("b",), expires_at=NOW),),
        transactions=(transaction(),),
    )
    strewed: Status = _with_text(whole, text)
    return strewed


def _with_text(value: Any, text: str) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            f.name: _with_text(getattr(value, f.name), _own(text, f.name))
            for f in fields(value)
            if f.name not in _KEPT
        }
        return replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(_with_text(item, text) for item in value)
    return f"x{text}" if isinstance(value, str) and value else value


def _own(text: str, name: str) -> str:
    """Two addresses that are alike are shown once."""
    return f"y{text}" if name == "mail_from" else text


def skeleton(page: Element) -> list[str]:
    """All elements with the names of their attributes; but not where addresses may be broken."""
    return [f"{e.tag} {sorted(e.attributes)}" for e in page.all() if e.tag != "wbr"]


@cache
def harmless_skeleton() -> list[str]:
    """Of the page with a text that nobody means anything by."""
    return skeleton(read_html(render(strewn("harmless"), now=NOW)))


def values(page: Element) -> Iterator[str]:
    """What stands in attributes."""
    return (value for element in page.all() for value in element.attributes.values())


@settings(max_examples=50)
@given(nasty)
@example("<script>alert(1)</script>")
@example('"><img src=x onerror=alert(1)>')
@example("' onmouseover='alert(1)")
@example("</title></style></script><svg onload=alert(1)>")
@example("{{ 7 * 7 }}{% raw %}")
@example("&lt;b&gt;&#60;")
@example("javascript:alert(1)")
@example("\u202egnp.exe\u202c \ud83d \x1b[31m")
def test_no_text_changes_what_the_page_is_made_of(text: str) -> None:
    """The elements and attributes are those of a page with harmless texts, and it can be sent."""
    written = render(strewn(text), now=NOW)
    written.encode()  # half a UTF-16 pair could not be
    page = read_html(written)
    assert skeleton(page) == harmless_skeleton()
    assert not [value for value in values(page) if value.startswith(("javascript:", "data:"))]


@settings(max_examples=50)
@given(nasty)
def test_nothing_that_cannot_be_seen_gets_onto_the_page(text: str) -> None:
    """Control characters and turns of the writing direction are shown as escapes."""
    page = read_html(render(strewn(text), now=NOW))
    assert all(character.isprintable() for character in page.one("main").text)


def test_what_was_written_is_what_is_read() -> None:
    """Escaping loses nothing: a reply with markup is read as it was sent."""
    reply = "550 5.7.1 <b>\"Tom\" & 'Jerry'</b> &amp; co"
    status = replace(bad_status(), transactions=(replace(transaction(), reply=reply),))
    assert reply in read_html(render(status, now=NOW)).by_id("transactions").text
