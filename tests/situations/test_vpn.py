"""What the situation makes of what was seen of VPN software, on scenes made by hand."""

import msgspec
import pytest
from msgspec.structs import replace

from inuse.diagnosis import explain
from inuse.evidence.container import Container
from inuse.evidence.vpn import Vpn
from inuse.model import Answer, Attempt, Descriptor, Host, Process, Scene, Socket, Target, Unit
from inuse.render import text
from inuse.scene import View

PORT = 1701


def scene(
    *vpns, name="python3", port=PORT, proto="udp", state="unconnected", remote=None, unit=None, ports=(32768, 60999)
):
    held = Socket(
        proto=proto,
        family="inet",
        local_address="0.0.0.0",
        local_port=port,
        state=state,
        inode=7,
        remote_address=remote,
    )
    attempt = Attempt(proto=proto, port=port)
    return Scene(
        target=Target(text=f"{port}/{proto}", proto=proto, port=port),
        answers=(Answer(attempt=attempt, call="bind", errno="EADDRINUSE"),),
        sockets=(held,),
        descriptors=(Descriptor(pid=12, fd=3, inode=7),),
        processes=(Process(pid=12, start_ticks=1, name=name, uid=0, unit=unit, cgroup=f"/system.slice/{unit}"),),
        host=Host(asker_uid=0, automatic_ports=ports, reserved_ports=""),
        vpns=vpns,
    )


def finding(made):
    said = explain(View(made))
    assert text.render(said)
    return next((one for one in said.findings if one.situation == "vpn"), None)


def holds(**facts):
    return Vpn(**{"product": "xl2tpd", "name": "xl2tpd", "family": "l2tp", "pid": 12, "program": "xl2tpd", **facts})


def needs(**facts):
    row = {"product": "strongswan", "name": "strongSwan", "family": "ike", "needs": True, "purpose": "ike", **facts}
    return Vpn(**row)


@pytest.mark.parametrize(
    ("facts", "confidence"),
    [
        ({"state": "running", "sure": True, "same_network": True, "pid": 20, "program": "charon"}, "certain"),
        ({"state": "running", "sure": True, "same_network": None, "pid": 20, "program": "charon"}, "likely"),
        ({"state": "running", "sure": False, "same_network": True, "pid": 20, "program": "charon"}, "likely"),
        ({"state": "enabled", "unit": "strongswan.service"}, "likely"),
        ({"state": "configured", "config": "/etc/x.conf", "line": 3}, "certain"),
        ({"state": "configured", "config": "/etc/x.conf"}, "likely"),
        ({"state": "installed"}, "possible"),
        ({"state": "asked"}, "possible"),
    ],
)
def test_how_sure_it_is_that_a_vpn_needs_the_port(facts, confidence):
    assert finding(scene(needs(**facts))).confidence == confidence


def test_nothing_of_a_vpn_is_said_where_nothing_was_seen():
    assert finding(scene()) is None


def test_a_container_that_may_hold_the_vpn_itself_is_not_in_its_way():
    made = replace(scene(needs(state="installed")), containers=(Container(id="1", pids=(12,), stand_ins=(12,)),))
    assert finding(made) is None
    assert finding(replace(made, vpns=(needs(state="enabled", unit="strongswan.service"),))) is not None


def test_its_own_socket_unit_is_not_in_its_way():
    made = scene(needs(state="enabled", unit="ocserv.service"), name="systemd")
    socket = Unit(name="ocserv.socket", starts="ocserv.service")
    process = replace(made.processes[0], exe="/usr/lib/systemd/systemd")
    assert finding(replace(made, units=(socket,), processes=(process,))) is None
    assert finding(replace(made, processes=(process,))) is not None


def test_where_the_protocol_fixes_the_port_the_other_program_should_move():
    told = finding(scene(needs(state="enabled", unit="strongswan.service")))
    assert "python3 should move" in told.explanation
    assert told.remedies[0].id == "move-holder"


