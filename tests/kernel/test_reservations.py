"""Reservations on the real kernel, in a network namespace and with configuration folders of the test's own."""

import os
import random
import socket
import stat
import subprocess
import threading

import pytest
from staging import in_child, inuse, needs_users, private

from inuse.demo import linux
from inuse.port_lists import parse, show
from inuse.systems.linux import reservation_writes, reservations
from inuse.systems.linux.reservation_writes import FILE, LIST

SYSTEMD = "/usr/lib/systemd/systemd-sysctl"
OTHER = "/etc/sysctl.d/50-other.conf"
KEY = "net.ipv4.ip_local_reserved_ports"


def write(path, text):
    with open(path, "w" if isinstance(text, str) else "wb") as file:
        file.write(text)


def read(path):
    with open(path) as file:
        return file.read()


def now():
    return read(LIST).strip()


@pytest.fixture
def alone():
    """Gives a test its own folders for configuration files and locks, in the child that it runs in."""

    def enter():
        try:
            linux.unshare(linux.CLONE_NEWNS)
            linux.mount(None, "/", None, 0x4000 | 1 << 18)  # MS_REC | MS_PRIVATE
            for place in ("/etc/sysctl.d", "/run"):
                linux.mount("none", place, "tmpfs", 0, "mode=755")
            write(LIST, "\n")
        except OSError as error:
            pytest.skip(f"no mounts of its own can be had: {error}")

    return enter


def boot():
    """Do to the kernel's list what is done at boot, by the program that does it."""
    if not os.access(SYSTEMD, os.X_OK):
        pytest.skip("needs systemd-sysctl (systemd)")
    write(LIST, "\n")
    subprocess.run([SYSTEMD], check=False, capture_output=True)  # it fails at settings that a namespace has not
    return now()


# ------------------------------------------------------------------------------------------ the kernel's list


@private
def test_lists_are_read_as_the_kernel_reads_them(stage, alone):
    alone()
    chance = random.Random(6056)
    for _ in range(2000):
        text = "".join(chance.choice("0123456789,,--x0a ") for _ in range(chance.randint(1, 9)))
        write(LIST, "7\n")
        try:
            write(LIST, text)
            kernel = now()
        except OSError:
            kernel = None
        try:
            ours = show(parse(text))
        except ValueError:
            ours = None
        assert ours == kernel, text


@private
def test_lists_are_printed_as_the_kernel_prints_them(stage, alone):
    alone()
    chance = random.Random(6335)
    for _ in range(100):
        ports = frozenset(chance.randint(8000, 8200) for _ in range(chance.randint(1, 150)))
        reservation_writes._write(ports, 0)
        assert now() == show(ports)
        assert reservation_writes.read_list() == ports


@private
def test_the_longest_list_there_is(stage, alone):
    alone()
    ports = frozenset(range(0, 65536, 2))
    reservation_writes._write(ports, 0)
    assert reservation_writes.read_list() == ports
    reservation_writes._remove(frozenset(range(0, 65536, 4)))
    assert reservation_writes.read_list() == frozenset(range(2, 65536, 4))
    pairs = frozenset(port for first in range(10000, 65536, 3) for port in (first, first + 1) if port < 65536)
    reservation_writes._add(pairs)
    assert pairs <= reservation_writes.read_list()


@private
def test_a_list_that_some_programs_cut_is_said_to_be_one(stage, alone):
    alone()
    many = frozenset(range(40001, 44001, 2))
    done = reservations.reserve(many)
    assert done.done
    assert "the list is longer than 4090 characters: some programs cut it at boot" in done.notes
    assert not any("longer" in note for note in reservations.unreserve(many).notes)


