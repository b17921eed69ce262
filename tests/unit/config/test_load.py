"""File and environment in; settings, or every fault with its place, its value and its fix."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.assembly import upstream_settings
from relay.config import Config, load
from relay.core.errors import ConfigError, Fault
from tests.fakes.permissions import unprivileged

URL = {"DKIM_RELAY_UPSTREAM__URL": "smtp://smtp.example.net:587"}
URL_AND_USER = URL | {"DKIM_RELAY_UPSTREAM__USERNAME": "u"}
UPSTREAM = '[[upstreams]]\nurl = "smtp://smtp.example.net:587"\n'  # two lines
WITH_LOGIN = UPSTREAM + 'username = "u"\n'
ROUTE = '[[routes]]\nname = "bulk"\n'
TO = 'upstreams = ["upstream"]\n'
CLIENT = '[[clients]]\nname = "apps"\nnetworks = ["10.0.0.0/8"]\n'
SECRET = "hunter2-and-more"

WriteFile = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    """Write a settings file, relay.toml in an empty folder."""

    def write_file(text: str) -> Path:
        path = tmp_path / "relay.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def faults_of(path: Path | None, environ: dict[str, str] | None = None) -> tuple[Fault, ...]:
    """The faults of settings that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    return caught.value.faults


# ---- what is good ------------------------------------------------------------------------------


def test_a_sidecar_needs_one_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upstream's URL is all there must be."""
    monkeypatch.chdir(tmp_path)
    config = load(None, URL)
    assert [listener.address for listener in config.listeners] == ["127.0.0.1:2525"]
    [upstream] = config.upstreams
    assert upstream.host_port == ("smtp.example.net", 587)
    assert (upstream.tls_mode, upstream.profile) == ("starttls", "generic")
    assert (config.keys_dir, config.dns.gate) == ("keys", "published")


@pytest.mark.parametrize(
    ("url", "host_port", "tls"),
    [
        ("smtp://h.example", ("h.example", 25), "starttls"),
        ("smtps://h.example", ("h.example", 465), "implicit"),
        ("smtp://h.example:2525/", ("h.example", 2525), "starttls"),
        ("smtp://[::1]:25", ("::1", 25), "starttls"),
        ("SMTP://H.example:25", ("h.example", 25), "starttls"),
    ],
)
def test_an_upstream(url: str, host_port: tuple[str, int], tls: str, tmp_path: Path) -> None:
    """Port and TLS follow from the scheme."""
    [upstream] = load(_empty(tmp_path), {"DKIM_RELAY_UPSTREAM__URL": url}).upstreams
    assert (upstream.host_port, upstream.tls_mode) == (host_port, tls)


