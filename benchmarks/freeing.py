"""Getting a port back: what inuse and the port killers leave behind, each against fresh stagings.

A trial runs as ``python freeing.py SITUATION -- COMMAND…``, as the first process of a pid namespace and alone in a
network namespace: it stages the situation, runs the command, looks what came of it, and prints that as JSON. With its
end everything ends that it started.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

PORT = 18080
SIBLING = 18081
NPM = Path(__file__).resolve().parent.parent / ".cache/npm/node_modules/.bin"
#: So long after a killer's end may the killed still be there.
SETTLE_SECONDS = 1.0
PATIENCE_SECONDS = 60

# ---------------------------------------------------------------------------------------------- what is staged


def listener(options=()):
    made = socket.socket()
    for option in options:
        made.setsockopt(socket.SOL_SOCKET, option, 1)
    made.bind(("127.0.0.1", PORT))
    made.listen()
    return made


def serve(server, ready):
    """Keep every connection, and never close one."""
    kept = []
    ready()
    while True:
        kept.append(server.accept())


def client(there):
    """A client of the port, which does nothing to deserve its end."""

    def connect(ready):
        with socket.create_connection(("127.0.0.1", PORT)):
            ready()
            signal.pause()

    there.bystander("client", connect)


def server_and_client(there):
    """A server without SO_REUSEADDR, and one client that stays connected."""
    there.holder(lambda ready: serve(listener(), ready))
    client(there)


def shared(there):
    """A listener that a server and the two workers it forked share."""

    def work(ready):
        server = listener()
        for _ in range(2):
            if not os.fork():
                serve(server, lambda: None)
        serve(server, ready)

    there.holder(work)


def pair(there):
    """Two programs that share the port with SO_REUSEPORT."""
    for _ in range(2):
        there.holder(lambda ready: serve(listener([socket.SO_REUSEPORT]), ready))


def udp(there):
    """A UDP socket."""

    def work(ready):
        with socket.socket(type=socket.SOCK_DGRAM) as made:
            made.bind(("127.0.0.1", PORT))
            ready()
            signal.pause()

    there.holder(work)


def bound_only(there):
    """A TCP socket that is bound and never listens."""

    def work(ready):
        with socket.socket() as made:
            made.bind(("127.0.0.1", PORT))
            ready()
            signal.pause()

    there.holder(work)


SITUATIONS = {
    "server+client": server_and_client,
    "shared by fork": shared,
    "SO_REUSEPORT pair": pair,
    "UDP": udp,
    "bound only": bound_only,
}


def commands(situation, mine):
    """What is run to free the port: name -> command."""
    proto = "udp" if situation == "UDP" else "tcp"
    return {
        "inuse free --yes": [*mine, "free", f"{PORT}/{proto}", "--yes"],
        "fuser -k": ["fuser", "-k", "-n", proto, str(PORT)],
        "lsof -t | xargs kill": ["sh", "-c", f"lsof -nP -t -i {proto}:{PORT} | xargs kill"],
        "kill-port": ["kill-port", "--port", str(PORT), "--method", proto],
        "fkill": ["fkill", f":{PORT}"],
    }


#: What has to be installed for a command, where that is not its first word.
PROGRAMS = {"lsof -t | xargs kill": "lsof"}


# ---------------------------------------------------------------------------------------------- one trial


class There:
    """Who is there: the holders, and bystanders by what they are called."""

    def __init__(self):
        self.bystanders = {}
        self.bystander("sibling of the same name", self._sibling)

    def holder(self, work):
        """Start a holder, by a parent that is a bystander like any other."""
        number = len(self.bystanders)
        self.bystander(f"parent {number}", lambda ready: (_fork(work), ready(), _pause()))

    def bystander(self, name, work):
        pid = _fork(work)
        self.bystanders[name] = (pid, _began(pid))

    @staticmethod
    def _sibling(ready):
        with socket.create_server(("127.0.0.1", SIBLING)) as server:
            ready()
            while True:
                with server.accept()[0] as connection:
                    connection.sendall(b"here")

    def killed(self):
        """The names of those who are gone, or do no longer what they were there for."""
        gone = [name for name, (pid, began) in self.bystanders.items() if _began(pid) != began]
        try:
            with socket.create_connection(("127.0.0.1", SIBLING), timeout=5) as asked:
                answers = asked.recv(4) == b"here"
        except OSError:
            answers = False
        return gone if answers or gone else ["sibling of the same name"]


def _pause():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that nobody stays as a zombie
    while True:
        signal.pause()


def _fork(work):
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            work(lambda: os.write(writing, b"."))
        os._exit(1)
    os.close(writing)
    if not os.read(reading, 1):
        raise SystemExit("a program of the staging failed")
    os.close(reading)
    return pid


def _began(pid):
    """When a process began; None where it is gone, or only waits to be taken note of."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _free(situation):
    """Whether a plain program, without SO_REUSEADDR, can have the port."""
    kind = socket.SOCK_DGRAM if situation == "UDP" else socket.SOCK_STREAM
    with socket.socket(type=kind) as made:
        try:
            made.bind(("0.0.0.0", PORT))
            if kind == socket.SOCK_STREAM:
                made.listen()
        except OSError:
            return False
    return True


