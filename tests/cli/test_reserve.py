"""``inuse reserve``, ``unreserve`` and ``reservations``: what is typed and what is printed; nothing is written here."""

import json

import pytest

from inuse.cli import reservation_change
from inuse.cli.app import run
from inuse.cli.reservation_change import _purposes
from inuse.reserving import Reserving, Written


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["reserve"], "a port is wanted, such as 8080, or --for NAME"),
        (["reserve", "0"], "port 0 stands for any port"),
        (["reserve", "65536"], "port 65536 is above 65535"),
        (["reserve", "9-1"], "the range runs backwards"),
        (["reserve", "/dev/ttyUSB0"], "'/dev/ttyUSB0' is no port"),
        (["reserve", "127.0.0.1:80"], "names an address"),
        (["reserve", "8080", "\x1b[2J"], "is not a target"),
        (
            ["reserve", "--for", "nonsense"],
            "which ports 'nonsense' needs is not known; known are those of openvpn, wireguard",
        ),
        (["reserve", "--for", "sstpc"], "which ports 'sstpc' needs is not known"),
        (["unreserve"], "the ports to take back are wanted"),
        (["unreserve", "--for", "ipsec", "--all"], "either the ports to take back, or --all; not both"),
        (["unreserve", "--for", "nonsense"], "which ports 'nonsense' needs is not known"),
        (["unreserve", "--for", "ipsec", "--for", "openvpn"], "--for takes one name at a time"),
        (["unreserve", "8080", "--all"], "either the ports to take back, or --all; not both"),
        (["reserve", "8080,"], "an empty target"),
        (["reserve", "--for", "ipsec", "--for", "openvpn"], "--for takes one name at a time"),
        (["reserve", "--for", "nonsense", "--lang", "de"], "„nonsense“"),
        (["reservations", "8080"], "8080"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(capsys, words, said):
    assert run(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("inuse: ")
    assert said in err
    assert "\x1b" not in err


def test_protocols_and_names_are_ports_as_well(capsys):
    assert run(["reserve", "500/udp", "4500", "500/tcp", "wireguard", "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["done"], said["ports"]) == (None, ["500", "4500", "51820"])
    assert said["kernel"]["path"] == "/proc/sys/net/ipv4/ip_local_reserved_ports"
    assert said["file"]["after"].endswith("\n")


def test_a_list_is_taken_as_it_is_printed_and_names_in_any_case(capsys):
    assert run(["reserve", "500,9000-9010", "--for", "WireGuard", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ports"] == ["500", "9000-9010", "51820"]


def test_what_is_reserved_can_be_listed_by_anybody(capsys):
    assert run(["reservations", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["schema", "now", "after_reboot", "entries", "limits"]
    assert run(["reservations"]) == 0


@pytest.mark.parametrize("verb", ["reserve", "unreserve", "reservations"])
def test_the_help_has_no_line_that_is_too_wide(capsys, verb):
    assert run([verb, "--help"]) == 0
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())


def test_names_are_completed():
    assert _purposes(None, None, "ta") == ["tailscale"]
    assert _purposes(None, None, "")[:2] == ["openvpn", "wireguard"]


def test_an_empty_list_is_shown_as_one(capsys):
    done = Reserving(done=None, ports=("1",), kernel=Written(path="/proc/x", before="1", after=""))
    assert reservation_change.tell(done, said="", as_json=False) == 0
    assert capsys.readouterr().out == "would write to /proc/x:\n  (an empty list)\n"


def test_hostile_names_of_files_are_harmless(capsys):
    file = Written(path="/etc/x\x1b[2J", before=None, after="a\x1b[2J\nb")
    notes = ("it is \u202e odd",)
    done = Reserving(done=None, ports=("1",), file=file, notes=notes)
    assert reservation_change.tell(done, said="", as_json=False) == 0
    assert reservation_change.tell(Reserving(done=False, why="no\x1b[2J"), said="", as_json=False) == 1
    assert reservation_change.tell(done, said="", as_json=True) == 0
    assert reservation_change.tell(Reserving(done=False, why="no"), said="", as_json=True) == 1
    out, err = capsys.readouterr()
    assert not {"\x1b", "\u202e"} & {*out, *err}
    assert out.startswith("would write to /etc/x\\x1b[2J:\n  a\\x1b[2J\n  b\nnote: it is \\u202e odd\n{")
