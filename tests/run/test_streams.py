"""Without a terminal: every byte, in order, each stream where it belongs, and the command's own end."""

import os
import signal
import subprocess
import time

import pytest
from run_lab import INUSE, SOURCE, environ, gone, python, run, running, wait_for


def test_output_status_and_nothing_of_ours():
    done = run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)


def test_success_says_nothing_of_ours_whatever_is_printed():
    done = run("echo", "bind: Address already in use")
    assert (done.stdout, done.stderr, done.returncode) == (b"bind: Address already in use\n", b"", 0)


def test_options_of_the_command_are_its_own():
    assert run("--", "echo", "--json", "--", "-h").stdout == b"--json -- -h\n"
    assert run("echo", "--wait", "--help").stdout == b"--wait --help\n"


def test_every_byte_passes():
    every = bytes(range(256)) * 1000
    code = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()); sys.exit(3)"
    assert run(*python(code), input=every).stdout == every


def test_one_place_for_both_streams_keeps_their_order():
    code = "import os\nfor i in range(2000): os.write(1 + i % 2, b'%d\\n' % i)"
    done = run(*python(code), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, capture_output=False)
    assert done.stdout.split() == [b"%d" % i for i in range(2000)]


def test_output_comes_at_once():
    with running("sh", "-c", "printf x; sleep 100") as process:
        assert os.read(process.stdout.fileno(), 10) == b"x"


def test_standard_input_is_the_same_file(tmp_path):
    (tmp_path / "lines").write_text("one\ntwo\n")
    with (tmp_path / "lines").open() as lines:
        assert run("sh", "-c", "read x; echo $x; exit 1", stdin=lines).stdout == b"one\n"
        assert os.lseek(lines.fileno(), 0, os.SEEK_CUR) == 4


@pytest.mark.parametrize("number", [0, 1, 2])
def test_what_is_closed_is_closed_for_the_command(number):
    done = subprocess.run(
        [
            "sh",
            "-c",
            f'"$@" {number}>&-',
            "sh",
            *INUSE,
            "sh",
            "-c",
            f"test -e /proc/self/fd/{number}; echo $? >&{2 // number if number else 1}",
        ],
        capture_output=True,
        env=environ(),
        timeout=20,
        check=False,
    )
    assert done.stdout + done.stderr == b"1\n"


