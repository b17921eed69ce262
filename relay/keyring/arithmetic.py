"""Whether the numbers of an RSA key belong together. Pure. RFC 8017 §3.2.

OpenSSL's own check of a private key tests both primes and takes 46 ms for 2048 bits, a quarter
of an hour for 20,000 keys. What a damaged file breaks is found by multiplying, in 0.03 ms; that
the key signs so that others verify it is the proof's part. A key whose primes are none would
pass here and fail there.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from relay.keyring.pem import PrivateKey


def is_consistent(key: PrivateKey) -> bool:
    """Whether modulus, exponents and coefficient follow from the primes (RFC 8017 §3.2)."""
    if not isinstance(key, rsa.RSAPrivateKey):
        return True
    numbers = key.private_numbers()
    p, q, d = numbers.p, numbers.q, numbers.d
    public = numbers.public_numbers
    return (
        p > 1
        and q > 1
        and p * q == public.n
        and public.n % 2 == 1
        and numbers.dmp1 == d % (p - 1)
        and numbers.dmq1 == d % (q - 1)
        and d * public.e % (p - 1) == 1
        and d * public.e % (q - 1) == 1
        and numbers.iqmp * q % p == 1
    )


def twin(key: PrivateKey) -> PrivateKey:
    """The same key once more, to be used and dropped.

    A key that has signed keeps 6 KiB of its arithmetic; of tens of thousands most never do.
    """
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    again = load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(again, type(key)):
        raise TypeError(f"a {type(again).__name__} from a {type(key).__name__}")
    return again
