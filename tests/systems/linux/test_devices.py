"""What serial devices are: sysfs and /dev of machines that are not here, and the rights on nodes of this one."""

import contextlib
import os
import random
import stat
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inuse.listing import listing
from inuse.model import Options, Scene, Target
from inuse.render import table
from inuse.situations.device_words import said
from inuse.systems.linux import devices
from inuse.systems.linux.devices import around, identity, mounts, numbers, resolve, rights, usb
from inuse.systems.linux.devices.places import Places

#: /dev/fuse and its kin stand in for serial devices: opening them changes nothing.
MAJOR, FUSE = 10, 229
DRIVERS = f"""\
/dev/tty             /dev/tty        5       0 system:/dev/tty
usbserial            /dev/ttyUSB    {MAJOR} {FUSE}-239 serial
acm                  /dev/ttyACM   {MAJOR} 240-249 serial
serial               /dev/ttyS       4 64-95 serial
rfcomm               /dev/rfcomm   216 0-255 serial
pty_slave            /dev/pts      136 0-1048575 pty:slave
pty_master           /dev/ptm      128 0-1048575 pty:master
unknown              /dev/tty        4 1-63 console
"""


class Machine:
    """A machine of files: /dev, /sys and /proc below a folder."""

    def __init__(self, root):
        self.root = root
        self.places = Places(
            dev=f"{root}/dev", sys=f"{root}/sys", proc=f"{root}/proc", locks=(f"{root}/lock",), udev=()
        )
        for folder in (
            "dev/serial/by-id",
            "dev/serial/by-path",
            "sys/class/tty",
            "sys/dev/char",
            "sys/bus/usb/devices",
        ):
            (root / folder).mkdir(parents=True)
        (root / "proc/tty").mkdir(parents=True)
        (root / "proc/tty/drivers").write_text(DRIVERS)
        (root / "proc/self").symlink_to(f"/proc/{os.getpid()}")
        (root / f"proc/{os.getpid()}").symlink_to(f"/proc/{os.getpid()}")

    def write(self, folder, **files):
        path = self.root / "sys" / folder
        path.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (path / name).write_text(f"{text}\n")
        return path

    def usb(self, port, vendor, number, **attributes):
        """Plug a USB device in."""
        where = self.write(f"devices/pci0/usb1/{port}", idVendor=vendor, idProduct=number, **attributes)
        (self.root / "sys/bus/usb/devices" / port).symlink_to(where)
        return where

    def interface(self, port, number, driver=None, kind="ff", sub="00"):
        where = self.write(
            f"devices/pci0/usb1/{port}/{port}:1.{int(number, 16)}",
            bInterfaceNumber=number,
            bInterfaceClass=kind,
            bInterfaceSubClass=sub,
        )
        if driver:
            (where / "driver").symlink_to(f"/sys/bus/usb/drivers/{driver}")
        return where

    def tty(self, name, hardware, minor, *, major=MAJOR, node=True):
        """Give hardware a tty: its folder in sysfs, its number, its node."""
        folder = hardware / "tty" / name
        folder.mkdir(parents=True)
        (folder / "device").symlink_to(hardware)
        (self.root / "sys/class/tty" / name).symlink_to(folder)
        (self.root / "sys/dev/char" / f"{major}:{minor}").symlink_to(folder)
        if node:
            self.node(name, minor, major=major)
        return folder

    def node(self, name, minor, *, major=MAJOR):
        try:
            os.mknod(self.root / "dev" / name, stat.S_IFCHR | 0o660, os.makedev(major, minor))
        except PermissionError:
            pytest.skip("needs root: a device node")

    def usb_serial(self, name, port, minor, number="00", **named):
        """A USB serial adapter, as the kernel shows it: the port is a device of its own below the interface."""
        hardware = self.interface(port, number, **named) / name
        hardware.mkdir()
        (hardware / "driver").symlink_to("/sys/bus/usb-serial/drivers/ftdi_sio")
        return self.tty(name, hardware, minor)

    def look(self, device, **options):
        target = Target(text=device, kind="device", device=device)
        return devices.look(target, Options(**options), probe=True, places=self.places)

    def seen(self, device):
        return self.look(device).device


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def adapter(machine, name="ttyUSB0", port="1-2", minor=FUSE):
    machine.usb(port, "0403", "6001", manufacturer="FTDI", product="FT232R USB UART", serial="A50285BI", busnum="1")
    machine.usb_serial(name, port, minor)
    link = machine.root / "dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"
    link.symlink_to(f"../../{name}")
    return str(link)


# -- what it is -----------------------------------------------------------------------------------


