"""A record as all servers that have it answer, taken together. Pure.

Receivers ask any of them, so a record is published when all have it. What one server says is
`judge`'s; here is only what several mean together:

* one that answers otherwise: the record is not everywhere, and that server is named;
* one that does not answer misleads nobody, so it says nothing. A server of several addresses
  answers when one of them does: a host without IPv6 reaches half of them;
* when none answers, nothing is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relay.core.dkim.algorithm import PublicKey
from relay.dns.judge import RecordState, judge
from relay.dns.survey import ServerAnswer


@dataclass(frozen=True, slots=True)
class Finding:
    """How the record of a key stands among its servers.

    Attributes:
        state: MATCHES when every server that answers has it; else how it stands where it does
            not match; TEMPERROR when none answers.
        is_somewhere: a server has it.
        silent: names of servers that do not answer.
        detail: for logs and people.
    """

    state: RecordState
    is_somewhere: bool
    silent: tuple[str, ...]
    detail: str


def taken_together(answers: Sequence[ServerAnswer], public: PublicKey) -> Finding:
    """What the answers mean together.

    Args:
        answers: at least one.
        public: the key that should be there.
    """
    judged = [(one, *judge(one.answer, public)) for one in answers]
    matching = [item for item in judged if item[1] is RecordState.MATCHES]
    unanswered = [item for item in judged if item[1] is RecordState.TEMPERROR]
    wrong = [item for item in judged if item not in matching and item not in unanswered]
    answering = {one.server for one, _, _ in (*matching, *wrong)}
    silent = tuple(dict.fromkeys(o.server for o, _, _ in unanswered if o.server not in answering))
    if wrong:
        state, detail = wrong[0][1], _not_everywhere(wrong, matching)
    elif matching:
        state, detail = RecordState.MATCHES, matching[0][2]
        if len(judged) > 1:
            detail = f"published and matching at {_names(matching)}"
    else:
        state, detail = RecordState.TEMPERROR, unanswered[0][2]
    if silent and len(judged) > 1:
        detail += f"; no answer from {', '.join(silent)}"
    return Finding(state, bool(matching), silent, detail)


_Judged = Sequence[tuple[ServerAnswer, RecordState, str]]


def _not_everywhere(wrong: _Judged, matching: _Judged) -> str:
    if not matching and len(wrong) == 1:
        return wrong[0][2]
    where = "; ".join(f"{o.shown}: {finding}" for o, _, finding in wrong)
    if not matching:
        return where
    return f"not everywhere yet: it matches at {_names(matching)}, but {where}"


def _names(items: _Judged) -> str:
    return ", ".join(dict.fromkeys(one.server for one, _, _ in items))
