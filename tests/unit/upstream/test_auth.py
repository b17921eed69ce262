"""Logging in: mechanisms, their order, refusals, tokens, secrets that change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from relay.core.errors import Rejection
from relay.upstream.auth import mechanisms
from relay.upstream.connect import Opener
from relay.upstream.oauth import FixedToken, Token, TokenFault
from relay.upstream.protocol import Connection
from relay.upstream.secret import Secret
from relay.upstream.settings import Auth, Tls
from tests.fakes.certificates import Certificates
from tests.fakes.pools import upstream
from tests.fakes.smarthost import Smarthost, reply
from tests.fakes.smarthost_logins import LOGINS

TOKEN = "token-" + "x" * 3000
USERS = {"app@example.com": "only for tests", "bearer@example.com": TOKEN}
PASSWORD = {"username": "app@example.com", "password": "only for tests"}
ALL = tuple(LOGINS)


@dataclass
class FakeTokens:
    """Has some tokens, one after the other."""

    tokens: list[str]
    is_kept: bool = True
    renewals: list[str] = field(default_factory=list)

    async def token(self) -> Token:
        """The first."""
        return Token(self.tokens[0], self.is_kept)

    async def renewed(self, refused: Token) -> Token:
        """The next."""
        self.renewals.append(refused.text)
        if len(self.tokens) == 1:
            raise TokenFault("the endpoint is on fire")
        return Token(self.tokens[1], is_kept=False)


def bearer(*tokens: str, is_kept: bool = True) -> dict[str, Any]:
    """Settings with tokens."""
    return {"username": "bearer@example.com", "tokens": FakeTokens([*tokens], is_kept)}


async def opened(host: Smarthost, **changes: Any) -> Connection:
    """A connection, closed at once."""
    settings = upstream(host.port, **{"insecure_auth": True} | changes)
    connection = await Opener(settings).open(lambda connection: None)
    connection.abort("done")
    return connection


async def refused(host: Smarthost, **changes: Any) -> Rejection:
    """Why we are not let in: 451 4.7.0, nothing open, and no secret in what is said."""
    with pytest.raises(Rejection) as caught:
        await opened(host, **changes)
    await host.until(lambda: host.open_sessions == 0)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (451, "4.7.0")
    assert "only for tests" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    return caught.value


def verbs(host: Smarthost) -> list[bytes]:
    """The mechanisms that were tried."""
    return [line.split()[1] for s in host.sessions for line in s.lines if line[:4] == b"AUTH"]


@pytest.mark.parametrize("auth", [Auth.PLAIN, Auth.LOGIN, Auth.CRAM_MD5])
async def test_a_password_by_each_mechanism(auth: Auth) -> None:
    """The one that is set, and no other."""
    async with Smarthost(users=USERS, mechanisms=ALL) as host:
        assert (await opened(host, auth=auth, **PASSWORD)).is_authenticated
        assert host.sessions[0].user == "app@example.com"
        assert verbs(host) == [auth.upper().encode()]


@pytest.mark.parametrize("auth", [Auth.XOAUTH2, Auth.OAUTHBEARER, Auth.AUTO])
async def test_a_token_by_each_mechanism(auth: Auth) -> None:
    """Long tokens too; the standard's mechanism is preferred."""
    async with Smarthost(users=USERS, mechanisms=ALL) as host:
        assert (await opened(host, auth=auth, **bearer(TOKEN))).is_authenticated
        expected = Auth.OAUTHBEARER if auth is Auth.AUTO else auth
        assert verbs(host) == [expected.upper().encode()]


async def test_a_response_that_does_not_fit_into_the_command(certificates: Certificates) -> None:
    """RFC 4954 §4: over 12288 octets it follows the server's empty challenge."""
    token = "t" * 12288
    async with Smarthost(users={"a": token}, mechanisms=("XOAUTH2",)) as host:
        await opened(host, username="a", tokens=FakeTokens([token]))
        assert host.sessions[0].lines[1] == b"AUTH XOAUTH2"