def test_the_file_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one asked for, else the one the environment names, else config/relay.toml."""
    monkeypatch.chdir(tmp_path)
    for name in ("asked", "named", "default"):
        folder = tmp_path / ("config" if name == "default" else name)
        folder.mkdir()
        (folder / "relay.toml").write_text(f'keys_dir = "{name}"\n{UPSTREAM}')
    named = {"DKIM_RELAY_CONFIG": str(tmp_path / "named" / "relay.toml")}
    assert load(tmp_path / "asked" / "relay.toml", named).keys_dir == "asked"
    assert load(None, named).keys_dir == "named"
    assert load(None, {}).keys_dir == "default"
    assert load(None, {"DKIM_RELAY_CONFIG": ""}).keys_dir == "default"


def test_the_environment_wins(write: WriteFile) -> None:
    """Each setting that both have comes from the environment, the others from the file."""
    path = write(
        'keys_dir = "file"\n[dns]\ngate = "off"\nnameservers = ["192.0.2.1"]\n'
        "[limits]\nmax_recipients = 5\n"
        f'[[listeners]]\naddress = "127.0.0.1:1"\n{UPSTREAM}username = "file"\npassword = "p"\n'
    )
    config = load(
        path,
        {
            "DKIM_RELAY_KEYS_DIR": "variable",
            "DKIM_RELAY_LISTEN": "127.0.0.1:2",
            "DKIM_RELAY_UPSTREAM__TLS": "none",
            "DKIM_RELAY_DNS__NAMESERVERS": "192.0.2.2, 192.0.2.3:5353,",
            "DKIM_RELAY_LIMITS__IDLE_SECONDS": "7.5",
            "DKIM_RELAY_UPSTREAM__INSECURE_AUTH": "true",
        },
    )
    assert config.keys_dir == "variable"
    assert config.listeners[0].address == "127.0.0.1:2"
    assert (config.upstreams[0].tls, config.upstreams[0].username) == ("none", "file")
    assert config.upstreams[0].insecure_auth
    assert (config.dns.gate, config.dns.nameservers) == ("off", ("192.0.2.2", "192.0.2.3:5353"))
    assert (config.limits.max_recipients, config.limits.idle_seconds) == (5, 7.5)


@pytest.mark.parametrize(
    "variable",
    [
        "DKIM_RELAY_SERVICE_HOST",
        "DKIM_RELAY_SERVICE_PORT",
        "DKIM_RELAY_SERVICE_PORT_SMTP",
        "DKIM_RELAY_PORT",
        "DKIM_RELAY_PORT_2525_TCP",
        "DKIM_RELAY_PORT_2525_TCP_ADDR",
        "DKIM_RELAY_PORT_2525_TCP_PORT",
        "DKIM_RELAY_PORT_2525_TCP_PROTO",
        # A second Service whose name begins alike, as Helm charts have them.
        "DKIM_RELAY_ADMIN_SERVICE_HOST",
        "DKIM_RELAY_ADMIN_SERVICE_PORT_HTTP",
        "DKIM_RELAY_ADMIN_PORT",
        "DKIM_RELAY_ADMIN_PORT_9525_TCP_ADDR",
    ],
)
def test_what_kubernetes_sets_is_passed_over(variable: str, tmp_path: Path) -> None:
    """Service links are no settings: a Service called dkim-relay must not stop the relay."""
    value = "tcp://10.96.0.7:2525" if variable.endswith(("PORT", "TCP")) else "10.96.0.7"
    load(_empty(tmp_path), URL | {variable: value})


@pytest.mark.parametrize("variable", ["PATH", "DKIM_RELAYED", "XDKIM_RELAY_LISTEN", "dkim_relay_x"])
def test_variables_of_others_are_passed_over(variable: str, tmp_path: Path) -> None:
    """Only the prefix makes a variable ours."""
    load(_empty(tmp_path), URL | {variable: "1"})


def test_client_rules(write: WriteFile) -> None:
    """Networks and addresses are read; a domain is compared as A-labels."""
    path = write(
        f'{UPSTREAM}[[listeners]]\naddress = "0.0.0.0:25"\n{CLIENT}'
        'from_addresses = ["Example.COM", "*.bücher.example", "User@example.com", "*"]\n'
    )
    [client] = load(path, {}).clients
    assert client.from_addresses == (
        *("example.com", "*.xn--bcher-kva.example", "User@example.com", "*"),
    )
    assert [str(network) for network in client.ip_networks] == ["10.0.0.0/8"]


# ---- what is bad: one fault each ---------------------------------------------------------------

LOGIN_LISTENER = (
    '[[listeners]]\naddress = "127.0.0.1:25"\ninsecure_auth = true\n'
    "# as a sidecar in one network namespace may say\n"
)

BAD_FILES = [
    # text below UPSTREAM, the line that is named (of the file), what must be said
    ("colour = 1\n", 3, ["colour"]),
    ("[colours]\nred = 1\n", 3, ["colours"]),
    ("[limits]\nmax_mesage_bytes = 5\n", 4, ["limits.max_mesage_bytes"]),
    ("[limits]\nmax_recipients = 0\n", 4, ["limits.max_recipients", "0"]),
    ("[limits]\nmax_recipients = -1\n", 4, ["limits.max_recipients", "-1"]),
    ('[limits]\nmax_recipients = "many"\n', 4, ["limits.max_recipients", "many"]),
    ("[limits]\nmax_command_bytes = 100\n", 4, ["limits.max_command_bytes", "100", "512"]),
    ("[limits]\nidle_seconds = 0\n", 4, ["limits.idle_seconds"]),
    ("[limits]\nidle_seconds = nan\n", 4, ["limits.idle_seconds"]),
    ("[limits]\nidle_seconds = inf\n", 4, ["limits.idle_seconds"]),
    ('[dns]\ngate = "open"\n', 4, ["dns.gate", "open", "published", "off"]),
    ('[dns]\nnameservers = ["ns.example"]\n', 4, ["dns.nameservers", "ns.example"]),
    ('[dns]\nnameservers = ["127.0.0.1:99999"]\n', 4, ["99999"]),
    ('[signing]\nbare_newlines = "keep"\n', 4, ["signing.bare_newlines", "keep"]),
    ("[signing]\nexpire_seconds = -1\n", 4, ["signing.expire_seconds", "-1"]),
    ('[logging]\nlevel = "loud"\n', 4, ["logging.level", "loud"]),
    ('[service]\nhostname = "two words"\n', 4, ["service.hostname", "two words"]),
    ("[service]\nworkers = 0\n", 4, ["service.workers", "0 is no number of processes"]),
    ('[service]\nworkers = "two"\n', 4, ["service.workers", "'two' is no number of processes"]),
    ('[[listeners]]\naddress = "2525"\n', 4, ["listeners[0].address", "2525"]),
    ('[[listeners]]\naddress = "localhost:2525"\n', 4, ["localhost"]),
    ('[[listeners]]\naddress = "127.0.0.1:99999"\n', 4, ["99999"]),
    ('[[listeners]]\naddress = "127.0.0.1:25"\n[[listeners]]\naddress = "x"\n', 6, ["'x'"]),
    ('[[listeners]]\nadress = "127.0.0.1:25"\n', 4, ["listeners[0].adress"]),
    ('[[listeners]]\naddress = "0.0.0.0:25"\n', 4, ["0.0.0.0:25", "[[clients]]"]),
    ('[[listeners]]\naddress = "[::]:25"\n', 4, ["[::]:25", "[[clients]]"]),
    ('[[clients]]\nname = "x"\nnetworks = ["0.0.0.0/0"]\n', 5, ["0.0.0.0/0"]),
    ('[[clients]]\nname = "x"\nnetworks = ["::/0"]\n', 5, ["::/0"]),
    (
        '[[clients]]\nname = "x"\nnetworks = ["0.0.0.0/1", "10.0.0.0/8", "128.0.0.0/1"]\n',
        *(5, ["0.0.0.0/1", "128.0.0.0/1", "everyone"]),
    ),
    (
        '[[clients]]\nname = "x"\nnetworks = ["8000::/1", "::/1"]\n',
        *(5, ["8000::/1", "everyone"]),
    ),
    (
        '[[clients]]\nname = "x"\nlisteners = ["0.0.0.0:2525"]\n',
        *(5, ["listeners", "0.0.0.0:2525", "add networks"]),
    ),
    (
        '[[clients]]\nname = "x"\nlisteners = ["unix:/a", "[::]:25"]\n',
        *(5, ["listeners", "[::]:25"]),
    ),
    ('[[clients]]\nname = "x"\nnetworks = ["10.0.0.1/8"]\n', 5, ["10.0.0.1/8"]),
    ('[[clients]]\nname = "x"\nnetworks = []\n', 4, ["matches everybody"]),
    ('[[clients]]\nname = "x"\n', 4, ["matches everybody"]),
    (f'{CLIENT}password_hash = "$argon2id$x"\n', 3, ["login"]),
    (f'{CLIENT}login = "a"\npassword_hash = "$argon2id$x"\n', 6, ["no listener lets"]),
    (f'{LOGIN_LISTENER}{CLIENT}login = "a"\n', 10, ["password_hash"]),
    (f'{LOGIN_LISTENER}{CLIENT}login = "a"\npassword_hash_file = "/no"\n', 11, ["/no"]),
    ('[[listeners]]\naddress = "unix:relay.sock"\n', 4, ["absolute"]),
    ('[[listeners]]\naddress = "fd:1"\n', 4, ["fd:3"]),
    ('[[listeners]]\ntls = "starttls"\n', 4, ["certificate_file"]),
    ("[[listeners]]\nrequire_tls = true\n", 3, ["starttls"]),
    ('[[listeners]]\nproxy_from = ["0.0.0.0/0"]\n', 4, ["0.0.0.0/0"]),
    ('[[listeners]]\nunix_mode = "rw"\n', 4, ["'rw'"]),
    ('[[clients]]\nname = ""\nnetworks = ["10.0.0.0/8"]\n', 4, ["clients[0].name"]),
    (f'{CLIENT}from_addresses = ["a@b@"]\n', 6, ["a@b@"]),
    (f'{CLIENT}from_addresses = [""]\n', 6, ["clients[0].from_addresses"]),
    (f'{CLIENT}from_addresses = ["*@example.com"]\n', 6, ["*@example.com"]),
    ('[domains."a..b"]\nsubdomains = true\n', 3, ["a..b"]),
    ('[domains."two words.example"]\nsubdomains = true\n', 3, ["two words.example"]),
    ('[domains."example.com"]\nsubdomain = true\n', 4, ["example.com", "subdomain"]),
    ('[domains."example.com"]\nselectors = ["-a"]\n', 4, ["-a"]),
    ('dns = "off"\n', 3, ["dns"]),
    (UPSTREAM, 3, ["another of [[upstreams]]", "'upstream'"]),
    (f'{ROUTE}upstreams = ["other"]\n', 5, ["no 'other' in [[upstreams]]", "'upstream'"]),
    (f"{ROUTE}upstreams = []\n", 5, ["routes[0].upstreams"]),
    (f'{ROUTE}clients = ["x"]\n{TO}', 5, ["no 'x' in [[clients]]", "'loopback'"]),
    (f'{ROUTE}listeners = ["[::1]:25"]\n{TO}', 5, ["no '[::1]:25' in", "127.0.0.1:2525"]),
    (f'{ROUTE}mail_from = ["a@b@"]\n{TO}', 5, ["a@b@"]),
    (f'{ROUTE}rcpt_to = ["<>"]\n{TO}', 5, ["<>"]),
    (f'{ROUTE}signing = "never"\n{TO}', 5, ["never", "skip"]),
    (f"{ROUTE}{TO}{ROUTE.replace('bulk', 'rest')}{TO}", 4, ["'bulk' takes everything"]),
    (f'{ROUTE}rcpt_to = ["a.test"]\n{TO}{ROUTE}{TO}', 8, ["another of [[routes]]", "'bulk'"]),
    (f'[[upstreams]]\nname = "b"\nurl = "smtp://b"\n{ROUTE}{TO}', 4, ["'b' is in no route"]),
]


@pytest.mark.parametrize(("text", "line", "said"), BAD_FILES)
def test_a_fault_in_the_file(write: WriteFile, text: str, line: int, said: list[str]) -> None:
    """One fault: file and line, the setting, the value that is wrong, and what to do."""
    at_top = text.startswith(("colour", "dns ="))
    path = write(text + UPSTREAM if at_top else UPSTREAM + text)
    [fault] = faults_of(path)
    assert fault.where == f"{path}:{1 if at_top else line}"
    assert fault.fix
    for part in said:
        assert part in str(fault)


BAD_UPSTREAMS = [
    ('url = "ftp://h.example"\n', ["url"]),
    ('url = "smtp://"\n', ["url"]),
    ('url = "smtp.example.net:587"\n', ["url"]),
    ('url = "smtp://h.example:0"\n', ["url", "port"]),
    ('url = "smtp://h.example:70000"\n', ["url", "port"]),
    ('url = "smtp://h.example:x"\n', ["url", "port"]),
    ('url = "smtp://h.example/path"\n', ["url"]),
    ('url = "smtp://h.example?tls=none"\n', ["url"]),
    ('url = "smtp://h.example#x"\n', ["url"]),
    ('url = "smtp://two words:25"\n', ["url"]),
    ('url = "smtp://h ö:25"\n', ["url"]),
    ('url = "smtp://[::1:25"\n', ["url"]),
    ("", ["url"]),
    ('url = "smtps://h.example"\ntls = "starttls"\n', ["starttls", "smtps"]),
    ('url = "smtp://h.example"\ntls = "yes"\n', ["tls", "yes"]),
    ('url = "smtp://h.example"\nprofle = "x"\n', ["profle"]),
    ('url = "smtp://h.example"\nname = ""\n', ["name"]),
]


@pytest.mark.parametrize(("text", "said"), BAD_UPSTREAMS)
def test_a_fault_in_an_upstream(write: WriteFile, text: str, said: list[str]) -> None:
    """An upstream that cannot be used is found here, not when the first message comes."""
    path = write(f"[[upstreams]]\n{text}")
    [fault] = faults_of(path)
    assert fault.where in [f"{path}:{line}" for line in (1, 2, 3)]
    assert fault.fix
    for part in said:
        assert part in str(fault)


@pytest.mark.parametrize(
    "url", [f"smtp://user:{SECRET}@h.example:25", f"smtp://{SECRET}@h.example", f"http://{SECRET}/"]
)
def test_credentials_in_the_url(write: WriteFile, url: str) -> None:
    """They are a fault, and are not printed in saying so."""
    [fault] = faults_of(write(f'[[upstreams]]\nurl = "{url}"\n'))
    assert "url" in fault.what


BAD_VARIABLES = [
    ({"DKIM_RELAY_COLOUR": "red"}, "DKIM_RELAY_COLOUR", []),
    ({"DKIM_RELAY_LISTENERS__ADDRESS": "x"}, "DKIM_RELAY_LISTENERS__ADDRESS", []),
    ({"DKIM_RELAY_UPSTREAM_URL": "x"}, "DKIM_RELAY_UPSTREAM_URL", []),
    ({"DKIM_RELAY_UPSTREAM__COLOUR": "x"}, "DKIM_RELAY_UPSTREAM__COLOUR", []),
    ({"DKIM_RELAY_DNS": "off"}, "DKIM_RELAY_DNS", []),
    ({"DKIM_RELAY_DNS__GATE": "open"}, "DKIM_RELAY_DNS__GATE", ["open"]),
    ({"DKIM_RELAY_LISTEN": "2525"}, "DKIM_RELAY_LISTEN", ["2525"]),
    ({"DKIM_RELAY_LISTEN": "0.0.0.0:25"}, "DKIM_RELAY_LISTEN", ["0.0.0.0:25", "[[clients]]"]),
    ({"DKIM_RELAY_LIMITS__MAX_RECIPIENTS": ""}, "DKIM_RELAY_LIMITS__MAX_RECIPIENTS", []),
    ({"DKIM_RELAY_LIMITS__MAX_RECIPIENTS": "1e3"}, "DKIM_RELAY_LIMITS__MAX_RECIPIENTS", ["1e3"]),
    ({"DKIM_RELAY_UPSTREAM__TLS": "maybe"}, "DKIM_RELAY_UPSTREAM__TLS", ["maybe"]),
    ({"DKIM_RELAY_UPSTREAM__URL": "ftp://x"}, "DKIM_RELAY_UPSTREAM__URL", ["url"]),
    ({"DKIM_RELAY_UPSTREAM__URL": "smtps://x", "DKIM_RELAY_UPSTREAM__TLS": "none"}, "", ["tls"]),
    ({"DKIM_RELAY_KEYS_DIR": ""}, "DKIM_RELAY_KEYS_DIR", []),
]


@pytest.mark.parametrize(("variables", "where", "said"), BAD_VARIABLES)
def test_a_fault_in_the_environment(
    variables: dict[str, str], where: str, said: list[str], tmp_path: Path
) -> None:
    """The variable is named, not the file."""
    [fault] = faults_of(_empty(tmp_path), URL | variables)
    assert fault.where == where or (not where and fault.where in variables)
    assert fault.fix
    for part in said:
        assert part in str(fault)


@pytest.mark.parametrize(
    "text",
    [
        '[upstreams]\nurl = "smtp://h"\n',
        'upstreams = ["smtp://h"]\n',
        "upstreams = 5\n",
        f'dns = ["off"]\n{UPSTREAM}',
        f'[[dns]]\ngate = "off"\n{UPSTREAM}',
        f"dns = 5\n{UPSTREAM}",
        f'listeners = ["127.0.0.1:25"]\n{UPSTREAM}',
        f'[listeners]\naddress = "127.0.0.1:25"\n{UPSTREAM}',
        f"listeners = 5\n{UPSTREAM}",
        f"keys_dir = []\n{UPSTREAM}",
        f"domains = []\n{UPSTREAM}",
        f"clients = {{}}\n{UPSTREAM}",
    ],
)
@pytest.mark.parametrize("with_variables", [False, True])
def test_the_wrong_kind_of_thing(write: WriteFile, text: str, with_variables: bool) -> None:
    """A table for a list, a list for a table: a fault, with and without variables beside it."""
    variables = {
        "DKIM_RELAY_UPSTREAM__TLS": "none",
        "DKIM_RELAY_DNS__TIMEOUT_SECONDS": "2",
        "DKIM_RELAY_LISTEN": "127.0.0.1:2525",
    }
    path = write(text)
    faults = faults_of(path, variables if with_variables else {})
    assert all(fault.where.startswith(str(path)) for fault in faults)


def test_a_variable_and_several_of_its_kind(write: WriteFile) -> None:
    """A variable that speaks of the one listener is a fault beside two."""
    two = '[[listeners]]\naddress = "127.0.0.1:1"\n[[listeners]]\naddress = "127.0.0.1:2"\n'
    path = write(UPSTREAM + two)
    [fault] = faults_of(path, {"DKIM_RELAY_LISTEN": "127.0.0.1:3"})
    assert fault.where == "DKIM_RELAY_LISTEN"


# ---- several at once ---------------------------------------------------------------------------


def test_every_fault_at_once(write: WriteFile) -> None:
    """File and environment, unknown and out of range, secrets and rules: one run names all."""
    path = write(
        '[dns]\ngate = "open"\n'
        "[limits]\nmax_recipients = 0\nmax_colours = 5\n"
        '[[listeners]]\naddress = "0.0.0.0:25"\n'
        f'{WITH_LOGIN}password_file = "/nonexistent/secret"\n'
    )
    faults = faults_of(path, {"DKIM_RELAY_COLOUR": "red", "DKIM_RELAY_LOGGING__LEVEL": "loud"})
    assert {fault.where for fault in faults} == {
        f"{path}:2",
        f"{path}:4",
        f"{path}:5",
        f"{path}:7",
        f"{path}:11",
        "DKIM_RELAY_COLOUR",
        "DKIM_RELAY_LOGGING__LEVEL",
    }


def test_no_upstream_is_named_beside_other_faults(write: WriteFile) -> None:
    """What is missing does not wait until what is wrong is mended."""
    path = write('[dns]\ngate = "open"\n[[listeners]]\naddress = "0.0.0.0:25"\n')
    text = "\n".join(map(str, faults_of(path)))
    assert "dns.gate" in text
    assert "DKIM_RELAY_UPSTREAM__URL" in text
    assert "0.0.0.0:25" in text


def test_an_upstream_without_its_url_names_both_places_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable as well, for who has no file."""
    monkeypatch.chdir(tmp_path)
    [fault] = faults_of(None, {"DKIM_RELAY_UPSTREAM__TLS": "none"})
    assert str(fault) == (
        "settings: upstreams[0].url: field required "
        "(set DKIM_RELAY_UPSTREAM__URL, or url in [[upstreams]])"
    )


