"""`python -m tests.image`: the image's figures, as JSON. Builds it, and needs root for that.

* `added_megabytes`: by how much the image is larger than its base
* `ready_seconds`: from the start of a container with one key until its SMTP port greets
* `idle_megabytes`: what the relay has in memory then (VmRSS)
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from relay.core.dkim.algorithm import Algorithm
from relay.keyring.writing import write_key_pair
from tests.fakes.processes import LOOPBACK, free_port
from tests.image.building import Image
from tests.image.container import Container, MountedSecret
from tests.image.relay import RelayContainer

MEGABYTE = 1_000_000


def figures(image: Image, folder: Path) -> dict[str, float]:
    """Start the image's relay once, with one key, and look at it."""
    key = write_key_pair(folder / "made", "example.com", "s1", Algorithm.RSA_SHA256, 2048)
    secret = MountedSecret(folder / "keys")
    secret.put({"s1.pem": key.key_path.read_bytes()})
    bundle = folder / "container"
    bundle.mkdir()
    port, admin_port = free_port(), free_port()
    settings = {
        "DKIM_RELAY_LISTEN": f"{LOOPBACK}:{port}",
        "DKIM_RELAY_ADMIN__ADDRESS": f"{LOOPBACK}:{admin_port}",
        "DKIM_RELAY_UPSTREAM__URL": f"smtp://{LOOPBACK}:{free_port()}",
        "DKIM_RELAY_DNS__GATE": "off",
    }
    mounts = {"/keys/example.com": secret.folder}
    container = Container(image, bundle, settings=settings, mounts=mounts)
    started = time.perf_counter()
    with RelayContainer(container, port, admin_port=admin_port) as relay:
        return {
            "added_megabytes": round(image.added_megabytes),
            "ready_seconds": round(time.perf_counter() - started, 2),
            "idle_megabytes": round(relay.memory_bytes / MEGABYTE, 1),
        }


if __name__ == "__main__":
    with Image() as built, tempfile.TemporaryDirectory() as name:
        json.dump(figures(built, Path(name)), sys.stdout, indent=2)
        print()
