"""rspamd's DKIM module as a verifier, in a folder of its own.

IO: one rspamd process with a single worker on loopback, nothing but the dkim
module configured, asking a loopback DNS server. See `tests.fakes.verifiers` for
what a verifier takes and returns; an `Rspamd` object is one more of them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.fakes.dns_server import LoopbackDNS
from tests.fakes.processes import LOOPBACK, Program, free_port
from tests.fakes.programs import require_program
from tests.fakes.verifiers import Records, Result, Verdict, Verdicts

# The few suffixes spare rspamd the compilation of the whole public suffix list.
CONFIGURATION = """\
options {{
  filters = "dkim";
  url_tld = "{folder}/suffixes";
  cache_file = "{folder}/symbols.cache";
  tempdir = "{folder}";
  hs_cache_dir = "{folder}";
  control_socket = "{folder}/control.sock mode=0600";
  pidfile = "{folder}/rspamd.pid";
  task_timeout = 30s;
  dns {{ nameserver = ["{host}:{dns_port}"]; timeout = 2s; retransmits = 3; }}
}}
logging {{ type = "console"; level = "info"; }}
worker "normal" {{ bind_socket = "{host}:{port}"; count = 1; mime = true; }}
dkim {{ check_local = true; check_authed = true; }}
"""

RESULT_OF_SYMBOL: Mapping[str, Result] = {
    "R_DKIM_ALLOW": Result.PASS,
    "R_DKIM_REJECT": Result.FAIL,
    "R_DKIM_TEMPFAIL": Result.TEMPERROR,
    "R_DKIM_PERMFAIL": Result.PERMERROR,
}
UNSIGNED_SYMBOL = "R_DKIM_NA"


class Rspamd:
    """A running rspamd; a context manager. Call it to verify a message."""

    def __init__(self, folder: Path) -> None:
        """Describe the process; nothing is started yet.

        Args:
            folder: an empty folder for its files.
        """
        rspamd = require_program("rspamd", "rspamd")
        self._dns = LoopbackDNS()
        self._port = free_port()
        self._answered: dict[str, str] = {}
        (folder / "suffixes").write_text("com\nnet\norg\ntest\nexample\n")
        (folder / "rspamd.conf").write_text(
            CONFIGURATION.format(
                folder=folder, host=LOOPBACK, port=self._port, dns_port=self._dns.port
            )
        )
        self._program = Program(
            # -f: stay in the foreground; -i: allow to run as whoever runs the tests.
            [rspamd, "-f", "-i", "-c", f"{folder}/rspamd.conf"],
            folder=folder,
            name="rspamd",
        )

    def __enter__(self) -> Self:
        """Start the DNS server and rspamd."""
        self._dns.__enter__()
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop both."""
        self._program.stop()
        self._dns.__exit__()

    def __call__(self, message: bytes, records: Records) -> Verdicts:
        """Verify a message.

        Returns:
            One verdict for each signature, grouped by result, not in the order of the
            fields: rspamd reports them so.
        """
        self._serve(records)
        status, body = self._ask("POST", "/checkv2", message)
        assert status == http.client.OK, f"rspamd answered {status}: {body!r}"
        symbols = json.loads(body)["symbols"]
        verdicts = [
            _verdict(result, option)
            for symbol, result in RESULT_OF_SYMBOL.items()
            for option in symbols.get(symbol, {}).get("options", ())
        ]
        assert verdicts or UNSIGNED_SYMBOL in symbols, f"rspamd did not look: {body!r}"
        return verdicts

    def verify_many(self, messages: Sequence[bytes], records: Records) -> list[Verdicts]:
        """Verify messages, one after the other: rspamd closes the connection after each."""
        return [self(message, records) for message in messages]

    def _serve(self, records: Records) -> None:
        """Publish the records; a record that rspamd may remember otherwise needs a new process."""
        wanted = {owner.lower(): text for owner, text in records.items()}
        is_stale = any(wanted.get(owner) != text for owner, text in self._answered.items())
        self._dns.records = wanted
        if is_stale:
            self._program.stop()
            self._start()
            self._answered = {}
        self._answered.update(wanted)

    def _start(self) -> None:
        self._program.start()
        self._program.wait_ready(self._responds)

    def _responds(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self._ask("GET", "/ping", b"")[0] == http.client.OK
        return False

    def _ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=60)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _verdict(result: Result, option: str) -> Verdict:
    """Read an option of a DKIM symbol: `domain:s=selector`."""
    domain, _, selector = option.partition(":s=")
    return Verdict(
        verifier="rspamd", result=result, signing_domain=domain, selector=selector, reason=""
    )
