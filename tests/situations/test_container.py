"""What is said and offered of containers that are hard to stage: whose engine it is, and what brings it back."""

import pytest
from msgspec.structs import replace

from inuse.diagnosis import explain
from inuse.evidence.container import Container, Published
from inuse.model import Answer, Attempt, Descriptor, Host, Process, Scene, Socket, Target
from inuse.scene import View

ID = "ab" * 32
HOLDER = Process(pid=7, start_ticks=1, name="conmon", uid=1000, user="anna", cmdline=("conmon",))
SCENE = Scene(
    target=Target(text="8080", proto="tcp", port=8080),
    answers=(Answer(attempt=Attempt(port=8080), call="bind", errno="EADDRINUSE"),),
    sockets=(Socket(proto="tcp", family="inet", local_address="0.0.0.0", local_port=8080, state="listen", inode=9),),
    descriptors=(Descriptor(pid=7, fd=3, inode=9),),
    processes=(HOLDER,),
    host=Host(asker_uid=0, asker_low_ports=True, systemd=True),
)
WEB = Container(
    id=ID, name="web", image="nginx", runtime="podman", pids=(7,), stand_ins=(7,), ports=(Published(port=8080),)
)
ROOTLESS = replace(WEB, user="anna", uid=1000)


def said(container, *, asker=0, **process):
    scene = replace(SCENE, containers=(container,), host=replace(SCENE.host, asker_uid=asker))
    scene = replace(scene, processes=(replace(HOLDER, **process),))
    return explain(View(scene))


def first(container, **more):
    return said(container, **more).findings[0].remedies[0]


def test_podman_knows_only_the_containers_of_who_asks():
    assert first(ROOTLESS, asker=1000).command == ("podman", "stop", "web")
    assert first(ROOTLESS, asker=1000).needs_root is False
    of_root = first(ROOTLESS)
    assert of_root.command == ("runuser", "-l", "anna", "-c", "podman stop web")
    assert of_root.needs_root is False
    assert first(ROOTLESS, asker=1001).needs_root is True
    assert first(WEB, asker=1001).command == ("podman", "stop", "web")
    assert first(WEB, asker=1001).needs_root is True


def test_a_users_name_that_would_do_harm_is_put_into_no_shell():
    assert "-c" not in first(replace(ROOTLESS, user="a;reboot")).command


def test_the_engine_of_another_socket_is_named():
    docker = replace(ROOTLESS, runtime="docker", endpoint="unix:///run/user/1000/docker.sock", source="api")
    assert first(docker).command == ("docker", "-H", "unix:///run/user/1000/docker.sock", "stop", "web")


def test_a_users_unit_is_stopped_in_their_manager():
    unit = replace(ROOTLESS, unit="web.service")
    assert first(unit, user_unit=True).command == ("systemctl", "--user", "--machine=anna@", "stop", "web.service")
    mine = first(unit, user_unit=True, asker=1000)
    assert mine.command == ("systemctl", "--user", "stop", "web.service")
    assert mine.needs_root is False
    assert "web.service" in said(unit).findings[0].explanation


def test_a_stand_in_without_a_known_container_is_never_ended():
    unknown = Container(runtime="podman", pids=(7,), stand_ins=(7,))
    found = said(unknown)
    assert found.situation == "container"
    assert all("kill" not in (one.command or ()) for finding in found.findings for one in finding.remedies)
    assert found.holders[0].container["name"] is None


@pytest.mark.parametrize(
    "runtime", ["docker", "podman", "containerd", "cri-o", "lxc", "incus", "lxd", "buildkit", "new"]
)
@pytest.mark.parametrize("stand_ins", [(), (7,)])
@pytest.mark.parametrize("known", [{"id": ID}, {"name": "web"}, {}])
def test_every_engine_has_words_and_no_end_of_the_process(runtime, stand_ins, known):
    found = said(Container(runtime=runtime, pids=(7,), stand_ins=stand_ins, **known))
    assert found.situation == "container"
    assert "None" not in found.findings[0].title + found.findings[0].explanation
    assert all("kill" not in (one.command or ())[:1] for one in found.findings[0].remedies)


def test_a_saved_scene_of_a_free_port_says_what_is_elsewhere():
    free = replace(SCENE, answers=(Answer(attempt=Attempt(port=8080)),), sockets=(), descriptors=(), processes=())
    inside = Container(elsewhere=True, listens=("0.0.0.0:8080",), place="blue", listener_pid=5, listener_name="nginx")
    found = explain(View(replace(free, containers=(inside,))))
    assert found.verdict == "free"
    text = " ".join(finding.explanation for finding in found.findings)
    assert "nginx (pid 5) listens on 0.0.0.0:8080 in the network namespace blue" in text
    many = tuple(replace(inside, listener_pid=pid) for pid in range(20))
    found = explain(View(replace(free, containers=many)))
    assert len(" ".join(finding.explanation for finding in found.findings)) < 500
    assert explain(View(free)).situation == "free"
