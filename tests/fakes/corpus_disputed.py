"""Messages on which some verifier fails a right signature, each with the reason.

Pure. The relay refuses them, or makes them such that everyone passes them: test_disputed.py.
RFC 6376 §5.4, §6.1 and §8.15.
"""

from __future__ import annotations

from tests.fakes.corpus_case import Case, compose, lines_of, whole, with_header
from tests.fakes.corpus_trace import SIGNATURE

FOREIGN = SIGNATURE.format(domain="lists.example.net", selector="old")

# RFC 5322 §3.6: at most one of each. rspamd 3.4 fails every signature over a doubled one.
DOUBLED: tuple[Case, ...] = (
    with_header("second-to", b"To: Bob <bob@sink.test>\r\n"),  # what PHP's mail() makes of To
    with_header("second-cc", b"Cc: a@example.net\r\nCc: b@example.net\r\n"),
    with_header("second-subject", b"Subject: another\r\n"),
    with_header("second-subject-that-is-the-same", b"SUBJECT: Numbers of the week\r\n"),
    with_header("second-message-id", b"Message-ID: <2@example.com>\r\n"),
)


def _behind(name: str, signature: str) -> Case:
    """A message with a DKIM-Signature of somebody else."""
    return whole(name, lines_of(signature) + compose())


# RFC 6376 §6.1 wants broken ones ignored. OpenDKIM then looks at none of the message's.
BROKEN_SIGNATURES: tuple[Case, ...] = (
    _behind("empty-signature", "DKIM-Signature:\n"),
    _behind("signature-that-is-no-tag-list", "DKIM-Signature: none\n"),
    _behind("signature-without-b", FOREIGN.replace("\tb=", "\tx-b=")),
    _behind("signature-without-v", FOREIGN.replace("v=1; ", "")),
    _behind("signature-with-empty-tag", FOREIGN.replace("s=old;", "s=old;;")),
    _behind("signature-with-text-in-t", FOREIGN.replace("t=1700000000", "t=today")),
    _behind("signature-with-8-bit-octets", FOREIGN.replace("s=old;", "s=old; z=ü;")),
    # mailauth raises an exception where this is no date to JavaScript.
    _behind("signature-with-huge-x", FOREIGN.replace("s=old;", "s=old; x=9999999999999;")),
    # rspamd cannot ask for such a name, and then says nothing about any signature.
    _behind("signature-of-an-overlong-label", FOREIGN.replace("lists.", "l" * 64 + ".")),
    _behind("signature-of-a-domain-with-a-blank", FOREIGN.replace("lists.", "the lists.")),
)

NAMES: tuple[Case, ...] = (
    # A semicolon ends h= in our own signature: nobody passes it. RFC 5322 ftext permits it.
    with_header("semicolon-in-the-name-of-a-list-field", b"List-a;z=x: y\r\n"),
    with_header("semicolon-in-the-name-of-a-resent-field", b"Resent-;: y\r\n"),
    # To mailauth a quote or a parenthesis in h= begins a string or a comment.
    with_header("quote-in-the-name-of-a-list-field", b"List-\"a'(: y\r\n"),
)

SIZES: tuple[Case, ...] = (
    # OpenDKIM has 4,096 octets for the names in h=; rspamd looks at 1,000 of the same name.
    with_header("five-hundred-list-fields", b"".join(b"List-%d: 1\r\n" % n for n in range(500))),
    with_header("a-thousand-list-posts", b"List-Post: NO\r\n" * 1001),
    # Postfix cuts a field at header_size_limit, 102,400 octets.
    with_header("field-of-110-kb", b"List-Id: " + b"\r\n ".join([b"x" * 60] * 1800) + b"\r\n"),
)

DISPUTED: tuple[Case, ...] = (*DOUBLED, *BROKEN_SIGNATURES, *NAMES, *SIZES)
