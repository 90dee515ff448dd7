"""Where another answer lies near: other addresses, other users' programs, frozen containers, groups of one's own."""

import os
import time
from pathlib import Path

import pytest
from containers_lab import of_group
from staging import answer, diagnosis, finding, held, needs_users, private, script

from inuse.demo import linux
from inuse.demo.container import PATH, Docker
from inuse.demo.stage import find_program as find
from inuse.demo.stage import tcp_states, until
from inuse.demo.stagings import other_users

LISTEN = "s = socket.socket(); s.bind((sys.argv[1], int(sys.argv[2]))); s.listen(); say(port=1); stay()"


def remedies(said):
    return {one["id"]: one for found in said["findings"] for one in found["remedies"]}


@private
def test_a_hidden_program_on_another_address_is_not_the_containers(stage):
    """Root's own program: stopping the container would not help, and would take something else away."""
    docker = Docker(stage)
    docker.run("--name", "near", "-p", "127.0.0.1:8080:80", serve=80)
    script(stage, LISTEN, "127.0.0.2", "8080").hear()
    for enter in (of_group(docker.socket), linux.become_nobody):
        said = diagnosis("127.0.0.2:8080", enter=enter)
        assert answer(said) == held("hidden-holder")
        assert "stop-container" not in remedies(said)
    assert answer(diagnosis("127.0.0.1:8080", enter=of_group(docker.socket))) == held("container")


@private
def test_a_proxy_of_an_ordinary_user_is_not_left_over_by_docker(stage):
    """Restarting Docker would stop every container, and not end it."""
    docker = Docker(stage)
    docker.run("--name", "web", "-p", "8081:80", serve=80)
    words = "-proto tcp -host-ip 127.0.0.1 -host-port 8080 -container-ip 172.17.0.9 -container-port 80"
    user = f"{find('setpriv', 'util-linux')} --reuid {linux.NOBODY} --clear-groups"
    stage.program("/bin/sh", "-c", f"PATH={PATH}; exec {user} docker-proxy {words} 3>/dev/null")
    until(lambda: "0A" in tcp_states(8080), "docker-proxy's socket")
    time.sleep(2.2)  # a younger one may be that of a container which is only starting
    said = diagnosis("8080")
    assert "restart-engine" not in remedies(said)
    assert "left over" not in said["summary"]


@private
def test_docker_host_at_the_systems_socket_is_the_systems_docker(stage):
    docker = Docker(stage)
    docker.run("--name", "web", "-p", "8080:80", serve=80)
    as_user = of_group(docker.socket)

    def enter():
        as_user()
        os.environ["DOCKER_HOST"] = f"unix://{docker.socket}"

    said = diagnosis("8080", enter=enter)
    assert finding(said, "container")["details"]["name"] == "web"
    assert "belongs to" not in finding(said, "container")["explanation"]


@private
def test_where_a_folder_is_closed_docker_need_not_run(stage):
    """Every user's /run/user is closed to the others; that is no sign of a Docker in it."""
    needs_users()
    Docker(stage).actor.process.terminate()
    until(lambda: not Path("/run/docker.pid").exists(), "Docker's end")
    Path("/run/docker.sock").unlink(missing_ok=True)
    Path("/run/user/1777").mkdir(parents=True)
    os.chmod("/run/user/1777", 0o700)
    script(stage, f"os.setresuid(1777, 1777, 1777); {LISTEN}", "127.0.0.1", "8080").hear()
    said = diagnosis("8080", enter=linux.become_nobody)
    assert answer(said) == held("hidden-holder")
    assert not any("Docker" in line for line in said["limits"])


# -- Frozen -----------------------------------------------------------------------------------------


@private
def test_a_paused_container(stage):
    docker = Docker(stage)
    docker.run("--name", "web", "-p", "8080:80", serve=80)
    docker.run("--name", "near", "--network", "host", serve=8090)
    docker.docker("pause", "web", "near")
    for port, name in ((8080, "web"), (8090, "near")):
        said = diagnosis(str(port))
        assert answer(said) == held("container")
        assert "It is paused" in finding(said, "container")["explanation"]
        assert remedies(said)["unpause-container"]["command"] == ["docker", "unpause", name]
        docker.docker(*remedies(said)["unpause-container"]["command"][1:])
        said = diagnosis(str(port))
        assert "paused" not in finding(said, "container")["details"]
        assert "unpause-container" not in remedies(said)


# -- Groups of one's own ------------------------------------------------------------------------------


@private
def test_a_group_that_does_not_tell_of_docker(stage):
    docker = Docker(stage)
    made = docker.run(*("--name", "near", "--network", "host", "--cgroup-parent", f"/{docker.group}/batch"), serve=8090)
    said = diagnosis("8090", enter=linux.become_nobody)
    assert answer(said) == held("container")
    assert finding(said, "container")["details"]["id"] == made
    for enter in (of_group(docker.socket), None):
        said = diagnosis("8090", enter=enter)
        assert answer(said) == held("container")
        assert finding(said, "container")["details"]["name"] == "near"
    assert remedies(said)["stop-container"]["command"] == ["docker", "stop", "near"]


# -- Asked from elsewhere -------------------------------------------------------------------------------


@private
def test_what_is_published_elsewhere_is_not_said_to_be_here(stage):
    if not other_users():
        pytest.skip("it takes root")
    docker = Docker(stage)
    docker.run("--name", "inner", "-p", "9095:8095", "-p", "9096:8095/udp", serve=8095)
    said = diagnosis("8095", enter=lambda: linux.unshare(linux.CLONE_NEWNET))
    told = finding(said, "container")["explanation"]
    assert "It is published as 0.0.0.0:9095" in told
    assert "9096" not in told
    assert "here as" not in told
