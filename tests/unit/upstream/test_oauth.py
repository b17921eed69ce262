"""Access tokens: fetched over HTTPS, kept, renewed, one request at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from relay.upstream.https import HttpFault, post_form
from relay.upstream.oauth import (
    DEFAULT_LIFETIME_SECONDS,
    MAX_RENEWAL_SECONDS,
    Grant,
    Token,
    TokenFault,
    Tokens,
)
from relay.upstream.secret import Secret
from tests.fakes.certificates import Certificates
from tests.fakes.token_endpoint import TokenEndpoint, answer

CLIENT = {"client_id": "relay", "client_secret": "client-hunter2"}
GOOD = answer(200, {"access_token": "first", "token_type": "Bearer", "expires_in": 3600})


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


class Endpoint:
    """What sends a request, without HTTPS: answers in order, the last one again and again."""

    def __init__(self, *answers: tuple[int, bytes] | HttpFault) -> None:
        self.answers = [*answers]
        self.forms: list[dict[str, str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, grant: Grant, form: Mapping[str, str]) -> tuple[int, bytes]:
        """Take a form."""
        self.forms.append(dict(form))
        await self.may_answer.wait()
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, HttpFault):
            raise found
        return found


def given(token: str, seconds: object = 3600, **more: object) -> tuple[int, bytes]:
    """A response with a token."""
    body = answer(200, {"access_token": token, "expires_in": seconds} | more)
    return 200, body.partition(b"\r\n\r\n")[2]


def grant(url: str = "https://login.test/token", **changes: Any) -> Grant:
    """With the client's credentials unless changed."""
    settings: dict[str, Any] = {"client_id": "relay", "client_secret": Secret("client-hunter2")}
    return Grant(url=url, **settings | changes)


def tokens_of(endpoint: Endpoint, clock: Clock | None = None, **changes: Any) -> Tokens:
    """Tokens without HTTPS."""
    return Tokens(grant(**changes), monotonic=clock or Clock(), send=endpoint)


async def fault_of(tokens: Tokens) -> str:
    """Why there is no token."""
    with pytest.raises(TokenFault) as caught:
        await tokens.token()
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"
    return str(caught.value)


# What is asked for.


async def test_client_credentials() -> None:
    """RFC 6749 §4.4.2, with a scope."""
    endpoint = Endpoint(given("first"))
    assert (await tokens_of(endpoint, scope="mail.send").token()).text == "first"
    assert endpoint.forms == [CLIENT | {"grant_type": "client_credentials", "scope": "mail.send"}]


async def test_a_refresh_token() -> None:
    """RFC 6749 §6; a public client has no secret."""
    endpoint = Endpoint(given("first"))
    changes: dict[str, Any] = {
        "refresh_token": Secret("refresh-hunter2"),
        "client_secret": Secret(),
    }
    await tokens_of(endpoint, **changes).token()
    assert endpoint.forms == [
        {"client_id": "relay", "grant_type": "refresh_token", "refresh_token": "refresh-hunter2"}
    ]


async def test_a_refresh_token_that_is_replaced(tmp_path: Path) -> None:
    """The new one is used from then on, until the operator writes another into the file."""
    path, clock = tmp_path / "refresh", Clock()
    path.write_text("one")
    endpoint = Endpoint(given("a", refresh_token="two"), given("b"))
    tokens = tokens_of(endpoint, clock, refresh_token=Secret(path=path, setting="refresh"))
    for said in ("one", "two", "two"):
        await tokens.token()
        assert endpoint.forms[-1]["refresh_token"] == said
        clock.now += 3600
    path.write_text("three")
    await tokens.token()
    assert endpoint.forms[-1]["refresh_token"] == "three"


# How long it is kept.


