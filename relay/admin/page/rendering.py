"""Makes the page of a status. Pure, but that the templates are read when first needed.

All that came in from outside is escaped where it is put in (jinja2's autoescape), and passes
`printable` before. However large the relay, the page is bounded: what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache, partial
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from relay.admin.page import chart, marks, words
from relay.admin.page.assets import EDITION
from relay.admin.page.verdict import CERTIFICATE_WARN_SECONDS, judge
from relay.core.excerpt import excerpt
from relay.core.status import Status

REFRESH_SECONDS: Final = 5
# How many of each are shown; a status has fewer, unless something is very wrong.
MAX_SHOWN: Final = {
    "problems": 20,
    "domains": 50,
    "keys": 8,
    "milestones": 8,
    "upstreams": 50,
    "certificates": 50,
    "names": 3,
    "listeners": 20,
    "processes": 64,
    "minutes": 60,
    "transactions": 100,
    "recipients": 3,
    "signatures": 4,
}


def render(status: Status, *, now: float) -> str:
    """Write the page.

    Args:
        status: the relay; addresses are masked in it already where settings want that.
        now: in seconds since 1970; times are shown relative to it.

    Returns:
        A whole document of HTML, to be sent as UTF-8 with `CONTENT_SECURITY_POLICY`.
    """
    verdict = judge(status, now=now)
    return (
        _environment()
        .get_template("page.html")
        .render(
            status=status,
            now=now,
            verdict=verdict,
            chart=chart.draw(status.minutes[-MAX_SHOWN["minutes"] :]),
            domains_left_out=_domains_left_out(status),
            ids=_Ids(_parts(status)),
            relative=partial(words.relative, now=now),
        )
    )


def _domains_left_out(status: Status) -> tuple[int, int]:
    """How many domains are not shown, and how many of these do not sign."""
    shown = status.domains[: MAX_SHOWN["domains"]]
    unready = status.domain_count - status.ready_domain_count
    left_out = status.domain_count - len(shown)
    return max(left_out, 0), max(unready - sum(not domain.is_ready for domain in shown), 0)


class _Ids:
    """Ids of parts that are named by others; they have no letter of what they stand for."""

    def __init__(self, parts: Iterable[str]) -> None:
        self._of = {part: f"part-{number}" for number, part in enumerate(parts, 1)}
        self._left = dict(self._of)
        self._further = len(self._of)

    def link(self, part: str) -> str:
        """The id of a part; empty for one that is not shown."""
        return self._of.get(part, "")

    def place(self, part: str = "") -> str:
        """The id to give to a part: one that nobody else has, were there two of that name."""
        self._further += 1
        return self._left.pop(part, f"part-{self._further}")


def _parts(status: Status) -> Iterator[str]:
    """The names of the parts that a problem may lie in, as `judge` has them."""
    for domain in status.domains[: MAX_SHOWN["domains"]]:
        yield f"domain {domain.domain}"
    for upstream in status.upstreams[: MAX_SHOWN["upstreams"]]:
        yield f"upstream {upstream.name}"
    yield from ("certificates", "domains", "relay")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("relay.admin.page", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        marks=marks,
        edition=EDITION,
        refresh_seconds=REFRESH_SECONDS,
        limits=MAX_SHOWN,
        chart_height=chart.HEIGHT,
        certificate_warn_seconds=CERTIFICATE_WARN_SECONDS,
        of_kind=words.of_kind,
    )
    environment.filters.update(
        absolute=words.absolute,
        clock=words.clock,
        cut=excerpt,
        grouped=words.grouped,
        iso=words.iso,
        lasting=words.lasting,
        octets=words.octets,
        took=words.took,
    )
    return environment


def _finalized(value: object) -> object:
    """What is really put in for a value of a template."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return words.printable(value)
    return value
