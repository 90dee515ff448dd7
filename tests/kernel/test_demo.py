"""The verb ``inuse demo``: what it prints, its exit status, and that nothing of it is left."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from staging import PATH, check, harmless, in_child, inuse, needs_users

from inuse.demo import linux
from inuse.demo.registry import DEMOS, FIRST
from inuse.situations import ORDER


def ours():
    """The processes of demos that were started from here, by what their command lines say."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if MARK in file.read():
                    found.append(int(name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


MARK = b"INUSE_DEMO_TEST=%d" % os.getpid()


def start(*arguments):
    key, _, value = MARK.decode().partition("=")
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "inuse", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": PATH, key: value},
    )


def nothing_left():
    deadline = time.monotonic() + 10
    while ours() and time.monotonic() < deadline:
        time.sleep(0.05)
    return ours() == []


def can_stage(name, err):
    if "can't be staged here" in err:
        pytest.skip(err.strip())
    return name


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.name)
def test_each_gives_its_situation(demo):
    process = start(demo.name, "--json")
    out, err = process.communicate(timeout=60)
    can_stage(demo.name, err.decode())
    assert err == b""
    assert process.returncode == 0
    said = json.loads(out)
    check(said)
    harmless(out)
    assert said["situation"] == demo.situation
    assert nothing_left()


def test_the_first_one_tells_the_calls_the_answer_and_how_to_go_on():
    process = start()
    out, err = process.communicate(timeout=60)
    can_stage(FIRST, err.decode())
    text = out.decode()
    assert process.returncode == 0
    assert "bind()" in text.partition("$ inuse ")[0]
    assert "$ inuse 8080\n" in text
    assert "TCP port 8080 is in use" in text
    assert text.rstrip().endswith("inuse demo --list")
    harmless(out)


def test_the_list_names_every_demo_and_every_situation():
    run = inuse("demo", "--list")
    assert run.status == 0
    assert run.err == b""
    names = [line.split()[0] for line in run.text.splitlines() if not line.startswith(" ")]
    assert names == [demo.name for demo in DEMOS]
    assert set(ORDER) <= {demo.situation for demo in DEMOS}
    assert max(map(len, run.text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("word", "said"), [("timewait", "time-wait"), ("nonsense", "inuse demo --list"), ("", "inuse demo --list")]
)
def test_an_unknown_name(word, said):
    run = inuse("demo", word)
    assert run.status == 2
    assert run.out == b""
    assert said in run.err.decode()
    assert len(run.err.splitlines()) == 1


def test_the_list_stands_alone():
    assert inuse("demo", "--list", "time-wait").status == 2
    assert inuse("demo", "--list", "--json").status == 2


# -- However it ends, nothing is left -------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("name", ["inherited", "suspended-process"])
def test_ended_in_the_middle(number, name):
    process = start(name)
    deadline = time.monotonic() + 30
    while len(ours()) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    if number == signal.SIGINT and process.returncode not in {0, 1}:
        assert process.returncode == 130
        assert b"Traceback" not in err
    assert nothing_left(), out


def test_no_group_of_processes_is_left():
    before = set(_groups())
    process = start("service", "--json")
    process.communicate(timeout=60)
    assert not [group for group in set(_groups()) - before if str(process.pid) in group]


def _groups():
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        yield from (f"{top}/{folder}" for folder in folders if folder.startswith("inuse-demo-"))


# -- Where not everything can be had --------------------------------------------------------------


def test_without_a_right_to_namespaces():
    """A user who can't have namespaces still sees what takes none, and is told why not the others."""
    in_child(_without_namespaces)


def _without_namespaces():
    needs_users()
    with open("/proc/sys/user/max_net_namespaces") as file:
        before = file.read()
    if int(before) < 1:
        pytest.skip("there are no network namespaces at all")
    linux.unshare(linux.CLONE_NEWUSER)
    with open("/proc/self/setgroups", "w") as file:
        file.write("deny")
    with open("/proc/self/uid_map", "w") as file:
        file.write("0 0 1")
    with open("/proc/self/gid_map", "w") as file:
        file.write("0 0 1")
    with open("/proc/sys/user/max_net_namespaces", "w") as file:
        file.write("0")  # of this user namespace alone
    run = inuse("demo", "bound-not-listening", "--json")
    assert run.status == 0, run.err
    assert run.json["situation"] == "bound-not-listening"
    assert "own network" in inuse("demo").text
    run = inuse("demo", "ephemeral-exhausted")
    assert run.status == 1
    assert run.out == b""
    assert "namespace" in run.err.decode()
