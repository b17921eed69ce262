"""Settings of a deployment as the relay itself sees them: `dkim-relay config check`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.interop.clients_run import Finished, run

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "config" / "deploy"


def check_settings(
    folder: Path, variables: Mapping[str, str], *, file: str = "", secrets: str = "/run/secrets"
) -> Finished:
    """Run the check where secrets are mounted that hold something, and a keys folder lies.

    Args:
        folder: an empty folder, which stands in for the container's root.
        variables: the relay's environment.
        file: the text of its relay.toml; without it there is none.
        secrets: the folder below which files are secrets; they are made in `folder`.
    """
    texts = [file, *variables.values()]
    for path in {word.strip('",') for text in texts for word in text.split() if secrets in word}:
        secret = folder / path.lstrip("/")
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text("a secret only for tests\n")
    moved = {name: text.replace(secrets, f"{folder}{secrets}") for name, text in variables.items()}
    (folder / "keys").mkdir()
    moved["DKIM_RELAY_KEYS_DIR"] = str(folder / "keys")
    moved.pop("DKIM_RELAY_CONFIG", None)
    argv = [sys.executable, "-m", "relay", "config", "check"]
    if file:
        (folder / "relay.toml").write_text(file.replace(secrets, f"{folder}{secrets}"))
        argv += ["-c", str(folder / "relay.toml")]
    kept = {name: text for name, text in os.environ.items() if not name.startswith("DKIM_RELAY")}
    return run(argv, folder=folder, environment={**kept, "PYTHONPATH": str(ROOT), **moved})
