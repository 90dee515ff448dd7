"""A real dockerd in namespaces of its own: which container has the port, however it was published, whoever asks."""

import os
import signal
import subprocess
import time

import pytest
from containers_lab import of_group
from staging import (
    answer,
    diagnosis,
    finding,
    harmless,
    held,
    in_child,
    inuse,
    needs_users,
    pids,
    private,
)

from inuse.demo import linux
from inuse.demo.container import IMAGE, PATH, Docker, Engine, container, container_host_network, descendants
from inuse.demo.stage import until

COMPOSE = ("--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=web")


def remedy(said, name):
    return next((one for one in finding(said, "container")["remedies"] if one["id"] == name), None)


def commands(said):
    return [one["command"] for found in said["findings"] for one in found["remedies"] if one["command"]]


def nobody_is_killed(said):
    """No remedy of any finding ends a process."""
    for command in commands(said):
        assert not {"kill", "ss", "pkill"} & set(command[:2]), command


# -- However it is published ----------------------------------------------------------------------


@private
def test_a_published_port(stage):
    docker = Docker(stage)
    made = docker.run("--name", "web", "-p", "8080:80", *COMPOSE, serve=80)
    said = diagnosis("8080")
    assert answer(said) == held("container")
    assert pids(said) == set(docker.pids("docker-proxy"))
    assert len(pids(said)) == 2  # one for IPv4, one for IPv6
    for holder in said["holders"]:
        assert holder["name"] == "docker-proxy"
        shown = holder["container"]
        assert (shown["id"], shown["name"], shown["image"], shown["runtime"]) == (made, "web", IMAGE, "docker")
        assert shown["ports"][0] == {"proto": "tcp", "address": "0.0.0.0", "port": 8080, "container_port": 80}
    found = finding(said, "container")
    assert found["confidence"] == "certain"
    assert (found["details"]["project"], found["details"]["service"]) == ("shop", "web")
    assert remedy(said, "stop-container")["command"] == ["docker", "stop", "web"]
    assert remedy(said, "stop-compose-service")["command"] == ["docker", "compose", "-p", "shop", "stop", "web"]
    assert "docker-proxy" in said["summary"]
    nobody_is_killed(said)


@private
def test_what_a_person_reads(stage):
    docker = Docker(stage)
    docker.run("--name", "web", "-p", "8080:80", *COMPOSE, "--restart", "always", serve=80)
    run = inuse("8080")
    harmless(run.out)
    flat = " ".join(run.text.split())
    assert "TCP port 8080 is in use: the container web (tiny:1) publishes 0.0.0.0:8080" in flat
    assert "$ docker stop web" in flat
    assert "compose project shop" in flat
    assert "restart policy is always" in flat
    assert "kill" not in flat
    assert max(map(len, run.text.splitlines())) <= 80


@private
def test_what_is_offered_frees_the_port(stage):
    docker = Docker(stage)
    docker.run("--name", "web", "-p", "8080:80", "--stop-signal", "KILL", "--restart", "always", serve=80)
    said = diagnosis("8080")
    subprocess.run(
        remedy(said, "stop-container")["command"],
        check=True,
        capture_output=True,
        env={"PATH": PATH, "HOME": "/run/home"},
    )
    assert diagnosis("8080")["verdict"] == "free"


@private
def test_without_the_userland_proxy_dockerd_itself_has_the_port(stage):
    docker = Docker(stage, "--userland-proxy=false")
    docker.run("--name", "web", "-p", "8080:80", serve=80)
    docker.run("--name", "other", "-p", "8081:80", serve=80)
    said = diagnosis("8080")
    assert answer(said) == held("container")
    assert pids(said) == set(docker.pids("dockerd"))
    assert said["holders"][0]["container"]["name"] == "web"
    assert "userland proxy is off" in finding(said, "container")["explanation"]
    assert remedy(said, "stop-container")["command"] == ["docker", "stop", "web"]
    nobody_is_killed(said)


@private
def test_the_hosts_network(stage):
    docker = Docker(stage)
    docker.run("--name", "web", "--network", "host", "--restart", "unless-stopped", "--rm=false", serve=8080)
    said = diagnosis("8080")
    assert answer(said) == held("container")
    assert pids(said) == set(docker.pids("httpd"))
    shown = said["holders"][0]["container"]
    assert (shown["name"], shown["network"], shown["restart"]) == ("web", "host", "unless-stopped")
    assert "unless-stopped" in finding(said, "container")["explanation"]
    assert remedy(said, "stop-container")["command"] == ["docker", "stop", "web"]
    nobody_is_killed(said)


