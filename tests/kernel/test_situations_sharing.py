"""Who holds it: every process that has the socket, however it came by it, and nobody else."""

import os
import signal
import sys

import pytest
from staging import answer, diagnosis, finding, held, needs_users, pids, private, script, situations

from inuse.demo import linux
from inuse.demo.stage import ACTORS, until


@private
def test_fork_shares(stage):
    server = script(
        stage,
        "server = listener('8080')\nchild = os.fork()\nif not child: linger(server)\nsay(child=child); stay()",
    )
    child = server.hear()["child"]
    stage.adopt(child)
    said = diagnosis("8080")
    assert answer(said) == held("application")
    assert pids(said) == {server.pid, child}
    assert finding(said, "application")["details"]["shared"] is True
    command = finding(said, "application")["remedies"][0]["command"]
    assert command[:3] == ["kill", "-TERM", str(server.pid)]


REUSEPORT = (
    "made = socket.socket(); made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
    "made.bind((LOCAL, 8080)); made.listen(); say(ready=True); stay()"
)


@private
def test_a_reuseport_group_has_several_owners(stage):
    group = [script(stage, REUSEPORT) for _ in range(3)]
    for one in group:
        one.hear()
    said = diagnosis("8080")
    assert answer(said) == held("application")
    assert pids(said) == {one.pid for one in group}
    assert finding(said, "application")["details"]["shared"] is True


@private
def test_who_may_join_a_group_is_told_it_is_free_and_who_else_is_there(stage):
    group = [script(stage, REUSEPORT) for _ in range(2)]
    for one in group:
        one.hear()
    said = diagnosis("8080", "--as", "reuseport")
    assert answer(said) == ("free", "free", None, None)
    assert pids(said) == {one.pid for one in group}


@private
def test_another_user_may_not_join(stage):
    needs_users()
    one = script(stage, REUSEPORT)
    one.hear()
    said = diagnosis("8080", "--as", "reuseport,uid=65534")
    assert answer(said) == held("application")
    assert pids(said) == {one.pid}


@private
def test_a_descriptor_passed_and_received(stage):
    program = script(
        stage,
        "near, far = socket.socketpair()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    near.close(); _, fds, _, _ = socket.recv_fds(far, 10, 1); far.send(b'.'); stay(); os._exit(0)\n"
        "server = listener('8080')\n"
        "socket.send_fds(near, [b'.'], [server.fileno()]); near.recv(1)\n"
        "say(child=child); stay()",
    )
    child = program.hear()["child"]
    stage.adopt(child)
    said = diagnosis("8080")
    assert answer(said) == held("application")
    assert pids(said) == {program.pid, child}


@private
def test_a_descriptor_passed_on_belongs_to_the_receiver_alone(stage):
    program = script(
        stage,
        "near, far = socket.socketpair()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    near.close(); _, fds, _, _ = socket.recv_fds(far, 10, 1); far.send(b'.'); stay(); os._exit(0)\n"
        "server = listener('8080')\n"
        "socket.send_fds(near, [b'.'], [server.fileno()]); near.recv(1); server.close()\n"
        "say(child=child); stay()",
    )
    child = program.hear()["child"]
    stage.adopt(child)
    said = diagnosis("8080")
    assert answer(said)[:2] == ("in_use", "application")
    assert pids(said) == {child}


@private
def test_a_holder_in_another_pid_namespace(stage):
    program = script(
        stage,
        "import ctypes\n"
        "if ctypes.CDLL(None).unshare(0x20000000): say(refused=True); sys.exit()\n"
        "ready, done = os.pipe()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    server = listener('8080'); os.write(done, b'.'); linger(server)\n"
        "os.read(ready, 1); say(child=child); stay()",
    )
    said = program.hear()
    if "refused" in said:
        pytest.skip("no pid namespace can be made here")
    stage.adopt(said["child"])
    found = diagnosis("8080")
    assert answer(found)[:2] == ("in_use", "application")
    assert pids(found) == {said["child"]}


@private
def test_a_descriptor_in_a_threads_own_table(stage):
    program = script(
        stage,
        "import ctypes, threading\n"
        "def own():\n"
        "    assert ctypes.CDLL(None).unshare(0x400) == 0\n"
        "    server = listener('8080'); say(ready=True); threading.Event().wait()\n"
        "threading.Thread(target=own, daemon=True).start(); stay()",
    )
    program.hear()
    assert not any(
        "socket:" in os.readlink(f"/proc/{program.pid}/fd/{n}") for n in os.listdir(f"/proc/{program.pid}/fd")
    )
    said = diagnosis("8080")
    assert answer(said) == held("application")
    assert pids(said) == {program.pid}


@private
def test_a_file_registered_with_io_uring(stage):
    program = script(
        stage,
        "import ctypes, struct\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "ring = libc.syscall(425, 4, ctypes.create_string_buffer(120))\n"
        "if ring < 0: say(refused=os.strerror(ctypes.get_errno())); sys.exit()\n"
        "server = listener('8080')\n"
        "files = ctypes.create_string_buffer(struct.pack('i', server.fileno()), 4)\n"
        "done = libc.syscall(427, ring, 2, files, 1)\n"
        "if done < 0: say(refused=os.strerror(ctypes.get_errno())); sys.exit()\n"
        "server.close(); say(ready=True); stay()",
    )
    said = program.hear()
    if "refused" in said:
        pytest.skip(f"io_uring can't be used here: {said['refused']}")
    found = diagnosis("8080")
    assert answer(found)[:2] == ("in_use", "application")
    assert pids(found) == {program.pid}
    assert [socket["fd"] for socket in found["holders"][0]["sockets"]] == [None]


