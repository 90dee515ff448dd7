"""After the computer slept: who hangs on a connection that did not survive it, and who does not.

Sleep is feigned by a time namespace; the other end is in a network namespace of its own, and every packet to it is lost
from some moment on. journalctl is one that says what the test wants, so that no journal of this machine matters.
"""

import json
import os
import time
from pathlib import Path

import pytest
from staging import answer as short
from staging import diagnosis, finding, held, in_child, inuse, needs_users, pids, private, script, situations

from inuse import stale
from inuse.demo import linux, sleep
from inuse.demo.stage import until
from inuse.demo.stagings import control_group, join
from inuse.systems.linux import connections, sock_diag

START, STOP = "6bbd95ee977941e497c48be27c254128", "8811e6df2a8e40f58a94cea26f8ebf14"
CODE = "sleep-resume"
ASLEEP = sleep.asleep(30000)


def journal(folder, *entries):
    """Put a journalctl before all others that prints entries: (which, seconds ago)."""
    now = time.time()
    lines = [
        json.dumps({"__REALTIME_TIMESTAMP": str(round((now - ago) * 1e6)), "MESSAGE_ID": message, "_UID": "0"})
        for message, ago in entries
    ]
    shown = "\n".join(lines)
    program(folder, f"cat <<'END'\n{shown}\nEND" if lines else "")


def program(folder, body):
    path = Path(folder, "journalctl")
    path.write_text(f"#!/bin/sh\n: > {folder}/was-asked\n{body}\n")
    path.chmod(0o755)
    folder.chmod(0o755)
    for parent in list(folder.parents)[:2]:
        parent.chmod(parent.stat().st_mode | 0o055)
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"


def asked(folder):
    return Path(folder, "was-asked").exists()


def holder_of_a_dead_connection(stage):
    peer = sleep.join(stage)
    holder = sleep.start(stage, "hold", stage.port, sleep.FAR, sleep.FAR_PORT)
    kill(holder, peer)
    return holder, peer


def kill(holder, peer):
    sleep.cut(peer)
    holder.go_on()
    sleep.until_unanswered(sleep.FAR_PORT)


def heal(peer):
    sleep.heal(peer)
    until(lambda: sleep.unanswered(sleep.FAR_PORT) == 0, "an answer")


# -- A dead connection ------------------------------------------------------------------------------


@private
def test_a_program_with_a_dead_connection(stage, tmp_path):
    journal(tmp_path)
    holder, _ = holder_of_a_dead_connection(stage)
    said = diagnosis("8080", enter=ASLEEP)
    assert short(said) == held(CODE)
    assert situations(said) == [CODE, "application"]
    assert pids(said) == {holder.pid}
    found = finding(said, CODE)
    assert found["confidence"] == "likely", "the date of the sleep is not known"
    assert found["details"]["older"] is None
    assert found["details"]["slept_seconds"] == 30000
    [connection] = found["details"]["connections"]
    assert connection["remote"] == "192.0.2.2:9000"
    assert connection["unacknowledged_bytes"] == 17
    assert connection["tries"] >= 3
    assert "8 h 20 min" in found["explanation"]
    ways = {remedy["id"]: remedy for remedy in found["remedies"]}
    assert ways["stop-holder"]["command"] == ["kill", "-TERM", str(holder.pid)]
    assert "15 min" in ways["wait"]["title"]
    assert any("recorded nowhere" in limit for limit in said["limits"])


@private
def test_a_holder_inside_the_time_namespace(stage, tmp_path):
    journal(tmp_path)
    peer = sleep.join(stage)
    holder = stage.program(
        *("unshare", "--time", "--boottime", "30000", sleep.sys.executable, "-I", str(sleep.ACTORS)),
        *("hold", "8080", sleep.FAR, str(sleep.FAR_PORT)),
    )
    holder.hear()
    kill(holder, peer)

    def enter():
        with open(f"/proc/{holder.pid}/ns/time", "rb") as namespace:
            assert sleep.ctypes.CDLL(None).setns(namespace.fileno(), sleep.CLONE_NEWTIME) == 0

    said = diagnosis("8080", enter=enter)
    assert situations(said) == [CODE, "application"]
    assert said["holders"][0]["pid"] == holder.pid