# ---- files -------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The one that was asked for must be there."""
    path = tmp_path / "none.toml"
    for faults in (faults_of(path), faults_of(None, {"DKIM_RELAY_CONFIG": str(path)})):
        [fault] = faults
        assert fault.where == str(path)
        assert fault.what == "No such file or directory"


def test_in_a_folder_that_is_closed_to_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where root stands that runs a command as the relay's user, no settings are looked for."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config/relay.toml").write_text("nonsense")
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0)
    with unprivileged():
        assert load(None, URL).upstreams[0].url == URL["DKIM_RELAY_UPSTREAM__URL"]
    tmp_path.chmod(0o755)


def test_a_file_in_a_folder_that_is_closed_to_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that are there and cannot be read are not passed over."""
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    folder.chmod(0)
    with unprivileged():
        [fault] = faults_of(None, URL)
    assert (fault.where, fault.what) == ("config/relay.toml", "Permission denied")
    folder.chmod(0o755)


@pytest.mark.parametrize(
    "octets", [b"[dns\n", b"a = \xff\n", b"a = 1\na = 2\n", b"\xef\xbb\xbfa=[\n"]
)
def test_a_file_that_is_not_toml(octets: bytes, tmp_path: Path) -> None:
    """The fault has the file, and tomllib's line where there is one."""
    path = tmp_path / "relay.toml"
    path.write_bytes(octets)
    [fault] = faults_of(path)
    assert fault.where.startswith(str(path))
    assert "TOML" in fault.what


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    """A mount that went wrong."""
    [fault] = faults_of(tmp_path)
    assert fault.where == str(tmp_path)


