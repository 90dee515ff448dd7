"""Real VPN software that holds a port: which connection, which file, which interface, and how to end it."""

import os
import signal
import subprocess

from staging import IN_USE, answer, diagnosis, finding, inuse, needs_users, pids, private, script, situations

from inuse.demo import linux, vpn
from inuse.demo.stage import find_program
from inuse.demo.stagings import control_group, join


def remedies(found):
    return {remedy["id"]: remedy for remedy in found["remedies"]}


def held(target, enter=None):
    said = diagnosis(target, enter=enter)
    assert answer(said) == ("in_use", "vpn", *IN_USE), said["summary"]
    return said, finding(said, "vpn")


# -- OpenVPN --------------------------------------------------------------------------------------


@private
def test_openvpn_is_named_with_its_connection_file_and_interface(stage):
    staged = vpn.vpn(stage)
    said, found = held(staged.target)
    (pid,) = staged.pids
    assert pids(said) == {pid}
    assert found["confidence"] == "certain"
    assert (
        found["title"]
        == f"openvpn (pid {pid}) holds it for the tunnel office (/etc/openvpn/client/office.conf, tun0 up)"
    )
    details = found["details"]
    assert (details["direction"], details["product"], details["purpose"]) == ("holds", "openvpn", "tunnel")
    assert (details["interface"], details["up"], details["remote"]) == ("tun0", True, "127.0.0.1:1195")
    assert "10.8.0.2/32" in details["addresses"]
    free, stop = remedies(found)["free-vpn-port"], remedies(found)["stop-holder"]
    assert "`nobind` in /etc/openvpn/client/office.conf" in free["title"]
    assert not free["automatic"]
    assert (stop["command"], stop["disrupts"]) == (
        ["kill", "-TERM", str(pid)],
        "the tunnel office, for everybody who uses it",
    )
    assert found["remedies"].index(free) < found["remedies"].index(stop)
    assert "application" not in situations(said)


@private
def test_openvpns_secrets_are_never_shown(stage):
    vpn.vpn(stage)
    run = inuse("1194/udp", "--json")
    text = inuse("1194/udp")
    assert run.status == 0
    for line in vpn.Path("/etc/openvpn/client/office.conf").read_text().splitlines():
        if len(line) == 32:
            assert line not in run.text
            assert line not in text.text


@private
def test_the_management_port_is_told_from_the_tunnel(stage):
    vpn.vpn(stage)
    _, found = held("7505")
    assert found["details"]["purpose"] == "management"
    assert "as the management port of the tunnel office" in found["title"]
    assert "/etc/openvpn/client/office.conf:5 gives the port" in found["evidence"]
    assert "in place of line 5" in remedies(found)["free-vpn-port"]["title"]
    assert "`management /run/openvpn/NAME.sock unix`" in remedies(found)["free-vpn-port"]["title"]


@private
def test_with_nobind_openvpn_holds_no_port_of_its_own(stage):
    vpn.own_files(stage, vpn.OPENVPN)
    vpn.write_openvpn("office.conf", "remote 127.0.0.1 1195", "nobind")
    program = vpn.openvpn(stage, "office.conf", port=0)
    vpn.until(lambda: any(port > 32767 for port in vpn.udp_ports()), "its socket")
    assert diagnosis("1194/udp")["verdict"] == "free"
    (port,) = set(vpn.udp_ports())
    _, found = held(f"{port}/udp")
    assert found["title"].startswith(f"openvpn (pid {program.pid}) was given it by chance for the tunnel office")
    assert found["details"]["setting"] is None


@private
def test_options_of_the_command_line_count_too(stage):
    vpn.own_files(stage, vpn.OPENVPN)
    vpn.write_openvpn("server.conf")
    program = vpn.openvpn(stage, "server.conf", "--port", "5555", port=5555)
    _, found = held("5555/udp")
    assert found["holders"] == [program.pid]
    assert found["details"]["purpose"] == "tunnel"
    assert found["details"]["side"] == "server"
    assert "its command line gives the port: --port 5555" in found["evidence"]
    assert "start it with `--port N` in place of `--port 5555`" in remedies(found)["free-vpn-port"]["title"]


@private
def test_a_stopped_openvpn_is_not_asked_to_end_in_vain(stage):
    staged = vpn.vpn(stage)
    vpn.os.kill(staged.pids[0], signal.SIGSTOP)
    said, found = held(staged.target)
    assert situations(said)[:2] == ["vpn", "suspended-process"]
    assert "stop-holder" not in remedies(found)
    command = remedies(finding(said, "suspended-process"))["stop-holder"]["command"]
    subprocess.run(command, check=True)
    vpn.until(lambda: 1194 not in vpn.udp_ports(), "the end of openvpn")


