"""From what was recognised to what is asked of this machine, and how it is told."""

import socket

import msgspec
import pytest

from inuse.api import this_machine
from inuse.explaining import Explained, Explainer, Explanation, document, options_for, ports_in, targets_of
from inuse.messages.model import Guess, Recognised
from inuse.model import Options, Target
from inuse.render.recognised import head, told


def recognised(kind="addr_in_use", **fields):
    defaults = {"proto": None, "address": None, "port": None, "device": None, "app": None, "lang": "en", "line": 1}
    return Recognised(kind=kind, **(defaults | {"text": "said", "form": "test"} | fields))


def asked(one):
    return [(t.kind, t.proto, t.address, t.port, t.device) for t in targets_of(one)]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (recognised(proto="tcp", port=80, address="0.0.0.0"), [("port", "tcp", None, 80, None)]),
        (recognised(proto="tcp", port=80, address="::"), [("port", "tcp", None, 80, None)]),
        (recognised(proto="udp", port=53, address="127.0.0.53"), [("port", "udp", "127.0.0.53", 53, None)]),
        (recognised(proto="tcp", port=1, address="::1"), [("port", "tcp", "::1", 1, None)]),
        (recognised(port=80), [("port", "tcp", None, 80, None), ("port", "udp", None, 80, None)]),
        (recognised(proto="tcp", port=80, address="xx.xx.xx.106"), [("port", "tcp", None, 80, None)]),
        (recognised(proto="tcp", port=80, address="no such host"), [("port", "tcp", None, 80, None)]),
        (recognised(address="/tmp/server.sock"), []),
        (recognised(), []),
        (recognised("serial_busy", device="/dev/ttyUSB0"), [("device", None, None, None, "/dev/ttyUSB0")]),
        (recognised("serial_denied", device=r"\\.\COM10"), [("device", None, None, None, "COM10")]),
        (recognised("modem_in_use", device="ttySL0"), [("device", None, None, None, "/dev/ttySL0")]),
        (recognised("serial_locked"), []),
        (recognised("tun_busy", device="tun0"), []),
        (recognised("vpn_port_open"), []),
        (
            recognised("ephemeral_exhausted", proto="tcp", port=443, address="192.0.2.1"),
            [("port", "tcp", None, 0, None)],
        ),
        (
            recognised("port_allocated_docker", port=80, address="0.0.0.0", proto="tcp"),
            [("port", "tcp", None, 80, None)],
        ),
    ],
)
def test_what_a_message_is_about(one, expected):
    assert asked(one) == expected


def test_what_the_program_takes_by_default_is_asked_about_but_stays_a_guess():
    one = recognised(guess=Guess(proto="udp", port=1194, why="OpenVPN takes 1194/udp unless told otherwise."))
    assert asked(one) == [("port", "udp", None, 1194, None)]
    assert one.port is None


def test_an_ordinary_user_was_refused_the_low_port_even_where_root_asks():
    one = recognised("permission_privileged", proto="tcp", port=80)
    assert options_for(one, Options(), asker_uid=0).uid == 65534
    assert options_for(one, Options(), asker_uid=1000).uid is None
    assert options_for(one, Options(uid=5), asker_uid=0).uid == 5


def test_the_program_that_printed_it_is_what_wants_the_port_but_no_interpreter():
    assert options_for(recognised(programs=("nginx",)), Options()).command == ("nginx",)
    assert options_for(recognised(programs=("python3",)), Options()).command == ()
    assert options_for(recognised(programs=("nginx",)), Options(command=("mine",))).command == ("mine",)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("python3", "-m", "http.server", "8123"), (8123,)),
        (("serve", "--port=3000", "--workers", "4"), (3000,)),
        (("srv.py", "--exitafter", "1", "--workers", "1"), ()),
        (("srv.py", "--retries", "3000", "80"), (80,)),
        (("srv.py", "--web", "3000"), (3000,)),
        (("serve", "-l", "80"), (80,)),
        (("nc", "-lp8080"), ()),
        (("nc", "-p8080"), (8080,)),
        (("app", "0.0.0.0:5000", "http://localhost:9000/x"), (5000, 9000)),
        (("8080", "99999", "0", "v1.2", "x8080y"), ()),
    ],
)
def test_a_port_may_stand_in_the_command(command, expected):
    assert ports_in(command) == expected


def test_the_command_tells_the_port_that_the_message_leaves_out(taken):
    system, names = this_machine()
    options = Options(command=("server", "--workers", "4", "--port", str(taken)))
    (one,) = Explainer(system, options, names=names).explain([recognised(proto="tcp")])
    assert [d.target.port for d in one.diagnoses] == [taken]


