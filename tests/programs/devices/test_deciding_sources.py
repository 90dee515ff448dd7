"""What pppd, udev and the kernel's command line tell: the parsers, and the look on a made-up /run."""

import os

import pytest

from inuse.catalogue import serial_daemon, serial_daemons
from inuse.evidence.device import Device, DeviceSeen, LockFile, Neighbour, OpenDevice
from inuse.model import Parent, Process
from inuse.systems.linux.devices import modems, ppp, udev
from inuse.systems.linux.devices.places import Places

USB = Device(path="/dev/ttyUSB0", name="ttyUSB0", kind="usb", major=188, minor=0, vendor_id="1a86", product_id="7523")


def pppd(pid=12, words=("pppd", "call", "office"), **facts):
    return Process(pid=pid, start_ticks=1, name="pppd", cmdline=words, **facts)


def seen(**facts):
    return DeviceSeen(device=USB, open_by=(OpenDevice(pid=12, fd=6),), **facts)


def link(tmp_path, *processes, looked=None):
    [one] = ppp.links(looked or seen(), processes, run=(str(tmp_path),))
    return one


# -- pppd -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "peer"),
    [
        (("pppd", "call", "office"), ("office", "/etc/ppp/peers/office")),
        (("pppd", "call", "isp/home", "persist"), ("isp/home", "/etc/ppp/peers/isp/home")),
        (("pppd", "/dev/ttyUSB0", "file", "/home/anna/ppp.conf"), ("ppp.conf", "/home/anna/ppp.conf")),
        (("pppd", "/dev/ttyUSB0", "115200"), (None, None)),
        (("pppd", "call"), (None, None)),
        ((), (None, None)),
    ],
)
def test_the_peer_a_command_line_names(words, peer):
    assert ppp.peer_of(words) == peer


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("ppp0.pid", "  412\n", (412, "ppp0")),
        ("ppp-office.pid", "412\nppp3\n", (412, "ppp3")),
        ("ppp-office.pid", "412\n", None),  # written before there is an interface
        ("ppp0.pid", "", None),
        ("ppp0.pid", "-1\n", None),
        ("ppp0.pid", "\u0664\n", None),
        ("ppp-office.pid", "412\n../../x\n", None),
        ("ppp-office.pid", "412\n" + "x" * 5000, None),
    ],
)
def test_what_a_pid_file_tells(name, text, told):
    assert ppp.pid_file(name, text) == told


def test_the_link_of_a_pppd(tmp_path):
    (tmp_path / "ppp-office.pid").write_text("12\nppp7\n")
    os.mkfifo(tmp_path / "ppp1.pid")  # nobody writes it: must not be waited for
    (tmp_path / "ppp2.pid").symlink_to("ppp2.pid")
    words = ("pppd", "call", "office", "linkname", "office", "persist")
    one = link(tmp_path, pppd(words=words, parents=(Parent(pid=3, name="NetworkManager"),)))
    assert (one.interface, one.up, one.by, one.persistent) == ("ppp7", None, "NetworkManager", True)


def test_a_chat_below_a_shell_is_its_dialling(tmp_path):
    chat = Process(
        pid=14, start_ticks=1, name="chat", ppid=13, parents=(Parent(pid=13, name="sh"), Parent(pid=12, name="pppd"))
    )
    assert link(tmp_path, pppd(), chat).dialling == 14
    assert link(tmp_path, pppd()).dialling is None


def test_a_pppd_that_only_has_the_lock(tmp_path):
    looked = DeviceSeen(device=USB, lock_files=(LockFile(path="/x", format="hdb", pid=12),))
    assert link(tmp_path, pppd(), looked=looked).peer == "office"


def test_another_pppd_is_not_of_this_device(tmp_path):
    assert list(ppp.links(seen(), [pppd(pid=99)], run=(str(tmp_path),))) == []


# -- udev -----------------------------------------------------------------------------------------


def test_a_record_of_udev():
    text = "S:serial/by-id/x\nI:1\nE:ID_MM_CANDIDATE=1\nE:ODD\nG:systemd\nQ:uaccess\nE:A=b=c\n"
    assert udev.read_record(text) == {"ID_MM_CANDIDATE": "1", "A": "b=c"}
    assert udev.read_tags(text) == ["systemd", "uaccess"]