@private
def test_what_others_add_meanwhile_is_kept(stage, alone):
    alone()

    def add(first):
        for port in range(first, first + 100, 2):
            reservation_writes._add(frozenset({port}))

    threads = [threading.Thread(target=add, args=(first,)) for first in range(20000, 20800, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reservation_writes.read_list() == frozenset(range(20000, 20800, 2))


@private
def test_a_reserved_port_is_given_to_nobody_who_does_not_ask_for_it(stage, alone):
    alone()
    write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003")
    assert reservations.reserve(parse("40001-40003")).done
    with socket.socket() as one, socket.socket() as other, socket.socket() as asking:
        one.bind(("127.0.0.1", 0))
        assert one.getsockname()[1] == 40000
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", 0))
        asking.bind(("127.0.0.1", 40002))


# ------------------------------------------------------------------------------------------ reserve


@private
def test_reserving_holds_now_and_after_a_reboot(stage, alone):
    alone()
    write(OTHER, f"{KEY} = 9000-9010\n")
    write(LIST, "40000-40010\n")
    done = reservations.reserve(parse("8080,40001"))
    assert (done.done, done.changed) == (True, ("8080",))
    assert now() == done.kernel.after == "8080,40000-40010"
    assert read(FILE) == done.file.after
    assert stat.S_IMODE(os.stat(FILE).st_mode) == 0o644
    assert sorted(os.listdir("/etc/sysctl.d")) == ["50-other.conf", "99-zz-inuse.conf"]
    assert boot() == "8080,9000-9010,40001"


@private
def test_once_more_writes_nothing(stage, alone):
    alone()
    reservations.reserve(parse("8080"), "openvpn")
    before = os.stat(FILE)
    again = reservations.reserve(parse("8080"), "openvpn")
    assert again.done
    assert again.changed == ()
    after = os.stat(FILE)
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@private
def test_a_dry_run_shows_what_is_written_then(stage, alone):
    alone()
    write(LIST, "1\n")
    shown = reservations.reserve(parse("8080-8090"), dry_run=True)
    assert shown.done is None
    assert (now(), os.path.exists(FILE)) == ("1", False)
    done = reservations.reserve(parse("8080-8090"))
    assert (shown.kernel, shown.file, shown.changed) == (done.kernel, done.file, done.changed)
    assert (now(), read(FILE)) == (shown.kernel.after, shown.file.after)


@private
def test_taking_back_takes_just_what_was_reserved(stage, alone):
    alone()
    write(OTHER, f"{KEY} = 9000\n")
    write(LIST, "40000,9000\n")
    reservations.reserve(parse("8080,9000,40000"))
    for ports, where in (("9000", OTHER), ("40000", "before inuse did")):
        done = reservations.unreserve(parse(ports))
        assert done.done
        assert where in done.notes[0]
    assert now() == "8080,9000,40000"
    assert reservations.unreserve(None).done
    assert now() == "9000,40000"
    assert not os.path.exists(FILE)
    assert boot() == "9000"


@pytest.mark.parametrize(
    ("ports", "where"), [("9001", f"{OTHER}:2 reserves it"), ("40000", "since the machine started")]
)
@private
def test_what_others_reserved_is_not_taken_back(stage, alone, ports, where):
    alone()
    write(OTHER, f"# others\n{KEY} = 9000-9010\n")
    write(LIST, "40000\n")
    reservations.reserve(parse("8080"))
    before = (now(), read(FILE))
    done = reservations.unreserve(parse(f"8080,{ports}"))
    assert done.done is False
    assert where in done.why
    assert (now(), read(FILE)) == before


@private
def test_a_port_that_nobody_reserved_is_taken_back_already(stage, alone):
    alone()
    done = reservations.unreserve(parse("8080"))
    assert (done.done, done.changed, done.notes) == (True, (), ("8080 is not reserved",))


@private
def test_many_at_once_lose_nothing(stage, alone):
    alone()
    children = [os.fork() or _reserve_and_leave(port) for port in range(20000, 20032, 2)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 16
    assert now() == show(range(20000, 20032, 2))
    assert boot() == show(range(20000, 20032, 2))


def _reserve_and_leave(port):
    os._exit(0 if reservations.reserve(frozenset({port})).done else 1)


# ------------------------------------------------------------------------------------------ nothing half-done


@private
def test_what_cannot_be_written_to_the_file_is_taken_out_of_the_list_again(stage, alone):
    alone()
    write(FILE, "# mounted over\n")
    linux.mount(FILE, FILE, None, 0x1000)  # MS_BIND: nothing can be renamed to its name
    write(LIST, "1-5\n")
    done = reservations.reserve(parse("3,8080"))
    assert done.why == f"{FILE} can't be written: Device or resource busy"
    assert now() == "1-5"
    assert os.listdir("/etc/sysctl.d") == [os.path.basename(FILE)]


@private
def test_a_file_of_ours_that_cannot_be_read_is_not_replaced(stage, alone):
    alone()
    with open(FILE, "wb") as file:
        file.truncate(2 << 20)
    for done in (reservations.reserve(parse("8080")), reservations.unreserve(None)):
        assert (done.done, done.why) == (False, f"{FILE} can't be read: File too large")
    assert (now(), os.path.getsize(FILE)) == ("", 2 << 20)


@private
def test_the_last_ports_that_the_system_can_assign_are_not_taken_from_it(stage, alone):
    alone()
    write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003")
    assert reservations.reserve(parse("40000")).done
    for ports in ("40000-40003", "1-65535"):
        done = reservations.reserve(parse(ports))
        assert done.done is False
        assert "(40000-40003): no program could make a connection any more" in done.why
    assert now() == "40000"


@private
def test_what_cannot_be_written_to_the_list_is_not_written_to_the_file(stage, alone):
    alone()
    linux.mount("/proc/sys", "/proc/sys", None, 0x1000)  # MS_BIND
    linux.mount(None, "/proc/sys", None, 0x1000 | 0x20 | 1)  # MS_BIND | MS_REMOUNT | MS_RDONLY
    done = reservations.reserve(parse("8080"))
    assert done.done is False
    assert done.why == f"{LIST} can't be written: Read-only file system"
    assert os.listdir("/etc/sysctl.d") == []


@private
def test_without_the_right_it_says_which(stage, alone):
    alone()
    needs_users()

    def ask():
        linux.become_nobody()
        for done in (reservations.reserve(parse("8080")), reservations.reserve(parse("9000"))):
            assert done.done is False
        assert "CAP_NET_ADMIN over this network (sudo)" in done.why
        assert reservations.reserve(parse("8080"), dry_run=True).done is None
        assert reservations.reservations().now == ("7",)

    write(LIST, "7\n")
    in_child(ask)
    assert now() == "7"


@private
def test_what_a_killed_run_left_behind_is_no_hindrance(stage, alone):
    alone()
    write(reservation_writes._NEW, "half a")
    assert reservations.reserve(parse("8080")).done
    assert os.listdir("/etc/sysctl.d") == [os.path.basename(FILE)]


@private
def test_a_folder_that_is_missing_is_made(stage, alone):
    alone()
    linux.mount("none", "/etc", "tmpfs")
    assert reservations.reserve(parse("8080")).done
    assert reservations.reservations().after_reboot == ("8080",)


# ------------------------------------------------------------------------------------------ others' files


@private
def test_files_are_read_in_the_order_of_boot(stage, alone):
    """What is said to hold after a reboot is what the program that sets it at boot sets."""
    alone()
    os.mkdir("/run/sysctl.d")
    chance = random.Random(5)
    names = [
        "10-a.conf",
        "50-b.conf",
        "99-sysctl.conf",
        "99-zz-a.conf",
        "99-zz-inuse.conf",
        "B.conf",
        "c.txt",
        "é.conf",
    ]
    keys = [KEY, KEY.replace(".", "/"), f"-{KEY}", f"  {KEY}", f"# {KEY}", f"; {KEY}", "net.ipv4.ip_local_reserved"]
    keys += ["net.ipv4/ip_local_reserved_ports", f"/{KEY.replace('.', '/')}", f"{KEY}.x"]
    for _ in range(60):
        for folder in ("/etc/sysctl.d", "/run/sysctl.d"):
            for name in os.listdir(folder):
                os.unlink(f"{folder}/{name}")
            for name in chance.sample(names, chance.randint(0, 4)):
                lines = [f"{chance.choice(keys)} = {chance.randint(1, 60000)}" for _ in range(chance.randint(0, 3))]
                write(f"{folder}/{name}", "\n".join(lines))
        expected = ",".join(reservations.reservations().after_reboot)
        assert boot() == expected, {name: read(f"/etc/sysctl.d/{name}") for name in os.listdir("/etc/sysctl.d")}


@private
def test_a_file_that_is_masked_does_not_count(stage, alone):
    alone()
    os.mkdir("/run/sysctl.d")
    write("/run/sysctl.d/50-other.conf", f"{KEY} = 5\n")
    os.symlink("/dev/null", OTHER)
    assert reservations.reservations().after_reboot == ()
    assert boot() == ""


@private
def test_a_file_that_is_read_later_would_undo_it_and_is_named(stage, alone):
    alone()
    write("/etc/sysctl.d/zz.conf", f"\n\n{KEY} = 5\n")
    done = reservations.reserve(parse("8080"))
    assert done.done is False
    assert "/etc/sysctl.d/zz.conf:3 is read after" in done.why
    assert (now(), os.path.exists(FILE)) == ("", False)
    assert reservations.reserve(parse("5")).done


@private
def test_what_cannot_be_read_is_not_taken_for_nothing(stage, alone):
    alone()
    write(LIST, "7\n")
    with open(OTHER, "wb") as file:
        file.truncate(2 << 20)
    found = reservations.reservations()
    assert found.after_reboot is None
    assert [(entry.by, entry.now, entry.after_reboot) for entry in found.entries] == [("unknown", True, None)]
    assert found.limits == (f"{OTHER} can't be read: File too large",)
    listed = inuse("reservations").text.splitlines()
    assert listed[1].split() == ["7", "yes", "?", "not", "known"]
    write("/etc/sysctl.d/60-later.conf", f"{KEY} = 5\n")
    assert reservations.reservations().after_reboot == ("5",)


@private
def test_a_change_of_others_files_is_noticed_and_taken_over(stage, alone):
    alone()
    write(OTHER, f"{KEY} = 9000\n")
    reservations.reserve(parse("8080"))
    assert not reservations.reservations().limits
    write(OTHER, f"{KEY} = 9001\n")
    assert "would set '9001', and it still has '9000' of theirs" in reservations.reservations().limits[0]
    reservations.reserve(parse("8080"))
    assert not reservations.reservations().limits
    assert boot() == "8080,9001"


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00\x00",
        b"",
        b"# inuse reserved 1-99999999\n# inuse found x in boot\n" + KEY.encode() + b" = 5-1\n",
        b"\n" * 100_000,
        b"# inuse reserved " + b"70000," * 100_000,
    ],
)
@private
def test_no_content_of_the_file_is_too_much(stage, alone, content):
    alone()
    write(FILE, content)
    assert reservations.reservations().now == ()
    assert reservations.reserve(parse("8080")).done
    assert boot() == "8080"
    assert reservations.unreserve(None).done
    assert not os.path.exists(FILE)


@private
def test_odd_things_in_the_place_of_files(stage, alone):
    alone()
    os.mkfifo(OTHER)
    os.mkdir("/etc/sysctl.d/60-folder.conf")
    os.symlink("nowhere", "/etc/sysctl.d/70-gone.conf")
    os.symlink("/etc/sysctl.d/70-gone.conf", FILE)
    write(os.fsencode("/etc/sysctl.d/80-") + b"\xff\n\x1b[2J.conf", f"{KEY} = 9\n")
    done = reservations.reserve(parse("8080"))
    assert done.done
    assert done.notes[1:] == ("/etc/sysctl.d/60-folder.conf can't be read: Is a directory",)
    assert not os.path.islink(FILE)
    assert reservations.reservations().after_reboot == ("9", "8080")
    said = inuse("reservations")
    assert b"\x1b" not in said.out
    assert said.status == 0


# ------------------------------------------------------------------------------------------ what is said


@private
def test_what_is_in_use_is_reserved_all_the_same(stage, alone):
    alone()
    with socket.create_server(("127.0.0.1", 45000)):
        done = reservations.reserve(parse("45000"))
    assert done.done
    assert done.notes == ("TCP port 45000 is in use now, and stays so: inuse 45000/tcp says by whom",)


@private
def test_the_command_line(stage, alone):
    alone()
    said = inuse("reserve", "8080", "9000-9010", "--dry-run")
    assert said.status == 0
    assert f"would write to {LIST}:\n  8080,9000-9010\nwould write to {FILE}:\n" in said.text
    assert inuse("reserve", "8080", "9000-9010", "--json").json["done"] is True
    assert "gets it all the same" in inuse("reserve", "--for", "ipsec").text
    assert read(LIST).strip() == "500,4500,8080,9000-9010"
    listed = inuse("reservations").text.splitlines()
    assert listed[0].split() == ["PORTS", "NOW", "AFTER", "REBOOT", "RESERVED", "BY"]
    assert listed[1].split() == ["500,4500", "yes", "yes", "inuse,", "for", "ipsec", f"({FILE})"]
    assert listed[2].startswith("8080,9000-9010")
    assert inuse("reserve", "8080", "--dry-run").text.startswith(f"8080 is reserved already ({FILE}).\n")
    taken = inuse("unreserve", "1234,8080")
    assert taken.text == "8080 is no longer reserved by inuse.\nnote: 1234 is not reserved\n"
    write(LIST, "500,4500,9000-9010,1234\n")
    refused = inuse("unreserve", "1234")
    assert (refused.status, refused.out) == (1, b"")
    assert refused.err.startswith(b"inuse: nothing is changed: 1234 was not reserved by inuse")
    shown = inuse("unreserve", "500,4500,9000-9010", "--dry-run").text
    assert f"would write to {LIST}:\n  1234\n" in shown
    assert inuse("unreserve", "--all").status == 0
    assert inuse("reservations", "--json").json["now"] == ["1234"]
    assert inuse("unreserve", "--all").text == "There is nothing to take back.\n"


@private
def test_what_was_reserved_for_a_name_is_taken_back_by_that_name(stage, alone):
    alone()
    assert inuse("reserve", "8080").status == 0
    assert inuse("reserve", "--for", "IPsec").status == 0
    taken = inuse("unreserve", "--for", "ipsec", "--json").json
    assert (taken["done"], taken["changed"]) == (True, ["500", "4500"])
    assert read(LIST).strip() == "8080"
    assert inuse("unreserve", "--for", "ipsec").text.startswith("There is nothing to take back.\n")
    assert inuse("unreserve", "8080", "--for", "ipsec").status == 0
    assert read(LIST).strip() == ""
    write(LIST, "500\n")
    refused = inuse("unreserve", "--for", "ipsec")
    assert (refused.status, refused.out) == (1, b"")
    assert refused.err.startswith(b"inuse: nothing is changed: 500 was not reserved by inuse")


@private
def test_in_another_network_than_that_of_boot_this_is_said(stage, alone):
    alone()

    def inside():
        linux.inner_processes()
        assert reservations.here_at_boot()
        assert not reservations.reservations().limits
        in_child(elsewhere)

    def elsewhere():
        linux.unshare(linux.CLONE_NEWNET)
        assert not reservations.here_at_boot()
        assert "not the network of process 1" in reservations.reservations().limits[-1]

    in_child(inside)


@private
def test_whoever_cannot_see_the_list_is_told(stage, alone):
    alone()
    linux.mount("none", "/proc/sys/net", "tmpfs")
    for verb in (["reservations"], ["reserve", "8080"], ["unreserve", "--all", "--json"]):
        said = inuse(*verb)
        assert (said.status, said.out) == (1, b"")
        assert said.err == f"inuse: {LIST} can't be read: No such file or directory\n".encode()
