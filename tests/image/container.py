"""Containers as Kubernetes starts them where pods are restricted, by runc; and a mounted Secret.

IO; needs root. The root file system is read-only and nothing else is writable, there is no
capability and no way to gain one. The command, the environment and the working folder are those
of the image. Processes are in namespaces of their own, the network is the machine's: loopback is
what it is in a pod.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.fakes.processes import Program
from tests.fakes.programs import require_program
from tests.image.building import Image
from tests.interop.clients_run import Finished, run

CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
ANY_USER = (12345, 12345)
FS_GROUP = 2000  # fsGroup of the pod: every container is in it, and mounted files belong to it
TMP = {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]}  # noqa: S108 - inside


class Container:
    """A container of the image; a context manager that starts and stops it."""

    def __init__(
        self,
        image: Image,
        folder: Path,
        *,
        settings: Mapping[str, str],
        mounts: Mapping[str, Path] | None = None,
        user: tuple[int, int] = ANY_USER,
        command: tuple[str, ...] = (),
        has_tmp: bool = False,
    ) -> None:
        """Describe it; nothing is started yet.

        Args:
            image: what it is made of.
            folder: an empty folder, for its log and runc's files.
            settings: its environment, besides that of the image.
            mounts: files and folders of this machine by where they are in there, read-only.
            user: numbers of user and group; Kubernetes takes any user, with group 0 or another.
            command: in place of the image's own.
            has_tmp: whether /tmp is there to be written, in memory (emptyDir).
        """
        self._runc = [require_program("runc", "runc"), "--root", str(folder / "runc")]
        self._name = f"relay-{os.getpid()}-{folder.name}"
        argv = command or (*image.config["Entrypoint"], *image.config["Cmd"])
        described = _describe(image, argv, settings=settings, mounts=mounts or {}, user=user)
        if has_tmp:
            described["mounts"].append(TMP)
        (folder / "config.json").write_text(json.dumps(described))
        started = [*self._runc, "run", "--bundle", str(folder), self._name]
        self._program = Program(started, folder=folder, name="relay")

    def __enter__(self) -> Self:
        """Start it, and go on at once."""
        self._program.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it and see that nothing of it is left."""
        self._program.stop()
        subprocess.run(
            [*self._runc, "delete", "--force", self._name], capture_output=True, check=False
        )

    @property
    def program(self) -> Program:
        """runc, which waits for the container, passes signals on, and ends with its status."""
        return self._program

    @property
    def process_id(self) -> int:
        """Of the relay, as this machine numbers it."""
        told = subprocess.run(
            [*self._runc, "state", self._name], capture_output=True, text=True, check=True
        )
        number: int = json.loads(told.stdout)["pid"]
        return number

    def exec(self, *argv: str) -> Finished:
        """Run a command in there, as a health check is run."""
        return run([*self._runc, "exec", self._name, *argv])

    def log(self) -> list[Mapping[str, Any]]:
        """Every complete line of its log."""
        text = self._program.stderr_path.read_text("utf-8")
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


class MountedSecret:
    """A folder of files as Kubernetes mounts a Secret: `..data` leads to the present version.

    Attributes:
        folder: what is mounted.
    """

    def __init__(self, folder: Path) -> None:
        """An empty one in a folder that does not exist yet."""
        folder.mkdir()
        self.folder = folder
        self._version = 0

    def put(self, files: Mapping[str, bytes]) -> None:
        """Have these files and no others, from one moment to the next."""
        self._version += 1
        version = f"..2026_11_21_12_00_00.{self._version:010}"
        for name, octets in files.items():
            path = self.folder / version / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(octets)
            os.chown(path, 0, FS_GROUP)
            path.chmod(0o440)
        new = self.folder / "..data_tmp"
        new.symlink_to(version)
        new.rename(self.folder / "..data")
        wanted = {name.partition("/")[0] for name in files}
        for name in wanted:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        for entry in self.folder.iterdir():
            if not entry.name.startswith("..") and entry.name not in wanted:
                entry.unlink()


def _describe(
    image: Image,
    argv: Sequence[str],
    *,
    settings: Mapping[str, str],
    mounts: Mapping[str, Path],
    user: tuple[int, int],
) -> dict[str, Any]:
    """The container in the words of the OCI runtime specification."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "args": argv,
            "cwd": image.config["WorkingDir"],
            "env": [*image.config["Env"], *(f"{name}={text}" for name, text in settings.items())],
            "user": {"uid": user[0], "gid": user[1], "additionalGids": [FS_GROUP]},
            "capabilities": {name: [] for name in CAPABILITY_SETS},
            "noNewPrivileges": True,
        },
        "root": {"path": str(image.root), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            *(
                {
                    "destination": where,
                    "type": "bind",
                    "source": str(path),
                    "options": ["bind", "ro"],
                }
                for where, path in mounts.items()
            ),
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
    }
