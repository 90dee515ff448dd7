"""Measures inuse beside ss, lsof, fuser, netstat and psutil: python benchmarks/run.py (README.md says what and how)."""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import freeing
import load
import waiting

ROOT = Path(__file__).resolve().parent.parent
PORT = 18080
FREE = 18081
HOLDERS = 3

#: What is asked of inuse: name of the figure -> the most it may be.
LIMITS = {
    "port/ss": 0.7,
    "port/lsof": 0.2,
    "port/fuser": 0.55,
    "port/memory": 60.0,
    "table/ss": 0.5,
    "table/memory": 60.0,
    "all/ss": 1.0,
    "device/lsof": 0.3,
    "device/fuser": 0.8,
    "quiet/version": 6.0,
    "quiet/held": 11.0,
    "quiet/free": 11.0,
    "library/free": 1000.0,
    "wait/latency": 25.0,
    "free/left": 0,
    "free/killed": 0,
    "free/untrue": 0,
}
UNITS = {"memory": "MB", "library": "µs", "latency": "ms"}

#: How ./inuse starts it: no site hooks, the checkout, then the packages.
START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); sys.path.append(sys.argv.pop(1)); sys.argv[0] = 'inuse'; "
    "from inuse.cli import main; sys.exit(main())"
)
LIBRARY = """
import sys, time
sys.path[:0] = sys.argv[1:3]
from inuse import diagnose
times = []
for _ in range(int(sys.argv[4])):
    began = time.perf_counter()
    found = diagnose(int(sys.argv[3]))
    times.append(time.perf_counter() - began)
assert found.verdict == "free", found.summary
times.sort()
print(times[len(times) // 2])
"""
#: Only the question to the kernel: which sockets are on the port.
KERNEL = """
import sys, time
sys.path[:0] = sys.argv[1:3]
from inuse.model import Target
from inuse.systems.linux import sockets
target = Target(text="", proto="tcp", port=int(sys.argv[3]))
times = []
for _ in range(int(sys.argv[4])):
    began = time.perf_counter()
    rows = sockets.on_ports([target])
    times.append(time.perf_counter() - began)
assert rows.all
times.sort()
print(times[len(times) // 2])
"""
PSUTIL = """
import sys
sys.path.append(sys.argv[1])
import psutil
for found in psutil.net_connections("inet"):
    if found.laddr and found.laddr.port == int(sys.argv[2]) and found.status == "LISTEN":
        print(found.pid)
"""


# ---------------------------------------------------------------------------------------------- measuring


class Sample:
    """One run of a command: wall and processor seconds, memory of its largest process in MB, what it said."""

    def __init__(self, command, out):
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        began = time.perf_counter()
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        _, self.status, usage = os.wait4(pid, 0)
        self.seconds = time.perf_counter() - began
        self.processor = usage.ru_utime + usage.ru_stime
        self.memory = usage.ru_maxrss / 1024