# ---- secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "password"),
    [
        (b"hunter2-and-more", SECRET),
        (b"hunter2-and-more\n", SECRET),
        (b"hunter2-and-more\r\n", SECRET),
        (b" spaces around ", " spaces around "),
        (b"two\nlines\n", "two\nlines"),
        ("pässword\n".encode(), "pässword"),
    ],
)
@pytest.mark.parametrize("source", ["file", "variable"])
def test_a_secret_from_a_file(
    write: WriteFile, tmp_path: Path, octets: bytes, password: str, source: str
) -> None:
    """What the file holds, without its last line end; a password may begin or end in a blank."""
    secret = tmp_path / "secret"
    secret.write_bytes(octets)
    if source == "file":
        config = load(write(f'{WITH_LOGIN}password_file = "{secret}"\n'), {})
    else:
        config = load(write(WITH_LOGIN), {"DKIM_RELAY_UPSTREAM__PASSWORD_FILE": str(secret)})
    # Its path is what is kept: a file that changes is read anew.
    assert config.upstreams[0].password_file == str(secret)
    assert upstream_settings(config).password.read() == password


@pytest.mark.parametrize("password", [SECRET, " x ", "\tx", "x "])
def test_a_secret_as_it_stands(tmp_path: Path, password: str) -> None:
    """A password is never trimmed."""
    config = load(_empty(tmp_path), URL_AND_USER | {"DKIM_RELAY_UPSTREAM__PASSWORD": password})
    assert config.upstreams[0].password.get_secret_value() == password


