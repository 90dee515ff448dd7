"""Stagings with real engines: a private dockerd or Podman, in mount and network namespaces of our own.

Everything that an engine writes lies below /run, which is a file system of our own meanwhile. Every process it
starts becomes our child when its parent ends (PR_SET_CHILD_SUBREAPER, prctl(2)), so that all can be ended.
"""

import contextlib
import ctypes
import io
import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from inuse.demo import linux
from inuse.demo.stage import NotHereError, Stage, Staged, find_program, reason, until
from inuse.demo.stagings import other_users
from inuse.language import _

IMAGE: Final = "tiny:1"
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CGROUPS: Final = Path("/sys/fs/cgroup")
_PR_SET_CHILD_SUBREAPER: Final = 36
_MS_REC_PRIVATE: Final = 0x4000 | 1 << 18
PATIENCE_SECONDS: Final = 30


def container(stage: Stage) -> Staged:
    """Docker runs a container with `docker run -p 8080:80`: docker-proxy has the port for it."""
    docker = Docker(stage)
    docker.run("--name", "web", "-p", f"{stage.port}:80", serve=80)
    return Staged(target=str(stage.port), pids=docker.pids("docker-proxy"))


def container_host_network(stage: Stage) -> Staged:
    """Docker runs a container with `--network host`: its process has the port itself."""
    docker = Docker(stage)
    docker.run("--name", "web", "--network", "host", "--restart", "unless-stopped", serve=stage.port)
    return Staged(target=str(stage.port), pids=docker.pids("httpd"))


class Engine:
    """What stagings of every engine need: a /run of our own, an image, and an end of it all."""

    def __init__(self, stage: Stage, name: str, *needed: str) -> None:
        """Prepare the ground. Raises NotHereError."""
        stage.needs_namespace()
        if not other_users():
            raise NotHereError(_("it takes root"))
        self.stage = stage
        self.programs = {program: find_program(program, name) for program in needed}
        self.group = f"inuse-demo-{os.getpid()}"
        self.environment = {"PATH": PATH, "HOME": "/run/home"}
        stage.afterwards(lambda: remove_groups(self.group))
        stage.afterwards(end_children)
        stage.afterwards(lambda: thaw_groups(self.group))
        try:
            linux.unshare(linux.CLONE_NEWNS)
            linux.mount(None, "/", None, _MS_REC_PRIVATE)
            linux.mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
        except OSError as error:
            raise NotHereError(_("no file system of our own can be mounted ({why})", why=reason(error))) from error
        Path("/run/home").mkdir()
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def call(self, *words: str, data: bytes | None = None, environment: Mapping[str, str] | None = None) -> str:
        """Run a program to its end, and return what it prints. Raises NotHereError with its last words."""
        done = subprocess.run(
            words,
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            check=False,
            timeout=PATIENCE_SECONDS,
            env={**self.environment, **(environment or {})},
            cwd="/",
        )
        if done.returncode:
            said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
            last = said[-1] if said else _("exit status {status}", status=done.returncode)
            raise NotHereError(f"{Path(words[0]).name} {words[1]}: {last}")
        return done.stdout.decode("utf-8", "replace").strip()

    def pids(self, name: str) -> tuple[int, ...]:
        """Return our descendants with that name."""
        return tuple(pid for pid in descendants(os.getpid()) if _comm(pid) == name)


class Docker(Engine):
    """A dockerd of our own, at the usual socket."""

    def __init__(self, stage: Stage, *options: str, socket: str = "/run/docker.sock") -> None:
        """Start it, and wait until it answers. Raises NotHereError."""
        super().__init__(stage, "Docker", "dockerd", "docker", "containerd", "runc", "busybox", "iptables")
        self.socket = socket
        log = "/run/dockerd.log"
        words = (
            *("--data-root", "/run/docker-data", "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"),
            *("-H", f"unix://{socket}", "--storage-driver", "vfs", "--cgroup-parent", f"/{self.group}/docker"),
        )
        # Should we be killed, dockerd ends in its own way, and takes its containers with it.
        guard = (find_program("setpriv", "util-linux"), "--pdeathsig", "TERM")
        shell = ("/bin/sh", "-c", 'exec "$@" >>/run/dockerd.log 2>&1', "sh")
        os.environ["PATH"] = PATH
        self.actor = stage.program(*guard, *shell, self.programs["dockerd"], *words, *options)
        until(lambda: self._answers(log), _("dockerd's answer"))
        self.docker("import", "-", IMAGE, data=image(self.programs["busybox"]))

    def _answers(self, log: str) -> bool:
        if self.actor.process.poll() is not None:
            raise NotHereError(_("dockerd ends at once: {said}", said=_last_line(log)))
        with contextlib.suppress(NotHereError):
            return bool(Path(self.socket).exists() and self.docker("version", "--format", "{{.Server.Version}}"))
        return False

    def docker(self, *words: str, data: bytes | None = None) -> str:
        """Call Docker's command."""
        return self.call(self.programs["docker"], "-H", f"unix://{self.socket}", *words, data=data)

    def run(self, *options: str, serve: int) -> str:
        """Run a container that serves a TCP port, and return its id."""
        made = self.docker("run", "-d", *options, IMAGE, "httpd", "-f", "-p", str(serve))
        inside = json.loads(self.docker("inspect", made))[0]["State"]["Pid"]
        until(lambda: has_port(inside, serve), _("the server in the container"))
        return made


