"""relay.core.envelope: the arguments of MAIL and RCPT, and nothing that could be a command."""

from __future__ import annotations

import pytest

from relay.core.address import NULL_PATH, Path, parse_path
from relay.core.envelope import (
    Envelope,
    MailCommand,
    ParameterFault,
    RcptCommand,
    ValueFault,
    parse_mail,
    parse_rcpt,
)
from relay.core.errors import SyntaxFault

JANE = Path(b"jane@example.com", "example.com")


@pytest.mark.parametrize(
    ("argument", "command"),
    [
        (b"FROM:<jane@example.com>", MailCommand(JANE)),
        (b"from:<jane@example.com>", MailCommand(JANE)),
        (b"FROM: <jane@example.com>", MailCommand(JANE)),  # common, and harmless
        (b"FROM:<jane@example.com>  ", MailCommand(JANE)),
        (b"FROM:<>", MailCommand(NULL_PATH)),
        (b"FROM:<> BODY=8BITMIME", MailCommand(NULL_PATH, body="8BITMIME")),
        (b"FROM:<@a.example:jane@example.com>", MailCommand(JANE)),
        (b"FROM:<jane@example.com> SIZE=1000", MailCommand(JANE, size=1000)),
        (b"FROM:<jane@example.com> SIZE=0", MailCommand(JANE, size=0)),
        (b"FROM:<jane@example.com> size=00012", MailCommand(JANE, size=12)),
        (b"FROM:<jane@example.com> SIZE=" + b"9" * 20, MailCommand(JANE, size=10**20 - 1)),
        (b"FROM:<jane@example.com> BODY=7BIT", MailCommand(JANE, body="7BIT")),
        (b"FROM:<jane@example.com> Body=8bitMime", MailCommand(JANE, body="8BITMIME")),
        (b"FROM:<jane@example.com> SMTPUTF8", MailCommand(JANE, smtputf8=True)),
        (
            b"FROM:<jane@example.com> SMTPUTF8  SIZE=5 BODY=8BITMIME ",
            MailCommand(JANE, 5, "8BITMIME", smtputf8=True),
        ),
        (
            "FROM:<jäne@example.com> SMTPUTF8".encode(),
            MailCommand(Path("jäne@example.com".encode(), "example.com"), smtputf8=True),
        ),
        (b'FROM:<"x <a@b>"@c>', MailCommand(Path(b'"x <a@b>"@c', "c"))),
        (b'FROM:<"> SIZE=1 <"@c> SIZE=2', MailCommand(Path(b'"> SIZE=1 <"@c', "c"), size=2)),
        (b'FROM:<"a\\"> b"@c>', MailCommand(Path(b'"a\\"> b"@c', "c"))),
    ],
)
def test_mail_is_read(argument: bytes, command: MailCommand) -> None:
    """The path ends at the first ">" outside quotes; parameters are what follows a blank."""
    assert parse_mail(argument) == command


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        (b"TO:<jane@example.com>", JANE),
        (b"to: <jane@example.com> ", JANE),
        (b"TO:<@a.example,@b.example:jane@example.com>", JANE),
        (b"TO:<Postmaster>", Path(b"Postmaster", "")),
        (b'TO:<"x <a@b>"@c>', Path(b'"x <a@b>"@c', "c")),
    ],
)
def test_rcpt_is_read(argument: bytes, path: Path) -> None:
    """Octets as received, for the next hop."""
    assert parse_rcpt(argument, smtputf8=False) == RcptCommand(path)


