"""Ports got back for real, each in a network namespace of its own: the mildest way, and the attempt as the proof."""

import math
import os
import signal
import socket
import time

import pytest
from acting_lab import alive, answer, began, can_bind, free, ids, start, until
from staging import private, script

import inuse
from inuse.demo import linux, stagings
from inuse.demo.stage import tcp_states
from inuse.targets import TargetError

PORT = 8080


@private
def test_a_server_with_a_connected_client_ends_free(stage):
    stagings.application(stage)
    server, client = stage._actors
    freed = answer(PORT)
    assert freed["freed"] is True
    assert ids(freed) == ["stop-holder", "destroy-socket"]
    assert freed["done"] == ["stop-holder", "destroy-socket"]
    assert freed["plan"][0]["pids"] == [server.pid]
    assert any("127.0.0.1:" in line for line in freed["plan"][0]["affected"])
    assert can_bind(PORT)
    assert alive(client)
    assert not alive(server)


@private
def test_a_dry_run_touches_nothing_and_has_the_same_plan(stage):
    stagings.application(stage)
    server, client = stage._actors
    dry = free(PORT, "--dry-run", "--json")
    assert dry.status == 0
    assert dry.json["freed"] is None
    assert dry.json["done"] == []
    assert alive(server)
    assert alive(client)
    assert answer(PORT)["plan"] == dry.json["plan"]


@private
def test_free_already(stage):
    freed = answer(PORT)
    assert (freed["plan"], freed["freed"], freed["done"]) == ([], True, [])
    assert freed["before"]["verdict"] == freed["after"]["verdict"] == "free"


@private
def test_bound_and_never_listening(stage):
    stagings.bound_not_listening(stage)
    assert answer(PORT)["done"] == ["stop-holder"]
    assert can_bind(PORT)


@private
def test_udp(stage):
    code = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 8080)); say(ready=True); stay()"
    script(stage, code).hear()
    freed = answer(f"{PORT}/udp")
    assert freed["done"] == ["stop-holder"]
    assert can_bind(PORT, socket.SOCK_DGRAM)


@private
def test_left_to_a_child(stage):
    staged = stagings.inherited(stage)
    freed = answer(PORT)
    assert freed["freed"] is True
    assert freed["plan"][0]["pids"] == list(staged.pids)
    assert can_bind(PORT)


@private
def test_a_socket_shared_by_fork_is_given_up_by_all_and_a_namesake_lives(stage):
    code = """
server = listener("8080")
pids = [os.getpid()]
for _ in range(3):
    pid = os.fork()
    if not pid:
        linger(server)
    pids.append(pid)
say(pids=pids)
stay()
"""
    pids = script(stage, code).hear()["pids"]
    stage.adopt(*pids[1:])
    namesake = stage.start("serve", 9090)
    namesake.hear()
    freed = answer(PORT)
    assert freed["freed"] is True
    assert set(freed["plan"][0]["pids"]) == set(pids)
    assert all(began(pid) is None for pid in pids)
    assert can_bind(PORT)
    assert not can_bind(9090)
    assert alive(namesake)


@private
def test_forks_of_forks_that_outlive_their_master(stage):
    code = """
import signal
server = listener("8080")
pids = [os.getpid()]
reading, writing = os.pipe()
if not os.fork():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if not os.fork():
        os.write(writing, b"%d\\n" % os.getpid())
        linger(server)
    os.write(writing, b"%d\\n" % os.getpid())
    while True: signal.pause()
lines = open(reading)
say(pids=[os.getpid(), int(lines.readline()), int(lines.readline())])
stay()
"""
    pids = script(stage, code).hear()["pids"]
    stage.adopt(*pids[1:])
    freed = answer(PORT)
    assert freed["freed"] is True, freed
    assert set(freed["plan"][0]["pids"]) == set(pids)
    assert all(began(pid) is None for pid in pids)


@private
def test_two_that_share_a_port_by_so_reuseport(stage):
    code = """
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); s.bind(("127.0.0.1", 8080)); s.listen()
say(ready=True); stay()
"""
    for _ in range(2):
        script(stage, code).hear()
    freed = answer(PORT)
    assert freed["done"] == ["stop-holder"]
    assert len(freed["plan"][0]["pids"]) == 2
    assert can_bind(PORT)


@private
def test_a_stopped_job_is_ended_and_its_shell_lives(stage):
    stagings.suspended_process(stage)
    freed = answer(PORT)
    assert freed["done"] == ["stop-holder"]
    assert can_bind(PORT)


