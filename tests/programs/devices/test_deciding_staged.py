"""Serial devices staged for real, and what the person reads about them."""

import contextlib
import os
import signal
import stat
from pathlib import Path

import pytest
from staging import diagnosis, finding, inuse, needs_users, pids, private, script, situations

from inuse.demo import linux, serial
from inuse.demo.registry import BY_NAME
from inuse.demo.stage import NotHereError, until
from inuse.demo.stage import find_program as find
from inuse.demo.vpn import needs_root, own_files

DEMOS = [name for name, demo in BY_NAME.items() if demo.stage.__module__ == serial.__name__]
MS_BIND_ALL = 0x1000 | 0x4000
EXCLUSIVE = (
    "import fcntl, os, sys, termios\nmade = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)\n"
    "fcntl.ioctl(made, termios.TIOCEXCL)\nprint('{}', flush=True); sys.stdin.read()"
)


def program(stage, name, *words):
    """Start a real terminal program in a terminal of its own, as it wants one."""
    code = "import os, pty, sys\npid, ours = pty.fork()\nif not pid: os.execv(sys.argv[1], sys.argv[1:])\n"
    started = script(stage, code + "say(child=pid)\nwhile os.read(ours, 4096): pass", find(name), *words)
    pid = started.hear()["child"]
    stage.adopt(pid)
    return pid


def opened(pid, line):
    until(lambda: serial.has_open(pid, line), "the opening")
    return pid


@pytest.mark.parametrize("name", DEMOS)
def test_every_staging_is_told_for_what_it_is(name):
    @private
    def run(stage):
        demo = BY_NAME[name]
        staged = demo.stage(stage)
        said = diagnosis(staged.target, enter=staged.enter)
        assert (said["situation"], pids(said)) == (demo.situation, set(staged.pids))
        shown = inuse(staged.target, enter=staged.enter).text
        assert all(len(line) <= 80 for line in shown.splitlines()), shown

    run()


@private
def test_picocom_and_a_second_reader(stage):
    line = serial.device(stage)
    first = opened(program(stage, "picocom", "--nolock", "--quiet", line), line)
    said = diagnosis(line)
    assert (said["verdict"], said["situation"], pids(said)) == ("in_use", "serial-open", {first})
    assert finding(said, "serial-open")["remedies"][0]["title"].endswith("Ctrl-A, then Ctrl-X")
    second = serial.start(stage, "use", line).pid
    said = diagnosis(line)
    assert pids(said) == {first, second}
    assert "at once" in said["summary"]


@private
def test_it_is_free_when_nobody_has_it(stage):
    needs_users()  # to an ordinary user somebody may be invisible
    line = serial.device(stage)
    said = diagnosis(line)
    assert (said["verdict"], said["error"], said["holders"]) == ("free", None, [])


@private
def test_asking_leaves_the_line_alone(stage):
    line = serial.device(stage)
    kept = serial.start(stage, "use", line)
    before = Path(f"/proc/{kept.pid}/fdinfo/3").read_text()
    for _ in range(3):
        diagnosis(line)
    assert Path(f"/proc/{kept.pid}/fdinfo/3").read_text() == before
    assert inuse(line).status == 0


@private
def test_what_an_ordinary_user_is_told_of_its_own(stage):
    needs_users()
    line = serial.device(stage)
    os.chown(line, linux.NOBODY, linux.NOBODY)
    # A process that gave up its rights is hidden from its own user until it starts another program.
    become = "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
    become += f"os.execv(sys.executable, [sys.executable, '-I', '-c', {EXCLUSIVE!r}, sys.argv[1]])"
    user = script(stage, become, line)
    user.hear()
    said = diagnosis(line, enter=linux.become_nobody)
    assert (said["verdict"], pids(said)) == ("in_use", {user.pid})
    assert said["situation"] == "serial-open"
    assert any("may not be looked at" in limit for limit in said["limits"])


@private
def test_an_ordinary_user_is_never_told_that_nobody_has_it(stage):
    needs_users()
    line = serial.device(stage)
    os.chmod(line, 0o666)
    serial.start(stage, "use", line)
    said = diagnosis(line, enter=linux.become_nobody)
    assert said["verdict"] == "unknown"
    assert said["limits"]


@private
def test_a_stopped_exclusive_reader(stage):
    line = serial.device(stage)
    reader = serial.start(stage, "exclusive", line)
    os.kill(reader.pid, signal.SIGSTOP)
    until(lambda: " T " in Path(f"/proc/{reader.pid}/stat").read_text(), "the stop")
    said = diagnosis(line)
    assert situations(said) == ["suspended-process", "serial-open"]
    assert finding(said, "serial-open")["details"]["exclusive"] is True