def test_a_port_from_the_command_is_not_called_the_programs_usual_one(taken):
    system, names = this_machine()
    options = Options(command=("server", str(taken)))
    guess = Guess(proto="tcp", port=80, why="the usual port")
    for one in (recognised(proto="tcp", guess=guess), recognised(proto="tcp")):
        text = " ".join(told(*Explainer(system, options, names=names).explain([one])).split())
        assert "what stands in the command was looked at" in text
        assert "usual" not in text


def test_of_source_ports_it_is_said_that_there_are_some():
    (one,) = explain(recognised("ephemeral_exhausted", proto="tcp", address="192.0.2.1", port=443))
    text = " ".join(told(one).split())
    assert "There are source ports at this moment" in text
    assert "whoever had it" not in text


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def explain(*found):
    system, names = this_machine()
    return Explainer(system, Options(), names=names).explain(found)


def test_the_port_is_diagnosed_here_and_now(taken):
    (one,) = explain(recognised(proto="tcp", port=taken, address="127.0.0.1"))
    assert [d.verdict for d in one.diagnoses] == ["in_use"]
    assert one.diagnoses[0].target.port == taken


def test_of_an_unknown_protocol_what_is_held_is_told(taken):
    (one,) = explain(recognised(port=taken))
    assert [(d.target.proto, d.verdict) for d in one.diagnoses] == [("tcp", "in_use")]


def test_the_same_question_is_asked_once_and_stands_once_in_the_document(taken):
    first = recognised(proto="tcp", port=taken)
    again = recognised("port_allocated_docker", proto="tcp", port=taken)
    both = explain(first, again)
    assert both[0].diagnoses[0] is both[1].diagnoses[0]
    whole = document(both)
    assert (len(whole.recognised), len(whole.diagnoses)) == (2, 1)
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Explanation) == whole
    text = told(both[1], before=both[0].diagnoses)
    assert "(told above)" in " ".join(text.split())
    assert "who " not in text


def test_what_can_be_had_by_now_is_said_so():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (one,) = explain(recognised(proto="tcp", port=port))
    assert "at this moment" in " ".join(told(one).split())


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (
            recognised(proto="tcp", port=80, address="0.0.0.0", app="nginx", line=3),
            "line 3 · nginx · TCP port 80 on 0.0.0.0: already in use",
        ),
        (recognised(port=80), "port 80: already in use"),
        (recognised(address="/tmp/a.sock"), "the Unix socket /tmp/a.sock: already in use"),
        (recognised(), "a port: already in use"),
        (recognised("serial_denied", device="COM3"), "COM3: access denied"),
        (recognised("serial_denied"), "a serial port: access denied"),
        (
            recognised("ephemeral_exhausted", port=443, address="192.0.2.1"),
            "192.0.2.1:443: no source port was left to connect to it",
        ),
    ],
)
def test_one_line_names_it(one, expected):
    assert head(one) == expected


def test_nothing_hostile_reaches_the_screen():
    one = recognised(text="\x1b]0;evil\x07 in use\r\nmore", app="e\x1bvil", device="/dev/\x1b[2J", kind="serial_busy")
    text = told(Explained(one))
    assert "\x1b" not in text
    assert "\x07" not in text


def test_targets_are_targets():
    assert all(isinstance(target, Target) for target in targets_of(recognised(port=1)))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("sh", "-c", "cd /srv; exec python3 server.py 8100"), (8100,)),
        (("perl", "-e", "IO::Socket::INET->new(Listen=>1, LocalPort=>8100) or die"), (1, 8100)),
        (("python3", "-c", "s.bind(('127.0.0.1', 8000))"), (8000,)),
        (("sh", "-c", " ".join(map(str, range(100, 200)))), tuple(range(100, 108))),
    ],
    ids=["shell", "arrow", "quotes", "many"],
)
def test_a_port_may_stand_in_a_script_in_the_command(command, expected):
    assert ports_in(command) == expected


def test_of_an_address_that_the_message_leaves_out_nothing_is_said_but_what_the_command_tells():
    refused = recognised("addr_not_available", proto="tcp")
    serving = ("python3", "-m", "http.server", "-b", "192.0.2.9", "8200")
    assert [(t.address, t.port) for t in targets_of(refused, command=serving)] == [("192.0.2.9", 8200)]
    other = ("server", "--listen=[2001:db8::1]:8200")
    assert [(t.address, t.port) for t in targets_of(refused, command=other)] == [("2001:db8::1", 8200)]
    assert targets_of(refused, command=("server", "8200")) == ()
    assert "inuse ADDRESS:PORT" in told(Explained(refused))
