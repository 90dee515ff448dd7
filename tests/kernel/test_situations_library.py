"""What other Python programs use: diagnose() and explain_error(), about real sockets and real errors."""

import asyncio
import concurrent.futures
import errno
import http.server
import socket
import socketserver

import pytest
from staging import private

import inuse
from inuse.demo.registry import BY_NAME


def pids(diagnosis):
    return {holder.pid for holder in diagnosis.holders}


def by_socket():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 8080))


def by_name():
    with socket.socket() as made:
        address = ("localhost", 8080)
        made.bind(address)


def by_words():
    words = ["server", "127.0.0.1", "8080"]
    with socket.socket() as made:
        made.bind((words[1], int(words[2])))


def by_socketserver():
    socketserver.TCPServer(("127.0.0.1", 8080), socketserver.BaseRequestHandler)


def by_http_server():
    http.server.ThreadingHTTPServer(("", 8080), http.server.SimpleHTTPRequestHandler)


def by_create_server():
    socket.create_server(("127.0.0.1", 8080))


def by_asyncio():
    async def main():
        await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 8080)

    asyncio.run(main())


def by_asyncio_everywhere():
    async def main():
        await asyncio.start_server(lambda _reader, _writer: None, None, 8080)

    asyncio.run(main())


WAYS = (by_name, by_words, by_socketserver, by_http_server, by_create_server, by_asyncio, by_asyncio_everywhere)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@private
def test_explain_error(stage, way):
    server = stage.start("serve", 8080)
    server.hear()
    with pytest.raises(OSError, match=r"[Aa]ddress already in use") as caught:
        way()
    said = inuse.explain_error(caught.value)
    assert said is not None
    assert said.situation == "application"
    assert said.target.port == 8080
    assert pids(said) == {server.pid}


@private
def test_explain_error_in_a_frame_that_names_no_address(stage):
    """bind(2) does not say what it was asked for: with nothing to go by there is no answer, and a word helps."""
    server = stage.start("serve", 8080)
    server.hear()
    with pytest.raises(OSError, match="in use") as caught:
        by_socket()
    said = inuse.explain_error(caught.value)
    assert said is None or said.target.port == 8080
    said = inuse.explain_error(caught.value, 8080)
    assert said is not None
    assert pids(said) == {server.pid}


@private
def test_explain_error_where_it_is_wrapped(stage):
    server = stage.start("serve", 8080)
    server.hear()
    try:
        try:
            by_socketserver()
        except OSError as error:
            raise RuntimeError("the server does not start") from error
    except RuntimeError as wrapped:
        said = inuse.explain_error(ExceptionGroup("several", [ValueError("other"), wrapped]))
    assert said is not None
    assert pids(said) == {server.pid}


@private
def test_explain_error_of_something_else(stage):
    assert inuse.explain_error(OSError(errno.ECONNREFUSED, "Connection refused")) is None
    assert inuse.explain_error(ValueError("8080")) is None
    assert inuse.explain_error(OSError(errno.EADDRINUSE, "Address already in use")) is None


@private
def test_diagnose_is_what_the_command_line_prints(stage):
    staged = BY_NAME["application"].stage(stage)
    said = inuse.diagnose(int(staged.target))
    assert isinstance(said, inuse.Diagnosis)
    assert (said.verdict, said.situation) == ("in_use", "application")
    assert pids(said) == set(staged.pids)
    assert said.error is not None
    assert said.error.errno == "EADDRINUSE"


@private
def test_diagnose_of_several_is_refused(stage):
    with pytest.raises(inuse.TargetError, match="2 ports"):
        inuse.diagnose("8080-8081")


@private
def test_diagnose_from_several_threads(stage):
    servers = {port: stage.start("serve", port) for port in range(8080, 8084)}
    for server in servers.values():
        server.hear()
    ports = [*servers, *range(9000, 9004)] * 6
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(inuse.diagnose, ports))
    for port, said in zip(ports, found, strict=True):
        assert said.target.port == port
        if port in servers:
            assert said.situation == "application"
            assert pids(said) == {servers[port].pid}
        else:
            assert said.verdict == "free"


@private
def test_diagnose_leaves_no_descriptor_and_no_child(stage):
    import os

    BY_NAME["application"].stage(stage)
    inuse.diagnose(8080)
    before = sorted(os.listdir("/proc/self/fd"))
    for name in (8080, 8081, "8080/udp", "192.0.2.1:80"):
        inuse.diagnose(name)
    assert sorted(os.listdir("/proc/self/fd")) == before


@private
def test_the_asker_itself_may_be_the_holder(stage):
    import os

    with socket.socket() as mine:
        mine.bind(("127.0.0.1", 8080))
        mine.listen()
        said = inuse.diagnose(8080)
    assert pids(said) == {os.getpid()}
