"""A secret of the settings, or in a file that may change at any time. IO.

Kubernetes swaps a mounted secret under a running process, and operators write files in place.
Whoever needs the secret reads it anew; the file is only looked at (one `stat`) unless it has
changed. A file that cannot be read, is empty, or is being written just now does not take the
secret away: the one before stays until there is another.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from relay.core.errors import RelayError
from relay.upstream.stamp import stamp

MAX_SECRET_OCTETS = 65536


class SecretFault(RelayError):
    """There is no secret, and never was; the text names setting, file and cause."""


class Secret:
    """A secret; its text is in no repr.

    Args:
        text: the secret, when it is in no file.
        path: the file that it is in.
        setting: what operators call it.
        told: called when the file was read anew, or cannot be: a text for the log, and whether
            the new secret is in use.
    """

    __slots__ = ("_path", "_seen", "_setting", "_text", "_told")

    def __init__(
        self,
        text: str = "",
        *,
        path: Path | None = None,
        setting: str = "password",
        told: Callable[[str, bool], None] = lambda text, is_taken: None,
    ) -> None:
        self._text = text
        self._path = path
        self._setting = setting
        self._told = told
        self._seen: object = None

    @property
    def is_set(self) -> bool:
        """Whether there is one, or a file to find it in."""
        return bool(self._text) or self._path is not None

    def read(self) -> str:
        """The secret as it is now.

        Raises:
            SecretFault: its file has never had one.
        """
        if self._path is not None:
            self._look(self._path)
        return self._text

    def _look(self, path: Path) -> None:
        seen = stamp(path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            text = _read(path, seen)
        except (OSError, ValueError) as exc:  # UnicodeDecodeError is a ValueError
            cause = getattr(exc, "strerror", None) or exc
            what = f"{self._setting}_file {path}: {cause}"
            if not self._text:
                self._seen = None
                raise SecretFault(what) from exc
            self._told(f"{what}; the secret read before stays in use", False)
            return
        before, self._text = self._text, text
        if before not in ("", text):
            self._told(f"{self._setting}_file {path} was read anew", True)


def _read(path: Path, seen: object) -> str:
    with path.open("rb") as file:
        octets = file.read(MAX_SECRET_OCTETS + 1)
    if len(octets) > MAX_SECRET_OCTETS:
        raise ValueError(f"over {MAX_SECRET_OCTETS} octets")
    try:
        text = octets.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise ValueError("not UTF-8") from exc  # its own text would show the octets
    if not text:
        raise ValueError("it is empty")
    if stamp(path) != seen:
        raise ValueError("it is being written")
    return text
