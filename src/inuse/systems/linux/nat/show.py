"""A rule in the words of its own tool: what a person finds when looking for it.

Only words: what the rule does was told from the kernel already. The tools are run with a short time and in the
language C; where one is missing, hangs or says something odd, the rule goes without its text.
Source: nft(8), iptables(8).
"""

import os
import re
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Final

from inuse.systems.linux.nat.rules import AF_INET6, FAMILIES, Rule
from inuse.systems.linux.read import foreign

SECONDS: Final = 0.5
_MOST_BYTES: Final = 1 << 20
_FOLDERS: Final = ("/usr/sbin/", "/sbin/", "/usr/bin/", "/usr/local/sbin/")
#: iptables-legacy would else create and take a lock to list its rules, or fail where somebody holds it.
_ENVIRONMENT: Final = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "XTABLES_LOCKFILE": "/dev/null"}
_MOST_CHARACTERS: Final = 300
_SIGKILL: Final = 9
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def text_of(rule: Rule, tool: str, deadline: float) -> str:
    """Return a rule as its tool prints it; "" where it can't be had."""
    if tool == "nft":
        listed = output(("nft", "-a", "list", "chain", FAMILIES[rule.family], rule.table, rule.chain), deadline)
        found = _by_handle(listed, rule.handle)
    else:
        name = tool if program(tool) else tool.replace("-nft", "")
        listed = output((name, "-t", rule.table, "-S", rule.chain), deadline)
        found = _by_number(listed, rule.number, rule.chain)
    return found if len(found) <= _MOST_CHARACTERS and found.isprintable() else ""


def _by_handle(listed: str, handle: int | None) -> str:
    """Find a rule in a chain that nft lists: each line ends with its handle, unless a comment or set goes over several.

    Of such a rule "" is returned: the rest of it is in lines before.
    """
    for line in listed.split("\n"):
        body, mark, number = line.rpartition(" # handle ")
        if mark and number == str(handle):
            whole = body.count('"') % 2 == 0 and body.count("{") == body.count("}")
            return body.strip() if whole else ""
    return ""


def _by_number(listed: str, number: int, chain: str) -> str:
    """Find a rule in a chain that iptables lists as commands."""
    rules = [line for line in _commands(listed) if line.startswith(f"-A {chain} ")]
    return rules[number - 1] if number <= len(rules) else ""


def _commands(listed: str) -> Iterator[str]:
    """Yield the commands: what is quoted may hold line breaks."""
    command = ""
    for line in listed.split("\n"):
        command += line
        if '"' not in command or '"' not in _QUOTED.sub("", command):
            yield command
            command = ""
        else:
            command += "\n"


def tool_for(rule: Rule, *, compatible: bool) -> str:
    """Return the program that shows a rule: iptables-nft for one with parts of x_tables."""
    if rule.tool != "nft" or not compatible:
        return rule.tool
    return "ip6tables-nft" if rule.family == AF_INET6 else "iptables-nft"


def program(name: str) -> str | None:
    """Return where a program is; users' own PATH is not asked: it may lack the folder, or hold another program."""
    return next((folder + name for folder in _FOLDERS if os.access(folder + name, os.X_OK)), None)


def output(command: tuple[str, ...], deadline: float, seconds: float = SECONDS) -> str:
    """Run a program and return what it writes; "" where it is not there, fails, or takes too long."""
    path = program(command[0])
    if path is None:
        return ""
    deadline = min(deadline, monotonic() + seconds)
    reading, writing = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, writing, 1),
    ]
    try:
        child = os.posix_spawn(path, command, _ENVIRONMENT, file_actions=actions)
    except OSError:
        os.close(reading)
        return ""
    finally:
        os.close(writing)
    said = None
    try:
        said = _read(reading, deadline)
    finally:
        os.close(reading)
        status = _end(child, deadline if said is not None else 0.0)
    return foreign(said) if status == 0 and said is not None else ""


def _read(descriptor: int, deadline: float) -> bytes | None:
    """Read until the end; None where that does not come in time, or after too much."""
    parts: list[bytes] = []
    left = _MOST_BYTES
    import select  # only where a tool is run: never on the way to most answers

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while left > 0:
        wait = deadline - monotonic()
        if wait <= 0 or not poll.poll(wait * 1000):
            return None
        part = os.read(descriptor, min(left, 1 << 16))
        if not part:
            return b"".join(parts)
        parts.append(part)
        left -= len(part)
    return None


def _end(child: int, deadline: float) -> int | None:
    """Wait for our child's end, and bring it about when the time is over; return its exit status."""
    killed = False
    while True:
        try:
            ended, status = os.waitpid(child, 0 if killed else os.WNOHANG)
        except OSError:  # somebody else in this process waits for every child
            return None
        if ended:
            return os.waitstatus_to_exitcode(status)
        if monotonic() > deadline:
            os.kill(child, _SIGKILL)  # it is ours and not waited for: the number is still its own
            killed = True
        else:
            sleep(0.0005)