def test_a_secret_file_that_is_not_there(write: WriteFile, tmp_path: Path) -> None:
    """The place of the setting and the path are named."""
    path = write(f'{WITH_LOGIN}password_file = "{tmp_path}/none"\n')
    [fault] = faults_of(path)
    assert fault.where == f"{path}:4"
    assert f"{tmp_path}/none: No such file or directory" in fault.what
    [fault] = faults_of(
        _empty(tmp_path), URL_AND_USER | {"DKIM_RELAY_UPSTREAM__PASSWORD_FILE": f"{tmp_path}/none"}
    )
    assert fault.where == "DKIM_RELAY_UPSTREAM__PASSWORD_FILE"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_secret_file_that_may_not_be_read(write: WriteFile, tmp_path: Path) -> None:
    """The reason is the system's."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0)
    [fault] = faults_of(write(f'{WITH_LOGIN}password_file = "{secret}"\n'))
    assert "Permission denied" in fault.what


@pytest.mark.parametrize("octets", [b"\xff\xfe", b"", b"\n", None])
def test_a_secret_file_that_is_no_text(
    write: WriteFile, tmp_path: Path, octets: bytes | None
) -> None:
    """Octets that are not UTF-8, none at all, and a folder."""
    secret = tmp_path / "secret"
    if octets is None:
        secret.mkdir()
    else:
        secret.write_bytes(octets)
    [fault] = faults_of(write(f'{WITH_LOGIN}password_file = "{secret}"\n'))
    assert str(secret) in fault.what


def test_a_secret_given_twice(write: WriteFile, tmp_path: Path) -> None:
    """In one place both are a fault."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    path = write(f'{WITH_LOGIN}password = "{SECRET}"\npassword_file = "{secret}"\n')
    [fault] = faults_of(path)
    assert "password" in fault.what


