"""Which sockets concern a target: families, addresses, protocols, options of the attempt."""

import socket
import sys

import pytest
from staging import answer, diagnosis, finding, held, needs_users, pids, private, script, situations

from inuse.demo import linux
from inuse.demo.registry import BY_NAME

FREE = ("free", "free", None, None)


def bound(stage, address, *, kind="SOCK_STREAM", proto=0, options="", port=8080, then="made.listen()"):
    """Start a program with one socket on an address."""
    family = "AF_INET6" if ":" in address else "AF_INET"
    program = script(
        stage,
        f"try: made = socket.socket(socket.{family}, socket.{kind}, {proto})\n"
        "except OSError as error: say(refused=error.strerror); sys.exit()\n"
        f"{options}\n"
        f"made.bind(('{address}', {port}))\n"
        f"{then}\n"
        "say(ready=True); stay()",
    )
    said = program.hear()
    if "refused" in said:
        pytest.skip(f"this kernel makes no such socket: {said['refused']}")
    return program


ONLY_V6 = "made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)"
BOTH = "made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)"


@pytest.mark.parametrize(
    ("address", "options", "refused", "let_through"),
    [
        ("127.0.0.1", "", ("8080", "127.0.0.1:8080"), ("127.0.0.2:8080", "[::1]:8080", "8080/udp", "8081")),
        ("0.0.0.0", "", ("8080", "127.0.0.1:8080", "127.0.0.2:8080", "[::]:8080"), ("[::1]:8080",)),
        ("::1", "", ("8080", "[::1]:8080"), ("127.0.0.1:8080", "0.0.0.0:8080")),
        ("::", BOTH, ("8080", "127.0.0.1:8080", "0.0.0.0:8080", "[::1]:8080"), ()),
        ("::", ONLY_V6, ("8080", "[::1]:8080"), ("127.0.0.1:8080", "0.0.0.0:8080")),
        ("::ffff:127.0.0.1", BOTH, ("8080", "127.0.0.1:8080", "0.0.0.0:8080"), ("[::1]:8080", "127.0.0.2:8080")),
    ],
)
@private
def test_addresses(stage, address, options, refused, let_through):
    holder = bound(stage, address, options=options)
    for target in refused:
        said = diagnosis(target)
        assert answer(said) == held("application"), target
        assert pids(said) == {holder.pid}, target
    for target in let_through:
        said = diagnosis(target)
        assert answer(said) == FREE, target
        assert pids(said) == set(), target


@private
def test_a_wildcard_of_both_families_is_the_reason_given(stage):
    bound(stage, "::", options=BOTH)
    said = diagnosis("127.0.0.1:8080")
    assert any("[::]" in line for line in finding(said, "application")["evidence"])


@private
def test_udp(stage):
    holder = bound(stage, "0.0.0.0", kind="SOCK_DGRAM", then="")
    said = diagnosis("8080/udp")
    assert answer(said) == held("application")
    assert pids(said) == {holder.pid}
    assert said["holders"][0]["sockets"][0]["proto"] == "udp"
    assert said["target"]["proto"] == "udp"
    assert answer(diagnosis("8080")) == FREE


@private
def test_udp_lite_is_not_udp(stage):
    bound(stage, "0.0.0.0", kind="SOCK_DGRAM", proto=136, then="")
    assert answer(diagnosis("8080/udp")) == FREE


@private
def test_mptcp(stage):
    holder = bound(stage, "127.0.0.1", proto=262)
    said = diagnosis("8080")
    assert answer(said) == held("application")
    assert pids(said) == {holder.pid}


@private
def test_the_same_port_in_another_network_namespace_is_free_here(stage):
    program = script(
        stage,
        f"sys.path[:0] = {sys.path!r}\n"
        "from inuse.demo import linux\n"
        "linux.private_network(); server = listener('8080'); say(ready=True); stay()",
    )
    program.hear()
    said = diagnosis("8080")
    assert answer(said) == FREE
    assert pids(said) == set()


# -- Another kind of attempt ----------------------------------------------------------------------


@private
def test_as_reuseaddr_after_time_wait(stage):
    program = script(
        stage,
        "server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        "server.bind((LOCAL, 8080)); server.listen(); client = socket.create_connection((LOCAL, 8080))\n"
        "accepted, _ = server.accept(); accepted.close(); client.recv(1); client.close(); say(closed=True)",
    )
    program.hear()
    program.process.wait()
    plain = diagnosis("8080")
    assert answer(plain) == ("blocked", "time-wait", "bind", "EADDRINUSE")
    assert finding(plain, "time-wait")["details"]["reuseaddr_helps"] is True
    assert finding(plain, "time-wait")["remedies"][0]["id"] == "set-reuseaddr"
    assert answer(diagnosis("8080", "--as", "reuseaddr")) == FREE


@private
def test_as_reuseaddr_where_the_old_server_had_not_set_it(stage):
    BY_NAME["time-wait"].stage(stage)
    said = diagnosis("8080", "--as", "reuseaddr")
    assert answer(said) == ("blocked", "time-wait", "bind", "EADDRINUSE")


