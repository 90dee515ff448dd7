"""A docker-proxy with an engine that lies, stalls or talks nonsense: never a hang, a crash or a false word."""

import json
import os
import time

import pytest
from staging import answer, finding, harmless, held, inuse, private, script

from inuse.demo.container import PATH, Engine
from inuse.demo.stage import until

ID = "ab" * 32
ROW = {
    "Id": ID,
    "Names": ["/web"],
    "Image": "tiny:1",
    "Ports": [{"PublicPort": 8080, "PrivatePort": 80, "Type": "tcp"}],
}

SERVER = """
import json
mode, path, uid, text = sys.argv[1:]
def answer(client):
    asked = client.recv(65536)
    head = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\n"
    body = text.encode("latin-1") if b"/containers/json" in asked else b"null"
    if mode == "plain": client.sendall(head + b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
    elif mode == "chunked":
        parts = [body[k:k + 7] for k in range(0, len(body), 7)]
        chunks = b"".join(b"%x;x=y\\r\\n%s\\r\\n" % (len(part), part) for part in parts)
        client.sendall(head + b"Transfer-Encoding: chunked\\r\\n\\r\\n" + chunks + b"0\\r\\n\\r\\n")
    elif mode == "closing": client.sendall(head + b"\\r\\n" + body)
    elif mode == "hang": time.sleep(30)
    elif mode == "drip":
        client.sendall(head + b"Content-Length: 100000\\r\\n\\r\\n")
        while True: client.sendall(b" "); time.sleep(0.05)
    elif mode == "endless":
        client.sendall(head + b"\\r\\n[")
        while True: client.sendall(b" " * 65536)
    elif mode == "head":
        while True: client.sendall(b"X: " + b"y" * 65536 + b"\\r\\n")
    elif mode == "raw": client.sendall(body)
    elif mode == "error": client.sendall(b"HTTP/1.1 500 Internal\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
    elif mode == "short": client.sendall(head + b"Content-Length: 100000\\r\\n\\r\\n" + body)
import time
os.umask(0)
if uid != "0": os.setresuid(int(uid), int(uid), int(uid))
server = socket.socket(socket.AF_UNIX)
server.bind(path); server.listen(); say(ready=True)
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
while True:
    client, _ = server.accept()
    try: answer(client)
    except OSError: pass
    client.close()
"""


def staged(stage, mode, text="", *, uid=0):
    """A docker-proxy on 8080, and a false engine; returns the environment that points to it."""
    Engine(stage, "Docker", "docker-proxy")
    words = "-proto tcp -host-ip 127.0.0.1 -host-port 8080 -container-ip 172.17.0.2 -container-port 80"
    stage.program("/bin/sh", "-c", f"PATH={PATH}; exec docker-proxy {words} 3>/dev/null")
    until(lambda: ":1F90 " in open("/proc/thread-self/net/tcp").read(), "docker-proxy's socket")  # noqa: SIM115
    os.mkdir("/run/false")
    os.chmod("/run/false", 0o777)
    program = script(stage, "import sys, signal\n" + SERVER, mode, "/run/false/docker.sock", uid, text)
    program.hear()
    return {"DOCKER_HOST": "unix:///run/false/docker.sock"}


def ask(environment):
    begin = time.monotonic()
    run = inuse("8080", "--json", environment=environment)
    assert time.monotonic() - begin < 3
    assert run.err == b""
    harmless(run.out)
    harmless(inuse("8080", environment=environment).out)
    assert answer(run.json) == held("container")
    assert not any("kill" in (one["command"] or []) for one in finding(run.json, "container")["remedies"])
    return run.json


@private
@pytest.mark.parametrize("mode", ["plain", "chunked", "closing"])
def test_an_answer_however_it_is_framed(stage, mode):
    said = ask(staged(stage, mode, json.dumps([ROW])))
    assert said["holders"][0]["container"]["name"] == "web"
    assert not any("can't be told" in line for line in said["limits"])


