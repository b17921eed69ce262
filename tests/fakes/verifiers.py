"""DKIM verifiers that others wrote, each with its key records from a table.

IO: each starts a program or reads no more than its arguments; no DNS but the
loopback server that rspamd asks. All take messages as octets (CRLF line ends)
and a mapping from owner name (`selector._domainkey.domain`) to TXT record, and
return for each message one verdict for each DKIM-Signature field in the order of
the fields: an empty list for an unsigned message. Results are RFC 8601 §2.7.1
words. Many messages at a time cost one process, where the verifier is a program.

Two more live beside: `tests.fakes.rspamd` and `tests.fakes.mailauth`. How the
five differ where they must: OpenDKIM and dkimpy say `fail` when the record does
not exist, Mail::DKIM and rspamd `permerror`, mailauth `neutral`, which it also
says where others say that the body hash differs; Mail::DKIM of Debian 12 does not
know Ed25519 (`permerror`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
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


Verdicts = list[Verdict]
Verifier = Callable[[bytes, Records], Verdicts]
BatchVerifier = Callable[[Sequence[bytes], Records], list[Verdicts]]


def one_by_one(verify_many: BatchVerifier) -> Verifier:
    """A batch verifier as one that takes a single message."""

    def verify(message: bytes, records: Records) -> Verdicts:
        (verdicts,) = verify_many([message], records)
        return verdicts

    return verify


def verify_many_with_opendkim(messages: Sequence[bytes], records: Records) -> list[Verdicts]:
    """Verify with OpenDKIM's filter in test mode (`opendkim -t`).

    Raises:
        AssertionError: OpenDKIM could not read a message.
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
        paths = ",".join(write_messages(folder, messages))
        done = run_verifier([program, "-x", f"{folder}/opendkim.conf", "-t", paths, "-vv"])
    # Before each line `opendkim: <file>: <outcome>` stands what was found in that file.
    pieces = re.split(r"(?m)^opendkim: \S*/(\d+)\.eml: (.*)$", done)
    told = zip(pieces[1::3], pieces[::3], pieces[2::3], strict=False)
    said = {int(number): (found, outcome) for number, found, outcome in told}
    assert sorted(said) == list(range(len(messages))), f"opendkim left messages out:\n{done}"
    return [_opendkim_verdicts(*said[number]) for number in range(len(messages))]


def _opendkim_verdicts(said: str, outcome: str) -> Verdicts:
    """Read the Authentication-Results field that it would insert; RFC 8601 §2.2."""
    found = re.findall(
        r'\bdkim=(\w+)(?: reason="([^"]*)")?[^;]*? header\.d=([^ ;]+)[^;]*? header\.s=([^ ;]+)',
        said,
    )
    assert found or outcome == "message not signed", f"opendkim could not verify: {outcome}"
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


def verify_many_with_mail_dkim(messages: Sequence[bytes], records: Records) -> list[Verdicts]:
    """Verify with Perl's Mail::DKIM, through the script beside this module."""
    program = require_perl_module("Mail::DKIM", "libmail-dkim-perl")
    script = Path(__file__).with_name("mail_dkim.pl")
    with tempfile.TemporaryDirectory(prefix="relay-mail-dkim-") as name:
        table = Path(name) / "records.json"
        table.write_text(json.dumps({owner.lower(): text for owner, text in records.items()}))
        done = run_verifier(
            [program, str(script), str(table), *write_messages(Path(name), messages)]
        )
    return [
        [
            Verdict(
                verifier="mail-dkim",
                # Mail::DKIM says `invalid` for a signature or record it cannot use.
                result=Result(found["result"].replace("invalid", "permerror")),
                signing_domain=found["domain"],
                selector=found["selector"],
                reason=found["detail"],
            )
            for found in verdicts
        ]
        for verdicts in json.loads(done)
    ]


def verify_many_with_dkimpy(messages: Sequence[bytes], records: Records) -> list[Verdicts]:
    """Verify with dkimpy, in this process."""
    return [verify_with_dkimpy(message, records) for message in messages]


def verify_with_dkimpy(message: bytes, records: Records) -> Verdicts:
    """Verify every signature with dkimpy."""

    def find_record(name: bytes, timeout: int = 5) -> bytes | None:
        del timeout  # nothing is asked of a network
        record = records.get(_text(name).rstrip(".").lower())
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
                signing_domain=_text(verification.domain),
                selector=_text(verification.selector),
                reason=reason,
            )
        )
    return verdicts


def _text(tag: object) -> str:
    """A tag's value; dkimpy has something that is no octets where it read no tag."""
    return tag.decode("ascii", "replace") if isinstance(tag, bytes) else ""


verify_with_opendkim = one_by_one(verify_many_with_opendkim)
verify_with_mail_dkim = one_by_one(verify_many_with_mail_dkim)


def write_messages(folder: Path, messages: Sequence[bytes]) -> list[str]:
    """Write the messages to files `<number>.eml`, counted from 0; their paths."""
    paths = [folder / f"{number}.eml" for number in range(len(messages))]
    for path, message in zip(paths, messages, strict=True):
        path.write_bytes(message)
    return [str(path) for path in paths]


def run_verifier(argv: list[str], *, environment: Mapping[str, str] | None = None) -> str:
    """Run a verifier to its end; its standard output.

    Args:
        argv: the command line, the path of the program first.
        environment: further environment variables.
    """
    done = subprocess.run(
        argv,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    output, errors = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    assert done.returncode == 0, f"{argv} ended {done.returncode}:\n{output}\n{errors[-4000:]}"
    return output
