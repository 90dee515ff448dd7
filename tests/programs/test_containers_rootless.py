"""A real Podman of an ordinary user: rootlessport and slirp4netns keep its ports, and no control group tells of it."""

import os
import subprocess
from pathlib import Path

import pytest
from staging import answer, diagnosis, finding, held, private

from inuse.demo import linux
from inuse.demo.container import PATH, Engine, has_port, image
from inuse.demo.stage import NotHereError, until
from inuse.demo.stage import find_program as find

USER, UID = "inuse-demo", 1777
HOME, RUNTIME = "/run/home", f"/run/user/{UID}"
OPTIONS = ("--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file")
_MS_BIND = 0x1000


class Rootless(Engine):
    """Podman as a user who is there only meanwhile, and only in mount namespaces of our own."""

    def __init__(self, stage):
        """Prepare user, folders, tun device and image. Raises NotHereError."""
        super().__init__(stage, "Podman", "podman", "conmon", "runc", "busybox", "slirp4netns", "newuidmap")
        rows = {
            "passwd": f"{USER}:x:{UID}:{UID}::{HOME}:/usr/sbin/nologin",
            "group": f"{USER}:x:{UID}:",
            "subuid": f"{USER}:200000:65536",
            "subgid": f"{USER}:200000:65536",
        }
        for name, row in rows.items():
            there, ours = Path("/etc", name), Path("/run", name)
            if not there.exists():
                raise NotHereError(f"there is no {there}")
            ours.write_text(f"{there.read_text()}{row}\n")
            linux.mount(str(ours), str(there), None, _MS_BIND)
        for folder in (HOME, RUNTIME):
            os.makedirs(folder, exist_ok=True)
            os.chown(folder, UID, UID)
        os.chmod(RUNTIME, 0o700)
        if not Path("/dev/net").is_dir():
            raise NotHereError("there is no /dev/net/tun")
        linux.mount("tmpfs", "/dev/net", "tmpfs", 0, "mode=755")
        os.mknod("/dev/net/tun", 0o666 | 0o020000, os.makedev(10, 200))
        os.chmod("/dev/net/tun", 0o666)
        self.podman("import", "-", "tiny:1", data=image(self.programs["busybox"]))

    def podman(self, *words, data=None):
        """Call Podman as the user."""
        user = (find("setpriv", "util-linux"), "--reuid", str(UID), "--regid", str(UID), "--init-groups")
        surroundings = ("env", "-i", f"PATH={PATH}", f"HOME={HOME}", f"XDG_RUNTIME_DIR={RUNTIME}")
        return self.call(*user, *surroundings, self.programs["podman"], *OPTIONS, *words, data=data)

    def run(self, *options, serve):
        """Run a container that serves a TCP port, and return its id."""
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
        made = self.podman("run", "-d", *limits, *options, "tiny:1", "httpd", "-f", "-p", str(serve)).split()[-1]
        inside = int(self.podman("inspect", "--format", "{{.State.Pid}}", made))
        until(lambda: has_port(inside, serve), "the server in the container")
        return made


def as_user():
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)


def stop_of(said):
    return next(one for one in finding(said, "container")["remedies"] if one["id"] == "stop-container")


@private
@pytest.mark.parametrize(
    ("network", "program"),
    [
        ("slirp4netns", "rootlessport"),
        ("slirp4netns:port_handler=slirp4netns", "slirp4netns"),
    ],
)
def test_what_stands_in_is_traced_to_its_container(stage, network, program):
    podman = Rootless(stage)
    made = podman.run("--name", "web", "--network", network, "-p", "8080:80", serve=80)
    said = diagnosis("8080")
    assert answer(said) == held("container")
    (holder,) = said["holders"]
    assert holder["name"] == program
    shown = finding(said, "container")["details"]
    assert (shown["id"], shown["name"], shown["image"], shown["user"]) == (made, "web", "localhost/tiny:1", USER)
    assert stop_of(said)["needs_root"] is False
    mine = stop_of(diagnosis("8080", enter=as_user))
    assert (mine["command"], mine["needs_root"]) == (["podman", "stop", "web"], False)


@private
def test_a_process_on_the_hosts_network_is_below_a_conmon(stage):
    """No control group is to be had for the container: its process is in the one that Podman was started in."""
    podman = Rootless(stage)
    made = podman.run("--name", "near", "--network", "host", serve=8080)
    said = diagnosis("8080")
    assert answer(said) == held("container")
    found = finding(said, "container")
    assert (found["details"]["id"], found["details"]["name"]) == (made, "near")
    assert "stop-holder" not in [one["id"] for one in found["remedies"]]
    assert any("looks after the container" in line for line in found["evidence"])


@private
def test_what_is_offered_works_for_a_user_who_cannot_log_in(stage):
    """The user's shell is nologin, as service users have it; the storage driver is taken from the storage itself."""
    podman = Rootless(stage)
    podman.run("--name", "web", "-p", "8080:80", serve=80)
    command = stop_of(diagnosis("8080"))["command"]
    assert command[0] == "runuser"
    subprocess.run(command, check=True, timeout=30, capture_output=True, env={"PATH": PATH})
    assert diagnosis("8080")["verdict"] == "free"
