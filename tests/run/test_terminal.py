"""On a terminal: the command has one, Ctrl-C and Ctrl-Z are for it, and ours is left as it was."""

import os
import select
import signal
import sys
import termios
import tty

import pexpect
import pytest
from run_lab import INUSE, SECONDS, Shell, environ, gone, need, parent, python, wait_for

from inuse.run.posix.terminal import Terminal

#: A pipe before it: the command's standard input is none of the terminal's.
BEFORE = ["", "echo x | "]


@pytest.fixture
def shell():
    with Shell() as started:
        yield started
        assert started.settings() == started.before


@pytest.mark.parametrize("more", ["", "2>/dev/null", "</dev/null", "| cat", "2>&1 | cat"])
def test_what_was_a_terminal_is_one(shell, more):
    tell = """sh -c 'for n in 0 1 2; do if test -t $n; then echo $n; fi; done >"$1"; exit 3' sh"""
    shell.do(f"{tell} /tmp/plain.$$ {more}")
    shell.run(f"{tell} /tmp/ours.$$", more)
    assert shell.do("diff /tmp/plain.$$ /tmp/ours.$$ && echo same; rm /tmp/plain.$$ /tmp/ours.$$") == "same\n"


def test_streams_stay_apart(shell, tmp_path):
    assert shell.run("sh -c 'echo out; echo err >&2'", f"2>{tmp_path}/err") == "out\n"
    assert (tmp_path / "err").read_text() == "err\n"
    assert shell.run("sh -c 'echo out; echo err >&2'", f">{tmp_path}/out") == "err\n"
    assert (tmp_path / "out").read_text() == "out\n"


def test_the_size_and_its_changes(shell):
    assert shell.run("stty size") == "30 100\n"
    assert shell.do(f"echo x | {shell.inuse} sh -c 'stty size <&1'") == "30 100\n"


@pytest.mark.parametrize("before", BEFORE)
def test_a_changed_size_is_told(shell, before):
    code = "trap 'stty size <&1; exit' WINCH; echo ready; while :; do sleep 0.05; done"
    shell.start(f'{before}{shell.inuse} bash -c "{code}"', "ready")
    shell.resize(40, 120)
    assert "40 120" in shell.prompt()


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("more", ["", " | cat", " 2>/dev/null"])
def test_ctrl_c_ends_the_command(shell, before, more):
    shell.start(f"set -o pipefail; {before}{shell.inuse} sh -c 'echo ready; exec sleep 1000'{more}", "ready")
    shell.type("\x03")
    shell.prompt()
    assert shell.status() == 128 + signal.SIGINT


@pytest.mark.parametrize("before", BEFORE)
def test_ctrl_c_that_the_command_handles(shell, before):
    code = "trap 'echo heard; exit 5' INT; echo ready; while :; do sleep 0.05; done"
    shell.start(f'{before}{shell.inuse} sh -c "{code}"', "ready")
    shell.type("\x03")
    assert shell.prompt().count("heard") == 1
    assert shell.status() == 5


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("more", ["", " | cat"])
def test_ctrl_z_and_fg(shell, before, more):
    code = "echo ready; sleep 0.3; echo done; exit 6"
    shell.start(f"{before}{shell.inuse} sh -c '{code}'{more}", "ready")
    shell.type("\x1a")
    shell.see("Stopped")
    shell.prompt()
    assert shell.settings() == shell.before
    shell.start("fg", "done")
    shell.prompt()
    assert shell.status() == (0 if more else 6)


@pytest.mark.parametrize("before", BEFORE)
def test_ctrl_z_and_bg(shell, before):
    shell.start(f"{before}{shell.inuse} sh -c 'echo ready; sleep 0.3; echo done; exit 6'", "ready")
    shell.type("\x1a")
    shell.see("Stopped")
    shell.prompt()
    shell.start("bg", "done")
    shell.start("wait", "Exit 6")
    shell.prompt()


def test_in_the_background_it_stops_for_reading_and_goes_on_in_the_foreground(shell):
    shell.do(f"{shell.inuse} sh -c 'read x; echo got $x' &")
    wait_for(lambda: "Stopped" in shell.do("jobs"))
    shell.start("fg", "got")
    # What fg echoes is the command; what is read comes now.
    shell.type("word\r")
    shell.see("got word")
    shell.prompt()


def test_what_cannot_be_started(shell):
    assert shell.run("no-such-command-anywhere") == "inuse: no-such-command-anywhere: command not found\n"
    assert shell.status() == 127


def test_a_command_that_stops_itself(shell):
    shell.start(f"{shell.inuse} bash -c 'kill -STOP $$; echo back'", "Stopped")
    shell.prompt()
    shell.start("fg", "\nback")
    shell.prompt()


