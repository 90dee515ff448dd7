"""Which ports are good to have: pure."""

import string
from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inuse.picking import COMMON, HIGHEST, LOWEST, NODE_PORTS, Rules, Wanted, near, order, registered, walk, why_not
from inuse.services import WELL_KNOWN


@given(st.integers(1, 400), st.integers(0, 300), st.binary(max_size=16))
@example(80, 0, b"")
def test_a_walk_meets_each_port_once(first, length, seed):
    assert sorted(walk(first, first + length, seed)) == list(range(first, first + length + 1))


def test_the_whole_range_is_walked():
    assert len(set(walk(LOWEST, HIGHEST, b"\xff" * 16))) == HIGHEST - LOWEST + 1


@given(st.text(min_size=1), st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_a_name_decides_the_order_and_nothing_else_does(name, one, other):
    wanted = Wanted(stable=name)
    assert list(islice(order(wanted, one), 50)) == list(islice(order(wanted, other), 50))


def test_a_name_means_the_same_ports_in_the_next_release():
    assert list(islice(order(Wanted(stable="api"), b""), 3)) == [18020, 27661, 37302]
    assert next(order(Wanted(stable="api", ports=(9000, 9100)), b"")) in range(9000, 9101)


def test_names_are_spread_over_the_ports():
    firsts = {next(order(Wanted(stable=a + b), b"")) for a in string.ascii_letters for b in string.ascii_letters}
    assert len(firsts) > 0.97 * 52 * 52


def test_without_a_name_chance_decides():
    assert next(order(Wanted(), b"one seed here..")) != next(order(Wanted(), b"other seed here"))


RULES = Rules(
    automatic=(32768, 60999), reserved=frozenset({20000}), registered=frozenset({20001}), published=frozenset({20002})
)


@pytest.mark.parametrize(
    ("port", "anywhere", "why"),
    [
        (1023, True, "low"),
        (80, False, "low"),
        (32768, True, "automatic"),
        (60999, True, "automatic"),
        (40000, False, None),
        (61000, True, None),
        (NODE_PORTS[0], True, "node-ports"),
        (NODE_PORTS[0], False, None),
        (20000, True, "reserved"),
        (20000, False, "reserved"),
        (20001, False, "registered"),
        (20002, False, "published"),
        (51820, False, "registered"),
        (8080, True, "registered"),
        (3000, False, "common"),
        (20003, True, None),
    ],
)
def test_why_a_port_is_passed_over(port, anywhere, why):
    assert why_not(port, RULES, anywhere=anywhere) == why


def test_common_ports_are_those_that_no_registry_of_ours_has():
    known = {port for pairs in WELL_KNOWN.values() for _, port in pairs}
    assert not known & set(COMMON)
    assert all(LOWEST <= port <= HIGHEST and reason for port, reason in COMMON.items())
    assert list(COMMON) == sorted(COMMON)


def test_near_a_port_come_those_just_above_it():
    ports = near(3000, b"x" * 16)
    assert [next(ports) for _ in range(100)] == list(range(3001, 3101))
    assert len(set(ports)) == HIGHEST - LOWEST + 1
    assert next(near(80, b"")) == LOWEST
    assert max(near(HIGHEST, b"")) == HIGHEST


@given(st.text())
def test_no_table_of_services_is_too_much(table):
    assert 5432 in registered(f"postgresql 5432/tcp # SQL\n{table}\n")


def test_a_table_of_services():
    table = "a 1/tcp\nb 2/udp x y\n# c 3/tcp\nd 4\ne 99999/tcp\nf x/tcp\ng\t5/sctp\n"
    assert registered(table) == {1, 2, 5}
