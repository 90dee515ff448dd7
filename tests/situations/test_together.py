"""Several things at once about one port: their order, and what is never offered. Scenes made by hand."""

import pytest
from msgspec.structs import replace

from inuse.diagnosis import explain
from inuse.evidence.container import Container
from inuse.evidence.program import Program, Running
from inuse.evidence.ssh import SshForward, Supervisor
from inuse.evidence.vpn import Vpn
from inuse.model import Answer, Attempt, Descriptor, Host, Process, Scene, Socket, Target, Unit
from inuse.render.text import render
from inuse.scene import View
from inuse.situations import words

SERVER = Process(pid=100, start_ticks=1, name="server", exe="/srv/server", cwd="/srv", uid=1000, user="anna", ppid=1)
MANAGED = replace(SERVER, unit="web.service", cgroup="/system.slice/web.service")
FORWARD = SshForward(
    pid=100, direction="local", address="127.0.0.1", port=8080, to="db:1", via="bastion", source="command-line"
)
VPN = Vpn(product="openvpn", name="OpenVPN", family="openvpn", program="server", pid=100, proto="tcp", port=8080)


def scene(*processes, state="listen", asker=0, **more):
    """Each process has a socket of its own on the port."""
    rows = tuple(
        Socket(proto="tcp", family="inet", local_address="127.0.0.1", local_port=8080, state=state, inode=p.pid, uid=0)
        for p in processes
    )
    return Scene(
        target=Target(text="8080", proto="tcp", port=8080),
        answers=(Answer(attempt=Attempt(port=8080), call="bind", errno="EADDRINUSE"),),
        sockets=rows,
        descriptors=tuple(Descriptor(pid=p.pid, fd=3, inode=p.pid) for p in processes),
        processes=processes,
        host=Host(asker_uid=asker),
        **more,
    )


def order(diagnosis):
    return [finding.situation for finding in diagnosis.findings]


def commands(diagnosis):
    return [remedy.command for finding in diagnosis.findings for remedy in finding.remedies if remedy.command]


def instance(pid=100):
    program = Program(words=("server",), exe="/srv/server")
    return {"wanted": program, "programs": (Running(holder=pid, pid=pid, program=program),)}


@pytest.mark.parametrize(
    ("process", "more", "expected"),
    [
        (MANAGED, {}, ["service"]),
        (replace(MANAGED, state="stopped"), {}, ["suspended-process", "service"]),
        (replace(SERVER, state="stopped"), instance(), ["suspended-process", "same-application"]),
        (MANAGED, instance(), ["service", "same-application"]),
        (MANAGED, {"vpns": (VPN,)}, "vpn service"),
        (MANAGED, {"forwards": (FORWARD,)}, ["ssh-forward", "service"]),
        (replace(MANAGED, state="stopped"), {"forwards": (FORWARD,)}, "ssh-forward suspended-process service"),
        (SERVER, {"forwards": (FORWARD,), **instance()}, ["ssh-forward", "same-application"]),
        (
            replace(SERVER, state="stopped"),
            {"containers": (Container(id="c" * 12, name="web", pids=(100,)),)},
            ["container", "suspended-process"],
        ),
    ],
)
def test_the_order_of_the_contract(process, more, expected):
    if isinstance(expected, str):
        expected = expected.split()
    diagnosis = explain(View(scene(process, **more)))
    assert order(diagnosis) == expected
    assert diagnosis.situation == expected[0]
    assert diagnosis.summary.endswith(diagnosis.findings[0].title)
    assert all(set(finding.holders) <= {100} for finding in diagnosis.findings)


def test_several_holders_each_with_a_finding_of_its_own():
    other = replace(SERVER, pid=200, name="other")
    diagnosis = explain(View(scene(other, SERVER, forwards=(FORWARD,))))
    assert [(f.situation, f.holders) for f in diagnosis.findings] == [("ssh-forward", (100,)), ("application", (200,))]


@pytest.mark.parametrize("state", ["listen", "bound", "close-wait"])
def test_what_a_service_manager_brings_back_is_not_killed(state):
    for more in ({}, instance()):
        diagnosis = explain(View(scene(MANAGED, state=state, **more)))
        assert order(diagnosis)[0] == "service"
        assert commands(diagnosis) == [("systemctl", "stop", "web.service")]


def test_a_suspended_service_or_container_is_not_killed_by_its_pid():
    stopped = replace(MANAGED, state="stopped")
    assert commands(explain(View(scene(stopped)))) == [("kill", "-CONT", "100"), ("systemctl", "stop", "web.service")]
    contained = scene(replace(SERVER, state="stopped"), containers=(Container(id="c" * 12, name="web", pids=(100,)),))
    assert not [command for command in commands(explain(View(contained))) if "-TERM" in " ".join(command)]