@pytest.mark.parametrize(
    ("seconds", "renewed_after"),
    [
        (3600, 3600 - MAX_RENEWAL_SECONDS),
        (100, 90),
        ("100", 90),
        (None, DEFAULT_LIFETIME_SECONDS - MAX_RENEWAL_SECONDS),
        (-1, DEFAULT_LIFETIME_SECONDS - MAX_RENEWAL_SECONDS),
        ("soon", DEFAULT_LIFETIME_SECONDS - MAX_RENEWAL_SECONDS),
        ([], DEFAULT_LIFETIME_SECONDS - MAX_RENEWAL_SECONDS),
        (10**400, DEFAULT_LIFETIME_SECONDS - MAX_RENEWAL_SECONDS),
    ],
)
async def test_it_is_renewed_before_it_expires(seconds: object, renewed_after: float) -> None:
    """Not a moment earlier, and before it has expired; without a sane life, an hour."""
    clock, endpoint = Clock(), Endpoint(given("first", seconds), given("second"))
    tokens = tokens_of(endpoint, clock)
    assert (await tokens.token()).is_kept is False
    clock.now += renewed_after - 0.1
    assert await tokens.token() == Token("first", is_kept=True)
    clock.now += 0.2
    assert await tokens.token() == Token("second", is_kept=False)


async def test_an_endpoint_that_is_down_when_it_is_time_to_renew() -> None:
    """The old token serves as long as it holds; then there is none."""
    clock, endpoint = Clock(), Endpoint(given("first", 1000), HttpFault("down"))
    tokens = tokens_of(endpoint, clock)
    await tokens.token()
    clock.now += 950
    assert await tokens.token() == Token("first", is_kept=True)
    clock.now += 50
    assert "https://login.test/token: down" in await fault_of(tokens)


async def test_one_request_at_a_time() -> None:
    """Who asks meanwhile gets its result: a token, or the reason why there is none."""
    endpoint = Endpoint(HttpFault("down"), given("first"), given("second"))
    tokens = tokens_of(endpoint)
    for _ in range(2):
        endpoint.may_answer.clear()
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(_outcome(tokens)) for _ in range(10)]
            await asyncio.sleep(0)
            endpoint.may_answer.set()
        outcomes = {task.result() for task in asking}
        assert len(outcomes) == 1
    assert outcomes == {"first"}
    assert len(endpoint.forms) == 2


async def _outcome(tokens: Tokens) -> str:
    try:
        return (await tokens.token()).text
    except TokenFault as exc:
        return str(exc)


async def test_one_who_leaves_takes_nobody_with_him() -> None:
    """The request of a cancelled one is made anew by the next."""
    endpoint = Endpoint(given("first"))
    tokens = tokens_of(endpoint)
    endpoint.may_answer.clear()
    async with asyncio.TaskGroup() as group:
        leaving, staying = (group.create_task(tokens.token()) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        endpoint.may_answer.set()
    assert staying.result().text == "first"


async def test_a_refused_token_is_renewed_by_one() -> None:
    """Several connections meet the same refusal; the second one finds the new token."""
    endpoint = Endpoint(given("first"), given("second"), given("third"))
    tokens = tokens_of(endpoint)
    refused = await tokens.token()
    assert (await tokens.renewed(refused)).text == "second"
    assert (await tokens.renewed(refused)).text == "second"
    assert len(endpoint.forms) == 2


# What endpoints say.


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, b'{"error":"invalid_grant","error_description":"expired"}', "invalid_grant expired"),
        (401, b'{"error":"invalid_client"}', "401: invalid_client"),
        (400, b'{"error":"you sent client-hunter2"}', "you sent ***"),
        (500, b"<html>\r\n\x1b[31mOops", "Oops"),
        (503, b"", "answered 503"),
        (302, b"", "answered 302"),
        (200, b"", "without an access_token"),
        (200, b"[]", "without an access_token"),
        (200, b"[" * 5000, "without an access_token"),
        (200, b'{"access_token":5}', "without an access_token"),
        (200, b'{"access_token":""}', "without an access_token"),
        (200, b'{"access_token":"x","token_type":"mac"}', "of type mac"),
    ],
)
async def test_an_answer_without_a_token(status: int, body: bytes, said: str) -> None:
    """Endpoint, status and its words, made fit to be shown; no secret."""
    text = await fault_of(tokens_of(Endpoint((status, body))))
    assert said in text
    assert "https://login.test/token" in text
    assert text.isprintable()


async def test_a_secret_file_that_is_not_there(tmp_path: Path) -> None:
    """Nothing is sent."""
    endpoint = Endpoint(given("first"))
    secret = Secret(path=tmp_path / "none", setting="oauth_client_secret")
    assert "oauth_client_secret_file" in await fault_of(tokens_of(endpoint, client_secret=secret))
    assert endpoint.forms == []