@pytest.mark.parametrize("in_file", ["password", "password_file"])
def test_a_secret_of_the_environment_wins(write: WriteFile, tmp_path: Path, in_file: str) -> None:
    """The environment's password or file replaces the file's, in whichever form it stands."""
    secret = tmp_path / "secret"
    secret.write_text("from a file")
    path = write(f'{WITH_LOGIN}{in_file} = "{secret}"\n')
    other = "PASSWORD" if in_file == "password_file" else "PASSWORD_FILE"
    value = SECRET if other == "PASSWORD" else str(secret)
    config = load(path, {f"DKIM_RELAY_UPSTREAM__{other}": value})
    expected = SECRET if other == "PASSWORD" else "from a file"
    assert upstream_settings(config).password.read() == expected


@pytest.mark.parametrize(
    "text",
    [
        f'password = ["{SECRET}"]\n',
        f'password = "{SECRET}"\ncolour = 1\n',
        f'password = "{SECRET}"\ntls = "bad"\n',
        f'password = "{SECRET}"\nusername = ["{SECRET}"]\n',
        f'passwrod = "{SECRET}"\n',
    ],
)
def test_a_secret_is_not_printed_with_a_fault(write: WriteFile, text: str) -> None:
    """Neither its own fault nor another beside it shows it (`faults_of` looks)."""
    assert faults_of(write(UPSTREAM + text))


def test_a_secret_is_not_printed(tmp_path: Path) -> None:
    """Not in repr, str, dump or JSON."""
    config = load(_empty(tmp_path), URL_AND_USER | {"DKIM_RELAY_UPSTREAM__PASSWORD": SECRET})
    for shown in (repr(config), str(config), str(config.model_dump()), config.model_dump_json()):
        assert SECRET not in shown


def test_settings_do_not_change(tmp_path: Path) -> None:
    """They are frozen."""
    config: Config = load(_empty(tmp_path), URL)
    with pytest.raises(ValueError, match="frozen"):
        config.keys_dir = "other"


def _empty(folder: Path) -> Path:
    """A file without any setting."""
    path = folder / "empty.toml"
    path.write_text("")
    return path