@private
def test_time_wait_can_be_dropped_at_once(stage):
    stagings.time_wait(stage)
    dry = free(PORT, "--dry-run", "--json").json
    assert ids(dry) == ["wait", "destroy-socket"]
    freed = answer(PORT, "--no-wait")
    assert ids(freed) == freed["done"] == ["destroy-socket"]
    assert can_bind(PORT)


@private
def test_an_orphan_in_fin_wait_is_dropped_and_the_client_lives(stage):
    stagings.closing(stage)
    client = stage._actors[1]
    freed = answer(PORT, "--no-wait")
    assert freed["done"] == ["destroy-socket"]
    assert can_bind(PORT)
    assert alive(client)


@private
def test_connections_never_closed(stage):
    stagings.close_wait(stage)
    client = stage._actors[1]
    freed = answer(PORT)
    assert freed["freed"] is True
    assert can_bind(PORT)
    assert alive(client)


@private
def test_a_connection_that_has_the_port_by_chance_is_closed_and_its_program_lives(stage):
    port = int(stagings.client_connection(stage).target)
    server, client = stage._actors
    freed = answer(port)
    assert freed["done"] == ["close-connection"]
    assert can_bind(port)
    assert alive(server)
    assert alive(client)


@private
def test_a_program_that_bound_its_port_itself_keeps_it_without_the_connection_and_is_ended(stage):
    code = "s = listener('9000'); say(ready=True); c = s.accept()[0]; stay()"
    server = script(stage, code)
    server.hear()
    code = "c = socket.socket(); c.bind(('127.0.0.1', 8080)); c.connect(('127.0.0.1', 9000)); say(ready=True); stay()"
    client = script(stage, code)
    client.hear()
    freed = answer(PORT)
    assert freed["done"] == ["close-connection", "stop-holder"]
    assert can_bind(PORT)
    assert alive(server)
    assert not alive(client)


@private
def test_a_program_that_closes_its_broken_connection_lives(stage):
    """It is given the time to hear of it."""
    server = script(stage, "s = listener('9000'); say(ready=True); c = s.accept()[0]; stay()")
    server.hear()
    code = """
import time
c = socket.socket(); c.bind(('127.0.0.1', 8080)); c.connect(('127.0.0.1', 9000)); say(ready=True)
try:
    c.recv(1)
except OSError:
    time.sleep(0.3)
c.close()
stay()
"""
    client = script(stage, code)
    client.hear()
    freed = answer(PORT)
    assert freed["done"] == ["close-connection"]
    assert can_bind(PORT)
    assert alive(client)


@private
def test_a_program_the_system_gave_the_port_lives_though_it_gives_out_others_now(stage):
    """Where what was planned for one that bound it itself is not needed, it is not done."""
    port = int(stagings.client_connection(stage).target)
    server, client = stage._actors
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
        file.write("1024 2047")
    freed = answer(port)
    assert ids(freed)[:2] == ["close-connection", "stop-holder"]
    assert freed["done"] == ["close-connection"]
    assert can_bind(port)
    assert alive(server)
    assert alive(client)


STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
server = listener("8080"); say(ready=True); stay()
"""


@private
def test_who_ignores_sigterm_is_left_alive_without_force(stage):
    holder = script(stage, STUBBORN)
    holder.hear()
    freed = answer(PORT, "--grace", "0.5")
    assert freed["freed"] is False
    assert "did not end within 0.5 s" in freed["why"]
    assert alive(holder)


@private
def test_who_ignores_sigterm_is_killed_with_force_after_the_grace_period(stage):
    holder = script(stage, STUBBORN)
    holder.hear()
    freed = answer(PORT, "--force", "--grace", "0.5")
    assert freed["done"] == ["stop-holder", "kill-holder"]
    assert freed["freed"] is True
    assert can_bind(PORT)


@private
def test_a_shell_loop_that_brings_it_back_is_named(stage):
    code = """
import itertools
child = os.fork()
if not child:
    os.execv("/bin/sh", ["sh", "-c", "while true; do " + sys.executable + " -I -c '" + SERVER + "'; done"])