def test_nothing_secret_is_shown() -> None:
    """In no repr."""
    shown = f"{grant()!r} {Token('hunter2')!r} {tokens_of(Endpoint(given('hunter2')))!r}"
    assert "hunter2" not in shown


# Over HTTPS.


async def test_over_https(certificates: Certificates) -> None:
    """The request is what RFC 6749 §4.4.2 has, and its Host what RFC 9110 §7.2 has."""
    async with TokenEndpoint(certificates.server(), GOOD) as endpoint:
        asked = grant(endpoint.url, ca_file=certificates.ca_file)
        assert (await Tokens(asked, monotonic=Clock()).token()).text == "first"
        [head] = endpoint.heads
        assert head.startswith("POST /oauth2/token?v=2 HTTP/1.1\r\n")
        assert f"Host: {endpoint.url.split('/')[2]}\r\n" in head
        assert "Content-Type: application/x-www-form-urlencoded\r\n" in head
        assert endpoint.forms == [CLIENT | {"grant_type": "client_credentials"}]


async def fault_over_https(endpoint: TokenEndpoint, **changes: Any) -> str:
    """Why a form could not be posted."""
    settings: dict[str, Any] = {"ca_file": "", "timeout_seconds": 5, "max_octets": 65536}
    with pytest.raises(HttpFault) as caught:
        await post_form(endpoint.url, {"secret": "hunter2"}, **settings | changes)
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"
    return str(caught.value)


async def test_a_certificate_of_an_unknown_ca(certificates: Certificates, tmp_path: Path) -> None:
    """Nothing is sent; a CA file that is not there is named."""
    async with TokenEndpoint(certificates.server(), GOOD) as endpoint:
        assert "certificate verify failed" in await fault_over_https(endpoint)
        assert "No such file" in await fault_over_https(endpoint, ca_file=str(tmp_path / "none"))
        assert endpoint.forms == []


async def test_a_certificate_of_another_name(certificates: Certificates) -> None:
    """The same."""
    async with TokenEndpoint(certificates.server("other.test"), GOOD) as endpoint:
        assert "127.0.0.1" in await fault_over_https(endpoint, ca_file=certificates.ca_file)
        assert endpoint.forms == []


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (None, "no answer within 0.2 s"),
        (b"", "RemoteDisconnected|without response"),
        (b"220 smtp.test ESMTP\r\n", "220 smtp.test"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n", "more than 100 headers"),
        (answer(200, b"x" * 70000), "more than 65536 octets"),
    ],
)
async def test_what_is_no_answer(
    response: bytes | None, said: str, certificates: Certificates
) -> None:
    """Silence, nothing, other protocols, half of it, too much: one named error, in time."""
    async with TokenEndpoint(certificates.server(), response) as endpoint:
        seconds = 0.2 if response is None else 5
        text = await fault_over_https(
            endpoint, ca_file=certificates.ca_file, timeout_seconds=seconds
        )
        assert any(part in text for part in said.split("|"))


@pytest.mark.parametrize(
    "response",
    [
        answer(302, b"", more="Location: https://elsewhere.test/\r\n"),
        b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.test/\r\n\r\n",
    ],
)
async def test_redirects_are_not_followed(response: bytes, certificates: Certificates) -> None:
    """What is sent is for one server."""
    async with TokenEndpoint(certificates.server(), response) as endpoint:
        status, _ = await post_form(
            endpoint.url, {}, ca_file=certificates.ca_file, timeout_seconds=5, max_octets=65536
        )
        assert status == 302
        assert len(endpoint.forms) == 1


async def test_a_chunked_answer(certificates: Certificates) -> None:
    """RFC 9112 §7.1."""
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    async with TokenEndpoint(certificates.server(), response) as endpoint:
        ca = certificates.ca_file
        answered = await post_form(
            endpoint.url, {}, ca_file=ca, timeout_seconds=5, max_octets=65536
        )
        assert answered == (200, b"{}")


async def test_nobody_listens(certificates: Certificates) -> None:
    """The system's words."""
    async with TokenEndpoint(certificates.server(), GOOD) as endpoint:
        url = endpoint.url
    with pytest.raises(HttpFault, match="Connect call failed"):
        await post_form(url, {}, ca_file="", timeout_seconds=5, max_octets=65536)