def test_what_the_asker_was_started_from_is_not_ended():
    """The port of the sshd that one is logged in through: its listener may go, one's own session not."""
    session = replace(SERVER, pid=200, asks=True)
    diagnosis = explain(View(scene(SERVER, session)))
    assert commands(diagnosis) == [("kill", "-TERM", "100")]
    assert "You are asking from inside server (pid 200)" in diagnosis.findings[0].explanation
    assert commands(explain(View(scene(session)))) == []


def test_what_autossh_brings_back_is_not_killed():
    supervised = replace(FORWARD, supervisor=Supervisor(pid=99, name="autossh", start_ticks=1, uid=1000))
    diagnosis = explain(View(scene(replace(SERVER, name="ssh"), forwards=(supervised,), **instance())))
    assert order(diagnosis) == ["ssh-forward", "same-application"]
    assert commands(diagnosis) == [("kill", "-TERM", "99")]


def test_the_session_of_a_client_may_be_ended_though_it_belongs_to_the_servers_unit():
    session = replace(MANAGED, name="sshd", unit="ssh.service")
    diagnosis = explain(View(scene(session, forwards=(replace(FORWARD, direction="remote", user="anna"),))))
    assert order(diagnosis) == ["ssh-forward"]
    assert commands(diagnosis) == [("kill", "-TERM", "100")]


def test_two_users_may_each_have_a_unit_of_one_name():
    anna = replace(SERVER, unit="dev.service", user_unit=True, cgroup="/user.slice/a")
    ben = replace(anna, pid=200, uid=1001, user="ben")
    diagnosis = explain(View(scene(anna, ben, asker=1000)))
    stops = [remedy for remedy in diagnosis.findings[0].remedies if remedy.id == "stop-unit"]
    assert [(stop.command, stop.needs_root) for stop in stops] == [
        (("systemctl", "--user", "stop", "dev.service"), False),
        (("systemctl", "--user", "--machine=ben@", "stop", "dev.service"), True),
    ]


def test_a_users_unit_is_not_read_from_the_system_units_file():
    unit = Unit(name="web.service", path="/etc/systemd/system/web.service", restart="always")
    diagnosis = explain(View(scene(replace(MANAGED, user_unit=True), units=(unit,))))
    assert diagnosis.findings[0].details["restart"] is None


@pytest.mark.parametrize(
    ("restart", "said"),
    [
        ("always", "ending the process alone brings it back"),
        ("on-failure", "ending the process alone may bring it back"),
        ("no", "is not restarted by itself"),
    ],
)
def test_only_some_settings_restart_after_a_clean_end(restart, said):
    unit = Unit(name="web.service", path="/x", restart=restart)
    assert said in explain(View(scene(MANAGED, units=(unit,)))).findings[0].explanation


def test_a_control_group_named_like_an_option_is_no_option():
    """Any user can make one below a group of one's own: systemctl -H would go to another host."""
    diagnosis = explain(View(scene(replace(MANAGED, unit="-Hevil.service"))))
    assert commands(diagnosis) == [("systemctl", "stop", "--", "-Hevil.service")]


def test_another_port_is_the_last_thing_a_person_reads():
    text = render(explain(View(scene(replace(SERVER, state="stopped"), forwards=(FORWARD,)))))
    assert text.count("another port") == 1
    assert text.index("kill -CONT") < text.index("another port") < text.index("\nknown")


def test_what_is_only_likely_an_instance_is_said_so():
    wanted = Program(words=("server", "--port", "1"))
    seen = scene(SERVER, wanted=wanted, programs=(Running(holder=100, pid=100, program=Program(words=("./server",))),))
    finding = explain(View(seen)).findings[0]
    assert (finding.situation, finding.confidence) == ("same-application", "likely")
    assert "most likely" in finding.title
    assert "most likely" in finding.explanation


def test_a_long_command_is_not_repeated_whole():
    wanted = Program(words=("server", "x" * 5000, "a\nb"), exe="/srv/server")
    seen = scene(SERVER, wanted=wanted, programs=instance()["programs"])
    finding = explain(View(seen)).findings[0]
    assert len(finding.explanation) < 300
    assert "\n" not in finding.explanation
    assert finding.details["command"] == list(wanted.words)


def test_one_way_to_a_unit_whoever_asks():
    """Every situation reaches a service by the same words: its user's manager, and a name that looks like an option."""
    other = replace(SERVER, pid=7, unit="-Hx.service", user_unit=True)
    command = ("systemctl", "--user", "--machine=anna@", "restart", "--", "-Hx.service")
    assert words.systemctl(View(scene(other)), other, "restart") == (command, False)
    own = View(scene(other, asker=1000))
    assert words.systemctl(own, other, "stop") == (("systemctl", "--user", "stop", "--", "-Hx.service"), False)
    both = ("systemctl", "stop", "web.socket", "web.service")
    assert words.systemctl(own, MANAGED, "stop", "web.socket") == (both, True)
    assert words.services((other, MANAGED, SERVER)) == [[other], [MANAGED]]