class Bench:
    """The commands, and where their results go."""

    def __init__(self, options, place):
        self.options = options
        self.out = str(Path(place, "out"))
        self.python = options.python
        self.packages = _packages(self.python)
        self.results = {"figures": {}, "curves": {}, "times": {}}

    def inuse(self, *arguments):
        if self.options.inuse:
            return [*_command(self.options.inuse), *arguments]
        return [self.python, "-I", "-S", "-c", START, str(ROOT / "src"), self.packages, *arguments]

    def script(self, code, port, repeat):
        """Run a script that prints seconds, in an interpreter of the tool's own."""
        command = [self.python, "-I", "-S", "-c", code, str(ROOT / "src"), self.packages, str(port), str(repeat)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the script for {port} failed:\n{done.stderr}")
        return float(done.stdout)

    def in_turn(self, commands, *, pids=None):
        """Run the commands in turn, A B C A B C …, after one round that only warms up; name -> samples."""
        samples = {name: [] for name in commands}
        for number in range(self.options.rounds + 1):
            for name, command in commands.items():
                sample = Sample(command, self.out)
                if number:
                    samples[name].append(sample)
                elif pids is not None:
                    found = _pids(name, Path(self.out).read_text(errors="replace")) & set(pids)
                    self.results["figures"][f"{name}: holders found"] = f"{len(found)} of {len(pids)}"
        for name, taken in samples.items():
            self.results["times"][name] = [sample.seconds for sample in taken]
        return samples

    def show(self, samples):
        """Print each command's times."""
        for name, taken in samples.items():
            seconds = [sample.seconds * 1e3 for sample in taken]
            processor = statistics.median(sample.processor for sample in taken) * 1e3
            memory = max(sample.memory for sample in taken)
            holders = self.results["figures"].get(f"{name}: holders found")
            print(
                f"  {name:<36} {statistics.median(seconds):9.1f} ms ({min(seconds):.1f}–{max(seconds):.1f})"
                f"  cpu {processor:7.1f} ms  {memory:6.1f} MB" + (f"  {holders} holders" if holders else ""),
                flush=True,
            )

    def ratio(self, figure, samples, one, other):
        """Note how long one took beside the other, round by round."""
        if one not in samples or other not in samples:
            return
        ratios = [a.seconds / b.seconds for a, b in zip(samples[one], samples[other], strict=True)]
        self.note(figure, statistics.median(ratios), f"{one} / {other}", spread=(min(ratios), max(ratios)))

    def note(self, figure, value, what, *, spread=None):
        """Note a figure and print it beside its limit."""
        limit = LIMITS.get(figure)
        self.results["figures"][figure] = {"value": value, "limit": limit, "what": what, "spread": spread}
        unit = next((UNITS[part] for part in figure.split("/") if part in UNITS), "")
        around = f" ({spread[0]:.2f}–{spread[1]:.2f})" if spread else ""
        judged = "" if limit is None else f"   limit {limit:g}{unit}: {'ok' if value <= limit else 'OVER'}"
        print(f"  {what:<58} {value:8.2f}{unit}{around}{judged}", flush=True)

    def curve(self, name, unit, points):
        """Note and print a curve."""
        self.results["curves"][name] = {"unit": unit, "points": points}
        print(f"  {name}")
        for point in points:
            print("    " + "   ".join(f"{key} {value:g}" for key, value in point.items()), flush=True)


def _command(words):
    words = words.split()
    return [shutil.which(words[0]) or words[0], *words[1:]]


def _packages(python):
    """Where that interpreter has the tool's dependencies."""
    code = "import os, msgspec, click; print(os.path.dirname(os.path.dirname(msgspec.__file__)))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python} has not got what inuse needs; --python names another interpreter:\n{done.stderr}")
    return done.stdout.strip()


def _pids(name, said):
    """The pids in what a tool printed about a port."""
    if name.startswith("inuse"):
        return {holder["pid"] for holder in json.loads(said)["holders"]}
    if name.startswith("lsof"):
        return {int(line.split()[1]) for line in said.splitlines()[1:]}
    pattern = {"ss": r"pid=(\d+)", "netstat": r"(\d+)/"}.get(name.split()[0], r"(\d+)")
    return {int(pid) for pid in re.findall(pattern, said)}


def _peers(commands):
    """Those of the commands whose program is installed."""
    there = {}
    for name, command in commands.items():
        path = shutil.which(command[0])
        if path:
            there[name] = [path, *command[1:]]
        else:
            print(f"  {command[0]} is not installed: left out")
    return there


# ---------------------------------------------------------------------------------------------- what is measured


def quiet(bench):
    """A machine where nothing else happens: the start of the tool beside that of its interpreter."""
    with load.Load() as busy:
        busy.listener(PORT, 1)
        bare = "python -I -S -c pass"
        commands = {
            bare: [bench.python, "-I", "-S", "-c", "pass"],
            "inuse --version": bench.inuse("--version"),
            f"inuse {PORT} --json": bench.inuse(str(PORT), "--json"),
            f"inuse {FREE} --json": bench.inuse(str(FREE), "--json"),
        }
        bench.options.rounds *= 4
        samples = bench.in_turn(commands)
        bench.show(samples)
        bench.ratio("quiet/version", samples, "inuse --version", bare)
        bench.ratio("quiet/held", samples, f"inuse {PORT} --json", bare)
        bench.ratio("quiet/free", samples, f"inuse {FREE} --json", bare)
        seconds = bench.script(LIBRARY, FREE, 2000)
        bench.note("library/free", seconds * 1e6, f"diagnose({FREE}) of a free port, in a running process")


def leftovers(bench):
    """Sockets that no process has, in growing number: they must not matter to a listening port."""
    points = []
    with load.Load() as busy:
        busy.listener(PORT, HOLDERS)
        done = 0
        for number in _steps(bench.options.connections, 0):
            busy.leftovers(number - done)
            done = number
            points.append({"TIME_WAIT": number} | _port_times(bench))
        bench.curve("time against sockets that no process has", "ms", points)


