"""What we call ourselves. Nothing of it is started."""

from __future__ import annotations

import socket

from relay.config.settings import Config
from relay.core.address import is_domain


def hostname(config: Config) -> str:
    """Our name in greeting, EHLO and Received; never looked up in DNS."""
    name = config.service.hostname or socket.gethostname()
    return name if is_domain(name.encode("ascii", "replace")) else "localhost"
