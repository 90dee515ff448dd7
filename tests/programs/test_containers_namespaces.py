"""Ports that are free here and listened on in another network namespace: real ones, with and without a name."""

import os
import time
from pathlib import Path

import pytest
from staging import diagnosis, finding, harmless, inuse, needs_users, private, private_mounts, script, situations

from inuse.demo import linux

OTHER = """
import ctypes
libc = ctypes.CDLL(None)
assert libc.unshare(0x40000000) == 0
def listen(kind, family, port):
    made = socket.socket(family, kind); made.bind(("", port))
    if kind == socket.SOCK_STREAM: made.listen()
    return made
"""
TCP, UDP = "socket.SOCK_STREAM", "socket.SOCK_DGRAM"


def serve_elsewhere(stage, *sockets, more=""):
    """A program in a network namespace of its own that has these sockets."""
    made = ", ".join(f"listen({kind}, socket.{family}, {port})" for kind, family, port in sockets)
    program = script(stage, f"{OTHER}\nkept = [{made}]\n{more}\nsay(ready=True); stay()")
    program.hear()
    return program


def elsewhere(said, pid):
    """What is said of one process; other tests may have namespaces at the same time."""
    found = [one for one in said["findings"] if one["situation"] == "container"]
    return [one for one in found[0]["details"]["elsewhere"] if one["pid"] == pid] if found else []


@private
@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
def test_a_server_in_another_namespace(stage, family):
    program = serve_elsewhere(stage, (TCP, family, 7777))
    said = diagnosis("7777")
    assert said["verdict"] == "free"
    assert said["situation"] == "free"
    (one,) = elsewhere(said, program.pid)
    assert one["container"] is None
    assert one["listens"] == ["0.0.0.0:7777" if family == "AF_INET" else "[::]:7777"]
    assert one["name"].startswith("python")
    text = finding(said, "container")["explanation"]
    assert "free here" in text
    assert "container" not in text.replace("container None", "")
    assert elsewhere(diagnosis("7778"), program.pid) == []
    assert elsewhere(diagnosis("7777/udp"), program.pid) == []


@private
def test_udp_in_another_namespace(stage):
    program = serve_elsewhere(stage, (UDP, "AF_INET", 7777), (TCP, "AF_INET", 7778))
    (one,) = elsewhere(diagnosis("7777/udp"), program.pid)
    assert one["listens"] == ["0.0.0.0:7777"]
    assert elsewhere(diagnosis("7777"), program.pid) == []
    assert elsewhere(diagnosis("7778/udp"), program.pid) == []


@private
def test_a_named_namespace(stage):
    """Made as `ip netns add` does: a file below /run/netns on which the namespace is mounted."""
    program = serve_elsewhere(stage, (TCP, "AF_INET", 7777))
    private_mounts()
    linux.mount("tmpfs", "/run", "tmpfs")
    os.mkdir("/run/netns")
    Path("/run/netns/blue").touch()
    linux.mount(f"/proc/{program.pid}/ns/net", "/run/netns/blue", None, 4096)
    said = diagnosis("7777")
    (one,) = elsewhere(said, program.pid)
    assert one["namespace"] == "blue"
    assert "the network namespace blue" in finding(said, "container")["explanation"]


@private
def test_what_only_uses_the_port_there_is_not_told(stage):
    """A connection's own end, and a UDP socket that is connected, wait for nobody."""
    more = """
from pathlib import Path
import fcntl, struct
s = socket.socket(); fcntl.ioctl(s, 0x8914, struct.pack("16sH22x", b"lo", 0x1 | 0x40))
server = listen(socket.SOCK_STREAM, socket.AF_INET, 7000)
client = socket.socket(); client.bind(("127.0.0.1", 7777)); client.connect(("127.0.0.1", 7000))
far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); far.bind(("127.0.0.1", 7777)); far.connect(("127.0.0.1", 9))
"""
    program = serve_elsewhere(stage, more=more)
    assert elsewhere(diagnosis("7777"), program.pid) == []
    assert elsewhere(diagnosis("7777/udp"), program.pid) == []
    assert len(elsewhere(diagnosis("7000"), program.pid)) == 1


@private
def test_a_listener_among_many_connections(stage):
    more = """
import fcntl, struct
s = socket.socket(); fcntl.ioctl(s, 0x8914, struct.pack("16sH22x", b"lo", 0x1 | 0x40))
server = socket.socket(); server.bind(("127.0.0.1", 7000)); server.listen(500)
clients = [socket.create_connection(("127.0.0.1", 7000)) for _ in range(400)]
last = listen(socket.SOCK_STREAM, socket.AF_INET, 7777)
"""
    program = serve_elsewhere(stage, more=more)
    assert len(elsewhere(diagnosis("7777"), program.pid)) == 1


@private
def test_an_ordinary_user(stage):
    """Everybody may read the tables; whose socket it is takes a right."""
    needs_users()
    program = serve_elsewhere(stage, (TCP, "AF_INET", 7777))
    said = diagnosis("7777", enter=linux.become_nobody)
    assert said["verdict"] == "free"
    listed = finding(said, "container")["details"]["elsewhere"]
    assert any(one["listens"] == ["0.0.0.0:7777"] and one["pid"] is None for one in listed)
    assert elsewhere(said, program.pid) == []


@private
def test_what_a_person_reads(stage):
    serve_elsewhere(stage, (TCP, "AF_INET", 7777))
    run = inuse("7777")
    harmless(run.out)
    assert run.text.startswith("TCP port 7777 is free\n")
    assert run.status == 1
    assert max(map(len, run.text.splitlines())) <= 80


@private
def test_a_name_that_would_do_harm(stage):
    more = "open('/proc/self/comm', 'w').write('a\\x1b[2J\\nb')"
    program = serve_elsewhere(stage, (TCP, "AF_INET", 7777), more=more)
    said = diagnosis("7777")
    assert len(elsewhere(said, program.pid)) == 1
    harmless(inuse("7777").out)


@private
def test_from_a_namespace_the_machines_own_is_named(stage):
    """The namespace of pid 1 is the machine's; asked from another one, that is said."""
    with open("/proc/1/net/tcp") as file:
        listening = [line.split() for line in file.readlines()[1:]]
    ports = [int(one[1].rpartition(":")[2], 16) for one in listening if one[3] == "0A"]
    if not ports:
        pytest.skip("nothing listens on this machine")
    said = diagnosis(str(ports[0]))
    text = finding(said, "container")["explanation"]
    assert "the machine's own network namespace" in text


@private
def test_many_namespaces_cost_little(stage):
    """All of them are looked at within a time limit, and each only once for a whole range."""
    for _ in range(12):
        serve_elsewhere(stage, (TCP, "AF_INET", 7777))
    inuse("7700", "--json")
    begin = time.monotonic()
    run = inuse("7001-7999", "--json")
    assert time.monotonic() - begin < 4
    told = [one["target"]["port"] for one in run.json if "container" in situations(one)]
    assert 7777 in told
