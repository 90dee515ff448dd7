"""What moves while it is looked at, and streams that are not there: never "free" by mistake, never a traceback."""

import json
import os
import subprocess
import sys
import time

import pytest
from staging import private

FLAPPING = """
import socket, time
print(1, flush=True)
while True:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 8110))
        s.listen()
        time.sleep(0.004)
    time.sleep(0.002)
"""
SERVER = """
import socket, time
s = socket.socket()
s.bind(("127.0.0.1", 8111))
s.listen()
print(1, flush=True)
time.sleep(60)
"""
INUSE = [
    sys.executable,
    "-I",
    "-c",
    "import sys; sys.path[:0] = eval(sys.argv.pop(1)); from inuse.cli import main; main()",
]


def inuse(*words, **streams):
    return subprocess.run([*INUSE, repr(sys.path), *words], check=False, timeout=60, **streams)


def running(code):
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    child.stdout.readline()
    return child


def ended(child):
    child.kill()
    child.wait()
    child.stdout.close()


@private
def test_a_server_that_comes_and_goes_is_no_kernel_socket(stage):
    child = running(FLAPPING)
    try:
        seen = set()
        for _ in range(12):
            answer = json.loads(inuse("8110", "--json", capture_output=True).stdout)
            seen.add((answer["verdict"], answer["situation"]))
        assert seen <= {("free", "free"), ("in_use", "application"), ("unknown", "unknown")}
    finally:
        ended(child)


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
@private
def test_closed_streams_do_not_change_the_answer(stage, closed):
    child = running(SERVER)
    try:
        shell = "".join(f"{n}{'<' if n == 0 else '>'}&- " for n in closed)
        words = " ".join(f"'{word}'" for word in INUSE[:3])
        script = f'{words} "$CODE" "$PATHS" 8111 {shell}'
        environment = {**os.environ, "CODE": INUSE[3], "PATHS": repr(sys.path)}
        assert subprocess.run(["sh", "-c", script], check=False, env=environment, timeout=60).returncode == 0
    finally:
        ended(child)


@private
def test_port_0_among_other_targets_does_not_hide_them(stage):
    child = running(SERVER)
    try:
        answers = json.loads(inuse("0", "8111", "--no-probe", "--json", capture_output=True).stdout)
        assert answers[1]["verdict"] == "in_use"
        assert [holder["pid"] for holder in answers[1]["holders"]] == [child.pid]
    finally:
        ended(child)


@private
def test_every_member_of_a_group_with_mptcp_listeners_is_named(stage):
    code = SERVER.replace(
        "s = socket.socket()", "import sys\ns = socket.socket(2, 1, int(sys.argv[1]))\ns.setsockopt(1, 15, 1)"
    )
    children = []
    try:
        for protocol in ("262", "262", "6"):
            child = subprocess.Popen(
                [sys.executable, "-c", code, protocol], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            children.append(child)
            if not child.stdout.readline():
                pytest.skip("this kernel makes no MPTCP sockets")
        answer = json.loads(inuse("8111", "--json", capture_output=True).stdout)
        assert sorted(holder["pid"] for holder in answer["holders"]) == sorted(child.pid for child in children)
    finally:
        for child in children:
            ended(child)


@private
def test_a_mapped_file_that_is_not_the_one_named_is_never_opened(stage, tmp_path):
    """The names in a process's map are its own words; opening some files has effects."""
    library = tmp_path / "lib.so"
    fifo = tmp_path / "lib.so (deleted)"
    library.write_bytes(b"\x7fELF" + bytes(8192))
    os.mkfifo(fifo)
    code = f"""
import mmap, os, socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", 8112)); s.listen(); s.set_inheritable(True)
f = os.open({str(library)!r}, os.O_RDONLY)
m = mmap.mmap(f, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE)
os.unlink({str(library)!r})
print(1, flush=True); time.sleep(60)
"""
    child = running(code)
    started = time.monotonic()
    try:
        answer = json.loads(inuse("8112", "--json", capture_output=True).stdout)
        assert answer["holders"][0]["pid"] == child.pid
        assert time.monotonic() - started < 30
    finally:
        ended(child)
