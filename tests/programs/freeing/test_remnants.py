"""What no process has: connections that the kernel still ends. Nobody is signalled for them."""

import signal
import subprocess
import time

import pytest
from freeing_lab import can_be_had, free, freed, import_everything
from freeing_stage import ENVIRONMENT, INUSE, PORT, Bystander, client, server, siblings
from staging import needs_users, private

from inuse.demo import linux, stagings
from inuse.demo.stage import tcp_states, until

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
