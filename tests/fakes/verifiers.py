"""DKIM verifiers that others wrote, each with its key records from a table.

IO: each starts a program or reads no more than its arguments; no DNS but the
loopback server that rspamd asks. All take the octets of a message (CRLF line
ends) and a mapping from owner name (`selector._domainkey.domain`) to TXT record,
and return one verdict for each DKIM-Signature field in the order of the fields,
an empty list for an unsigned message. Results are RFC 8601 §2.7.1 words.

How the four differ where they must: OpenDKIM and dkimpy say `fail` when the
record does not exist, Mail::DKIM and rspamd `permerror`; OpenDKIM of Debian 12
does not know Ed25519.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import dkim

from tests.fakes.programs import require_perl_module, require_program

RUN_SECONDS = 60  # only a hang gets there
MAX_SIGNATURES = 20

Records = Mapping[str, str]


class Result(StrEnum):
    """RFC 8601 §2.7.1, without `none`, which is an empty list of verdicts here."""

    PASS = "pass"
    FAIL = "fail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one verifier says about one signature.

    Attributes:
        verifier: the program's name.
        result: in RFC 8601 words.
        signing_domain: `d=`.
        selector: `s=`.
        reason: the verifier's own words; may be empty.
    """

    verifier: str
    result: Result
    signing_domain: str
    selector: str
    reason: str


Verifier = Callable[[bytes, Records], list[Verdict]]


def verify_with_opendkim(message: bytes, records: Records) -> list[Verdict]:
    """Verify with OpenDKIM's filter in test mode (`opendkim -t`).

    Raises:
        AssertionError: OpenDKIM could not read the message.
    """
    program = require_program("opendkim", "opendkim")
    with tempfile.TemporaryDirectory(prefix="relay-opendkim-") as name:
        folder = Path(name)
        table = "".join(f"{owner} {record}\n" for owner, record in records.items())
        (folder / "keys").write_text(table, "ascii")
        (folder / "opendkim.conf").write_text(
            f"Mode v\nSyslog no\nLogResults no\nTestPublicKeys {folder}/keys\n"
            f"MaximumSignaturesToVerify {MAX_SIGNATURES}\n"
        )
        (folder / "message.eml").write_bytes(message)
        done = _run(
            [program, "-x", f"{folder}/opendkim.conf", "-t", f"{folder}/message.eml", "-vv"], b""
        )
    # It shows the Authentication-Results field that it would insert; RFC 8601 §2.2.
    found = re.findall(
        r'\bdkim=(\w+)(?: reason="([^"]*)")?[^;]*? header\.d=([^ ;]+)[^;]*? header\.s=([^ ;]+)',
        done,
    )
    assert found or "message not signed" in done, f"opendkim could not verify:\n{done}"
    return [
        Verdict(
            verifier="opendkim",
            result=Result(result),
            signing_domain=domain,
            selector=selector,
            reason=reason,
        )
        for result, reason, domain, selector in found
    ]


def verify_with_mail_dkim(message: bytes, records: Records) -> list[Verdict]:
    """Verify with Perl's Mail::DKIM, through the script beside this module."""
    program = require_perl_module("Mail::DKIM", "libmail-dkim-perl")
    script = Path(__file__).with_name("mail_dkim.pl")
    with tempfile.TemporaryDirectory(prefix="relay-mail-dkim-") as name:
        table = Path(name) / "records.json"
        table.write_text(json.dumps({owner.lower(): text for owner, text in records.items()}))
        done = _run([program, str(script), str(table)], message)
    return [
        Verdict(
            verifier="mail-dkim",
            # Mail::DKIM says `invalid` for a signature or record it cannot use.
            result=Result(found["result"].replace("invalid", "permerror")),
            signing_domain=found["domain"],
            selector=found["selector"],
            reason=found["detail"],
        )
        for found in json.loads(done)
    ]


def verify_with_dkimpy(message: bytes, records: Records) -> list[Verdict]:
    """Verify every signature with dkimpy."""

    def find_record(name: bytes, timeout: int = 5) -> bytes | None:
        del timeout  # nothing is asked of a network
        record = records.get(name.decode("ascii").rstrip(".").lower())
        return None if record is None else record.encode("ascii")

    verdicts = []
    for index in range(MAX_SIGNATURES):
        verification = dkim.DKIM(message)
        result, reason = Result.FAIL, ""
        try:
            prepared = verification.verify_headerprep(index)
            if not prepared:  # no signature with this index
                break
            signature, signed_names, fields = prepared
            if verification.verify_sig(signature, signed_names, fields[index], find_record):
                result = Result.PASS
        except dkim.ValidationError as error:
            reason = str(error)
            if not reason.startswith("body hash mismatch"):
                result = Result.PERMERROR
        except dkim.DKIMException as error:
            result, reason = Result.PERMERROR, str(error)
        verdicts.append(
            Verdict(
                verifier="dkimpy",
                result=result,
                signing_domain=(verification.domain or b"").decode(),
                selector=(verification.selector or b"").decode(),
                reason=reason,
            )
        )
    return verdicts


def _run(argv: list[str], octets: bytes) -> str:
    """Run a verifier to its end; its standard output."""
    done = subprocess.run(argv, input=octets, capture_output=True, timeout=RUN_SECONDS, check=False)
    output, errors = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    assert done.returncode == 0, f"{argv} ended {done.returncode}:\n{output}\n{errors[-4000:]}"
    return output
