"""Signing keys for tests: made once for a run, and those that the RFCs publish.

Pure, but for the chance that a new key needs. A `FakeKey` stands where a file's key stands,
behind the same protocol; `zone` is the DNS that goes with some keys.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from relay.core.dkim.algorithm import Algorithm, PublicKey, SigningKey, sign_digest
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import record_name, record_text

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

# RFC 6376 Appendix C: the key that signed the message of Appendix A (PKCS#1).
_RFC6376_RSA = """
MIICXwIBAAKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631u
BItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ
2QIDAQABAoGBALmn+XwWk7akvkUlqb+dOxyLB9i5VBVfje89Teolwc9YJT36BGN/l4e0l6QX/1//6DWUTB3KI6wFcm7T
WJcxbS0tcKZX7FsJvUz1SbQnkS54DJck1EZO/BLa5ckJgAYIaqlA9C0ZwM6i58lLlPadX/rtHb7pWzeNcZHjKrjM461Z
AkEA+itss2nRlmyOn1/5yDyCluST4dQfO8kAB3toSEVc7DeFeDhnC1mZdjASZNvdHS4gbLIA1hUGEF9m3hKsGUMMPwJB
APW5v/U+AWTADFCS22t72NUurgzeAbzb1HWMqO4y4+9Hpjk5wvL/eVYizyuce3/fGke7aRYw/ADKygMJdW8H/OcCQQDz
5OQb4j2QDpPZc0Nc4QlbvMsj7p7otWRO5xRa6SzXqqV3+F0VpqvDmshEBkoCydaYwc2o6WQ5EBmExeV8124XAkEAqZzG
sIxVP+sEVRWZmW6KNFSdVUpk3qzK0Tz/WjQMe5z0UunY9Ax9/4PVhp/j61bfeAYXunajbBSOLlx4D+TunwJBANkPI5S9
iylsbLs6NkaMHV6k5ioHBBmgCak95JGXGMot/L2x0IYyMLAz6oLWh2hm7zwtb0CgOrPo1ke44hFYnfc=
"""
# RFC 8463 Appendix A.1: the keys that signed the message of Appendix A.3 (PKCS#1; RFC 8032 seed).
_RFC8463_RSA = """
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3Fu
tACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w
3QIDAQABAoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm6SVbaLAE4SG5mLMueHlh
4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZezHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoEC
QQDzJB/0U58W7RZy6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8GcuSe0ga2xAkEA
8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxyWvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5
ICsYMu6hMxO73gnfNayNgPxdWFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1alicI
eVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcsto7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzk
kd8HjYs0SwM0fPjK16//5qDZ2UiDGnOeuEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
"""
_RFC8463_ED25519 = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="


@dataclass(frozen=True)
class FakeKey:
    """A key in memory, behind the protocol of every key.

    Attributes:
        private: what signs.
        domain, selector: d= and s=.
        fault: raised instead of signing, when there is one.
        digests: every digest that was signed, in order.
    """

    private: PrivateKey
    domain: str = "example.com"
    selector: str = "s1"
    fault: Exception | None = None
    digests: list[bytes] = field(default_factory=list)

    @property
    def public(self) -> PublicKey:
        """The public half, with its algorithm."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return PublicKey(Algorithm.RSA_SHA256, self.private.public_key())
        return PublicKey(Algorithm.ED25519_SHA256, self.private.public_key())

    async def sign(self, digest: bytes) -> bytes:
        """The signature, or the fault of this key."""
        return self.sign_now(digest)

    def sign_now(self, digest: bytes) -> bytes:
        """The same without waiting, for tests of the core."""
        if self.fault is not None:
            raise self.fault
        self.digests.append(digest)
        return sign_digest(self.private, digest)


@cache
def rsa_private(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    """An RSA key, the same for the whole run; another for each number."""
    del number  # part of the key of the cache only
    return rsa.generate_private_key(65537, bits)


@cache
def ed25519_private(number: int = 0) -> ed25519.Ed25519PrivateKey:
    """An Ed25519 key, the same for the whole run; another for each number."""
    del number
    return ed25519.Ed25519PrivateKey.generate()


def rsa_key(domain: str = "example.com", selector: str = "rsa1") -> FakeKey:
    """The RSA key of 2048 bits as the key of a domain."""
    return FakeKey(rsa_private(), domain, selector)


def ed25519_key(domain: str = "example.com", selector: str = "ed1") -> FakeKey:
    """The Ed25519 key as the key of a domain."""
    return FakeKey(ed25519_private(), domain, selector)


@cache
def rfc6376_private() -> rsa.RSAPrivateKey:
    """RFC 6376 Appendix C, 1024 bits."""
    return _read_rsa(_RFC6376_RSA)


@cache
def rfc8463_rsa_private() -> rsa.RSAPrivateKey:
    """RFC 8463 Appendix A.1, 1024 bits."""
    return _read_rsa(_RFC8463_RSA)


@cache
def rfc8463_ed25519_private() -> ed25519.Ed25519PrivateKey:
    """RFC 8463 Appendix A.1; the seed is that of RFC 8032 §7.1, test 1."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(_RFC8463_ED25519))


def _read_rsa(text: str) -> rsa.RSAPrivateKey:
    key = load_der_private_key(base64.b64decode("".join(text.split())), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def zone(*keys: SigningKey) -> dict[str, str]:
    """The records that these keys ask for, by owner name."""
    return {record_name(key.selector, key.domain): record_text(key.public) for key in keys}


def answers(records: Mapping[str, str | list[str]]) -> dict[str, TxtAnswer]:
    """What a resolver finds in these records; a list has several records at one name."""
    return {
        name: TxtAnswer(
            TxtOutcome.FOUND,
            tuple(text.encode() for text in ([texts] if isinstance(texts, str) else texts)),
        )
        for name, texts in records.items()
    }
