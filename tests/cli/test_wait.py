"""What `inuse wait` says and how it ends, on the real kernel in a network namespace of its own."""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pexpect
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "kernel"))

from staging import harmless, in_child, needs_users, private, private_mounts

from inuse.demo import linux

SOURCE = Path(__file__).resolve().parents[2] / "src"
INUSE = [sys.executable, "-c", "from inuse.cli import main; main()", "wait"]
#: Holds a port or device until it is told to let go.
SERVER = """
import socket, sys, time
time.sleep(float(sys.argv[1]))
s = socket.socket(2, int(sys.argv[2]))
s.bind(("", 8080))
if sys.argv[2] == "1":
    s.listen()
print(1, flush=True)
input()
"""


def environ(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "LC_ALL": "C.UTF-8", "NO_COLOR": "1", **more}


def run(*words, **options):
    """Wait, and assert what holds however it ends."""
    options = {"capture_output": True, "text": True, "timeout": 60, "env": environ(), **options}
    done = subprocess.run([*INUSE, *map(str, words)], check=False, **options)
    for said in (done.stdout, done.stderr):
        assert "Traceback" not in (said or "")
        harmless((said or "").encode())
    return done


def waiting(*words, **options):
    return subprocess.Popen([*INUSE, *words], env=environ(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, **options)


def ends(process):
    """The exit status, and what was said on standard output and error."""
    out, err = process.communicate(timeout=60)
    assert b"Traceback" not in err
    return process.returncode, out.decode(), err.decode()


def held(address="127.0.0.1", port=8080, *, listen=True, kind=socket.SOCK_STREAM):
    made = socket.socket(socket.AF_INET, kind)
    made.bind((address, port))
    if listen and kind == socket.SOCK_STREAM:
        made.listen()
    return made


def time_wait():
    with held() as listener:
        client = socket.create_connection(("127.0.0.1", 8080))
        listener.accept()[0].close()
        client.recv(1)
        client.close()


# -- That it can be had -----------------------------------------------------------------------------


@private
def test_what_is_free_is_said_at_once(stage):
    done = run("8080")
    assert (done.stdout, done.stderr, done.returncode) == ("TCP port 8080 is free\n", "", 0)


@private
def test_many_that_are_free_are_counted(stage):
    assert run("8080-8089", "8090/udp").stdout == "all 11 are free\n"
    assert len(run("8080-8089", "--short").stdout.splitlines()) == 10


@private
def test_it_waits_until_the_holder_lets_go(stage):
    with held() as listener:
        process = waiting("8080")
        said = process.stderr.readline().decode()
        listener.close()
        status, out, rest = ends(process)
    assert re.fullmatch(rf"inuse: waiting for TCP port 8080: \S+ \(pid {os.getpid()}\) of \S+ has it\n", said)
    assert (status, out, rest) == (0, "TCP port 8080 is free\n", "")


@private
def test_it_is_told_once_and_not_on_a_pipe_every_second(stage):
    with held():
        done = run("8080", "--timeout", "2.2")
    assert len(done.stderr.splitlines()) == 2


@private
def test_another_reason_is_told_too(stage):
    with held() as listener:
        client = socket.create_connection(("127.0.0.1", 8080))
        accepted = listener.accept()[0]
        process = waiting("8080")
        first = process.stderr.readline().decode()
        listener.close()
        accepted.close()
        client.recv(1)
        client.close()
        # While it is closed, that may be told as well.
        last = next(line for line in process.stderr if b"TIME_WAIT, " in line).decode()
        process.send_signal(signal.SIGINT)
        assert ends(process) == (130, "", "")
    assert first.endswith(" has it\n")
    assert re.fullmatch(r"inuse: waiting for TCP port 8080: TIME_WAIT, \d+ s left\n", last)


@private
def test_not_in_time(stage):
    with held():
        done = run("8080", "--timeout", "0.3")
    assert done.returncode == 1
    assert re.search(r"\ninuse: still not free after 0\.\d s\n\Z", done.stderr)
    assert done.stdout.startswith("TCP port 8080 is in use: ")
    assert f"kill -TERM {os.getpid()}" not in done.stdout  # who asks was started from it
    assert "\nwhy " in done.stdout


@private
def test_one_line_each(stage):
    with held():
        done = run("8080", "8081", "--timeout", "0", "--short")
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        "TCP port 8080 is in use",
        "TCP port 8081 is free",
    ]
    assert done.stderr.startswith("inuse: still not free after ")


