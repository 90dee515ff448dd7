"""The addresses of a namespace: struct ifaddrmsg in, LocalAddress out."""

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse.model import LocalAddress
from inuse.systems.linux import rtnetlink
from inuse.systems.linux.netlink import NetlinkError, attribute
from inuse.systems.linux.rtnetlink import decode_address

V4, V6 = socket.AF_INET, socket.AF_INET6
ADDRESS, LOCAL, LABEL, FLAGS = 1, 2, 3, 8
GONE = 2**31 - 1


def row(*attrs, family=V6, prefix=64, flags=0, index=GONE):
    head = struct.pack("=BBBBI", family, prefix, flags, 0, index)
    return head + b"".join(attribute(kind, value) for kind, value in attrs)


def ip(text):
    return socket.inet_pton(V6 if ":" in text else V4, text)


def test_an_address_with_its_prefix_and_interface():
    found = decode_address(row((ADDRESS, ip("fd00::2")), (LABEL, b"x\0"), (99, b"new")))
    assert found == LocalAddress(address="fd00::2", prefix=64, interface="if2147483647")


def test_on_a_point_to_point_link_the_address_is_the_local_one():
    peer = (ADDRESS, ip("10.0.0.2")), (LOCAL, ip("10.0.0.1"))
    found = decode_address(row(*peer, family=V4, prefix=32))
    assert found is not None
    assert found.address == "10.0.0.1"


@pytest.mark.parametrize(
    ("flags", "tentative", "failed"),
    [(0x80, False, False), (0x40, True, False), (0x44, False, False), (0x48, True, True)],
)
def test_duplicate_detection(flags, tentative, failed):
    found = decode_address(row((ADDRESS, ip("fd00::2")), flags=flags))
    assert found is not None
    assert (found.tentative, found.failed) == (tentative, failed)


def test_the_long_flags_hold_where_there_are_some():
    found = decode_address(row((ADDRESS, ip("fd00::2")), (FLAGS, struct.pack("=I", 0x240)), flags=0x80))
    assert found is not None
    assert found.tentative


def test_what_has_no_ports_is_left_out():
    assert decode_address(row((ADDRESS, b"\1"), family=12)) is None
    assert decode_address(row()) is None


@pytest.mark.parametrize("data", [b"", row()[:7], row((ADDRESS, b"four"))])
def test_what_is_no_address_is_refused(data):
    with pytest.raises(NetlinkError) as caught:
        decode_address(data)
    assert caught.value.errno == errno.EBADMSG


@given(st.sampled_from([b"", row(), row(family=V4)]), st.binary(max_size=80))
def test_any_bytes_are_an_address_or_a_netlink_error(head, data):
    try:
        decode_address(head + data)
        trouble = None
    except NetlinkError as error:
        trouble = error.errno
    assert trouble in {None, errno.EBADMSG}


def test_only_new_addresses_are_addresses(monkeypatch):
    class Link:
        def __init__(self, _family): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...
        def dump(self, _kind, _payload):
            return [(20, row((ADDRESS, ip("::1")))), (24, b"a route")]

    monkeypatch.setattr(rtnetlink, "NetlinkSocket", Link)
    assert [one.address for one in rtnetlink.local_addresses()] == ["::1"]
