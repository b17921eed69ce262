"""Standard input for commands that are run inside of a test."""

from __future__ import annotations

import io


class Stdin(io.BytesIO):
    """Octets on standard input, which has a name."""

    name = "<stdin>"