SYNTAX = [
    b"",
    b"FROM",
    b"FROM:",
    b"FROM:jane@example.com",
    b"FROM:<jane@example.com",
    b"FROM:jane@example.com>",
    b"FROM:<jane>",
    b"FROM :<jane@example.com>",
    b" FROM:<jane@example.com>",
    b"FROM:  <jane@example.com>",
    b"FROM:\t<jane@example.com>",
    b"FROM:<<jane@example.com>>",
    b"FROM:< jane@example.com>",
    b"FROM:<jane@example.com >",
    b"FROM:<jane@example.com>SIZE=1",
    b"FROM:<jane@example.com>\tSIZE=1",
    b"FROM:<jane@example.com>> SIZE=1",
    b"FROM:<jane@example.com> SIZE",
    b"FROM:<jane@example.com> SIZE=",
    b"FROM:<jane@example.com> SIZE=-1",
    b"FROM:<jane@example.com> SIZE=+1",
    b"FROM:<jane@example.com> SIZE=1.5",
    b"FROM:<jane@example.com> SIZE=1_000",
    b"FROM:<jane@example.com> SIZE=0x10",
    b"FROM:<jane@example.com> SIZE=" + b"9" * 21,
    b"FROM:<jane@example.com> SIZE=\xc2\xb2",
    b"FROM:<jane@example.com> SIZE=1 SIZE=2",
    b"FROM:<jane@example.com> BODY=8BITMIME body=7BIT",
    b"FROM:<jane@example.com> BODY",
    b"FROM:<jane@example.com> BODY=BINARYMIME",
    b"FROM:<jane@example.com> SMTPUTF8=yes",
    b"FROM:<jane@example.com> =1",
    b"FROM:<jane@example.com> -X=1",
    b"FROM:<jane@example.com> A=b=c",
    b"FROM:<jane@example.com> A=\x01",
    b"FROM:<jane@example.com> SIZE=1\r\nRCPT TO:<x@evil.example>",
    b"FROM:<jane@example.com>\r\nRCPT TO:<x@evil.example>",
    b"FROM:<jane@example.com>\n",
    b"FROM:<jane@example.com> \r",
    b"FROM:<jane@exam\r\nple.com>",
    b'FROM:<"jane\r\n"@example.com>',
    b"FROM:<jane\0@example.com>",
    b"FROM:<postmaster>",
    b"FROM:<\xffjane@example.com> SMTPUTF8",
    "FROM:<jäne@example.com>".encode(),
    "FROM:<jane@münchen.example>".encode(),
    b"TO:<jane@example.com>",
    b"FROM:<=?utf-8?q?a=0d=0aRCPT_TO:=3cvictim=40x.y=3e?=@b.c>",
    b"FROM:<u@=?utf-8?q?good.com=3e=0d=0aRCPT_TO:=3cv=40x.y?=>",
]


@pytest.mark.parametrize("argument", SYNTAX)
def test_other_mail_is_refused(argument: bytes) -> None:
    """501, with a printable reason for the log; never ParameterFault, which is 555."""
    with pytest.raises(SyntaxFault) as caught:
        parse_mail(argument)
    assert not isinstance(caught.value, ParameterFault)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("argument", [a.replace(b"FROM", b"TO") for a in SYNTAX[:17]])
def test_other_rcpt_is_refused(argument: bytes) -> None:
    """The same grammar of paths."""
    with pytest.raises(SyntaxFault):
        parse_rcpt(argument, smtputf8=True)


@pytest.mark.parametrize(
    "argument", [b"TO:<>", b"FROM:<jane@example.com>", "TO:<jäne@example.com>".encode()]
)
def test_rcpt_that_cannot_be_is_refused(argument: bytes) -> None:
    """A null forward-path, another command's word, eight bits without SMTPUTF8."""
    with pytest.raises(SyntaxFault):
        parse_rcpt(argument, smtputf8=False)


@pytest.mark.parametrize(
    "argument",
    [
        b"TO:<=?utf-8?q?a=0d=0aRCPT_TO:=3cvictim=40x.y=3e?=@b.c>",
        b"TO:<u@=?utf-8?q?good.com=3e=0d=0aRCPT_TO:=3cv=40x.y?=>",
    ],
)
@pytest.mark.parametrize("smtputf8", [True, False])
def test_encoded_word_in_the_envelope_is_not_decoded(argument: bytes, smtputf8: bool) -> None:
    """Release blocker 1: no RFC 2047 in the envelope, so no command in an address."""
    with pytest.raises(SyntaxFault):
        parse_rcpt(argument, smtputf8=smtputf8)


