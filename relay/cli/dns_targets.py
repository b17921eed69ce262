"""Which domains and selectors `dkim-relay dns check` asks about: settings and keys folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from relay.cli.key_settings import named_domain
from relay.cli.options import Unusable
from relay.config import Config
from relay.core.errors import Fault, KeyFault
from relay.dns.check import Wanted
from relay.keyring.folder import Found, list_keys
from relay.keyring.loading import read_found
from relay.keyring.names import key_selector
from relay.keyring.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Target:
    """A domain to ask about.

    Attributes:
        domain: in A-labels.
        has_subdomains: whether its keys sign for subdomains too.
        found: its key files, not yet opened.
        unknown: selectors that were asked for and have no key here.
        others: selectors of other services.
    """

    domain: str
    has_subdomains: bool
    found: tuple[Found, ...]
    unknown: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def load(self, read: Callable[[Found], Wanted]) -> tuple[Wanted, ...]:
        """The records that should be there; `read` opens the key files."""
        absent = (Wanted(self.domain, selector, None) for selector in self.unknown)
        return (*map(read, self.found), *absent)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for on the command line, as it was given.

    Attributes:
        domains: empty for all that have keys.
        selectors: empty for all keys.
        others: selectors of other services.
    """

    domains: Sequence[str] = ()
    selectors: Sequence[str] = ()
    others: Sequence[str] = ()


def find_targets(request: Request, config: Config) -> tuple[list[Target], list[Fault]]:
    """The domains in order of their names, and what is wrong with the keys folder.

    Raises:
        Unusable: a name that is none, or nothing to check.
    """
    keys_dir = Path(config.keys_dir)
    listing = list_keys(keys_dir)
    by_domain: dict[str, list[Found]] = {}
    for found in listing.found:
        by_domain.setdefault(found.domain, []).append(found)
    faults = [*listing.faults, *(fault for faults in listing.domains.values() for fault in faults)]
    asked = list(map(named_domain, request.domains)) or sorted({*by_domain, *config.domains})
    missing: list[Fault] = []
    targets: list[Target] = []
    for domain in dict.fromkeys(asked):
        target = _target(domain, request, config, by_domain.get(domain, []))
        if target.found or target.unknown:
            targets.append(target)
        else:
            fix = f"make one: dkim-relay keys new {domain}; or name its selector with --selector"
            missing.append(Fault(str(keys_dir / domain), "there is no key", fix))
    if request.domains and missing:
        raise Unusable("\n".join(map(str, missing)))
    if not targets:
        fix = "dkim-relay keys new DOMAIN makes one; --keys-dir names another folder"
        nothing = Fault(str(keys_dir), "there is no key to check", fix)
        raise Unusable("\n".join(map(str, (*faults, *missing, nothing))))
    return targets, [*faults, *missing]


def _target(domain: str, request: Request, config: Config, found: Sequence[Found]) -> Target:
    settings = config.domains.get(domain)
    wanted = tuple(_selector(text, domain) for text in request.selectors)
    limited = wanted or (settings.selectors if settings is not None else None) or ()
    here = tuple(file for file in found if not limited or file.selector in limited)
    known = {file.selector for file in here}
    return Target(
        domain,
        settings is not None and settings.subdomains,
        here,
        tuple(selector for selector in limited if selector not in known),
        tuple(_selector(text, domain) for text in request.others),
    )


class KeyReader:
    """Reads the public halves of keys, in files and in tokens, with the settings' passphrases."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._tokens = Tokens()

    def __call__(self, found: Found) -> Wanted:
        """The record of a key; a key that cannot be read is told in it."""
        domain, selector, path = found.domain, found.selector, found.path
        try:
            public = read_found(
                found,
                tokens=self._tokens,
                passphrase_file=self._config.passphrase_file_of(domain),
                is_proven_later=True,
            ).public
        except KeyFault as exc:
            return Wanted(domain, selector, None, str(path), str(exc.fault))
        return Wanted(domain, selector, public, str(path))

    def close(self) -> None:
        """Let go of the tokens."""
        self._tokens.close()


def _selector(text: str, domain: str) -> str:
    try:
        return key_selector(text, domain)
    except KeyFault as exc:
        raise Unusable(str(exc.fault)) from exc
