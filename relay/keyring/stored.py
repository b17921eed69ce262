"""What every key of the keyring has beside `sign`, wherever its private half lives. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from relay.core.dkim.algorithm import SigningKey
from relay.core.errors import Fault


class StoredKey(SigningKey, Protocol):
    """A key that came from the keys folder: a file's, or a token's that a file leads to."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def where(self) -> str:
        """The file for people, with what has to be known of it."""

    @property
    def modified_seconds(self) -> float:
        """When the file was last written, in seconds since 1970."""

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """What should be put right although the key is used."""

    def sign_now(self, digest: bytes) -> bytes:
        """The signature over a 32-octet SHA-256 digest, without a loop; may wait.

        Raises:
            KeyFault: the key cannot sign now.
        """
