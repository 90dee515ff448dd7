"""Builds sockets at random in a private network namespace and compares judge() with the kernel.

Runs as a program of its own, since it gives up its namespace for good:

    python tests/kernel/binding_lab.py SEED FIRST COUNT
    python tests/kernel/binding_lab.py SEED FIRST COUNT automatic

prints one JSON object: what was compared, and the cases in which judge() was wrong, cut down to
the fewest sockets that still show it. "automatic" asks for port 0 where the automatic range is nearly full.
"""

import errno
import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from binding_stage import USERS, AsUser, Lab, NotStagedError, Spec, Stage, ends, new_socket, set_options
from msgspec import Struct, structs

from inuse.binding import Ruling, judge
from inuse.binding.words import FIRST_MET, SHORTCUT, WHERE_THE_SEARCH_BEGINS
from inuse.model import Attempt
from inuse.model import Socket as Row

IPV4 = ("0.0.0.0", "0.0.0.0", "127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.6", "10.9.0.1")
IPV6 = ("::", "::", "::", "::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::ffff:10.9.0.1")
ODD_IPV4 = (
    "10.9.0.7",
    "10.9.0.255",
    "10.9.0.0",
    "9.9.9.9",
    "224.0.0.1",
    "255.255.255.255",
    "127.255.255.255",
)
ODD_IPV4 += ("0.0.0.1", "240.0.0.1")
ODD_IPV6 = (
    "fd00::7",
    "fe80::1",
    "ff02::1",
    "ff01::1",
    "ff0e::1",
    "::ffff:9.9.9.9",
    "::ffff:224.0.0.1",
    "fd00::",
)
ODD_IPV6 += ("::127.0.0.1", "::ffff:255.255.255.255")

TCP_KINDS = ("bound", "bound", "listen", "listen", "listen", "listen-late", "client", "client", "auto-client")
TCP_KINDS += ("client-close-wait", "client-time-wait", "client-fin-wait-2", "syn-sent", "unlistened")
TCP_KINDS += (
    "child",
    "child",
    "child-close-wait",
    "child-time-wait",
    "child-fin-wait-2",
    "handshake",
    "queued",
)
UDP_KINDS = ("bound", "bound", "bound", "client", "auto-client")


#: What judge() may leave open although it was told every option.
UNDECIDABLE = {SHORTCUT, FIRST_MET, WHERE_THE_SEARCH_BEGINS}


class Case(Struct, frozen=True):
    """Sockets, in the order in which they are made, and what is tried then."""

    specs: tuple[Spec, ...]
    attempt: Attempt
    mask: int


# -- The plan of a case -------------------------------------------------------------------------


def plan(rng: random.Random, lab: Lab) -> Case:
    """Draw a case."""
    proto = rng.choice(("tcp", "tcp", "tcp", "udp"))
    odds = rng.choice(((0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9), (0.5, 0.5)))
    devices = lab.devices if rng.random() < 0.4 else ("",)
    low = rng.random() < 0.04
    users = USERS if lab.users and (low or rng.random() < 0.5) else (0,)
    specs = tuple(draw_spec(rng, lab, proto, odds, devices, users) for _ in range(rng.randint(1, 5)))
    family, address, v6only = draw_address(rng, lab, odd=0.4 if low else 0.05)
    uid = rng.choice(users)
    attempt = Attempt(
        proto=proto,  # type: ignore[arg-type]
        family=family,  # type: ignore[arg-type]
        address=address,
        port=-1 if low else 0 if rng.random() < 0.01 else 1,
        v6only=v6only,
        reuseaddr=rng.random() < odds[0],
        reuseport=rng.random() < odds[1],
        uid=uid,
        device=rng.choice(devices) or None,
        low_ports=uid == 0,
    )
    return Case(specs, attempt, rng.getrandbits(16))


def draw_address(rng: random.Random, lab: Lab, odd: float) -> tuple[str, str, bool]:
    family = rng.choice(("inet", "inet6"))
    if rng.random() < odd:
        address = rng.choice(ODD_IPV4 if family == "inet" else ODD_IPV6)
    else:
        address = rng.choice(IPV4 if family == "inet" else IPV6)
    if not lab.pair and ("10.9" in address or "fd00::1" in address):
        address = "127.0.0.1" if family == "inet" else "::1"
    return family, address, family == "inet6" and rng.random() < (0.4 if "f" not in address else 0.05)