def test_harmless_encoded_word_stays_what_it_is() -> None:
    """Within the grammar it is an atom, and goes on as the octets that it is."""
    rcpt = parse_rcpt(b"TO:<=?utf-8?q?j=0d=0a?=@example.com>", smtputf8=False)
    assert rcpt.forward_path.octets == b"=?utf-8?q?j=0d=0a?=@example.com"


@pytest.mark.parametrize(
    ("argument", "keyword"),
    [
        (b"FROM:<jane@example.com> MT-PRIORITY=3", "MT-PRIORITY"),
        (b"FROM:<jane@example.com> by=60;R", "BY"),
        (b"FROM:<jane@example.com> X", "X"),
        (b"FROM:<> NOTIFY=NEVER", "NOTIFY"),
        (b"FROM:<> XVERP", "XVERP"),
    ],
)
def test_unknown_parameter_is_named(argument: bytes, keyword: str) -> None:
    """555 is another answer than 501: the client may try without it."""
    with pytest.raises(ParameterFault) as caught:
        parse_mail(argument)
    assert str(caught.value) == keyword


@pytest.mark.parametrize(
    "parameter", [b"SIZE=1", b"BODY=7BIT", b"SMTPUTF8", b"RRVS=x", b"RET=FULL"]
)
def test_unknown_parameter_of_rcpt_is_named(parameter: bytes) -> None:
    """What MAIL knows, RCPT need not."""
    with pytest.raises(ParameterFault) as caught:
        parse_rcpt(b"TO:<jane@example.com> " + parameter, smtputf8=False)
    assert str(caught.value) == parameter.partition(b"=")[0].decode()


@pytest.mark.parametrize(
    ("parameters", "command"),
    [
        (b"RET=FULL", MailCommand(JANE, ret="FULL")),
        (b"ret=hdrs", MailCommand(JANE, ret="HDRS")),
        (b"ENVID=Qq+20x", MailCommand(JANE, envelope_id=b"Qq+20x")),
        (b"ENVID=" + b"x" * 100, MailCommand(JANE, envelope_id=b"x" * 100)),
        (b"AUTH=<>", MailCommand(JANE)),
        (b"AUTH=e+3Dmc2@example.com", MailCommand(JANE)),
        (b"REQUIRETLS", MailCommand(JANE, requiretls=True)),
        (
            b"ENVID=+0D+0A RET=HDRS REQUIRETLS SIZE=1",
            MailCommand(JANE, 1, ret="HDRS", envelope_id=b"+0D+0A", requiretls=True),
        ),
    ],
)
def test_further_parameters_of_mail(parameters: bytes, command: MailCommand) -> None:
    """RFC 3461, RFC 4954 §5, RFC 8689; xtext stays what it is and is never decoded."""
    assert parse_mail(b"FROM:<jane@example.com> " + parameters) == command


@pytest.mark.parametrize(
    "parameters",
    [
        b"RET",
        b"RET=",
        b"RET=BOTH",
        b"ENVID",
        b"ENVID=" + b"x" * 101,
        b"ENVID=+0d",  # upper-case digits only (RFC 3461 §4)
        b"ENVID=+2",
        b"ENVID=x+",
        b"ENVID=\xc3\xbc",
        b"AUTH",
        b"AUTH=\xff",
        b"REQUIRETLS=1",
        b"RET=FULL RET=HDRS",
        b"RET=FULL\r\nDATA",
    ],
)
def test_bad_further_parameters_of_mail(parameters: bytes) -> None:
    """A known keyword with a wrong value is 501."""
    with pytest.raises(SyntaxFault) as caught:
        parse_mail(b"FROM:<jane@example.com> " + parameters)
    assert not isinstance(caught.value, ParameterFault)


@pytest.mark.parametrize(
    ("parameters", "notify", "original"),
    [
        (b"NOTIFY=NEVER", b"NEVER", b""),
        (b"notify=success,failure,delay", b"success,failure,delay", b""),
        (
            b"NOTIFY=FAILURE ORCPT=rfc822;jane+40x@example.com",
            b"FAILURE",
            b"rfc822;jane+40x@example.com",
        ),
        ("ORCPT=utf-8;jäne@example.com".encode(), b"", "utf-8;jäne@example.com".encode()),
    ],
)
def test_parameters_of_rcpt(parameters: bytes, notify: bytes, original: bytes) -> None:
    """RFC 3461 §4.1 and §4.2, as they were written."""
    rcpt = parse_rcpt(b"TO:<jane@example.com> " + parameters, smtputf8=True)
    assert rcpt == RcptCommand(JANE, notify, original)


