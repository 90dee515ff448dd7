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
    assert of_root.command == ("runuser", "-l", "-s", "/bin/sh", "anna", "-c", "podman stop web")
    assert of_root.needs_root is False
    assert first(ROOTLESS, asker=1001).needs_root is True
    assert first(WEB, asker=1001).command == ("podman", "stop", "web")
    assert first(WEB, asker=1001).needs_root is True


def test_a_users_name_that_would_do_harm_is_put_into_no_shell():
    for user in ("a;reboot", None):
        stop = first(replace(ROOTLESS, user=user))
        assert (stop.command, stop.automatic, stop.title) == (None, False, "Stop the container web")


def test_which_container_it_is_is_asked_as_its_user():
    unknown = replace(ROOTLESS, id=None, name=None)
    assert first(unknown).id == "find-container"
    assert first(unknown).command == ("runuser", "-l", "-s", "/bin/sh", "anna", "-c", "podman ps")
    assert first(unknown, asker=1000).command == ("podman", "ps")


def test_what_kubernetes_runs_on_docker_is_not_stopped_by_itself():
    """The kubelet would start it again."""
    pod = replace(WEB, runtime="docker", source="api", name="k8s_web", pod="web-0", namespace="shop")
    assert first(pod).command == ("kubectl", "-n", "shop", "delete", "pod", "web-0")
    assert all("docker" not in (one.command or ()) for one in said(pod).findings[0].remedies)


def test_a_compose_service_may_have_more_containers():
    one = replace(WEB, runtime="docker", source="api", project="shop", service="api")
    stop, compose = said(one).findings[0].remedies[:2]
    assert (stop.command, stop.disrupts) == (("docker", "stop", "web"), "web")
    assert compose.command == ("docker", "compose", "-p", "shop", "stop", "api")
    assert compose.disrupts == "every container of shop's api"


@pytest.mark.parametrize("runtime", ["docker", "podman"])
def test_a_paused_container_can_go_on(runtime):
    found = said(replace(WEB, runtime=runtime, source="api", paused=True)).findings[0]
    assert "It is paused" in found.explanation
    assert found.details["paused"] is True
    assert [one.command for one in found.remedies[:2]] == [(runtime, "unpause", "web"), (runtime, "stop", "web")]


def test_the_hosts_network_is_spoken_of_only_where_it_is_known():
    inside = replace(WEB, stand_ins=(), network=None)
    assert "host's network" not in said(inside).findings[0].explanation
    assert "host's network" in said(replace(inside, network="host")).findings[0].explanation


@pytest.mark.parametrize(("proto", "told"), [("tcp", "is not published."), ("udp", "is published as 0.0.0.0:90.")])
def test_what_is_published_of_a_port_inside_is_of_its_protocol(proto, told):
    target = Target(text="8080", proto=proto, port=8080)
    free = replace(SCENE, target=target, answers=(Answer(attempt=Attempt(port=8080)),), sockets=(), descriptors=())
    ports = (Published(proto="udp", port=90, container_port=8080),)
    inside = replace(WEB, ports=ports, pids=(), elsewhere=True, listens=("[::]:8080",), source="api")
    found = explain(View(replace(free, processes=(), containers=(inside,))))
    assert told in found.findings[-1].explanation


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


def test_the_same_words_are_not_said_twice():
    free = replace(SCENE, answers=(Answer(attempt=Attempt(port=8080)),), sockets=(), descriptors=(), processes=())
    inside = Container(elsewhere=True, listens=("0.0.0.0:8080",))
    (_, found) = explain(View(replace(free, containers=(inside, inside)))).findings
    assert found.explanation.count("a process listens") == 1
    found = explain(View(replace(free, containers=(inside,) * 4))).findings[1]
    assert found.explanation.endswith("and 1 more does.")