def trial(situation, command):
    """Stage, run the command, and say what came of it."""
    there = There()
    SITUATIONS[situation](there)
    if _free(situation):
        raise SystemExit(f"{situation}: nobody has the port")
    began = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=PATIENCE_SECONDS)
    seconds = time.monotonic() - began
    deadline = time.monotonic() + SETTLE_SECONDS
    while not (free := _free(situation)) and time.monotonic() < deadline:
        time.sleep(0.02)
    said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
    killed = there.killed()
    return {"freed": free, "killed": killed, "status": done.returncode, "seconds": seconds, "said": said[-300:]}


# ---------------------------------------------------------------------------------------------- all of them


def measure(bench):
    """Getting a port back: freed and bystanders killed, each against fresh stagings of the same situations."""
    unshare = shutil.which("unshare")
    if not unshare:
        print("  unshare is not installed: left out, since a killer must not meet anybody else's processes")
        return
    os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", os.defpath), str(NPM)))
    apart = [unshare, "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    found = {}
    for number in range(max(1, bench.options.rounds // 3)):
        for situation in SITUATIONS:
            for name, command in _there(commands(situation, bench.inuse()), quiet=bool(number) or bool(found)).items():
                one = [*apart, sys.executable, __file__, situation, "--", *command]
                done = subprocess.run(one, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"  {situation}: it can't be staged here: {done.stderr.strip()[-200:]}")
                    return
                found.setdefault(name, {}).setdefault(situation, []).append(json.loads(done.stdout))
    _show(found)
    _note(bench, found)


def _there(wanted, *, quiet):
    """Those whose program is installed."""
    there = {}
    for name, command in wanted.items():
        program = PROGRAMS.get(name, command[0])
        if shutil.which(program):
            there[name] = command
        elif not quiet:
            print(f"  {program} is not installed: left out")
    return there


def _show(found):
    width = max(map(len, found))
    print(f"  {'':<{width}}" + "".join(f"  {situation:<26}" for situation in SITUATIONS) + "  seconds")
    for name, answers in found.items():
        seconds = statistics.median(one["seconds"] for trials in answers.values() for one in trials)
        cells = "".join(f"  {_cell(answers[situation]):<26}" for situation in SITUATIONS)
        print(f"  {name:<{width}}{cells}  {seconds:7.2f}", flush=True)


def _cell(trials):
    """Say what came of it; the worst of several trials."""
    freed = sum(one["freed"] for one in trials)
    words = "free" if freed == len(trials) else "left" if not freed else f"free {freed} of {len(trials)}"
    if any(_untrue(one) for one in trials):
        words += ", exit status 0"
    killed = max(len(one["killed"]) for one in trials)
    return words + (f", kills {killed}" if killed else "")


def _untrue(one):
    """Whether it ended as if it had freed the port."""
    return not one["freed"] and one["status"] == 0


def _note(bench, found):
    for name, answers in found.items():
        tool = name.split()[0]
        every = [one for trials in answers.values() for one in trials]
        counts = {
            "left": (sum(not one["freed"] for one in every), "not freed"),
            "killed": (sum(len(one["killed"]) for one in every), "bystanders killed"),
            "untrue": (sum(map(_untrue, every)), "not freed, and exit status 0"),
        }
        for figure, (count, what) in counts.items():
            mine = "" if tool == "inuse" else f"-{tool}"
            bench.note(f"free/{figure}{mine}", count, f"{name}: {what}, of {len(every)} trials")
        seconds = [one["seconds"] for one in every]
        bench.results["times"][name] = seconds
    bench.results["free"] = found


def main():
    situation, _, *command = sys.argv[1:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    print(json.dumps(trial(situation, command)))


if __name__ == "__main__":
    main()