@private
def test_a_way_that_is_gone_on_this_side(stage, tmp_path):
    """Nothing can even be sent: no byte is unacknowledged in TCP's sense, but probes are counted."""
    journal(tmp_path)
    sleep.join(stage)
    holder = sleep.start(stage, "hold", stage.port, sleep.FAR, sleep.FAR_PORT)
    sleep.ip("link", "set", "near0", "down")
    holder.go_on()
    until(lambda: probes() >= 3, "a third probe")
    said = diagnosis("8080", enter=ASLEEP)
    assert situations(said) == [CODE, "application"]


def probes():
    """Zero-window probes without an answer: the same column of /proc/net/tcp has none of them, so ask the kernel."""
    from inuse.systems.linux import sock_diag

    rows = sock_diag.tcp_sockets(info=True)
    return max((row.info.probes for row in rows if row.info and row.remote_port == sleep.FAR_PORT), default=0)


@private
def test_a_client_whose_source_port_it_is(stage, tmp_path):
    journal(tmp_path)
    peer = sleep.join(stage)
    holder = stage.program(sleep.sys.executable, "-I", str(sleep.ACTORS), "hold", "-", sleep.FAR, str(sleep.FAR_PORT))
    port = holder.hear()["port"]
    kill(holder, peer)
    said = diagnosis(str(port), enter=ASLEEP)
    assert situations(said)[0] == CODE
    assert set(situations(said)[1:]) <= {"client-connection", "application"}
    assert finding(said, CODE)["holders"] == [holder.pid]


@private
def test_a_service_is_restarted_and_not_killed(stage, tmp_path):
    journal(tmp_path)
    group = control_group(stage, f"inuse-test-{os.getpid()}/system.slice/tunnel.service")
    peer = sleep.join(stage)
    holder = sleep.start(stage, "hold", stage.port, sleep.FAR, sleep.FAR_PORT)
    join(group, holder.pid)
    kill(holder, peer)
    said = diagnosis("8080", enter=ASLEEP)
    assert situations(said) == [CODE, "service"]
    commands = [remedy["command"] for remedy in finding(said, CODE)["remedies"] if remedy["command"]]
    assert commands == [["systemctl", "restart", "tunnel.service"]]


# -- No dead connection, or not of the sleep ----------------------------------------------------------


@private
def test_a_living_connection(stage, tmp_path):
    journal(tmp_path)
    sleep.join(stage)
    holder = sleep.start(stage, "hold", stage.port, sleep.FAR, sleep.FAR_PORT)
    holder.go_on()
    assert situations(diagnosis("8080", enter=ASLEEP)) == ["application"]
    assert not asked(tmp_path), "the journal was asked though nothing called for it"


@private
def test_a_living_connection_that_is_read_too_slowly(stage, tmp_path):
    """Its peer answers every probe of the closed window, ever more seldom: nothing is dead."""
    journal(tmp_path)
    sleep.join(stage)
    holder = script(
        stage,
        f"made = socket.create_connection(('{sleep.FAR}', {sleep.FAR_PORT})); made.setblocking(False)\n"
        "server = listener('8080', '127.0.0.1')\n"
        "try:\n    while True: made.send(b'x' * 65536)\nexcept BlockingIOError: pass\n"
        "say(port=made.getsockname()[1]); stay()",
    )
    port = holder.hear()["port"]
    until(lambda: seldom_answered(port), "a probe that was answered, and no other since")
    assert situations(diagnosis("8080", enter=ASLEEP)) == ["application"]


def seldom_answered(port):
    rows = sock_diag.tcp_sockets(states=connections.CONNECTED, info=True)
    info = next(row.info for row in rows if row.local_port == port)
    return info.backoff >= stale.TRIES and info.probes == 0 and 1200 < info.last_ack_recv_ms < 2000


