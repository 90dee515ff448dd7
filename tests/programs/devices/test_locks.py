"""Locks of serial devices, staged with the programs that make them, and asked about through the command line."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from locks_stage import DAY, LOCKS, appears, diagnose, ended, has_open, in_terminal, lock_name, own_locks, pty, put
from staging import PATH, finding, pids, private, script, situations

from inuse.demo import linux
from inuse.demo.stage import until


def program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin")
    return path or pytest.skip(f"{name} is not installed")


def locks(said):
    return finding(said, "serial-locked")["details"]["locks"]


# -- Living locks ---------------------------------------------------------------------------------


@private
def test_picocom_has_a_flock(stage):
    own_locks()
    _, device = pty()
    pid = in_terminal(stage, program("picocom"), "--noreset", device)
    has_open(pid, device)
    until(lambda: "FLOCK" in open(f"/proc/{pid}/fdinfo/3").read(), "the lock")  # noqa: SIM115
    said = diagnose(device)
    assert said["verdict"] == "in_use"
    assert said["situation"] == "serial-locked"
    assert pid in pids(said)
    assert finding(said, "serial-locked")["confidence"] == "certain"
    assert [lock["kind"] for lock in locks(said)] == ["flock"]


@private
def test_minicom_has_a_lock_file(stage):
    own_locks()
    _, device = pty()
    pid = in_terminal(stage, program("minicom"), "-D", device)
    appears(f"{LOCKS}/{lock_name(device)}")
    has_open(pid, device)
    said = diagnose(device)
    assert said["situation"] == "serial-locked"
    assert pids(said) == {pid}
    lock = locks(said)[0]
    assert (lock["kind"], lock["path"], lock["pid"], lock["open"]) == (
        "lock-file",
        f"{LOCKS}/{lock_name(device)}",
        pid,
        True,
    )
    assert "stale-lock" not in situations(said)


@private
def test_cu_names_its_lock_after_the_last_component(stage):
    own_locks()
    _, device = pty()
    in_terminal(stage, program("cu"), "-l", device)
    appears(f"{LOCKS}/LCK..{device.rpartition('/')[2]}")
    said = diagnose(device)
    assert said["situation"] == "serial-locked"
    assert locks(said)[0]["path"] == f"{LOCKS}/LCK..{device.rpartition('/')[2]}"


@private
def test_pyserial_exclusive_is_a_flock_and_plain_is_none(stage):
    own_locks()
    if not os.path.exists("/usr/bin/python3") or os.system("/usr/bin/python3 -c 'import serial' 2>/dev/null"):
        pytest.skip("python3-serial is not installed")
    code = "import serial, sys; s = serial.Serial(sys.argv[1], exclusive=bool(sys.argv[2])); sys.stdin.read()"
    _, device = pty()
    holder = stage.program("/usr/bin/python3", "-c", code, device, "")
    has_open(holder.pid, device)
    said = diagnose(device)
    assert situations(said) == ["serial-open"]
    holder.end()
    holder = stage.program("/usr/bin/python3", "-c", code, device, "1")
    has_open(holder.pid, device)
    until(lambda: "FLOCK" in open(f"/proc/{holder.pid}/fdinfo/3").read(), "the lock")  # noqa: SIM115
    said = diagnose(device)
    assert [lock["kind"] for lock in locks(said)] == ["flock"]
    assert pids(said) == {holder.pid}


@private
def test_pppd_locks_with_a_file_and_exclusively(stage):
    own_locks()
    if not os.path.exists("/dev/ppp"):
        pytest.skip("this kernel has no PPP")
    _, device = pty()
    daemon = stage.program(program("pppd"), device, "lock", "nodetach", "noauth", "local", "passive", "nodefaultroute")
    appears(f"{LOCKS}/{lock_name(device)}")
    has_open(daemon.pid, device)
    said = diagnose(device)
    assert "serial-locked" in situations(said)
    assert locks(said)[0]["pid"] == daemon.pid


@private
def test_a_program_that_locks_and_does_not_open_is_a_holder(stage):
    own_locks()
    _, device = pty()
    code = "open(sys.argv[1], 'w').write('%10d\\n' % os.getpid()); sys.stdin.read()"
    holder = script(stage, code, f"{LOCKS}/{lock_name(device)}")
    until(lambda: os.path.exists(p := f"{LOCKS}/{lock_name(device)}") and os.path.getsize(p) == 11, "the lock")
    said = diagnose(device)
    assert (said["verdict"], said["situation"]) == ("in_use", "serial-locked")
    assert pids(said) == {holder.pid}
    assert said["holders"][0]["sockets"] == []
    assert finding(said, "serial-locked")["confidence"] == "likely"
    assert not any(remedy["automatic"] for remedy in finding(said, "stale-lock")["remedies"])


@private
def test_a_wrapper_that_locks_for_its_child_has_a_living_lock(stage):
    own_locks()
    _, device = pty()
    code = "os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); sys.stdin.read()"
    words = f"[sys.executable, '-c', {PREFIXED + code!r}, *sys.argv[1:]]"
    wrapper = script(stage, f"import subprocess; subprocess.run({words})", device)
    child = first_child(wrapper.pid)
    has_open(child, device)
    put(lock_name(device), b"%10d\n" % wrapper.pid, age=-5)
    said = diagnose(device)
    assert {wrapper.pid, child} <= pids(said)
    assert finding(said, "serial-locked")["confidence"] == "certain"
    assert "stale-lock" not in situations(said)


PREFIXED = "import os, sys\n"


def first_child(pid):
    found = []

    def there():
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            found[:] = map(int, children.read().split())
        return bool(found)

    until(there, "the child")
    return found[0]


@private
def test_who_waits_for_a_flock_is_named(stage):
    own_locks()
    _, device = pty()
    code = (
        "import fcntl\nfd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)\n"
        "fcntl.flock(fd, fcntl.LOCK_EX); sys.stdin.read()"
    )
    holder = script(stage, code, device)
    has_open(holder.pid, device)
    until(lambda: f"WRITE {holder.pid} " in open("/proc/locks").read(), "the lock")  # noqa: SIM115
    waiter = script(stage, code, device)
    until(lambda: "->" in open("/proc/locks").read(), "the wait")  # noqa: SIM115
    said = diagnose(device)
    (lock,) = [lock for lock in locks(said) if lock["kind"] == "flock"]
    assert lock["pid"] == holder.pid
    assert lock["waiters"] == [waiter.pid]
    assert any(f"(pid {waiter.pid}) waits for it" in line for line in finding(said, "serial-locked")["evidence"])


@private
def test_a_flock_lives_on_in_a_child(stage):
    own_locks()
    _, device = pty()
    code = (
        "import fcntl\nfd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "child = os.fork()\nif child: print('{\"pid\": %d}' % child, flush=True); os._exit(0)\n"
        "import time; time.sleep(60)"
    )
    taker = script(stage, code, device)
    child = taker.hear()["pid"]
    stage.adopt(child)
    taker.process.wait()
    said = diagnose(device)
    assert locks(said)[0]["pid"] == child
    assert any(
        f"pid {taker.pid}, which took it, has ended" in line for line in finding(said, "serial-locked")["evidence"]
    )


@private
def test_an_open_file_description_lock_is_found_by_its_descriptor(stage):
    own_locks()
    _, device = pty()
    code = (
        "import fcntl, struct\nfd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)\n"
        "fcntl.fcntl(fd, 37, struct.pack('hhqqi4x', 1, 0, 0, 0, 0)); print('{}', flush=True); sys.stdin.read()"
    )
    holder = script(stage, code, device)
    holder.hear()
    said = diagnose(device)
    assert [lock["kind"] for lock in locks(said)] == ["ofd"]
    assert finding(said, "serial-locked")["holders"] == [holder.pid]


# -- Left-over locks ------------------------------------------------------------------------------


@private
@pytest.mark.parametrize("form", ["%10d\n", "%04d\n", "%10d gammu\n", "%d", "binary"])
def test_a_lock_of_a_dead_process_is_stale_in_every_format(stage, form):
    own_locks()
    _, device = pty()
    pid = ended()
    data = pid.to_bytes(4, sys.byteorder) if form == "binary" else (form % pid).encode()
    path = put(lock_name(device), data, age=300)
    said = diagnose(device)
    assert (said["verdict"], said["situation"]) == ("blocked", "stale-lock")
    stale = finding(said, "stale-lock")
    assert stale["confidence"] == "certain"
    assert stale["details"]["files"][0]["state"] == "dead"
    (remedy,) = stale["remedies"]
    assert (remedy["id"], remedy["command"], remedy["automatic"], remedy["reversible"]) == (
        "delete-lock",
        ["rm", path],
        True,
        False,
    )


@private
@pytest.mark.parametrize("data", [b"", b"hello\n", bytes(4), b"\xff" * 64, b"-5\n", b"99999999999\n"])
def test_a_lock_without_a_pid_is_possibly_stale(stage, data):
    own_locks()
    _, device = pty()
    put(lock_name(device), data)
    said = diagnose(device)
    assert (said["verdict"], said["situation"]) == ("blocked", "stale-lock")
    assert finding(said, "stale-lock")["confidence"] == "possible"
    assert not any(remedy["automatic"] for remedy in finding(said, "stale-lock")["remedies"])


@private
def test_a_recycled_pid_is_told_from_a_living_owner(stage):
    own_locks()
    _, device = pty()
    young = script(stage, "sys.stdin.read()")
    path = put(lock_name(device), b"%10d\n" % young.pid, age=4000 * DAY)
    said = diagnose(device)
    stale = finding(said, "stale-lock")
    assert (said["verdict"], stale["confidence"]) == ("blocked", "certain")
    assert stale["details"]["files"][0]["state"] == "recycled"
    assert re.search(rf"\(pid {young.pid}\) began (3999|4000) days after the file was written", str(stale["evidence"]))
    assert stale["remedies"][0]["command"] == ["rm", path]
    assert pids(said) == set()


@private
def test_a_lock_under_a_lasting_name_and_by_number_is_found(stage):
    own_locks()
    _, device = pty()
    facts = os.stat(device)
    pid = ended()
    put(f"LK.{os.major(facts.st_dev):03d}.{os.major(facts.st_rdev):03d}.{os.minor(facts.st_rdev):03d}", b"%10d\n" % pid)
    put(lock_name(device).replace("_", ":"), b"%10d\n" % pid)
    put(f"LCK...{pid}", b"%10d\n" % pid)
    put("LCK..pts_99999", b"%10d\n" % pid)
    said = diagnose(device)
    names = {os.path.basename(path) for path in finding(said, "stale-lock")["remedies"][0]["command"][1:]}
    assert len(names) == 3
    assert "LCK..pts_99999" not in names


@private
def test_a_link_in_a_lock_directory_is_never_followed(stage, tmp_path):
    own_locks()
    _, device = pty()
    (tmp_path / "elsewhere").write_text(f"{ended():10d}\n")
    os.symlink(tmp_path / "elsewhere", f"{LOCKS}/{lock_name(device)}")
    said = diagnose(device)
    stale = finding(said, "stale-lock")
    assert stale["confidence"] == "possible"
    assert "symbolic link" in stale["title"]
    assert str(tmp_path) not in str(said)


@private
@pytest.mark.parametrize("kind", ["fifo", "directory", "device"])
def test_what_is_no_file_is_not_opened(stage, kind):
    own_locks()
    _, device = pty()
    path = f"{LOCKS}/{lock_name(device)}"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        os.mkdir(path)
    else:
        os.mknod(path, 0o600 | 0o020000, os.makedev(5, 0))
    began = time.monotonic()
    said = diagnose(device)
    assert time.monotonic() - began < 5
    stale = finding(said, "stale-lock")
    assert stale["confidence"] == "possible"
    assert stale["remedies"][0]["command"][0] == ("rmdir" if kind == "directory" else "rm")


@private
def test_a_lock_of_a_container_s_process_is_unknown(stage):
    """A process of another pid namespace that shares the directory has the number: nothing is called stale."""
    own_locks()
    _, device = pty()
    code = (
        "from inuse_linux import *\nunshare(CLONE_NEWPID)\nchild = os.fork()\n"
        "if not child: import time; time.sleep(60)\nprint('{\"pid\": %d}' % child, flush=True); sys.stdin.read()"
    ).replace(
        "from inuse_linux import *", f"sys.path.insert(0, {os.path.dirname(linux.__file__)!r}); from linux import *"
    )
    runner = script(stage, code)
    child = runner.hear()["pid"]
    stage.adopt(child)
    inner = next(line for line in open(f"/proc/{child}/status") if line.startswith("NSpid")).split()[-1]  # noqa: SIM115
    put(lock_name(device), b"%10d\n" % int(inner), age=0)
    said = diagnose(device)
    assert "stale-lock" not in situations(said)
    assert any(lock_name(device) in limit for limit in said["limits"]), said["limits"]


@private
@pytest.mark.parametrize("bound", [False, True])
def test_inside_a_container_only_its_own_directory_tells(stage, bound):
    """A tmpfs of the container's own holds its own pids; a directory bound into it may hold anybody's."""
    own_locks()
    _, device = pty()
    if bound:
        os.mkdir(f"{LOCKS}/host")
        linux.mount(f"{LOCKS}/host", LOCKS, None, 4096)
    put(lock_name(device), b"%10d\n" % 4000000)
    out = subprocess.run(
        [program("unshare"), "-p", "--fork", "--mount-proc", sys.executable, "-P", "-m", "inuse", device, "--json"],
        env={**os.environ, "PYTHONPATH": PATH},
        capture_output=True,
        check=False,
    )
    said = json.loads(out.stdout)
    if bound:
        assert "stale-lock" not in situations(said)
        assert any(lock_name(device) in limit for limit in said["limits"])
    else:
        assert finding(said, "stale-lock")["confidence"] == "certain"


# -- An ordinary user -----------------------------------------------------------------------------


@private
def test_an_ordinary_user_learns_of_the_lock_and_what_deleting_takes(stage):
    own_locks()
    _, device = pty()
    put(lock_name(device), b"%10d\n" % ended(), age=60)
    said = diagnose(device, enter=linux.become_nobody)
    stale = finding(said, "stale-lock")
    assert stale["confidence"] == "certain"
    assert stale["remedies"][0]["needs_root"] is True


@private
def test_an_ordinary_user_sees_a_living_lock_of_another_user(stage):
    own_locks()
    _, device = pty()
    holder = script(
        stage, "os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print('{}', flush=True); sys.stdin.read()", device
    )
    holder.hear()
    put(lock_name(device), b"%10d\n" % holder.pid)
    said = diagnose(device, enter=linux.become_nobody)
    assert (said["verdict"], said["situation"]) == ("in_use", "serial-locked")
    assert finding(said, "serial-locked")["confidence"] == "likely"
    assert pids(said) == {holder.pid}


@private
def test_an_unreadable_lock_is_possible_at_most(stage):
    own_locks()
    _, device = pty()
    os.chmod(put(lock_name(device), b"%10d\n" % ended()), 0)
    said = diagnose(device, enter=linux.become_nobody)
    assert finding(said, "stale-lock")["confidence"] == "possible"
    assert "Permission denied" in finding(said, "stale-lock")["title"]


# -- TIOCEXCL -------------------------------------------------------------------------------------


@private
@pytest.mark.parametrize("exclusive", [True, False])
def test_tiocexcl_is_read_from_a_copy_of_the_descriptor(stage, exclusive):
    own_locks()
    _, device = pty()
    code = (
        "import fcntl, termios\nfd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)\n"
        f"if {exclusive}: fcntl.ioctl(fd, termios.TIOCEXCL)\nprint('{{}}', flush=True); sys.stdin.read()"
    )
    script(stage, code, device).hear()
    said = diagnose(device)
    words = str(finding(said, "serial-open"))
    assert ("TIOCEXCL is not set" not in words) == exclusive
    assert "TIOCEXCL" in words