def draw_spec(rng: random.Random, lab: Lab, proto: str, odds: tuple[float, float], devices: Any, users: Any) -> Spec:
    if rng.random() < 0.1:
        proto = rng.choice(("tcp", "udp", "udplite", "mptcp"))
    elif proto == "tcp" and rng.random() < 0.08:
        proto = "mptcp"
    family, address, v6only = draw_address(rng, lab, odd=0)
    if proto == "mptcp":
        kind = rng.choice(("bound", "listen", "child"))
    else:
        kind = rng.choice(TCP_KINDS if proto == "tcp" else UDP_KINDS)
    device = rng.choice(devices)
    if device and kind not in ("bound", "listen", "listen-late", "unlistened"):
        device = "lo"
        address = address.replace("10.9.0.1", "127.0.0.1").replace("fd00::1", "::1")
    return Spec(
        proto=proto,
        family=family,
        address=address,
        kind=kind,
        reuseaddr=rng.random() < odds[0],
        reuseport=rng.random() < odds[1],
        v6only=v6only,
        uid=rng.choice(users),
        accept_uid=rng.choice(users),
        device=device,
        keep_listener=rng.random() < 0.4,
    )


# -- The question and its answers ---------------------------------------------------------------


def ask_kernel(attempt: Attempt) -> tuple[str | None, str | None]:
    """The call that failed and its errno, or None twice."""
    call = "socket"
    with AsUser(attempt.uid), new_socket(attempt.proto, attempt.family) as made:
        set_options(made, attempt)
        try:
            call = "bind"
            made.bind((attempt.address, attempt.port))
            call = "listen"
            if attempt.proto == "tcp":
                made.listen(8)
        except OSError as error:
            return call, errno.errorcode[error.errno or 0]
    return None, None


def disagreement(ruling: Ruling, call: str | None, symbol: str | None, *, known: bool) -> str | None:
    """Why the ruling is wrong, or None. ``known``: every option was given to judge()."""
    if ruling.ok is None:
        if not known or set(ruling.depends) & UNDECIDABLE:
            return None
        return f"undecided, though everything is known: {ruling.depends}"
    if ruling.ok is not (symbol is None):
        return "the opposite"
    if ruling.ok is False and (known or ruling.errno) and (ruling.call, ruling.errno) != (call, symbol):
        return f"{ruling.call} {ruling.errno}"
    return None


def masked(rows: list[Row], mask: int) -> list[Row]:
    """Some options forgotten."""
    result = []
    for number, row in enumerate(rows):
        bits = mask >> (3 * number)
        change: dict[str, None] = {}
        if bits & 1:
            change["reuseaddr"] = None
        if bits & 2:
            change["reuseport"] = None
        if bits & 4:
            change["v6only"] = None
        result.append(structs.replace(row, **change) if change else row)
    return result


def kernel_rows(stage: Stage) -> list[Row]:
    """The kernel's own rows of the port, with the options that only we know filled in."""
    by_inode = {row.inode: row for row in stage.rows if row.inode}
    by_ends = {ends(row): row for row in stage.rows if not row.inode}
    result = []
    for seen in stage.seen():
        ours = by_inode.get(seen.inode) or by_ends.get(ends(seen))
        if ours is not None:
            seen = structs.replace(seen, reuseaddr=ours.reuseaddr, reuseport=ours.reuseport)  # noqa: PLW2901
        elif seen.state == "syn-recv":
            # The worst that could be: it must not matter.
            seen = structs.replace(seen, reuseaddr=False, reuseport=False, uid=4711)  # noqa: PLW2901
        elif not seen.inode:
            # A connection that was given up while it was made, on a slow machine: we have no note of it.
            raise NotStagedError(f"an unnoted {seen.state}")
        result.append(seen)
    return result


def run(lab: Lab, case: Case) -> tuple[list[str], dict[str, Any]]:
    """Stage a case on a fresh port; what was wrong, and the whole story."""
    port = lab.next_port(low=case.attempt.port < 0)
    stage = Stage(lab, port)
    try:
        for spec in case.specs:
            if spec.kind != "auto-client" or lab.port_range:
                stage.build(spec)
        stage.finish()
        attempt = structs.replace(case.attempt, port=port if case.attempt.port else 0)
        from_kernel = kernel_rows(stage)
        call, symbol = ask_kernel(attempt)
    finally:
        stage.close()
    wrong = []
    rulings = {
        "known": judge(stage.rows, attempt, lab.host),
        "known, options masked": judge(masked(stage.rows, case.mask), attempt, lab.host),
        "kernel's rows": judge(from_kernel, attempt, lab.host),
        "kernel's rows, options masked": judge(masked(from_kernel, case.mask), attempt, lab.host),
    }
    for name, ruling in rulings.items():
        problem = disagreement(ruling, call, symbol, known=name == "known")
        if problem:
            wrong.append(f"{name}: {problem}")
    tally(lab.counts, stage, rulings, symbol)
    story = {
        "sockets": [repr(row) for row in stage.rows],
        "rows": [repr(row) for row in from_kernel],
        "specs": [repr(spec) for spec in case.specs],
        "attempt": repr(attempt),
        "kernel": [call, symbol],
        "rulings": {name: repr(ruling) for name, ruling in rulings.items()},
    }
    return wrong, story


