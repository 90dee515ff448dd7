"""Sockets of processes: every one that keeps the port ends, and nobody else does."""

import ctypes
import os
import socket

import pytest
from freeing_lab import can_be_had, freed, import_everything, udp_can_be_had
from freeing_stage import ECHO, PORT, Bystander, answers, client, forked, server, siblings
from staging import needs_users, private, script

from inuse.demo import linux, stagings
from inuse.demo.stage import tcp_states, until

PR_SET_DUMPABLE = 4


@private
def test_a_server_without_reuseaddr_and_its_client(stage):
    """Once the server is gone its end of the connection waits in FIN_WAIT2: killed is not yet free."""
    holder = server(stage)
    others = siblings(stage)
    mine = client(stage)
    assert mine.go_on()["answered"]
    done = freed(ends=[holder.pid], bystanders=[*others, Bystander("the client", mine.pid)])
    assert "stop-holder" in done.said["done"]
    assert not mine.go_on()["answered"]


@private
def test_many_clients(stage):
    holder = server(stage)
    clients = [client(stage) for _ in range(5)]
    done = freed(ends=[holder.pid], bystanders=[Bystander("a client", one.pid) for one in clients])
    assert "5" in done.text, "the plan does not say how many are connected"


@pytest.mark.parametrize("listening", ["127.0.0.1", "0.0.0.0", "::1", "::"])
@private
def test_whatever_address(stage, listening):
    holder = server(stage, code=f"server = listener(sys.argv[1], '{listening}')")
    freed(ends=[holder.pid], bystanders=siblings(stage))


@private
def test_the_client_is_the_servers_own_child(stage):
    """Killing a tree kills the client with it."""
    code = (
        "import subprocess\nserver = listener(sys.argv[1])\n"
        f"child = subprocess.Popen([sys.executable, '-I', '-c', {CHILD!r}, sys.argv[1]], stdin=subprocess.DEVNULL)\n"
        "connection, _ = server.accept(); connection.recv(1)\nsay(child=child.pid); stay()"
    )
    holder = script(stage, code, PORT)
    child = holder.hear()["child"]
    stage.adopt(child)
    freed(ends=[holder.pid], bystanders=[Bystander("the child that is its client", child), *siblings(stage)])


CHILD = """
import socket, sys, time
made = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
made.sendall(b".")
time.sleep(600)
"""


@private
def test_the_client_is_the_servers_parent(stage):
    code = (
        "import subprocess, time\n"
        f"child = subprocess.Popen([sys.executable, '-I', '-c', {SERVER!r}, sys.argv[1]], "
        "stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)\nchild.stdout.read(1)\n"
        "made = socket.create_connection((LOCAL, int(sys.argv[1])))\nsay(child=child.pid); stay()"
    )
    parent = script(stage, code, PORT)
    child = parent.hear()["child"]
    stage.adopt(child)
    freed(ends=[child], bystanders=[Bystander("the parent that is its client", parent.pid), *siblings(stage)])


SERVER = """
import socket, sys, time
server = socket.socket()
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen()
print(".", end="", flush=True)
kept = server.accept()
time.sleep(600)
"""


@private
def test_a_listener_shared_by_fork(stage):
    holder = script(
        stage,
        "server = listener(sys.argv[1])\nchildren = []\nfor number in range(2):\n    child = os.fork()\n"
        "    if not child: linger(server)\n    children.append(child)\nsay(children=children); stay()",
        PORT,
    )
    children = holder.hear()["children"]
    stage.adopt(*children)
    freed(ends=[holder.pid, *children], bystanders=siblings(stage))


@private
def test_a_worker_that_ignores_its_masters_end(stage):
    """Only the master is asked at first; a worker that stays although it ended keeps the port."""
    holder = script(
        stage,
        "server = listener(sys.argv[1])\nchild = os.fork()\nif not child:\n    import time\n    time.sleep(600)\n"
        "say(child=child); stay()",
        PORT,
    )
    child = holder.hear()["child"]
    stage.adopt(child)
    freed(ends=[holder.pid, child], bystanders=siblings(stage))


