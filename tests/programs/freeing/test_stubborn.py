"""A holder that does not listen, and Ctrl-C at any moment: nothing half done."""

import os
import signal
import subprocess
import time
from pathlib import Path

from freeing_lab import free, freed
from freeing_stage import ENVIRONMENT, INUSE, PORT, Bystander, asks, ended, gone, in_terminal, server, siblings, started
from staging import private, script

from inuse.demo import stagings
from inuse.demo.stage import until

#: Notes each SIGTERM and goes on.
STUBBORN = """
import signal, time
def note(*_):
    with open(sys.argv[2], "a") as file:
        file.write(f"{time.monotonic()}\\n")
signal.signal(signal.SIGTERM, note)
server = listener(sys.argv[1])
say(ready=True)
while True:
    time.sleep(600)
"""


def stubborn(stage, tmp_path):
    notes = tmp_path / "terms"
    notes.touch()
    holder = script(stage, STUBBORN, PORT, notes)
    holder.hear()
    return holder, notes


# -- Who does not listen --------------------------------------------------------------------------


@private
def test_a_holder_that_ignores_sigterm(stage, tmp_path):
    holder, notes = stubborn(stage, tmp_path)
    others = [Bystander("the holder", holder.pid), *siblings(stage)]
    answer = free(PORT, "--yes", "--grace", "1")
    assert answer.status == 1
    assert answer.said["freed"] is False
    assert "--force" in answer.text
    assert 1 <= answer.seconds < 10
    assert notes.read_text(), "it was not even asked"
    for one in others:
        one.check()


@private
def test_force_kills_it_after_the_time_it_was_given(stage, tmp_path):
    holder, notes = stubborn(stage, tmp_path)
    answer = freed(PORT, "--force", "--grace", "1", ends=[holder.pid], bystanders=siblings(stage))
    assert notes.read_text(), "it was not asked first"
    assert answer.seconds >= 1


@private
def test_force_does_not_kill_who_listens(stage, tmp_path):
    saved = tmp_path / "saved"
    code = (
        "import signal, time\ndef save(*_):\n    time.sleep(1); open(sys.argv[2], 'w').write('all'); os._exit(0)\n"
        "signal.signal(signal.SIGTERM, save)\nserver = listener(sys.argv[1]); say(ready=1)\nwhile True: time.sleep(600)"
    )
    holder = script(stage, code, PORT, saved)
    holder.hear()
    freed(PORT, "--force", ends=[holder.pid], bystanders=siblings(stage))
    assert saved.read_text() == "all"


# -- Ctrl-C ---------------------------------------------------------------------------------------


@private
def test_interrupted_at_the_question(stage):
    holder = server(stage)
    bystander = Bystander("the holder", holder.pid)
    terminal = in_terminal("free", PORT)
    asks(terminal)
    terminal.sendintr()
    status, text = ended(terminal)
    assert status == 130
    assert "Traceback" not in text
    bystander.check()


@private
def test_interrupted_while_the_holder_is_given_time(stage, tmp_path):
    holder, notes = stubborn(stage, tmp_path)
    bystander = Bystander("the holder", holder.pid)
    words = [*INUSE, "free", str(PORT), "--yes", "--force", "--grace", "60"]
    with subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asked:
        until(lambda: bool(notes.read_text()), "the first signal")
        asked.send_signal(signal.SIGINT)
        out, err = asked.communicate(timeout=10)
    assert asked.returncode == 130
    assert b"Traceback" not in out + err
    bystander.check()
    freed(PORT, "--force", "--grace", "0.2", ends=[holder.pid])


@private
def test_interrupted_at_any_moment_a_stopped_job_is_stopped_or_ended(stage):
    """Never continued without being asked to end, nor asked to end and left unable to hear it."""
    outcomes = set()
    moment = until_it_ends(stage)
    for _ in range(14):
        holder = stagings.suspended_process(stage).pids[0]
        began = started(holder)
        interrupted(moment)
        time.sleep(0.05)
        if gone(holder, began):
            outcomes.add("ended")
            moment *= 0.85
            continue
        outcomes.add("as it was")
        moment *= 1.2
        fields = dict(
            line.split(":", 1) for line in Path(f"/proc/{holder}/status").read_text().splitlines() if ":" in line
        )
        pending = int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)
        assert fields["State"].split()[0] == "T", "continued, and not ended"
        assert not pending & 1 << signal.SIGTERM - 1, "asked to end, and can't hear it"
        os.kill(holder, signal.SIGKILL)
        until(lambda pid=holder, at=began: gone(pid, at), "its end")
    assert outcomes == {"ended", "as it was"}, "the moments were not well chosen"


def asking():
    words = [*INUSE, "free", str(PORT), "--yes"]
    return subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def interrupted(seconds):
    """Ask, and press Ctrl-C after so many seconds."""
    with asking() as asked:
        time.sleep(seconds)
        asked.send_signal(signal.SIGINT)
        asked.wait(20)


def until_it_ends(stage):
    """Ask without interrupting; the seconds until the holder has ended."""
    holder = stagings.suspended_process(stage).pids[0]
    at, began = started(holder), time.monotonic()
    with asking() as asked:
        until(lambda: gone(holder, at), "its end")
        seconds = time.monotonic() - began
        asked.wait(20)
    return seconds
