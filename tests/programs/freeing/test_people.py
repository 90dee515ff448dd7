"""What a person does, and what happens meanwhile: the plan is read and answered, and the holder is another by then."""

import json
import os
import signal
import subprocess

import pytest
from freeing_lab import can_be_had, free, judged
from freeing_stage import (
    ENVIRONMENT,
    INUSE,
    PORT,
    Bystander,
    answers,
    asks,
    client,
    ended,
    gone,
    in_terminal,
    server,
    siblings,
    started,
)
from staging import inuse, private, script

# -- Asking before anything is done ---------------------------------------------------------------


@private
def test_without_a_terminal_and_without_yes_it_only_tells(stage):
    holder = server(stage)
    others = [Bystander("the holder", holder.pid), *siblings(stage)]
    run = inuse("free", str(PORT))
    assert run.status == 1
    assert str(holder.pid) in run.text
    answer = free(PORT) if (run := inuse("free", str(PORT), "--json")).status == 0 else json.loads(run.out)
    assert answer["done"] == []
    assert [step["id"] for step in answer["plan"]]
    for one in others:
        one.check()


@pytest.mark.parametrize("said", ["n", "", "no", "yess", "q"])
@private
def test_anything_but_yes_means_no(stage, said):
    holder = server(stage)
    others = [Bystander("the holder", holder.pid), *siblings(stage)]
    terminal = in_terminal("free", PORT)
    assert str(holder.pid) in asks(terminal)
    terminal.sendline(said)
    if said not in {"n", "", "no"}:
        terminal.sendline("n")
    status, _ = ended(terminal)
    assert status == 1
    for one in others:
        one.check()


@private
def test_yes_means_yes(stage):
    holder = server(stage)
    began, others = started(holder.pid), siblings(stage)
    mine = client(stage)
    terminal = in_terminal("free", PORT)
    plan = asks(terminal)
    assert "1 " in plan, "the connected client is not told of"
    terminal.sendline("y")
    status, text = ended(terminal)
    assert status == 0, text
    assert can_be_had()
    assert gone(holder.pid, began)
    for one in [*others, Bystander("the client", mine.pid)]:
        one.check()


@private
def test_in_german(stage):
    holder = server(stage)
    began = started(holder.pid)
    terminal = in_terminal("free", PORT, "--lang", "de")
    terminal.expect(r"\[j/N\]")
    terminal.sendline("j")
    status, text = ended(terminal)
    assert status == 0, text
    assert gone(holder.pid, began)


# -- What happens meanwhile -----------------------------------------------------------------------


@private
def test_the_holder_ends_while_the_plan_is_read(stage):
    holder = server(stage)
    others = siblings(stage)
    terminal = in_terminal("free", PORT)
    asks(terminal)
    holder.end()
    terminal.sendline("y")
    status, text = ended(terminal)
    assert status == 0, text
    for one in others:
        one.check()


@private
def test_another_program_has_taken_the_port_while_the_plan_was_read(stage):
    holder = server(stage)
    terminal = in_terminal("free", PORT)
    asks(terminal)
    holder.end()
    other = server(stage)
    mine = client(stage)
    bystander = Bystander("whoever has it now", other.pid, answers(mine))
    terminal.sendline("y")
    status, text = ended(terminal)
    assert status == 1, text
    assert str(other.pid) in text, "it is not said who has it now"
    bystander.check()


@pytest.mark.parametrize("taken", [False, True])
@private
def test_the_holder_has_let_go_while_the_plan_was_read_and_does_other_work(stage, taken):
    holder = script(
        stage,
        "server = listener(sys.argv[1]); say(ready=1)\nfor line in sys.stdin:\n    server.close(); say(closed=1)",
        PORT,
    )
    holder.hear()
    terminal = in_terminal("free", PORT)
    asks(terminal)
    holder.go_on()
    others = [Bystander("who had it", holder.pid, lambda: holder.go_on() == {"closed": 1})]
    if taken:
        other = server(stage)
        mine = client(stage)
        others.append(Bystander("who has it now", other.pid, answers(mine)))
    terminal.sendline("y")
    status, text = ended(terminal)
    assert status == (1 if taken else 0), text
    for one in others:
        one.check()


@private
def test_the_holder_is_stopped_while_the_plan_is_read(stage):
    """Who can't hear what it is asked has not been asked."""
    holder = server(stage)
    began, others = started(holder.pid), siblings(stage)
    terminal = in_terminal("free", PORT)
    asks(terminal)
    os.kill(holder.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
    terminal.sendline("y")
    status, text = ended(terminal)
    assert status == 0, text
    assert gone(holder.pid, began)
    for one in others:
        one.check()


@private
def test_two_at_once(stage):
    holder = server(stage)
    began, others = started(holder.pid), siblings(stage)
    mine = client(stage)
    words = [*INUSE, "free", str(PORT), "--yes", "--json"]
    both = [subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for one in both:
        out, err = one.communicate(timeout=60)
        assert judged(one.returncode, out, err).said["freed"] is True
    assert gone(holder.pid, began)
    assert can_be_had()
    for one in [*others, Bystander("the client", mine.pid)]:
        one.check()