@private
def test_a_pair_that_shares_the_port(stage):
    code = (
        "server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
        "server.bind((LOCAL, int(sys.argv[1]))); server.listen()"
    )
    pair = [server(stage, code=code) for _ in range(2)]
    freed(ends=[one.pid for one in pair], bystanders=siblings(stage))


@private
def test_a_udp_server_and_its_client(stage):
    holder = script(
        stage,
        f"{ECHO}\nserver = socket.socket(type=socket.SOCK_DGRAM); server.bind((LOCAL, int(sys.argv[1])))\n"
        "say(ready=True); stay()",
        PORT,
    )
    holder.hear()
    mine = script(
        stage,
        "made = socket.socket(type=socket.SOCK_DGRAM); made.connect((LOCAL, int(sys.argv[1])))\nsay(ok=1); stay()",
        PORT,
    )
    mine.hear()
    tcp = server(stage)
    asking = client(stage)
    others = [
        Bystander("the UDP client", mine.pid),
        Bystander("the TCP server on the same number", tcp.pid, answers(asking)),
        *siblings(stage),
    ]
    freed(f"{PORT}/udp", ends=[holder.pid], bystanders=others, had=udp_can_be_had)


@private
def test_bound_and_never_listening(stage):
    staged = stagings.bound_not_listening(stage)
    freed(ends=staged.pids, bystanders=siblings(stage))


@pytest.mark.parametrize("staging", [stagings.inherited, stagings.inherited_workers])
@private
def test_inherited_by_children(stage, staging):
    staged = staging(stage)
    freed(ends=staged.pids, bystanders=siblings(stage))


@private
def test_close_wait(stage):
    staged = stagings.close_wait(stage)
    freed(ends=staged.pids, bystanders=siblings(stage))


@private
def test_close_wait_without_a_listener(stage):
    staged = stagings.close_wait_abandoned(stage)
    freed(ends=staged.pids, bystanders=siblings(stage))


@private
def test_another_address_of_the_port_is_somebody_elses(stage):
    """Who asks for 127.0.0.1:8080 has not asked for 127.0.0.2:8080."""
    holder = server(stage)
    other = server(stage, code="server = listener(sys.argv[1], '127.0.0.2')")

    def had():
        with socket.socket() as made:
            return made.connect_ex(("127.0.0.1", PORT)) != 0

    freed(
        f"127.0.0.1:{PORT}",
        ends=[holder.pid],
        bystanders=[Bystander("the server on the other address", other.pid), *siblings(stage)],
        had=had,
    )


@private
def test_the_source_port_of_a_connection(stage):
    """Whose port was taken by chance loses that connection and nothing else: the program is told, and goes on."""
    remote = server(stage, 8082)
    code = (
        "made = socket.create_connection((LOCAL, 8082)); other = socket.create_connection((LOCAL, 8082))\n"
        "say(port=made.getsockname()[1])\nfor line in sys.stdin:\n"
        "    other.sendall(b'ping'); say(answered=other.recv(4) == b'ping')"
    )
    chance = script(stage, code)
    port = chance.hear()["port"]
    asking = client(stage, 8082)
    others = [
        Bystander("the program whose connection it is", chance.pid, answers(chance)),
        Bystander("the server it is connected to", remote.pid, answers(asking)),
    ]
    done = freed(port, bystanders=[*others, *siblings(stage)], had=lambda: can_be_had(port))
    assert done.plan == ["close-connection"]


@private
def test_an_ordinary_users_own_server(stage):
    """Without the right to destroy sockets, what the connection leaves behind is waited for."""
    needs_users()
    import_everything()
    with open("/proc/sys/net/ipv4/tcp_fin_timeout", "w") as setting:
        setting.write("3")

    def work(ready):
        linux.become_nobody()
        assert ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0  # as any program that user starts
        with socket.socket() as made:
            made.bind(("127.0.0.1", PORT))
            made.listen()
            ready()
            kept = made.accept()
            while kept[0].recv(1):
                pass

    pid = forked(stage, work)
    mine = client(stage)
    until(lambda: "01" in tcp_states(PORT), "the connection")
    answer = freed(
        ends=[pid], bystanders=[Bystander("the client", mine.pid), *siblings(stage)], enter=linux.become_nobody
    )
    assert answer.seconds > 2
    assert os.geteuid() == 0
