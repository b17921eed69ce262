"""Haraka as a proxy that signs: its plugins dkim and queue/smtp_forward.

IO. Like ours it has no queue in between: the client waits for the smarthost's answer.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.bench.contender import Contender, Ground, Part, first_line
from tests.bench.peers.filling import HERE, copy_key, fill
from tests.fakes.processes import Program
from tests.fakes.programs import find_program


class Haraka(Contender):
    """A process for each core."""

    name = "Haraka + dkim"

    def __init__(self, ground: Ground, installed: Path) -> None:
        """Describe it; `installed` has node_modules in it."""
        super().__init__(ground)
        self._modules = installed / "node_modules"

    def version(self) -> str:
        """Haraka, the plugin, and Node.js."""
        texts = [
            f"{name} {json.loads((self._modules / name / 'package.json').read_text())['version']}"
            for name in ("Haraka", "haraka-plugin-dkim")
        ]
        return ", ".join([*texts, f"Node.js {first_line(find_program('node') or 'node', '-v')}"])

    def parts(self) -> Sequence[Part]:
        """The first process, which starts the others."""
        config = self.folder / "config"
        for path in sorted((HERE / "haraka" / "config").iterdir()):
            fill(f"haraka/config/{path.name}", config / path.name, self)
        # As `haraka -i` does when it makes such a folder.
        shutil.copy(self._modules / "Haraka" / "config" / "connection.ini", config)
        (config / "me").write_text("relay.example.com\n")
        shutil.copytree(HERE / "haraka" / "plugins", self.folder / "plugins", dirs_exist_ok=True)
        copy_key(self, config / "dkim.private.key")
        (self.folder / "queue").mkdir(exist_ok=True)
        modules = self.folder / "node_modules"
        if not modules.exists():
            modules.symlink_to(self._modules)
        node = find_program("node") or "node"
        argv = [node, str(self._modules / "Haraka" / "bin" / "haraka"), "-c", str(self.folder)]
        return [Part(Program(argv, folder=self.folder, name="haraka"), self.greets)]
