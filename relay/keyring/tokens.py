"""Keys in PKCS#11 tokens: hardware, or a network service behind a module. IO, in threads.

`python-pkcs11` is optional (`dkim-relay[pkcs11]`). A signature is made
in the thread of the module, so it never holds up the event loop; whatever goes wrong is a fault of
that key alone.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from dataclasses import dataclass, field
from pathlib import Path

from relay.core.dkim.algorithm import Algorithm, PublicKey
from relay.core.errors import Fault, KeyFault
from relay.keyring.files import read_token_uri
from relay.keyring.pem import size_warning
from relay.keyring.token_module import TokenFault, TokenModule
from relay.keyring.token_uri import TokenUri, UriFault, parse_token_uri

# RFC 8017 §9.2, note 1: DigestInfo of SHA-256, in front of the digest.
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
ANSWER_SECONDS = 10.0  # for a signature, queue included; the upstream is waiting


class Tokens:
    """The modules that are in use, each loaded once."""

    def __init__(self, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Nothing is loaded yet.

        Args:
            answer_seconds: how long a token has for whatever it is asked.
        """
        self._answer_seconds = answer_seconds
        self._modules: dict[Path, TokenModule] = {}

    def module(self, path: Path) -> TokenModule:
        """The module of this path; it is loaded when it is first asked."""
        return self._modules.setdefault(path, TokenModule(path, self._answer_seconds))

    def close(self) -> None:
        """End the threads; a token that does not answer is not waited for."""
        for module in self._modules.values():
            module.close()


@dataclass(frozen=True, slots=True, eq=False)
class TokenKey:
    """A private key in a token; a `StoredKey`.

    Attributes:
        domain: the signing domain (d=), in A-labels.
        selector: the selector (s=), in A-labels.
        public: the public half, with its algorithm.
        path: the file with its URI.
        modified_seconds: when that was last written, in seconds since 1970.
        warnings: what should be put right although the key is used.
    """

    domain: str
    selector: str
    public: PublicKey
    path: Path
    modified_seconds: float
    warnings: tuple[Fault, ...]
    uri: TokenUri = field(repr=False)
    module: TokenModule = field(repr=False)

    @property
    def where(self) -> str:
        """The file, for people."""
        return str(self.path)

    async def sign(self, digest: bytes) -> bytes:
        """The signature over a 32-octet SHA-256 digest; other work goes on meanwhile.

        Raises:
            KeyFault: the token cannot sign now, or does not answer in time.
        """
        try:
            async with asyncio.timeout(self.module.answer_seconds):
                return await asyncio.wrap_future(self._signing(digest))
        except TimeoutError as exc:
            raise self._fault(self.module.silent()) from exc
        except TokenFault as exc:
            raise self._fault(exc) from exc

    def sign_now(self, digest: bytes) -> bytes:
        """The same without a loop; waits."""
        try:
            return self.module.wait(self._signing(digest))
        except TokenFault as exc:
            raise self._fault(exc) from exc

    def _signing(self, digest: bytes) -> concurrent.futures.Future[bytes]:
        data = digest
        if self.public.algorithm is Algorithm.RSA_SHA256:
            data = _SHA256_INFO + digest
        return self.module.submit(lambda: self.module.sign(self.uri, self.public.algorithm, data))

    def _fault(self, reason: TokenFault) -> KeyFault:
        return KeyFault(self.where, reason.what, reason.fix)


def read_token_file(path: Path, *, domain: str, selector: str, tokens: Tokens) -> TokenKey:
    """Read a `.pkcs11` file, and find its key in the token.

    Args:
        path: the file.
        domain: the domain that the key signs for, in A-labels.
        selector: its selector, in A-labels.
        tokens: who has the module.

    Raises:
        KeyFault: the file or the PIN file cannot be read, or the token has no such key.
    """
    octets, modified_seconds = read_token_uri(path)
    try:
        uri = parse_token_uri(octets)
        module = tokens.module(uri.module)
        public = module.wait(module.submit(lambda: module.public_half(uri)))
    except (UriFault, TokenFault) as exc:
        raise KeyFault(str(path), exc.what, exc.fix) from exc
    warnings: tuple[Fault, ...] = ()
    if public.algorithm is Algorithm.RSA_SHA256 and (warning := size_warning(public.bits)):
        warnings = (Fault(str(path), warning, f"make a new key in the token for {domain}"),)
    return TokenKey(domain, selector, public, path, modified_seconds, warnings, uri, module)
