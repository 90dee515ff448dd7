"""Picking ports on the real kernel, each test in a network namespace of its own."""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from staging import PATH, in_child, inuse, needs_users, private

from inuse.demo import linux
from inuse.picking import Wanted
from inuse.systems.interface import LookError
from inuse.systems.linux import sock_diag
from inuse.systems.linux.free_ports import Held, pick, pick_port

COMMAND = [sys.executable, "-P", "-m", "inuse", "pick"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": PATH}
#: Ports that no table names.
FIRST = 20200


def picked(first, last, **wanted):
    """The ports that are picked of a range; the holds end at once."""
    found = pick(Wanted(ports=(first, last), **wanted))
    ports = found.ports
    found.close()
    return ports


def set_reserved(ports):
    with open("/proc/sys/net/ipv4/ip_local_reserved_ports", "w") as file:
        file.write(f"{ports}\n")


def bound(host, port, *options, kind=socket.SOCK_STREAM):
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    for option in options:
        made.setsockopt(socket.SOL_SOCKET, option, 1)
    made.bind((host, port))
    return made


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"
    return True


@contextlib.contextmanager
def holding(*words):
    """Pick ports with --hold; gives the answer, and ends the holder."""
    said = inuse("pick", "--json", *words)
    assert said.status == 0, said.err
    try:
        yield said.json
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(said.json["hold"]["pid"], signal.SIGKILL)


# ------------------------------------------------------------------------------------------ free on every address


@private
def test_whatever_is_in_the_way_on_any_address_is_seen(stage):
    def client():
        server, made = socket.create_server(("127.0.0.1", 0)), socket.socket()
        made.bind(("127.0.0.1", FIRST))
        made.connect(server.getsockname())
        return server, made

    def time_wait():
        server = socket.create_server(("127.0.0.1", FIRST), reuse_port=False)
        other = socket.create_connection(("127.0.0.1", FIRST))
        served = server.accept()[0]
        served.close()
        other.recv(1)
        other.close()
        server.close()

    ways = [
        lambda: bound("127.0.0.1", FIRST),
        lambda: bound("127.9.9.9", FIRST, socket.SO_REUSEADDR),
        lambda: bound("::1", FIRST, socket.SO_REUSEPORT),
        lambda: socket.create_server(("::1", FIRST), family=socket.AF_INET6),
        client,
        time_wait,
    ]
    for way in ways:
        kept = way()
        assert picked(FIRST, FIRST) == (), way
        assert picked(FIRST, FIRST + 1) == (FIRST + 1,)
        assert picked(FIRST, FIRST, proto="udp") == (FIRST,)
        for one in kept if isinstance(kept, tuple) else (kept,):
            if one is not None:
                one.close()
    with bound("127.0.0.1", FIRST, kind=socket.SOCK_DGRAM):
        assert picked(FIRST, FIRST, proto="udp") == ()
        assert picked(FIRST, FIRST) == ()  # TIME_WAIT of the last way


@private
def test_a_socket_of_one_interface_is_in_the_way(stage):
    with socket.socket() as one:
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        except PermissionError:
            pytest.skip("needs CAP_NET_RAW")
        one.bind(("", FIRST))
        assert picked(FIRST, FIRST) == ()


@private
def test_settings_of_the_system_count(stage):
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
        file.write("1024 65535")
    said = inuse("pick")
    assert (said.status, said.out) == (1, b"")
    assert said.err.startswith(b"inuse: no port is left to pick\n")
    assert b"1024-65535: the system may assign them by itself" in said.err
    assert b"in a RANGE that you name" in said.err
    assert picked(FIRST, FIRST) == (FIRST,)
    set_reserved(str(FIRST))
    said = inuse("pick", f"{FIRST}-{FIRST}")
    assert (said.status, said.out) == (1, b"")
    assert said.err.decode() == (
        f"inuse: port {FIRST} is not to be had\n  {FIRST}: reserved (inuse reservations says by whom)\n"
    )


@private
def test_what_may_not_be_bound_is_passed_over(stage):
    needs_users()
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as file:
        file.write(str(FIRST + 1))

    def ask():
        linux.become_nobody()
        found = pick(Wanted(ports=(FIRST, FIRST)))
        assert (found.ports, found.skipped) == ((), {"denied": {FIRST}})
        assert picked(FIRST, FIRST + 1) == (FIRST + 1,)

    in_child(ask)


@private
def test_a_port_whose_traffic_goes_elsewhere_is_passed_over(stage):
    if not shutil.which("nft"):
        pytest.skip("needs nft (nftables)")
    rules = "add table ip t\nadd chain ip t c { type nat hook prerouting priority 0; }\n"
    rules += f"add rule ip t c tcp dport {FIRST} redirect to :{FIRST + 5}\n"
    done = subprocess.run(["nft", "-f", "-"], input=rules.encode(), capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no NAT rule can be made here: {done.stderr.decode()}")
    found = pick(Wanted(ports=(FIRST, FIRST)))
    assert (found.ports, found.skipped) == ((), {"nat": {FIRST}})
    assert picked(FIRST, FIRST, proto="udp") == (FIRST,)


@private
def test_too_few_are_none_and_none_stays_bound(stage):
    found = pick(Wanted(ports=(FIRST, FIRST + 3), count=5))
    assert (found.ports, found.held) == ((), [])
    assert sorted(picked(FIRST, FIRST + 3, count=4)) == list(range(FIRST, FIRST + 4))


@private
def test_running_out_of_descriptors_is_said(stage):
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))
    assert len(inuse("pick", "--count", "80").text.splitlines()) == 80  # 160 sockets
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    with pytest.raises(LookError, match="Too many open files"):
        pick(Wanted(count=100))
    said = inuse("pick", "--count", "100")
    assert (said.status, said.out, said.err) == (1, b"", b"inuse: no socket can be made: Too many open files\n")