def test_a_vpn_that_takes_another_port_by_itself():
    told = finding(scene(needs(state="configured", config="/etc/x", purpose="tunnel", falls_back="it takes another")))
    assert "When the port is taken, it takes another." in told.explanation


@pytest.mark.parametrize(
    ("state", "remote", "ports", "chance"),
    [
        ("established", "192.0.2.1", (1024, 60999), "likely"),
        ("unconnected", None, (1024, 60999), "possible"),
        ("unconnected", None, (32768, 60999), None),
    ],
)
def test_a_port_given_away_by_chance(state, remote, ports, chance):
    told = finding(scene(needs(state="configured", config="/etc/x"), state=state, remote=remote, ports=ports))
    assert told.details["by_chance"] == chance
    commands = [remedy.command for remedy in told.remedies]
    assert (("inuse", "reserve", "1701") in commands) == bool(chance)


@pytest.mark.parametrize(("reserved", "offered"), [("8080", True), ("1700-1702", False)])
def test_a_port_that_is_reserved_by_now_is_not_to_be_reserved_again(reserved, offered):
    made = scene(needs(state="configured", config="/etc/x"), ports=(1024, 60999))
    told = finding(replace(made, host=replace(made.host, reserved_ports=reserved)))
    assert ("reserve-port" in [remedy.id for remedy in told.remedies]) == offered


def test_networkmanager_wants_the_port_that_the_systems_xl2tpd_has():
    mine = holds(purpose="l2tp", unit="xl2tpd.service", sure=True)
    other = needs(
        product="networkmanager-l2tp",
        name="NetworkManager's L2TP",
        family="l2tp",
        purpose="l2tp",
        state="configured",
        connection="Office",
    )
    told = finding(scene(mine, other, name="xl2tpd", unit="xl2tpd.service"))
    assert (
        "Two L2TP daemons compete here: Office (NetworkManager's L2TP) wants the same port as this one."
        in told.explanation
    )
    commands = [remedy.command for remedy in told.remedies]
    assert ("systemctl", "stop", "xl2tpd.service") in commands
    assert ("systemctl", "disable", "--now", "xl2tpd.service") in commands


def test_strongswan_and_libreswan():
    mine = holds(
        product="strongswan", name="strongSwan", family="ike", purpose="ike", unit="strongswan.service", sure=True
    )
    other = needs(
        product="libreswan", name="Libreswan", state="enabled", unit="ipsec.service", config="/etc/ipsec.conf"
    )
    told = finding(scene(mine, other, name="charon-systemd", unit="strongswan.service"))
    assert "Two IKE daemons compete here: ipsec.service wants the same port as this one." in told.explanation
    off = [remedy.command for remedy in told.remedies if remedy.id == "disable-other"]
    assert off == [
        ("systemctl", "disable", "--now", "ipsec.service"),
        ("systemctl", "disable", "--now", "strongswan.service"),
    ]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"peers": 0}, "It has no peers."),
        ({"peers": 2}, "None of its peers was heard so far."),
        ({"peers": 2, "handshake_seconds": 7200}, "Its last handshake was 2 hours ago"),
        ({"peers": 2, "handshake_seconds": 20}, None),
    ],
)
def test_a_tunnel_that_is_not_used(facts, words):
    row = holds(
        product="wireguard-go", name="WireGuard", family="wireguard", purpose="tunnel", interface="wg0", **facts
    )
    told = finding(scene(row, name="wireguard-go", port=51820))
    if words:
        assert words in told.explanation
    else:
        assert "handshake" not in told.explanation


def test_a_root_only_remedy_says_so_to_an_ordinary_user():
    made = scene(holds(purpose="l2tp", unit="xl2tpd.service"), name="xl2tpd", unit="xl2tpd.service")
    told = finding(replace(made, host=replace(made.host, asker_uid=1000)))
    assert next(remedy for remedy in told.remedies if remedy.id == "stop-unit").needs_root


