"""The text of /proc/net/tcp and its kin, as kernels print it, and as nobody should."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse.model import Socket
from inuse.systems.linux import proc_net
from inuse.systems.linux.proc_net import parse, parse_line, read_sockets, ticks_per_second

# ruff: noqa: E501 - the samples are as the kernel prints them

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000005 00:00000000 00000000  1000        0 340443 1 00000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:E260 06 00000000:00000000 03:00000FA0 00000000     0        0 0 3 0000000045054e4a
   2: 0100007F:E260 0100007F:1F90 01 00000011:00000000 01:00000014 00000003     0        0 340438 3 000 20 0 0 10 -1
"""
UDP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 2403: 00000000000000000000000001000000:14E9 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   105        0 2000 2 00 0
 2404: 0000000000000000FFFF00000100007F:14EA 0000000000000000FFFF00000100007F:14E9 01 00000000:00000000 00:00000000 00000000   105        0 2001 2 00 0
"""
LITTLE = struct.pack("=H", 1) == b"\1\0"
pytestmark = pytest.mark.skipif(not LITTLE, reason="the samples are from a little-endian machine")


def test_tcp_as_the_kernel_prints_it():
    found, garbage = parse(TCP, "tcp", "inet")
    assert garbage == 0
    assert found[0] == Socket(
        proto="tcp", family="inet", local_address="127.0.0.1", local_port=8080, state="listen", inode=340443,
        uid=1000, device=None, recv_queue=5,
    )  # fmt: skip
    waiting, client = found[1:]
    assert (waiting.state, waiting.inode, waiting.uid, waiting.timer) == ("time-wait", 0, None, "time-wait")
    assert waiting.expires_ms == 4000 * 1000 // ticks_per_second()
    assert (client.remote_address, client.remote_port, client.send_queue) == ("127.0.0.1", 8080, 17)
    assert (client.timer, client.uid) == ("on", 0)


def test_udp6_as_the_kernel_prints_it():
    bound, connected = parse(UDP6, "udp", "inet6")[0]
    assert (bound.local_address, bound.local_port, bound.remote_address, bound.state) == (
        "::1",
        5353,
        None,
        "unconnected",
    )
    assert (connected.local_address, connected.remote_port, connected.state) == (
        "::ffff:127.0.0.1",
        5353,
        "established",
    )


def test_garbage_is_counted_and_the_rest_is_read():
    lines = TCP.splitlines()
    mixed = [*lines[:2], "", "nonsense", lines[2][:60], lines[2].replace(" 06 ", " FF "), lines[3], "�"]
    found, garbage = parse("\n".join(mixed), "tcp", "inet")
    assert ([one.state for one in found], garbage) == (["listen", "established"], 5)


def test_an_address_of_another_family_is_garbage():
    assert parse(UDP6, "udp", "inet") == ([], 2)


@given(
    st.binary(min_size=16, max_size=16),
    st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([4, 16]),
)
def test_a_line_comes_back_as_it_was(raw, ports, inode, size):
    words = struct.unpack("<4I", raw)[: size // 4]
    address = "".join(f"{word:08X}" for word in words)
    line = f"1: {address}:{ports[0]:04X} {address}:{ports[1]:04X} 01 0:0 00:0 0 7 0 {inode} 1"
    one = parse_line(line, "tcp", "inet" if size == 4 else "inet6", 100)
    text = socket.inet_ntop(socket.AF_INET if size == 4 else socket.AF_INET6, raw[:size])
    assert (one.local_address, one.local_port, one.remote_port, one.inode) == (text, *ports, inode)


@given(st.text(max_size=200) | st.lists(st.sampled_from(TCP.split()), max_size=14).map(" ".join))
def test_any_text_is_read(text):
    found, garbage = parse("heading\n" + text, "tcp", "inet")
    assert len(found) + garbage == len(text.splitlines())


def test_a_kernel_without_ipv6_has_one_file(tmp_path):
    (tmp_path / "tcp").write_text(TCP)
    assert len(read_sockets("tcp", directory=str(tmp_path))[0]) == 3
    (tmp_path / "tcp6").write_bytes(b"heading\n\xff\xfe\n")
    assert read_sockets("tcp", directory=str(tmp_path))[1] == 1


def test_no_file_at_all_is_not_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_sockets("udp", directory=str(tmp_path))


def test_this_system_can_be_read():
    if not proc_net.os.path.exists("/proc/net/tcp"):
        pytest.skip("no /proc/net/tcp here")
    assert read_sockets("tcp")[1] == 0
