"""Lists of ports, and what a reservation would write: pure."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse import port_lists, reservation_file, reservation_words, reserving
from inuse.port_lists import NONE, parse, show
from inuse.reserving import OwnFile, Reservations, Setting, State

PORTS = st.frozensets(st.integers(0, 65535), max_size=40)
CLOSE = st.frozensets(st.integers(8000, 8030), max_size=25)
NAMES = st.sampled_from(["", "openvpn", "ipsec", "l2tp"])
FILE = "/etc/sysctl.d/99-zz-inuse.conf"


# ------------------------------------------------------------------------------------------ lists


@given(PORTS | CLOSE)
def test_a_list_is_read_as_it_was_written(ports):
    assert parse(show(ports)) == ports


@given(CLOSE, CLOSE)
def test_ranges_are_in_order_and_apart(one, other):
    found = port_lists.ranges(one | other)
    assert {port for first, last in found for port in range(first, last + 1)} == one | other
    assert all(second[0] > first[1] + 1 for first, second in pairwise(found))


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("", ""),
        ("\n", ""),
        ("8080", "8080"),
        ("3,1,2", "1-3"),
        ("1-3,2-5", "1-5"),
        ("1,2,", "1-2"),
        ("0x1f90,010", "8,8080"),
        ("0-65535", "0-65535"),
    ],
)
def test_lists_that_the_kernel_takes(text, ports):
    assert show(parse(text)) == ports


@pytest.mark.parametrize(
    "text", [" ", ",", "1,,2", "1, 2", "5-3", "1-2-3", "65536", "-5", "08", "9" * 5000, "1\x00", "٣", "8080 # mine"]
)
def test_lists_that_the_kernel_refuses(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any will do
        parse(text)


# ------------------------------------------------------------------------------------------ the file


@given(st.dictionaries(NAMES, PORTS.filter(bool), max_size=4), PORTS, PORTS, PORTS)
def test_the_file_keeps_whose_the_ports_are(groups, copied, found, value):
    own = OwnFile(groups=groups, copied=copied, found=found, boot="b-1" if found else "", value=value)
    text = reservation_file.write(own, "/etc/sysctl.d/50-it's.conf:3")
    assert reservation_file.read(text, value) == own


@given(st.text())
def test_no_text_in_the_file_is_too_much(text):
    own = reservation_file.read(f"# inuse reserved 5\n{text}", None)
    assert 5 in own.ports


@pytest.mark.parametrize(("word", "fits"), [("ipsec", True), ("l2tp-2", True), ("", False), ("a\nb = 1", False)])
def test_what_ports_are_for_is_a_word_that_can_be_read_again(word, fits):
    assert reservation_file.is_purpose(word) == fits


def test_settings_of_something_else_stay_in_the_file():
    text = f"# a comment\nnet.ipv4.ip_forward = 1\n{reservation_file.KEY} = 5\n=\x1b\n"
    own = reservation_file.read(text, parse("5"))
    assert own.more == ("net.ipv4.ip_forward = 1",)
    start = state(parse("5"), own)
    one = then(start, reserving.reserve(start, parse("9")))
    assert one.text.endswith(f"net.ipv4.ip_forward = 1\n{reservation_file.KEY} = 5,9\n")
    left = then(one, reserving.unreserve(one, parse("9")))
    assert left.own == own


def test_a_file_name_with_a_newline_stays_in_its_comment():
    own = OwnFile(copied=frozenset({7}), value=frozenset({7}))
    text = reservation_file.write(own, "/etc/sysctl.d/5\nnet.ipv4.ip_forward = 1\n.conf:1")
    assert not any(line.startswith("net.ipv4.ip_forward") for line in text.splitlines())
    assert reservation_file.read(text, own.value) == own


# ------------------------------------------------------------------------------------------ changes


def state(now=NONE, own=None, before=(), after=(), **more):
    own = own or OwnFile()
    text = None if own.value is None else reservation_file.write(own, None)
    return State(now=now, path=FILE, text=text, own=own, before=before, after=after, boot="b-1", **more)


def then(before, change):
    """The state after a change was carried out."""
    text = change.text
    value = None if text is None else parse(text.splitlines()[-1].partition(" = ")[2])
    own = reservation_file.read(text or "", value)
    now = (before.now | change.add) - change.remove
    return msgspec.structs.replace(before, now=now, text=text, own=own)


@given(PORTS, PORTS, PORTS.filter(bool), PORTS, NAMES)
def test_reserving_adds_and_taking_back_removes_just_that(now, others, first, second, purpose):
    start = state(now, before=(Setting("/etc/sysctl.d/50-a.conf:1", others),))
    one = then(start, reserving.reserve(start, first))
    assert one.now == now | first
    assert one.at_boot == others | first
    assert one.own.by_hand == NONE
    two = then(one, reserving.reserve(one, second, purpose))
    assert two.now == now | first | second
    assert two.own.ports == first | second
    assert reserving.reserve(two, second, purpose) == reserving.Change(text=two.text)
    back = then(two, reserving.unreserve(two, first | second))
    assert back.now == (now | ((others & (first | second)) - now))
    assert back.text is None
    assert back.at_boot == others


@given(CLOSE, CLOSE, CLOSE)
def test_what_others_reserved_is_not_taken_back(now, others, asked):
    start = state(now, before=(Setting("/etc/sysctl.d/50-a.conf:1", others),))
    planned = reserving.unreserve(start, asked)
    foreign = asked & (now | others)
    if not foreign:
        assert planned == reserving.Change(text=None)
    else:
        assert NONE.union(*(one.ports for one in planned)) == foreign
        assert {one.where for one in planned if one.ports & others} <= {"/etc/sysctl.d/50-a.conf:1"}


def test_the_last_of_others_files_counts_and_one_that_the_kernel_refuses_does_not():
    before = (Setting("a:1", parse("1")), Setting("b:1", parse("2")), Setting("c:1", None))
    assert state(before=before).at_boot == {2}
    own = OwnFile(groups={"": parse("9")}, copied=parse("2"), value=parse("2,9"))
    assert state(own=own, before=before).at_boot == {2, 9}
    assert state(own=own, before=before, after=(Setting("d:1", parse("3")),)).at_boot == {3}


def test_what_somebody_wrote_into_the_file_stays_in_it():
    own = OwnFile(groups={"": parse("9")}, value=parse("9,77"))
    start = state(parse("9,77"), own)
    assert reserving.unreserve(start, parse("77"))[0].where == FILE
    left = then(start, reserving.unreserve(start, parse("9")))
    assert (left.now, left.at_boot) == ({77}, {77})


def test_a_port_with_two_purposes_is_kept_under_both():
    one = then(state(), reserving.reserve(state(), parse("1701"), "l2tp"))
    two = then(one, reserving.reserve(one, parse("500,1701"), "ipsec"))
    assert two.own.groups == {"l2tp": {1701}, "ipsec": {500, 1701}}
    assert then(two, reserving.unreserve(two, parse("1701"))).own.groups == {"ipsec": {500}}
    assert then(two, reserving.reserve(two, parse("500"))).own.groups == two.own.groups


@given(PORTS, PORTS, PORTS, PORTS)
def test_every_port_is_in_one_row(now, ours, copied, others):
    own = OwnFile(groups={"ipsec": ours}, copied=copied, value=ours | copied)
    seen = state(now, own, before=(Setting("a:1", others),))
    rows = reserving.entries(seen)
    listed = [port for row in rows for entry in row.ports for port in parse(entry)]
    assert len(listed) == len(set(listed))
    assert set(listed) == now | ours | others | seen.at_boot
    assert {port for row in rows if row.now for entry in row.ports for port in parse(entry)} == now
    assert all((row.by == "inuse") == bool(row.for_) for row in rows)


def test_what_is_odd_is_said():
    own = OwnFile(groups={"": parse("9")}, copied=parse("2"), value=parse("2,9"))
    before = (Setting("a:1", parse("1")), Setting("b:1", None), Setting("c:4", parse("3")))
    unread = (("/etc/sysctl.d/x.conf", "Permission denied"),)
    seen = state(parse("9"), own, before=before, after=(Setting("z:1", parse("4")),), unread=unread)
    said = "\n".join(reservation_words.limits(seen, at_boot=False))
    for part in (
        "would set '3', and it still has '2' of theirs; inuse reserve 9 brings it up to date",
        f"z:1 is read after {FILE}",
        "a:1 has no effect: c:4 is read later",
        "b:1 sets a list that the kernel refuses",
        "/etc/sysctl.d/x.conf can't be read: Permission denied",
        "not the network of process 1",
    ):
        assert part in said
    assert not list(reservation_words.limits(state(), at_boot=True))


def test_what_a_reservation_does_not_change_is_said():
    said = list(reservation_words.of_ports(parse("80,40000"), (32768, 60999), [("tcp", 80), ("udp", 40000)]))
    assert said[0].startswith("80 is not among the ports that the system assigns by itself (32768-60999)")
    assert said[1:] == [
        "TCP port 80 is in use now, and stays so: inuse 80/tcp says by whom",
        "UDP port 40000 is in use now, and stays so: inuse 40000/udp says by whom",
    ]
    assert not list(reservation_words.of_ports(parse("40000"), None, []))


# ------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("name", "ports"),
    [
        ("openvpn", "1194,7505"),
        ("wireguard", "51820"),
        ("ipsec", "500,4500"),
        ("l2tp", "1701"),
        ("tailscale", "41641"),
        ("zerotier", "9993"),
        ("sstpc", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_the_ports_of_vpn_software(name, ports):
    assert show(reserving.ports_for(name)) == ports


def test_every_name_that_is_offered_has_ports():
    assert reserving.names_for()[:5] == ("openvpn", "wireguard", "ipsec", "l2tp", "tailscale")
    assert all(map(reserving.ports_for, reserving.names_for()))


def test_documents_fit_their_types():
    document = Reservations(now=("1",), after_reboot=(), entries=tuple(reserving.entries(state(parse("1")))), limits=())
    data = msgspec.json.encode(document)
    assert msgspec.json.decode(data, type=Reservations) == document
    assert msgspec.json.decode(data)["entries"][0] == {
        "ports": ["1"],
        "by": "unknown",
        "for": [],
        "files": [],
        "now": True,
        "after_reboot": False,
    }
