"""What may not be loaded on the way to an answer: every module here costs more than it gives there."""

import socket
import subprocess
import sys

import pytest

#: Between 2 (select) and 210 (pyroute2) milliseconds each, with what they load themselves, where a bare
#: interpreter starts in 9.
NAMES = """
argparse asyncio bz2 concurrent.futures configparser csv ctypes dataclasses difflib doctest email fractions hashlib
html http importlib.metadata importlib.resources ipaddress json logging multiprocessing optparse pathlib pickle pprint
psutil pydoc pyroute2 random rich select selectors shutil signal socket sqlite3 ssl statistics string subprocess
tempfile tomllib traceback unittest urllib xml zipfile zoneinfo
"""
NEVER = NAMES.split()
#: What only text for people needs.
PEOPLE = ["_strptime", "calendar", "inuse.listing", "inuse.render.table", "inuse.render.text", "shlex"]
#: The version is known without loading anything: click takes 28, msgspec 28, typing 9.
ANYTHING = ["click", "enum", "inuse.api", "inuse.cli.app", "inuse.model", "msgspec", "re", "typing"]

SCRIPT = """
import sys
sys.path[:] = {path!r}
sys.argv[1:] = {arguments!r}
import os
os._exit = sys.exit  # the command ends without taking the interpreter apart
before = set(sys.modules)
try:
    {code}
finally:
    print(*sorted(set(sys.modules) - before), file=sys.stderr)
"""


def loaded(code, *arguments):
    """The modules that some code loads, and what it prints, in an interpreter that has loaded none."""
    script = SCRIPT.format(path=sys.path, arguments=list(arguments), code=code)
    # Without site: what .pth files of this environment load is not ours.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode in {0, 1}, done.stderr
    return set(done.stderr.splitlines()[-1].split()), done.stdout


def unwanted(modules, *lists):
    banned = {name for names in lists for name in names}
    return sorted(
        module for module in modules if any(module == name or module.startswith(f"{name}.") for name in banned)
    )


def asked(*arguments):
    return loaded("from inuse.cli import main; main()", *arguments)


@pytest.fixture
def port():
    """A port in use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


def test_on_the_way_to_json_of_a_held_port(port):
    modules, said = asked(f"127.0.0.1:{port}", "--json")
    assert '"verdict":"in_use"' in said
    assert "inuse.systems.linux.scan" in modules
    assert unwanted(modules, NEVER, PEOPLE) == []


def test_on_the_way_to_json_of_a_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    modules, said = asked(f"127.0.0.1:{port}", "--json")
    assert '"verdict":"free"' in said
    assert unwanted(modules, NEVER, PEOPLE) == []


def test_on_the_way_to_the_table():
    modules, said = asked("--color", "never")
    assert said.startswith("PROTO")
    # calendar and strptime turn a holder's start into local time.
    assert unwanted(modules, NEVER) == []


def test_on_the_way_to_the_version():
    modules, said = asked("--version")
    assert said.startswith("inuse ")
    assert unwanted(modules, NEVER, PEOPLE, ANYTHING) == []


def test_importing_the_package_loads_nothing_until_it_is_used():
    assert unwanted(loaded("import inuse; inuse.__version__")[0], NEVER, PEOPLE, ANYTHING) == []


def test_the_library_does_not_load_the_command_line():
    modules, _ = loaded("from inuse import diagnose; diagnose(0)")
    assert "inuse.systems.linux.system" in modules
    assert unwanted(modules, NEVER, PEOPLE, ["click", "inuse.cli", "inuse.render"]) == []