@private
def test_an_idle_connection_of_which_nobody_knows(stage, tmp_path):
    journal(tmp_path)
    peer = sleep.join(stage)
    sleep.start(stage, "hold", stage.port, sleep.FAR, sleep.FAR_PORT)
    sleep.cut(peer)
    time.sleep(1.2)
    assert situations(diagnosis("8080", enter=ASLEEP)) == ["application"]


@private
def test_a_connection_that_came_back(stage, tmp_path):
    journal(tmp_path)
    _, peer = holder_of_a_dead_connection(stage)
    heal(peer)
    assert situations(diagnosis("8080", enter=ASLEEP)) == ["application"]


@private
def test_a_computer_that_never_slept(stage, tmp_path):
    journal(tmp_path, (START, 900), (STOP, 600))
    holder_of_a_dead_connection(stage)
    if time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC) > 1:
        pytest.skip("this machine has slept")
    assert situations(diagnosis("8080")) == ["application"]
    assert not asked(tmp_path)


@private
def test_a_server_is_no_less_alive_for_a_client_that_vanished(stage, tmp_path):
    journal(tmp_path)
    peer = sleep.join(stage)
    server = script(
        stage,
        f"server = listener('8080', '{sleep.NEAR}'); say(ready=True)\n"
        "client = server.accept()[0]; say(accepted=True)\n"
        "sys.stdin.readline(); client.send(b'Is anybody there?'); say(sent=True); stay()",
    )
    server.hear()
    stage.program(
        *("nsenter", "-t", str(peer.pid), "-n", sleep.sys.executable, "-I", "-c"),
        f"import socket, sys; made = socket.create_connection(('{sleep.NEAR}', 8080)); sys.stdin.read()",
    )
    server.hear()
    sleep.cut(peer)
    server.go_on()
    until(lambda: vanished() >= 3, "an unanswered packet")
    assert situations(diagnosis("8080", enter=ASLEEP)) == ["application"]
    assert not asked(tmp_path)


def vanished():
    lines = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    return max(int(line.split()[6], 16) for line in lines if line.split()[3] == "01")


@private
def test_a_childs_connection_is_not_its_parents(stage, tmp_path):
    """Many programs talk to a child through pipes; only of ssh is known that it has nothing else to live for."""
    journal(tmp_path)
    peer = sleep.join(stage)
    holder = script(
        stage,
        "import subprocess\n"
        "server = listener('8080')\n"
        "pipe = subprocess.PIPE\n"
        "child = subprocess.Popen([sys.executable, '-I', *sys.argv[1:]], stdin=pipe, stdout=pipe)\n"
        "for _ in range(2):\n"
        "    print(child.stdout.readline().decode(), end='', flush=True)\n"
        "    child.stdin.write(sys.stdin.readline().encode())\n"
        "    child.stdin.flush()\n"
        "print(child.stdout.readline().decode(), end='', flush=True)\n"
        "stay()\n",
        *(sleep.ACTORS, "hold", "-", sleep.FAR, sleep.FAR_PORT),
    )
    holder.hear()
    kill(holder, peer)
    assert situations(diagnosis("8080", enter=ASLEEP)) == ["application"]
    assert not asked(tmp_path)


# -- When it slept ------------------------------------------------------------------------------------


@private
def test_the_journal_knows_when(stage, tmp_path):
    peer = sleep.join(stage)
    holder = sleep.start(stage, "hold", stage.port, sleep.FAR, sleep.FAR_PORT)
    born = time.time()
    kill(holder, peer)
    until(lambda: time.time() - born > 3.5, "some age")
    journal(tmp_path, (START, 8000), (STOP, 7000), (START, 1.4), (STOP, 1.2))
    said = diagnosis("8080", enter=ASLEEP)
    found = finding(said, CODE)
    assert found["details"]["source"] == "journal"
    assert found["details"]["older"] is True
    assert "since before the computer slept" in found["title"]
    assert "was started before that" in found["explanation"]
    assert not any("recorded nowhere" in limit for limit in said["limits"])


@private
def test_a_holder_started_after_the_last_sleep(stage, tmp_path):
    journal(tmp_path, (START, 9000), (STOP, 600))
    holder_of_a_dead_connection(stage)
    said = diagnosis("8080", enter=ASLEEP)
    assert situations(said) == ["application"], "the connection died of something else"
    assert not any("slept" in limit for limit in said["limits"])


