"""A document of HTML as a tree, read strictly: what a browser would mend is a fault here. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset(("br", "hr", "img", "input", "link", "meta", "wbr"))
# What may not stand within a paragraph: a browser would end the paragraph before it.
_BLOCKS = frozenset(("details", "div", "dl", "figure", "figcaption", "header", "main", "nav", "ol"))
_BLOCKS |= frozenset(("h1", "h2", "h3", "h4", "p", "section", "table", "ul"))
_ONLY_CHILDREN = {
    "ul": {"li"},
    "ol": {"li"},
    "dl": {"div", "dt", "dd"},
    "table": {"caption", "thead", "tbody"},
    "thead": {"tr"},
    "tbody": {"tr"},
    "tr": {"th", "td"},
}
_ONLY_PARENTS = {
    "li": {"ul", "ol"},
    "summary": {"details"},
    "tr": {"thead", "tbody"},
    "figcaption": {"figure"},
}


class HtmlFault(ValueError):
    """A document that is not well-formed."""


@dataclass(eq=False)
class Element:
    """An element: its name, its attributes, and elements and texts within it."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text within it, with single blanks."""
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield from child._texts()

    def elements(self) -> Iterator[Element]:
        """Its child elements."""
        return (child for child in self.children if isinstance(child, Element))

    def all(self, *tags: str) -> Iterator[Element]:
        """All elements within it, in order, or those with one of these names."""
        for child in self.elements():
            if not tags or child.tag in tags:
                yield child
            yield from child.all(*tags)

    def one(self, tag: str) -> Element:
        """The only element of that name within it."""
        (found,) = self.all(tag)
        return found

    def by_id(self, wanted: str) -> Element:
        """The only element with that id within it."""
        (found,) = (element for element in self.all() if element.attributes.get("id") == wanted)
        return found

    def with_class(self, name: str) -> list[Element]:
        """The elements within it that have a class."""
        return [e for e in self.all() if name in e.attributes.get("class", "").split()]

    def is_within(self, tag: str) -> bool:
        """Whether an element of that name is around it."""
        return self.parent is not None and (self.parent.tag == tag or self.parent.is_within(tag))


def read_html(text: str) -> Element:
    """Read a document.

    Raises:
        HtmlFault: an end tag without its start or the other way round, an element where it may
            not stand, or an attribute that stands twice.
    """
    reader = _Reader()
    reader.feed(text)
    reader.close()
    if reader.at is not reader.root:
        raise HtmlFault(f"<{reader.at.tag}> is not ended")
    return reader.root


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.at = Element("", {}, None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(set(names)) < len(names):
            raise HtmlFault(f"<{tag}> has an attribute twice: {names}")
        element = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        _check_place(element, self.at)
        self.at.children.append(element)
        if tag not in _VOID:
            self.at = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        raise HtmlFault(f"<{tag}/>: HTML knows no such form")

    def handle_endtag(self, tag: str) -> None:
        if self.at.tag != tag or self.at.parent is None:
            raise HtmlFault(f"</{tag}> within <{self.at.tag}>")
        self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        if self.at.tag in _ONLY_CHILDREN and data.strip():
            raise HtmlFault(f"text within <{self.at.tag}>: {data.strip()[:40]}")
        self.at.children.append(data)


def _check_place(element: Element, parent: Element) -> None:
    allowed = _ONLY_CHILDREN.get(parent.tag)
    is_misplaced = allowed is not None and element.tag not in allowed
    is_stray = element.tag in _ONLY_PARENTS and parent.tag not in _ONLY_PARENTS[element.tag]
    if is_misplaced or is_stray:
        raise HtmlFault(f"<{element.tag}> within <{parent.tag}>")
    if element.tag in _BLOCKS and (parent.tag == "p" or element.is_within("p")):
        raise HtmlFault(f"<{element.tag}> within <p>")
