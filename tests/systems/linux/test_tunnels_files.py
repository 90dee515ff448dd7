"""What files, mounts and rpcbind tell of the kernel's ports: text and bytes in, KernelPorts out."""

import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse.model import Socket
from inuse.systems.linux.tunnels import mounts, rpcbind, services
from inuse.systems.linux.tunnels.rpcbind import RpcError, decode, registered

TABLE = r"""
sysfs /sys sysfs rw,nosuid 0 0
192.0.2.1:/home /mnt/my\040home nfs rw,vers=3,mountport=33336,addr=192.0.2.1 0 0
192.0.2.1:/ /mnt/v4 nfs4 rw,vers=4.0,clientaddr=192.0.2.9,addr=192.0.2.1 0 0
192.0.2.2:/ /mnt/other nfs4 rw,vers=4.2,port=2050,addr=192.0.2.2 0 0
//files/x /mnt/smb cifs rw,vers=3.1.1,addr=2001:db8::5 0 0
broken line
nfs
""".strip()


def lost(local="192.0.2.9", port=854, remote="192.0.2.1", there=2049, state="established"):
    return Socket(
        proto="tcp",
        family="inet6" if ":" in local else "inet",
        local_address=local,
        local_port=port,
        remote_address=remote,
        remote_port=there,
        state=state,
        inode=5,
    )


def clients(*sockets):
    return mounts.clients(mounts.parse(TABLE), sockets)


def test_a_connection_is_told_by_its_server():
    [found] = clients(lost())
    assert (found.subsystem, found.port, found.bound) == ("nfs", 854, True)
    assert found.mounts == ("/mnt/my home", "/mnt/v4")
    assert found.what == "192.0.2.1:/home and 1 more"
    [other] = clients(lost(remote="192.0.2.2", there=2050))
    assert other.mounts == ("/mnt/other",)


def test_a_connection_to_another_service_of_the_server_is_less_sure():
    [found] = clients(lost(there=33979))
    assert not found.bound
    assert clients(lost(port=40000, there=33979)) == []
    assert clients(lost(remote="192.0.2.7")) == []


def test_smb_over_ipv6():
    [found] = clients(lost(local="2001:db8::9", port=50001, remote="2001:db8::5", there=445))
    assert (found.subsystem, found.mounts) == ("cifs", ("/mnt/smb",))


def test_an_address_mapped_into_ipv6_is_the_same():
    [found] = clients(lost(local="::ffff:192.0.2.9", remote="::ffff:192.0.2.1"))
    assert found.mounts == ("/mnt/my home", "/mnt/v4")


def test_callbacks_are_a_guess_unless_their_port_is_set():
    listener = lost(port=45079, remote=None, there=0, state="listen")
    table = mounts.parse(TABLE)
    [found] = mounts.callbacks(table, [listener], None)
    assert (found.guessed, found.mounts) == (True, ("/mnt/v4",))
    assert not mounts.callbacks(table, [listener], 45079)[0].guessed
    assert mounts.callbacks(table, [listener], 4000) == []
    # A privileged port is never chosen for them.
    assert mounts.callbacks(table, [lost(port=80, remote=None, there=0, state="listen")], None) == []
    assert mounts.callbacks([mount for mount in table if not mount.callback], [listener], None) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [(r"a\040b", "a b"), (r"\134", "\\"), (r"\9", r"\9"), (r"tail\04", r"tail\04"), (r"a\012b", "a\nb")],
)
def test_escapes_of_the_mount_table(written, meant):
    assert mounts.unescaped(written) == meant


@given(st.text(max_size=200))
def test_whatever_the_mount_table_holds_it_is_read(table):
    mounts.parse(f"{table}\nx:/ /m nfs4 {table} 0 0")


# -- rpcbind --------------------------------------------------------------------------------------


def xdr(text):
    data = text.encode()
    return struct.pack("!I", len(data)) + data + bytes(-len(data) % 4)


def answer(*rows):
    listed = b"".join(
        struct.pack("!III", 1, program, 4) + xdr(netid) + xdr(address) + xdr("superuser")
        for program, netid, address in rows
    )
    return struct.pack("!6I", 1, 1, 0, 0, 0, 0) + listed + struct.pack("!I", 0)


LOCKD = (100021, "tcp", "0.0.0.0.176.23")