TRUE_WORD = json.dumps({"__REALTIME_TIMESTAMP": "1", "MESSAGE_ID": STOP})
NONSENSE = json.dumps({"MESSAGE_ID": [1, 2], "__REALTIME_TIMESTAMP": {}})
WRONG = {
    "fails": "exit 1",
    "fails after a true word": f"echo '{TRUE_WORD}'; exit 1",
    "says nothing": "",
    "says nonsense": f"printf '\\377\\000{{]\\n{{}}\\n[]\\n7\\n'; echo '{NONSENSE}'",
    "never ends": "exec sleep 60",
    "closes its output and never ends": "exec >&-; exec sleep 60",
    "never stops talking": f"while :; do echo {'x' * 80}; done",
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
@private
def test_a_journal_that_can_not_be_read(stage, tmp_path, body):
    """Nothing is made of half an answer, and nobody waits for it."""
    holder_of_a_dead_connection(stage)
    program(tmp_path, body)
    began = time.monotonic()
    said = diagnosis("8080", enter=ASLEEP)
    assert time.monotonic() - began < 6
    assert asked(tmp_path)
    assert situations(said) == [CODE, "application"]
    assert finding(said, CODE)["details"]["source"] is None


@private
def test_no_journalctl_at_all(stage, tmp_path):
    holder_of_a_dead_connection(stage)
    os.environ["PATH"] = str(tmp_path)
    said = diagnosis("8080", enter=ASLEEP)
    assert situations(said) == [CODE, "application"]


# -- Who asks -------------------------------------------------------------------------------------------


@private
def test_an_ordinary_user(stage, tmp_path):
    needs_users()
    journal(tmp_path)
    peer = sleep.join(stage)
    holder = stage.program(
        *("setpriv", f"--reuid={linux.NOBODY}", f"--regid={linux.NOBODY}", "--clear-groups"),
        *(sleep.sys.executable, "-I", str(sleep.ACTORS), "hold", "8080", sleep.FAR, str(sleep.FAR_PORT)),
    )
    holder.hear()
    kill(holder, peer)

    def enter():
        ASLEEP()
        linux.become_nobody()

    said = diagnosis("8080", enter=enter)
    assert situations(said) == [CODE, "application"]
    [limit] = [limit for limit in said["limits"] if "recorded nowhere" in limit]
    assert "systemd-journal" in limit


@private
def test_an_ordinary_user_about_somebody_elses(stage, tmp_path):
    needs_users()
    journal(tmp_path)
    holder_of_a_dead_connection(stage)

    def enter():
        ASLEEP()
        linux.become_nobody()

    assert situations(diagnosis("8080", enter=enter)) == ["hidden-holder"]
    assert not asked(tmp_path)


# -- The demo ---------------------------------------------------------------------------------------------


@private
def test_the_demo(stage, tmp_path):
    journal(tmp_path)
    staged = sleep.sleep_resume(stage)
    said = diagnosis(staged.target, enter=staged.enter)
    assert said["situation"] == CODE
    assert pids(said) == set(staged.pids)


@private
def test_what_a_person_reads(stage, tmp_path):
    journal(tmp_path)
    staged = sleep.sleep_resume(stage)
    run = inuse(staged.target, enter=staged.enter)
    text = " ".join(run.text.split())
    assert "its connection to 192.0.2.2:9000 " in text
    assert "This computer has slept 8 h in all since it was booted" in text
    assert run.err == b""


def test_many_askers_leave_nothing_behind(tmp_path):
    """What journalctl left is waited for: no zombie stays, and no descriptor."""
    from inuse.systems.linux.sleep import journal as reader

    def work():
        program(tmp_path, "exec sleep 60")
        reader.PATIENCE_SECONDS = 0.05
        before = set(os.listdir("/proc/self/fd"))
        assert reader.run(reader.COMMAND) is None
        assert set(os.listdir("/proc/self/fd")) == before
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    in_child(work)