@private
def test_one_address_and_udp(stage):
    docker = Docker(stage)
    docker.run("--name", "web", "-p", "127.0.0.1:8080:80", "-p", "127.0.0.2:5353:53/udp", "--rm", serve=80)
    docker.run("--name", "other", "-p", "127.0.0.3:8080:80", serve=80)
    said = diagnosis("127.0.0.1:8080")
    assert said["holders"][0]["container"]["name"] == "web"
    assert len(said["holders"]) == 1
    assert diagnosis("127.0.0.3:8080")["holders"][0]["container"]["name"] == "other"
    assert diagnosis("127.0.0.4:8080")["verdict"] == "free"
    said = diagnosis("8080")
    assert {holder["container"]["name"] for holder in said["holders"]} == {"web", "other"}
    assert [one["name"] for one in finding(said, "container")["details"]["others"]] == ["other"]
    said = diagnosis("127.0.0.2:5353/udp")
    assert answer(said) == held("container")
    assert said["holders"][0]["container"]["name"] == "web"
    stop = remedy(said, "stop-container")
    assert "deletes" in stop["title"]
    assert stop["reversible"] is False
    assert diagnosis("127.0.0.2:5353/tcp")["verdict"] == "free"


@private
def test_a_daemon_with_a_socket_of_its_own(stage):
    os.makedirs("/tmp", exist_ok=True)
    docker = Docker(stage, socket="/run/second.sock")
    docker.run("--name", "web", "-p", "8080:80", serve=80)
    docker.run("--name", "near", "--network", "host", serve=8090)
    said = diagnosis("8080")
    assert remedy(said, "stop-container")["command"] == ["docker", "-H", "unix:///run/second.sock", "stop", "web"]
    said = diagnosis("8090")
    assert remedy(said, "stop-container")["command"] == ["docker", "-H", "unix:///run/second.sock", "stop", "near"]


@private
def test_the_daemons_own_port_is_no_containers(stage):
    docker = Docker(stage, "-H", "tcp://127.0.0.1:2375", "--tls=false")
    docker.run("--name", "web", "-p", "8080:80", serve=80)
    said = diagnosis("2375")
    assert said["situation"] == "application"
    assert said["holders"][0]["name"] == "dockerd"
    assert said["holders"][0]["container"] is None


@private
def test_a_task_of_a_swarm(stage):
    """To stop the container helps for a moment only: the swarm starts another."""
    docker = Docker(stage)
    docker.docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    publish = ("--publish", "mode=host,published=8080,target=80")
    service = ("service", "create", "--name", "shop_web", "--detach", "--no-resolve-image", *publish)
    docker.docker(*service, IMAGE, "httpd", "-f", "-p", "80")
    until(lambda: docker.docker("ps", "-q"), "the task")
    said = diagnosis("8080")
    assert answer(said) == held("container")
    assert finding(said, "container")["details"]["swarm"] == "shop_web"
    assert remedy(said, "scale-service")["command"] == ["docker", "service", "scale", "shop_web=0"]
    assert remedy(said, "stop-container") is None
    assert diagnosis("2377")["situation"] == "application"  # the swarm's own port, no container's


# -- Who asks ---------------------------------------------------------------------------------------


@private
def test_an_ordinary_user_learns_what_everybody_may_read(stage):
    docker = Docker(stage)
    docker.run("--name", "web", "-p", "8080:80", serve=80)
    said = diagnosis("8080", enter=linux.become_nobody)
    assert answer(said) == held("container")
    found = finding(said, "container")
    assert found["confidence"] == "likely"
    assert found["details"]["to"] == "172.17.0.2:80"
    assert found["details"]["stand_in"] in docker.pids("docker-proxy")
    assert found["details"]["name"] is None
    assert any("docker.sock" in line and "group docker" in line for line in said["limits"])
    assert remedy(said, "find-container")["needs_root"] is True
    nobody_is_killed(said)


@private
def test_an_ordinary_user_who_may_ask_docker(stage):
    docker = Docker(stage)
    docker.run("--name", "web", "-p", "8080:80", serve=80)
    docker.run("--name", "near", "--network", "host", serve=8090)
    enter = of_group(docker.socket)
    said = diagnosis("8080", enter=enter)
    assert answer(said) == held("container")
    found = finding(said, "container")
    assert (found["details"]["name"], found["confidence"]) == ("web", "certain")
    assert remedy(said, "stop-container")["command"] == ["docker", "stop", "web"]
    assert remedy(said, "stop-container")["needs_root"] is False
    assert not any("Docker" in line for line in said["limits"])
    # Root's process in a container: its socket's control group tells which one.
    said = diagnosis("8090", enter=enter)
    assert answer(said) == held("container")
    assert finding(said, "container")["details"]["name"] == "near"


