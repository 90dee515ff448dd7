"""What no process has: connections that the kernel still ends. Nobody is signalled for them."""

import signal
import subprocess
import time

import pytest
from freeing_lab import can_be_had, free, freed, import_everything
from freeing_stage import ENVIRONMENT, INUSE, PORT, Bystander, client, server, siblings
from staging import needs_users, private, script

from inuse.demo import linux, stagings
from inuse.demo.stage import find_program, tcp_states, until

FIN_WAIT_2 = "05"


@private
def test_an_orphan_whose_client_never_closes(stage):
    holder = server(stage)
    mine = client(stage)
    assert mine.go_on()["answered"]
    holder.end()
    until(lambda: FIN_WAIT_2 in tcp_states(PORT), "FIN_WAIT2")
    done = freed(bystanders=[Bystander("the client", mine.pid), *siblings(stage)])
    assert not {"stop-holder", "kill-holder"} & set(done.plan)


@private
def test_an_orphan_without_the_right_to_destroy_it(stage):
    """It is waited for: the kernel ends it after tcp_fin_timeout."""
    needs_users()
    import_everything()
    with open("/proc/sys/net/ipv4/tcp_fin_timeout", "w") as setting:
        setting.write("3")
    holder = server(stage)
    mine = client(stage)
    holder.end()
    until(lambda: FIN_WAIT_2 in tcp_states(PORT), "FIN_WAIT2")
    done = freed(bystanders=[Bystander("the client", mine.pid), *siblings(stage)], enter=linux.become_nobody)
    assert done.plan == ["wait"]


@private
def test_time_wait_is_announced_with_its_seconds(stage):
    staged = stagings.time_wait(stage)
    answer = free(staged.target, "--dry-run")
    assert answer.status == 0
    assert answer.plan[0] == "wait"
    left = next(f for f in answer.said["before"]["findings"] if f["situation"] == "time-wait")["details"][
        "seconds_left"
    ]
    assert 50 <= left <= 60
    assert not can_be_had()


@private
def test_interrupted_while_it_waits(stage):
    staged = stagings.time_wait(stage)
    words = [*INUSE, "free", staged.target, "--yes"]
    with subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asked:
        time.sleep(1.5)
        assert asked.poll() is None, asked.communicate()
        asked.send_signal(signal.SIGINT)
        out, err = asked.communicate(timeout=5)
        assert asked.returncode == 130
        assert b"Traceback" not in out + err
    assert "06" in tcp_states(PORT)


REUSING = """
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
"""


@private
def test_a_closed_connection_beside_a_holder_that_only_binds(stage):
    """The holder ends, and what nobody has would still keep a plain program out."""
    code = (
        f"{REUSING}s.listen(); c = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        f"a = s.accept()[0]; a.close(); c.close(); s.close()\n{REUSING}say(ready=True); stay()"
    )
    holder = script(stage, code, PORT)
    holder.hear()
    assert "06" in tcp_states(PORT)
    done = freed(ends=[holder.pid], bystanders=siblings(stage))
    assert done.said["done"] == ["stop-holder", "destroy-socket"]


@private
def test_the_command_that_is_shown_does_it_too(stage):
    """What a person copies drops what the plan says, TIME_WAIT too, and says nothing of errors."""
    holder = server(stage)
    mine = client(stage)
    command = free(PORT, "--dry-run").said["plan"][-1]["command"]
    assert command[0] == "ss"
    holder.end()
    mine.end()
    until(lambda: "06" in tcp_states(PORT), "TIME_WAIT")
    run = subprocess.run([find_program("ss"), *command[1:]], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    assert can_be_had()


@pytest.mark.long
@private
def test_time_wait_is_waited_for(stage):
    staged = stagings.time_wait(stage)
    answer = freed(staged.target, bystanders=siblings(stage))
    assert answer.said["done"]
    assert answer.seconds < 75


@private
def test_free_already(stage):
    others = siblings(stage)
    answer = free(PORT, "--yes")
    assert (answer.status, answer.plan, answer.said["freed"]) == (0, [], True)
    for one in others:
        one.check()
