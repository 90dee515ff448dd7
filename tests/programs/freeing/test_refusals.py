"""Who is never touched, whatever is asked: ourselves and those we come from, pid 1, and what others have a right to."""

import ctypes
import json
import os
import socket
import struct
import subprocess
import time

import pytest
from freeing_lab import can_be_had, free, import_everything, judged, untouched
from freeing_stage import ENVIRONMENT, INUSE, PORT, Bystander, hear_until, server, siblings, started
from staging import needs_users, private, script

from inuse.demo import linux, stagings
from inuse.demo.ssh import Lab, owners
from inuse.demo.stage import find_program, until

ALWAYS = [("--yes",), ("--yes", "--force", "--grace", "0")]


def listening():
    made = socket.socket()
    made.bind(("127.0.0.1", PORT))
    made.listen()
    return made


@pytest.mark.parametrize("options", ALWAYS, ids=len)
@private
def test_a_process_that_inuse_was_started_from(stage, options):
    others = siblings(stage)
    with listening():
        assert free(PORT, "--dry-run").status == 1
        answer = untouched(PORT, *options, holders=[os.getpid()], bystanders=others)
        assert answer.refused == {os.getpid()}
        assert answer.said["done"] == []


@private
def test_one_of_two_is_an_ancestor_so_that_ending_the_other_would_help_nobody(stage):
    reuse = "server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(("127.0.0.1", PORT))
        made.listen()
        other = script(
            stage, reuse + "server.bind((LOCAL, int(sys.argv[1]))); server.listen(); say(ok=1); stay()", PORT
        )
        other.hear()
        answer = untouched(PORT, "--yes", holders=[os.getpid(), other.pid], bystanders=siblings(stage))
        assert os.getpid() in answer.refused


@pytest.mark.parametrize("closing", ["9<&-", ""], ids=["the shell alone", "inuse has the descriptor as well"])
@private
def test_the_shell_that_runs_it(stage, closing):
    command = f'"$@" free {PORT} --yes --json {closing}; echo "status $?"; read line'
    with listening() as made:
        os.dup2(made.fileno(), 9)
        shell = subprocess.Popen(
            ["/bin/sh", "-c", command, "sh", *INUSE],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[9],
        )
        os.close(9)
    stage.adopt(shell.pid)
    began = started(shell.pid)
    said = hear_until(shell, *(f"status {number}\n".encode() for number in range(4)))
    assert started(shell.pid) == began
    answer = judged(1, said.removesuffix(b"status 1\n"), b"")
    assert shell.pid in answer.refused
    assert answer.said["done"] == []
    shell.communicate(b"\n")


@private
def test_pid_1_of_a_pid_namespace(stage):
    needs_users()
    unshare, nsenter = find_program("unshare", "util-linux"), find_program("nsenter", "util-linux")
    words = [unshare, "--pid", "--fork", "--mount-proc", "--kill-child", *SERVING]
    outside = stage.program(*words)
    until(lambda: owners(PORT), "the server")
    (first,) = owners(PORT)
    stage.adopt(first)
    enter = [nsenter, "-t", str(first), "-p", "-m", "--", *INUSE, "free", str(PORT), "--json"]
    for options in (["--dry-run"], *ALWAYS):
        run = subprocess.run([*enter, *options], env=ENVIRONMENT, capture_output=True, check=False, timeout=60)
        answer = judged(run.returncode, run.stdout, run.stderr, dry="--dry-run" in options)
        assert run.returncode == 1
        assert answer.refused == {1}
        assert "pid 1" in answer.text
    Bystander("pid 1", first)
    Bystander("unshare", outside.pid)
    assert not can_be_had()


SERVING = (
    *INUSE[:1],
    "-I",
    "-c",
    f"import socket, time\ns = socket.socket(); s.bind(('127.0.0.1', {PORT})); s.listen(); time.sleep(600)",
)