@private
def test_an_ordinary_user_and_dockerd_without_a_proxy(stage):
    docker = Docker(stage, "--userland-proxy=false")
    docker.run("--name", "web", "-p", "8080:80", serve=80)
    said = diagnosis("8080", enter=of_group(docker.socket))
    assert finding(said, "container")["details"]["name"] == "web"
    said = diagnosis("8080", enter=linux.become_nobody)
    assert answer(said) == held("hidden-holder")
    assert any("Docker runs here, and could not be asked" in line for line in said["limits"])


# -- Where Docker does not answer ---------------------------------------------------------------------


@private
def test_a_daemon_that_hangs(stage):
    docker = Docker(stage)
    docker.run("--name", "web", "-p", "8080:80", serve=80)
    docker.run("--name", "near", "--network", "host", serve=8090)
    for pid in docker.pids("dockerd"):
        os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()
    said = diagnosis("8080")
    assert time.monotonic() - begin < 3
    assert answer(said) == held("container")
    assert said["holders"][0]["container"] | {"ports": None} == {
        "id": None, "name": None, "image": None, "runtime": "docker", "ports": None,
    }  # fmt: skip
    assert "172.17.0.2:80" in said["summary"]
    assert any("no answer within 1 s" in line for line in said["limits"])
    assert remedy(said, "find-container")["command"] == ["docker", "ps", "--filter", "publish=8080/tcp"]
    nobody_is_killed(said)
    said = diagnosis("8090")
    assert answer(said) == held("container")
    assert len(said["holders"][0]["container"]["id"]) == 64
    assert remedy(said, "stop-container")["command"][:2] == ["docker", "stop"]
    nobody_is_killed(said)


@private
def test_a_proxy_that_is_left_over(stage):
    docker = Docker(stage)
    docker.run("--name", "web", "-p", "8080:80", serve=80)
    left = left_over(stage, "172.17.0.9")
    said = diagnosis("9000")
    assert finding(said, "container")["details"].get("stale") is None  # its container might just be starting
    assert any("Docker does not know it" in line for line in said["limits"])
    nobody_is_killed(said)
    time.sleep(2)
    said = diagnosis("9000")
    assert answer(said) == held("container")
    assert pids(said) == {left}
    found = finding(said, "container")
    assert found["details"]["stale"] is True
    assert "left over" in said["summary"]
    assert [one["id"] for one in found["remedies"]] == ["restart-engine", "use-another-port"]
    nobody_is_killed(said)


def left_over(stage, where, port=9000):
    """Start a docker-proxy as dockerd does: it says over descriptor 3 that it listens."""
    words = f"-proto tcp -host-ip 127.0.0.1 -host-port {port} -container-ip {where} -container-port 80"
    actor = stage.program("/bin/sh", "-c", f"PATH={PATH}; exec docker-proxy {words} 3>/dev/null")
    until(lambda: diagnosis_free(port), "docker-proxy's socket")
    return actor.pid


def diagnosis_free(port):
    with open("/proc/thread-self/net/tcp") as file:
        return any(line.split()[1].endswith(f":{port:04X}") for line in file.readlines()[1:])


# -- What the environment says ------------------------------------------------------------------------


@private
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("ssh://anna@build.example", "only engines of this machine are asked"),
        ("tcp://192.0.2.7:2375", "only engines of this machine are asked"),
        ("tcp://127.evil.example:2375", "only engines of this machine are asked"),
        ("nonsense", "only engines of this machine are asked"),
    ],
)
def test_docker_host_points_elsewhere(stage, value, told):
    """What runs here is asked all the same; the command says where, since Docker's command would go elsewhere."""
    docker = Docker(stage)
    docker.run("--name", "web", "-p", "8080:80", serve=80)
    begin = time.monotonic()
    said = inuse("8080", "--json", environment={"DOCKER_HOST": value}).json
    assert time.monotonic() - begin < 2
    assert remedy(said, "stop-container")["command"] == ["docker", "-H", "unix:///run/docker.sock", "stop", "web"]
    for pid in docker.pids("dockerd"):
        os.kill(pid, signal.SIGSTOP)
    said = inuse("8080", "--json", environment={"DOCKER_HOST": value}).json
    assert any(told in line and value in line for line in said["limits"])