def tally(counts: Counter[str], stage: Stage, rulings: dict[str, Ruling], symbol: str | None) -> None:
    counts["cases"] += 1
    counts["kernel: " + (symbol or "ok")] += 1
    for row in stage.rows:
        counts[f"{row.proto}{' mptcp' if row.mptcp else ''} {row.state}"] += 1
    if rulings["known"].ok is None:
        counts[f"left open: {rulings['known'].depends[0]}: {symbol or 'ok'}"] += 1
    for name in ("known, options masked", "kernel's rows", "kernel's rows, options masked"):
        counts[f"{name}: decided"] += rulings[name].ok is not None


def smallest(lab: Lab, case: Case) -> Case:
    """Leave out sockets as long as the case is still wrong."""
    for index in reversed(range(len(case.specs))):
        shorter = Case(case.specs[:index] + case.specs[index + 1 :], case.attempt, case.mask)
        try:
            wrong, _ = run(lab, shorter)
        except NotStagedError:
            continue
        if wrong:
            case = shorter
    return case


def compare(seed: int, number: int, lab: Lab) -> dict[str, Any] | None:
    """One case; the story of it if judge() was wrong."""
    case = plan(random.Random(f"{seed}:{number}"), lab)
    try:
        wrong, story = run(lab, case)
    except NotStagedError as state:
        lab.counts[f"not staged: {state}"] += 1
        return None
    if not wrong:
        return None
    try:
        short, short_story = run(lab, smallest(lab, case))
    except NotStagedError:
        short, short_story = [], {}
    return {"wrong": short, **short_story} if short else {"wrong": wrong, **story}


# -- Port 0 -------------------------------------------------------------------------------------


def compare_automatic(seed: int, number: int, lab: Lab) -> dict[str, Any] | None:
    """Ask for port 0 where a handful of ports is all that may be given out, most of them taken."""
    rng = random.Random(f"{seed}:{number}")
    first = 30000 + 7 * (number % 4000)
    last = first + rng.choice((3, 3, 4, 6))
    reserved = rng.choice(("", f"{first}", f"{first + 1}-{first + 2}"))
    proto = rng.choice(("tcp", "udp"))
    odds = rng.choice(((0.1, 0.1), (0.9, 0.9)))
    stages = [Stage(lab, port) for port in range(first, last + 1)]
    for stage in stages:
        for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 2))):
            spec = draw_spec(rng, lab, proto, odds, ("",), (0,))
            wide = {"family": "inet6", "address": "::", "v6only": False} if rng.random() < 0.6 else {}
            stage.build(structs.replace(spec, proto=proto, kind="bound", **wide))
    rows = [row for stage in stages for row in stage.rows]
    family, address, v6only = draw_address(rng, lab, odd=0)
    attempt = Attempt(
        proto=proto,  # type: ignore[arg-type]
        family=family,  # type: ignore[arg-type]
        address=address,
        v6only=v6only and not address.startswith("::ffff:"),
        reuseaddr=rng.random() < odds[0],
        reuseport=rng.random() < odds[1],
    )
    setting = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
    lab.automatic_ports(first, last)
    setting.write_text(reserved + "\n")
    try:
        call, symbol = ask_kernel(attempt)
    finally:
        setting.write_text("\n")
        lab.automatic_ports()
        for stage in stages:
            stage.close()
    host = structs.replace(lab.host, automatic_ports=(first, last), reserved_ports=reserved)
    ruling = judge(rows, attempt, host)
    lab.counts["cases"] += 1
    lab.counts["kernel: " + (symbol or "ok")] += 1
    problem = disagreement(ruling, call, symbol, known=True)
    if ruling.ok is None:
        lab.counts[f"left open: {ruling.depends[0]}: {symbol or 'ok'}"] += 1
    if problem is None:
        return None
    sockets = [repr(row) for row in rows]
    return {"wrong": [problem], "sockets": sockets, "attempt": repr(attempt), "kernel": [call, symbol]}


def main() -> None:
    seed, first, count = (int(word) for word in sys.argv[1:4])
    one = compare_automatic if sys.argv[4:] == ["automatic"] else compare
    lab = Lab()
    failures = []
    for number in range(first, first + count):
        failure = one(seed, number, lab)
        lab.counts["mismatches"] += failure is not None
        if failure is not None and len(failures) < 5:
            failures.append({"seed": seed, "case": number, **failure})
    abilities = {"users": lab.users, "second interface": lab.pair, "automatic ports": lab.port_range}
    json.dump({"counts": lab.counts, "abilities": abilities, "failures": failures}, sys.stdout)


if __name__ == "__main__":
    main()
