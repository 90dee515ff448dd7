"""One small function per situation that brings it about with nothing but Python and system calls.

The first line of a function's docstring is what a person reads before the diagnosis: the calls.
"""

import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from inuse.demo import linux
from inuse.demo.stage import ACTORS, NotHereError, Stage, Staged, reason, tcp_states, until
from inuse.language import _
from inuse.model import Options

ESTABLISHED, FIN_WAIT_2, CLOSE_WAIT = "01", "05", "08"


def free(stage: Stage) -> Staged:
    """Nothing is done: nobody has the port."""
    return Staged(target=str(stage.port))


def application(stage: Stage) -> Staged:
    """A server calls bind() and listen(), and a client is connected to it."""
    server = stage.start("serve", stage.port, 1)
    server.hear()
    stage.start("connect", stage.port).hear()
    server.hear()
    return Staged(target=str(stage.port), pids=(server.pid,))


def same_application(stage: Stage) -> Staged:
    """A server runs, and the very same command is started again."""
    server = stage.start("serve", stage.port)
    server.hear()
    return Staged(
        target=str(stage.port),
        pids=(server.pid,),
        options=Options(command=(sys.executable, str(ACTORS), "serve", str(stage.port))),
    )


def bound_not_listening(stage: Stage) -> Staged:
    """A program calls bind() and never listen()."""
    program = stage.start("bind", stage.port)
    program.hear()
    return Staged(target=str(stage.port), pids=(program.pid,))


def suspended_process(stage: Stage) -> Staged:
    """A server calls bind() and listen(), and is sent SIGSTOP."""
    server = stage.start("serve", stage.port)
    server.hear()
    os.kill(server.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WNOWAIT)
    return Staged(target=str(stage.port), pids=(server.pid,))


def inherited(stage: Stage) -> Staged:
    """A server starts `sleep` without closing its socket there, and ends."""
    if not shutil.which("sleep"):
        raise NotHereError(_("{name} is not installed", name="sleep"))
    return _left_behind(stage, "leave-child")


def inherited_workers(stage: Stage) -> Staged:
    """A master calls bind() and listen(), forks two workers, and dies."""
    return _left_behind(stage, "leave-workers")


def _left_behind(stage: Stage, verb: str) -> Staged:
    server = stage.start(verb, stage.port)
    left = tuple(server.hear()["left"])
    stage.adopt(*left)
    server.process.wait()
    return Staged(target=str(stage.port), pids=left)


def client_connection(stage: Stage) -> Staged:
    """A program calls connect(), and the system gives it the port as its source."""
    server = stage.start("serve", 0, 1)
    client = stage.start("connect", server.hear()["port"])
    port = client.hear()["port"]
    server.hear()
    return Staged(target=str(port), pids=(client.pid,))


def close_wait(stage: Stage) -> Staged:
    """A client closes its end, and the server, still listening, never calls close()."""
    return _never_closed(stage, "on")


def close_wait_abandoned(stage: Stage) -> Staged:
    """A server closed its listener, but not a connection that the client has closed."""
    return _never_closed(stage, "off")


def _never_closed(stage: Stage, listening: str) -> Staged:
    server = stage.start("serve", stage.port, 1, listening)
    server.hear()
    client = stage.start("connect", stage.port, "half")
    client.hear()
    server.hear()
    client.go_on()
    until(lambda: CLOSE_WAIT in tcp_states(stage.port), "CLOSE_WAIT")
    return Staged(target=str(stage.port), pids=(server.pid,))


def time_wait(stage: Stage) -> Staged:
    """A server closes its connection before the client does, and ends."""
    server = stage.start("close-first", stage.port)
    server.hear()
    server.process.wait()
    return Staged(target=str(stage.port))


def closing(stage: Stage) -> Staged:
    """A server is killed while a client is connected, and the client does not close."""
    server = stage.start("serve", stage.port, 1)
    server.hear()
    stage.start("connect", stage.port).hear()
    server.hear()
    server.end()
    until(lambda: FIN_WAIT_2 in tcp_states(stage.port), "FIN_WAIT2")
    return Staged(target=str(stage.port))


def descriptor_in_flight(stage: Stage) -> Staged:
    """A listener is sent over a Unix socket (SCM_RIGHTS), its sender ends, and nobody receives it."""
    near, far = socket.socketpair()
    with near, far:
        stage.start("never-read", far.fileno(), pass_fds=(far.fileno(),)).hear()
        sender = stage.start("pass-on", stage.port, near.fileno(), pass_fds=(near.fileno(),))
    sender.hear()
    sender.process.wait()
    return Staged(target=str(stage.port))


def kernel(stage: Stage) -> Staged:
    """A VXLAN tunnel interface is made: the kernel binds its UDP port, for no process."""
    stage.needs_namespace()
    try:
        linux.add_vxlan("vxlan0", 4789)
    except OSError as error:
        raise NotHereError(_("no VXLAN interface can be made ({why})", why=reason(error))) from error
    return Staged(target="4789/udp")


def socket_activation(stage: Stage) -> Staged:
    """systemd-socket-activate has a listening socket, and would start a program for a client."""
    if not shutil.which("systemd-socket-activate"):
        raise NotHereError(_("{name} is not installed", name="systemd-socket-activate"))
    program = stage.program("systemd-socket-activate", "-l", f"127.0.0.1:{stage.port}", "cat")
    until(lambda: "0A" in tcp_states(stage.port), _("the listening socket"))
    return Staged(target=str(stage.port), pids=(program.pid,))