@private
def test_another_users_process_that_can_not_even_be_seen(stage):
    needs_users()
    import_everything()
    holder = server(stage)
    answer = untouched(PORT, "--yes", holders=[holder.pid], bystanders=siblings(stage), enter=linux.become_nobody)
    assert answer.said["done"] == []
    assert answer.said["refused"]
    assert "root" in answer.text or "sudo" in answer.text


CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE = 2, 19
PR_SET_KEEPCAPS = 8


def may_look_only():
    """Be an ordinary user who may look at everything, and signal only what is theirs: capset(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0
    linux.become_nobody()
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))
    bits = 1 << CAP_DAC_READ_SEARCH | 1 << CAP_SYS_PTRACE
    data = ctypes.create_string_buffer(struct.pack("=6I", bits, bits, 0, 0, 0, 0))
    assert libc.capset(header, data) == 0


@pytest.mark.parametrize("options", ALWAYS, ids=len)
@private
def test_another_users_process_that_can_be_seen_and_not_be_signalled(stage, options):
    needs_users()
    import_everything()
    holder = server(stage)
    assert free(PORT, "--dry-run", enter=may_look_only).status == 1
    answer = untouched(PORT, *options, holders=[holder.pid], bystanders=siblings(stage), enter=may_look_only)
    assert answer.refused == {holder.pid}
    assert "root" in answer.text
    assert "CAP_KILL" in answer.text


@private
def test_half_of_the_holders_are_another_users(stage):
    """What can be signalled is not, when the port would stay with the rest."""
    needs_users()
    import_everything()
    holder = script(
        stage,
        "server = listener(sys.argv[1])\nchild = os.fork()\nif not child:\n    os.setuid(65534)\n    linger(server)\n"
        "say(child=child); stay()",
        PORT,
    )
    child = holder.hear()["child"]
    stage.adopt(child)
    until(lambda: os.stat(f"/proc/{child}").st_uid, "the other user")
    answer = untouched(PORT, "--yes", holders=[holder.pid, child], bystanders=siblings(stage), enter=may_look_only)
    assert holder.pid in answer.refused


@private
def test_a_session_of_sshd_that_inuse_runs_in(stage):
    """`ssh -R 8080:… host`, and in that session `inuse free 8080`: it would cut off its own branch."""
    lab = Lab(stage)
    words = " ".join(
        (
            f"env PYTHONPATH='{ENVIRONMENT['PYTHONPATH']}' LC_ALL=C.UTF-8",
            *INUSE,
            f"free {PORT} --yes --json; echo status $?; cat",
        )
    )
    there = lab.start("-R", f"{PORT}:localhost:3000", "bastion", words, then=PORT)
    (session,) = owners(PORT, lab.sessions())
    began = started(session)
    said = hear_until(there.process, *(f"status {number}\n".encode() for number in range(4)))
    answer = judged(1, said.removesuffix(b"status 1\n"), b"")
    assert answer.refused == {session}
    assert started(session) == began
    assert there.process.poll() is None


@private
def test_a_kernel_socket_has_nobody_to_end(stage):
    staged = stagings.kernel(stage)
    answer = untouched(staged.target, "--yes", bystanders=siblings(stage))
    assert answer.said["done"] == []
    assert answer.said["after"]["verdict"] == "in_use"


@pytest.mark.parametrize(
    "staging",
    [stagings.address_not_local, stagings.privileged_port, stagings.security_policy],
    ids=lambda s: s.__name__,
)
@private
def test_what_no_plan_can_free(stage, staging):
    import_everything()
    staged = staging(stage)
    assert free(staged.target, "--dry-run", enter=staged.enter).status == 1
    answer = untouched(staged.target, "--yes", enter=staged.enter)
    assert answer.said["plan"] == []
    assert answer.said["after"]["verdict"] == "blocked"


@private
def test_a_descriptor_in_flight_is_said_not_to_be_had(stage):
    """The only process that could receive it is no holder, and is asked to end only where the plan says so."""
    staged = stagings.descriptor_in_flight(stage)
    began = time.monotonic()
    answer = free(staged.target, "--yes")
    assert time.monotonic() - began < 30
    assert (answer.status == 0) == can_be_had(PORT)
    assert json.dumps(answer.said)
