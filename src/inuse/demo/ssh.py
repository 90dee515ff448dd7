"""SSH forwards, staged with a real sshd and real clients on loopback, with keys and configuration of their own."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from inuse.demo import linux
from inuse.demo.stage import Actor, ActorError, NotHereError, Stage, Staged, find_program, reason, until
from inuse.language import _

SERVER_PORT: Final = 2222
#: Where sshd wants an empty directory of its own when it runs as root: sshd(8).
RUN_DIRECTORY: Final = Path("/run/sshd")


class Lab:
    """An sshd that listens on loopback, and what its clients need to log in.

    ``directory`` has the keys, ``ssh_config`` with the host ``bastion``, and ``sshd_config``.
    """

    def __init__(self, stage: Stage, *, server: str = "", client: str = "", user: str | None = None) -> None:
        """Start sshd; ``server`` and ``client`` are further lines of the two configurations. Raises NotHereError."""
        stage.needs_namespace()
        self._stage = stage
        self.ssh = find_program("ssh")
        self.user = user or pwd.getpwuid(os.geteuid()).pw_name
        self.directory = Path(tempfile.mkdtemp(prefix="inuse-ssh-"))
        stage.afterwards(lambda: shutil.rmtree(self.directory, ignore_errors=True))
        self.directory.chmod(0o755)
        for key in ("host", "user"):
            command = (find_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(self.directory / key))
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.config = self.directory / "ssh_config"
        self.write_config(client)
        self.server = self._start(server)

    def write_config(self, more: str) -> None:
        """Write the clients' configuration: ``more`` belongs to the host bastion."""
        self.config.write_text(f"""\
Host bastion
    HostName 127.0.0.1
    Port {SERVER_PORT}
    User {self.user}
    IdentityFile {self.directory}/user
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    ControlPath {self.directory}/control-%r@%h:%p
    LogLevel ERROR
{more}
""")

    def _start(self, more: str) -> Actor:
        # A home of its own: a shell that reads the user's startup files runs programs of theirs, and is killed amidst.
        path = self.directory / "sshd_config"
        path.write_text(f"""\
Port {SERVER_PORT}
ListenAddress 127.0.0.1
HostKey {self.directory}/host
PidFile none
AuthorizedKeysFile {self.directory}/user.pub
PermitRootLogin yes
UsePAM no
StrictModes no
PermitUserRC no
SetEnv HOME={self.directory}
{more}
""")
        path.chmod(0o644)
        if os.geteuid() == 0 and not RUN_DIRECTORY.is_dir():
            _make_run_directory()
        server = self._stage.program(find_program("sshd"), "-D", "-e", "-f", str(path))
        until(lambda: listens(SERVER_PORT) or server.process.poll() is not None, "sshd")
        if server.process.poll() is not None:
            raise NotHereError(_("sshd does not run here"))
        return server

    def start(self, *words: str, then: int | None = None) -> Actor:
        """Start a client with these words after ``ssh -F …``; wait until something listens on the port ``then``."""
        client = self._stage.program(self.ssh, "-F", str(self.config), *words)
        if then is not None:
            until(lambda: listens(then) or client.process.poll() not in {None, 0}, _("a listener on {port}", port=then))
            if not listens(then):
                raise NotHereError(_("ssh can't log in to an sshd of ours here"))
            self.adopt_sessions()
        return client

    def run(self, *words: str, config: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a client to its end."""
        command = (self.ssh, "-F", config or str(self.config), *words)
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False, cwd="/"
        )
        self.adopt_sessions()
        return done

    def sessions(self) -> list[int]:
        """Return the pids below the sshd that accepts connections."""
        found: list[int] = []
        left = [self.server.pid]
        while left:
            below = list(_children(left.pop()))
            found += below
            left += below
        return found

    def adopt_sessions(self) -> None:
        """Have the sessions ended with the staging, whatever becomes of their clients."""
        self._stage.adopt(*self.sessions())


def _children(pid: int) -> Iterator[int]:
    try:
        yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    except OSError:
        return


def _make_run_directory() -> None:
    """Have sshd's directory in a mount namespace of our own: the machine's /run stays as it is. Raises NotHereError."""
    try:
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount(None, "/", None, 0x4000 | 1 << 18)
        linux.mount("tmpfs", str(RUN_DIRECTORY.parent), "tmpfs")
        RUN_DIRECTORY.mkdir(mode=0o755)
    except OSError as error:
        raise NotHereError(
            _("sshd wants {folder}, which can't be made here ({why})", folder=RUN_DIRECTORY, why=reason(error))
        ) from error


def listeners(port: int) -> set[int]:
    """Return the inodes of the sockets that listen on a TCP port."""
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/thread-self/net/{name}").read_text().splitlines()[1:]
        except OSError:
            continue
        rows = (line.split() for line in lines)
        found |= {int(row[9]) for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}
    return found


def listens(port: int) -> bool:
    """Whether something listens on a TCP port."""
    return bool(listeners(port))


def owners(port: int, among: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return the pids of those that listen on a TCP port."""
    links = {f"socket:[{inode}]" for inode in listeners(port)}
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()] if among is None else among
    return tuple(sorted(pid for pid in pids if links & set(_links(pid))))


