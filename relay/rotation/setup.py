"""From settings to parts: who changes whose records, and when keys are due."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from relay.config.keys import Publishing
from relay.config.settings import Config
from relay.config.values import duration_seconds
from relay.core.errors import ConfigError, Fault
from relay.core.events import Noted
from relay.dns.gate import Gate
from relay.dns.publish import Provider
from relay.dns.publish_lexicon import Lexicon
from relay.dns.publish_rfc2136 import Rfc2136, tsig_key
from relay.rotation.plan import Policy
from relay.rotation.surroundings import Surroundings
from relay.rotation.unattended import Caretaker, hints

MAX_KEY_FILE_OCTETS = 64 * 1024


def make_providers(config: Config) -> Callable[[str], Provider | None]:
    """Who changes the records of a domain; the first of the settings that has it.

    Raises:
        ConfigError: a key file or a provider cannot be used; each with its place.
    """
    made: list[tuple[Publishing, Provider]] = []
    faults: list[Fault] = []
    for index, publishing in enumerate(config.publishing):
        try:
            made.append((publishing, _provider(publishing, f"publishing[{index}]")))
        except ConfigError as exc:
            faults += exc.faults
    if faults:
        raise ConfigError(tuple(faults))

    def provider(domain: str) -> Provider | None:
        return next((one for settings, one in made if settings.has(domain)), None)

    return provider


def make_surroundings(config: Config, gate: Gate) -> Surroundings:
    """What rotations are made with.

    Args:
        config: the settings.
        gate: whether a key may sign.

    Raises:
        ConfigError: a provider cannot be used.
    """
    provider = make_providers(config)
    rotation = config.rotation

    def policy(domain: str) -> Policy:
        own = config.domains[domain].rotation if domain in config.domains else ""
        return Policy(
            every_seconds=duration_seconds(own or rotation.every),  # "never" is no length of time
            retire_after_seconds=duration_seconds(rotation.retire_after),
            is_published_by_us=provider(domain) is not None,
            revokes=rotation.old_records == "revoke",
        )

    return Surroundings(
        Path(config.keys_dir), gate, policy, provider, passphrase_file=config.passphrase_file_of
    )


def make_caretaker(config: Config, gate: Gate, emit: Callable[[Noted], None]) -> Caretaker:
    """The service's rotation, not started yet; what is questionable in its settings is told.

    Raises:
        ConfigError: the settings contradict each other, or a provider cannot be used.
    """
    if faults := tuple(rotation_faults(config)):
        raise ConfigError(faults)
    surroundings = make_surroundings(config, gate)
    is_wanted = config.rotation.every or any(d.rotation for d in config.domains.values())
    for hint in hints(surroundings.policy("")) if is_wanted else ():
        emit(Noted("rotation.questionable", "warning", (("detail", hint),)))
    return Caretaker(surroundings, emit=emit)


def rotation_faults(config: Config) -> Iterator[Fault]:
    """Settings that rotation cannot work with, for domains that have one."""
    is_wanted = bool(config.rotation.every)
    if config.dns.gate == "off" and (is_wanted or any(d.rotation for d in config.domains.values())):
        what = "a new key would sign before anybody can verify it"
        yield Fault("rotation", what, 'set dns.gate = "published"')
    for name, domain in config.domains.items():
        if domain.selectors and (is_wanted or domain.rotation) and domain.rotation != "never":
            what = "the settings name the selectors that sign, so a new one would not"
            yield Fault(
                f"domains.{name}.selectors", what, 'leave it out, or set rotation = "never"'
            )


def _provider(settings: Publishing, where: str) -> Provider:
    if settings.provider != "rfc2136":
        return Lexicon(settings.name, settings.provider, settings.zone, settings.ttl_seconds)
    secret = _read(settings.key_file, f"{where}.key_file") if settings.key_file else ""
    key = tsig_key(settings.key_name, settings.key_algorithm, secret, where=f"{where}.key_file")
    return Rfc2136(settings.name, settings.server, settings.zone, key, settings.ttl_seconds)


def _read(path: str, where: str) -> str:
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_KEY_FILE_OCTETS).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "not ASCII"
        fix = "mount the key, or correct the path"
        raise ConfigError((Fault(where, f"{path}: {reason}", fix),)) from exc
    if not text:  # without a key, updates would go out unsigned
        raise ConfigError((Fault(where, f"{path}: it is empty", "put the key into it"),))
    return text