@private
@pytest.mark.parametrize(
    ("mode", "text", "told"),
    [
        ("hang", "", "no answer within 1 s"),
        ("drip", "", "no answer within 1 s"),
        ("endless", "", "too long"),
        ("head", "", "no HTTP"),
        ("raw", "SSH-2.0-OpenSSH_9.2\r\n", "no HTTP"),
        ("raw", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no HTTP"),
        ("raw", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n[]", "cut short"),
        ("raw", "", "no HTTP"),
        ("error", "", "status 500"),
        ("short", "[]", "cut short"),
        ("plain", "not json", "makes no sense"),
        ("plain", "{}", "makes no sense"),
        ("plain", '[{"Id": 7}]', "makes no sense"),
        ("plain", '[{"Id": "x", "y": ' + "[" * 50000, "makes no sense"),
        ("plain", "\xff\xfe", "makes no sense"),
    ],
)
def test_an_engine_that_makes_no_sense(stage, mode, text, told):
    said = ask(staged(stage, mode, text))
    assert said["holders"][0]["container"]["name"] is None
    assert any(told in line for line in said["limits"]), said["limits"]
    assert "172.17.0.2:80" in said["summary"]


@private
def test_an_engine_of_somebody_else_is_not_believed(stage):
    said = ask(staged(stage, "plain", json.dumps([ROW]), uid=12345))
    assert said["holders"][0]["container"]["name"] is None
    assert any("belongs to uid 12345" in line for line in said["limits"])


@private
def test_no_socket_at_all(stage):
    environment = staged(stage, "plain", "[]")
    os.rename("/run/false/docker.sock", "/run/false/other.sock")
    os.mkfifo("/run/false/docker.sock")
    said = ask(environment)
    assert any("it is no socket" in line for line in said["limits"])


HOSTILE = [
    {"Names": ["/--help"], "Image": "\x1b[2J\n"},
    {"Names": ["/a b; rm -rf $HOME"], "Image": "x" * 100000},
    {"Names": ["/web\nTCP port 8080 is free"]},
    {"Names": []},
    {"Names": None, "Labels": None, "NetworkSettings": None, "HostConfig": None},
    {"Labels": {"com.docker.compose.project": "--file=/etc/passwd", "com.docker.compose.service": "web"}},
    {"Labels": {"com.docker.compose.project": "a\x1b[1mb", "com.docker.compose.service": "\u202eweb"}},
    {"Id": "--all", "Names": ["/../../x"]},
]


@private
@pytest.mark.parametrize("more", HOSTILE, ids=lambda more: str(more)[:24])
def test_names_that_would_do_harm(stage, more):
    said = ask(staged(stage, "plain", json.dumps([ROW | more])))
    for one in finding(said, "container")["remedies"]:
        for word in (one["command"] or [])[3:]:
            assert word in {"/run/false", "ps", "--filter", "publish=8080/tcp", "stop", "web", ID[:12]}, one["command"]


@private
@pytest.mark.parametrize(
    "ports",
    [
        [{"PublicPort": 8080, "Type": "udp"}],
        [{"PublicPort": 99999999, "Type": "tcp"}],
        [{"PublicPort": -1}],
        [{"PrivatePort": 8080}],
        None,
    ],
)
def test_another_port_is_not_taken_for_ours(stage, ports):
    said = ask(staged(stage, "plain", json.dumps([ROW | {"Ports": ports}])))
    assert said["holders"][0]["container"]["name"] is None


@private
def test_two_containers_that_claim_the_port(stage):
    """Which of them it is can't be told, so none is named."""
    other = ROW | {"Id": "cd" * 32, "Names": ["/other"]}
    environment = staged(stage, "plain", json.dumps([ROW, other]))
    assert ask(environment)["holders"][0]["container"]["name"] is None


@private
def test_the_address_decides_between_two(stage):
    networks = {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}}
    other = ROW | {"Id": "cd" * 32, "Names": ["/other"], "NetworkSettings": networks}
    environment = staged(stage, "plain", json.dumps([ROW, other]))
    assert ask(environment)["holders"][0]["container"]["name"] == "other"