@private
def test_a_client_that_openvpn_leaves_unbound_needs_no_port(stage):
    """OpenVPN 2.6 takes ``client`` for ``nobind``; older ones do not, so that it is possible at most."""
    vpn.own_files(stage, vpn.OPENVPN)
    vpn.write_openvpn("home.conf", "client", "remote vpn.example 1194")
    vpn.hold_udp(stage, 1194)
    found = finding(diagnosis("1194/udp"), "vpn")
    assert (found["confidence"], found["details"]["state"]) == ("possible", "installed")
    assert "sits on the port that OpenVPN, installed here, uses by default for its tunnel" in found["title"]
    vpn.write_openvpn("home.conf", "client", "remote vpn.example 1194", "lport 1194")
    found = finding(diagnosis("1194/udp"), "vpn")
    assert (found["confidence"], found["details"]["state"]) == ("certain", "configured")


@private
def test_a_client_whose_file_gives_a_port_of_its_own_is_not_started_by_the_unit(stage):
    vpn.own_files(stage, vpn.OPENVPN)
    vpn.write_openvpn("client/home.conf", "client", "remote vpn.example 1194", "lport 5000")
    vpn.hold_udp(stage, 5000)
    found = finding(diagnosis("5000/udp"), "vpn")
    assert (found["details"]["connection"], found["details"]["unit"]) == ("home", None)
    assert "/etc/openvpn/client/home.conf" in found["details"]["config"]


@private
def test_nobody_uses_a_management_port_by_default(stage):
    vpn.own_files(stage, vpn.OPENVPN)
    server = script(stage, "server = listener('7505', '127.0.0.1'); say(); stay()")
    server.hear()
    assert situations(diagnosis("7505")) == ["application"]


@private
def test_an_interface_that_is_down_or_gone_makes_a_stale_tunnel(stage):
    vpn.vpn(stage)
    ip = find_program("ip")
    subprocess.run([ip, "link", "set", "tun0", "down"], check=True)
    _, found = held("1194/udp")
    assert "tun0 down" in found["title"]
    assert "the tunnel carries nothing, though the program still has the port" in found["explanation"]
    subprocess.run([ip, "link", "del", "tun0"], check=True)
    _, found = held("1194/udp")
    assert "its interface is gone" in found["title"]
    assert found["details"]["up"] is False


@private
def test_a_stopped_openvpn_is_a_vpn_first_and_suspended_second(stage):
    staged = vpn.vpn(stage)
    os.kill(staged.pids[0], signal.SIGSTOP)
    os.waitid(os.P_PID, staged.pids[0], os.WSTOPPED | os.WNOWAIT)
    said, found = held(staged.target)
    assert situations(said)[:2] == ["vpn", "suspended-process"]
    assert "The program is stopped, so the tunnel carries nothing." in found["explanation"]


@private
def test_a_second_connection_that_wants_the_same_port_is_named(stage):
    staged = vpn.vpn(stage)
    vpn.write_openvpn("home.conf", "remote 192.0.2.1")
    said, found = held(staged.target)
    assert (
        "Two OpenVPN connections compete here: home (OpenVPN) wants the same port as this one." in found["explanation"]
    )
    assert found["details"]["competitors"] == ["home (OpenVPN)"]
    assert "/etc/openvpn/home.conf names no port and does not say nobind" in found["evidence"]
    assert any("`nobind` in /etc/openvpn/home.conf" in remedy["title"] for remedy in found["remedies"])
    assert pids(said) == set(staged.pids)


@private
def test_a_client_directory_whose_unit_says_nobind_wants_nothing(stage):
    staged = vpn.vpn(stage)
    vpn.write_openvpn("client/other.conf", "remote 192.0.2.1")
    _, found = held(staged.target)
    assert found["details"]["competitors"] == []


@private
def test_networkmanagers_openvpn_is_disconnected_there(stage):
    vpn.own_files(stage)
    vpn.needs_tunnels()
    folder = vpn.Path("/run/NetworkManager/system-connections")
    folder.mkdir(parents=True)
    (folder / "office.nmconnection").write_text(
        "[connection]\nid=Office VPN\n\n[vpn]\nremote=127.0.0.1:1195:udp, vpn.example\n"
        "service-type=org.freedesktop.NetworkManager.openvpn\n"
    )
    # What NetworkManager's helper is called; it starts openvpn with options, and no file.
    helper = vpn.Path("/run/nm-openvpn-serv")
    words = "openvpn --remote 127.0.0.1 1195 --dev tun --proto udp --lport 1194 --ifconfig 10.8.0.2 10.8.0.1"
    helper.write_text(f"#!/bin/sh\n{find_program('openvpn').removesuffix('openvpn')}{words}\n:\n")
    helper.chmod(0o755)
    started = stage.program(str(helper))
    children = vpn.Path(f"/proc/{started.pid}/task/{started.pid}/children")
    vpn.until(children.read_text, "openvpn")
    stage.adopt(*map(int, children.read_text().split()))
    vpn.bound(started, 1194, "OpenVPN")
    _, found = held("1194/udp")
    assert "holds it for the tunnel Office VPN (tun0 up)" in found["title"]
    assert found["details"]["manager"] == "NetworkManager"
    assert remedies(found)["disconnect"]["command"] == ["nmcli", "connection", "down", "Office VPN"]
    assert "stop-holder" not in remedies(found)


