"""Every recipe of the README that can run here, copied out of it and run: mail arrives signed."""

from __future__ import annotations

import configparser
import json
import os
import shlex
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.fakes.postfix import Postfix, Setup
from tests.fakes.processes import LOOPBACK, Program, free_port, port_accepts, wait_until
from tests.fakes.programs import require_program, skip_unless_required
from tests.fakes.python_peers import peers_python
from tests.interop.clients import connect
from tests.interop.clients_edge import Edge, new_marker
from tests.interop.clients_nodemailer import installed_folder
from tests.interop.clients_run import run
from tests.interop.readme import recipe

pytest_plugins = ("tests.interop.clients_setup",)

RECIPIENT = "ann@example.net"
MESSAGE = f"From: shop@example.com\nTo: {RECIPIENT}\nSubject: {{}}\n\nGood morning.\n"

DJANGO = f"""
import sys, django
from django.conf import settings
named = {{}}
exec(sys.stdin.read(), named)
settings.configure(**{{name: named[name] for name in named if name.isupper()}})
django.setup()
from django.core.mail import send_mail
send_mail(sys.argv[1], "Good morning.", None, ["{RECIPIENT}"], html_message="<p>Grüße</p>")
"""
NODEMAILER = f"""
const nodemailer = require("nodemailer");
{{}}
const [subject] = process.argv.slice(1);
transporter.sendMail({{{{ from: "shop@example.com", to: "{RECIPIENT}", subject, text: "Grüße" }}}});
"""
PHPMAILER = f"""
require "/usr/share/php/libphp-phpmailer/autoload.php";
{{}}
$mail->addAddress("{RECIPIENT}");
$mail->Subject = $argv[1];
$mail->Body = "Good morning.";
$mail->send();
"""
RAILS = f"""
require "action_mailer"
config = Struct.new(:action_mailer).new(ActionMailer::Base)
eval STDIN.read
class Shop < ActionMailer::Base
  def welcome(subject)
    mail(to: "{RECIPIENT}", subject: subject, body: "Good morning.")
  end
end
Shop.welcome(ARGV[0]).deliver_now
"""


def test_django(edge: Edge) -> None:
    """The settings are Django's own; text and HTML by `send_mail`."""
    marker = new_marker()
    argv = [peers_python(), "-c", DJANGO, marker]
    done = run(argv, given=recipe("Django", edge.ports["plain"]).encode())
    assert done.status == 0, done
    edge.arrived(marker, protocol="ESMTP")


def test_python(edge: Edge) -> None:
    """The script as it stands; only the subject is another."""
    marker = new_marker()
    script = recipe("Python", edge.ports["plain"]).replace("Hello", marker)
    done = run([sys.executable, "-c", script])
    assert done.status == 0, done
    edge.arrived(marker, protocol="ESMTP")


def test_rails(edge: Edge) -> None:
    """The lines of an environment's configuration, set on Action Mailer as Rails does."""
    marker = new_marker()
    ruby = require_program("ruby", "ruby-actionmailer")
    if run([ruby, "-raction_mailer", "-e", ""]).status != 0:
        skip_unless_required("no Action Mailer; on Debian: apt-get install ruby-actionmailer")
    argv = [ruby, "-W0", "-e", RAILS, marker]
    done = run(argv, given=recipe("Rails", edge.ports["plain"]).encode())
    assert done.status == 0, done
    edge.arrived(marker, protocol="ESMTP")


def test_nodemailer(edge: Edge) -> None:
    """The transporter as it stands."""
    marker = new_marker()
    script = NODEMAILER.format(recipe("Nodemailer", edge.ports["plain"]))
    modules = installed_folder() / "node_modules"
    argv = [require_program("node", "nodejs"), "-e", script, marker]
    done = run(argv, environment={**os.environ, "NODE_PATH": str(modules)})
    assert done.status == 0, done
    edge.arrived(marker, protocol="ESMTP")


def test_phpmailer(edge: Edge) -> None:
    """The object as it stands; it throws what goes wrong."""
    marker = new_marker()
    php = require_program("php", "php-cli")
    if not Path("/usr/share/php/libphp-phpmailer/autoload.php").exists():
        skip_unless_required("no PHPMailer; on Debian: apt-get install libphp-phpmailer")
    script = PHPMAILER.format(recipe("PHPMailer", edge.ports["plain"]))
    done = run([php, "-r", script, "--", marker])
    assert done.status == 0, done
    edge.arrived(marker, protocol="ESMTP")


