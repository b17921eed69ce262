"""Privacy: no local part and no client address in a line, and what finds it again stays."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.settings import Config
from relay.core.events import Noted, Outcome, TransactionEnded
from relay.observe.privacy import masked, masked_client
from relay.service.observers import Observers

ENDED = TransactionEnded(
    outcome=Outcome.REJECTED,
    session_id="s1",
    queue_id="q1",
    client="192.0.2.7",
    client_rule="apps",
    mail_from="bounces+17@example.com",
    from_address="ann.lee@example.com",
    signing_domain="example.com",
    message_id="<1@example.com>",
    rcpt_to=("bob@example.net", '"odd name"@example.org', "josé@example.net"),
    reply="550 5.1.1 <bob@example.net>: no such user",
    detail="esp: bob@example.net, ann.lee@example.com from 192.0.2.7",
)


def test_a_transaction() -> None:
    """Domains, ids and replies are left; who it was from and for is not."""
    event = masked(ENDED)
    assert event == replace(
        ENDED,
        client="192.0.2.0/24",
        mail_from="***@example.com",
        from_address="***@example.com",
        rcpt_to=("***@example.net", "***@example.org", "***@example.net"),
        reply="550 5.1.1 <***@example.net>: no such user",
        detail="esp: ***@example.net, ***@example.com from 192.0.2.0/24",
    )


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2:3::7", "2001:db8:1::/48"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_a_client_keeps_its_network(address: str, network: str) -> None:
    """Enough to see where trouble comes from, not from whom."""
    assert masked_client(address) == network


def test_a_note() -> None:
    """Texts, lists and tracebacks are gone through; numbers and places are left."""
    fields = (
        ("client", "192.0.2.7"),
        ("detail", "192.0.2.7 may not be ann@example.com"),
        ("listening", ["127.0.0.1:2525"]),
        ("seconds", 1.5),
        ("who", ("ann@example.com",)),
        ("exception", ValueError("MAIL FROM:<ann@example.com>")),
    )
    event = masked(Noted("client.refused", "warning", fields))
    assert isinstance(event, Noted)
    shown = dict(event.fields)
    assert shown["detail"] == "192.0.2.0/24 may not be ***@example.com"
    assert shown["listening"] == ["127.0.0.1:2525"]
    assert (shown["seconds"], shown["who"]) == (1.5, ["***@example.com"])
    assert "ann" not in str(shown["exception"])
    assert "ValueError" in str(shown["exception"])


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("C: EHLO [192.0.2.7]", "C: EHLO [192.0.2.0/24]"),
        ("C: EHLO [ipv6:2001:db8:1:2::7]", "C: EHLO [ipv6:2001:db8:1::/48]"),
        ("C: MAIL FROM:<ann@[192.0.2.7]>", "C: MAIL FROM:<***@[192.0.2.0/24]>"),
        ("C: EHLO [192.0.2.700] [feed] []", "C: EHLO [192.0.2.700] [feed] []"),
    ],
)
def test_an_address_literal(said: str, shown: str) -> None:
    """A client says where it is by itself, behind a proxy also where that is not its address."""
    event = masked(Noted("wire.client", "info", (("client", "198.51.100.1"), ("detail", said))))
    assert isinstance(event, Noted)
    assert dict(event.fields)["detail"] == shown


@pytest.mark.parametrize("is_private", [True, False])
def test_log_and_status_mask_when_they_are_told_to(
    is_private: bool, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """And else they do not."""
    upstream = {"url": "smtp://sink.test", "tls": "none"}
    logging = {"privacy": is_private, "format": "json"}
    config = Config.model_validate({"upstreams": [upstream], "logging": logging})
    observers = Observers(config)
    observers.emit(ENDED)
    line = json.loads(capfdbinary.readouterr().err)
    assert line["message_id"] == "<1@example.com>"
    shown = "***" if is_private else "bob"
    assert line["rcpt_to"][0] == f"{shown}@example.net"
    assert observers.chronicle.recent.transactions()[0].rcpt_to[0] == f"{shown}@example.net"


WORDS = st.text(st.sampled_from("abc\"\\ .+-<>'=()"), max_size=12)


@given(st.lists(st.tuples(WORDS, st.sampled_from(["SECRET", '"SECRET x"', "a.SECRET"]))))
def test_no_local_part_is_left(parts: list[tuple[str, str]]) -> None:
    """Whatever stands before it."""
    text = "".join(f"{before} {local}@example.com " for before, local in parts)
    event = masked(Noted("x.noted", "info", (("detail", text),)))
    assert isinstance(event, Noted)
    shown = str(dict(event.fields)["detail"])
    assert "SECRET" not in shown
    assert shown.count("@example.com") == len(parts)


@pytest.mark.parametrize(
    "local_part",
    [
        "o'brien",
        "bounce+ann=customer.example",
        "SRS0=HH=TT=x.example=ann",
        '"ann@home.example"',
        '"a\\"b@ann"',
    ],
)
def test_a_local_part_is_masked_as_a_whole(local_part: str) -> None:
    """VERP and SRS have another address in it, and a quoted one may have an "@"."""
    address = f"{local_part}@example.com"
    ended = replace(ENDED, mail_from=address, rcpt_to=(address,), detail=f"RCPT TO:<{address}>: no")
    event = masked(ended)
    assert isinstance(event, TransactionEnded)
    assert (event.mail_from, event.rcpt_to) == ("***@example.com", ("***@example.com",))
    assert event.detail == "RCPT TO:<***@example.com>: no"


@pytest.mark.parametrize("hostile", ['"\\' * 50_000, "a" * 100_000, '"' * 100_000, "@" * 100_000])
def test_hostile_texts_take_linear_time(hostile: str) -> None:
    """A text from outside is looked at once: this ends at once, or not within the test's time."""
    event = masked(Noted("x.noted", "info", (("detail", hostile + "@"),)))
    assert isinstance(event, Noted)
