"""A container is stopped, its stand-ins are not signalled, and nothing else of the engine ends."""

import subprocess

import pytest
from freeing_lab import free, freed, judged, untouched
from freeing_stage import ENVIRONMENT, INUSE, PORT, Bystander, siblings
from staging import private

from inuse.demo.container import Docker, Podman, has_port
from inuse.demo.stage import find_program

OTHER = 8082


def status(docker, name):
    return docker.docker("inspect", "--format", "{{.State.Status}}", name)


def neighbours(stage, docker):
    """Another container with a port of its own, the daemon, and a plain server."""
    docker.run("--name", "neighbour", "-p", f"{OTHER}:80", serve=80)
    return [
        Bystander("dockerd", docker.actor.pid, lambda: status(docker, "neighbour") == "running"),
        *(Bystander("a stand-in of the other container", pid) for pid in stand_ins(docker, OTHER)),
        *siblings(stage),
    ]


def stand_ins(docker, port):
    def words(pid):
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read().split("\0")

    return [pid for pid in docker.pids("docker-proxy") if str(port) in words(pid)]


@pytest.mark.parametrize("policy", ["no", "always"])
@private
def test_a_container_with_two_published_ports(stage, policy):
    docker = Docker(stage)
    ports = ("-p", f"{PORT}:80", "-p", "8443:81")
    docker.run("--name", "web", *ports, "--restart", policy, "--stop-signal", "KILL", serve=80)
    others = neighbours(stage, docker)
    done = freed(bystanders=others)
    assert done.said["done"] == ["stop-container"]
    assert "8443" in done.text, "the plan does not say that the other port goes as well"
    assert status(docker, "web") == "exited"
    for one in others:
        one.check()


@private
def test_its_stand_in_is_never_signalled(stage):
    """Seen by strace: no system call of inuse signals anybody at all."""
    strace = find_program("strace")
    docker = Docker(stage)
    docker.run("--name", "web", "-p", f"{PORT}:80", "--stop-signal", "KILL", serve=80)
    calls = "trace=kill,tkill,tgkill,pidfd_send_signal,rt_sigqueueinfo,rt_tgsigqueueinfo"
    words = [strace, "-qq", "-e", calls, "-e", "signal=none", "-o", "/run/calls", *INUSE]
    run = subprocess.run(
        [*words, "free", str(PORT), "--yes", "--json"], env=ENVIRONMENT, capture_output=True, check=False, timeout=60
    )
    assert judged(run.returncode, run.stdout, run.stderr).said["freed"] is True
    with open("/run/calls") as file:
        assert file.read() == ""


@private
def test_without_the_userland_proxy(stage):
    """dockerd itself has the port, and must live."""
    docker = Docker(stage, "--userland-proxy=false")
    docker.run("--name", "web", "-p", f"{PORT}:80", "--stop-signal", "KILL", serve=80)
    docker.run("--name", "neighbour", "-p", f"{OTHER}:80", serve=80)
    others = [
        Bystander("dockerd", docker.actor.pid, lambda: status(docker, "neighbour") == "running"),
        *siblings(stage),
    ]
    assert freed(bystanders=others).said["done"] == ["stop-container"]


@private
def test_a_container_in_the_hosts_network(stage):
    docker = Docker(stage)
    docker.run("--name", "web", "--network", "host", "--restart", "always", "--stop-signal", "KILL", serve=PORT)
    ends = docker.pids("httpd")
    done = freed(ends=ends, bystanders=neighbours(stage, docker))
    assert done.said["done"] == ["stop-container"]
    assert status(docker, "web") == "exited"


@private
def test_where_docker_can_not_be_called(stage):
    """No client to stop it with: nobody is signalled instead."""
    docker = Docker(stage)
    docker.run("--name", "web", "-p", f"{PORT}:80", serve=80)
    others = [Bystander("a stand-in", pid) for pid in docker.pids("docker-proxy")]
    (inside,) = docker.pids("httpd")
    others.append(Bystander("the server inside", inside, lambda: has_port(inside, 80)))
    environment = {"PATH": "/nowhere"}
    untouched(PORT, "--yes", "--force", "--grace", "0", bystanders=others, environment=environment)
    assert free(PORT, "--dry-run", environment=environment).status == 1


@private
def test_a_container_of_podman(stage):
    """conmon has the port for it, and must end by itself."""
    podman = Podman(stage)
    with open("/run/containers.conf", "w") as file:
        file.write('[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
    podman.run("--name", "web", "-p", f"{PORT}:80", "-p", "8443:81", "--stop-signal", "KILL", serve=80)
    environment = {"CONTAINERS_CONF": "/run/containers.conf", "STORAGE_DRIVER": "vfs", "HOME": "/run/home"}
    done = freed(bystanders=siblings(stage), environment=environment)
    assert done.said["done"] == ["stop-container"]
    assert "8443" in done.text