def children(pid):
    """The processes whose parent this is; /proc/PID/task/PID/children is of one thread alone."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            found += [int(process)] * (int(fields[1]) == pid)
    return found


def own_ppp(stage, *lines):
    """Have a /dev/ppp, an /etc/ppp and a /run of our own: pppd starts, and no link ever comes about."""
    needs_root()
    own_files(stage, "/etc/ppp")
    made = Path("/run/dev")
    for folder in (made, made / "pts", Path(serial.LOCKS), Path("/etc/ppp/peers")):
        folder.mkdir()
    linux.mount("/dev/pts", str(made / "pts"), None, MS_BIND_ALL)
    for name, number in (("null", 3), ("zero", 5), ("urandom", 9), ("ppp", 3)):
        try:
            os.mknod(made / name, 0o666 | stat.S_IFCHR, os.makedev(1, number))
        except OSError as error:
            raise NotHereError(f"no device node can be made ({error.strerror})") from error
        (made / name).chmod(0o666)
    (made / "ptmx").symlink_to("pts/ptmx")
    try:
        linux.mount(str(made), "/dev", None, MS_BIND_ALL)
    except OSError as error:
        raise NotHereError(f"no /dev of our own can be mounted ({error})") from error
    Path("/etc/ppp/options").write_text("")
    Path("/etc/ppp/peers/office").write_text("\n".join(lines) + "\n")


@private
def test_a_pppd_that_dials(stage):
    line = serial.device(stage)
    own_ppp(stage, "lock", "persist", 'connect "/usr/sbin/chat -t 60 CONNECT"')
    pppd = stage.program(find("pppd"), line, "call", "office", "nodetach")
    opened(pppd.pid, line)
    until(lambda: children(pppd.pid), "the dialling")
    [shell] = children(pppd.pid)
    until(lambda: children(shell), "chat")
    [chat] = children(shell)
    stage.adopt(shell, chat)
    said = diagnosis(line)
    told = finding(said, "device-daemon")
    assert (said["situation"], pids(said)) == ("device-daemon", {pppd.pid, shell, chat})
    assert told["title"] == f"pppd (pid {pppd.pid}) is dialling to office over {line}"
    assert told["details"]["ppp"] == {
        "peer": "office",
        "interface": None,
        "up": None,
        "remote": None,
        "by": None,
        "dialling": chat,
    }
    assert told["remedies"][0]["command"] == ["poff", "office"]
    assert "serial-locked" in situations(said)


@private
def test_a_pppd_whose_link_is_up(stage):
    """The interface is one that is there, named in the file that pppd leaves: no kernel module is needed for that."""
    line = serial.device(stage)
    own_ppp(stage, 'connect "/bin/sleep 600"')
    pppd = stage.program(find("pppd"), line, "call", "office", "nodetach", "linkname", "office")
    opened(pppd.pid, line)
    Path("/run/ppp-office.pid").write_text(f"{pppd.pid}\nlo\n")
    said = diagnosis(line)
    told = finding(said, "device-daemon")["details"]["ppp"]
    assert (told["interface"], told["up"]) == ("lo", True)
    stage.adopt(*children(pppd.pid))


@private
def test_brltty_looks_for_a_display_on_it(stage):
    line = serial.device(stage)
    own_files(stage, "/var/lib")
    Path(serial.LOCKS).mkdir()
    words = ("-n", "-e", "-b", "bm", "-d", f"serial:{line}", "-x", "no", "-N", "-f", "/dev/null", "-P", "/run/pid")
    brltty = stage.program(find("brltty"), *words)
    for _ in range(5):  # it looks for a second, and then again after five
        opened(brltty.pid, line)
        said = diagnosis(line)
        if said["holders"]:
            break
    told = finding(said, "device-daemon")
    assert (told["details"]["daemon"], pids(said)) == ("brltty", {brltty.pid})
    assert ["systemctl", "mask", "brltty.path"] in [remedy["command"] for remedy in told["remedies"]]


@private
def test_modemmanager_has_it(stage):
    """It opens only what udev tells it of, so it is started with the line open, on a session bus of its own."""
    line = serial.device(stage)
    own_files(stage)
    Path(serial.LOCKS).mkdir()
    kept = os.open(line, os.O_RDWR | os.O_NOCTTY)
    command = (find("dbus-run-session"), "--", find("ModemManager"), "--test-session", "--test-no-udev")
    session = stage.program(*command, pass_fds=(kept,))
    os.close(kept)

    def names():
        return {Path(f"/proc/{pid}/comm").read_text().strip(): pid for pid in children(session.pid)}

    try:
        until(lambda: "ModemManager" in names(), "ModemManager")
    finally:
        stage.adopt(*children(session.pid))  # the bus too
    opened(names()["ModemManager"], line)
    said = diagnosis(line)
    told = finding(said, "device-daemon")
    assert told["details"]["daemon"] == "modemmanager"
    assert told["details"]["setting"]["line"].endswith('ENV{ID_MM_PORT_IGNORE}="1"')
    assert told["remedies"][0]["id"] == "wait"