def test_what_udev_knows_of_a_device(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/c188:0").write_text("E:ID_MM_CANDIDATE=1\nE:ID_SECRET=x\nG:uaccess\n")
    found = udev.look(seen(), Places(udev=()), records=str(tmp_path / "data")).udev
    assert (found.known, found.properties, found.tags) == (True, {"ID_MM_CANDIDATE": "1"}, ("uaccess",))
    assert udev.look(seen(), Places(udev=()), records="/nowhere").udev.known is False


RULES = """# ATTRS{idVendor}=="1a86", ATTRS{idProduct}=="7523"
ATTRS{idVendor}=="1a86", \\
  ATTRS{idProduct}=="7523", ENV{ID_MM_DEVICE_IGNORE}="1"
ATTRS{idVendor}=="1a86", ATTRS{idProduct}=="55d3", GOTO="x"
ENV{PRODUCT}=="1a86/7523/*", ENV{BRLTTY_BRAILLE_DRIVER}="bm"
"""


def test_the_rules_that_name_a_device():
    assert [number for number, _ in udev.naming(RULES, "1a86", "7523")] == [2, 5]


def test_a_rule_of_brltty_writes_numbers_without_zeros():
    assert [n for n, _ in udev.naming('ENV{PRODUCT}=="403/f208/*", X="1"', "0403", "f208")] == [1]


def test_rules_files_replace_and_mask_each_other(tmp_path):
    own, system = tmp_path / "etc", tmp_path / "lib"
    own.mkdir()
    system.mkdir()
    for name in ("85-brltty.rules", "90-a.rules", "91-b.rules"):
        (system / name).write_text(RULES)
    (own / "85-brltty.rules").symlink_to("/dev/null")
    (own / "90-a.rules").write_text("# nothing\n")
    folders = (str(own), str(system))
    assert {rule.path for rule in udev.rules(USB, folders)} == {f"{system}/91-b.rules"}
    assert udev.look(seen(), Places(udev=folders)).udev.brltty is None
    (own / "85-brltty.rules").unlink()
    assert udev.look(seen(), Places(udev=folders)).udev.brltty == f"{system}/85-brltty.rules"


def test_rules_that_try_to_hold_us_up(tmp_path):
    os.mkfifo(tmp_path / "1.rules")
    (tmp_path / "2.rules").symlink_to("2.rules")
    (tmp_path / "3.rules").write_bytes(b"\xff\x00" * 100000)
    (tmp_path / "4.rules").mkdir()
    (tmp_path / "5.rules").write_text(RULES * 1000)
    assert 0 < len(udev.look(seen(), Places(udev=(str(tmp_path),))).udev.rules) <= 20


@pytest.mark.parametrize(
    ("line", "name", "console"),
    [
        ("root=/dev/sda1 console=tty0 console=ttyS0,115200n8 quiet", "ttyS0", "console=ttyS0,115200n8"),
        ("console=ttyS01", "ttyS0", None),
        ("earlycon=ttyS0", "ttyS0", None),
        ("", "ttyS0", None),
    ],
)
def test_a_console_of_the_kernel(line, name, console):
    assert udev.console_of(line, name) == console


# -- modems ---------------------------------------------------------------------------------------


def test_what_a_port_of_a_modem_is_for():
    assert modems.role_of({"ID_MM_PORT_TYPE_GPS": "1", "ID_MM_PORT_TYPE_QCDM": "0"}) == "GPS positions (NMEA)"
    assert modems.role_of({}) is None


def test_every_port_of_a_modem_gets_its_role(tmp_path):
    (tmp_path / "c188:0").write_text("E:ID_MM_PORT_TYPE_AT_PPP=1\n")
    (tmp_path / "c188:2").write_text("E:ID_MM_PORT_TYPE_AT_PRIMARY=1\n")
    other = Device(path="/dev/ttyUSB2", name="ttyUSB2", kind="usb", major=188, minor=2)
    found = modems.look(seen(neighbours=(Neighbour(device=other),)), str(tmp_path))
    assert (found.role, found.neighbours[0].role) == ("PPP data", "AT commands (first)")


# -- The catalogue --------------------------------------------------------------------------------


def test_every_row_of_the_catalogue_has_sources_and_no_program_stands_twice():
    programs = [program for row in serial_daemons() for program in row.programs]
    assert len(programs) == len(set(programs))
    assert all(row.sources and row.doing and row.disrupts for row in serial_daemons())
    assert len({row.key for row in serial_daemons()}) == len(serial_daemons())


def test_a_program_whose_name_the_kernel_cut():
    assert serial_daemon("nutdrv_siemens-sitop"[:15]).key == "nut"
    assert serial_daemon("bash") is None
