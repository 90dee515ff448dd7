"""What comes out: whatever other programs call themselves, wherever it goes, and saved for later."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest
from staging import PATH, answer, diagnosis, harmless, held, inuse, pids, private, script

from inuse.demo.registry import BY_NAME

#: A newline, an escape sequence, a mark that turns the writing direction, and what is no UTF-8.
HOSTILE = b"a\nb\x1b[2Jc\xe2\x80\xaed\xff\x9b"
SHOWN = "a\nb\x1b[2Jc\u202ed\\xff\\x9b"


@pytest.fixture
def hostile_place(tmp_path):
    place = os.path.join(os.fsencode(tmp_path), HOSTILE)
    os.mkdir(place)
    return place


def hostile(stage, place):
    """A server with such a name, command line and working directory."""
    program = script(
        stage,
        "import ctypes\n"
        f"os.chdir({place!r})\n"
        f"ctypes.CDLL(None).prctl(15, {HOSTILE!r}, 0, 0, 0)\n"
        "server = listener('8080'); say(ready=True); stay()",
        os.fsdecode(HOSTILE),
    )
    program.hear()
    return program


@private
def test_hostile_names_in_json(stage, hostile_place):
    program = hostile(stage, hostile_place)
    said = diagnosis("8080")
    assert answer(said) == held("application")
    (holder,) = said["holders"]
    assert holder["pid"] == program.pid
    assert holder["name"] == HOSTILE[:15].decode("utf-8", "backslashreplace")
    assert holder["cmdline"][-1] == SHOWN
    assert holder["cwd"].endswith("/" + SHOWN)


@pytest.mark.parametrize("arguments", [[], ["--short"], ["--color", "never"]])
@private
def test_hostile_names_in_text(stage, hostile_place, arguments):
    hostile(stage, hostile_place)
    run = inuse("8080", *arguments)
    assert run.status == 0
    assert run.err == b""
    harmless(run.out)
    assert r"a\nb\x1b[2Jc\u202e" in run.text.replace("\n          ", "")


@pytest.mark.parametrize("arguments", [[], ["--all"], ["--json"]])
@private
def test_hostile_names_in_the_table(stage, hostile_place, arguments):
    hostile(stage, hostile_place)
    run = inuse(*arguments)
    assert run.status == 0
    harmless(run.out)


@private
def test_the_command_of_a_hostile_holder_can_be_pasted(stage):
    """What is shown as a command line means the same to a shell, without anything raw in it."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 8080))
        stage.program("sh", "-c", "read line", os.fsdecode(HOSTILE), "it's", pass_fds=(made.fileno(),))
    shown = inuse("8080").text.replace("\n            ", " ")
    assert r"""runs sh -c 'read line' $'a\nb\x1b[2Jc\u202ed\\xff\\x9b' 'it'"'"'s'""" in shown


@private
def test_short_is_one_line_a_target(stage):
    stage.start("serve", 8080).hear()
    run = inuse("8080", "8081", "--short")
    assert [line.partition(" is ")[0] for line in run.text.splitlines()] == ["TCP port 8080", "TCP port 8081"]
    assert run.status == 0


@private
def test_colour_only_where_asked(stage):
    stage.start("serve", 8080).hear()
    assert b"\x1b" not in inuse("8080").out
    assert b"\x1b[1;31m" in inuse("8080", "--color", "always").out


