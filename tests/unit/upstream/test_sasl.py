"""What mechanisms say: the examples of their standards."""

from __future__ import annotations

import base64

import pytest

from relay.core.errors import SyntaxFault
from relay.upstream.sasl import Mechanism, script


def test_plain() -> None:
    """RFC 4616 §4."""
    assert script(Mechanism.PLAIN, username="tim", secret="tanstaaftanstaaf").initial == (
        b"\0tim\0tanstaaftanstaaf"
    )


def test_login() -> None:
    """Name and password in answer to any two challenges."""
    said = script(Mechanism.LOGIN, username="jös", secret="pässword")
    assert said.initial is None
    assert [answer(b"whatever") for answer in said.answers] == ["jös".encode(), "pässword".encode()]


def test_cram_md5() -> None:
    """RFC 2195 §2."""
    said = script(Mechanism.CRAM_MD5, username="tim", secret="tanstaaftanstaaf")
    [answer] = said.answers
    challenge = base64.b64decode("PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+")
    assert base64.b64encode(answer(challenge)) == (
        b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"
    )


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("pa\u0308ss\u00a0word", "p\u00e4ss word"),
        ("\ufb01ve", "five"),
        ("\tx ", "\tx "),
        ("\u05d0b", "\u05d0b"),  # forbidden by RFC 4013 §2.4; whether it is right, the server knows
    ],
)
def test_names_and_passwords_are_prepared(typed: str, said: str) -> None:
    """RFC 4616 §2: by every mechanism with a password alike; ASCII stays as it is."""
    octets = said.encode()
    plain = script(Mechanism.PLAIN, username=typed, secret=typed)
    assert plain.initial == b"\0" + octets + b"\0" + octets
    login = script(Mechanism.LOGIN, username=typed, secret=typed)
    assert [answer(b"") for answer in login.answers] == [octets, octets]
    answers = [
        script(Mechanism.CRAM_MD5, username=text, secret=text).answers[0](b"<1@h>")
        for text in (typed, said)
    ]
    assert answers[0] == answers[1]


def test_tokens_and_identities_are_not_prepared() -> None:
    """They are no passwords: another form is another one."""
    assert script(Mechanism.EXTERNAL, username="\ufb01", secret="").initial == "\ufb01".encode()
    said = script(Mechanism.XOAUTH2, username="\ufb01", secret="t").initial
    assert said == "user=\ufb01\x01auth=Bearer t\x01\x01".encode()


def test_oauthbearer() -> None:
    """RFC 7628 §4.1, by its base64."""
    said = script(
        Mechanism.OAUTHBEARER,
        username="user@example.com",
        secret="vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
        host="server.example.com",
        port=587,
    )
    assert said.initial is not None
    assert base64.b64encode(said.initial) == (
        b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcmVy"
        b"IHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )
    assert said.surrender == b"\x01"


def test_names_are_escaped_in_oauthbearer() -> None:
    """RFC 5801 §4: a comma would end the name."""
    said = script(Mechanism.OAUTHBEARER, username="a=b,c", secret="t")
    assert said.initial == b"n,a=a=3Db=2Cc,\x01auth=Bearer t\x01\x01"


def test_xoauth2() -> None:
    """The example of Google's description."""
    said = script(Mechanism.XOAUTH2, username="someuser@example.com", secret="ya29.vF9dft4qmTc2Nvb")
    assert said.initial == (
        b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb\x01\x01"
    )
    assert said.surrender == b""


def test_external() -> None:
    """RFC 4422 appendix A: whom to act as, or nothing."""
    assert script(Mechanism.EXTERNAL, username="fred", secret="").initial == b"fred"
    assert script(Mechanism.EXTERNAL, username="", secret="").initial == b""


@pytest.mark.parametrize("mechanism", Mechanism)
def test_a_secret_that_would_end_early(mechanism: Mechanism) -> None:
    """NUL, and the separator of the token mechanisms: refused, not shown."""
    control = "\x01" if mechanism.takes_token else "\0"
    for name, secret in ((f"a{control}b", "s"), ("a", f"sec{control}ret")):
        with pytest.raises(SyntaxFault) as caught:
            script(mechanism, username=name, secret=secret)
        assert "sec" not in str(caught.value).replace("secret has", "")


@pytest.mark.parametrize("mechanism", Mechanism)
def test_a_script_is_not_shown(mechanism: Mechanism) -> None:
    """Its repr has no secret."""
    assert "hunter2" not in repr(script(mechanism, username="u", secret="hunter2"))
