"""Some other program has the port that VPN software of this host needs."""

import sys
from pathlib import Path

from staging import IN_USE, answer, diagnosis, finding, inuse, needs_users, pids, private, situations

from inuse.demo import linux, vpn
from inuse.demo.stage import find_program


def remedies(found):
    return {remedy["id"]: remedy for remedy in found["remedies"]}


@private
def test_a_program_on_the_port_that_a_running_charon_lacks(stage):
    staged = vpn.vpn_needs_it(stage)
    said = diagnosis(staged.target)
    assert answer(said) == ("in_use", "vpn", *IN_USE)
    assert situations(said) == ["vpn", "application"]
    assert pids(said) == set(staged.pids)
    found = finding(said, "vpn")
    assert found["confidence"] == "certain"
    assert "sits on the port that strongSwan needs for IKE" in found["title"]
    assert found["details"]["direction"] == "needs"
    assert found["details"]["state"] == "running"
    assert found["details"]["program"] == "charon-systemd"
    assert "charon-systemd may look healthy and yet hear nothing." in found["explanation"]
    assert "should move: IKE expects this very port." in found["explanation"]
    assert list(remedies(found)) == ["move-holder", "free-vpn-port"]
    assert "`port = 0` and `port_nat_t = 0`" in remedies(found)["free-vpn-port"]["title"]


@private
def test_a_charon_that_was_freed_from_its_ports_needs_none(stage):
    vpn.own_files(stage, "/etc/strongswan.d", "/etc/systemd/system")
    Path("/etc/strongswan.d/charon.conf").write_text("charon {\n  port = 0 # any\n  port_nat_t = 0\n}\n")
    vpn.hold_udp(stage, 500)
    program = vpn.strongswan(stage, "charon-systemd", "port = 0", "port_nat_t = 0")
    vpn.until(lambda: len(vpn.udp_ports()) > 3 or program.process.poll() is not None, "charon's ports")
    assert program.process.poll() is None
    assert "strongSwan" not in str(finding_or_none(diagnosis("500/udp")))


def finding_or_none(said):
    return next((one for one in said["findings"] if one["situation"] == "vpn"), None)


@private
def test_an_openvpn_configuration_asks_for_the_port(stage):
    vpn.own_files(stage, vpn.OPENVPN)
    vpn.write_openvpn("home.conf", "remote vpn.example 1194")
    holder = vpn.hold_udp(stage, 1194)
    said = diagnosis("1194/udp")
    found = finding(said, "vpn")
    assert situations(said) == ["vpn", "application"]
    assert found["holders"] == [holder.pid]
    assert "sits on the port that OpenVPN (home) needs for its tunnel" in found["title"]
    assert found["details"]["config"] == "/etc/openvpn/home.conf"
    assert "either can move" in found["explanation"]
    assert "`nobind` in /etc/openvpn/home.conf" in remedies(found)["free-vpn-port"]["title"]


@private
def test_a_custom_port_of_a_configuration_is_known_with_its_line(stage):
    vpn.own_files(stage, vpn.OPENVPN)
    vpn.write_openvpn("server/site.conf", "# the usual one is taken", "port 5000")
    vpn.hold_udp(stage, 5000)
    found = finding(diagnosis("5000/udp"), "vpn")
    assert found["confidence"] == "certain"
    assert "/etc/openvpn/server/site.conf:5 gives the port" in found["evidence"]


@private
def test_a_configuration_with_nobind_needs_nothing(stage):
    vpn.own_files(stage, vpn.OPENVPN)
    vpn.write_openvpn("home.conf", "remote vpn.example 1194", "nobind")
    vpn.hold_udp(stage, 1194)
    assert situations(diagnosis("1194/udp")) == ["application"]


@private
def test_a_port_nobody_has_to_do_with_gets_no_word_of_vpns(stage):
    vpn.own_files(stage, vpn.OPENVPN, vpn.WIREGUARD)
    vpn.hold_udp(stage, 5353)
    said = diagnosis("5353/udp")
    assert situations(said) == ["application"]
    assert "VPN" not in str(said)


