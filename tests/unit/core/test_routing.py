"""relay.core.routing: the first rule whose every criterion holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from relay.core.address import parse_path
from relay.core.routing import RouteRule, Step, choose


def step(**changes: str) -> Step:
    """A recipient, as it is given."""
    said = {
        "listener": "127.0.0.1:2525",
        "client": "loopback",
        "mail_from": "app@example.com",
        "rcpt_to": "ann@sink.test",
    } | changes
    return Step(
        listener=said["listener"],
        client=said["client"],
        mail_from=parse_path(said["mail_from"].encode()),
        rcpt_to=parse_path(said["rcpt_to"].encode()),
    )


@pytest.mark.parametrize(
    ("criteria", "matches"),
    [
        ({}, True),
        ({"listeners": {"127.0.0.1:2525"}}, True),
        ({"listeners": {"[::1]:2525", "unix:/x"}}, False),
        ({"clients": {"loopback", "apps"}}, True),
        ({"clients": {"apps"}}, False),
        ({"mail_from": ("example.com",)}, True),
        ({"mail_from": ("app@example.com",)}, True),
        ({"mail_from": ("App@example.com",)}, False),  # a local part is its domain's own
        ({"mail_from": ("*.example.com",)}, False),
        ({"mail_from": ("<>",)}, False),
        ({"rcpt_to": ("sink.test",)}, True),
        ({"rcpt_to": ("other.test", "*")}, True),
        ({"rcpt_to": ("*.sink.test",)}, False),
        ({"clients": {"loopback"}, "rcpt_to": ("other.test",)}, False),
    ],
)
def test_every_criterion_has_to_hold(criteria: dict[str, Any], matches: bool) -> None:
    """Those that are not given hold for all."""
    assert RouteRule(name="r", **criteria).matches(step()) is matches


def test_the_null_path_and_domains_below() -> None:
    """`<>` is no address of any domain; `*.domain` is what lies below it."""
    null = step(mail_from="")
    assert RouteRule(name="r", mail_from=("<>",)).matches(null)
    assert not RouteRule(name="r", mail_from=("*", "example.com")).matches(null)
    below = step(rcpt_to="ann@mx.sink.test")
    assert RouteRule(name="r", rcpt_to=("*.sink.test",)).matches(below)
    assert not RouteRule(name="r", rcpt_to=("sink.test",)).matches(below)


@dataclass(frozen=True)
class Way:
    """What a rule leads to."""

    rule: RouteRule


def test_the_first_that_matches_is_taken() -> None:
    """In the order of the settings; none is an answer too."""
    one = Way(RouteRule(name="one", rcpt_to=("sink.test",)))
    two = Way(RouteRule(name="two"))
    assert choose([one, two], step()) is one
    assert choose([two, one], step()) is two
    assert choose([one, two], step(rcpt_to="b@c.test")) is two
    assert choose([one], step(rcpt_to="b@c.test")) is None
