"""An orphan that waits for clients serves its port; one that does not was only left with it."""

import os
import signal
import subprocess
import sys
import time

import pytest
from staging import private

from inuse.api import diagnose

ORPHAN = """
import os, select, socket, sys, time
mode, note = sys.argv[1:]
s = socket.socket()
s.bind(("127.0.0.1", 8130))
s.listen()
s.set_inheritable(True)
if mode.startswith("fork") and os.fork():
    os._exit(0)
open(note, "w").write(str(os.getpid()))
if mode.endswith("accept"):
    s.accept()
elif mode == "poll":
    poll = select.poll(); poll.register(s); poll.poll(60000)
elif mode == "select":
    select.select([s], [], [], 60)
elif mode == "epoll":
    epoll = select.epoll(); epoll.register(s); epoll.poll(60)
else:
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("mode", "situation"),
    [
        ("accept", "application"),
        ("poll", "application"),
        ("select", "application"),
        ("epoll", "application"),
        ("fork-accept", "application"),
        ("fork-sleep", "inherited"),
        ("sleep", "inherited"),
    ],
)
@private
def test_orphans(stage, tmp_path, mode, situation):
    note = tmp_path / "pid"
    subprocess.run(
        ["sh", "-c", '"$0" -c "$1" "$2" "$3" & ', sys.executable, ORPHAN, mode, str(note)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while not (note.exists() and note.read_text()):
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    pid = int(note.read_text())
    try:
        time.sleep(0.2)  # until it waits
        said = diagnose("8130")
        assert [holder.pid for holder in said.holders] == [pid]
        assert said.situation == situation
    finally:
        os.kill(pid, signal.SIGKILL)