class Podman(Engine):
    """Podman with a storage of our own; conmon keeps the ports that it publishes."""

    def __init__(self, stage: Stage) -> None:
        """Prepare it, and make the image. Raises NotHereError."""
        super().__init__(stage, "Podman", "podman", "conmon", "runc", "busybox", "iptables")
        try:
            linux.mount("tmpfs", "/var/lib", "tmpfs", 0, "mode=755")
        except OSError as error:
            raise NotHereError(_("no file system of our own can be mounted ({why})", why=reason(error))) from error
        Path("/var/lib/cni").mkdir()
        self.podman("import", "-", IMAGE, data=image(self.programs["busybox"]))

    def podman(self, *words: str, data: bytes | None = None) -> str:
        """Call Podman."""
        where = ("--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file")
        return self.call(self.programs["podman"], *where, *words, data=data)

    def serve(self) -> None:
        """Start its API, at the usual socket."""
        Path("/run/podman").mkdir()
        where = ("--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file")
        socket = "/run/podman/podman.sock"
        environment = ("/usr/bin/env", f"PATH={PATH}", "HOME=/run/home")
        self.stage.program(
            *environment, self.programs["podman"], *where, "system", "service", "--time=0", f"unix://{socket}"
        )
        until(Path(socket).exists, "podman.sock")

    def run(self, *options: str, serve: int) -> str:
        """Run a container that serves a port, and return its id."""
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--cgroup-parent", self.group)
        made = self.podman("run", "-d", *limits, *options, IMAGE, "httpd", "-f", "-p", str(serve))
        inside = int(self.podman("inspect", "--format", "{{.State.Pid}}", made))
        until(lambda: has_port(inside, serve), _("the server in the container"))
        return made


def image(busybox: str) -> bytes:
    """Make the file system of a container: busybox, by the names it is called here. Raises NotHereError."""
    with open(busybox, "rb") as file:  # noqa: PTH123 - no more of it is wanted
        if b"/ld-" in file.read(4096):
            raise NotHereError(_("busybox needs libraries here: it takes the package busybox-static"))
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add(os.path.realpath(busybox), "bin/busybox")
        for name in ("httpd", "nc", "sh", "sleep"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return made.getvalue()


def has_port(pid: int, port: int) -> bool:
    """Whether something listens on a TCP port in the network namespace of a process."""
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
            if any(line.split()[1].endswith(f":{port:04X}") for line in lines):
                return True
    return False


def descendants(pid: int) -> Iterator[int]:
    """Yield the children of a process, and theirs."""
    for child in children(pid):
        yield child
        yield from descendants(child)


def children(pid: int) -> list[int]:
    """Return the children of a process, whichever of its threads started them."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def end_children() -> None:
    """Kill all that is left of ours, until nothing is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := children(os.getpid())) and time.monotonic() < deadline:
        for pid in [one for child in left for one in (child, *descendants(child))]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)


def remove_groups(name: str) -> None:
    """Take away the control groups that were made below a group of that name, in every hierarchy."""
    for root in (CGROUPS, *_folders(CGROUPS)):
        top = root / name
        until_gone(top)


def thaw_groups(name: str) -> None:
    """Let paused containers go on: in a frozen group of version 1 even SIGKILL waits (freezer-subsystem)."""
    for state in (CGROUPS / "freezer" / name).rglob("freezer.state"):
        with contextlib.suppress(OSError):
            state.write_text("THAWED")


def until_gone(top: Path) -> None:
    """Remove a tree of control groups; one that has just lost its last process may still be busy."""
    for _attempt in range(50):
        for folder, _folders_in, _files in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if not top.exists():
            return
        time.sleep(0.02)


def _folders(path: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [entry for entry in path.iterdir() if entry.is_dir()]
    return []


def _comm(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    return ""


def _last_line(path: str) -> str:
    with contextlib.suppress(OSError):
        lines = Path(path).read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else ""
    return ""


#: The stagings of this module; the first is the one to begin with.
STAGINGS: Final[tuple[Callable[[Stage], Staged], ...]] = (container, container_host_network)
