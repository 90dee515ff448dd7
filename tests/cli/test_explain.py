"""What `inuse explain` reads, and what it says where there is nothing to read."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
INUSE = [sys.executable, "-c", "from inuse.cli import main; main()", "explain"]
SAID = "Error: listen EADDRINUSE: address already in use 127.0.0.1:{}\n"


def environ():
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    return {**kept, "PYTHONPATH": str(SOURCE), "LC_ALL": "C.UTF-8"}


def explain(*words, **options):
    options = {"capture_output": True, "text": True, "timeout": 60, "env": environ(), **options}
    return subprocess.run([*INUSE, *map(str, words)], check=False, **options)


@pytest.fixture
def log(tmp_path):
    (tmp_path / "app.log").write_text("starting\n" + SAID.format(8080))
    return tmp_path / "app.log"


def test_a_file_and_what_a_shell_makes_of_a_command(log):
    of_file = explain("--no-probe", log)
    assert of_file.stdout.startswith("line 2 · node · TCP port 8080 on 127.0.0.1: already in use\n")
    reader, writer = os.pipe()
    os.write(writer, log.read_bytes())
    os.close(writer)
    assert explain("--no-probe", f"/dev/fd/{reader}", pass_fds=[reader]).stdout == of_file.stdout
    os.close(reader)


def test_several_files_are_not_taken_for_a_message(log):
    done = explain("--no-probe", log, log)
    assert (done.returncode, done.stdout) == (2, "")
    assert "one file at a time" in done.stderr


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("/nowhere/app.log", "/nowhere/app.log is neither a message nor a file"),
        ("/", "/ is a directory"),
        ("what is this?", "no message of a port"),
        ("hello", "no message of a port"),
        ("/" * 5000, "neither"),
    ],
)
def test_what_is_neither_message_nor_file(word, said):
    done = explain(word)
    assert done.returncode == 1
    assert said in done.stderr


def test_a_device_is_not_opened():
    controller, device = os.openpty()
    try:
        assert explain(os.ttyname(device), timeout=20).returncode == 1
    finally:
        os.close(controller)
        os.close(device)


def test_an_error_is_told_while_more_may_come():
    with subprocess.Popen(
        [*INUSE, "--no-probe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ(), text=True
    ) as process:
        process.stdin.write(SAID.format(8080) + "\n" * 100)
        process.stdin.flush()
        assert "TCP port 8080" in process.stdout.readline()
        process.kill()


def test_progress_leaves_its_line_to_what_is_found(tmp_path):
    flood = f"head -c 40000000 /dev/zero | tr '\\0' '\\n'; echo '{SAID.format(8080).strip()}'; yes | head -c 40000000"
    words = [*INUSE, "--no-probe"]
    child = pexpect.spawn(
        "sh", ["-c", f'{{ {flood}; }} | "$@"', "sh", *words], env=environ(), encoding="utf-8", timeout=60
    )
    child.expect(r"MB read\r\x1b\[K\x1b\[1mline 40000001 · node")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize("place", ["standard input", "a file descriptor"])
def test_an_error_is_told_when_nothing_follows(place):
    reader, writer = os.pipe()
    words = [*INUSE, "--no-probe", *([f"/dev/fd/{reader}"] if place != "standard input" else [])]
    with subprocess.Popen(words, stdin=reader, stdout=subprocess.PIPE, env=environ(), pass_fds=[reader]) as process:
        os.close(reader)

        def told(port):
            said = ""
            while SAID.format(port) not in said:
                assert select.select([process.stdout], [], [], 20)[0], "it waits for more"
                said += os.read(process.stdout.fileno(), 4096).decode()
            return said.strip().splitlines()[0]

        os.write(writer, b"starting\n" + SAID.format(8080).encode())
        assert told(8080) == "line 2 · node · TCP port 8080 on 127.0.0.1: already in use"
        os.write(writer, SAID.format(8080).encode() + b"\n\n")
        time.sleep(2)
        os.write(writer, SAID.format(8081).encode())
        assert told(8081) == "line 6 · node · TCP port 8081 on 127.0.0.1: already in use"
        half = len(SAID) // 2
        os.write(writer, SAID.format(8082).encode()[:half])  # half a line is none
        time.sleep(2)
        os.write(writer, SAID.format(8082).encode()[half:])
        assert told(8082) == "line 7 · node · TCP port 8082 on 127.0.0.1: already in use"
        os.close(writer)
        assert process.wait(20) == 0
        assert process.stdout.read() == b""


def test_several_messages_are_several():
    done = explain("--no-probe", SAID.format(8080).strip(), "bind to port 80 failed: address already in use")
    first, other = (line for line in done.stdout.splitlines() if line and not line.startswith(" "))
    assert first == "node · TCP port 8080 on 127.0.0.1: already in use"
    assert other.startswith("line 2 · ")
    assert other.endswith("port 80: already in use")


def test_a_message_may_come_word_by_word():
    done = explain("--no-probe", *SAID.format(8080).split())
    assert done.stdout.startswith("node · TCP port 8080 on 127.0.0.1: already in use\n  Error: listen EADDRINUSE: ")