@pytest.mark.parametrize(
    ("settings", "is_protected", "expected"),
    [
        (PASSWORD, True, ["PLAIN", "LOGIN", "CRAM-MD5"]),
        (PASSWORD, False, ["CRAM-MD5", "PLAIN", "LOGIN"]),
        (bearer("t"), True, ["OAUTHBEARER", "XOAUTH2"]),
        ({"username": "u", "client_certificate_file": "c.pem"}, True, ["EXTERNAL"]),
        (PASSWORD | {"client_certificate_file": "c.pem"}, True, ["PLAIN", "LOGIN", "CRAM-MD5"]),
        (PASSWORD | {"auth": Auth.LOGIN}, False, ["LOGIN"]),
    ],
)
def test_the_order(settings: dict[str, Any], is_protected: bool, expected: Sequence[str]) -> None:
    """Best first: over what others can listen to, the one that does not show the password."""
    assert list(mechanisms(upstream(25, **settings), is_protected=is_protected)) == expected


async def test_what_is_not_offered_is_not_tried() -> None:
    """The log has what was wanted and what there is."""
    async with Smarthost(users=USERS, mechanisms=("PLAIN",)) as host:
        rejection = await refused(host, auth=Auth.CRAM_MD5, **PASSWORD)
        assert "CRAM-MD5 is not offered; offered: " in rejection.detail
        assert "AUTH PLAIN" in rejection.detail
        assert verbs(host) == []


async def test_the_next_mechanism_where_one_is_unknown() -> None:
    """502 to AUTH itself; a refused password is not tried again."""
    async with Smarthost(users=USERS, mechanisms=ALL) as host:
        host.on("auth", reply("502 5.5.1 Not implemented"), match=b"CRAM-MD5")
        await opened(host, **PASSWORD)
        assert verbs(host) == [b"CRAM-MD5", b"PLAIN"]
        rejection = await refused(host, username="app@example.com", password="wrong")
        assert "535 5.7.8 Who?" in rejection.detail


async def test_cram_md5_is_not_for_everybody(certificates: Certificates) -> None:
    """Without insecure_auth nothing is spoken to a server that is not verified."""
    async with Smarthost(users=USERS, mechanisms=ALL, tls=certificates.server()) as host:
        changes = {"insecure_auth": False, "auth": Auth.CRAM_MD5} | PASSWORD
        await refused(host, tls=Tls.OPPORTUNISTIC, **changes)
        assert host.sessions == []


# Dialogues that go wrong.


@pytest.mark.parametrize("challenge", ["334 not base64", "334 b", "334 ä"])
async def test_a_challenge_that_is_no_base64(challenge: str) -> None:
    """Said, and the connection is given up."""
    async with Smarthost(users=USERS, mechanisms=("CRAM-MD5",)) as host:
        host.on("auth", reply(challenge))
        assert "not base64" in (await refused(host, **PASSWORD)).detail


async def test_a_server_that_never_has_enough() -> None:
    """One challenge more than the mechanism has answers for."""
    async with Smarthost(users=USERS) as host:
        host.on("auth", reply("334 "))
        assert "asks for more" in (await refused(host, auth=Auth.PLAIN, **PASSWORD)).detail


async def test_a_name_with_nul() -> None:
    """Nothing of it is written."""
    async with Smarthost(users=USERS) as host:
        rejection = await refused(host, username="a\0b", password="only for tests")
        assert "control character" in rejection.detail
        assert verbs(host) == []


# Tokens.


@pytest.mark.parametrize("auth", [Auth.XOAUTH2, Auth.OAUTHBEARER])
async def test_a_token_that_is_refused(auth: Auth) -> None:
    """RFC 7628 §3.2.3: the server's reason reaches the log, the dialogue ends as it should."""
    async with Smarthost(users=USERS, mechanisms=ALL) as host:
        rejection = await refused(host, auth=auth, **bearer("wrong", is_kept=False))
        assert '"scope":"https://mail.test/"' in rejection.detail
        assert "535" in rejection.detail
        last = b"" if auth is Auth.XOAUTH2 else b"AQ=="
        assert host.sessions[0].lines[-1] == last
        assert verbs(host) == [auth.upper().encode()]


