"""UNIX sockets and sockets that are passed in: what is there, who may connect, what stays."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from relay.core.errors import ConfigError
from relay.core.policy import ClientRule
from relay.listener.bind import Binding, bind
from tests.fakes.edge import MESSAGE, Edge
from tests.fakes.smtp_client import SocketClient

GREETING = b"220 relay.example ESMTP dkim-relay\r\n"
COMPLETE = b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + MESSAGE + b".\r\n"


@pytest.fixture
def path() -> Iterator[Path]:
    """Of a socket to come; short, as the system wants it."""
    with TemporaryDirectory(prefix="relay") as folder:
        yield Path(folder) / "s"


def is_there(path: Path) -> bool:
    """Whether anything is at a path."""
    return os.path.lexists(path)


def mine(address: str) -> ClientRule:
    """A rule for whoever comes to a listener as this user."""
    return ClientRule("mine", listeners=frozenset({address}), uids=frozenset({os.getuid()}))


# ---- a UNIX socket -----------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
async def test_a_message_through_a_unix_socket(path: Path) -> None:
    """A client of a UNIX socket has no address; its user decides, and the path goes at the end."""
    edge = Edge(rules=(mine(""),), received="full")
    async with edge.listening(f"unix:{path}") as listeners:
        assert listeners.names == [f"unix:{path}"]
        async with SocketClient(str(path)) as client:
            await client.send(COMPLETE + b"QUIT\r\n")
            assert (await client.rest()).endswith(b"queued as 4F\r\n221 2.0.0 Goodbye\r\n")
    assert not is_there(path)
    assert edge.ending.client == ""
    assert edge.ending.client_rule == "mine"
    assert not edge.faults


@pytest.mark.usefixtures("quiet")
async def test_another_user(path: Path) -> None:
    """A rule for others does not let this one in."""
    rule = ClientRule("others", uids=frozenset({os.getuid() + 1}))
    edge = Edge(rules=(rule,))
    async with edge.listening(f"unix:{path}"), SocketClient(str(path)) as client:
        await client.reply()
        said = await client.say(b"HELO c", b"MAIL FROM:<>")
        assert said[1].startswith(b"550 5.7.1 ")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.usefixtures("quiet")
async def test_the_user_of_another_process(path: Path) -> None:
    """Who connects is who the kernel says, not who the relay runs as."""
    nobody = pwd.getpwnam("nobody").pw_uid
    edge = Edge(rules=(ClientRule("nobody", uids=frozenset({nobody})),))
    listeners = edge.listeners()
    path.parent.chmod(0o755)
    await listeners.open([Binding(address=f"unix:{path}", mode=0o666)])
    program = (
        "import os, socket, sys; os.setuid(int(sys.argv[1])); s = socket.socket(socket.AF_UNIX);"
        "s.connect(sys.argv[2]); s.sendall(b'HELO c\\r\\nMAIL FROM:<>\\r\\nQUIT\\r\\n');"
        "f = s.makefile('rb'); sys.stdout.buffer.write(f.read())"
    )
    try:
        child = await asyncio.create_subprocess_exec(
            *("/usr/bin/env", "python3", "-I", "-S", "-c", program, str(nobody), str(path)),
            stdout=asyncio.subprocess.PIPE,
        )
        heard, _ = await child.communicate()
    finally:
        await listeners.close(5.0)
    assert b"250 2.1.0 OK\r\n" in heard


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o777])
def test_the_mode_of_a_unix_socket(path: Path, mode: int) -> None:
    """It is that of the settings, whatever the umask, which is left as it was."""
    mask = os.umask(0o027)
    try:
        bound = bind(Binding(address=f"unix:{path}", mode=mode))
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(mask)
    with bound:
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_nobody_can_connect_before_mode_and_owner_are_set(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the path has the wrong permissions it has none, and nobody listens yet."""
    seen: list[str] = []

    def look(name: str) -> None:
        seen.append(f"{name} {stat.S_IMODE(path.stat().st_mode):o}")
        with socket.socket(socket.AF_UNIX) as early, pytest.raises(ConnectionRefusedError):
            early.connect(str(path))

    chown, chmod = os.chown, Path.chmod

    def spied_chown(where: Path, uid: int, gid: int) -> None:
        look("chown")
        chown(where, uid, gid)

    def spied_chmod(where: Path, mode: int) -> None:
        look("chmod")
        chmod(where, mode)

    monkeypatch.setattr(os, "chown", spied_chown)
    monkeypatch.setattr(Path, "chmod", spied_chmod)
    owner = pwd.getpwuid(os.getuid()).pw_name
    with bind(Binding(address=f"unix:{path}", mode=0o660, owner=owner)):
        assert seen == ["chown 0", "chmod 0"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(
    ("owner", "has_user", "has_group"),
    [("nobody", True, False), ("nobody:{}", True, True), (":{}", False, True), ("", False, False)],
)
def test_the_owner_of_a_unix_socket(
    path: Path, owner: str, has_user: bool, has_group: bool
) -> None:
    """User, group, both or neither are given away."""
    group = grp.getgrgid(pwd.getpwnam("nobody").pw_gid)
    nobody = pwd.getpwnam("nobody").pw_uid
    with bind(Binding(address=f"unix:{path}", owner=owner.format(group.gr_name))):
        found = path.stat()
        assert found.st_uid == (nobody if has_user else os.getuid())
        assert found.st_gid == (group.gr_gid if has_group else os.getgid())


@pytest.mark.parametrize("owner", ["no-such-user", ":no-such-group", "root:no-such-group"])
@pytest.mark.usefixtures("quiet")
async def test_an_owner_that_is_nobody(path: Path, owner: str) -> None:
    """The relay does not start, and leaves no socket that would be open to the wrong ones."""
    listeners = Edge().listeners()
    with pytest.raises(ConfigError, match=f"listener unix:{path}: cannot listen: .*no-such"):
        await listeners.open([Binding(address=f"unix:{path}", owner=owner)])
    assert not is_there(path)


@pytest.mark.usefixtures("quiet")
async def test_a_stale_socket_is_removed(path: Path) -> None:
    """A relay that was killed left it; the next one takes its place."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert is_there(path)
    edge = Edge(rules=(mine(""),))
    async with edge.listening(f"unix:{path}"), SocketClient(str(path)) as client:
        assert await client.reply() == GREETING


@pytest.mark.usefixtures("quiet")
async def test_a_live_socket_is_refused(path: Path) -> None:
    """Somebody listens there: it is left alone."""
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen(1)
        listeners = Edge().listeners()
        with pytest.raises(ConfigError, match=f"cannot listen: somebody listens on {path}"):
            await listeners.open([Binding(address=f"unix:{path}")])
        assert is_there(path)
        alive.accept()[0].close()


def test_a_live_socket_whose_queue_is_full(path: Path) -> None:
    """It is refused at once, and not waited for."""
    with socket.socket(socket.AF_UNIX) as alive, ExitStack() as stack:
        alive.bind(str(path))
        alive.listen(0)
        for _ in range(20):
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            try:
                waiting.connect(str(path))
            except BlockingIOError:
                break
        else:
            pytest.fail("the queue is endless")
        with pytest.raises(FileExistsError):
            bind(Binding(address=f"unix:{path}"))


@pytest.mark.parametrize("kind", ["file", "folder", "link to a file", "pipe"])
def test_a_path_that_is_no_socket(path: Path, kind: str) -> None:
    """It is refused and stays what it is."""
    target = path.with_name("target")
    match kind:
        case "file":
            path.write_text("precious")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            target.write_text("precious")
            path.symlink_to(target)
    before = path.lstat()
    with pytest.raises(FileExistsError, match="exists and is no socket"):
        bind(Binding(address=f"unix:{path}"))
    assert path.lstat() == before
    assert not is_there(target) or target.read_text() == "precious"


@pytest.mark.usefixtures("quiet")
async def test_a_folder_that_is_not_there(path: Path) -> None:
    """The fault says so."""
    address = f"unix:{path.parent / 'none' / 's'}"
    with pytest.raises(ConfigError, match=f"{address}: cannot listen: No such file or directory"):
        await Edge().listeners().open([Binding(address=address)])


@pytest.mark.usefixtures("quiet")
async def test_when_one_cannot_be_had_nothing_stays(path: Path) -> None:
    """The sockets before it are closed, and their paths go."""
    listeners = Edge().listeners()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bindings = [
            Binding(address="127.0.0.1:0"),
            Binding(address=f"unix:{path}"),
            Binding(address=f"127.0.0.1:{port}"),
        ]
        with pytest.raises(ConfigError, match="Address already in use"):
            await listeners.open(bindings)
    assert not is_there(path)


@pytest.mark.usefixtures("quiet")
async def test_a_unix_socket_has_no_address_to_count(path: Path) -> None:
    """All of this machine's clients are not one client; only the limit for all holds."""
    edge = Edge(rules=(mine(""),))
    async with (
        edge.listening(f"unix:{path}", max_connections=3, max_connections_per_address=1),
        SocketClient(str(path)) as first,
        SocketClient(str(path)) as second,
        SocketClient(str(path)) as third,
    ):
        for client in (first, second, third):
            assert await client.reply() == GREETING
        async with SocketClient(str(path)) as fourth:
            assert await fourth.reply() == b"421 4.3.2 Too many connections\r\n"


@pytest.mark.usefixtures("quiet")
async def test_the_service_ends_with_clients_on_a_unix_socket(path: Path) -> None:
    """They are told so like any others."""
    edge = Edge(rules=(mine(""),))
    async with edge.listening(f"unix:{path}") as listeners, SocketClient(str(path)) as client:
        await client.reply()
        assert await listeners.close(5.0) == 0
        assert await client.rest() == b"421 4.3.2 The service is shutting down\r\n"
        assert not is_there(path)


# ---- passed in ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
async def test_a_tcp_socket_that_is_passed_in() -> None:
    """Socket activation: it is bound already, perhaps to a port that is not ours to bind."""
    edge = Edge()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        fd = bound.detach()
    async with edge.listening(f"fd:{fd}") as listeners:
        assert listeners.addresses == (("127.0.0.1", port),)
        async with SocketClient("127.0.0.1", port) as client:
            await client.send(COMPLETE + b"QUIT\r\n")
            assert (await client.rest()).endswith(b"queued as 4F\r\n221 2.0.0 Goodbye\r\n")
    assert edge.ending.client == "127.0.0.1"


@pytest.mark.usefixtures("quiet")
async def test_a_unix_socket_that_is_passed_in(path: Path) -> None:
    """It listens already, users count there too, and its path stays: it is not ours."""
    edge = Edge(rules=(mine(""),))
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        bound.listen()
        fd = bound.detach()
    async with edge.listening(f"fd:{fd}"), SocketClient(str(path)) as client:
        await client.send(COMPLETE + b"QUIT\r\n")
        assert (await client.rest()).endswith(b"queued as 4F\r\n221 2.0.0 Goodbye\r\n")


@pytest.mark.parametrize("kind", ["closed", "file", "datagrams", "connected"])
@pytest.mark.usefixtures("quiet")
async def test_what_is_passed_in_is_nothing_to_listen_on(path: Path, kind: str) -> None:
    """The fault names the listener, and nothing breaks."""
    with ExitStack() as stack:
        match kind:
            case "closed":
                fd = os.open(os.devnull, os.O_RDONLY)
                os.close(fd)
            case "file":
                fd = os.open(path, os.O_CREAT | os.O_RDWR)
                stack.callback(os.close, fd)
            case "datagrams":
                fd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()
            case _:
                one, other = socket.socketpair()
                stack.enter_context(other)
                fd = one.detach()
        with pytest.raises(ConfigError, match=f"listener fd:{fd}: cannot listen: "):
            await Edge().listeners().open([Binding(address=f"fd:{fd}")])