# -- Left behind, or on purpose alone -------------------------------------------------------------


def left(stage, code):
    """Start a program that reports the pids of what it leaves, and wait for its end."""
    program = script(stage, code)
    stage.adopt(*(pids := program.hear()["left"]))
    program.process.wait()
    until(lambda: not os.path.exists(f"/proc/{program.pid}"), "the end of the parent")
    return pids


@pytest.mark.parametrize("when", ["before", "after"])
@private
def test_a_daemon_is_no_heir(stage, when):
    """Forked twice with setsid() between, as daemon(7) says: whether it bound its port before or after."""
    early, late = ("server = listener('8080')\n", "") if when == "before" else ("", "    server = listener('8080')\n")
    (daemon,) = left(
        stage,
        early + "ready, done = os.pipe()\n"
        "if not os.fork():\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n" + late + "    os.write(done, b'%d' % os.getpid()); linger(server)\n"
        "pid = int(os.read(ready, 20)); os.wait(); say(left=[pid])",
    )
    said = diagnosis("8080")
    assert answer(said) == held("application")
    assert situations(said) == ["application"]
    assert pids(said) == {daemon}


@private
def test_a_server_started_in_the_background_by_a_shell_that_ended(stage):
    start = f"exec 3<&0; '{sys.executable}' -I '{ACTORS}' serve 8080 <&3 & echo '{{\"left\":' $!'}}'"
    shell = stage.program("sh", "-c", start)
    said = [shell.hear(), shell.hear(), shell.hear()]  # of the shell, and twice of the server
    (server,) = (one["left"] for one in said if "left" in one)
    stage.adopt(server)
    shell.process.wait()
    said = diagnosis("8080")
    assert answer(said) == held("application")
    assert situations(said) == ["application"]
    assert pids(said) == {server}


CHILD = (
    "import subprocess\n"
    "server = listener('8080'); os.set_inheritable(server.fileno(), True)\n"
    "quiet = subprocess.DEVNULL\n"
    "command = [sys.executable, '-I', '-c', 'import time; time.sleep(600)']\n"
    "child = subprocess.Popen(command, pass_fds=[server.fileno()], stdin=quiet, stdout=quiet, stderr=quiet)\n"
    "child.returncode = 0\n"
)


@private
def test_a_python_program_that_inherited_over_execve_and_lost_its_parent(stage):
    (heir,) = left(stage, CHILD + "say(left=[child.pid])")
    said = diagnosis("8080")
    assert answer(said) == held("inherited")
    assert pids(said) == {heir}


@private
def test_an_heir_beside_its_living_parent_is_no_orphan(stage):
    program = script(stage, CHILD + "say(child=child.pid); stay()")
    child = program.hear()["child"]
    stage.adopt(child)
    said = diagnosis("8080")
    assert answer(said) == held("application")
    assert situations(said) == ["application"]
    assert pids(said) == {program.pid, child}


@private
def test_sleep_beside_the_living_server_that_started_it(stage):
    program = script(
        stage,
        "import subprocess\n"
        "server = listener('8080')\n"
        "quiet = subprocess.DEVNULL\n"
        "fds = [server.fileno()]\n"
        "child = subprocess.Popen(['sleep', '600'], pass_fds=fds, stdin=quiet, stdout=quiet, stderr=quiet)\n"
        "say(child=child.pid); stay()",
    )
    child = program.hear()["child"]
    stage.adopt(child)
    said = diagnosis("8080")
    assert answer(said) == held("application")
    assert situations(said) == ["application"]
    assert pids(said) == {program.pid, child}


@private
def test_workers_with_their_master_alive(stage):
    program = script(
        stage,
        "server = listener('8080')\n"
        "workers = [os.fork() or linger(server) for _ in range(2)]\n"
        "say(workers=workers); stay()",
    )
    workers = program.hear()["workers"]
    stage.adopt(*workers)
    said = diagnosis("8080")
    assert situations(said) == ["application"]
    assert pids(said) == {program.pid, *workers}


# -- Clients --------------------------------------------------------------------------------------


@private
def test_a_stopped_client_is_not_the_holder(stage):
    server = stage.start("serve", 8080, 1)
    server.hear()
    client = stage.start("connect", 8080)
    client.hear()
    server.hear()
    os.kill(client.pid, signal.SIGSTOP)
    said = diagnosis("8080")
    assert answer(said) == held("application")
    assert situations(said) == ["application"]
    assert pids(said) == {server.pid}
    assert finding(said, "application")["details"]["connections"] == 1


@private
def test_connections_that_outlive_the_listener(stage):
    server = stage.start("serve", 8080, 2, "off")
    server.hear()
    for _ in range(2):
        stage.start("connect", 8080).hear()
    server.hear()
    said = diagnosis("8080")
    assert answer(said) == held("application")
    assert pids(said) == {server.pid}
    assert {socket["state"] for socket in said["holders"][0]["sockets"]} == {"established"}


@private
def test_the_program_behind_a_replaced_file(stage):
    """A holder whose executable is gone is still named, and said to be gone."""
    import shutil
    import tempfile

    folder = tempfile.mkdtemp()
    stage.afterwards(lambda: shutil.rmtree(folder))
    copy = shutil.copy("/bin/sleep", f"{folder}/napper")
    made = linux.socket.socket()
    made.bind(("127.0.0.1", 8080))
    napper = stage.program(copy, "600", pass_fds=(made.fileno(),))
    made.close()
    os.unlink(copy)
    said = diagnosis("8080")
    assert pids(said) == {napper.pid}
    assert said["holders"][0]["exe"] == copy
    assert said["holders"][0]["exe_deleted"] is True
