"""A Postfix that hands its mail to the relay, as `relayhost` does: by a route for each entrance.

IO; needs root, as every Postfix of the tests. Mail for `<name>@<route>.test` leaves by the route of
that name. Each route is an smtp(8) service of its own, so that one instance shows them all, and
logs the dialogue (`-v`).

Debian 12's Postfix 3.7 does not use CHUNKING as a client, whatever the server offers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.fakes.postfix import Postfix, Setup
from tests.fakes.processes import LOOPBACK, wait_until

HOSTNAME = "app-host.test"

# name, type, private, unprivileged, chroot, wake-up, process limit, program
CLIENT_SERVICES = """\
smtp      unix       - - n - -     smtp
scache    unix       - - n - 1     scache
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A way to the relay.

    Attributes:
        port: where it goes to on loopback.
        options: main.cf parameters of its smtp(8); no blanks in values.
    """

    port: int
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What Postfix logged of one recipient.

    Attributes:
        recipient: the address.
        status: sent, bounced, deferred.
        dsn: the enhanced code.
        text: what the relay said, in Postfix's frame.
    """

    recipient: str
    status: str
    dsn: str
    text: str


class ClientPostfix(Postfix):
    """A Postfix instance whose mail leaves by routes."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        """Describe the instance; nothing is started yet.

        Args:
            routes: by name, which is a domain label.
        """
        maps = ",".join(
            f"{name}.test=route-{name}:[{LOOPBACK}]:{route.port}" for name, route in routes.items()
        )
        settings = {
            "myhostname": HOSTNAME,
            "virtual_mailbox_domains": "",
            "smtpd_relay_restrictions": "permit_mynetworks,reject",
            "smtpd_recipient_restrictions": "",
            # Bounces go to the senders of the tests, whom nobody asks.
            "transport_maps": f"inline:{{{maps},example.com=discard:}}",
            "smtp_discard_ehlo_keywords": "",
            "smtp_tls_loglevel": "1",
        }
        super().__init__(Setup(recipients=(), settings=settings))
        self._routes = routes

    def dialogue(self, route: str) -> list[tuple[str, str]]:
        """What was said on a route so far, in order: (">", command line) and ("<", reply line)."""
        port = self._routes[route].port
        pattern = rf" ([<>]) {re.escape(LOOPBACK)}\[{re.escape(LOOPBACK)}\]:{port}: (.*)$"
        return re.findall(pattern, self.log(), re.MULTILINE)

    def deliveries(self, queue_id: str, *, count: int) -> list[Delivery]:
        """Wait until every recipient of a message has been tried once.

        Args:
            queue_id: as in Postfix's reply to the message.
            count: how many recipients it has.

        Returns:
            One entry for each, in the order of addresses.
        """

        def found() -> Sequence[tuple[str, ...]]:
            pattern = rf": {queue_id}: to=<([^>]*)>.* dsn=([\d.]+), status=(\w+) \((.*)\)$"
            return re.findall(pattern, self.log(), re.MULTILINE)

        wait_until(
            lambda: len(found()) >= count,
            what=f"{queue_id} has been tried for {count} recipients",
            wait_seconds=30,
            describe=lambda: self.log()[-8000:],
        )
        return sorted(
            (Delivery(name, status, dsn, text) for name, dsn, status, text in found()),
            key=lambda delivery: delivery.recipient,
        )

    def _listener_services(self) -> str:
        """The services of a client besides those that listen."""
        text = super()._listener_services() + CLIENT_SERVICES
        for name, route in self._routes.items():
            options = "".join(f"  -o {key}={value}\n" for key, value in route.options.items())
            text += f"route-{name} unix - - n - - smtp -v\n{options}"
        return text
