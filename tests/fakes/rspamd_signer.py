"""rspamd's dkim_signing module as a signer, with the configuration that it is given.

IO: one rspamd process with a single worker on loopback that loads that one plugin and asks no
DNS. What comes back from it is the signature as it would be put in front of the message.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from pathlib import Path
from typing import Self

from tests.fakes.processes import LOOPBACK, Program, free_port
from tests.fakes.programs import require_program

USER = "somebody@example.com"  # rspamd signs for who has logged in
CONFIGURATION = """\
options {{
  filters = "dkim";
  url_tld = "{folder}/suffixes";
  cache_file = "{folder}/symbols.cache";
  tempdir = "{folder}";
  hs_cache_dir = "{folder}";
  control_socket = "{folder}/control.sock mode=0600";
  pidfile = "{folder}/rspamd.pid";
  dns {{ nameserver = ["{host}:1"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "console"; level = "info"; }}
worker "normal" {{ bind_socket = "{host}:{port}"; count = 1; mime = true; }}
modules {{ path = "/usr/share/rspamd/plugins/dkim_signing.lua"; }}
lua = "/usr/share/rspamd/rules/rspamd.lua";
dkim_signing {{
  .include "{dkim_signing}"
}}
"""


class RspamdSigner:
    """A running rspamd that signs; a context manager."""

    def __init__(self, folder: Path, dkim_signing: Path) -> None:
        """Describe the process; nothing is started yet.

        Args:
            folder: an empty folder for its files.
            dkim_signing: the dkim_signing.conf to use.
        """
        rspamd = require_program("rspamd", "rspamd")
        self._port = free_port()
        (folder / "suffixes").write_text("com\nnet\norg\ntest\nexample\n")
        (folder / "rspamd.conf").write_text(
            CONFIGURATION.format(
                folder=folder, host=LOOPBACK, port=self._port, dkim_signing=dkim_signing
            )
        )
        argv = [rspamd, "-f", "-i", "-c", f"{folder}/rspamd.conf"]
        self._program = Program(argv, folder=folder, name="rspamd-signer")

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        self._program.start()
        try:
            self._program.wait_ready(self._responds)
        except BaseException:
            self._program.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._program.stop()

    def __call__(self, message: bytes) -> bytes:
        """The message with rspamd's signature in front.

        Raises:
            AssertionError: it did not sign.
        """
        status, body = self._ask("POST", "/checkv2", message)
        assert status == http.client.OK, f"rspamd answered {status}: {body!r}"
        value = json.loads(body).get("dkim-signature")
        assert isinstance(value, str), f"rspamd did not sign: {body!r}\n{self._program.tail()}"
        return b"DKIM-Signature: " + value.encode("ascii") + b"\r\n" + message

    def _responds(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self._ask("GET", "/ping", b"")[0] == http.client.OK
        return False

    def _ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=60)
        try:
            connection.request(method, path, body, {"User": USER, "IP": LOOPBACK})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
