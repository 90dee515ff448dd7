"""Services: systemd stops them, nobody kills them. A real systemd --user, in namespaces of its own."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from freeing_lab import free, freed, untouched
from freeing_stage import ECHO, PORT, SIBLING, Bystander, children_end_with, client, gone, holder_of, siblings, started
from staging import PRELUDE, needs_users, private, private_mounts

from inuse.demo import linux, stagings
from inuse.demo.container import until_gone
from inuse.demo.stage import NotHereError, tcp_states, until

SYSTEMD = "/usr/lib/systemd/systemd"
LISTENER = "server = listener(sys.argv[1])"


# -- Where systemd does not run -------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--force", "--grace", "0")], ids=len)
@pytest.mark.parametrize("path", [None, "/nowhere"], ids=["systemctl fails", "no systemctl"])
@private
def test_a_service_is_not_killed_where_it_can_not_be_stopped(stage, path, options):
    needs_users()
    staged = stagings.service(stage)
    environment = {"PATH": path} if path else None
    others = siblings(stage)
    answer = untouched(PORT, "--yes", *options, holders=staged.pids, bystanders=others, environment=environment)
    assert "systemctl" in answer.text or "demo.service" in answer.text
    assert "stop-holder" not in answer.plan


# -- Where it does --------------------------------------------------------------------------------


class Manager:
    """A systemd of a user, with units of our own."""

    def __init__(self, stage, **units):
        needs_users()
        if not os.path.exists(SYSTEMD) or not shutil.which("systemctl"):
            raise NotHereError("systemd is not installed")
        name = f"inuse-demo-{os.getpid()}"
        inner = f"{name}/user.slice/user-0.slice/user@0.service"
        group = stagings.control_group(stage, inner)
        top = next(parent for parent in group.parents if parent.name == name)
        stage.afterwards(lambda: until_gone(top))
        children_end_with(stage)  # what is undone is undone backwards: first they end, then their groups go
        private_mounts()
        linux.mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
        folder = Path("/run/systemd/user")
        for path in (folder, Path("/run/home"), Path("/run/user/0"), Path("/run/systemd/system")):
            path.mkdir(parents=True)
        for unit, text in units.items():
            (folder / unit.replace("__", ".")).write_text(text)
        os.environ.update(XDG_RUNTIME_DIR="/run/user/0", HOME="/run/home")
        join = f'echo $$ > {group}/cgroup.procs; exec "$@"'
        self.actor = stage.program("/bin/sh", "-c", join, "sh", SYSTEMD, "--user", "--unit=basic.target")
        until(Path("/run/user/0/systemd/private").exists, "systemd")
        self.stage = stage

    def call(self, *words):
        """Call systemctl, and return whether it succeeded."""
        program = self.stage.program("systemctl", "--user", *words)
        return program.process.wait(20) == 0

    def start(self, unit, port):
        assert self.call("start", unit)
        until(lambda: "0A" in tcp_states(port), unit)
        return holder_of(port)

    def active(self, unit):
        return self.call("is-active", "--quiet", unit)


def service(tmp_path, port, code=LISTENER):
    """The file of a unit that serves a port, and is started again whenever it ends."""
    path = tmp_path / f"server{port}.py"
    path.write_text(f"{PRELUDE}{ECHO}\n{code}\nserve(server); time.sleep(600)")
    return f"[Service]\nRestart=always\nRestartSec=0\nExecStart={sys.executable} -I {path} {port}\n"


@private
def test_a_service_is_stopped_by_its_manager(stage, tmp_path):
    needing = "[Unit]\nRequires=web.service\nAfter=web.service\n[Service]\nExecStart=/bin/sleep 600\n"
    manager = Manager(
        stage, web__service=service(tmp_path, PORT), other__service=service(tmp_path, SIBLING), needing__service=needing
    )
    web, other = manager.start("web.service", PORT), manager.start("other.service", SIBLING)
    assert manager.call("start", "needing.service")
    others = [
        Bystander("the other service", other, lambda: manager.active("other.service")),
        Bystander("the manager", manager.actor.pid),
        *siblings(stage, 8082),
    ]
    done = freed(ends=[web], bystanders=others)
    assert done.said["done"] == ["stop-unit"]
    assert "needing.service" in done.text, "the plan does not say what stops with it"
    assert not manager.active("web.service")
    assert not manager.active("needing.service")


@pytest.mark.parametrize("running", [False, True], ids=["waiting for a client", "with its service running"])
@private
def test_a_socket_unit_is_stopped_and_not_its_manager(stage, tmp_path, running):
    socket = f"[Socket]\nListenStream=127.0.0.1:{PORT}\n"
    handed = service(tmp_path, PORT, code="server = socket.socket(fileno=3)")
    manager = Manager(stage, act__socket=socket, act__service=handed, other__service=service(tmp_path, SIBLING))
    other = manager.start("other.service", SIBLING)
    assert manager.start("act.socket", PORT) == manager.actor.pid
    mine = client(stage) if running else None
    assert mine is None or mine.go_on()["answered"]
    others = [
        Bystander("the manager", manager.actor.pid),
        Bystander("the other service", other, lambda: manager.active("other.service")),
        *([Bystander("the client", mine.pid)] if mine else []),
    ]
    done = freed(bystanders=[*others, *siblings(stage, 8082)])
    assert set(done.said["done"]) <= {"stop-unit", "destroy-socket"}
    assert not manager.active("act.socket")
    assert not manager.active("act.service")


@private
def test_the_bare_pid_would_have_come_back(stage, tmp_path):
    """What makes the difference: the same service, killed, is there again."""
    manager = Manager(stage, web__service=service(tmp_path, PORT))
    web = manager.start("web.service", PORT)
    began = started(web)
    os.kill(web, 15)
    until(lambda: gone(web, began) and "0A" in tcp_states(PORT), "the new one")
    assert free(PORT, "--yes").status == 0
    assert not manager.active("web.service")
