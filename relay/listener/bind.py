"""Sockets to listen on: TCP, UNIX, or passed in by a supervisor. IO."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from relay.core.errors import ConfigError, Fault
from relay.listener.endpoint import PLAIN, Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One socket to listen on.

    Attributes:
        address: "127.0.0.1:2525", "[::1]:2525", "unix:/run/relay.sock" or "fd:3".
        endpoint: what its sessions have in common.
        mode: permissions of a UNIX socket.
        owner: "user", "user:group" or ":group" of a UNIX socket; empty for ours.
    """

    address: str
    endpoint: Endpoint = PLAIN
    mode: int = 0o660
    owner: str = ""

    @property
    def path(self) -> Path | None:
        """Of a UNIX socket that is bound here."""
        kind, _, rest = self.address.partition(":")
        return Path(rest) if kind == "unix" else None


def bind_all(bindings: Iterable[Binding]) -> list[socket.socket]:
    """Every socket, or none.

    Raises:
        ConfigError: some cannot be had; each with its reason.
    """
    bound: list[socket.socket] = []
    made: list[Path] = []
    faults: list[Fault] = []
    for binding in bindings:
        try:
            bound.append(bind(binding))
            made += [binding.path] if binding.path is not None else []
        except (OSError, LookupError, ValueError) as exc:
            fix = "stop what listens there, or choose another address"
            what = f"cannot listen: {getattr(exc, 'strerror', None) or exc}"
            faults.append(Fault(f"listener {binding.address}", what, fix))
    if faults:
        let_go(bound, made)
        raise ConfigError(tuple(faults))
    return bound


def let_go(bound: Iterable[socket.socket], paths: Iterable[Path]) -> None:
    """Close sockets, and remove the paths of those that had one."""
    for one in bound:
        one.close()
    for path in paths:
        path.unlink(missing_ok=True)


def bind(binding: Binding) -> socket.socket:
    """A bound socket; one of ours does not listen yet.

    Raises:
        OSError: the system does not give it.
        LookupError: there is no such user or group.
        ValueError: not an address.
    """
    kind, _, rest = binding.address.partition(":")
    if kind == "unix":
        return _bind_unix(Path(rest), binding.mode, binding.owner)
    if kind == "fd":
        return _take(int(rest))
    host, _, port = binding.address.rpartition(":")
    return _bind_tcp(host.strip("[]"), int(port))


def _take(fd: int) -> socket.socket:
    """A socket of a supervisor, which may listen already."""
    taken = socket.socket(fileno=fd)
    try:
        taken.listen()  # says at once what is nothing to listen on; uvloop would not
    except OSError:
        taken.close()
        raise
    return taken


def _bind_tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _bind_unix(path: Path, mode: int, owner: str) -> socket.socket:
    """A socket that has its mode and owner before anybody can connect to it."""
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o777)
    try:
        bound.bind(str(path))
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(mask)
    try:
        if owner:
            _give_to(path, owner)
        path.chmod(mode)
    except (OSError, LookupError):
        bound.close()
        path.unlink()
        raise
    return bound


def _remove_stale(path: Path) -> None:
    """A socket that nobody listens on is left by a process that was killed."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, f"{path} exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a queue that is full would keep it waiting
        try:
            probe.connect(str(path))
        except BlockingIOError:
            pass
        except ConnectionRefusedError:
            path.unlink()
            return
    raise FileExistsError(errno.EADDRINUSE, f"somebody listens on {path}")


def _give_to(path: Path, owner: str) -> None:
    user, _, group = owner.partition(":")
    uid = pwd.getpwnam(user).pw_uid if user else -1
    gid = grp.getgrnam(group).gr_gid if group else -1
    os.chown(path, uid, gid)
