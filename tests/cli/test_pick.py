"""``inuse pick``: what is typed and what is printed."""

import json
import socket

import pytest

from inuse.cli.app import run
from inuse.render.json import render
from inuse.systems.linux import free_ports


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x"], "inuse: 'x' is no range of ports, such as 9000-9100"),
        (["9-1"], "inuse: '9-1': the range runs backwards; did you mean 1-9?"),
        (["x", "--lang", "de"], "inuse: „x“ ist kein Bereich"),
        (["9000-"], "'9000-' is no range of ports"),
        (["0-9"], "'0-9' is no range of ports"),
        (["1-65536"], "'1-65536' is no range of ports"),
        (["-1"], "-1"),
        (["٣-٤"], "is no range of ports"),
        (["9000-9100\x1b[2J"], "is no range of ports"),
        (["9000", "9001"], "9001"),
        (["--count", "0"], "0 is not in the range"),
        (["--hold", "0"], "0.0 is not in the range"),
        (["--hold", "nan"], "--hold: a number of seconds is wanted"),
        (["--hold", "inf"], "inf is not in the range"),
        (["--hold", "1e9"], "is not in the range"),
        (["--stable", ""], "--stable: a name is wanted"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(capsys, words, said):
    assert run(["pick", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("inuse: ")
    assert said in err
    assert "\x1b" not in err


def test_ports_are_printed_one_a_line(capsys):
    assert run(["pick", "--count", "3"]) == 0
    ports = [int(line) for line in capsys.readouterr().out.splitlines()]
    assert len(set(ports)) == 3
    assert all(1024 <= port <= 65535 for port in ports)


def test_ports_that_are_passed_over_are_named_by_reason(capsys):
    assert run(["pick", "3000-3001", "--count", "2"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "inuse: not 2 ports from 3000 to 3001 are to be had\n  3000-3001: used by software that many people run\n"
    )
    assert run(["pick", "1000-1023", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["ports"], said["skipped"]) == ([], {"low": ["1000-1023"]})
    assert said["why"] == "no port from 1000 to 1023 is to be had"


def test_german(capsys):
    assert run(["pick", "80", "--lang", "de"]) == 1
    assert "Port 80" in capsys.readouterr().err


def test_json_has_what_is_needed_to_end_a_hold(capsys):
    assert run(["pick", "--json", "--udp"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert list(said) == ["schema", "proto", "ports", "hold", "usual", "why", "skipped"]
    assert (said["proto"], said["hold"], len(said["ports"])) == ("udp", None, 1)


def test_the_help_has_no_line_that_is_too_wide(capsys):
    assert run(["pick", "--help"]) == 0
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """A Unix socket that answers as a container engine with one container does."""
    place = str(tmp_path / "docker.sock")
    ports = [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 20321, "Type": "tcp"}]
    body = render([{"Id": "c" * 64, "Names": ["/web"], "Image": "nginx", "State": "running", "Ports": ports}])
    server = socket.socket(socket.AF_UNIX)
    server.bind(place)
    server.listen()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")

    def answer():
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    yield answer
    server.close()


def test_what_a_container_publishes_is_passed_over(engine):
    from threading import Thread

    answering = Thread(target=engine, daemon=True)
    answering.start()
    rules = free_ports.read_rules()
    answering.join(10)
    assert rules.published == {20321}