def test_raw_mode_is_the_commands(shell):
    code = "import sys, tty; tty.setraw(0); print('raw', end='', flush=True); print(ascii(sys.stdin.read(3)))"
    shell.start(f'{shell.inuse} {sys.executable} -c "{code}"', "raw")
    shell.type("\x03\x1a\r")
    shell.see(r"\\x03\\x1a")
    shell.prompt()


def test_typing_to_an_editor(shell, tmp_path):
    need("vim")
    shell.start(f"{shell.inuse} vim -u NONE -N {tmp_path}/text", "~")
    shell.type("ihello\x1b:wq\r")
    shell.prompt()
    assert (tmp_path / "text").read_text() == "hello\n"


@pytest.mark.parametrize("line", ["seq 1000 | {} less", "{} seq 1000 | less", "seq 1000 | {} cat | less"])
def test_a_pager_before_and_behind(shell, line):
    need("less")
    shell.start(line.format(shell.inuse), r"\x1b\[K")
    shell.type("G")
    shell.see("1000")
    shell.type("q")
    shell.prompt()


def test_another_of_the_pipeline_may_ask_on_the_terminal(shell):
    """The terminal is left to it, in a state it knows, until our command wants it."""
    ask = "bash -c 'read -s -p Secret: x </dev/tty; echo $x'"
    shell.start(f"{ask} | {shell.inuse} sh -c 'read y; echo from-pipe $y; read z </dev/tty; echo typed $z'", "Secret:")
    shell.type("hush\r")
    shell.see("from-pipe hush")
    shell.type("word\r")
    shell.see("typed word")
    shell.prompt()


def test_what_is_left_behind_goes_on(shell):
    shell.start(f"{shell.inuse} sh -c '(sleep 0.5; echo late) & echo early'", "early")
    shell.prompt()
    shell.see("late")
    shell.do("")


@pytest.mark.parametrize("victim", ["inuse", "its monitor"])
def test_killed_it_leaves_the_terminal_as_it_was(shell, victim):
    _, match = shell.start(f"{shell.inuse} sh -c 'echo pid=$$=; exec sleep 1000'", r"pid=(\d+)=")
    child = int(match[1])
    monitor = parent(child)
    ours = parent(monitor)
    os.kill(ours if victim == "inuse" else monitor, signal.SIGKILL)
    shell.see("Killed")
    shell.prompt()
    wait_for(lambda: gone(child) and gone(monitor) and gone(ours))


def test_killed_while_stopped_it_leaves_nothing_stopped(shell):
    _, match = shell.start(f"{shell.inuse} sh -c 'echo pid=$$=; sleep 1000; :'", r"pid=(\d+)=")
    child = int(match[1])
    shell.type("\x1a")
    shell.see("Stopped")
    shell.prompt()
    os.kill(parent(parent(child)), signal.SIGKILL)
    wait_for(lambda: gone(child))
    shell.do("")


def test_a_terminal_that_goes_away_takes_the_command_along():
    with Shell() as shell:
        _, match = shell.start(f"{shell.inuse} sh -c 'echo pid=$$=; exec sleep 1000'", r"pid=(\d+)=")
        child = int(match[1])
        ours = parent(parent(child))
        shell.hang_up()
        wait_for(lambda: gone(child) and gone(ours))


def test_a_script_stops_with_it(shell, tmp_path):
    """Ctrl-Z stops every process of the job, as the terminal does, or the shell would wait for ever."""
    script = tmp_path / "script.sh"
    script.write_text(f"{shell.inuse} sh -c 'echo ready; sleep 0.3; echo one'\necho two\n")
    shell.start(f"sh {script}", "ready")
    shell.type("\x1a")
    shell.see("Stopped")
    shell.prompt()
    shell.start("fg", "one")
    assert "two" in shell.prompt()


@pytest.mark.parametrize(
    ("typed", "read"), [("\x04", ""), ("one\n\x04", "one\n"), ("one\ntwo\x04\x04", "one\ntwo"), ("one\n", "one\n")]
)
def test_what_was_typed_before_the_command_ran(typed, read):
    code = "import sys; said = sys.stdin.buffer.read() if sys.argv[1] else sys.stdin.buffer.readline(); print([said])"
    words = [*INUSE[1:], *python(code), "to the end" if "\x04" in typed else ""]
    child = pexpect.spawn(INUSE[0], words, env=environ(), timeout=SECONDS)
    child.delaybeforesend = None
    child.send(typed)
    child.expect_exact(repr([read.encode()]))
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_keys_that_were_typed_amid_a_line_get_no_other_between_them():
    """A shell that reads key by key leaves what it has not read as a piece of a line, when it starts a command."""
    ours, theirs = os.openpty()
    try:
        before = termios.tcgetattr(theirs)
        tty.setraw(theirs)
        os.write(ours, b"abc")
        select.select([theirs], [], [], SECONDS)
        termios.tcsetattr(theirs, termios.TCSANOW, before)
        terminal = Terminal(theirs)
        assert terminal.take() == b"abc"
        terminal.give_back()
    finally:
        os.close(ours)
        os.close(theirs)