@private
def test_docker_host_is_honoured(stage):
    docker = Docker(stage, socket="/run/second.sock")
    docker.run("--name", "near", "--network", "host", serve=8090)
    said = inuse("8090", "--json", environment={"DOCKER_HOST": "unix:///run/second.sock"}).json
    assert remedy(said, "stop-container")["command"] == ["docker", "stop", "near"]


@private
def test_the_context_is_honoured(stage):
    docker = Docker(stage, socket="/run/second.sock")
    docker.run("--name", "near", "--network", "host", serve=8090)
    docker.docker("context", "create", "second", "--docker", "host=unix:///run/second.sock")
    said = inuse("8090", "--json", environment={"HOME": "/run/home", "DOCKER_CONTEXT": "second"}).json
    assert remedy(said, "stop-container")["command"] == ["docker", "stop", "near"]


# -- Free here, taken inside ----------------------------------------------------------------------------


def elsewhere(said, name):
    """The containers of that name which listen elsewhere; other tests may have namespaces at the same time."""
    found = [one for one in said["findings"] if one["situation"] == "container"]
    listed = found[0]["details"].get("elsewhere", []) if found else []
    return [one for one in listed if one["container"] and one["container"]["name"] == name]


@private
def test_a_port_that_is_listened_on_only_inside(stage):
    docker = Docker(stage)
    docker.run("--name", "inner", "-p", "127.0.0.1:9095:8095", serve=8095)
    docker.run("--name", "closed", serve=8096)
    said = diagnosis("8095")
    assert said["verdict"] == "free"
    (inside,) = elsewhere(said, "inner")
    assert inside["name"] == "httpd"
    assert inside["pid"] in docker.pids("httpd")
    assert " is published as 127.0.0.1:9095." in finding(said, "container")["explanation"]  # "It", or "inner"
    assert finding(said, "container")["remedies"] == []
    said = diagnosis("8096")
    assert " is not published." in finding(said, "container")["explanation"]
    assert elsewhere(diagnosis("8097"), "inner") == []
    assert elsewhere(diagnosis("8095/udp"), "inner") == []


@private
def test_a_port_inside_that_an_ordinary_user_asks_for(stage):
    docker = Docker(stage)
    made = docker.run("--name", "inner", serve=8095)
    said = diagnosis("8095", enter=linux.become_nobody)
    assert said["verdict"] == "free"
    assert made in [one["container"]["id"] for one in finding(said, "container")["details"]["elsewhere"]]
    assert len(elsewhere(diagnosis("8095", enter=of_group(docker.socket)), "inner")) == 1


@private
def test_many_ports_at_once(stage):
    docker = Docker(stage)
    docker.run("--name", "inner", serve=8095)
    run = inuse("8001-8200", "--json")
    assert [one["target"]["port"] for one in run.json if elsewhere(one, "inner")] == [8095]


# -- The demo -------------------------------------------------------------------------------------------


@private
@pytest.mark.parametrize("staging", [container, container_host_network])
def test_the_demo(stage, staging):
    begin = time.monotonic()
    staged = staging(stage)
    said = diagnosis(staged.target)
    assert answer(said) == held("container")
    assert pids(said) == set(staged.pids)
    assert time.monotonic() - begin < 10


def test_nothing_is_left_of_a_daemon():
    """Processes, control groups and mounts end with the stage, also where the staging fails."""
    reading, writing = os.pipe()

    def work():
        from staging import _on_stage

        def fail(stage):
            docker = Docker(stage)
            docker.run("--name", "web", "-p", "8080:80", serve=80)
            os.write(writing, f"{docker.group} {' '.join(map(str, descendants(os.getpid())))}".encode())
            raise KeyError("broken off")

        _on_stage(fail, {})

    with pytest.raises((pytest.fail.Exception, pytest.skip.Exception)) as ended:
        in_child(work)
    if "broken off" not in str(ended.value):
        os.close(writing)
        os.close(reading)
        pytest.skip(str(ended.value))
    os.close(writing)
    with open(reading) as pipe:
        group, *left = pipe.read().split()
    assert len(left) > 4
    assert not [pid for pid in left if os.path.exists(f"/proc/{pid}")]
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        assert group not in folders, top


def test_the_demo_needs_root():
    def work():
        needs_users()
        linux.become_nobody()
        from staging import _on_stage

        _on_stage(lambda stage: Engine(stage, "Docker"), {})

    with pytest.raises(pytest.skip.Exception, match=r"root|namespace"):
        in_child(work)