@private
def test_in_a_service_the_unit_is_stopped(stage):
    staged = vpn.vpn(stage)
    group = control_group(stage, f"inuse-demo-{os.getpid()}/system.slice/openvpn-client@office.service")
    join(group, staged.pids[0])
    said, found = held(staged.target)
    assert situations(said) == ["vpn", "service"]
    assert found["details"]["unit"] == "openvpn-client@office.service"
    assert remedies(found)["stop-unit"]["command"] == ["systemctl", "stop", "openvpn-client@office.service"]
    assert "stop-holder" not in remedies(found)
    free = remedies(found)["free-vpn-port"]
    assert free["title"].endswith("Then restart openvpn-client@office.service")
    assert free["command"] is None, "a restart alone frees nothing"


@private
def test_an_ordinary_user_hears_which_service_has_it(stage):
    needs_users()
    group = control_group(stage, f"inuse-demo-{os.getpid()}/system.slice/xl2tpd.service", version_2=True)
    # A socket belongs to the group that its program was in when it was made.
    code = "say(); sys.stdin.readline(); made = socket.socket(type=socket.SOCK_DGRAM); made.bind(('', 1701)); "
    program = script(stage, code + "say(); stay()")
    program.hear()
    join(group, program.pid)
    program.go_on()
    said, found = held("1701/udp", enter=linux.become_nobody)
    assert situations(said) == ["vpn", "hidden-holder"]
    assert found["title"] == "xl2tpd.service, a service of xl2tpd, holds it for L2TP"
    assert found["confidence"] == "certain"
    assert remedies(found)["stop-unit"]["command"] == ["systemctl", "stop", "xl2tpd.service"]
    assert remedies(found)["stop-unit"]["needs_root"]
    assert pids(said) == set()


@private
def test_an_ordinary_user_hears_of_a_program_that_may_have_it(stage):
    needs_users()
    staged = vpn.vpn(stage)
    said, found = held(staged.target, enter=linux.become_nobody)
    assert found["confidence"] == "possible"
    assert found["title"] == f"openvpn (pid {staged.pids[0]}), of OpenVPN, may hold it for its tunnel"
    assert pids(said) == set()
    assert "hidden-holder" in situations(said)


@private
def test_an_ordinary_user_hears_of_each_program_that_may_have_it(stage):
    needs_users()
    vpn.own_files(stage)
    first = vpn.bound(vpn.strongswan(stage, "charon"), 4500, "charon")
    second = vpn.strongswan(stage, "charon-systemd")
    vpn.without_ports(second)
    _, found = held("4500/udp", enter=linux.become_nobody)
    assert found["confidence"] == "possible"
    assert f"charon (pid {first.pid})" in found["title"]
    assert f"charon-systemd (pid {second.pid})" in found["title"]
    assert not any(remedy["automatic"] for remedy in found["remedies"])


@private
def test_a_program_that_only_bears_the_name_is_no_vpn(stage):
    vpn.own_files(stage)
    named = vpn.Path("/run/openvpn")
    named.write_text(f"#!{vpn.sys.executable} -I\n" + vpn._HOLD)
    named.chmod(0o755)
    stage.program(str(named), "1194").hear()
    said = diagnosis("1194/udp")
    assert all(one["details"].get("direction") != "holds" for one in said["findings"])


@private
def test_a_hostile_program_that_bears_the_name_of_openvpn(stage):
    vpn.own_files(stage)
    named = vpn.Path("/run/openvpn")
    named.write_bytes(vpn.Path(vpn.sys.executable).resolve().read_bytes())
    named.chmod(0o755)
    vpn.os.mkfifo("/run/pipe")
    hostile = ("--config", "/dev/zero", "--config", "/run/pipe", "--config", "a\nb", "--remote", "\x1b[31mred", "--dev")
    program = stage.program(
        "/usr/bin/env",
        f"PYTHONHOME={vpn.sys.base_prefix}",
        str(named),
        "-c",
        vpn._HOLD.replace("sys.argv[1]", "1194"),
        *hostile,
        "evil\ndevice",
        *["--port"] * 5000,
    )
    program.hear()
    _, found = held("1194/udp")
    assert found["holders"] == [program.pid]
    assert found["details"]["config"] is None
    assert b"\x1b" not in inuse("1194/udp").out