@private
def test_more_than_there_can_be_takes_no_descriptors(stage):
    """A limit of this process is not why there are not as many."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    found = pick(Wanted(count=65535))
    assert found.ports == ()
    assert {"automatic", "registered", "common"} <= set(found.skipped)
    assert "in-use" not in found.skipped
    assert picked(FIRST, FIRST + 200, count=202) == ()


@private
def test_near_a_port(stage):
    with bound("127.0.0.1", FIRST + 1):
        assert pick_port(FIRST) == FIRST + 2
    assert pick_port(FIRST, "udp") == FIRST + 1


# ------------------------------------------------------------------------------------------ the same each time


@private
def test_a_name_gives_the_same_port_until_it_is_taken(stage):
    usual = inuse("pick", "--stable", "shop").text
    assert inuse("pick", "--stable", "shop").text == usual
    assert inuse("pick", "--stable", "shop", "--udp").text == usual
    assert inuse("pick", "--stable", "other").text != usual
    with bound("127.0.0.1", int(usual)):
        said = inuse("pick", "--stable", "shop")
        assert (said.status, said.text != usual) == (0, True)
        port = usual.strip()
        assert said.err.decode() == (
            f"inuse: the usual port of shop, {port}, can't be had now: inuse {port}/tcp says why\n"
        )
        assert inuse("pick", "--stable", "shop", "--json").json["usual"] == int(usual)
    set_reserved(usual.strip())
    assert inuse("pick", "--stable", "shop").err.decode() == (
        f"inuse: the usual port of shop, {port}, can't be had now: inuse reservations says why\n"
    )
    set_reserved("")
    assert inuse("pick", "--stable", "shop", "--count", "2").text.splitlines()[0] == usual.strip()


# ------------------------------------------------------------------------------------------ held


@private
def test_a_held_port_is_refused_to_others_and_had_by_a_server(stage):
    with holding("--hold", "60") as said:
        (port,), pid = said["ports"], said["hold"]["pid"]
        with pytest.raises(OSError, match="in use"):
            bound("127.0.0.1", port)
        assert picked(port, port) == ()
        with socket.create_server(("", port)) as server:  # sets SO_REUSEADDR
            until(lambda: gone(pid))
            with socket.create_connection(("127.0.0.1", port)) as client:
                served = server.accept()[0]
                client.sendall(b"hello")
                assert served.recv(9) == b"hello"
                served.close()


@private
def test_a_server_of_both_families_takes_a_held_port_over(stage):
    with (
        holding("--hold", "60") as said,
        socket.create_server(("", said["ports"][0]), family=socket.AF_INET6, dualstack_ipv6=True),
    ):
        until(lambda: gone(said["hold"]["pid"]))


@private
def test_each_of_several_is_held_until_it_is_taken_over(stage):
    with holding("--hold", "60", "--count", "2") as said:
        one, other = said["ports"]
        with socket.create_server(("", one)):
            until(lambda: bound_ports() == {other})
            assert not gone(said["hold"]["pid"])
        with pytest.raises(OSError, match="in use"):
            bound("127.0.0.1", other)


def bound_ports():
    """The TCP ports that are bound without a listener, as the kernel lists them."""
    if not sock_diag.bound_sockets_visible():
        pytest.skip("needs Linux 6.8: this kernel does not list bound sockets")
    return {row.local_port for row in sock_diag.tcp_sockets(states=sock_diag.BOUND)}


@private
def test_a_udp_port_taken_over_gets_every_datagram_soon(stage):
    with holding("--hold", "60", "--udp") as said:
        (port,), pid = said["ports"], said["hold"]["pid"]
        with pytest.raises(OSError, match="in use"):
            bound("", port, kind=socket.SOCK_DGRAM)
        with bound("::", port, socket.SO_REUSEADDR, kind=socket.SOCK_DGRAM) as server:
            until(lambda: gone(pid))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"hello", ("127.0.0.1", port))
            server.settimeout(20)
            assert server.recv(9) == b"hello"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@private
def test_a_signal_ends_the_hold(stage, number):
    with holding("--hold", "60") as said:
        os.kill(said["hold"]["pid"], number)
        until(lambda: gone(said["hold"]["pid"]))
        bound("", said["ports"][0]).close()


@private
def test_the_time_ends_the_hold(stage):
    with holding("--hold", "0.4") as said:
        with pytest.raises(OSError, match="in use"):
            bound("", said["ports"][0])
        until(lambda: gone(said["hold"]["pid"]))
        bound("", said["ports"][0]).close()


@private
def test_a_shell_gets_the_port_at_once_and_nothing_of_it_is_kept(stage, tmp_path):
    lock = tmp_path / "lock"
    script = f"""
    exec 9>{lock}; flock 9
    port=$({" ".join(COMMAND)} --hold 60 --stable "it is held")
    echo "$port"
    exec 9>&-
    flock -n {lock} echo unlocked
    """
    start = time.monotonic()
    done = subprocess.run(["sh", "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=50)
    assert time.monotonic() - start < 40
    port, *rest = done.stdout.split()
    assert (rest, done.stderr) == (["unlocked"], "")
    with pytest.raises(OSError, match="in use"):
        bound("", int(port))
    (holder,) = inuse(port, "--json").json["holders"]
    os.kill(holder["pid"], signal.SIGKILL)
    assert holder["cmdline"][-2:] == ["--stable", "it is held"]


@private
def test_whoever_cannot_be_told_leaves_no_hold_behind(stage):
    with open("/dev/full", "w") as full:
        command = [*COMMAND, "--hold", "60", str(FIRST)]
        done = subprocess.run(command, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 3
    assert b"No space left" in done.stderr
    until(lambda: picked(FIRST, FIRST) == (FIRST,))


# ------------------------------------------------------------------------------------------ many at once


@private
def test_a_thousand_at_once_get_a_thousand_ports(stage):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 4096:
        pytest.skip("needs 4096 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    together = threading.Barrier(50)

    def one(index):
        if index < 50:
            together.wait(60)
        return pick(Wanted())

    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(one, range(1000)))
    assert len({port for each in found for port in each.ports}) == 1000
    for each in found:
        each.close()


@private
def test_of_as_many_ports_as_pickers_each_gets_one(stage):
    """Processes that race for the very same ports: none is given twice, and none is left over."""
    last = FIRST + 299
    free = len(picked_all(FIRST, last))
    children = [os.fork() or _pick_and_stay(FIRST, last) for _ in range(free)]
    until(lambda: len(_taken(FIRST, last)) == free, 60)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def picked_all(first, last):
    """As many ports of a range as can be had at all."""
    for count in range(last - first + 1, 0, -1):
        if found := picked(first, last, count=count):
            return found
    return ()


def _pick_and_stay(first, last):
    found = pick(Wanted(ports=(first, last)))
    while found.ports:
        signal.pause()
    os._exit(1)


def _taken(first, last):
    found = set()
    for port in range(first, last + 1):
        try:
            Held(port, "tcp").close()
        except OSError:
            found.add(port)
    return found


@private
def test_commands_at_once_get_different_ports(stage):
    words = [*COMMAND, "--json", "--hold", "120", f"{FIRST}-{FIRST + 120}"]
    running = [
        subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(100)
    ]
    said = [json.loads(process.communicate(timeout=100)[0]) for process in running]
    try:
        assert len({port for one in said for port in one["ports"]}) == 100
    finally:
        for one in said:
            os.kill(one["hold"]["pid"], signal.SIGKILL)
