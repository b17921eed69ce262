"""Keys in a PKCS#11 token: the same signatures as from a file, and every way to be without one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.core.dkim.algorithm import Algorithm
from relay.core.errors import KeyFault
from relay.dns.gate import OpenGate
from relay.keyring import token_module
from relay.keyring.changes import Became, KeyChange
from relay.keyring.keyring import Keyring
from relay.keyring.loading import KeySource
from relay.keyring.prove import prove
from relay.keyring.token_module import TokenFault
from relay.keyring.tokens import TokenKey, Tokens, read_token_file
from relay.keyring.watch import KeyWatch
from tests.fakes.softhsm import Token, make_token

DIGEST = bytes(range(32))


@pytest.fixture
def tokens() -> Iterator[Tokens]:
    """The modules of a test."""
    opened = Tokens()
    yield opened
    opened.close()


@pytest.fixture
def token(tmp_path: Path) -> Token:
    """A token of SoftHSM2."""
    return make_token(tmp_path)


def read(path: Path, tokens: Tokens) -> TokenKey:
    """The key of a file, for example.com."""
    return read_token_file(path, domain="example.com", selector="s1", tokens=tokens)


def put(folder: Path, uri: str) -> Path:
    """A file with this URI."""
    path = folder / "example.com" / "s1.pkcs11"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(uri)
    path.chmod(0o644)
    return path


def fault(path: Path, tokens: Tokens) -> str:
    """What is said of a file without a usable key; it names the file, and never the PIN."""
    with pytest.raises(KeyFault) as caught:
        read(path, tokens)
    assert str(path) in caught.value.fault.where
    assert caught.value.fault.fix
    assert "5678" not in str(caught.value)
    return str(caught.value.fault)


class TestSigning:
    """With a real token."""

    async def test_rsa(self, token: Token, tokens: Tokens, keys_dir: Path) -> None:
        """It proves itself by dkimpy, and signs what its public half verifies."""
        token.make_rsa("k1")
        key = read(put(keys_dir, token.uri("k1")), tokens)
        assert key.public.algorithm is Algorithm.RSA_SHA256
        assert (key.public.bits, key.warnings) == (2048, ())
        prove(key)
        assert key.public.verifies(await key.sign(DIGEST), DIGEST)

    async def test_ed25519(self, token: Token, tokens: Tokens, keys_dir: Path) -> None:
        """The same with CKM_EDDSA over the digest (RFC 8463 §3)."""
        token.make_ed25519("k1")
        key = read(put(keys_dir, token.uri("k1")), tokens)
        assert key.public.algorithm is Algorithm.ED25519_SHA256
        prove(key)
        assert key.public.verifies(await key.sign(DIGEST), DIGEST)

    async def test_many_at_once(self, token: Token, tokens: Tokens, keys_dir: Path) -> None:
        """One session, one thread: signatures are made one after the other, all of them right."""
        token.make_rsa("k1")
        key = read(put(keys_dir, token.uri("k1")), tokens)
        digests = [bytes([number]) * 32 for number in range(40)]
        made = await asyncio.gather(*map(key.sign, digests))
        assert all(map(key.public.verifies, made, digests))

    async def test_a_lost_session_is_opened_again(
        self, token: Token, tokens: Tokens, keys_dir: Path
    ) -> None:
        """A token that was away for a moment costs no message."""
        token.make_rsa("k1")
        key = read(put(keys_dir, token.uri("k1")), tokens)
        await key.sign(DIGEST)
        token.lose_sessions()
        assert key.public.verifies(await key.sign(DIGEST), DIGEST)

    async def test_in_the_keyring(self, token: Token, keys_dir: Path) -> None:
        """A `.pkcs11` file is a key like others; one that comes into the token later is found."""
        path = put(keys_dir, token.uri("later"))
        changes: list[KeyChange] = []
        keyring = Keyring(KeySource(keys_dir, {}), gate=OpenGate(), report=changes.append)
        watch = KeyWatch(keyring, every_seconds=10)
        await watch.look()
        await watch.load(10)
        assert [change.became for change in changes] == [Became.FAILED]
        await watch.look()
        assert len(changes) == 1
        token.make_rsa("later")
        await watch.look()
        assert [change.became for change in changes] == [Became.FAILED, Became.LOADED]
        (key,) = await keyring.signers("example.com")
        assert (key.path, key.selector) == (path, "s1")
        assert key.public.verifies(await key.sign(DIGEST), DIGEST)
        keyring.close()


class TestFaults:
    """Each costs its key alone, and says what to do."""

    def test_no_such_key(self, token: Token, tokens: Tokens, keys_dir: Path) -> None:
        """Names that the token does not have."""
        token.make_rsa("k1")
        good = read(put(keys_dir / "good", token.uri("k1")), tokens)
        assert "object= and id=" in fault(put(keys_dir, token.uri("other")), tokens)
        assert "token= and serial=" in fault(put(keys_dir, token.uri("k1", token="x")), tokens)
        assert good.public.verifies(good.sign_now(DIGEST), DIGEST)

    def test_two_keys_of_one_name(self, token: Token, tokens: Tokens, keys_dir: Path) -> None:
        """It is not guessed which."""
        token.make_rsa("k1")
        token.make_rsa("k1")
        assert "name the one: add id=" in fault(put(keys_dir, token.uri("k1")), tokens)

    def test_a_wrong_pin_is_tried_once(self, token: Token, tokens: Tokens, keys_dir: Path) -> None:
        """A token locks itself after some; another PIN in the file is tried again."""
        token.make_rsa("k1")
        path = put(keys_dir, token.uri("k1"))
        token.pin_file.write_text("wrong\n")
        for _ in range(20):
            assert "refuses the PIN" in fault(path, tokens)
        token.pin_file.write_text(f"{token.pin}\n")
        assert read(path, tokens).public.bits == 2048

    def test_pin_files(self, token: Token, tokens: Tokens, keys_dir: Path) -> None:
        """Missing, empty, of several lines, or readable to everybody."""
        token.make_rsa("k1")
        path = put(keys_dir, token.uri("k1"))
        token.pin_file.write_text("")
        assert "has nothing in it" in fault(path, tokens)
        token.pin_file.write_text("a\nb\n")
        assert "has several lines in it" in fault(path, tokens)
        token.pin_file.chmod(0o644)
        assert f"chmod 0600 {token.pin_file}" in fault(path, tokens)
        token.pin_file.unlink()
        assert f"{token.pin_file}: cannot be opened" in fault(path, tokens)

    @pytest.mark.parametrize("kind", ["p256", "small", "no public half"])
    def test_keys_that_dkim_has_not(
        self, kind: str, token: Token, tokens: Tokens, keys_dir: Path
    ) -> None:
        """Another curve, too few bits, or an Ed25519 key without its public half."""
        said = {
            "p256": "neither RSA nor Ed25519",
            "small": "an RSA key of 768 bits",
            "no public half": "0 public keys beside the private one",
        }
        match kind:
            case "p256":
                token.make_p256("k1")
            case "small":
                token.make_rsa("k1", bits=768)
            case _:
                token.make_ed25519("k1")
                token.remove_public("k1")
        assert said[kind] in fault(put(keys_dir, token.uri("k1")), tokens)

    def test_a_warning_for_the_size(self, token: Token, tokens: Tokens, keys_dir: Path) -> None:
        """1024 bits sign, with the warning that files have."""
        token.make_rsa("k1", bits=1024)
        (warning,) = read(put(keys_dir, token.uri("k1")), tokens).warnings
        assert "1024 bits" in warning.what

    @pytest.mark.parametrize("module", ["/nowhere.so", __file__])
    def test_a_module_that_is_none(
        self, module: str, token: Token, tokens: Tokens, keys_dir: Path
    ) -> None:
        """Not there, or not a library."""
        said = fault(put(keys_dir, token.uri("k1", module_path=module)), tokens)
        assert "module-path" in said
        assert module in said

    def test_a_file_that_everybody_may_write(self, tokens: Tokens, keys_dir: Path) -> None:
        """It names a library that we load."""
        path = put(keys_dir, "pkcs11:")
        path.chmod(0o666)
        assert "everybody on this host" in fault(path, tokens)


class TestWithoutTokens:
    """What needs no SoftHSM2."""

    def test_python_pkcs11_is_not_installed(
        self, tokens: Tokens, keys_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The fault names the extra; other keys go on."""

        def missing() -> None:
            raise TokenFault("not installed", "pip install 'dkim-relay[pkcs11]'")

        monkeypatch.setattr(token_module, "_imported", missing)
        uri = "pkcs11:token=a;object=b?module-path=/m.so&pin-source=/pin"
        assert "dkim-relay[pkcs11]" in fault(put(keys_dir, uri), tokens)

    async def test_a_token_that_does_not_answer(self) -> None:
        """Its messages wait no longer than they may; the fault says which module."""
        tokens = Tokens(answer_seconds=0.01)
        module = tokens.module(Path("/slow.so"))
        is_over = threading.Event()
        stuck = module.submit(is_over.wait)
        with pytest.raises(TokenFault, match=r"/slow\.so did not answer in 0\.01 s"):
            module.wait(module.submit(lambda: None))
        is_over.set()
        assert stuck.result()
        tokens.close()