@private
def test_as_reuseaddr_two_may_bind_and_one_may_listen(stage):
    reuse = "made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)"
    first = bound(stage, "127.0.0.1", options=reuse, then="")
    assert answer(diagnosis("127.0.0.1:8080")) == held("bound-not-listening")
    said = diagnosis("127.0.0.1:8080", "--as", "reuseaddr")
    assert answer(said) == FREE
    assert pids(said) == {first.pid}
    second = bound(stage, "127.0.0.1", options=reuse)
    said = diagnosis("127.0.0.1:8080", "--as", "reuseaddr")
    assert answer(said) == held("application")
    assert pids(said) == {first.pid, second.pid}


@private
def test_as_v6only(stage):
    holder = bound(stage, "0.0.0.0")
    said = diagnosis("[::]:8080")
    assert answer(said) == held("application")
    assert pids(said) == {holder.pid}
    assert answer(diagnosis("[::]:8080", "--as", "v6only")) == FREE


@private
def test_as_dev(stage):
    try:
        linux.add_veth("veth0", "veth1")
    except OSError as error:
        pytest.skip(f"no pair of interfaces can be made: {error}")
    holder = bound(stage, "0.0.0.0", options="made.setsockopt(socket.SOL_SOCKET, 25, b'veth0')")
    assert answer(diagnosis("8080")) == held("application")
    assert answer(diagnosis("8080", "--as", "dev=lo")) == FREE
    said = diagnosis("8080", "--as", "dev=veth0")
    assert answer(said) == held("application")
    assert pids(said) == {holder.pid}


@private
def test_as_a_device_that_is_not_there(stage):
    said = diagnosis("8080", "--as", "dev=nowhere0")
    assert said["verdict"] != "free"
    assert said["error"] == {"call": "setsockopt", "errno": "ENODEV"}


@private
def test_a_low_port_that_is_held_and_may_not_be_had(stage):
    needs_users()
    holder = bound(stage, "127.0.0.1", port=80)
    said = diagnosis("80", "--as", "uid=65534")
    assert answer(said) == ("in_use", "application", "bind", "EACCES")
    assert situations(said) == ["application", "privileged-port"]
    assert pids(said) == {holder.pid}


@private
def test_a_low_port_of_root_asked_by_an_ordinary_user(stage):
    needs_users()
    bound(stage, "127.0.0.1", port=80)
    said = diagnosis("80", enter=linux.become_nobody)
    assert answer(said) == ("in_use", "hidden-holder", "bind", "EACCES")
    assert situations(said) == ["hidden-holder", "privileged-port"]


# -- No attempt -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("free", ("free", "free")),
        ("application", ("in_use", "application")),
        ("bound-not-listening", ("in_use", "bound-not-listening")),
        ("time-wait", ("blocked", "time-wait")),
        ("client-connection", ("in_use", "client-connection")),
        ("closing", ("blocked", "closing")),
        ("kernel", ("in_use", "kernel")),
        ("address-not-local", ("blocked", "address-not-local")),
        ("privileged-port", ("blocked", "privileged-port")),
    ],
)
@private
def test_no_probe(stage, name, expected):
    staged = BY_NAME[name].stage(stage)
    said = diagnosis(staged.target, "--no-probe", enter=staged.enter)
    assert (said["verdict"], said["situation"]) == expected
    assert pids(said) == set(staged.pids)
    assert any("--no-probe" in limit for limit in said["limits"])


# -- Several targets ------------------------------------------------------------------------------


@private
def test_a_range_is_an_array(stage):
    program = stage.start("bind-all", 8081, 8082)
    program.hear()
    said = diagnosis("8080-8083")
    assert [one["target"]["port"] for one in said] == [8080, 8081, 8082, 8083]
    assert [one["verdict"] for one in said] == ["free", "in_use", "in_use", "free"]
    for one in said[1:3]:
        assert pids(one) == {program.pid}
        assert [holder["sockets"][0]["local"] for holder in one["holders"]] == [f"127.0.0.1:{one['target']['port']}"]


@private
def test_a_service_name_is_an_array_even_of_one(stage):
    try:
        port = socket.getservbyname("postgresql", "tcp")
    except OSError:
        pytest.skip("no services are known here")
    server = stage.start("serve", port)
    server.hear()
    said = diagnosis("postgresql")
    assert isinstance(said, list)
    tcp = [one for one in said if one["target"]["proto"] == "tcp"]
    assert [one["target"]["port"] for one in tcp] == [port]
    assert answer(tcp[0]) == held("application")
    assert pids(tcp[0]) == {server.pid}


@private
def test_several_targets_each_with_its_own_answer(stage):
    first, second = stage.start("serve", 8080), stage.start("bind", 8081)
    first.hear()
    second.hear()
    said = diagnosis("8080", "8081", "8082")
    assert [answer(one)[:2] for one in said] == [
        ("in_use", "application"),
        ("in_use", "bound-not-listening"),
        ("free", "free"),
    ]
    assert [pids(one) for one in said] == [{first.pid}, {second.pid}, set()]
