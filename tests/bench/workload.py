"""The messages that the benchmarks send: the same octets in every run."""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass, replace

_WORDS = (
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dogs",
    "while",
    "invoices",
    "wait",
)


@dataclass(frozen=True)
class Workload:
    """What is sent, and how.

    Attributes:
        body_octets: size of the body, CRLF counted.
        kind: plain, html (runs of blanks) or base64.
        sessions: how many at a time.
        messages: how many in one run.
        is_kept: whether a session sends more than one message.
        is_timed: whether each message is timed by itself, one after the other.
    """

    name: str
    body_octets: int
    kind: str
    sessions: int
    messages: int
    is_kept: bool = True
    is_timed: bool = False

    def scaled(self, scale: float) -> Workload:
        """The same with more or fewer messages; each session has one at least."""
        return replace(self, messages=max(self.sessions, round(self.messages * scale)))


WORKLOADS = {
    w.name: w
    for w in (
        Workload("small", 2048, "plain", 20, 5000),
        Workload("small-c", 2048, "plain", 20, 5000, is_kept=False),
        Workload("medium", 100_000, "html", 20, 1000),
        Workload("large", 5_000_000, "base64", 4, 24),
        Workload("large20", 5_000_000, "base64", 20, 20),  # all at once: the memory case
        Workload("latency", 2048, "plain", 1, 500, is_timed=True),
        Workload("latency-c", 2048, "plain", 1, 500, is_kept=False, is_timed=True),
    )
}


def message(workload: Workload, *, sender: str, recipient: str) -> str:
    """A message with LF line ends, as smtp-source reads it; the same for the same arguments."""
    chance = random.Random(workload.body_octets)  # noqa: S311 - repeatable, not secret
    encoding = "base64" if workload.kind == "base64" else "7bit"
    kind = {"plain": "text/plain", "html": "text/html"}.get(workload.kind, "application/pdf")
    head = (
        f"From: Example Shop <{sender}>\nTo: Some One <{recipient}>\n"
        "Reply-To: help@example.com\n"
        "Subject: Your order 10023 has shipped,   and here is a subject that is\n folded\n"
        "Date: Thu, 19 Nov 2026 10:00:00 +0000\nMessage-ID: <20261119100000.10023@example.com>\n"
        f"MIME-Version: 1.0\nContent-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n"
        "List-Unsubscribe: <https://example.com/u/10023>\nX-Mailer: shop/1.0\n\n"
    )
    lines: list[str] = []
    left = workload.body_octets
    while left > 2:
        line = _line(workload.kind, chance, is_first=not lines)[: left - 2]
        lines.append(line)
        left -= len(line) + 2
    return head + "\n".join(lines) + "\n"


def _line(kind: str, chance: random.Random, *, is_first: bool) -> str:
    if kind == "base64":
        return base64.b64encode(chance.randbytes(57)).decode("ascii")
    if is_first and kind == "plain":
        return ".a leading dot,  two blanks, a blank at the end "
    text = " ".join(chance.choice(_WORDS) for _ in range(chance.randint(1, 14)))
    if kind == "html":
        return " " * chance.randrange(0, 12, 2) + f'<td class="x">{text}</td>'
    return text