# -- WireGuard in user space ----------------------------------------------------------------------


@private
def test_wireguard_go_is_asked_for_its_port_and_peers(stage):
    staged = vpn.vpn_wireguard(stage)
    said, found = held(staged.target)
    (pid,) = staged.pids
    assert pids(said) == {pid}
    assert found["title"] == f"wireguard-go (pid {pid}) holds it for the tunnel wg0 (wg0 up)"
    assert found["details"]["peers"] == 0
    assert "private" not in str(said).lower()
    assert remedies(found)["free-vpn-port"]["command"] == ["wg", "set", "wg0", "listen-port", "0"]
    assert remedies(found)["stop-vpn"]["command"] == ["ip", "link", "del", "dev", "wg0"]


@private
def test_what_is_offered_for_wireguard_go_frees_the_port(stage):
    staged = vpn.vpn_wireguard(stage)
    _, found = held(staged.target)
    command = remedies(found)["free-vpn-port"]["command"]
    subprocess.run([find_program(command[0]), *command[1:]], check=True)
    vpn.until(lambda: 51820 not in vpn.udp_ports(), "the other port")
    assert diagnosis(staged.target)["verdict"] == "free"


@private
def test_a_wireguard_made_by_wg_quick_is_taken_down_by_it(stage):
    vpn.own_files(stage, vpn.WIREGUARD)
    vpn.write_wireguard("wg0", 51820)
    vpn.wireguard_go(stage, "wg0", 51820)
    _, found = held("51820/udp")
    assert "/etc/wireguard/wg0.conf:3 gives the port" in found["evidence"]
    assert remedies(found)["stop-vpn"]["command"] == ["wg-quick", "down", "wg0"]
    assert found["details"]["competitors"] == []


# -- IKE and L2TP ---------------------------------------------------------------------------------


@private
def test_charon_holds_both_ports_of_ike(stage):
    vpn.own_files(stage)
    program = vpn.strongswan(stage, "charon")
    vpn.bound(program, 4500, "charon")
    for target, purpose in (("500/udp", "ike"), ("4500/udp", "nat-t")):
        _, found = held(target)
        assert found["holders"] == [program.pid]
        assert (found["details"]["product"], found["details"]["purpose"]) == ("strongswan-starter", purpose)
        assert remedies(found)["stop-vpn"]["command"] == ["ipsec", "stop"]


@private
def test_two_ike_daemons(stage):
    vpn.own_files(stage)
    first = vpn.bound(vpn.strongswan(stage, "charon"), 4500, "charon")
    second = vpn.strongswan(stage, "charon-systemd")
    vpn.without_ports(second)
    said, found = held("500/udp")
    assert pids(said) == {first.pid}
    assert found["title"] == (
        f"charon (pid {first.pid}) holds it for IKE, and charon-systemd (pid {second.pid}) needs it too"
    )
    assert "Two IKE daemons compete here" in found["explanation"]
    assert f"charon-systemd (pid {second.pid}) runs and has no socket on the port" in found["evidence"]
    assert remedies(found)["stop-other"]["command"] == ["kill", "-TERM", str(second.pid)]


@private
def test_xl2tpd_of_the_system(stage):
    vpn.own_files(stage)
    program = vpn.xl2tpd(stage, "system")
    _, found = held("1701/udp")
    assert found["title"] == f"xl2tpd (pid {program.pid}) holds it for L2TP (/run/system/xl2tpd.conf)"
    assert found["details"]["connection"] == "office"
    assert remedies(found)["stop-holder"]["command"] == ["kill", "-TERM", str(program.pid)]


@private
def test_an_xl2tpd_on_another_port_is_known_by_its_file(stage):
    vpn.own_files(stage)
    vpn.xl2tpd(stage, "system", "port = 1702", port=1702)
    _, found = held("1702/udp")
    assert "/run/system/xl2tpd.conf:2 gives the port" in found["evidence"]
    assert found["details"]["purpose"] == "l2tp"


@private
def test_networkmanagers_xl2tpd_beside_the_systems(stage):
    staged = vpn.vpn_two_daemons(stage)
    system, networkmanagers = staged.pids
    said, found = held(staged.target)
    assert pids(said) == {system, networkmanagers}
    assert f"xl2tpd (pid {system}) and xl2tpd (pid {networkmanagers}) both have it for L2TP" in found["title"]
    assert "They share it (SO_REUSEADDR), so none met an error" in found["explanation"]
    commands = [remedy["command"] for remedy in found["remedies"]]
    assert ["kill", "-TERM", str(system)] in commands
    assert ["nmcli", "connection", "down", "4f1d"] in commands