def busy(bench):
    """A busy machine: curves while the load grows, then beside the other tools."""
    options = bench.options
    wanted = set(options.only)
    curves, peers = "growth" in wanted, {"port", "table", "device"} & wanted
    with load.Load() as heavy:
        pids = heavy.listener(PORT, HOLDERS)
        points, done = [], 0
        for number in _steps(options.connections, 0) if curves else [options.connections]:
            heavy.connections(number - done)
            done = number
            if curves:
                points.append({"connections": number, "their descriptors": 2 * number} | _port_times(bench))
        if curves:
            bench.curve("time against unrelated connections", "ms", points)
        points, done = [], 0
        for number in _steps(options.processes, None) if curves else [options.processes]:
            heavy.processes(number - done, options.descriptors)
            done = number
            if curves:
                total = number * options.descriptors + 2 * options.connections
                points.append({"processes": number, "descriptors": total} | _port_times(bench))
        if curves:
            bench.curve("time against descriptors", "ms", points)
        if peers:
            each, number = options.descriptors, options.connections
            print(f"  {options.processes} processes of {each} descriptors each, {number} connections")
        if "port" in wanted:
            _port(bench, pids)
        if "table" in wanted:
            _table(bench)
        if "device" in wanted:
            _device(bench)


def _steps(most, first):
    """Four points up to the whole; for connections also none at all."""
    steps = [most // 4, most // 2, most] if first is not None else [most // 4, most // 2, most * 3 // 4, most]
    return sorted({first or 0, *steps}) if first is not None else sorted(set(steps) - {0})


def _port_times(bench):
    """The whole answer, and the question to the kernel alone; in milliseconds."""
    command = {"inuse": bench.inuse(str(PORT), "--json")}
    seconds = statistics.median(sample.seconds for sample in bench.in_turn(command)["inuse"])
    kernel = bench.script(KERNEL, PORT, 15)
    return {"inuse": round(seconds * 1e3, 1), "asking the kernel": round(kernel * 1e3, 3)}


def _port(bench, pids):
    mine = f"inuse {PORT} --json"
    peers = {
        f"ss -Htlnp 'sport = :{PORT}'": ["ss", "-Htlnp", f"sport = :{PORT}"],
        f"lsof -nP -iTCP:{PORT}": ["lsof", "-nP", f"-iTCP:{PORT}"],
        f"fuser -n tcp {PORT}": ["fuser", "-n", "tcp", str(PORT)],
        "netstat -tlnp": ["netstat", "-tlnp"],
    }
    peers = _peers(peers)
    if Path(bench.packages, "psutil").is_dir():
        peers["psutil"] = [bench.python, "-I", "-S", "-c", PSUTIL, bench.packages, str(PORT)]
    samples = bench.in_turn({mine: bench.inuse(str(PORT), "--json")} | peers, pids=pids)
    bench.show(samples)
    for name in peers:
        bench.ratio(f"port/{name.split()[0]}", samples, mine, name)
    bench.note("port/memory", max(s.memory for s in samples[mine]), f"{mine}: largest process")


def _device(bench):
    """A serial device: who has it open is found by looking at every descriptor there is."""
    master, slave = os.openpty()
    device = os.ttyname(slave)
    mine = "inuse DEVICE --json"
    peers = {"lsof -nP DEVICE": ["lsof", "-nP", device], "fuser DEVICE": ["fuser", device]}
    peers = _peers(peers)
    samples = bench.in_turn({mine: bench.inuse(device, "--json")} | peers, pids={os.getpid()})
    os.close(master)
    os.close(slave)
    bench.show(samples)
    for name in peers:
        bench.ratio(f"device/{name.split()[0]}", samples, mine, name)


def _table(bench):
    peers = _peers({"ss -Hanp": ["ss", "-Hanp"]})
    samples = bench.in_turn({"inuse": bench.inuse(), "inuse --all": bench.inuse("--all")} | peers)
    bench.show(samples)
    bench.ratio("table/ss", samples, "inuse", "ss -Hanp")
    bench.ratio("all/ss", samples, "inuse --all", "ss -Hanp")
    bench.ratio("all/table", samples, "inuse --all", "inuse")
    bench.note("table/memory", max(s.memory for s in samples["inuse"]), "inuse: largest process")
    bench.note("all/memory", max(s.memory for s in samples["inuse --all"]), "inuse --all: largest process")


# ---------------------------------------------------------------------------------------------- running

#: Each stage runs in a network namespace of its own; the parts that can be asked for, and their stages.
STAGES = {"quiet": quiet, "leftovers": leftovers, "busy": busy, "free": freeing.measure, "wait": waiting.measure}
PARTS = {
    "quiet": ["quiet"],
    "growth": ["leftovers", "busy"],
    "port": ["busy"],
    "table": ["busy"],
    "device": ["busy"],
    "free": ["free"],
    "wait": ["wait"],
}


def _own_namespace():
    """The words before a command that give it a network of its own; none where that can't be had."""
    unshare = shutil.which("unshare")
    if not unshare:
        return []
    for words in ([unshare, "--net"], [unshare, "-rn"]):
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
            return words
    return []


def _stage(options):
    """Run one stage, here, and leave its results in a file."""
    load.die_with_parent(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.lo:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="inuse-bench-") as place:
        bench = Bench(options, place)
        STAGES[options.stage](bench)
    Path(options.result).write_text(json.dumps(bench.results))


def _all(options):
    """Run every stage that is needed, one after the other."""
    stages = list(dict.fromkeys(stage for part in options.only for stage in PARTS[part]))
    namespace = _own_namespace() if shutil.which("ip") else []
    if not namespace:
        print("no network namespace can be had: other sockets of this machine are in the way of the figures")
    results = {
        "machine": {
            "kernel": platform.release(),
            "processors": len(os.sched_getaffinity(0)),
            "python": subprocess.run([options.python, "-V"], capture_output=True, text=True, check=True).stdout.strip(),
            "load before": os.getloadavg()[0],
        },
        "options": {key: getattr(options, key) for key in ("processes", "descriptors", "connections", "rounds")},
        "figures": {},
        "curves": {},
        "times": {},
    }
    for stage in stages:
        print(f"{stage}: {STAGES[stage].__doc__}", flush=True)
        with tempfile.NamedTemporaryFile("r", prefix="inuse-bench-", suffix=".json") as result:
            again = [sys.executable, __file__, *sys.argv[1:], "--stage", stage, "--result", result.name]
            done = _wait([*namespace, *again, *(["--lo"] if namespace else [])])
            if done:
                return done
            for key, value in json.load(result).items():
                results.setdefault(key, {}).update(value)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return _judge(results["figures"])


def _wait(command):
    """Run a stage; on Ctrl-C, which it gets as well, wait until it has taken its load away."""
    with subprocess.Popen(command) as stage:
        try:
            return stage.wait()
        except KeyboardInterrupt:
            with contextlib.suppress(KeyboardInterrupt):
                stage.wait()
            return 130


def _judge(figures):
    """Print what is over its limit; 0 where nothing is."""
    over = [
        name
        for name, found in figures.items()
        if isinstance(found, dict) and found["limit"] is not None and found["value"] > found["limit"]
    ]
    kept = sum(1 for found in figures.values() if isinstance(found, dict) and found["limit"] is not None) - len(over)
    print(f"{kept} within their limits" + (f", over: {', '.join(over)}" if over else ""))
    return 1 if over else 0


def main():
    here = ROOT / ".cache/run/bin/python"
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--processes", type=int, default=2000, help="processes of the load (2000)")
    parser.add_argument("--descriptors", type=int, default=50, help="descriptors of each (50)")
    parser.add_argument("--connections", type=int, default=20000, help="loopback TCP connections besides (20000)")
    parser.add_argument("--rounds", type=int, default=7, help="how often each command runs, after a warming-up (7)")
    parser.add_argument(
        "--only", action="append", choices=PARTS, metavar="NAME", help=f"{', '.join(PARTS)}; repeatable"
    )
    parser.add_argument("--json", metavar="FILE", help="save every figure, curve and single time")
    parser.add_argument(
        "--python", default=str(here) if here.exists() else sys.executable, help="the tool's interpreter"
    )
    parser.add_argument("--inuse", metavar="COMMAND", help="measure this command instead, such as an installed inuse")
    for hidden in ("--stage", "--result"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--lo", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.only = options.only or list(PARTS)
    if min(options.processes, options.connections, options.rounds) < 1 or options.descriptors < 10:
        parser.error("numbers must be positive, and a process has at least 10 descriptors")
    try:
        if options.stage:
            return _stage(options) or 0
        return _all(options)
    except load.LoadError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