def service(stage: Stage) -> Staged:
    """A server runs in the control group of a service, system.slice/demo.service."""
    group = control_group(stage, f"inuse-demo-{os.getpid()}/system.slice/demo.service")
    server = stage.start("serve", stage.port)
    server.hear()
    join(group, server.pid)
    return Staged(target=str(stage.port), pids=(server.pid,))


def hidden_holder(stage: Stage) -> Staged:
    """A server of another user listens, or, for who can't be another user, one outside the asker's pid namespace."""
    server = stage.start("serve", stage.port)
    server.hear()
    enter = linux.become_nobody if other_users() else linux.inner_processes
    if not other_users():
        stage.needs_namespace()
    return Staged(target=str(stage.port), enter=enter)


def privileged_port(stage: Stage) -> Staged:
    """A program without CAP_NET_BIND_SERVICE asks for port 80, which nobody has."""
    stage.needs_namespace()
    return Staged(target="80", enter=linux.become_nobody if other_users() else linux.drop_capabilities)


def address_not_local(stage: Stage) -> Staged:
    """A program calls bind() with 192.0.2.1, an address of no interface."""
    return Staged(target=f"192.0.2.1:{stage.port}")


def address_not_local_tentative(stage: Stage) -> Staged:
    """An interface has just been given an IPv6 address, and looks whether somebody else has it."""
    stage.needs_namespace()
    try:
        linux.add_veth("veth0", "veth1")
        Path("/proc/sys/net/ipv6/conf/veth0/dad_transmits").write_text("60")
        linux.add_address("veth0", "2001:db8::8", 64)
    except OSError as error:
        raise NotHereError(_("no pair of interfaces can be made ({why})", why=reason(error))) from error
    return Staged(target=f"[2001:db8::8]:{stage.port}")


def security_policy(stage: Stage) -> Staged:
    """A program under a Landlock rule set that allows no bind() asks for a port."""
    _tried_in_a_child(linux.forbid_tcp_bind)
    return Staged(target=str(stage.port), enter=linux.forbid_tcp_bind)


def security_policy_cgroup(stage: Stage) -> Staged:
    """A program asks for a port in a control group whose BPF program refuses every bind()."""
    group = control_group(stage, f"inuse-demo-{os.getpid()}", version_2=True)
    try:
        linux.forbid_bind_in(group)
    except OSError as error:
        raise NotHereError(_("no BPF program can be attached to a control group ({why})", why=reason(error))) from error
    return Staged(target=str(stage.port), enter=lambda: join(group, os.getpid()))


def ephemeral_exhausted(stage: Stage) -> Staged:
    """The range of automatic ports is four ports wide, and a program has bound them all."""
    stage.needs_namespace()
    try:
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("32768 32771\n")
    except OSError as error:
        raise NotHereError(_("the range of automatic ports can't be set ({why})", why=reason(error))) from error
    program = stage.start("bind-all", 32768, 32771)
    program.hear()
    return Staged(target="0", pids=(program.pid,))


def _tried_in_a_child(attempt: Callable[[], None]) -> None:
    """See in a child whether something that can't be undone can be done."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            attempt()
        except OSError as error:
            os.write(writing, reason(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor, not a path
        trouble = stream.read()
    os.waitpid(child, 0)
    if trouble:
        raise NotHereError(trouble)


def other_users() -> bool:
    """Whether we can become somebody else: root, where more users than one exist."""
    if os.geteuid() != 0:
        return False
    try:
        ranges = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except OSError:
        return False
    return any(first <= linux.NOBODY < first + count for first, _, count in ranges)


def control_group(stage: Stage, name: str, *, version_2: bool = False) -> Path:
    """Make a control group below our own, and have it removed afterwards. Raises NotHereError."""
    home = _own_group(version_2=version_2)
    made: list[Path] = []
    try:
        for part in Path(name).parts:
            path = (made[-1] if made else home) / part
            path.mkdir()
            made.append(path)
            stage.afterwards(path.rmdir)
    except OSError as error:
        raise NotHereError(
            _("no control group can be made below {home} ({why})", home=home, why=reason(error))
        ) from error
    return made[-1]


def join(group: Path, pid: int) -> None:
    """Put a process into a control group. Raises NotHereError."""
    try:
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        raise NotHereError(_("no process can be put into {group} ({why})", group=group, why=reason(error))) from error


def _own_group(*, version_2: bool) -> Path:
    """Return the directory of our control group, in the hierarchy that systemd uses: cgroups(7)."""
    paths: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        controllers, path = line.split(":", 2)[1:]
        paths[controllers] = path
    named = "name=systemd"
    wanted = named if not version_2 and paths.get(named, "/") != "/" else ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ", 1)
        kind, options = after.split(" ", 1)
        fits = kind == "cgroup2" if not wanted else kind == "cgroup" and named in options.rpartition(" ")[2].split(",")
        if fits and wanted in paths:
            fields = before.split()
            return Path(fields[4]) / paths[wanted].removeprefix(fields[3].rstrip("/")).lstrip("/")
    raise NotHereError(_("no control groups (version 2) are mounted"))
