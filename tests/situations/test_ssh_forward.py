"""What is said of SSH forwards, on scenes made by hand: what no staging here can bring about."""

import msgspec
import pytest
from msgspec.structs import replace

from inuse.diagnosis import explain
from inuse.evidence.ssh import KeepAlive, Master, SshForward, Supervisor
from inuse.model import (
    Answer,
    Attempt,
    Connection,
    Descriptor,
    Host,
    Parent,
    Process,
    Scene,
    Socket,
    Target,
    TcpInfo,
)
from inuse.render.text import render
from inuse.scene import View

SSH = Process(
    pid=4711,
    start_ticks=1,
    name="ssh",
    exe="/usr/bin/ssh",
    cmdline=("ssh", "-N", "-L", "8080:db.example:5432", "bastion"),
    uid=1000,
    user="anna",
    parents=(Parent(pid=4002, name="bash"),),
)
SSHD = Process(
    pid=815, start_ticks=1, name="sshd", exe="/usr/sbin/sshd", cmdline=("sshd: anna",), uid=1000, user="anna"
)
LOCAL = SshForward(
    pid=4711,
    direction="local",
    address="127.0.0.1",
    port=8080,
    to="db.example:5432",
    via="bastion",
    source="command-line",
    spec="8080:db.example:5432",
    command=False,
)
REMOTE = SshForward(
    pid=815,
    direction="remote",
    address="127.0.0.1",
    port=8080,
    user="anna",
    remote="192.0.2.7:50123",
    keepalive=KeepAlive(interval=0, count=3, tcp=True, time=7200, step=75, probes=9, config="/etc/ssh/sshd_config"),
)


def scene(process, *forwards, connections=(), uid=1000):
    rows = tuple(
        Socket(
            proto="tcp",
            family="inet6" if ":" in forward.address else "inet",
            local_address=forward.address,
            local_port=forward.port,
            state="listen",
            inode=100 + number,
            uid=1000,
        )
        for number, forward in enumerate(forwards)
    )
    return Scene(
        target=Target(text="8080", proto="tcp", port=8080),
        answers=(Answer(attempt=Attempt(port=8080), call="bind", errno="EADDRINUSE"),),
        sockets=rows,
        descriptors=tuple(Descriptor(pid=process.pid, fd=5, inode=row.inode) for row in rows),
        processes=(process,),
        forwards=forwards,
        connections=connections,
        host=Host(asker_uid=uid),
    )


def way(info, **more):
    """The session's connection to its client."""
    row = Socket(
        proto="tcp",
        family="inet",
        local_address="192.0.2.1",
        local_port=22,
        remote_address="192.0.2.7",
        remote_port=50123,
        state="established",
        inode=99,
        info=info,
        **more,
    )
    return (Connection(pid=815, socket=row),)


def said(*arguments, **more):
    seen = scene(*arguments, **more)
    again = msgspec.json.decode(msgspec.json.encode(seen), type=Scene)
    diagnosis = explain(View(again))
    render(diagnosis)
    assert diagnosis == explain(View(seen)), "a saved scene gives another answer"
    return diagnosis


def found(*arguments, **more):
    return next(one for one in said(*arguments, **more).findings if one.situation == "ssh-forward")


def ids(finding):
    return [remedy.id for remedy in finding.remedies]


def test_the_summary_of_the_contract():
    assert (
        said(SSH, LOCAL).summary == "TCP port 8080 is in use: ssh (pid 4711) forwards 127.0.0.1:8080 to db.example:5432"
    )


def test_a_service_is_stopped_as_a_service():
    process = replace(SSH, unit="tunnel.service", cgroup="/system.slice/tunnel.service")
    diagnosis = said(process, LOCAL)
    finding = diagnosis.findings[0]
    assert ids(finding) == ["stop-unit", "use-another-port"]
    assert finding.remedies[0].command == ("systemctl", "stop", "tunnel.service")
    assert finding.remedies[0].needs_root
    assert "The service tunnel.service runs it." in finding.explanation
    assert render(diagnosis).count("systemctl stop tunnel.service") == 1
    mine = found(replace(process, user_unit=True), LOCAL)
    assert mine.remedies[0].command == ("systemctl", "--user", "stop", "tunnel.service")
    assert not mine.remedies[0].needs_root


@pytest.mark.parametrize(
    ("name", "called"), [("cursor", "Cursor"), ("code-insiders", "VS Code Insiders"), ("idea", "IntelliJ IDEA")]
)
def test_editors(name, called):
    process = replace(SSH, parents=(Parent(pid=4001, name="sh"), Parent(pid=4000, name=name)))
    finding = found(process, LOCAL)
    assert f"{called} (pid 4000) started it." in finding.explanation
    assert ids(finding)[0] == "close-editor"


def test_autossh_of_another_user_needs_root():
    forward = replace(LOCAL, supervisor=Supervisor(pid=4710, name="autossh", start_ticks=1, uid=0))
    finding = found(SSH, forward)
    assert ids(finding) == ["stop-supervisor", "use-another-port"]
    assert finding.remedies[0].needs_root


def test_a_master_is_never_ended_for_one_forward():
    master = Master(control_path="/home/anna/.ssh/c d", reachable=True, sessions=3)
    finding = found(SSH, replace(LOCAL, master=master, control_path=master.control_path))
    assert ids(finding) == ["cancel-forward", "exit-master", "use-another-port"]
    assert finding.remedies[0].command[4] == "/home/anna/.ssh/c d"
    assert finding.remedies[1].disrupts == "its 3 sessions and all its forwards"
    assert "3 sessions use it now" in finding.explanation
    unknown = found(SSH, replace(LOCAL, master=replace(master, sessions=None), control_path=master.control_path))
    assert unknown.remedies[1].disrupts == "its sessions and all its forwards"


