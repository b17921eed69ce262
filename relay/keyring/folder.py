"""What lies in the keys folder: keys/<domain>/<selector>.pem. Reads folders, opens no file.

A key in a token is a file too, <selector>.pkcs11, which says where the token is. A folder is a
domain in A-labels or U-labels. Names that begin with a dot are passed over: Kubernetes keeps the
real files of a mounted Secret in `..data` and links to them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from relay.core.errors import Fault, KeyFault
from relay.keyring.names import key_selector, signing_domain

KEY_SUFFIX = ".pem"
TOKEN_SUFFIX = ".pkcs11"  # noqa: S105 - the end of a name
RECORD_SUFFIX = ".txt"
_KEY_SUFFIXES = (KEY_SUFFIX, TOKEN_SUFFIX)

Identity = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A key file that was found and not yet opened.

    Attributes:
        domain, selector: in A-labels.
        path: the file; its suffix says what is in it.
        identity: changes whenever the file does; see `identity`.
    """

    domain: str
    selector: str
    path: Path
    identity: Identity = ()

    @property
    def is_token(self) -> bool:
        """Whether the key itself is in a token."""
        return self.path.suffix == TOKEN_SUFFIX


@dataclass(slots=True)
class Listing:
    """What a keys folder holds.

    Attributes:
        domains: the domains that have a folder, in A-labels, each with what is wrong in it.
        found: the key files, by domain and then by selector.
        faults: folders that are no domain, or a keys folder that cannot be read.
        warnings: what is there but will not be used.
        unreadable: domains whose folder is there and cannot be listed.
        is_readable: whether the keys folder itself could be listed.
    """

    domains: dict[str, list[Fault]] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    is_readable: bool = True


def list_keys(keys_dir: Path) -> Listing:
    """List a keys folder; what is wrong is in the listing, nothing is raised."""
    listing = Listing()
    try:
        entries = _entries(keys_dir)
    except OSError as exc:
        listing.faults.append(unreadable_folder(keys_dir, exc))
        listing.is_readable = False
        return listing
    for entry in entries:
        if _is_folder(entry):
            _list_domain(Path(entry.path), listing)
        elif entry.name.endswith(_KEY_SUFFIXES):
            listing.warnings.append(
                Fault(
                    _shown(entry.path),
                    "a key directly in the keys folder is not used",
                    f"it belongs in {_shown(keys_dir)}/<domain>/",
                )
            )
    listing.found.sort(key=lambda found: (found.domain, found.selector, found.path))
    _drop_repeated(listing)
    return listing


def taken_selectors(keys_dir: Path, domain: str) -> frozenset[str]:
    """Selectors of which a key or a record file exists, in any folder that means `domain`."""
    taken = set()
    for folder in domain_folders(keys_dir, domain):
        for entry in _entries(folder):
            stem, suffix = os.path.splitext(entry.name)
            if suffix in (*_KEY_SUFFIXES, RECORD_SUFFIX):
                with contextlib.suppress(KeyFault):  # such a name cannot be asked for either
                    taken.add(key_selector(stem, domain))
    return frozenset(taken)


def domain_folders(keys_dir: Path, domain: str) -> tuple[Path, ...]:
    """The folders that mean `domain` (A-labels): there may be one of each spelling.

    Raises:
        OSError: the keys folder is there and cannot be read.
    """
    try:
        entries = _entries(keys_dir)
    except FileNotFoundError:
        return ()
    # The name first: to look at each of 20,000 takes ten times as long.
    return tuple(Path(e.path) for e in entries if _meant(e.name) == domain and _is_folder(e))


def domain_folder(keys_dir: Path, domain: str) -> Path:
    """The folder of `domain` (A-labels) in whatever spelling it is there, or else is to be made.

    Raises:
        OSError: the keys folder is there and cannot be read.
    """
    plain = keys_dir / domain
    if plain.is_dir():  # as nearly all are spelt
        return plain
    return next(iter(domain_folders(keys_dir, domain)), plain)