def test_a_vpn_in_a_container_is_not_to_be_stopped_from_outside():
    row = holds(product="strongswan-starter", name="strongSwan", family="ike", purpose="ike", stop=("ipsec", "stop"))
    made = replace(scene(row, name="charon", port=500), containers=(Container(id="1", pids=(12,)),))
    told = finding(made)
    assert not any(remedy.command for remedy in told.remedies)
    assert finding(replace(made, containers=())).remedies[0].command == ("ipsec", "stop")


def test_two_vpns_on_two_addresses_are_no_rivals():
    made = scene(holds(product="openvpn", name="OpenVPN", family="openvpn", purpose="tunnel"), name="openvpn")
    other = replace(made.sockets[0], local_address="127.0.0.2", inode=8)
    made = replace(
        made,
        sockets=(replace(made.sockets[0], local_address="127.0.0.1"), other),
        descriptors=(*made.descriptors, Descriptor(pid=13, fd=3, inode=8)),
        processes=(*made.processes, replace(made.processes[0], pid=13)),
        vpns=(*made.vpns, replace(made.vpns[0], pid=13)),
    )
    assert "compete" not in finding(made).explanation
    shared = replace(made, sockets=(made.sockets[0], replace(other, local_address="0.0.0.0")))
    assert "each packet reaches only one of them" in finding(shared).explanation


def test_the_evidence_survives_being_saved():
    made = scene(holds(purpose="l2tp"), needs(state="installed"))
    assert msgspec.json.decode(msgspec.json.encode(made), type=Scene) == made


def test_a_daemon_can_be_freed_from_a_port_that_the_protocol_fixes_where_none_competes():
    row = holds(purpose="l2tp", setting="port = 0", setting_in="xl2tpd.conf", setting_means="enough for a client")
    made = scene(row, name="xl2tpd")
    ways = [remedy.id for remedy in finding(made).remedies]
    assert ways == ["stop-holder", "free-vpn-port", "use-another-port"]
    rival = needs(product="l2tpd", family="l2tp", purpose="l2tp", state="enabled", unit="l2tpd.service")
    assert "free-vpn-port" not in [remedy.id for remedy in finding(replace(made, vpns=(row, rival))).remedies]


@pytest.mark.parametrize(
    ("facts", "how"),
    [
        ({"config": "/etc/x.conf", "line": 4}, "write `nobind` in /etc/x.conf, in place of line 4"),
        ({"config": "/etc/x.conf"}, "write `nobind` in /etc/x.conf"),
        ({"config": "/etc/x.conf", "argument": "--lport 9"}, "start it with `--nobind` in place of `--lport 9`"),
        ({}, "start it with `--nobind`"),
    ],
    ids=["a line", "a file that gives none", "an option beside a file", "options alone"],
)
def test_where_openvpn_is_told_another_port(facts, how):
    row = holds(product="openvpn", family="openvpn", purpose="tunnel", setting="nobind", setting_means="then", **facts)
    row = replace(row, setting_in="its configuration file")
    free = next(one for one in finding(scene(row, name="openvpn")).remedies if one.id == "free-vpn-port")
    assert free.title == f"Free it from this port: {how}; then. Then start it again"
    assert free.command is None


def test_a_stopped_daemon_is_not_asked_to_end_in_vain():
    made = scene(holds(purpose="l2tp"), name="xl2tpd")
    stopped = replace(made, processes=(replace(made.processes[0], state="stopped"),))
    assert "stop-holder" in [remedy.id for remedy in finding(made).remedies]
    assert "stop-holder" not in [remedy.id for remedy in finding(stopped).remedies]


def test_what_is_only_installed_does_not_need_it():
    row = needs(product="openvpn", name="OpenVPN", family="openvpn", purpose="tunnel", state="installed")
    said = finding(scene(row, port=1194, proto="tcp", state="listen"))
    assert said.title.endswith("sits on the port that OpenVPN, installed here, uses by default for its tunnel")
    assert said.explanation.startswith("OpenVPN over TCP uses it unless told otherwise.")