@pytest.mark.parametrize(
    ("make", "status", "why"),
    [
        (lambda _: None, 127, "command not found"),
        (lambda path: path.write_text("true"), 126, "Permission denied"),
        (lambda path: path.mkdir(), 126, "Permission denied"),
    ],
    ids=["missing", "not executable", "folder"],
)
def test_what_cannot_be_started(tmp_path, make, status, why):
    program = tmp_path / "program"
    make(program)
    done = run(str(program), text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("", f"inuse: {program}: {why}\n", status)


@pytest.mark.parametrize("prefix", ["", "./"])
def test_a_script_whose_interpreter_is_missing_is_not_called_missing(tmp_path, prefix):
    (tmp_path / "without-interpreter").write_text("#!/no/such/interpreter\n")
    (tmp_path / "without-interpreter").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = run(f"{prefix}without-interpreter", text=True, cwd=tmp_path, env=environ(PATH=path))
    assert (
        done.stderr
        == f"inuse: {prefix}without-interpreter: the interpreter or loader that is to run it was not found\n"
    )
    assert (done.stdout, done.returncode) == ("", 126)


def test_a_command_that_is_not_on_the_path():
    assert run("no-such-command-anywhere").returncode == 127
    assert run("").returncode == 127


def test_a_script_without_an_interpreter_line_is_run_by_the_shell(tmp_path):
    script = tmp_path / "script"
    script.write_text('echo "$1"; exit 4\n')
    script.chmod(0o755)
    done = run(str(script), "word")
    assert (done.stdout, done.returncode) == (b"word\n", 4)
    assert run("script", "word", env=environ(PATH=f"{tmp_path}:{os.environ['PATH']}")).stdout == b"word\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGINT, signal.SIGPIPE])
def test_a_command_that_a_signal_ends(number, tmp_path):
    done = run("sh", "-c", f"kill -{number.value} $$", cwd=tmp_path)
    assert (done.stderr, done.returncode) == (b"", -number)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves_ends_the_command_as_without_us():
    for words in ([], INUSE):
        command = [*words, "yes"]
        done = subprocess.run(
            ["bash", "-c", 'set -o pipefail; "$@" | head -n 1', "bash", *command],
            capture_output=True,
            env=environ(),
            timeout=20,
            check=False,
        )
        assert (done.stdout, done.stderr, done.returncode) == (b"y\n", b"", 128 + signal.SIGPIPE)


def test_a_reader_that_left_is_noticed_by_the_very_next_write():
    code = "import sys, time\nsys.stdin.read()\nprint('more', flush=True)"
    reading, writing = os.pipe()
    with running(*python(code), stdin=subprocess.PIPE, stdout=writing) as process:
        os.close(writing)
        os.close(reading)
        time.sleep(0.5)
        process.stdin.close()
        assert b"BrokenPipeError" in process.stderr.read()
        assert process.wait() == 1


def test_a_slow_reader_holds_the_command_back():
    with running(*python("import os\nwhile True: os.write(1, bytes(1 << 16)); os.write(2, b'.')")) as process:
        said = process.stderr.read(1)
        while True:
            before = len(said)
            time.sleep(0.3)
            os.set_blocking(process.stderr.fileno(), False)
            said += process.stderr.read() or b""
            if len(said) == before:
                break
        # The command's pipe, what we have in hand, and the pipe to the reader.
        assert 0 < len(said) <= 4


def test_output_that_is_not_read_does_not_hold_up_the_other(tmp_path):
    code = (
        "import os, threading\n"
        "threading.Thread(target=lambda: os.write(1, bytes(1 << 20)), daemon=True).start()\n"
        "import time; time.sleep(0.5); os.write(2, b'said'); time.sleep(100)"
    )
    with running(*python(code)) as process:
        assert os.read(process.stderr.fileno(), 10) == b"said"


def test_memory_stays_within_bounds():
    with running("head", "-c", str(400 << 20), "/dev/zero", stdout=subprocess.DEVNULL) as process:
        assert process.wait() == 0
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    words = [*INUSE, "sh", "-c", "yes abcdefghijklmnopqrstuvwxyz | head -c 400000000"]
    done = subprocess.run([*python(code), *words], capture_output=True, env=environ(), timeout=60, check=True)
    assert int(done.stdout) < 100_000


def test_a_child_left_behind_goes_on_writing():
    with running("sh", "-c", "(sleep 1; echo late; sleep 0.2; echo later) & echo early") as process:
        assert process.wait() == 0
        assert os.read(process.stdout.fileno(), 100) == b"early\n"
        assert process.stdout.read() == b"late\nlater\n"


def test_a_child_left_behind_does_not_hold_us_up():
    start = time.monotonic()
    with running("sh", "-c", "sleep 60 & echo $!; exit 3") as process:
        assert process.wait() == 3
        assert time.monotonic() - start < 10
        child = int(process.stdout.readline())
        assert not gone(child)
        os.kill(child, signal.SIGKILL)
        # Whoever waits for the end of the output gets it when the last writer has gone, as without us.
        assert process.stdout.read() == b""


@pytest.mark.parametrize("status", [0, 3])
def test_a_child_that_never_falls_silent_does_not_hold_us_up(status):
    with running("sh", "-c", f"yes >&2 & echo $!; exit {status}", stderr=subprocess.DEVNULL) as process:
        child = int(process.stdout.readline())
        try:
            assert process.wait(20) == status
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_child_left_behind_gets_sigpipe_when_the_reader_has_gone():
    with running("sh", "-c", "(while sleep 0.05; do echo more; done) & echo $!") as process:
        assert process.wait() == 0
        child = int(process.stdout.readline())
        process.stdout.close()
        wait_for(lambda: gone(child))


def test_dispositions_of_signals_are_those_we_were_given():
    code = "import signal; print(*[signal.getsignal(n).name for n in (signal.SIGHUP, signal.SIGTERM)])"
    done = subprocess.run(["nohup", *INUSE, *python(code)], capture_output=True, env=environ(), timeout=20, check=True)
    assert done.stdout == b"SIG_IGN SIG_DFL\n"
    shown = run("sh", "-c", "grep -E 'SigBlk|SigIgn' /proc/self/status", restore_signals=True)
    assert {int(line.split()[1], 16) for line in shown.stdout.splitlines()} == {0}


@pytest.mark.parametrize("given", [{}, {"LC_CTYPE": "C.UTF-8"}, {"LC_CTYPE": "C"}])
def test_the_environment_is_the_one_we_were_given(given):
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **given}
    assert set(run("env", env=kept).stdout.decode().splitlines()) == {f"{name}={kept[name]}" for name in kept}


def test_a_full_disk_is_no_success():
    with open("/dev/full", "wb") as full:
        done = run("sh", "-c", "echo x; sleep 0.3", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.returncode == 1
    assert done.stderr == b"inuse: not all of the output could be written: No space left on device\n"