@pytest.mark.parametrize(
    "parameters",
    [
        b"NOTIFY",
        b"NOTIFY=",
        b"NOTIFY=ALWAYS",
        b"NOTIFY=NEVER,SUCCESS",
        b"NOTIFY=NEVER,NEVER",
        b"NOTIFY=SUCCESS,SUCCESS",
        b"NOTIFY=SUCCESS,",
        b"NOTIFY=SUCCESS, FAILURE",
        b"ORCPT",
        b"ORCPT=jane@example.com",
        b"ORCPT=rfc822;",
        b"ORCPT=rfc822;a+0d",
        b"ORCPT=rfc822;a;\x00",
        b"ORCPT=rfc822;" + b"x" * 501,
        b"ORCPT=rf c822;x",
        "ORCPT=rfc822;jäne@example.com".encode(),
        b"ORCPT=utf-8;j\xe4ne@example.com",
        b"ORCPT=utf-8;j\xc3",
    ],
)
def test_bad_parameters_of_rcpt(parameters: bytes) -> None:
    """A known keyword with a wrong value is refused."""
    with pytest.raises(SyntaxFault):
        parse_rcpt(b"TO:<jane@example.com> " + parameters, smtputf8=True)


@pytest.mark.parametrize(
    "original",
    [
        b"utf-8;j\\x{E4}ne@example.com",
        b"UTF-8;j\\x{E4}ne+2B@example.com",
        b"utf-8;jane@example.com",
    ],
)
@pytest.mark.parametrize("smtputf8", [False, True])
def test_utf8_original_recipient_in_ascii(original: bytes, smtputf8: bool) -> None:
    """RFC 6533 §3: utf-8-addr-xtext needs no SMTPUTF8."""
    argument = b"TO:<jane@example.com> ORCPT=" + original
    assert parse_rcpt(argument, smtputf8=smtputf8).original_recipient == original


def test_eight_bit_original_recipient_without_smtputf8() -> None:
    """RFC 6533 §3: utf-8-addr-unitext belongs to SMTPUTF8."""
    with pytest.raises(ValueFault):
        parse_rcpt("TO:<jane@example.com> ORCPT=utf-8;jäne@example.com".encode(), smtputf8=False)


@pytest.mark.parametrize(
    ("reverse", "forward", "needs"),
    [
        ("jane@example.com", ["ann@example.net"], False),
        ("", ["ann@example.net"], False),
        ("jäne@example.com", ["ann@example.net"], True),
        ("jane@example.com", ["ann@example.net", "ann@münchen.example"], True),
    ],
)
def test_envelope_knows_what_it_needs(reverse: str, forward: list[str], needs: bool) -> None:
    """RFC 6531 §3.2: octets above 0x7F in any path."""
    envelope = Envelope(MailCommand(parse_path(reverse.encode()), smtputf8=True))
    envelope.recipients += [RcptCommand(parse_path(f.encode())) for f in forward]
    assert envelope.needs_smtputf8 is needs


@pytest.mark.parametrize(
    "argument",
    [
        b"FROM:<" + b'"' * 100_000 + b">",
        b"FROM:<" + b'"a"' * 50_000,
        b"FROM:<" + b'"\\"' * 50_000,
        b"FROM:<" + b"a" * 200_000,
        b"FROM:<a@b.c>" + b" " * 200_000 + b"=",
        b"FROM:<a@b.c> " + b"a" * 200_000 + b"\xff",
    ],
)
def test_long_nonsense_is_refused(argument: bytes) -> None:
    """However a line is filled, reading it is one pass."""
    with pytest.raises(SyntaxFault) as caught:
        parse_mail(argument)
    assert len(str(caught.value)) < 1000
