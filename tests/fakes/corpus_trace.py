"""Messages that have been somewhere before: signatures, seals and results of others.

Pure. RFC 6376 §5.6 and §6.1 (several signatures), RFC 8617 (ARC), RFC 8601, RFC 4870 (the old
DomainKeys). None of these fields is signed again; ours goes in front.
"""

from __future__ import annotations

from tests.fakes.corpus_case import SIGNING_DOMAIN, Case, compose, lines_of, whole

EMPTY_BODY_HASH = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
VALUE = "A" * 72

# Well formed, and no key goes with it.
SIGNATURE = (
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s={selector};\n"
    "\tt=1700000000; h=from:to:subject:date;\n"
    f"\tbh={EMPTY_BODY_HASH};\n"
    f"\tb={VALUE}\n\t{VALUE}=\n"
)
ED25519_SIGNATURE = (
    "DKIM-Signature: v=1; a=ed25519-sha256; c=simple/simple; d=lists.example.net; s=ed; \n"
    f"  h=From:To:Subject; bh={EMPTY_BODY_HASH}; b={VALUE}==\n"
)
ARC_SET = (
    "ARC-Seal: i={i}; a=rsa-sha256; t=1700000000; cv={cv}; d=mx.example.net; s=arc;\n"
    f"        b={VALUE}\n"
    "ARC-Message-Signature: i={i}; a=rsa-sha256; c=relaxed/relaxed; d=mx.example.net; s=arc;\n"
    f"        h=to:subject:from; bh={EMPTY_BODY_HASH};\n"
    f"        b={VALUE}\n"
    "ARC-Authentication-Results: i={i}; mx.example.net;\n"
    "       dkim=pass header.i=@example.com header.s=old header.b=AAAAAAAA;\n"
    "       spf=pass (example.net: domain of jane@example.com designates 192.0.2.1 as\n"
    " permitted sender) smtp.mailfrom=jane@example.com\n"
)
RESULTS = (
    "Authentication-Results: mx.example.net 1; spf=pass smtp.mailfrom=example.com;\n"
    '\tdkim=fail reason="body hash did not verify; (0-bit key)" header.d=example.com\n'
    "Authentication-Results: mx.example.org; none\n"
    "Received-SPF: Pass (mx.example.net: domain of jane@example.com) client-ip=192.0.2.1\n"
)
DOMAIN_KEYS = "DomainKey-Signature: a=rsa-sha1; q=dns; c=nofws; s=old; d=example.com;\n\tb=AAAA=\n"


def _before(name: str, *trace: str) -> Case:
    """A case with these fields in front of the message."""
    return whole(name, lines_of("".join(trace)) + compose())


def _signature(domain: str, selector: str = "old") -> str:
    return SIGNATURE.format(domain=domain, selector=selector)


TRACE: tuple[Case, ...] = (
    _before("signature-of-a-list", _signature("lists.example.net")),
    # As when it was signed elsewhere for us, and something changed it since.
    _before("older-signature-of-our-domain", _signature(SIGNING_DOMAIN)),
    # Sent through here, bounced back by a list, and sent again.
    _before("older-signature-by-the-same-selector", _signature(SIGNING_DOMAIN, "s2026")),
    _before("ed25519-signature-of-a-list", ED25519_SIGNATURE),
    # More than verifiers look at (OpenDKIM 3, rspamd 5); the first is ours.
    _before("ten-signatures", *(_signature(f"l{number}.example.net") for number in range(10))),
    _before(
        "signature-for-a-length-of-the-body",
        _signature("lists.example.net").replace("t=1700000000;", "t=1700000000; l=4;"),
    ),
    _before(
        "expired-signature",
        _signature("lists.example.net").replace("t=1700000000;", "t=1700000000; x=1700000100;"),
    ),
    _before("sha1-signature", _signature("lists.example.net").replace("rsa-sha256", "rsa-sha1")),
    _before("arc-set", ARC_SET.format(i=1, cv="none")),
    _before("two-arc-sets", ARC_SET.format(i=2, cv="pass"), ARC_SET.format(i=1, cv="none")),
    _before("broken-arc-set", "ARC-Seal: i=1; none\nARC-Message-Signature: i=7\n"),
    _before("authentication-results", RESULTS),
    _before("domain-keys-signature", DOMAIN_KEYS),
    _before(
        "everything-of-a-forwarder",
        ARC_SET.format(i=1, cv="none"),
        _signature(SIGNING_DOMAIN),
        "X-Google-DKIM-Signature: v=1; a=rsa-sha256; d=1e100.net; s=x; b=AAAA\n",
        RESULTS,
        DOMAIN_KEYS,
        _signature("lists.example.net"),
    ),
)
