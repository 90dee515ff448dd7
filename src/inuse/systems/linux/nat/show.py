"""A rule in the words of its own tool: what a person finds when looking for it.

Only words: what the rule does was told from the kernel already. The tools are run with a short time and in the
language C; where one is missing, hangs or says something odd, the rule goes without its text.
Source: nft(8), iptables(8).
"""

import os
import re
from collections.abc import Iterator
from time import monotonic
from typing import Final

from inuse.systems.linux import tool
from inuse.systems.linux.nat.rules import AF_INET6, FAMILIES, Rule
from inuse.systems.linux.read import foreign

SECONDS: Final = 0.5
_FOLDERS: Final = ("/usr/sbin/", "/sbin/", "/usr/bin/", "/usr/local/sbin/")
#: iptables-legacy would else create and take a lock to list its rules, or fail where somebody holds it.
_ENVIRONMENT: Final = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "XTABLES_LOCKFILE": "/dev/null"}
_MOST_CHARACTERS: Final = 300
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
    answer = tool.said(path, command, min(deadline, monotonic() + seconds), _ENVIRONMENT)
    return foreign(answer) if answer is not None else ""
