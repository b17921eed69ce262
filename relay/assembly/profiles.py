"""What upstreams are known to do, from data files. Nothing of it is started."""

from __future__ import annotations

import tomllib
from importlib import resources

from relay.config.settings import Config
from relay.core.errors import ConfigError, Fault
from relay.core.profile import Profile, parse_profile, suggest


def load_profile(name: str, where: str = "profile") -> Profile:
    """A profile of `relay/profiles` by its name.

    Args:
        name: for example "ses".
        where: the setting or option that names it.

    Raises:
        ConfigError: there is none of that name; the fix lists those there are.
    """
    known = profile_names()
    if name not in known:
        fault = Fault(where, f"no profile {name!r}", f"one of {', '.join(known)}")
        raise ConfigError((fault,))
    text = (resources.files("relay.profiles") / f"{name}.toml").read_text("utf-8")
    return parse_profile(name, tomllib.loads(text))


def profile_names() -> tuple[str, ...]:
    """The profiles there are, by name."""
    names = (file.name for file in resources.files("relay.profiles").iterdir())
    return tuple(sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml")))


def profile_hints(config: Config) -> tuple[str, ...]:
    """What an operator should know of the profiles that are set, and of those that fit better.

    Raises:
        ConfigError: there is no such profile.
    """
    known = [load_profile(name) for name in profile_names()]
    hints: list[str] = []
    for index, upstream in enumerate(config.upstreams):
        profile = load_profile(upstream.profile, f"upstreams[{index}].profile")
        host, _ = upstream.host_port
        fitting = suggest(host, known)
        hints += [f"profile {profile.name}: {warning}" for warning in profile.warnings]
        if fitting is not None and fitting != profile.name:
            hints.append(f'{host} looks like {fitting}: consider profile = "{fitting}"')
    return tuple(dict.fromkeys(hints))
