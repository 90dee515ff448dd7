"""A port in place of one that is taken."""

import contextlib
import socket

from inuse.run import ports


def bound(port, family=socket.AF_INET, kind=socket.SOCK_STREAM):
    """A socket bound to a port of one address."""
    probe = socket.socket(family, kind)
    probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
    return probe


def test_it_can_be_bound_and_is_nobodys():
    first, last = ports.automatic_range()
    for _ in range(20):
        port = ports.pick_port()
        assert 1024 <= port <= 65535
        assert not first <= port <= last
        with socket.create_server(("", port)):
            pass


def test_it_is_near_the_one_that_was_wanted():
    assert 3000 < ports.pick_port(3000) <= 3000 + ports.NEAR
    assert ports.pick_port(80) >= 1024


def test_one_that_is_bound_to_a_single_address_is_passed_over():
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # no IPv6 here
            near = 20000
            taken = ports.pick_port(near)
            with bound(taken, family):
                assert ports.pick_port(taken - 1) != taken


def test_protocols_are_apart():
    free = ports.pick_port(21000, "udp")
    with bound(free, kind=socket.SOCK_DGRAM):
        assert ports.pick_port(free - 1, "udp") != free


def test_registered_services_are_passed_over():
    # 3306 mysql, 5432 postgresql: known with or without a services file.
    assert ports.pick_port(3305) != 3306
    assert ports.pick_port(5431) != 5432


def test_the_automatic_range_where_the_system_does_not_say(monkeypatch, tmp_path):
    monkeypatch.setattr(ports, "RANGE_FILE", tmp_path / "missing")
    assert ports.automatic_range() == ports.AUTOMATIC
    (tmp_path / "odd").write_text("a b\n")
    monkeypatch.setattr(ports, "RANGE_FILE", tmp_path / "odd")
    assert ports.automatic_range() == ports.AUTOMATIC
