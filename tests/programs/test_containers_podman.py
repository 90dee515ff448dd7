"""A real Podman: conmon keeps the port, with its API and without it."""

import os
import subprocess
from pathlib import Path

import pytest
from staging import answer, diagnosis, finding, held, pids, private, private_mounts, script

from inuse.demo import linux
from inuse.demo.container import Podman
from inuse.demo.stage import find_program as find
from inuse.demo.stage import tcp_states, until
from inuse.demo.stagings import control_group, join

IMAGE = "localhost/tiny:1"


def remedies(said):
    return {one["id"]: one for found in said["findings"] for one in found["remedies"]}


@private
def test_conmon_stands_in(stage):
    """No API is there to be asked: conmon's arguments and Podman's own list tell name and image."""
    podman = Podman(stage)
    made = podman.run("--name", "web", "-p", "8080:80", serve=80)
    said = diagnosis("8080")
    assert answer(said) == held("container")
    (holder,) = said["holders"]
    assert holder["name"] == "conmon"
    shown = holder["container"]
    assert (shown["id"], shown["name"], shown["image"], shown["runtime"]) == (made, "web", IMAGE, "podman")
    assert remedies(said)["stop-container"]["command"] == ["podman", "stop", "web"]
    assert "stop-holder" not in remedies(said)
    podman.podman("stop", "-t", "0", "web")
    assert diagnosis("8080")["verdict"] == "free"


@private
def test_its_api_tells_more(stage):
    podman = Podman(stage)
    podman.run("--name", "web", "-p", "127.0.0.1:8080:80/udp", "--restart", "always", serve=80)
    podman.run("--name", "other", "--label", "io.podman.compose.project=shop", "-p", "8080:80", serve=80)
    podman.serve()
    said = diagnosis("8080/udp")
    shown = said["holders"][0]["container"]
    assert (shown["name"], shown["restart"]) == ("web", "always")
    assert shown["ports"] == [{"proto": "udp", "address": "127.0.0.1", "port": 8080, "container_port": 80}]
    assert any(line.startswith("Podman lists web") for line in finding(said, "container")["evidence"])
    shown = diagnosis("8080")["holders"][0]["container"]
    assert (shown["name"], shown["project"]) == ("other", "shop")


@private
def test_the_hosts_network(stage):
    podman = Podman(stage)
    podman.run("--name", "near", "--network", "host", serve=8080)
    said = diagnosis("8080")
    assert answer(said) == held("container")
    assert pids(said) == set(podman.pids("httpd"))
    assert said["holders"][0]["container"]["name"] == "near"
    assert said["holders"][0]["container"]["image"] == IMAGE
    assert remedies(said)["stop-container"]["command"] == ["podman", "stop", "near"]
    said = diagnosis("8080", enter=linux.become_nobody)
    assert answer(said) == held("container")
    assert remedies(said)["stop-container"]["needs_root"] is True
    assert any("podman.sock" in line for line in said["limits"]) or finding(said, "container")["details"]["name"]


@private
def test_listening_only_inside(stage):
    podman = Podman(stage)
    podman.run("--name", "inner", "--network", "none", serve=8095)
    said = diagnosis("8095")
    assert said["verdict"] == "free"
    listed = finding(said, "container")["details"]["elsewhere"]
    assert [one["name"] for one in listed if one["container"] and one["container"]["name"] == "inner"] == ["httpd"]


@private
def test_a_unit_that_runs_the_container(stage):
    """With a unit of systemd (quadlet, podman generate systemd) the unit brings the container back."""
    podman = Podman(stage)
    podman.run("--name", "web", "-p", "8080:80", serve=80)
    group = control_group(stage, f"{podman.group}-unit/system.slice/web.service")
    stage.afterwards(lambda: join(Path(str(group).partition(podman.group)[0]), podman.pids("conmon")[0]))
    for pid in podman.pids("conmon"):
        join(group, pid)
    said = diagnosis("8080")
    assert answer(said) == held("container")
    assert remedies(said)["stop-unit"]["command"] == ["systemctl", "stop", "web.service"]
    assert not {"stop-holder", "stop-container"} & remedies(said).keys()


@private
def test_pasta_stands_in(stage):
    """Rootless Podman's pasta says which network namespace it serves; a process in there tells the container."""
    pasta = find("pasta", "passt")
    made = "0123456789abcdef" * 4
    group = control_group(stage, f"inuse-demo-{os.getpid()}/libpod-{made}")
    code = "import ctypes\nassert not ctypes.CDLL(None).unshare(0x40000000)\nkept = listener('80', '0.0.0.0')\n"
    inside = script(stage, code + "say(ready=True); stay()")
    inside.hear()
    join(group, inside.pid)
    private_mounts()
    linux.mount("tmpfs", "/run", "tmpfs")
    os.mkdir("/run/netns")
    Path("/run/netns/netns-1").touch()
    linux.mount(f"/proc/{inside.pid}/ns/net", "/run/netns/netns-1", None, 4096)
    linux.add_veth("veth0", "veth1")  # pasta copies the addresses of an interface with a route
    ip = find("ip", "iproute2")
    for words in ("addr add 192.0.2.1/24 dev veth0", "route add default via 192.0.2.2"):
        subprocess.run([ip, *words.split()], check=True)
    forward = ("-f", "--runas", "0:0", "--config-net", "-t", "8080:80", "-u", "none", "-T", "none", "-U", "none")
    program = stage.program(pasta, *forward, "--netns", "/run/netns/netns-1")
    until(lambda: program.process.poll() is not None or "0A" in tcp_states(8080), "pasta's socket")
    if program.process.poll() is not None:
        pytest.skip("pasta finds no interface to copy here")
    said = diagnosis("8080")
    assert answer(said) == held("container")
    assert said["holders"][0]["container"]["id"] == made
    assert remedies(said)["stop-container"]["command"] == ["podman", "stop", made[:12]]
    assert "stop-holder" not in remedies(said)