def test_an_answer_of_rpcbind():
    rows = [LOCKD, (100005, "udp6", "::.230.138"), (100003, "tcp6", "::.8.1")]
    assert decode(answer(*rows)) == rows
    assert decode(b"") == []
    lockd = registered(*LOCKD)
    assert (lockd.subsystem, lockd.proto, lockd.port, lockd.addresses) == ("lockd", "tcp", 45079, ("0.0.0.0",))
    nfs = registered(*rows[2])
    assert (nfs.subsystem, nfs.port, nfs.addresses) == ("nfs", 2049, ("::",))
    assert registered(*rows[1]) is None  # mountd is a program


@pytest.mark.parametrize(
    "row",
    [
        (100021, "local", "/run/rpcbind.sock"),
        (100021, "tcp", "0.0.0.0.1"),
        (100021, "tcp", "0.0.0.0.999.999"),
        (100021, "tcp", "0.0.0.0.-1.5"),
        (100021, "tcp", "0.0.0.0.0.0"),
        (100021, "tcp", ""),
    ],
)
def test_an_address_without_a_port_is_left_out(row):
    assert registered(*row) is None


@given(st.binary(max_size=200))
def test_whatever_rpcbind_answers_there_is_a_list_or_an_rpc_error(data):
    for record in (data, answer(LOCKD)[:-4] + data):
        try:
            for row in decode(record):
                registered(*row)
        except RpcError:
            continue


@pytest.fixture
def rpcbind_socket(tmp_path, monkeypatch):
    """A stand-in for rpcbind that answers as told."""
    path = tmp_path / "rpcbind.sock"
    monkeypatch.setattr(rpcbind, "PATHS", (str(path),))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve(*fragments):
            def run():
                link, _ = server.accept()
                with link:
                    link.recv(1000)
                    for fragment in fragments:
                        link.sendall(fragment)
                    link.recv(1)

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            return thread

        yield serve


def fragment(data, *, last):
    return struct.pack("!I", len(data) | (0x80000000 if last else 0)) + data


def test_rpcbind_is_asked_over_its_socket(rpcbind_socket):
    data = answer(LOCKD)
    rpcbind_socket(fragment(data[:10], last=False), fragment(data[10:], last=True))
    assert [port.port for port in rpcbind.ask()] == [45079]


@pytest.mark.parametrize(
    "said", [(), (b"\x80",), (fragment(b"x" * 8, last=True),), (struct.pack("!I", 0xFFFFFFFF),), (b"\0\0\0\0" * 50000,)]
)
def test_a_broken_rpcbind_is_an_error_in_good_time(rpcbind_socket, said):
    rpcbind_socket(*said)
    with pytest.raises((OSError, RpcError)):
        rpcbind.ask()


def test_without_rpcbind_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(rpcbind, "PATHS", (str(tmp_path / "none"),))
    assert rpcbind.ask() == []


# -- Files ----------------------------------------------------------------------------------------


@pytest.fixture
def files(monkeypatch):
    """The files of an imaginary /proc."""
    made = {}
    monkeypatch.setattr(services, "read_text", made.get)
    monkeypatch.setattr(services, "read_number", lambda path: int(made[path]) if path in made else None)
    return made


def test_the_nfs_server_lists_its_listeners(files):
    files["/proc/fs/nfsd/portlist"] = "tcp 2049\ntcp 2049\nudp 2049\nrdma 20049\ntcp 0\ntcp x\nzzz\n"
    files["/proc/fs/nfsd/versions"] = "-2 +3 +4 +4.1 -4.2\n"
    found = list(services.nfsd())
    assert [(port.proto, port.port) for port in found] == [("tcp", 2049), ("tcp", 2049), ("udp", 2049)]
    assert found[0].what == "versions 3, 4, 4.1"


def test_settings_of_zero_are_no_ports(files):
    files["/proc/sys/fs/nfs/nlm_tcpport"] = "0"
    files["/proc/sys/fs/nfs/nlm_udpport"] = "4045"
    files["/proc/sys/net/sctp/udp_port"] = "0"
    assert [(port.proto, port.port) for port in services.lockd()] == [("udp", 4045)]
    assert list(services.sctp()) == []


def test_local_endpoints_of_rxrpc():
    table = (
        "Proto Local                                           Use Act RxQ\n"
        "UDP   0.0.0.0:7001                                      3   1   0\n"
        "UDP6  [::]:7001                                         1   0   0\n"
        "UDP   nonsense\n"
    )
    found = [(port.port, port.addresses) for port in services.parse_rxrpc(table)]
    assert found == [(7001, ("0.0.0.0",)), (7001, ("::",))]


def test_the_port_of_ksmbd():
    assert services.parse_ksmbd("[global]\n\ttcp port = 4450\n") == 4450
    assert services.parse_ksmbd("[global]\n; tcp port = 4450\n") == 445
    assert services.parse_ksmbd("tcp port = 99999\n") == 445