@private
def test_a_locale_that_knows_ascii_only(stage, hostile_place):
    hostile(stage, hostile_place)
    run = inuse("8080", environment={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert run.status == 0
    assert run.err == b""
    assert run.out.isascii()


# -- The table ------------------------------------------------------------------------------------


@private
def test_the_table_of_everything(stage):
    server, quiet = stage.start("serve", 8080, 1), stage.start("bind", 8081)
    client = stage.start("connect", server.hear()["port"])
    quiet.hear()
    source = client.hear()["port"]
    stage.start("close-first", 8082).hear()
    server.hear()
    said = inuse("--json").json
    assert said["schema"] == 1
    rows = {(row["port"], row["state"]): row for row in said["entries"]}
    assert rows[8080, "listen"]["holders"][0]["pid"] == server.pid
    assert rows[8080, "listen"]["situation"] == ""
    assert rows[8081, "bound"]["holders"][0]["pid"] == quiet.pid
    assert rows[8081, "bound"]["situation"] == "bound-not-listening"
    assert rows[8082, "time-wait"]["holders"] == []
    assert rows[8082, "time-wait"]["situation"] == "time-wait"
    assert not any(row["port"] == source for row in said["entries"])
    everything = {(row["port"], row["state"]): row for row in inuse("--all", "--json").json["entries"]}
    assert everything[source, "established"]["holders"][0]["pid"] == client.pid
    assert everything[source, "established"]["remote"] == "127.0.0.1:8080"


@private
def test_an_empty_machine_has_an_empty_table(stage):
    run = inuse("--json")
    assert run.status == 0
    assert [row for row in run.json["entries"] if row["proto"] != "serial"] == []
    assert inuse().status == 0


@private
def test_the_table_fits_and_names_everybody(stage):
    server = stage.start("serve", 8080)
    server.hear()
    text = inuse().text
    (row,) = (line for line in text.splitlines() if " 8080 " in line)
    assert f"({server.pid})" in row
    assert max(map(len, text.splitlines())) <= 80


# -- Saved ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(BY_NAME))
@private
def test_a_saved_scene_gives_the_same_diagnosis(stage, name):
    staged = BY_NAME[name].stage(stage)
    folder = tempfile.mkdtemp()
    stage.afterwards(lambda: shutil.rmtree(folder))
    os.chmod(folder, 0o777)  # for an asker who is somebody else
    file = f"{folder}/scene.json"
    live = inuse(staged.target, "--json", "--save-scene", file, enter=staged.enter)
    again = inuse("--scene", file, "--json")
    assert again.json == live.json
    assert again.status == live.status
    named = inuse("--scene", file, staged.target, "--json")
    assert named.json == live.json


@private
def test_a_saved_table_gives_the_same_table(stage, tmp_path):
    stage.start("serve", 8080).hear()
    stage.start("close-first", 8081).hear()
    file = tmp_path / "everything.json"
    live = inuse("--json", "--save-scene", file)
    assert inuse("--scene", file, "--json").json == live.json
    assert len([row for row in live.json["entries"] if row["proto"] != "serial"]) == 2


# -- The other end of the pipe --------------------------------------------------------------------


def command(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "inuse", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": PATH},
        **options,
    )


@pytest.mark.parametrize("arguments", [["8080"], ["8080", "--json"], ["8080", "--short"], [], ["--json"], ["--help"]])
@private
def test_a_broken_pipe_is_quiet(stage, arguments):
    stage.start("serve", 8080).hear()
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "inuse", *arguments],
        stdout=writing,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": PATH},
    )
    os.close(writing)
    _, err = process.communicate(timeout=60)
    assert err == b""
    assert process.returncode == 141


@private
def test_a_full_disk_is_said(stage):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    stage.start("serve", 8080).hear()
    for arguments in (["8080"], ["8080", "--json"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "inuse", *arguments],
                stdout=full,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": PATH},
                check=False,
            )
        assert done.returncode not in {0, 1}
        assert b"Traceback" not in done.stderr
        assert done.stderr


def test_interrupted(tmp_path):
    """Ctrl-C at a moment that can be waited for: while it reads a scene from a pipe that nobody writes."""
    fifo = tmp_path / "scene"
    os.mkfifo(fifo)
    process = command("--scene", str(fifo))
    descriptor = None
    while descriptor is None:
        try:
            descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert process.poll() is None
            time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    os.close(descriptor)
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in err


def test_json_is_one_document_even_for_many_targets():
    assert shutil.which(sys.executable)
    run = inuse("127.0.0.1:1-3", "--json")
    assert len(json.loads(run.out)) == 3
    assert pids(run.json[0]) == set()
