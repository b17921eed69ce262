"""What the page asks for besides itself, and what a browser may do with all of it.

IO: the files lie beside this module and are read once, when it is loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Final

_TYPES: Final = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon-good.svg": "image/svg+xml",
    "icon-warn.svg": "image/svg+xml",
    "icon-bad.svg": "image/svg+xml",
}

# By path: content type and octets.
ASSETS: Final[Mapping[str, tuple[str, bytes]]] = MappingProxyType(
    {
        f"/assets/{name}": (content_type, (files(__package__) / name).read_bytes())
        for name, content_type in _TYPES.items()
    }
)

# Named in the addresses of the files, so that a browser may keep them for as long as it likes.
EDITION: Final = hashlib.sha256(b"".join(octets for _, octets in ASSETS.values())).hexdigest()[:12]

# What came in from outside is escaped; should that ever fail, this lets none of it run or load.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