@private
def test_a_document(stage):
    with held():
        done = run("8080", "8081", "--timeout", "0.2", "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert [said[name] for name in ("schema", "goal", "reached")] == [1, "free", False]
    assert 0.2 <= said["seconds"] < 60
    assert [one["verdict"] for one in said["diagnoses"]] == ["in_use", "free"]
    assert [one["pid"] for one in said["diagnoses"][0]["holders"]] == [os.getpid()]
    done = run("8080", "--json")
    assert (done.returncode, json.loads(done.stdout)["reached"]) == (0, True)


@private
def test_more_than_can_be_asked_for_in_the_time(stage):
    start = time.monotonic()
    done = run("1024-65535", "--timeout", "0", "--json")
    took = time.monotonic() - start
    said = json.loads(done.stdout)
    if not said["limits"]:
        pytest.skip("a machine that asks for all ports within a second")
    assert took < 8  # all of them take 10 on a machine with nothing else to do
    assert (done.returncode, said["reached"]) == (1, False)
    assert len(said["diagnoses"]) < 64512
    done = run("1024-65535", "--timeout", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(
        r"inuse: after [\d.]+ s it can't be told whether it is free\n"
        r"inuse: the time was up before \d+ of 64512 were looked at\n\Z",
        done.stderr,
    )


@private
def test_on_a_terminal_a_long_range_shows_its_progress(stage):
    child = terminal("1024-65535", "--timeout", "3")
    child.expect(r"\rinuse: \d+ of 64512 asked\x1b\[K")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus in {0, 1}


@private
def test_a_terminal_that_does_not_know_how_wide_it_is(stage):
    with held():
        child = terminal("8080", "--timeout", "0.5")
        child.setwinsize(0, 0)
        child.expect(r"waiting for TCP port 8080: \S+ \(pid \d+\) of ")
        child.expect(pexpect.EOF)
        child.close()
    assert child.exitstatus == 1


@private
def test_quiet(stage):
    with held():
        assert run("8080", "--quiet", "--timeout", "0.1").stderr == ""


@private
def test_another_kind_of_attempt(stage):
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("127.0.0.1", 8080))
        one.listen()
        assert run("8080", "--timeout", "0").returncode == 1
        assert run("8080", "--timeout", "0", "--as", "reuseport").returncode == 0


@private
def test_time_wait_with_the_time_that_is_left(stage):
    time_wait()
    done = run("8080", "--timeout", "0.5", "--short")
    assert re.search(r"waiting for TCP port 8080: TIME_WAIT, (60|5\d) s left\n", done.stderr)
    assert re.match(r"TCP port 8080 is blocked: .* TIME_WAIT, free in (60|5\d) s", done.stdout)


@private
def test_several_with_the_first_in_the_way(stage):
    with held(), held(port=8081):
        done = run("8080-8089", "8090/udp", "--timeout", "0.2")
    assert "waiting for TCP port 8080 and 10 more: " in done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("TCP port ")] != []
    assert "is free" not in done.stdout


@private
def test_who_has_no_rights_is_told_too(stage):
    needs_users()
    with held() as listener, pty_pair() as (_, slave):
        words = [*INUSE, "8080"]
        child = os.fork()
        if not child:
            linux.become_nobody()
            os.dup2(slave, 2)
            os.execve(words[0], words, environ())
        time.sleep(1)
        listener.close()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@contextlib.contextmanager
def pty_pair():
    master, slave = pty.openpty()
    try:
        yield master, slave
    finally:
        os.close(slave)
        os.close(master)


@private
def test_who_may_not_have_it_is_told_that_and_not_who_has_it(stage):
    needs_users()
    with held(port=80):
        done = run("80", "--as", f"uid={linux.NOBODY}", "--timeout", "3", "--short")
    assert f"waiting for TCP port 80: port 80 is below 1024: uid {linux.NOBODY} may not bind it" in done.stderr


