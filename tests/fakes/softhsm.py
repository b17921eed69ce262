"""SoftHSM2, a PKCS#11 token in files: a token of our own for a test, with keys made in it. IO.

The library reads its configuration when it is first loaded into a process, so a process has one
folder of tokens; each test makes a token of its own name in it.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.fakes.programs import require_program, skip_unless_required

PIN = "5678"
_MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/local/lib/softhsm/libsofthsm2.so"),
    Path("/opt/homebrew/lib/softhsm/libsofthsm2.so"),
)
_ED25519 = "1.3.101.112"  # RFC 8410 §3


@dataclass
class Token:
    """A token of SoftHSM2.

    Attributes:
        module: the library that speaks to it.
        label: its name.
        pin_file: has its PIN.
    """

    module: Path
    label: str
    pin_file: Path
    pin: str = field(default=PIN, repr=False)

    def uri(self, name: str, **changes: str) -> str:
        """The URI of a key, with attributes changed; an empty one is left out."""
        path = {"token": self.label, "object": name}
        query = {"module-path": str(self.module), "pin-source": f"file:{self.pin_file}"}
        for key, value in changes.items():
            given = query if key in ("module_path", "pin_source") else path
            given[key.replace("_", "-")] = value
        shown = (
            (";".join(f"{k}={v}" for k, v in path.items() if v)),
            ("&".join(f"{k}={v}" for k, v in query.items() if v)),
        )
        return f"pkcs11:{shown[0]}?{shown[1]}\n"

    def make_rsa(self, name: str, bits: int = 2048) -> None:
        """Make an RSA key pair."""
        pkcs11 = _pkcs11()
        with self._open() as session:
            session.generate_keypair(pkcs11.KeyType.RSA, bits, store=True, label=name)

    def make_ed25519(self, name: str) -> None:
        """Make an Ed25519 key pair."""
        self._make_curve(name, "EC_EDWARDS", _ED25519)

    def make_p256(self, name: str) -> None:
        """Make a key pair that DKIM has no use for."""
        pkcs11 = _pkcs11()
        parameters = {pkcs11.Attribute.EC_PARAMS: _curve("secp256r1")}
        with self._open() as session:
            made = session.create_domain_parameters(pkcs11.KeyType.EC, parameters, local=True)
            made.generate_keypair(store=True, label=name)

    def remove_public(self, name: str) -> None:
        """Take the public half away."""
        pkcs11 = _pkcs11()
        with self._open() as session:
            kind = pkcs11.ObjectClass.PUBLIC_KEY
            session.get_key(object_class=kind, label=name).destroy()

    def lose_sessions(self) -> None:
        """What a token does that is taken out and put back: every session of it is gone."""
        _pkcs11().lib(str(self.module)).reinitialize()

    def _make_curve(self, name: str, kind: str, curve: str) -> None:
        pkcs11 = _pkcs11()
        parameters = {pkcs11.Attribute.EC_PARAMS: _curve(curve)}
        with self._open() as session:
            made = session.create_domain_parameters(pkcs11.KeyType[kind], parameters, local=True)
            mechanism = pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN
            made.generate_keypair(mechanism=mechanism, store=True, label=name)

    def _open(self) -> Any:
        # A login counts for the whole process, so that of the relay has to go first.
        library = _pkcs11().lib(str(self.module))
        library.reinitialize()
        return library.get_token(token_label=self.label).open(rw=True, user_pin=self.pin)


def make_token(folder: Path) -> Token:
    """A token that is new, or the end of a test that needs one.

    Args:
        folder: where its PIN file goes.

    Raises:
        pytest.skip.Exception: SoftHSM2 or python-pkcs11 is missing.
        pytest.fail.Exception: the same, and CI=true.
    """
    program = require_program("softhsm2-util", "softhsm2")
    _pkcs11()
    module = next((path for path in _MODULES if path.exists()), None)
    if module is None:
        skip_unless_required("no libsofthsm2.so; on Debian: apt-get install softhsm2")
    os.environ["SOFTHSM2_CONF"] = str(_configuration())
    label = f"test-{secrets.token_hex(4)}"
    command = [program, "--init-token", "--free", "--label", label, "--so-pin", "1234"]
    subprocess.run([*command, "--pin", PIN], check=True, capture_output=True)
    pin_file = folder / "pin"
    pin_file.write_text(f"{PIN}\n")
    pin_file.chmod(0o600)
    _pkcs11().lib(str(module)).reinitialize()  # a token that another process made
    return Token(module, label, pin_file)


@cache
def _configuration() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="softhsm-"))
    (folder / "tokens").mkdir()
    text = f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n"
    (folder / "softhsm2.conf").write_text(text)
    return folder / "softhsm2.conf"


def _pkcs11() -> Any:
    try:
        import pkcs11
    except ImportError:
        skip_unless_required("python-pkcs11 is not installed: pip install 'dkim-relay[pkcs11]'")
    return pkcs11


def _curve(name: str) -> bytes:
    from pkcs11.util.ec import encode_named_curve_parameters

    return bytes(encode_named_curve_parameters(name))
