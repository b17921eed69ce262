"""What servers stored in maildirs, one for each recipient. IO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.processes import wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One message in one mailbox.

    Attributes:
        mailbox: its name: the recipient's local part.
        message: the octets of the file, CRLF line ends, the server's own fields in front.
    """

    mailbox: str
    message: bytes


def find_stored(folder: Path, marker: bytes) -> list[Stored]:
    """The messages with some octets in them, in the order of the mailboxes' names.

    The servers store lines ending in LF. Giving them CRLF back is exact: a bare CR or LF does
    not get past the relay.

    Args:
        folder: with a maildir in each folder.
        marker: what no other message has; no line end in it.
    """
    found = []
    for path in sorted(folder.glob("*/new/*")):
        octets = path.read_bytes()
        if marker in octets:
            message = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            found.append(Stored(mailbox=path.parent.parent.name, message=message))
    return found


def await_stored(
    folder: Path, marker: bytes, *, count: int, describe: Callable[[], str]
) -> list[Stored]:
    """The same as soon as there are so many; `describe` has the server's view if they never are."""
    wait_until(
        lambda: len(find_stored(folder, marker)) >= count,
        what=f"{count} messages with {marker!r} are stored",
        describe=describe,
    )
    return find_stored(folder, marker)