def test_a_usb_adapter_is_named_by_what_it_says_of_itself(machine):
    link = adapter(machine)
    device = machine.seen("/dev/ttyUSB0").device
    assert (device.kind, device.driver, device.name) == ("usb", "ftdi_sio", "ttyUSB0")
    assert (device.vendor_id, device.product_id, device.serial) == ("0403", "6001", "A50285BI")
    assert (device.vendor, device.product, device.interface) == ("FTDI", "FT232R USB UART", "00")
    assert (device.usb_path, device.by_id) == ("1-2", (link,))
    assert machine.seen("/dev/" + link.partition("/dev/")[2]).device.name == "ttyUSB0"


def test_what_a_device_says_of_itself_may_be_anything(machine):
    machine.usb("1-2", "1a86", "7523", product="evil\x1b[2J\x00\n" + "x" * 5000)
    (machine.root / "sys/devices/pci0/usb1/1-2/manufacturer").write_bytes(b"\xff\xfe\x80 \xc3")
    machine.usb_serial("ttyUSB0", "1-2", FUSE)
    device = machine.seen("/dev/ttyUSB0").device
    assert len(device.product) < 500
    assert device.vendor.encode("utf-8") == rb"\xff\xfe\x80 \xc3"


def test_the_ports_of_one_modem_are_neighbours(machine):
    machine.usb("1-3", "2c7c", "0125", product="EG25-G")
    for number in range(3):
        machine.usb_serial(f"ttyUSB{number}", "1-3", FUSE + number, number=f"0{number}", driver="option")
    adapter(machine, "ttyUSB7", minor=FUSE + 7)
    near = machine.seen("/dev/ttyUSB1").neighbours
    assert [(one.device.name, one.device.interface) for one in near] == [("ttyUSB0", "00"), ("ttyUSB2", "02")]


def test_who_has_the_other_ports_of_a_modem(machine):
    machine.usb("1-3", "2c7c", "0125", product="EG25-G")
    for number in range(2):
        machine.usb_serial(f"ttyUSB{number}", "1-3", FUSE + number, number=f"0{number}", driver="option")
    with opened(machine.root / "dev/ttyUSB0"):
        (near,) = machine.seen("/dev/ttyUSB1").neighbours
        assert near.holders == (os.getpid(),)