@pytest.mark.parametrize(
    ("name", "said"), [(r"\x1b[2J\n\xff", r"\x1b[2J\n\xff (pid "), (r"   ", "'   ' (pid "), ("", "'' (pid ")]
)
@private
def test_a_hostile_name(stage, name, said):
    code = SERVER.replace("import socket", "import ctypes, socket").replace(
        "print(1", f"ctypes.CDLL(None).prctl(15, b'{name}'); print(1"
    )
    child = subprocess.Popen([sys.executable, "-c", code, "0", "1"], stdin=-1, stdout=-1)
    child.stdout.readline()
    done = run("8080", "--timeout", "0.2")
    assert f"waiting for TCP port 8080: {said}" in done.stderr
    ended(child)


def ended(child):
    child.kill()
    child.communicate()


# -- That it is served ------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "kind"), [(["8080"], 1), (["8080/udp"], 2), (["127.0.0.1:8080"], 1)])
@private
def test_it_waits_for_a_server(stage, words, kind):
    process = waiting(*words, "--for-listen")
    said = process.stderr.readline().decode()
    child = subprocess.Popen([sys.executable, "-c", SERVER, "0.3", str(kind)], stdin=-1, stdout=-1)
    status, out, rest = ends(process)
    assert said.startswith(f"inuse: waiting until somebody serves {'UDP' if kind == 2 else 'TCP'} port 8080")
    assert (status, rest) == (0, "")
    assert f"(pid {child.pid})" in out
    ended(child)


@private
def test_nobody_comes(stage):
    done = run("8080", "--for-listen", "--timeout", "0.2")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("inuse: nobody serves it after 0.")
    assert done.stdout.startswith("TCP port 8080 is free\n")


# -- Devices ----------------------------------------------------------------------------------------


def test_a_serial_device_that_is_closed():
    needs_users()  # others do not see who has it
    master, slave = pty.openpty()
    try:
        name = os.ttyname(slave)
        process = waiting(name)
        said = process.stderr.readline().decode()
        os.close(slave)
        status, out, _ = ends(process)
    finally:
        os.close(master)
    assert said.startswith(f"inuse: waiting for {name}: ")
    assert (status, out) == (0, f"{name} is free: a pseudo-terminal\n")


def test_a_device_of_which_nothing_can_be_told_is_not_waited_for():
    """An ordinary user can't see who has it; whether an open succeeds can be seen by opening it alone."""
    needs_users()

    def work():
        master, slave = pty.openpty()
        os.fchmod(slave, 0o666)
        name = os.ttyname(slave)
        os.close(slave)
        linux.become_nobody()
        done = run(name)
        assert done.returncode == 1
        said, end = done.stderr.splitlines()
        assert said == f"inuse: waiting for {name}: it can't be told whether it is free"
        assert re.fullmatch(r"inuse: after [0-9.]+ s it can't be told whether it is free", end)
        assert done.stdout.startswith(f"{name}: could not find out: ")
        done = run(name, "--probe")
        assert (done.returncode, done.stdout) == (0, f"{name} is free: a pseudo-terminal\n")
        os.close(master)

    in_child(work)


def test_a_lock_file_that_is_taken_away():
    needs_users()  # others do not see who has it
    if os.geteuid() or os.path.realpath("/var/lock") != "/run/lock":
        pytest.skip("needs root: an empty /run/lock of its own")

    def work():
        private_mounts()
        linux.mount("none", "/run/lock", "tmpfs")
        master, slave = pty.openpty()
        name = os.ttyname(slave)
        os.close(slave)
        lock = Path("/run/lock/LCK.." + name.removeprefix("/dev/").replace("/", "_"))
        lock.write_text(f"{os.getpid():10d}\n")
        process = waiting(name)
        said = process.stderr.readline().decode()
        lock.unlink()
        assert ends(process)[0] == 0
        assert f"(pid {os.getpid()})" in said
        os.close(master)

    in_child(work)


# -- What a person sees -----------------------------------------------------------------------------


def terminal(*words, **more):
    environment = environ(TERM="xterm", **more)
    return pexpect.spawn(
        INUSE[0], [*INUSE[1:], *words], env=environment, encoding="utf-8", timeout=30, dimensions=(24, 100)
    )


