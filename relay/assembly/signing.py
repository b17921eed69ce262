"""What is done to a message on its way, and with which keys. Nothing of it is started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path

from publicsuffixlist import PublicSuffixList

from relay.config.settings import Config
from relay.config.values import duration_seconds
from relay.core.errors import Fault
from relay.core.policy import SigningDomains
from relay.dns.authorities import Authorities
from relay.dns.gate import Gate, OpenGate, RecordGate
from relay.dns.memory import Memory as RecordMemory
from relay.dns.resolver import DnsResolver
from relay.dns.standing import Pace
from relay.flow import Terms
from relay.keyring.keyring import Introduce, Keyring, Report
from relay.keyring.loading import KeySource


def make_terms(config: Config, domains: Set[str]) -> Terms:
    """The settings of a message's path, for the domains that there are keys or settings for.

    Args:
        config: the settings.
        domains: in A-labels; may change while mail flows.
    """
    subdomains = {name: domain.subdomains for name, domain in config.domains.items()}
    return Terms(
        domains=SigningDomains(
            _Configured(domains, subdomains),
            organizational=_organizational(config),
        ),
        expire_seconds=config.signing.expire_seconds,
        strip_existing=config.signing.existing == "strip",
        may_reencode=config.signing.adapt == "reencode",
    )


class _Configured(Mapping[str, bool]):
    """The domains as they are at the moment → whether each signs for its subdomains too."""

    def __init__(self, domains: Set[str], subdomains: Mapping[str, bool]) -> None:
        self._domains = domains
        self._subdomains = subdomains

    def __getitem__(self, domain: str) -> bool:
        if domain not in self._domains:
            raise KeyError(domain)
        return self._subdomains.get(domain, False)

    def __contains__(self, domain: object) -> bool:
        return domain in self._domains

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)


def _organizational(config: Config) -> Callable[[str], str | None]:
    """The public suffix list is read only when it matters which domain is above another."""
    looks_up = any(domain.subdomains for domain in config.domains.values())
    if not looks_up and all(route.signing != "skip-if-signed" for route in config.routes):
        return lambda _domain: None
    suffixes = PublicSuffixList()

    def organizational(domain: str) -> str | None:
        found = suffixes.privatesuffix(domain)
        return str(found) if found else None

    return organizational


def make_keyring(config: Config, gate: Gate, *, report: Report, introduce: Introduce) -> Keyring:
    """The keyring, which has not looked into its folder yet."""
    passphrase = config.keys_passphrase_file
    source = KeySource(
        Path(config.keys_dir),
        config.domains,
        passphrase_file=Path(passphrase) if passphrase else None,
    )
    return Keyring(source, gate=gate, report=report, introduce=introduce)


def make_memory(config: Config, warn: Callable[[Fault], None] = lambda fault: None) -> RecordMemory:
    """What was seen of records; nothing is read yet.

    Args:
        config: the settings.
        warn: told what is wrong with what it keeps in the state folder.
    """
    return RecordMemory(Path(config.state_dir) if config.state_dir else None, warn=warn)


def make_gate(config: Config, memory: RecordMemory | None = None) -> Gate:
    """What decides whether a key may sign.

    Args:
        config: the settings.
        memory: what was seen of records before; None: what the state folder has.
    """
    dns = config.dns
    if dns.gate == "off":
        return OpenGate()
    memory = memory or make_memory(config)
    memory.load()
    pace = Pace(
        settled_seconds=dns.recheck_seconds,
        grace_seconds=duration_seconds(dns.grace),
        silent_seconds=dns.silent_seconds,
    )
    return RecordGate(
        DnsResolver(dns.nameservers, lifetime_seconds=dns.timeout_seconds),
        Authorities(dns.nameservers, lifetime_seconds=dns.timeout_seconds),
        memory=memory,
        pace=pace,
    )