async def test_a_kept_token_that_is_refused_is_renewed_once() -> None:
    """On the same connection; the second one is good."""
    settings = bearer("outdated", TOKEN)
    async with Smarthost(users=USERS, mechanisms=ALL) as host:
        assert (await opened(host, **settings)).is_authenticated
        assert settings["tokens"].renewals == ["outdated"]
        assert verbs(host) == [b"OAUTHBEARER", b"OAUTHBEARER"]
        assert len(host.sessions) == 1


async def test_a_renewed_token_that_is_refused_too() -> None:
    """That is the end of it."""
    settings = bearer("outdated", "wrong as well")
    async with Smarthost(users=USERS, mechanisms=ALL) as host:
        await refused(host, **settings)
        assert len(verbs(host)) == 2


async def test_a_fresh_token_that_is_refused_is_not_renewed() -> None:
    """It is not outdated, it is wrong."""
    settings = bearer("wrong", TOKEN, is_kept=False)
    async with Smarthost(users=USERS, mechanisms=ALL) as host:
        await refused(host, **settings)
        assert settings["tokens"].renewals == []


async def test_a_renewal_that_fails() -> None:
    """The log has both reasons."""
    async with Smarthost(users=USERS, mechanisms=ALL) as host:
        rejection = await refused(host, **bearer("outdated"))
        assert "the endpoint is on fire" in rejection.detail


async def test_no_token_no_connection() -> None:
    """It is fetched before anything is opened, so that nobody waits for it."""

    class NoTokens(FakeTokens):
        async def token(self) -> Token:
            raise TokenFault("the endpoint is on fire")

    async with Smarthost(users=USERS, mechanisms=ALL) as host:
        rejection = await refused(host, username="bearer@example.com", tokens=NoTokens([]))
        assert "before AUTH: the endpoint is on fire" in rejection.detail
        assert host.sessions == []


# Secrets that change.


async def test_a_password_file_that_changes(tmp_path: Path) -> None:
    """Each AUTH says what the file says then; one that is emptied takes nothing away."""
    path = tmp_path / "password"
    path.write_text("only for tests\n")
    users = dict(USERS)
    async with Smarthost(users=users) as host:
        settings: dict[str, Any] = {"username": "app@example.com", "password": Secret(path=path)}
        opener = Opener(upstream(host.port, insecure_auth=True, **settings))
        for password in ("only for tests", "another", ""):
            path.write_text(password)
            users["app@example.com"] = password or "another"
            (await opener.open(lambda connection: None)).abort("done")
        path.write_text("wrong")
        with pytest.raises(Rejection):
            await opener.open(lambda connection: None)


async def test_a_password_file_that_is_not_there(tmp_path: Path) -> None:
    """451 4.7.0 with its path."""
    async with Smarthost(users=USERS) as host:
        secret = Secret(path=tmp_path / "none")
        rejection = await refused(host, username="app@example.com", password=secret)
        assert f"password_file {tmp_path}/none: No such file" in rejection.detail


async def test_a_token_file_that_changes(tmp_path: Path) -> None:
    """A token that somebody else renews: read anew at each AUTH."""
    path = tmp_path / "token"
    path.write_text("outdated")
    tokens = FixedToken(Secret(path=path, setting="oauth_token"))
    async with Smarthost(users=USERS, mechanisms=ALL) as host:
        settings: dict[str, Any] = {"username": "bearer@example.com", "tokens": tokens}
        await refused(host, **settings)
        assert len(verbs(host)) == 1  # the same token is not tried twice
        path.write_text(TOKEN)
        assert (await opened(host, **settings)).is_authenticated
