"""What is answered: /livez /readyz /metrics /status, and the page at /."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import fields

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from relay.admin.guard import may_see_reasons
from relay.admin.source import Source
from relay.core.address import a_label
from relay.core.errors import SyntaxFault
from relay.core.status import DomainStatus, Status
from relay.observe.exposition import CONTENT_TYPE

_FOR_EVER = "public, max-age=31536000, immutable"  # the page names the edition of its files


class Answers:
    """The answers of one relay."""

    def __init__(self, source: Source, *, now: Callable[[], float]) -> None:
        """Answer from a source; `now` is in seconds since 1970."""
        self._source = source
        self._now = now

    @property
    def routes(self) -> list[Route]:
        """What can be asked; GET and HEAD only."""
        handlers = {
            "/livez": self.livez,
            "/readyz": self.readyz,
            "/metrics": self.metrics,
            "/status": self.status,
            "/": self.page,
            "/assets/{name}": self.asset,
        }
        return [Route(path, handler, methods=["GET"]) for path, handler in handlers.items()]

    async def livez(self, request: Request) -> Response:
        """The event loop turns; nothing more."""
        return PlainTextResponse("alive\n")

    async def readyz(self, request: Request) -> Response:
        """200: mail can pass; 503: it cannot, with the parts that are not ready and why."""
        name = request.query_params.get("domain", "")
        status = await self._source.status(name)
        domain = None
        if name:
            domain = next((d for d in status.domains if d.domain == _a_label(name)), None)
            if domain is None:
                return PlainTextResponse(f"no such domain: {_line(name)}\n", 404)
        is_ready = status.is_ready and (domain is None or domain.is_ready)
        lines = ["ready" if is_ready else "not ready"]
        if may_see_reasons(request.scope):
            lines += _reasons(status, domain)
        return PlainTextResponse("\n".join(lines) + "\n", 200 if is_ready else 503)

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        return Response(await self._source.metrics(), headers={"Content-Type": CONTENT_TYPE})

    async def status(self, request: Request) -> Response:
        """For programs: a `Status` in JSON, with what follows from it."""
        status = await self._source.status()
        parts = [{"part": part, "why": why} for part, why in status.not_ready]
        told = {field.name: getattr(status, field.name) for field in fields(status)}
        octets = orjson.dumps({"is_ready": status.is_ready, "not_ready": parts, **told})
        return Response(octets, media_type="application/json")

    async def page(self, request: Request) -> Response:
        """For people."""
        status = await self._source.status()
        text, policy = await asyncio.to_thread(_written, status, self._now())
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    async def asset(self, request: Request) -> Response:
        """A file of the page."""
        from relay.admin import page

        found = page.ASSETS.get(request.url.path)
        if found is None:
            return PlainTextResponse("not found\n", 404)
        content_type, octets = found
        return Response(octets, headers={"Content-Type": content_type, "Cache-Control": _FOR_EVER})


async def not_answered(request: Request, exc: Exception) -> Response:
    """Nobody can say how the relay is: so it is not ready."""
    return PlainTextResponse(f"not ready\n{_line(str(exc))}\n", 503)


def _written(status: Status, now: float) -> tuple[str, str]:
    """The page and what a browser may do with it; for a thread: a large one takes 70 ms."""
    from relay.admin import page  # with jinja2, for those who look at it

    return page.render(status, now=now), page.CONTENT_SECURITY_POLICY


def _a_label(name: str) -> str:
    try:
        return a_label(name)
    except SyntaxFault:
        return ""


def _reasons(status: Status, domain: DomainStatus | None) -> list[str]:
    """The parts that are not ready; of domains, only the one that was asked for."""
    return [
        f"{part}: {_line(why)}"
        for part, why in status.not_ready
        if domain is None or not part.startswith("domain ") or part == f"domain {domain.domain}"
    ]


def _line(text: str) -> str:
    """A text on one line, whatever a server or a client has put into it."""
    return "".join(c if c.isprintable() else " " for c in text)