def folders_by_domain(keys_dir: Path, domains: Iterable[str]) -> dict[str, Path]:
    """The folder of each of these domains (A-labels) that has one, in whatever spelling.

    However many are spelt otherwise or have none, the keys folder is listed once; where it
    cannot be, only plain names are found.
    """
    plain = {domain: keys_dir / domain for domain in domains}
    folders = {domain: folder for domain, folder in plain.items() if os.path.isdir(folder)}
    others = plain.keys() - folders.keys()
    if not others:
        return folders
    try:
        entries = _entries(keys_dir)
    except OSError:
        return folders
    for entry in entries:
        if (domain := _meant(entry.name)) in others and _is_folder(entry):
            folders.setdefault(domain, Path(entry.path))
    return folders


def identity(path: Path) -> Identity:
    """What is another number once a file was written, replaced, or given other permissions.

    Links are followed, so the swap of a mounted Secret shows. A file that cannot be looked at
    has the reason for an identity.
    """
    try:
        status = os.stat(path)
    except OSError as exc:
        return (exc.errno or 0,)
    changed = (status.st_mtime_ns, status.st_ctime_ns, status.st_size)
    return (status.st_dev, status.st_ino, status.st_mode, status.st_uid, *changed)


def unreadable_folder(path: Path, exc: OSError) -> Fault:
    """The fault for a folder that cannot be listed."""
    shown = _shown(path)
    if isinstance(exc, FileNotFoundError):
        return Fault(shown, "the folder does not exist", f"mkdir -m 0700 {shown}")
    if isinstance(exc, NotADirectoryError):
        return Fault(shown, "is not a folder", "set keys_dir to the folder that has <domain>/")
    reason = exc.strerror or type(exc).__name__
    return Fault(shown, f"cannot be read: {reason}", f"uid {os.geteuid()} needs r-x there")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether the entry is a folder, or a link that should lead to one and does not.

    The domain of a link that leads nowhere is still ours: its mail waits, with a fault that
    says why, and is not refused as a stranger's.
    """
    try:
        return stat.S_ISDIR(os.stat(entry.path).st_mode)
    except OSError:
        return not entry.name.endswith(_KEY_SUFFIXES)


def _meant(name: str) -> str:
    """The domain that a folder is for; empty, or no domain, where it is for none."""
    if name.isascii() and "xn--" not in name:  # as nearly all are
        return name.lower()
    try:
        return signing_domain(name)
    except KeyFault:
        return ""


def _list_domain(folder: Path, listing: Listing) -> None:
    try:
        domain = signing_domain(folder.name)
    except KeyFault as exc:
        fix = "name the folder after the domain, or move it out of the keys folder"
        listing.faults.append(Fault(_shown(folder), exc.fault.what, fix))
        return
    faults = listing.domains.setdefault(domain, [])
    try:
        entries = _entries(folder)
    except OSError as exc:
        faults.append(unreadable_folder(folder, exc))
        listing.unreadable.add(domain)
        return
    for entry in entries:
        stem, suffix = os.path.splitext(entry.name)
        if suffix not in _KEY_SUFFIXES:
            continue
        try:
            selector = key_selector(stem, domain)
        except KeyFault as exc:
            fix = f"name the file <selector>{suffix}: {exc.fault.fix}"
            faults.append(Fault(_shown(entry.path), exc.fault.what, fix))
        else:
            path = Path(entry.path)
            listing.found.append(Found(domain, selector, path, identity(path)))


def _drop_repeated(listing: Listing) -> None:
    """Keep the first of two files for one selector; the other is a fault, not a surprise."""
    first: dict[tuple[str, str], Found] = {}
    for found in listing.found:
        kept = first.setdefault((found.domain, found.selector), found)
        if kept is not found:
            what = f"the selector {found.selector} has its key in {_shown(kept.path)} already"
            listing.domains[found.domain].append(
                Fault(_shown(found.path), what, "remove one of the two files")
            )
    listing.found = list(first.values())


def _shown(path: Path | str) -> str:
    """A path for people; names that are not UTF-8 are escaped."""
    return os.fspath(path).encode("utf-8", "backslashreplace").decode("utf-8")