def test_mail_of_php(edge: Edge, tmp_path: Path) -> None:
    """php.ini's line, which msmtp is behind."""
    marker = new_marker()
    require_program("msmtp", "msmtp")
    (tmp_path / "php.ini").write_text(recipe("PHP's mail()", edge.ports["plain"]))
    script = f'exit(mail("{RECIPIENT}", $argv[1], "Hello.", "From: shop@example.com") ? 0 : 1);'
    argv = [require_program("php", "php-cli"), "-c", str(tmp_path), "-r", script, "--", marker]
    done = run(argv)
    assert done.status == 0, done
    edge.arrived(marker, protocol="ESMTP")


def test_msmtp(edge: Edge, tmp_path: Path) -> None:
    """The file, and what cron does: a message whose recipients are in it."""
    marker = new_marker()
    file = tmp_path / "msmtprc"
    file.write_text(recipe("msmtp", edge.ports["plain"]))
    argv = [require_program("msmtp", "msmtp"), f"--file={file}", "--read-recipients"]
    done = run(argv, given=MESSAGE.format(marker).encode())
    assert done.status == 0, done
    received = edge.arrived(marker, protocol="ESMTP")
    assert received.mail.startswith(b"MAIL FROM:<cron@example.com>")


def test_curl(edge: Edge, tmp_path: Path) -> None:
    """The command, with a file that has the line ends of this system."""
    marker = new_marker()
    (tmp_path / "message.eml").write_text(MESSAGE.format(marker))
    require_program("curl", "curl")
    command = recipe("curl", edge.ports["plain"]).replace("\\\n", "")
    done = run(shlex.split(command), folder=tmp_path)
    assert done.status == 0, done
    edge.arrived(marker, protocol="ESMTP")


class _NullClient(Postfix):
    """A Postfix with a main.cf of its own."""

    def __init__(self, settings: dict[str, str]) -> None:
        sends = {
            "default_transport": "smtp",
            "relay_transport": "smtp",
            "virtual_mailbox_domains": "",
            "smtpd_relay_restrictions": "permit_mynetworks,reject",
            "smtpd_recipient_restrictions": "",
        }
        super().__init__(Setup(recipients=(), settings={**sends, **settings}))

    def _listener_services(self) -> str:
        return super()._listener_services() + "smtp unix - - n - - smtp\n"


def test_postfix(edge: Edge) -> None:
    """Mail of the machine itself, without any domain: Postfix gives it one, and it is signed."""
    marker = new_marker()
    lines = recipe("Postfix", edge.ports["plain"]).splitlines()
    settings = {name.strip(): text.strip() for name, _, text in (x.partition("=") for x in lines)}
    message = MESSAGE.format(marker).replace("shop@example.com", "root")
    with _NullClient(settings) as postfix:
        with connect(postfix.port) as client:
            client.sendmail("root", [RECIPIENT], message)
        wait_until(
            lambda: edge.has_seen(marker), what="Postfix sends it", describe=lambda: postfix.log()
        )
        received = edge.arrived(marker, protocol="ESMTP")
    assert b"\r\nFrom: root@example.com\r\n" in received.octets


def test_alertmanager(edge: Edge, tmp_path: Path) -> None:
    """Its configuration's global part, with a route and a receiver; an alert becomes a message."""
    program = require_program("prometheus-alertmanager", "prometheus-alertmanager")
    marker, port = new_marker(), free_port()
    file = tmp_path / "alertmanager.yml"
    route = "route: {receiver: mail, group_wait: 0s}\nreceivers:\n- name: mail\n  email_configs:\n"
    told = f"  - to: {RECIPIENT}\n    headers: {{Subject: {marker}}}\n"
    file.write_text(recipe("Alertmanager", edge.ports["plain"]) + route + told)
    argv = [program, f"--config.file={file}", f"--storage.path={tmp_path}"]
    argv += [f"--web.listen-address={LOOPBACK}:{port}", "--cluster.listen-address="]
    with Program(argv, folder=tmp_path, name="alertmanager") as running:
        running.wait_ready(lambda: port_accepts(port))
        request = urllib.request.Request(
            f"http://{LOOPBACK}:{port}/api/v2/alerts",
            data=json.dumps([{"labels": {"alertname": "Unsigned"}}]).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - the one above
        wait_until(lambda: edge.has_seen(marker), what="it sends", describe=running.tail)
        edge.arrived(marker, protocol="UTF8SMTP")  # which Go asks for where it is offered


def test_grafana() -> None:
    """Grafana is not to be had here: at least the file can be read, and says where the relay is."""
    found = configparser.ConfigParser()
    found.read_string(recipe("Grafana", 2526))
    assert found["smtp"]["host"] == f"{LOOPBACK}:2526"
    assert found["smtp"].getboolean("enabled")


@pytest.mark.parametrize("title", ["Symfony", ""])
def test_a_recipe_that_is_not_there_is_noticed(title: str) -> None:
    """Or a test could pass that runs nothing."""
    with pytest.raises(AssertionError):
        recipe(title, 2525)
