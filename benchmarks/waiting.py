"""Waiting until a port is free: how late it is noticed, and what waiting costs. A part of run.py."""

import os
import shutil
import socket
import statistics
import time

PORT = 18080
#: So long the port stays taken: what starts meanwhile has begun to wait.
HELD_SECONDS = 1.5
#: Ways to wait that are written into scripts, asking every tenth of a second.
SCRIPTS = {
    "while connecting": ("bash", f"while (: </dev/tcp/127.0.0.1/{PORT}) 2>&-; do sleep 0.1; done"),
    "while ss | grep": ("ss", f"while ss -Htln 'sport = :{PORT}' | grep -q .; do sleep 0.1; done"),
}


def once(command):
    """Have a command wait for a port; the seconds from the close to its end, and its processor seconds."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", PORT))
        held.listen()
        nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=nowhere)
        time.sleep(HELD_SECONDS)
        held.close()
        closed = time.perf_counter()
    _, status, usage = os.wait4(pid, 0)
    ended = time.perf_counter()
    if status:
        raise SystemExit(f"{command[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return ended - closed, usage.ru_utime + usage.ru_stime


def measure(bench):
    """A port that is let go: from the close to the end of what waited for it."""
    mine = f"inuse wait {PORT}"
    commands = {mine: bench.inuse("wait", str(PORT))}
    shell = shutil.which("bash")
    for name, (program, line) in SCRIPTS.items():
        if shell and shutil.which(program):
            commands[name] = [shell, "-c", line]
    taken = {name: [] for name in commands}
    for _ in range(bench.options.rounds):
        for name, command in commands.items():
            taken[name].append(once(command))
    for name, times in taken.items():
        late = sorted(seconds * 1e3 for seconds, _ in times)
        processor = statistics.median(seconds for _, seconds in times) * 1e3
        print(f"  {name:<36} {statistics.median(late):9.1f} ms ({late[0]:.1f}–{late[-1]:.1f})  cpu {processor:7.1f} ms")
        bench.results["times"][name] = [seconds for seconds, _ in times]
    latency = statistics.median(seconds for seconds, _ in taken[mine]) * 1e3
    bench.note("wait/latency", latency, f"{mine}: from the close to its end")
