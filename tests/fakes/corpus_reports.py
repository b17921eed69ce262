"""Messages that servers write about messages: bounces, receipts, complaints, aggregates.

Pure. RFC 3462 (multipart/report), RFC 3464 (delivery status), RFC 8098 (receipts), RFC 5965
(complaints), RFC 6533 (in UTF-8), RFC 8460 and RFC 7489 (aggregates). Most have a null path.
"""

from __future__ import annotations

import base64
import gzip

from tests.fakes.corpus_case import (
    NOT_CONVERTIBLE,
    Case,
    Expectation,
    Relayed,
    compose,
    lines_of,
    mime,
)

STATUS = """\
Reporting-MTA: dns; mail.example.com
Arrival-Date: Fri, 20 Nov 2026 09:00:00 +0000

Final-Recipient: rfc822; nobody@example.net
Original-Recipient: rfc822;nobody@example.net
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <nobody@example.net>: no such person
"""
ORIGINAL = """\
Return-Path: <ann@sink.test>
Received: by mail.example.com (Postfix) id 4Xy1; Fri, 20 Nov 2026 09:00:00 +0000 (UTC)
DKIM-Signature: v=1; a=rsa-sha256; d=sink.test; s=x; b=AAAA
From: ann@sink.test
Bcc: hidden@example.net
Subject: what did not arrive
"""
RECEIPT = """\
Reporting-UA: mail.example.com; Example 1.0
Final-Recipient: rfc822;jane@example.com
Original-Message-ID: <1@sink.test>
Disposition: manual-action/MDN-sent-manually; displayed
"""
COMPLAINT = """\
Feedback-Type: abuse
User-Agent: Example/1.0
Version: 1
Original-Mail-From: <bulk@example.net>
Reported-Domain: example.net
"""
UTF8_STATUS = STATUS.replace("rfc822;nobody@", "utf-8;jörg@").replace(
    "rfc822; nobody@", "utf-8; jörg@"
)
AGGREGATE = base64.encodebytes(gzip.compress(b"<feedback/>" * 50, mtime=0)).decode()


def _report(
    name: str,
    report_type: str,
    about: tuple[str, str],
    original: tuple[str, str] = ("text/rfc822-headers", ORIGINAL),
    at_bare_hop: Expectation | None = None,
) -> Case:
    """A multipart/report of three parts: words, what a machine reads, and what it is about."""
    parts = (("text/plain; charset=us-ascii", "Something happened.\n"), about, original)
    body = "".join(f"--report\nContent-Type: {kind}\n\n{text}\n" for kind, text in parts)
    message = compose(
        lines_of(body + "--report--\n"),
        fields={"From": b"Mail Delivery <postmaster@example.com>"},
        extra=b"Auto-Submitted: auto-replied\r\n"
        + mime(b'multipart/report; report-type=%b;\r\n boundary="report"' % report_type.encode()),
    )
    return Case(name=name, build=lambda: message, mail_from="", at_bare_hop=at_bare_hop)


def _aggregate() -> bytes:
    """A DMARC report: a compressed file, and a subject that says all."""
    return compose(
        AGGREGATE.encode().replace(b"\n", b"\r\n"),
        fields={"Subject": b"Report Domain: example.net Submitter: example.com Report-ID: <1@x>"},
        extra=mime(b"application/gzip", b"base64")
        + b'Content-Disposition: attachment;\r\n filename="example.com!example.net!1!2.xml.gz"\r\n'
        b"TLS-Report-Domain: example.net\r\n",
    )


REPORTS: tuple[Case, ...] = (
    _report(
        "delivery-report-with-null-reverse-path",
        "delivery-status",
        ("message/delivery-status", STATUS),
    ),
    _report(
        "delivery-report-with-the-message",
        "delivery-status",
        ("message/delivery-status", STATUS),
        ("message/rfc822", ORIGINAL + "\n.its body \n"),
    ),
    _report(
        "delivery-report-of-an-eight-bit-message",
        "delivery-status",
        ("message/delivery-status", STATUS),
        (
            "message/rfc822",
            ORIGINAL + "Mime-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nGrüße\n",
        ),
        at_bare_hop=Relayed.REENCODED,
    ),
    # RFC 2046 §5.2: other message types may not be re-encoded.
    _report(
        "delivery-report-in-utf-8",
        "delivery-status",
        ("message/global-delivery-status", UTF8_STATUS),
        at_bare_hop=NOT_CONVERTIBLE,
    ),
    _report("receipt", "disposition-notification", ("message/disposition-notification", RECEIPT)),
    _report(
        "complaint",
        "feedback-report",
        ("message/feedback-report", COMPLAINT),
        ("message/rfc822", ORIGINAL + "\ntext\n"),
    ),
    Case(name="aggregate-report", build=_aggregate),
)