@contextlib.contextmanager
def opened(path):
    """Have a node open, as what it really is."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        pytest.skip(f"no /dev/fuse here: {error.strerror}")
    try:
        yield descriptor
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_a_port_on_the_board_and_one_without_hardware(machine):
    for name, minor, kind in (("ttyS0", 64, 4), ("ttyS1", 65, 0)):
        hardware = machine.write(f"devices/platform/serial8250/{name}-port")
        (machine.tty(name, hardware, minor, major=4) / "type").write_text(f"{kind}\n")
    assert [(d.name, d.kind, d.uart) for d in around.devices(numbers.parse_drivers(DRIVERS), machine.places)] == [
        ("ttyS0", "on-board", True)
    ]
    empty = machine.seen("/dev/ttyS1").device
    assert (empty.kind, empty.uart) == ("on-board", False)


def test_the_kernels_console(machine):
    hardware = machine.write("devices/platform/serial8250/port")
    (machine.tty("ttyS0", hardware, 64, major=4) / "type").write_text("4\n")
    machine.write("class/tty/console", active="tty0 ttyS0")
    assert machine.seen("/dev/ttyS0").device.console


# -- who has it -----------------------------------------------------------------------------------


def test_a_holder_through_another_node_of_the_same_number(machine):
    adapter(machine)
    machine.node("somewhere", FUSE)
    with opened(machine.root / "dev/somewhere") as descriptor:
        (one,) = machine.seen("/dev/ttyUSB0").open_by
        assert (one.pid, one.fd, one.other_node) == (os.getpid(), descriptor, False)


def test_a_holder_of_a_node_that_was_deleted_and_made_anew(machine):
    adapter(machine)
    with opened(machine.root / "dev/ttyUSB0"):
        os.unlink(machine.root / "dev/ttyUSB0")
        machine.node("ttyUSB0", FUSE)
        (one,) = machine.seen("/dev/ttyUSB0").open_by
        assert (one.deleted, one.other_node) == (True, False)


def test_unplugged_while_somebody_had_it_open_and_back_under_another_number(machine):
    adapter(machine)
    with opened(machine.root / "dev/ttyUSB0"):
        for path in ("dev/ttyUSB0", "sys/class/tty/ttyUSB0", f"sys/dev/char/{MAJOR}:{FUSE}"):
            os.unlink(machine.root / path)
        machine.usb("1-4", "0403", "6001", serial="A50285BI")
        machine.usb_serial("ttyUSB1", "1-4", FUSE + 1)
        gone = machine.seen("/dev/ttyUSB0")
        assert not gone.device.exists
        assert gone.answer.errno == "ENOENT"
        assert [(one.pid, one.other_node) for one in gone.open_by] == [(os.getpid(), True)]
        assert [one.device.name for one in gone.neighbours] == ["ttyUSB1"]
        assert "same device" in gone.neighbours[0].why
        assert machine.seen("/dev/ttyUSB1").open_by == ()


def test_a_name_that_belongs_to_another_device_now(machine):
    adapter(machine)
    with opened(machine.root / "dev/ttyUSB0"):
        os.unlink(machine.root / "dev/ttyUSB0")
        machine.usb("1-4", "1a86", "7523")
        machine.usb_serial("ttyUSB1", "1-4", FUSE + 1)
        os.rename(machine.root / "dev/ttyUSB1", machine.root / "dev/ttyUSB0")
        (one,) = machine.seen("/dev/ttyUSB0").open_by
        assert (one.deleted, one.other_node) == (True, True)


# -- what open() answers --------------------------------------------------------------------------


def test_a_node_that_nothing_is_behind(machine):
    machine.node("ttyUSB0", FUSE)
    machine.node("ttyX", 5, major=204)
    assert machine.seen("/dev/ttyUSB0").answer.errno == "ENODEV"
    assert machine.seen("/dev/ttyX").answer.errno == "ENXIO"


def test_a_user_in_the_group_may_and_another_may_not(machine):
    adapter(machine)
    node = machine.root / "dev/ttyUSB0"
    folder = machine.root
    while folder != Path("/tmp"):  # pytest's folders are its user's alone
        if not os.access(folder, os.W_OK) or folder == Path("/"):
            break
        folder.chmod(0o755)
        folder = folder.parent
    os.chown(node, 0, 12345)
    assert machine.look("/dev/ttyUSB0", uid=65534).device.answer.errno == "EACCES"
    os.chown(node, 65534, 0)
    assert machine.look("/dev/ttyUSB0", uid=65534).device.answer.errno is None


# -- what is plugged in without a tty -------------------------------------------------------------


def test_usb_devices_that_should_have_a_tty(machine):
    machine.usb("1-1", "046d", "c31c", product="Keyboard")
    machine.interface("1-1", "00", driver="usbhid", kind="03", sub="01")
    machine.usb("1-2", "1a86", "7523", product="USB Serial")
    machine.interface("1-2", "00")
    machine.usb("1-3", "10c4", "ea60", dev=f"{MAJOR}:{FUSE}")
    machine.interface("1-3", "00", driver="usbfs")
    machine.usb("1-4", "2341", "0043", product="Arduino Uno")
    machine.interface("1-4", "00", driver="usbip-host", kind="02", sub="02")
    adapter(machine, port="1-5")
    assert [said(one) for one in usb.without_tty(machine.places)] == [
        "1a86:7523 CH340 at 1-2: no driver (the module ch341 would drive it)",
        "10c4:ea60 CP210x at 1-3: taken by a program through usbfs",
        "2341:0043 Arduino Uno at 1-4: attached by usbip (lent to another machine)",
    ]
    machine.node("bus", FUSE)
    with opened(machine.root / "dev/bus"):
        (one,) = (text for text in map(said, machine.seen("/dev/ttyUSB5").unclaimed) if "10c4" in text)
        assert f"(pid {os.getpid()})" in one


# -- the table ------------------------------------------------------------------------------------


def test_the_table_names_a_device_by_what_lasts_where_that_fits(machine):
    link = adapter(machine)
    (machine.tty("ttyS0", machine.write("devices/platform/p"), 64, major=4) / "type").write_text("4\n")
    with opened(machine.root / "dev/ttyUSB0"):
        scene = devices.look_around(Scene(), places=machine.places)
    rows = listing(scene).entries
    assert [(row.proto, row.device, row.state) for row in rows][1] == (
        "serial",
        f"{machine.places.dev}/ttyUSB0",
        "open",
    )
    assert rows[1].address == link
    assert [who.pid for who in rows[1].holders] == [os.getpid()]
    wide = "\n".join(table.render(listing(scene), columns=400))
    assert link in wide
    assert "FT232R USB UART" in wide
    short = replace(listing(scene), entries=(replace(rows[1], device="/dev/ttyUSB0"),))
    assert "/dev/ttyUSB0 " in "\n".join(table.render(short, columns=80))


def test_a_machine_without_serial_devices_is_not_searched(machine, monkeypatch):
    monkeypatch.setattr(devices.holders, "search", None)
    machine.write("class/tty/tty1")
    scene = Scene()
    assert devices.look_around(scene, places=machine.places) is scene


# -- names ----------------------------------------------------------------------------------------


def test_a_name_of_macos_is_found_by_its_serial_number(machine):
    link = adapter(machine)
    assert link.rpartition("/dev/")[0] in said(machine.seen("/dev/cu.usbserial-A50285BI").meant)
    assert "/dev/ttyS0 here, and this machine has no such port" in said(machine.seen("COM1").meant)


def test_names_and_numbers_of_drivers_agree():
    known = numbers.parse_drivers(DRIVERS)
    for name, number in (
        ("ttyUSB3", (MAJOR, FUSE + 3)),
        ("ttyS2", (4, 66)),
        ("pts/7", (136, 7)),
        ("rfcomm0", (216, 0)),
    ):
        assert numbers.number_of(name, known) == number
    assert numbers.number_of("ttyUSB99", known) is None
    assert numbers.number_of("modem", known) is None
    assert numbers.is_tty((188, 0), known)
    assert not numbers.is_tty((1, 3), known)


@given(st.text(max_size=200))
def test_any_text_for_a_list_of_drivers(text):
    for driver in numbers.parse_drivers(text):
        driver.node_name(driver.first)
    numbers.number_of(text, numbers.parse_drivers(DRIVERS))


@given(st.binary(max_size=60))
def test_any_bytes_for_an_access_list_or_a_table_of_mounts(data):
    identity.words_of_acl(identity.parse_acl(data))
    mounts.Table(data).allows("/a/b")


def test_mounts_where_no_device_can_be_or_may_be_asked():
    table = mounts.Table(
        b"1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
        b"2 1 0:5 / /home\\040two rw,nosuid,nodev - ext4 /dev/sdb1 rw\n"
        b"3 1 0:6 / /net rw - nfs4 server:/x rw\n"
        b"4 3 0:7 ttyUSB0 /net/modem rw - devtmpfs udev rw\n"
    )
    paths = ("/x/y", "/home two/x", "/net/a/b", "/net/modem", "/network/x")
    assert [table.allows(path) for path in paths] == [True, False, False, True, True]


# -- rights: the kernel is the judge --------------------------------------------------------------


def test_rights_are_judged_as_the_kernel_does(tmp_path):
    path = str(tmp_path / "file")
    Path(path).touch()
    try:
        os.chown(path, 2, 2)
    except OSError:
        pytest.skip("needs real root: to become other users")
    chance = random.Random(4)
    cases = []
    for _ in range(400):
        owner, group = chance.choice([0, 1, 2]), chance.choice([0, 1, 2])
        groups = tuple(sorted(chance.sample([0, 1, 2, 3], chance.randint(1, 3))))
        uid = chance.choice([1, 2, 3])
        cases.append((owner, group, chance.randrange(0o1000), _acl(chance), uid, groups))
    assert not [case for case in cases if _ours(path, *case) != _kernels(path, uid=case[4], groups=case[5])]


def _acl(chance):
    """Some access list, as linux/posix_acl_xattr.h lays it out; None for none."""
    if chance.random() < 0.3:
        return None
    some = lambda: chance.randrange(8)  # noqa: E731
    none = 0xFFFFFFFF
    entries = [(1, some(), none)]
    entries += [(2, some(), uid) for uid in sorted(chance.sample([1, 2, 3], chance.randint(0, 2)))]
    entries += [(4, some(), none)]
    entries += [(8, some(), gid) for gid in sorted(chance.sample([1, 2, 3], chance.randint(0, 2)))]
    entries += [(16, some(), none), (32, some(), none)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def _ours(path, owner, group, mode, acl, uid, groups):
    os.chown(path, owner, group)
    with contextlib.suppress(OSError):
        os.removexattr(path, identity.ACL)
    os.chmod(path, mode)
    if acl is not None:
        try:
            os.setxattr(path, identity.ACL, acl)
        except OSError as error:
            pytest.skip(f"no access lists here: {error.strerror}")
    who = rights.Asker(uid=uid, groups=groups, override=False, admin=False, own=False)
    return rights.may(path, os.stat(path), who, rights.READ_WRITE)


def _kernels(path, *, uid, groups):
    descriptor = os.open(path, os.O_PATH)
    child = os.fork()
    if not child:
        os.setgroups(groups)
        os.setresgid(groups[0], groups[0], groups[0])
        os.setresuid(uid, uid, uid)
        os._exit(os.access(f"/proc/self/fd/{descriptor}", os.R_OK | os.W_OK))
    os.close(descriptor)
    return bool(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def test_what_is_resolved_has_no_lone_surrogate():
    node = resolve.resolve("/tmp/\udcff", (), Places())
    assert node.errno == "ENOENT"
    assert resolve.shown(node.path).encode()
    assert sys.getfilesystemencoding() == "utf-8"
