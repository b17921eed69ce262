"""Where a key in a token is: the PKCS#11 URI of a `.pkcs11` file. Pure. RFC 7512.

    pkcs11:token=relay;object=s1?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/pin

A PIN in the URI itself is refused, and so is a command as its source (RFC 7512 §2.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

_SCHEME = "pkcs11:"
_PATH_NAMES = frozenset({"token", "serial", "object", "id", "type"})
_QUERY_NAMES = frozenset({"module-path", "pin-source"})
_EXAMPLE = "pkcs11:token=NAME;object=KEY?module-path=/path/module.so&pin-source=file:/path/pin"


class UriFault(Exception):
    """The text is no URI that we can use.

    Attributes:
        what: what is wrong; never has a PIN in it.
        fix: what to do.
    """

    def __init__(self, what: str, fix: str = f"write it like {_EXAMPLE}") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


@dataclass(frozen=True, slots=True)
class TokenUri:
    """A private key in a token.

    Attributes:
        module: the library that speaks to the token.
        token, serial: its label and serial number; None: whatever they are.
        label, key_id: of the key; at least one of them is given.
        pin_file: the file with the PIN of the user.
    """

    module: Path
    token: str | None
    serial: str | None
    label: str | None
    key_id: bytes | None
    pin_file: Path


def parse_token_uri(octets: bytes) -> TokenUri:
    """Read the octets of a `.pkcs11` file: one URI, which blanks and line ends may surround.

    Raises:
        UriFault: it is none, or does not say which key, module and PIN file.
    """
    try:
        text = octets.decode("ascii").strip()
    except UnicodeDecodeError as exc:
        raise UriFault("is not ASCII; other octets are written %XX") from exc
    if not text.startswith(_SCHEME) or any(c.isspace() for c in text):
        raise UriFault(f"is not one URI that begins with {_SCHEME}")
    path, _, query = text.removeprefix(_SCHEME).partition("?")
    found = _attributes(path.split(";"), _PATH_NAMES)
    asked = _attributes(query.split("&"), _QUERY_NAMES)
    if found.get("type", b"private") != b"private":
        raise UriFault("names another object than a private key", "write type=private")
    if "token" not in found and "serial" not in found:
        raise UriFault("does not say which token", "add token=NAME or serial=NUMBER")
    if "object" not in found and "id" not in found:
        raise UriFault("does not say which key", "add object=NAME or id=%01")
    return TokenUri(
        module=_file(asked, "module-path"),
        token=_text(found, "token"),
        serial=_text(found, "serial"),
        label=_text(found, "object"),
        key_id=found.get("id"),
        pin_file=_file(asked, "pin-source"),
    )


def _attributes(parts: list[str], known: frozenset[str]) -> Mapping[str, bytes]:
    values: dict[str, bytes] = {}
    for part in filter(None, parts):
        name, equals, value = part.partition("=")
        if name == "pin-value":
            raise UriFault("has the PIN itself", "put it into a file: pin-source=file:/path")
        if name not in known or not equals:
            names = ", ".join(sorted(known))
            raise UriFault(f"has an attribute {name[:40]!r}", f"here there are {names}")
        if name in values:  # RFC 7512 §2.3
            raise UriFault(f"has {name} twice", "leave one of them out")
        values[name] = unquote_to_bytes(value)
    return values


def _text(values: Mapping[str, bytes], name: str) -> str | None:
    octets = values.get(name)
    if octets is None:
        return None
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise UriFault(f"{name} is not UTF-8 (RFC 7512 §2.3)") from exc


def _file(values: Mapping[str, bytes], name: str) -> Path:
    """An absolute path; RFC 7512 §2.4 lets a source be a `file:` URI too."""
    text = _text(values, name)
    if text is None:
        raise UriFault(f"has no {name}", f"add {name}=/path after the question mark")
    path = text
    if name == "pin-source":
        path = path.removeprefix("file://localhost").removeprefix("file://").removeprefix("file:")
    if not path.startswith("/") or "\0" in path:
        raise UriFault(f"{name} is not an absolute path", f"write {name}=/path")
    return Path(path)
