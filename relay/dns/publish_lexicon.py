"""Records at any DNS provider that `dns-lexicon` knows; the optional extra `lexicon`. IO.

Such a provider cannot exchange a record on condition: it is looked at right before it is changed,
and what somebody else does in that moment is not seen. lexicon blocks, so it runs in a thread;
its credentials come from its own environment variables (LEXICON_CLOUDFLARE_AUTH_TOKEN …).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from relay.core.dkim.record import split_strings
from relay.core.errors import ConfigError, Fault
from relay.dns.publish import PublishFault

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
# Providers whose content is what a zone file has; the others take the text and quote it.
_ZONE_FILE_PROVIDERS = frozenset({"localzone"})
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """One account at a DNS provider; a `Provider`.

    Attributes:
        name: as the settings call it.
        provider: lexicon's name of it: "cloudflare", "route53", "gandi" …
        zone: the zone at the provider, in A-labels; empty: the registered domain.
        ttl_seconds: of records that are made.
        options: of the provider, beside those of the environment; never shown.
    """

    name: str
    provider: str
    zone: str = ""
    ttl_seconds: int = 3600
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """See that lexicon is installed.

        Raises:
            ConfigError: it is not.
        """
        try:
            import lexicon.client  # noqa: F401 - the rest of it is loaded when it is used
        except ImportError as exc:
            fix = "pip install 'dkim-relay[lexicon]'"
            fault = Fault(f"publishing {self.name!r}", "dns-lexicon is not installed", fix)
            raise ConfigError((fault,)) from exc

    async def find(self, name: str) -> tuple[str, ...]:
        """The TXT records at a name, each as one text; none when there are none.

        Raises:
            PublishFault: that cannot be found out.
        """
        return await self._run(name, lambda records: _texts(_listed(records, name)))

    async def exchange(self, name: str, before: tuple[str, ...], after: tuple[str, ...]) -> bool:
        """Put `after` in the place of `before`, if that is still what is there.

        Raises:
            PublishFault: it was refused, or the outcome is not known.
        """

        def change(records: Any) -> bool:
            there = _listed(records, name)
            if _texts(there) != before:
                return False
            for record in there:
                self._check(
                    name, records.delete_record(record.get("id"), "TXT", name, record["content"])
                )
            for text in after:
                self._check(name, records.create_record("TXT", name, self._content(text)))
            return True

        return await self._run(name, change)

    def _check(self, name: str, was_done: object) -> None:
        if not was_done:
            what = f"{self.provider} did not take the change of {name}"
            raise PublishFault(f"publishing {self.name!r}", what, "see its console")

    def _content(self, text: str) -> str:
        if self.provider in _ZONE_FILE_PROVIDERS:
            return " ".join(f'"{part}"' for part in split_strings(text))
        return text

    async def _run(self, name: str, work: Callable[[Any], Result]) -> Result:
        from lexicon.client import Client
        from lexicon.config import ConfigResolver
        from lexicon.exceptions import ProviderNotAvailableError

        resolver: Any = ConfigResolver  # it carries no type information
        config = resolver().with_env().with_dict(self._settings(name))

        def run() -> Result:
            with Client(config) as records:
                return work(records)

        try:
            return await asyncio.to_thread(run)
        except PublishFault:
            raise
        except ProviderNotAvailableError as exc:
            what = f"dns-lexicon has no provider {self.provider!r}, or lacks its libraries"
            fix = "lexicon --help lists them; rfc2136 is built in here"
            raise PublishFault(f"publishing {self.name!r}", what, fix) from exc
        except Exception as exc:  # each of its providers has errors of its own
            # Only the kind: the text of an HTTP error may hold the address with a token in it.
            what = f"{self.provider} failed at {name}: {type(exc).__name__}"
            fix = f"see that the LEXICON_{self.provider.upper()}_… variables are right"
            raise PublishFault(f"publishing {self.name!r}", what, fix) from exc

    def _settings(self, name: str) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "provider_name": self.provider,
            "action": "list",
            "domain": self.zone or name,
            "type": "TXT",
            "name": name,
            "ttl": self.ttl_seconds,
            self.provider: dict(self.options),
        }
        if self.zone:
            settings["delegated"] = self.zone
        return settings


def _listed(records: Any, name: str) -> list[dict[str, Any]]:
    """The TXT records at a name; providers return names with and without a final dot."""
    listed = records.list_records("TXT", name)
    return [record for record in listed if record["name"].rstrip(".").lower() == name.lower()]


def _texts(records: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(sorted(_text(record["content"]) for record in records))


def _text(content: str) -> str:
    """The text of a record; some providers give it back in quoted strings."""
    strings = _QUOTED.findall(content)
    return "".join(strings) if strings else content
