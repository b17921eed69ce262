"""Settings in the README: what users copy from it, the relay finds good."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from relay.assembly.profiles import load_profile
from relay.config import load
from relay.core.errors import ConfigError
from tests.deploy.settings_check import check_settings
from tests.interop.readme import README, blocks

URL = {"DKIM_RELAY_UPSTREAM__URL": "smtp://smtp.example.net"}
PROVIDERS = [text for heading, text in blocks("toml") if heading.startswith("Providers")]
OTHERS = [text for heading, text in blocks("toml") if not heading.startswith("Providers")]
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$c29tZWhhc2g"


def _profile(text: str) -> str:
    name: str = tomllib.loads(text)["upstreams"][0]["profile"]
    return name


@pytest.mark.parametrize("text", PROVIDERS, ids=map(_profile, PROVIDERS))
def test_a_providers_settings_are_good(text: str, tmp_path: Path) -> None:
    """`config check` knows the host by its profile and warns of what the profile says."""
    done = check_settings(tmp_path, {}, file=text)
    assert done.status == 0, done
    assert done.errors.endswith("The settings are good.\n"), done
    assert "consider profile" not in done.errors
    assert f"note: profile {_profile(text)}: " in done.errors


@pytest.mark.parametrize("text", PROVIDERS, ids=map(_profile, PROVIDERS))
def test_a_providers_settings_are_those_of_its_profile(text: str, tmp_path: Path) -> None:
    """Port, TLS and limits are the facts that the profile has sources for."""
    file = tmp_path / "relay.toml"
    secret = tmp_path / "secret"
    secret.write_text("only for tests")
    file.write_text(text.replace("/run/secrets/smtp", str(secret)))
    [upstream] = load(file, {}).upstreams
    profile = load_profile(upstream.profile)
    is_connector = upstream.host_port[0].endswith(".mail.protection.outlook.com")
    assert upstream.tls_mode == profile.tls
    assert upstream.host_port[1] == (25 if is_connector else profile.port)
    if upstream.max_recipients_per_message:
        assert upstream.max_recipients_per_message == profile.limits.max_recipients


def test_each_provider_with_a_profile_is_there() -> None:
    """All that profiles are shipped for; generic and postfix are none."""
    names = {path.stem for path in (README.parent / "relay" / "profiles").glob("*.toml")}
    assert set(map(_profile, PROVIDERS)) == names - {"generic", "postfix"}


@pytest.mark.parametrize("text", OTHERS)
def test_other_settings_are_good(text: str, tmp_path: Path) -> None:
    """Every other block of TOML is read without a fault, where its secrets exist."""
    for path in set(re.findall(r'"(/run/secrets/[^"]+)"', text)):
        secret = tmp_path / path.rpartition("/")[2]
        secret.write_text(HASH)
        text = text.replace(path, str(secret))
    file = tmp_path / "relay.toml"
    file.write_text(text)
    load(file, {} if "[[upstreams]]" in text else URL)


def test_variables_are_settings() -> None:
    """Every variable that the README names is one that the relay knows."""
    names = set(re.findall(r"\bDKIM_RELAY_[A-Z_]*[A-Z]\b(?!_)", README.read_text("utf-8")))
    assert len(names) > 5
    with pytest.raises(ConfigError) as caught:
        load(None, dict.fromkeys(names - {"DKIM_RELAY_CONFIG"}, "?"))
    assert [fault for fault in caught.value.faults if "is not a setting" in fault.what] == []
