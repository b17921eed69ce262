"""A PKCS#11 module, and the sessions with its tokens. IO, in a thread.

A module is spoken to by one thread of its own, with one session for each of its tokens, because
sessions must not be shared and a login counts for the whole process. A session that was lost is
opened again, once. A PIN that a token refused is not tried again, because tokens lock themselves
after a few.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from relay.core.dkim.algorithm import MIN_RSA_BITS, Algorithm, PublicKey, public_key
from relay.core.errors import KeyFault, SyntaxFault
from relay.keyring.files import read_line
from relay.keyring.token_uri import TokenUri

Result = TypeVar("Result")


class TokenFault(Exception):
    """The token cannot do it.

    Attributes:
        what: what is wrong; never has a PIN in it.
        fix: what to do.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


class TokenModule:
    """A PKCS#11 module. What is not `submit`, `wait` or `close` runs in its thread."""

    def __init__(self, path: Path, answer_seconds: float) -> None:
        self.answer_seconds = answer_seconds
        self._path = path
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="pkcs11")
        self._library: Any = None
        self._sessions: dict[tuple[str | None, str | None], Any] = {}
        self._keys: dict[TokenUri, Any] = {}
        self._refused_pins: set[bytes] = set()

    def submit(self, work: Callable[[], Result]) -> concurrent.futures.Future[Result]:
        """Have the thread do this."""
        return self._thread.submit(work)

    def wait(self, work: concurrent.futures.Future[Result]) -> Result:
        """What came of it.

        Raises:
            TokenFault: the token does not answer in time, or cannot do it.
        """
        try:
            return work.result(self.answer_seconds)
        except TimeoutError as exc:
            work.cancel()
            raise self.silent() from exc

    def silent(self) -> TokenFault:
        """The fault of a token that does not answer."""
        what = f"{self._path} did not answer in {self.answer_seconds:g} s"
        return TokenFault(what, "look after the token, or the service behind the module")

    def close(self) -> None:
        """End the thread, once it has nothing to do."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def sign(self, uri: TokenUri, algorithm: Algorithm, data: bytes) -> bytes:
        """A signature, with a session that is opened again if it was lost."""
        return self._twice(lambda pkcs11: self._sign(pkcs11, uri, algorithm, data))

    def public_half(self, uri: TokenUri) -> PublicKey:
        """The public half of a key, as the token has it."""
        return self._twice(lambda pkcs11: _public_half(pkcs11, self._session(pkcs11, uri), uri))

    def _twice(self, work: Callable[[Any], Result]) -> Result:
        pkcs11 = _imported()
        try:
            try:
                return work(pkcs11)
            except pkcs11.PKCS11Error:
                if not self._sessions:
                    raise
                # A lost session, a token that was taken out: begin anew, once.
                self._forget()
                return work(pkcs11)
        except pkcs11.PKCS11Error as exc:
            with contextlib.suppress(pkcs11.PKCS11Error):
                self._forget()
            reason = str(exc) or type(exc).__name__
            raise TokenFault(f"{self._path}: {reason}", _fix_of(pkcs11, exc)) from exc

    def _forget(self) -> None:
        """Drop every session, and have the module look again which tokens there are."""
        self._sessions.clear()
        self._keys.clear()
        if self._library is not None:
            library, self._library = self._library, None
            library.reinitialize()
            self._library = library

    def _sign(self, pkcs11: Any, uri: TokenUri, algorithm: Algorithm, data: bytes) -> bytes:
        key = self._keys.get(uri)
        if key is None:
            key = self._keys[uri] = _private_key(pkcs11, self._session(pkcs11, uri), uri)
        rsa = algorithm is Algorithm.RSA_SHA256
        mechanism = pkcs11.Mechanism.RSA_PKCS if rsa else pkcs11.Mechanism.EDDSA
        return bytes(key.sign(data, mechanism=mechanism))

    def _session(self, pkcs11: Any, uri: TokenUri) -> Any:
        name = (uri.token, uri.serial)
        session = self._sessions.get(name)
        if session is None:
            self._library = self._library or pkcs11.lib(str(self._path))
            serial = None if uri.serial is None else uri.serial.encode("utf-8")
            token = self._library.get_token(token_label=uri.token, token_serial=serial)
            session = self._sessions[name] = self._log_in(pkcs11, token, uri)
        return session

    def _log_in(self, pkcs11: Any, token: Any, uri: TokenUri) -> Any:
        try:
            pin = read_line(uri.pin_file, "the PIN")
        except KeyFault as exc:
            what = f"{exc.fault.where}: {exc.fault.what}"
            raise TokenFault(what, exc.fault.fix) from exc
        tried = hashlib.sha256(repr((uri.token, uri.serial)).encode() + pin).digest()
        wrong = TokenFault("the token refuses the PIN", f"put the right one into {uri.pin_file}")
        if tried in self._refused_pins:
            raise wrong
        try:
            return token.open(user_pin=pin.decode("utf-8", "surrogateescape"))
        except pkcs11.UserAlreadyLoggedIn:
            return token.open()  # a login counts for the whole process: another session has made it
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange) as exc:
            self._refused_pins.add(tried)
            raise wrong from exc


def _public_half(pkcs11: Any, session: Any, uri: TokenUri) -> PublicKey:
    """The public half of a private key, which has to be there too.

    Raises:
        TokenFault: it is of a kind that DKIM has not, or the token does not tell the public half.
    """
    private = _private_key(pkcs11, session, uri)
    kind = private.key_type
    if kind == pkcs11.KeyType.RSA:
        octets = pkcs11.util.rsa.encode_rsa_public_key(private)
        return _checked("rsa", octets)
    if kind != pkcs11.KeyType.EC_EDWARDS:
        raise TokenFault("a key that is neither RSA nor Ed25519", "make an RSA key of 2048 bits")
    found = _objects(pkcs11, session, uri, pkcs11.ObjectClass.PUBLIC_KEY)
    if len(found) != 1:
        what = f"the token has {len(found)} public keys beside the private one"
        raise TokenFault(what, "store the public key under the same name and id")
    # PKCS#11 v3.0 §6.3.5: an OCTET STRING around the key; some tokens leave that away.
    point = bytes(found[0][pkcs11.Attribute.EC_POINT])
    return _checked("ed25519", point.removeprefix(b"\x04\x20") if len(point) > 32 else point)


def _checked(key_type: str, octets: bytes) -> PublicKey:
    try:
        public = public_key(key_type, octets)
    except (SyntaxFault, ValueError) as exc:
        raise TokenFault(f"no key that DKIM has: {exc}", "make an RSA key of 2048 bits") from exc
    if public.algorithm is Algorithm.RSA_SHA256 and public.bits < MIN_RSA_BITS:
        what = f"an RSA key of {public.bits} bits; under {MIN_RSA_BITS} no receiver accepts it"
        raise TokenFault(what, "make an RSA key of 2048 bits (RFC 8301 §3.2)")
    return public


def _private_key(pkcs11: Any, session: Any, uri: TokenUri) -> Any:
    """The one key that a URI means.

    Raises:
        TokenFault: there is none, or there are several.
    """
    found = _objects(pkcs11, session, uri, pkcs11.ObjectClass.PRIVATE_KEY)
    if not found:
        raise TokenFault("the token has no such private key", "check object= and id= of the URI")
    if len(found) > 1:
        what = f"the token has {len(found)} private keys of that name"
        raise TokenFault(what, "name the one: add id= to the URI")
    return found[0]


def _objects(pkcs11: Any, session: Any, uri: TokenUri, kind: Any) -> list[Any]:
    """All that match: a search that is left half-way would block the session."""
    # Searching in a session that was lost makes the library write to standard error.
    with contextlib.suppress(pkcs11.RandomNoRNG, pkcs11.FunctionNotSupported):
        session.generate_random(64)
    wanted = {pkcs11.Attribute.CLASS: kind}
    if uri.label is not None:
        wanted[pkcs11.Attribute.LABEL] = uri.label
    if uri.key_id is not None:
        wanted[pkcs11.Attribute.ID] = uri.key_id
    return list(session.get_objects(wanted))


def _imported() -> Any:
    try:
        import pkcs11
    except ImportError as exc:
        what = "keys in tokens need python-pkcs11, which is not installed"
        raise TokenFault(what, "pip install 'dkim-relay[pkcs11]'") from exc
    return pkcs11


def _fix_of(pkcs11: Any, exc: Exception) -> str:
    match exc:
        case pkcs11.NoSuchToken():
            return "check token= and serial= of the URI, and that the token is there"
        case pkcs11.MultipleTokensReturned():
            return "name the one: add serial= to the URI"
        case pkcs11.PinLocked():
            return "the token has locked the PIN: unlock it with its own tool"
        case _:
            return "check module-path of the URI, and the token"
