"""The connections of a process beside the port, as the kernel lists them."""

import os
import socket

import pytest

from inuse.model import Scene, Socket
from inuse.systems.linux import connections, sock_diag
from inuse.systems.linux.netlink import NetlinkError


@pytest.fixture
def pair():
    """A connection within this process: client, accepted."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    with client, accepted:
        yield client, accepted


def inode(made):
    return os.fstat(made.fileno()).st_ino


def found(scene):
    return {connection.socket.inode for connection in scene.connections}


def test_both_ends_with_their_tcp_info(pair):
    scene = connections.add(Scene(), [os.getpid()])
    assert {inode(one) for one in pair} <= found(scene)
    assert all(connection.pid == os.getpid() for connection in scene.connections)
    assert all(connection.socket.info for connection in scene.connections)


def test_what_is_on_the_port_already_is_not_there_twice(pair):
    client, accepted = pair
    known = Socket(
        proto="tcp", family="inet", local_address="127.0.0.1", local_port=1, state="established", inode=inode(client)
    )
    scene = connections.add(Scene(sockets=(known,)), [os.getpid()])
    assert inode(client) not in found(scene)
    assert inode(accepted) in found(scene)


@pytest.mark.usefixtures("pair")
def test_asked_again_nothing_is_there_twice():
    scene = connections.add(Scene(), [os.getpid(), os.getpid()])
    again = connections.add(scene, [os.getpid()])
    inodes = [connection.socket.inode for connection in again.connections]
    assert len(inodes) == len(set(inodes))


def test_listeners_are_no_connections():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert inode(server) not in found(connections.add(Scene(), [os.getpid()]))


@pytest.mark.parametrize("pids", [[], [0], [-1], [2**22 - 1]])
def test_nobody(pids):
    assert connections.add(Scene(), pids) == Scene()


@pytest.mark.usefixtures("pair")
def test_a_kernel_that_does_not_answer(monkeypatch):
    def refuse(**_):
        raise NetlinkError(2, "No such file or directory")

    monkeypatch.setattr(sock_diag, "tcp_sockets", refuse)
    scene = connections.add(connections.add(Scene(), [os.getpid()]), [os.getpid()])
    [unseen] = scene.unseen
    assert unseen.what == "connections"
    assert scene.connections == ()


def test_too_many_descriptors_are_not_looked_at(pair, monkeypatch):
    monkeypatch.setattr(connections, "MOST_DESCRIPTORS", 2)
    assert not {inode(one) for one in pair} & found(connections.add(Scene(), [os.getpid()]))


def test_accepted_by_a_listener_of_its_own():
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with client, accepted:
            scene = connections.add(Scene(), [os.getpid()])
            taken = connections.accepted(scene.connections)
            assert inode(accepted) in taken
            assert inode(client) not in taken


def test_handed_a_connection_without_the_listener(pair):
    _, accepted = pair
    scene = connections.add(Scene(), [os.getpid()])
    assert inode(accepted) not in connections.accepted(scene.connections), "its listener is closed"