@private
def test_on_a_terminal_the_line_changes_and_goes(stage):
    with held() as listener:
        child = terminal("8080", "--timeout", "1m")
        child.expect(r"\rinuse: waiting for TCP port 8080: \S+ \(pid \d+\) of \S+ has it \(0 s of 60 s\)\x1b\[K")
        child.expect(r"\rinuse: waiting [^\r]* \([12] s of 60 s\)\x1b\[K")
        listener.close()
        child.expect(r"\r\x1b\[KTCP port 8080 is free\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "\n" not in child.before


@private
def test_time_wait_counts_down(stage):
    time_wait()
    child = terminal("8080")
    child.expect(r"TIME_WAIT, (\d+) s left \(0 s\)")
    first = int(child.match[1])
    child.expect(r"TIME_WAIT, (\d+) s left \([12] s\)")
    assert 0 < first - int(child.match[1]) <= 2
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130


@private
def test_a_narrow_terminal(stage):
    with held():
        child = terminal("8080", "--timeout", "0.5")
        child.setwinsize(24, 30)
        child.expect(pexpect.EOF)
        child.close()
    assert child.exitstatus == 1


# -- How it ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["8080"], ["8081", "--for-listen"]])
@private
def test_ctrl_c(stage, words):
    with held():
        process = waiting(*words)
        process.stderr.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert ends(process) == (130, "", "")


@private
def test_stopped_and_continued(stage):
    with held() as listener:
        process = waiting("8080")
        process.stderr.readline()
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        listener.close()
        process.send_signal(signal.SIGCONT)
        assert ends(process)[0] == 0


@private
def test_nobody_reads_what_it_says(stage):
    with held() as listener:
        reading, writing = os.pipe()
        os.close(reading)
        process = subprocess.Popen([*INUSE, "8080"], env=environ(), stderr=writing, stdout=subprocess.PIPE)
        os.close(writing)
        time.sleep(1)
        listener.close()
        out = process.communicate(timeout=60)[0]
    assert (process.returncode, out) == (0, b"TCP port 8080 is free\n")


@pytest.mark.parametrize("closed", ["1", "2", "1,2"])
@private
def test_closed_streams(stage, closed):
    redirections = " ".join(f"{one}>&-" for one in closed.split(","))
    words = " ".join(f"'{word}'" for word in INUSE)
    with held() as listener:
        timer = threading.Timer(1, listener.close)
        timer.start()
        done = subprocess.run(["sh", "-c", f"{words} 8080 {redirections}"], env=environ(), check=False, timeout=60)
        timer.join()
    assert done.returncode == 0


@private
def test_hardly_a_wake_up(stage):
    with held():
        process = waiting("8080")
        process.stderr.readline()
        time.sleep(1.5)
        before = switches(process.pid)
        time.sleep(5)
        after = switches(process.pid)
        process.send_signal(signal.SIGINT)
        ends(process)
    assert after - before <= 1  # of what somebody has open, the kernel tells


def switches(pid):
    """How often a process went to sleep by itself."""
    said = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", said, re.MULTILINE)[1])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("5", 5), ("0.5", 0.5), (".5", 0.5), ("5.", 5), ("90s", 90), ("2m", 120), ("1h30m", 5400), ("0", 0)],
        *[("1h0.5s", 3600.5), ("1m30", 90), (" 7 ", 7), ("1h", 3600)],
    ],
)
def test_times(text, seconds):
    from inuse.cli.options import Duration

    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize(
    ("words", "said"),
    [
        *[
            (["8080", "--timeout", text], "is no time")
            for text in ("", "x", "-1", "1x", "nan", "inf", "1e3", "٥", "1s2m")
        ],
        (["8080", "--timeout", "9" * 400], "is no time"),
        (["8080", "--json", "--short"], "--json and --short exclude each other"),
        (["8080", "--for-listen", "--as", "reuseaddr"], "--for-listen and --as exclude each other"),
        (["8080", "--for-listen", "--probe"], "--for-listen and --probe exclude each other"),
        (["/dev/ttyUSB0", "--for-listen"], "--for-listen is about a port: '/dev/ttyUSB0' is none"),
        (["0", "--for-listen"], "--for-listen is about a port: '0' is none"),
        (["80a80"], "80a80"),
        ([], "TARGET"),
    ],
)
def test_what_makes_no_sense(words, said):
    done = run(*words)
    assert (done.stdout, done.returncode) == ("", 2)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
