"""Messages whose envelopes are of interest: null path, many recipients, parameters.

Pure. RFC 5321 §4.5.5 (null reverse-path), RFC 1870, RFC 6152, RFC 6531.
"""

from __future__ import annotations

from functools import partial

from tests.fakes.corpus_case import NEEDS_SMTPUTF8, Case, compose

TWENTY_RECIPIENTS = tuple(f"person{number:02}@sink.test" for number in range(1, 21))

ENVELOPES: tuple[Case, ...] = (
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
    Case(
        name="srs-reverse-path",
        build=compose,
        mail_from="SRS0=abcd=T6=example.net=jane@example.com",
    ),
    Case(name="quoted-reverse-path", build=compose, mail_from='"app server"@example.com'),
    Case(name="reverse-path-of-another-domain", build=compose, mail_from="bounces@example.net"),
    Case(
        name="smtputf8-reverse-path",
        build=compose,
        mail_from="jörg@example.com",
        mail_options=("SMTPUTF8",),
        at_bare_hop=NEEDS_SMTPUTF8,
    ),
    Case(name="size-declared", build=compose, mail_options=("SIZE=4000",)),
    Case(name="7bit-declared", build=compose, mail_options=("BODY=7BIT",)),
)
