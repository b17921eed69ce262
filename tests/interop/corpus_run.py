"""The corpus on its way through one relay to one Postfix, and what came of each message.

IO. A run submits its cases once, however many tests look at them; the verifiers
then look at all stored messages together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.fakes.corpus import corpus
from tests.fakes.corpus_case import Expectation, Refused
from tests.fakes.postfix import Postfix, Stored
from tests.fakes.verifiers import BatchVerifier, Records, Verdicts
from tests.interop.clients import (
    Client,
    Mail,
    Submission,
    connect,
    submit_on,
    submit_with_swaks,
)
from tests.interop.relay_process import RelayProcess
from tests.interop.wiretap import Wiretap

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")

CASES = corpus()
USUAL_RECIPIENT = "ann@sink.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a run goes: who submits what, and to which kind of smarthost.

    Attributes:
        client: None for smtplib on a single session.
        listener: the name of Postfix's.
        names: of the cases.
    """

    client: Client | None
    listener: str
    names: Sequence[str]

    def expected(self, name: str) -> Expectation:
        """What must become of a case on this way."""
        case = CASES[name]
        return (case.at_bare_hop if self.listener == "bare" else None) or case.expected

    def relayed_names(self) -> list[str]:
        """The cases that must arrive."""
        return [name for name in self.names if not isinstance(self.expected(name), Refused)]

    def judged_names(self) -> list[str]:
        """The cases that verifiers look at: at the bare hop those that are adapted to it.

        Of the others it shows that the octets stored are those on the wire, which is enough.
        """
        names = self.relayed_names()
        if self.listener == "bare":
            return [name for name in names if CASES[name].at_bare_hop is not None]
        return names


# Of every kind one or two: what a client does is transparency, blanks and sizes.
SWAKS_NAMES = (
    *("plain-text", "empty-body", "body-of-one-dot", "body-of-dot-lines", "lines-of-998-octets"),
    *("lines-beginning-with-dots", "body-ending-in-a-dot-line", "body-ending-in-blank-lines"),
    *("trailing-white-space", "form-feed", "line-of-999-octets", "eight-bit-utf-8"),
    *("eight-bit-every-octet", "html-multipart", "base64-attachment-of-5-mb", "smime-signed"),
    *("folded-subject", "missing-date-and-message-id", "bcc", "from-folded", "second-from"),
    *("twenty-recipients", "delivery-report-with-null-reverse-path", "newsletter"),
    *("from-other-domain", "line-without-a-colon"),
)

WAYS: Mapping[str, Way] = {
    "smtplib": Way(client=None, listener="default", names=tuple(CASES)),
    # Neither 8BITMIME, SMTPUTF8, PIPELINING nor CHUNKING.
    "bare-hop": Way(client=None, listener="bare", names=tuple(CASES)),
    "swaks": Way(client=submit_with_swaks, listener="default", names=SWAKS_NAMES),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A message that was relayed.

    Attributes:
        wire: message octets between relay and smarthost, transparency undone.
        stored: what Postfix stored for each recipient.
        queue_id: Postfix's, as the client was told.
    """

    wire: bytes
    stored: Sequence[Stored]
    queue_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of every case on one way.

    Attributes:
        way: which.
        relay: still running.
        submissions: what the client was told.
        arrivals: the messages that were relayed.
        contents: how many messages were on the wire to the smarthost.
    """

    way: Way
    relay: RelayProcess
    submissions: Mapping[str, Submission]
    arrivals: Mapping[str, Arrival]
    contents: int

    def verdicts(self, verify_many: BatchVerifier, records: Records) -> Mapping[str, Verdicts]:
        """What a verifier says to what was stored, for each case to be judged that arrived."""
        names = [name for name in self.way.judged_names() if name in self.arrivals]
        stored = [self.arrivals[name].stored[0].message for name in names]
        return dict(zip(names, verify_many(stored, records), strict=True))


def once(ask: Callable[[Key], Answer]) -> Callable[[Key], Answer]:
    """`ask`, called once for each key; what it raised, it raises again without asking."""
    answers: dict[Key, Answer] = {}
    errors: dict[Key, BaseException] = {}

    def answer(key: Key) -> Answer:
        if key in errors:
            raise errors[key]
        if key not in answers:
            try:
                answers[key] = ask(key)
            except BaseException as error:
                errors[key] = error
                raise
        return answers[key]

    return answer


def mail_of(name: str) -> Mail:
    """A case of the corpus as a client submits it."""
    case = CASES[name]
    return Mail(
        mail_from=case.mail_from,
        rcpt_to=case.rcpt_to or (USUAL_RECIPIENT,),
        message=case.build(),
        mail_options=case.mail_options,
    )


@contextlib.contextmanager
def run_corpus(way: Way, folder: Path, keys_dir: Path, postfix: Postfix) -> Iterator[Run]:
    """Start a relay in front of the smarthost and submit every case of this way."""
    with (
        Wiretap(postfix.ports[way.listener]) as wiretap,
        RelayProcess(folder, keys_dir=keys_dir, upstream_port=wiretap.port) as relay,
    ):
        submissions = dict(_submit(way, relay.port))
        contents = wiretap.contents()
        queue_ids = {name: _queue_id(told) for name, told in submissions.items()}
        arrivals = {
            name: Arrival(
                wire=contents[queue_id], stored=postfix.stored(queue_id), queue_id=queue_id
            )
            for name, queue_id in queue_ids.items()
            if queue_id
        }
        sent = [one for one in wiretap.transactions() if one.content is not None]
        yield Run(
            way=way, relay=relay, submissions=submissions, arrivals=arrivals, contents=len(sent)
        )


def _submit(way: Way, port: int) -> Iterator[tuple[str, Submission]]:
    if way.client is not None:
        for name in way.names:
            yield name, way.client(port, mail_of(name))
        return
    with connect(port) as connection:
        for name in way.names:
            yield name, submit_on(connection, mail_of(name))


def _queue_id(submission: Submission) -> str:
    """Postfix's queue id, or nothing where the message was refused."""
    if submission.data is None or submission.data.code != 250:
        return ""
    return submission.queue_id