@private
def test_a_port_of_wireguard_taken_by_an_outgoing_connection(stage):
    staged = vpn.vpn_by_chance(stage)
    said = diagnosis(staged.target)
    found = finding(said, "vpn")
    assert situations(said)[:2] == ["vpn", "client-connection"]
    assert found["details"]["by_chance"] == "likely"
    assert "was given it by chance for an outgoing connection" in found["explanation"]
    assert remedies(found)["reserve-port"]["command"] == ["inuse", "reserve", "51820"]
    assert (
        "`ListenPort = 0` in /etc/wireguard/wg0.conf, in place of line 3" in remedies(found)["free-vpn-port"]["title"]
    )


@private
def test_asked_by_its_service_name_a_vpn_is_spoken_of_even_where_none_is_seen(stage):
    vpn.own_files(stage, "/etc/systemd/system", "/usr/lib/systemd/system", vpn.WIREGUARD)
    vpn.hold_udp(stage, 51820)
    said = diagnosis("wireguard")
    found = finding(said[0], "vpn")
    assert found["confidence"] == "possible"
    assert found["details"]["state"] in {"installed", "asked"}


@private
def test_a_networkmanager_connection_that_wants_l2tps_port(stage):
    vpn.own_files(stage)
    _keyfile("office", "[vpn]\nservice-type=org.freedesktop.NetworkManager.l2tp\n")
    program = vpn.xl2tpd(stage, "system")
    found = finding(diagnosis("1701/udp"), "vpn")
    assert found["holders"] == [program.pid]
    assert "Office VPN (NetworkManager's L2TP)" in found["details"]["competitors"]
    assert "L2TP daemons compete here" in found["explanation"]


@private
def test_networkmanagers_own_wireguard(stage):
    vpn.own_files(stage)
    _keyfile("wg", "[wireguard]\nlisten-port=40000\n")
    vpn.hold_udp(stage, 40000)
    found = finding(diagnosis("40000/udp"), "vpn")
    assert found["title"].endswith("needs for its tunnel")
    assert (
        "`listen-port=0` in /run/NetworkManager/system-connections/wg.nmconnection"
        in (remedies(found)["free-vpn-port"]["title"])
    )


def _keyfile(name, text):
    folder = Path("/run/NetworkManager/system-connections")
    folder.mkdir(parents=True)
    (folder / f"{name}.nmconnection").write_text(f"[connection]\nid=Office VPN\nuuid=4f1d\n\n{text}")


@private
def test_an_ordinary_user_is_told_which_configurations_stay_unread(stage):
    needs_users()
    vpn.own_files(stage, vpn.WIREGUARD)
    Path(vpn.WIREGUARD).chmod(0o700)
    nobody = (find_program("setpriv"), "--reuid", "65534", "--regid", "65534", "--clear-groups")
    holder = stage.program(*nobody, sys.executable, "-I", "-c", vpn._HOLD, "51820")
    holder.hear()
    said = diagnosis("51820/udp", enter=linux.become_nobody)
    assert pids(said) == {holder.pid}
    assert any("can't be read: /etc/wireguard" in limit for limit in said["limits"])


@private
def test_hostile_configuration_files(stage):
    vpn.own_files(stage, vpn.OPENVPN)
    folder = Path(vpn.OPENVPN)
    vpn.os.mkfifo(folder / "pipe.conf")
    (folder / "loop.conf").symlink_to("loop.conf")
    (folder / "device.conf").symlink_to("/dev/zero")
    (folder / "bytes.conf").write_bytes(b"\xff\xfe\x00 port 1194\n" * 50 + b"remote \x1b[31mred\n")
    (folder / "big.conf").write_bytes(b"a" * (1 << 22))
    (folder / "new\nline.conf").write_text("remote a.example\nport 1194\n")
    vpn.hold_udp(stage, 1194)
    found = finding(diagnosis("1194/udp"), "vpn")
    assert any("new" in name for name in found["details"]["competitors"])
    assert "big" not in str(found)
    assert b"\x1b" not in inuse("1194/udp").out