say(pid=child)
stay()
"""
    server = (
        'import socket; s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(("127.0.0.1", 8080)); s.listen(); s.accept()'
    )
    loop = script(stage, f"SERVER = {server!r}\n" + code).hear()["pid"]
    stage.adopt(loop)
    until(lambda: "0A" in tcp_states(PORT))
    freed = answer(PORT)
    assert freed["freed"] is False
    assert f"(pid {loop}) started it again" in freed["why"]
    stage.adopt(*(holder["pid"] for holder in freed["after"]["holders"]))
    assert began(loop) is not None


@private
def test_what_inuse_was_started_from_is_refused(stage):
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", PORT))
        mine.listen()
        freed = answer(PORT)
        assert freed["freed"] is False
        assert freed["plan"] == []
        assert [one["pid"] for one in freed["refused"]] == [os.getpid()]
        assert "started from" in freed["refused"][0]["why"]


@private
def test_a_connection_of_what_inuse_was_started_from_stays(stage):
    stage.start("serve", PORT).hear()
    with socket.create_connection(("127.0.0.1", PORT)) as mine:
        freed = answer(mine.getsockname()[1])
        assert (freed["freed"], freed["plan"], freed["done"]) == (False, [], [])
        assert [one["pid"] for one in freed["refused"]] == [os.getpid()]
        mine.sendall(b"still there")


@pytest.mark.parametrize(
    ("target", "grace", "error"),
    [(0, 5, TargetError), ("ipsec", 5, TargetError), (1, math.nan, ValueError), (1, -1, ValueError)],
)
def test_the_library_refuses_what_is_not_one_port_or_no_time(target, grace, error):
    with pytest.raises(error):
        inuse.free(target, grace=grace, dry_run=True)


@private
def test_a_holder_of_another_user_is_refused_with_the_right_that_is_missing(stage):
    if not stagings.other_users():
        pytest.skip("needs real root: no other user can be become here")
    stagings.application(stage)
    server = stage._actors[0]
    freed = answer(PORT, enter=linux.become_nobody)
    assert freed["freed"] is False
    assert freed["refused"]
    assert alive(server)


@private
def test_without_a_terminal_and_without_yes_it_only_shows_the_plan(stage):
    stagings.application(stage)
    server = stage._actors[0]
    said = free(PORT)
    assert said.status == 1
    assert f"kill -TERM {server.pid}" in said.out
    assert "--yes" in said.err
    assert alive(server)
    assert free(PORT, "--json").json["freed"] is False
    assert alive(server)


@private
def test_a_service_is_stopped_by_its_manager_or_not_at_all(stage, tmp_path):
    staged = stagings.service(stage)
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ "$1" != stop ] || kill {staged.pids[0]}\n')
    systemctl.chmod(0o755)
    freed = answer(PORT, environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert freed["done"][0] == "stop-unit"
    assert freed["freed"] is True
    assert "stop demo.service" in (tmp_path / "asked").read_text()


@private
def test_a_service_manager_that_fails_is_quoted(stage, tmp_path):
    stagings.service(stage)
    server = stage._actors[0]
    systemctl = tmp_path / "systemctl"
    systemctl.write_text("#!/bin/sh\necho 'Failed to stop demo.service: no' >&2\nexit 1\n")
    systemctl.chmod(0o755)
    freed = answer(PORT, environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert freed["freed"] is False
    assert "Failed to stop demo.service: no" in freed["why"]
    assert alive(server)


@private
def test_who_took_the_port_meanwhile_is_not_touched(stage):
    holder = script(
        stage,
        "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        'server = listener("8080"); say(ready=True); stay()',
    )
    holder.hear()
    master, terminal = os.openpty()
    with start(PORT, stdin=terminal, stdout=terminal) as process:
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(master, 4096)
        holder.end()
        other = stage.start("serve", PORT)
        other.hear()
        os.write(master, b"j\n")
        process.communicate(timeout=60)
    assert process.returncode == 1
    assert alive(other)
    os.close(master)
    os.close(terminal)


@private
def test_two_at_once_do_no_harm(stage):
    code = """
import signal
count = []
signal.signal(signal.SIGTERM, lambda *_: count.append(1))
import time
server = listener("8080"); say(ready=True)
while not count: time.sleep(0.01)
time.sleep(0.5)
say(count=len(count))
"""
    holder = script(stage, code)
    holder.hear()
    runs = [start(PORT, "--yes") for _ in range(3)]
    for process in runs:
        process.communicate(timeout=60)
    assert holder.hear()["count"] == 1
    assert [process.returncode for process in runs] == [0, 0, 0]
    assert can_bind(PORT)


@private
def test_ctrl_c_while_it_waits(stage):
    holder = script(stage, STUBBORN)
    holder.hear()
    process = start(PORT, "--yes", "--grace", "30")
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=10)[1]
    assert process.returncode == 130
    assert "Traceback" not in err
    assert alive(holder)
