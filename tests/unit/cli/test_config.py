"""`dkim-relay config`: exit codes, and what goes to which stream."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay.cli import main

SECRET = "hunter2-and-more"
UPSTREAM = '[[upstreams]]\nurl = "smtp://smtp.example.net:587"\n'
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder: `run("config", "check", KEY="value")`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DKIM_RELAY_CONFIG", raising=False)

    def invoke(*arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(main, arguments, env=environ, prog_name="dkim-relay")

    return invoke


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good settings file and the keys folder that it names."""
    path = tmp_path / "relay.toml"
    (tmp_path / "keys").mkdir()
    path.write_text(f'{UPSTREAM}username = "u"\npassword = "{SECRET}"\n')
    return path


def test_good_settings(run: Run, file: Path) -> None:
    """Exit 0, a word on standard error, nothing on standard output."""
    result = run("config", "check", "-c", str(file))
    assert (result.exit_code, result.stdout) == (0, "")
    assert "good" in result.stderr


def test_bad_settings(run: Run, file: Path) -> None:
    """Exit 2, every fault on a line of its own, on standard error."""
    file.write_text(f'{UPSTREAM}[limits]\nmax_recipients = 0\ncolour = "{SECRET}"\n')
    result = run("config", "check", "-c", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert [line.partition(": ")[0] for line in sorted(result.stderr.splitlines())] == [
        f"{file}:4",
        f"{file}:5",
    ]
    assert SECRET not in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'{UPSTREAM}profile = "nope"\n', "nope"),
        (f'keys_dir = "elsewhere"\n{UPSTREAM}', "elsewhere"),
        (f'{UPSTREAM}ca_file = "/nonexistent/ca.pem"\n', "/nonexistent/ca.pem"),
        ('[[upstreams]]\nurl = "smtp://two words:25"\n', "url"),
        (f"{UPSTREAM}max_connections = 2\n[service]\nworkers = 3\n", "toml:3: max_connections = 2"),
        (f'{UPSTREAM}[admin]\ntoken_file = "/nonexistent/token"\n', "/nonexistent/token"),
        (f'{UPSTREAM}[admin]\ntoken_file = "/dev/null"\n', "admin.token_file"),
    ],
)
def test_what_only_shows_when_it_is_used(run: Run, file: Path, text: str, said: str) -> None:
    """`config check` looks for what `serve` and the first message would stumble over."""
    file.write_text(text)
    result = run("config", "check", "-c", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_no_settings_at_all(run: Run) -> None:
    """Says which variable is enough."""
    result = run("config", "check")
    assert result.exit_code == 2
    assert "DKIM_RELAY_UPSTREAM__URL" in result.stderr


def test_a_file_that_is_not_there(run: Run) -> None:
    """Exit 2 with the file's name."""
    result = run("config", "check", "-c", "none.toml")
    assert result.exit_code == 2
    assert "none.toml: No such file or directory" in result.stderr


def test_show_is_json_without_secrets(run: Run, file: Path) -> None:
    """What is in effect, for scripts."""
    result = run("config", "show", "-c", str(file), DKIM_RELAY_LISTEN="127.0.0.1:2626")
    assert (result.exit_code, result.stderr) == (0, "")
    shown = json.loads(result.stdout)
    assert [listener["address"] for listener in shown["listeners"]] == ["127.0.0.1:2626"]
    assert shown["upstreams"][0]["username"] == "u"
    assert SECRET not in result.stdout
    assert shown["upstreams"][0]["password"]  # that there is one can be seen


def test_show_does_not_show_the_secret_of_a_file(run: Run, file: Path, tmp_path: Path) -> None:
    """Nor what a secret file holds."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    file.write_text(f'{UPSTREAM}password_file = "{secret}"\n')
    assert SECRET not in run("config", "show", "-c", str(file)).output


def test_example_is_toml(run: Run, tmp_path: Path) -> None:
    """It can be written to a file and used."""
    result = run("config", "example")
    assert (result.exit_code, result.stderr) == (0, "")
    tomllib.loads(result.stdout)
    (tmp_path / "keys").mkdir()
    (tmp_path / "made.toml").write_text(result.stdout)
    assert run("config", "check", "-c", "made.toml").exit_code == 0


def test_table(run: Run) -> None:
    """The table for the README."""
    result = run("config", "example", "--table")
    assert result.exit_code == 0
    assert result.stdout.startswith("| setting | default | what it does |\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("config", "chek"),
        ("nope",),
        ("config", "check", "--nope"),
        ("serve", "extra"),
        ("verify", "--nope"),
    ],
)
def test_usage(run: Run, arguments: tuple[str, ...]) -> None:
    """Usage errors are exit 2 on standard error."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: dkim-relay" in result.stderr


@pytest.mark.parametrize("command", ["serve", "demo", "config", "keys", "sign", "verify"])
def test_help(run: Run, command: str) -> None:
    """Every command explains itself, with nothing set up."""
    result = run(command, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert command in run("--help").stdout


def test_version(run: Run) -> None:
    """One line."""
    assert run("--version").stdout.startswith("dkim-relay, version ")


def test_check_names_every_missing_file_of_an_upstream(tmp_path: Path) -> None:
    """Found when the settings are checked, not when the first message goes out."""
    path = tmp_path / "relay.toml"
    path.write_text(
        f'keys_dir = "{tmp_path}"\n[[upstreams]]\nurl = "smtp://h"\n'
        'ca_file = "/nowhere/ca.pem"\nclient_certificate_file = "/nowhere/me.pem"\n'
    )
    result = CliRunner().invoke(main, ["config", "check", "-c", str(path)])
    assert result.exit_code == 2
    assert "upstreams[0].ca_file: /nowhere/ca.pem" in result.stderr
    assert "upstreams[0].client_certificate_file: /nowhere/me.pem" in result.stderr
