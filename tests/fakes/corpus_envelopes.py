"""Messages whose envelopes are of interest: null path, many recipients, parameters.

Pure. RFC 5321 §4.5.5 (null reverse-path), RFC 3464 (reports), RFC 6152, RFC 6531.
"""

from __future__ import annotations

from functools import partial

from tests.fakes.corpus_case import Case, compose, lines_of, mime

TWENTY_RECIPIENTS = tuple(f"person{number:02}@sink.test" for number in range(1, 21))

REPORT = lines_of(
    """\
--report
Content-Type: text/plain; charset=us-ascii

Your message could not be delivered.

--report
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.com
Arrival-Date: Fri, 20 Nov 2026 09:00:00 +0000

Final-Recipient: rfc822; nobody@example.net
Action: failed
Status: 5.1.1

--report
Content-Type: text/rfc822-headers

From: ann@sink.test
Subject: what did not arrive

--report--
"""
)

ENVELOPES: tuple[Case, ...] = (
    Case(
        name="delivery-report-with-null-reverse-path",
        build=partial(
            compose,
            REPORT,
            fields={"From": b"Mail Delivery <postmaster@example.com>"},
            extra=b"Auto-Submitted: auto-replied\r\n"
            + mime(b'multipart/report; report-type=delivery-status;\r\n boundary="report"'),
        ),
        mail_from="",
    ),
    Case(
        name="auto-reply-with-null-reverse-path",
        build=partial(compose, extra=b"Auto-Submitted: auto-replied\r\nX-Loop: yes\r\n"),
        mail_from="",
    ),
    Case(name="twenty-recipients", build=compose, rcpt_to=TWENTY_RECIPIENTS),
    Case(
        name="verp-reverse-path",
        build=compose,
        mail_from="bounce+42=ann=sink.test@lists.example.net",
    ),
    Case(name="quoted-reverse-path", build=compose, mail_from='"app server"@example.com'),
    Case(
        name="body-8bitmime-declared",
        build=partial(
            compose, lines_of("Grüße\n"), extra=mime(b"text/plain; charset=utf-8", b"8bit")
        ),
        mail_options=("BODY=8BITMIME",),
    ),
    Case(name="size-declared", build=compose, mail_options=("SIZE=4000",)),
    Case(
        name="smtputf8-header",
        build=partial(
            compose,
            lines_of("Grüße\n"),
            fields={
                "Subject": "Grüße aus München".encode(),
                "To": "Ännchen <ann@sink.test>".encode(),
            },
            extra=mime(b"text/plain; charset=utf-8", b"8bit"),
        ),
        mail_options=("SMTPUTF8", "BODY=8BITMIME"),
    ),
)