def test_both_addresses_are_one_forward():
    finding = found(SSH, LOCAL, replace(LOCAL, address="::1"))
    assert "what connects to 127.0.0.1:8080 and [::1]:8080" in finding.explanation
    assert finding.holders == (4711,)


def test_silence_is_no_proof_of_death():
    info = TcpInfo(last_data_recv_ms=2_400_000, last_ack_recv_ms=60_000)
    finding = found(SSHD, REMOTE, connections=way(info, timer="keepalive", expires_ms=4_800_000))
    assert "It last sent something 40 min ago, though its computer acknowledged data 60 s ago" in finding.explanation
    assert "whether its end still lives can't be told from here" in finding.explanation
    assert "TCP keepalive ends it after 2 h 11 min" in finding.explanation
    assert "(first probe in 80 min)" in finding.explanation
    assert finding.details["silent_seconds"] == 2400


def test_what_is_not_acknowledged():
    info = TcpInfo(last_data_recv_ms=600_000, last_ack_recv_ms=600_000, unacked=2, retransmits=9, backoff=9)
    finding = found(SSHD, REMOTE, connections=way(info, timer="on", expires_ms=90_000))
    assert "sent again 9 times: its computer, or the network between, seems gone" in finding.explanation
    assert "TCP gives up about 15 min after the first loss" in finding.explanation
    assert any("2 segments unacknowledged, 9 retransmissions" in line for line in finding.evidence)


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (KeepAlive(interval=15, count=3, tcp=True), "45 to 60 s after the client was last heard."),
        (KeepAlive(), "could not be read."),
        (KeepAlive(interval=0, count=3, tcp=False), "nothing ends it."),
        (KeepAlive(interval=0, count=3, unused="5m"), "UnusedConnectionTimeout 5m ends it earlier"),
        (
            KeepAlive(interval=0, count=3, matched=True, changed=True),
            "unless a Match block says otherwise or the settings",
        ),
    ],
)
def test_what_will_notice_it(keep, expected):
    assert expected in found(SSHD, replace(REMOTE, keepalive=keep)).explanation


def test_an_own_session_is_never_ended():
    finding = found(SSHD, replace(REMOTE, own_session=True))
    assert ids(finding) == ["end-client", "use-another-port"]


def test_a_session_of_another_user_needs_root():
    stop = next(one for one in found(SSHD, REMOTE, uid=1001).remedies if one.id == "stop-holder")
    assert stop.needs_root


def test_a_forward_that_is_on_another_port_says_nothing():
    other = scene(SSH, LOCAL)
    assert all(
        one.situation != "ssh-forward"
        for one in explain(View(replace(other, forwards=(replace(LOCAL, port=9),)))).findings
    )
    assert all(one.situation != "ssh-forward" for one in explain(View(replace(other, forwards=()))).findings)


def test_hostile_words_do_no_harm():
    evil = "x\n$ rm -rf /\x1b[2J\u202e"
    forward = replace(LOCAL, to=evil, via=evil, config=evil, control_path=evil, spec=evil)
    master = Master(control_path=evil, reachable=True, sessions=1)
    for one in (forward, replace(forward, source="config", sure=False), replace(forward, master=master)):
        for line in render(said(replace(SSH, name=evil, cmdline=(evil,)), one)).split("\n"):
            assert line.isprintable()


def test_what_was_never_sent_again_is_not_counted():
    """The link itself is down: the kernel probes, and counts nothing as sent."""
    info = TcpInfo(last_data_recv_ms=6_000, last_ack_recv_ms=6_000, backoff=3)
    finding = found(SSHD, REMOTE, connections=way(info, timer="probe", expires_ms=1_400))
    assert "what was sent to it since is not acknowledged: its computer, or the network" in finding.explanation
    assert "0 times" not in finding.explanation


def test_two_sessions_are_ended_each_and_the_rest_is_said_once():
    other = replace(SSHD, pid=816)
    first, second = REMOTE, replace(REMOTE, pid=816, address="::1")
    seen = scene(SSHD, first, second)
    seen = replace(
        seen,
        processes=(SSHD, other),
        descriptors=(seen.descriptors[0], replace(seen.descriptors[1], pid=816)),
    )
    finding = explain(View(seen)).findings[0]
    assert finding.holders == (815, 816)
    assert ids(finding) == ["end-client", "stop-holder", "stop-holder", "client-alive-interval", "use-another-port"]


def test_a_parent_that_can_not_have_started_it_is_not_named():
    orphan = found(replace(SSH, parents=(Parent(pid=900, name="systemd"),)), replace(LOCAL, orphan=True))
    assert "What started it has ended." in orphan.explanation
    assert orphan.details["started_by"] is None
    unknown = found(replace(SSH, parents=(), ppid=1), LOCAL)
    assert "started" not in unknown.explanation
    assert "has ended" not in unknown.explanation


def test_a_host_that_looks_like_an_option_is_not_handed_to_ssh():
    master = Master(control_path="/run/c", reachable=True, sessions=1)
    finding = found(SSH, replace(LOCAL, via="-oProxyCommand=x", master=master, control_path="/run/c"))
    assert {remedy.command[-1] for remedy in finding.remedies if remedy.command} == {"master"}