def _links(pid: int) -> Iterator[str]:
    try:
        paths = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for path in paths:
        try:
            yield str(path.readlink())
        except OSError:
            continue


def ssh_forward(stage: Stage) -> Staged:
    """`ssh -N -L 8080:db.example:5432 bastion` runs: what connects to port 8080 here comes out at db.example."""
    lab = Lab(stage)
    client = lab.start("-N", "-L", f"{stage.port}:db.example:5432", "bastion", then=stage.port)
    return Staged(target=str(stage.port), pids=(client.pid,))


def ssh_forward_dynamic(stage: Stage) -> Staged:
    """`ssh -N -D 8080 bastion` runs: a SOCKS proxy on port 8080."""
    lab = Lab(stage)
    client = lab.start("-N", "-D", str(stage.port), "bastion", then=stage.port)
    return Staged(target=str(stage.port), pids=(client.pid,))


def ssh_forward_remote(stage: Stage) -> Staged:
    """A client with `ssh -N -R 8080:localhost:3000` freezes: its session on the server keeps port 8080."""
    lab = Lab(stage)
    client = lab.start("-N", "-R", f"{stage.port}:localhost:3000", "bastion", then=stage.port)
    os.kill(client.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, client.pid, os.WSTOPPED | os.WNOWAIT)
    return Staged(target=str(stage.port), pids=owners(stage.port, lab.sessions()))


def ssh_forward_master(stage: Stage) -> Staged:
    """`ssh -M -f -N -L 8080:db.example:5432 bastion` shares its connection with another ssh, which has a session."""
    lab = Lab(stage)
    done = lab.run("-M", "-f", "-N", "-L", f"{stage.port}:db.example:5432", "bastion")
    pids = owners(stage.port)
    stage.adopt(*pids)
    if done.returncode or not pids:
        raise NotHereError(_("ssh can't log in to an sshd of ours here"))
    session = lab.start("bastion", "echo; cat")
    if session.process.stdout is None or not session.process.stdout.readline():
        raise ActorError(_("no session shares the connection"))
    lab.adopt_sessions()
    return Staged(target=str(stage.port), pids=pids)


def ssh_forward_persist(stage: Stage) -> Staged:
    """`ssh -L 8080:db.example:5432 bastion true` has ended; the connection it shared stays for ControlPersist."""
    lab = Lab(stage)
    sharing = ("-o", "ControlMaster=auto", "-o", "ControlPersist=60")
    done = lab.run(*sharing, "-L", f"{stage.port}:db.example:5432", "bastion", "true")
    until(lambda: listens(stage.port) or done.returncode != 0, _("the master's listener"))
    pids = owners(stage.port)
    stage.adopt(*pids)
    if done.returncode or not pids:
        raise NotHereError(_("ssh can't log in to an sshd of ours here"))
    return Staged(target=str(stage.port), pids=pids)


def ssh_forward_x11(stage: Stage) -> Staged:
    """A session with X11 forwarding runs: sshd listens on port 6010 for its windows."""
    find_program("xauth")
    lab = Lab(stage, server="X11Forwarding yes")
    with socket.socket() as display:  # ssh only asks for X11 forwarding where it has a display of its own
        display.bind(("127.0.0.1", 0))
        words = ("-X", "-o", "ForwardX11Trusted=yes", "bastion", "sleep 60")
        os.environ["DISPLAY"] = "127.0.0.1:0"
        lab.start(*words, then=6010)
    pids = owners(6010, lab.sessions())
    if not pids:
        raise ActorError(_("sshd does not listen for X11"))
    return Staged(target="6010", pids=pids)
