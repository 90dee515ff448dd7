"""The Linux bind rules as a table, word for word where people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse.binding import judge
from inuse.binding.linux import reserved_ports
from inuse.binding.words import FIRST_MET, SHORTCUT, WHERE_THE_SEARCH_BEGINS
from inuse.model import Attempt, Host, LocalAddress, Socket

LO = (
    LocalAddress(address="127.0.0.1", prefix=8, interface="lo"),
    LocalAddress(address="::1", prefix=128, interface="lo"),
    LocalAddress(address="10.9.0.1", prefix=24, interface="eth0"),
    LocalAddress(address="fd00::1", prefix=64, interface="eth0"),
    LocalAddress(address="fd00::2", prefix=64, interface="eth0", tentative=True),
    LocalAddress(address="fd00::3", prefix=64, interface="eth0", failed=True),
    LocalAddress(address="fe80::1", prefix=64, interface="eth0"),
)
HOST = Host(addresses=LO, low_port_limit=1024, automatic_ports=(32768, 60999), asker_low_ports=False)


def sock(address="0.0.0.0", state="listen", **fields):
    family = "inet6" if ":" in address else "inet"
    defaults = {
        "proto": "tcp",
        "local_port": 8080,
        "inode": 7,
        "uid": 1000,
        "reuseaddr": False,
        "reuseport": False,
    }
    if family == "inet6":
        defaults["v6only"] = False
    return Socket(**(defaults | {"family": family, "local_address": address, "state": state} | fields))


def ask(address="0.0.0.0", **fields):
    family = "inet6" if ":" in address else "inet"
    return Attempt(**({"family": family, "address": address, "port": 8080, "uid": 1000} | fields))


RA, RP = {"reuseaddr": True}, {"reuseport": True}
TIME_WAIT = {"state": "time-wait", "inode": 0, "uid": None, "timer": "time-wait"}
SAME = "0.0.0.0:8080 is the same address; "
NONE_SET = "the new socket set neither SO_REUSEADDR nor SO_REUSEPORT"

LOW_PORT = "port 80 is below 1024 (net.ipv4.ip_unprivileged_port_start)"

# what is there, what is tried, and why it is refused (None: it is not)
TCP = {
    "listener": (sock(), ask(), SAME + NONE_SET),
    "listener, SO_REUSEADDR": (
        sock(**RA),
        ask(**RA),
        SAME + "SO_REUSEADDR does not help against a listening socket",
    ),
    "one SO_REUSEPORT group": (sock(**RP), ask(**RP), None),
    "another user's group": (
        sock(**RP, uid=0),
        ask(**RP),
        SAME + "another user's SO_REUSEPORT group (uid 0)",
    ),
    "newcomer without SO_REUSEPORT": (
        sock(**RP),
        ask(),
        SAME + "the old socket set SO_REUSEPORT, the new one did not",
    ),
    "listener without SO_REUSEPORT": (
        sock(**RA),
        ask(**RP),
        SAME + "the old socket did not set SO_REUSEPORT",
    ),
    "bound": (sock(state="bound"), ask(), SAME + NONE_SET),
    "bound, newcomer reuses": (
        sock(state="bound"),
        ask(**RA),
        SAME + "the old socket did not set SO_REUSEADDR",
    ),
    "bound, both reuse": (sock(state="bound", **RA), ask(**RA), None),
    "bound, the old one reuses": (
        sock(state="bound", **RA),
        ask(),
        SAME + "the old socket set SO_REUSEADDR, the new one did not",
    ),
    "bound, both want, neither has": (
        sock(state="bound"),
        ask(**RA, **RP),
        SAME + "the old socket set neither SO_REUSEADDR nor SO_REUSEPORT",
    ),
    "other address": (sock("127.0.0.1"), ask("127.0.0.2"), None),
    "wildcard over address": (sock(), ask("127.0.0.1"), "0.0.0.0:8080 covers 127.0.0.1; " + NONE_SET),
    "address under wildcard": (sock("127.0.0.1"), ask(), "0.0.0.0 covers 127.0.0.1:8080; " + NONE_SET),
    "dual wildcard over IPv4": (
        sock("::"),
        ask(),
        "[::]:8080 without IPV6_V6ONLY covers 0.0.0.0; " + NONE_SET,
    ),
    "dual wildcard over an IPv4 address": (
        sock("::"),
        ask("127.0.0.1"),
        "[::]:8080 without IPV6_V6ONLY covers 127.0.0.1; " + NONE_SET,
    ),
    "IPv4 under dual wildcard": (
        sock(),
        ask("::"),
        "[::] without IPV6_V6ONLY covers 0.0.0.0:8080; " + NONE_SET,
    ),
    "IPv4 address under dual wildcard": (
        sock("127.0.0.1"),
        ask("::"),
        "[::] without IPV6_V6ONLY covers 127.0.0.1:8080; " + NONE_SET,
    ),
    "IPv6-only wildcard and IPv4": (sock("::", v6only=True), ask(), None),
    "IPv4 and IPv6-only wildcard": (sock(), ask("::", v6only=True), None),
    "both IPv6 wildcards": (sock("::", v6only=True), ask("::"), "[::]:8080 is the same address; " + NONE_SET),
    "two localhosts": (sock("127.0.0.1"), ask("::1"), None),
    "IPv4 wildcard and ::1": (sock(), ask("::1"), None),
    "IPv6 wildcard over ::1": (sock("::", v6only=True), ask("::1"), "[::]:8080 covers [::1]; " + NONE_SET),
    "mapped address": (
        sock("::ffff:127.0.0.1"),
        ask("127.0.0.1"),
        "[::ffff:127.0.0.1]:8080 and 127.0.0.1 are the same IPv4 address; " + NONE_SET,
    ),
    "IPv6-only wildcard and mapped": (sock("::", v6only=True), ask("::ffff:127.0.0.1"), None),
    "mapped wildcard": (
        sock("::ffff:0.0.0.0"),
        ask("127.0.0.1"),
        "[::ffff:0.0.0.0]:8080 covers 127.0.0.1; " + NONE_SET,
    ),
    "UDP beside TCP": (sock(proto="udp", state="unconnected"), ask(), None),
    "other port": (sock(local_port=8081), ask(), None),
    "TIME_WAIT": (sock(**TIME_WAIT), ask(), SAME + NONE_SET),
    "TIME_WAIT, newcomer reuses": (
        sock("127.0.0.1", **TIME_WAIT),
        ask(**RA),
        "0.0.0.0 covers 127.0.0.1:8080; the old socket did not set SO_REUSEADDR",
    ),
    "TIME_WAIT, the old one reused": (
        sock(**TIME_WAIT, **RA),
        ask(),
        SAME + "the old socket set SO_REUSEADDR, the new one did not",
    ),
    "TIME_WAIT, both reuse": (sock(**TIME_WAIT, **RA), ask(**RA), None),
    "TIME_WAIT asks for no user": (sock(**TIME_WAIT, **RP), ask(**RP, uid=5), None),
    "orphan turned into TIME_WAIT": (
        sock(**{**TIME_WAIT, "state": "fin-wait-2"}, **RP),
        ask(**RP, uid=5),
        None,
    ),
    "child without its listener": (
        sock("127.0.0.1", "established"),
        ask(**RA),
        "0.0.0.0 covers 127.0.0.1:8080; the old socket did not set SO_REUSEADDR",
    ),
    "child that reuses": (sock("127.0.0.1", "established", **RA), ask(**RA), None),
    "orphan": (sock("127.0.0.1", "last-ack", inode=0), ask(), "0.0.0.0 covers 127.0.0.1:8080; " + NONE_SET),
    "client elsewhere": (sock("10.9.0.1", "established"), ask("127.0.0.1"), None),
    "request in the handshake": (sock("127.0.0.1", "syn-recv", inode=0), ask(), None),
    "IPv6 client that is not IPv6-only": (
        sock("::1", "established", v6only=False),
        ask(),
        "[::1]:8080 is an IPv6 socket without IPV6_V6ONLY and so counts for 0.0.0.0; " + NONE_SET,
    ),
    "IPv6-only client": (sock("::1", "established", v6only=True), ask(), None),
    "IPv6 client, one IPv4 address": (sock("::1", "established", v6only=False), ask("127.0.0.6"), None),
    "IPv6 listener is IPv6-only by itself": (sock("::1", v6only=None), ask(), None),
    "another interface": (sock(device="eth0"), ask(device="lo"), None),
    "one interface": (sock(device="lo"), ask(device="lo"), SAME + NONE_SET),
    "every interface": (sock(device="lo"), ask(), SAME + NONE_SET),
    "MPTCP": (sock(mptcp=True), ask(), SAME + NONE_SET),
}


def udp(**fields):
    return sock(**({"proto": "udp", "state": "unconnected"} | fields))


UDP = {
    "none": (udp(), ask(proto="udp"), SAME + NONE_SET),
    "newcomer reuses": (udp(), ask(proto="udp", **RA), SAME + "the old socket did not set SO_REUSEADDR"),
    "both reuse": (udp(**RA), ask(proto="udp", **RA), None),
    "the old one reuses": (
        udp(**RA),
        ask(proto="udp"),
        SAME + "the old socket set SO_REUSEADDR, the new one did not",
    ),
    "one group": (udp(**RP), ask(proto="udp", **RP), None),
    "another user's group": (
        udp(**RP, uid=0),
        ask(proto="udp", **RP),
        SAME + "another user's SO_REUSEPORT group (uid 0)",
    ),
    "old SO_REUSEADDR, new SO_REUSEPORT": (
        udp(**RA),
        ask(proto="udp", **RP),
        SAME + "the old socket did not set SO_REUSEPORT",
    ),
    "both and one": (udp(**RA, **RP), ask(proto="udp", **RA), None),
    "dual over IPv4": (
        udp(address="::"),
        ask(proto="udp"),
        "[::]:8080 without IPV6_V6ONLY covers 0.0.0.0; " + NONE_SET,
    ),
    "connected": (
        udp(address="127.0.0.1", state="established"),
        ask(proto="udp"),
        "0.0.0.0 covers 127.0.0.1:8080; " + NONE_SET,
    ),
    "IPv6 client under its stand-in": (
        udp(address="::1", state="established"),
        ask("127.0.0.6", proto="udp"),
        "[::1]:8080 is an IPv6 socket without IPV6_V6ONLY, which the kernel files under 127.0.0.6; " + NONE_SET,
    ),
    "UDP-Lite": (sock(proto="udplite", state="unconnected"), ask(proto="udp"), None),
    "TCP": (sock(), ask(proto="udp"), None),
}


@pytest.mark.parametrize(
    ("old", "attempt", "rule"), [*TCP.values(), *UDP.values()], ids=[*TCP, *(f"udp {x}" for x in UDP)]
)
def test_two_sockets(old, attempt, rule):
    ruling = judge([old], attempt, HOST)
    assert [refusal.rule for refusal in ruling.refusals] == ([] if rule is None else [rule])
    assert ruling.ok is (rule is None)
    if rule is not None:
        assert (ruling.call, ruling.errno) == ("bind", "EADDRINUSE")
        assert ruling.refusals[0].socket is old
        assert ruling.refusals[0].certain


def test_everybody_who_refuses_is_named():
    olds = [sock("127.0.0.1"), sock("127.0.0.2"), sock("::", v6only=True), sock("::1", "established")]
    ruling = judge(olds, ask(), HOST)
    assert [refusal.socket for refusal in ruling.refusals] == [olds[0], olds[1], olds[3]]


UNREADABLE = {"reuseaddr": None, "reuseport": None}


@pytest.mark.parametrize(
    ("old", "attempt", "depends"),
    [
        (sock(**UNREADABLE), ask(**RP), "whether 0.0.0.0:8080 (listen) set SO_REUSEPORT"),
        (sock(**TIME_WAIT | UNREADABLE), ask(**RA), "whether 0.0.0.0:8080 (time-wait) set SO_REUSEADDR"),
        (
            sock(state="bound", **UNREADABLE),
            ask(**RA, **RP),
            "whether 0.0.0.0:8080 (bound) set SO_REUSEADDR or SO_REUSEPORT",
        ),
        (sock("::1", "established", v6only=None), ask(), "whether [::1]:8080 (established) set IPV6_V6ONLY"),
        (sock("::", v6only=None), ask("127.0.0.1"), "whether [::]:8080 (listen) set IPV6_V6ONLY"),
        (sock(device=None), ask(device="lo"), "whether 0.0.0.0:8080 (listen) set SO_BINDTODEVICE"),
        (sock(uid=None, **RP), ask(**RP), "whose socket 0.0.0.0:8080 (listen) is"),
        (
            sock(state="fin-wait-2", inode=0, uid=0, **RP),
            ask(**RP),
            "whether 0.0.0.0:8080 (fin-wait-2) is in TIME_WAIT",
        ),
        (sock("nonsense"), ask(), "what address 'nonsense' is"),
    ],
)
def test_it_says_what_it_depends_on(old, attempt, depends):
    ruling = judge([old], attempt, HOST)
    assert ruling.ok is None
    assert (ruling.errno, ruling.call) == (None, None)
    assert ruling.depends == (depends,)
    assert not ruling.refusals[0].certain


@pytest.mark.parametrize(
    ("old", "attempt", "ok"),
    [
        # A plain attempt shares with nobody, a listener never by SO_REUSEADDR: the options don't matter.
        (sock(**UNREADABLE), ask(), False),
        (sock(**UNREADABLE), ask(**RA), False),
        (sock(uid=0, **UNREADABLE), ask(**RP), False),
        (sock("127.0.0.1", **UNREADABLE), ask("127.0.0.2", **RA, **RP), True),
        (sock("::1", "established", v6only=None), ask("::1"), False),
        (sock("::1", "established", v6only=None), ask("127.0.0.1"), True),
        (sock(device=None), ask(), False),
    ],
)
def test_what_could_not_be_read_may_not_matter(old, attempt, ok):
    assert judge([old], attempt, HOST).ok is ok


def test_one_certain_refusal_is_enough():
    ruling = judge([sock("127.0.0.1", "bound", **UNREADABLE), sock()], ask(**RA), HOST)
    assert ruling.ok is False
    assert ruling.depends == ()
    assert [refusal.certain for refusal in ruling.refusals] == [False, True]


@pytest.mark.parametrize(
    ("sockets", "attempt", "depends"),
    [
        # sk_reuseport_match(): the second socket was let in thanks to SO_REUSEADDR, and brings the third in.
        ([sock(state="bound", **RA), sock(state="bound", **RA, **RP)], ask(**RP), SHORTCUT),
        ([sock(device="eth0"), sock(device="lo", **RP)], ask(**RP), SHORTCUT),
        ([sock("::1"), sock(**RP)], ask("::", **RP), SHORTCUT),
        # udp_lib_lport_inuse() asks no further than the first socket in its way.
        ([udp(address="127.0.0.1", **RP), udp(address="127.0.0.2")], ask(proto="udp", **RP), FIRST_MET),
    ],
)
def test_where_the_order_decides(sockets, attempt, depends):
    ruling = judge(sockets, attempt, HOST)
    assert ruling.ok is None
    assert ruling.depends == (depends,)


def test_the_shortcut_is_not_suspected_everywhere():
    workers = [sock(**RP, uid=0), sock("127.0.0.1", "established", **RP, uid=0)]
    assert judge(workers, ask(**RP, uid=1000), HOST).ok is False
    assert judge([sock(), sock("127.0.0.1", "established", **RP)], ask(**RP), HOST).ok is False


@pytest.mark.parametrize(
    ("attempt", "errno", "rule"),
    [
        (ask("10.9.0.1"), None, None),
        (ask("127.44.0.1"), None, None),
        (ask("10.9.0.255"), None, None),
        (ask("255.255.255.255"), None, None),
        (ask("224.0.0.1"), None, None),
        (ask("ff0e::1", proto="udp"), None, None),
        (ask("fe80::1", device="eth0"), None, None),
        (ask("fd00::1", device="lo"), None, None),
        (ask("10.9.0.7"), "EADDRNOTAVAIL", "10.9.0.7 is not an address of this host"),
        (ask("10.9.0.0"), "EADDRNOTAVAIL", "10.9.0.0 is not an address of this host"),
        (ask("::ffff:10.9.0.7"), "EADDRNOTAVAIL", "::ffff:10.9.0.7 is not an address of this host"),
        (ask("fd00::9"), "EADDRNOTAVAIL", "fd00::9 is not an address of this host"),
        (ask("::1", device="eth0"), "EADDRNOTAVAIL", "::1 is not an address of eth0"),
        (
            ask("fd00::2"),
            "EADDRNOTAVAIL",
            "fd00::2 on eth0 is tentative: duplicate address detection still runs",
        ),
        (ask("fd00::3"), "EADDRNOTAVAIL", "fd00::3 on eth0 failed duplicate address detection"),
        (ask("fe80::1"), "EINVAL", "fe80::1 is link-local and needs an interface"),
        (ask("ff02::1", proto="udp"), "EINVAL", "ff02::1 is link-local and needs an interface"),
        (ask("ff02::1", device="eth0"), "EINVAL", "ff02::1 is a multicast address, which TCP cannot use"),
        (
            ask("::ffff:127.0.0.1", v6only=True),
            "EINVAL",
            "::ffff:127.0.0.1 is an IPv4 address and the socket is IPV6_V6ONLY",
        ),
        (
            ask(port=80),
            "EACCES",
            LOW_PORT + " and the asker lacks CAP_NET_BIND_SERVICE",
        ),
        (ask(port=80, low_ports=True), None, None),
    ],
)
def test_before_any_socket_is_asked(attempt, errno, rule):
    ruling = judge([], attempt, HOST)
    assert (ruling.ok, ruling.errno) == (errno is None, errno)
    assert [refusal.rule for refusal in ruling.refusals] == ([] if rule is None else [rule])


@pytest.mark.parametrize(
    ("attempt", "errnos"),
    [
        (ask("9.9.9.9", port=80), ["EADDRNOTAVAIL", "EACCES"]),
        (ask("fd00::9", port=80), ["EACCES", "EADDRNOTAVAIL"]),
        (ask("ff02::1", port=80), ["EINVAL", "EACCES"]),
        (ask(port=80), ["EACCES", "EADDRINUSE"]),
    ],
)
def test_the_kernel_s_order(attempt, errnos):
    ruling = judge([sock(local_port=80)], attempt, HOST)
    assert [refusal.errno for refusal in ruling.refusals][: len(errnos)] == errnos
    assert ruling.errno == errnos[0]


def test_the_first_refusal_may_be_open():
    ruling = judge([sock(local_port=80)], ask(port=80), Host())
    assert (ruling.ok, ruling.errno) == (False, None)
    assert ruling.depends == ("whether the asker has CAP_NET_BIND_SERVICE",)


def test_settings_that_could_not_be_read():
    assert judge([], ask("9.9.9.9"), Host()).depends == ("whether 9.9.9.9 is an address of this host",)
    assert judge([], ask("127.0.0.1"), Host()).ok
    assert judge([], ask(port=80, low_ports=False), Host()).depends == (
        "net.ipv4.ip_unprivileged_port_start, which could not be read",
    )
    assert judge([], ask("9.9.9.9"), Host(nonlocal_bind=True)).ok


def filled(count, **fields):
    return [sock(local_port=30000 + index, **fields) for index in range(count)]


@pytest.mark.parametrize(
    ("sockets", "ports", "reserved", "attempt", "ok"),
    [
        ([], None, None, ask(port=0), True),
        (filled(1), None, None, ask(port=0), None),
        (filled(4), (30000, 30005), None, ask(port=0), True),
        (filled(4), (30000, 30003), None, ask(port=0), False),
        (filled(3), (30000, 30003), "30003", ask(port=0), False),
        (filled(4, state="bound", **RA), (30000, 30003), None, ask(port=0, **RA), False),
        (
            filled(4, proto="udp", state="unconnected", **RA),
            (30000, 30003),
            None,
            ask(port=0, proto="udp", **RA),
            True,
        ),
        (filled(4, proto="udp", **UNREADABLE), (30000, 30003), None, ask(port=0, proto="udp", **RA), None),
        (filled(4), (30000, 30003), None, ask("::1", port=0), True),
        (filled(4), (30000, 30004), None, ask(port=0), None),
    ],
)
def test_an_automatic_port(sockets, ports, reserved, attempt, ok):
    host = Host(automatic_ports=ports, reserved_ports=reserved)
    assert judge(sockets, attempt, host).ok is ok


def test_an_odd_number_of_automatic_ports():
    host = Host(automatic_ports=(30000, 30004))
    assert judge(filled(4), ask(port=0), host).depends == (WHERE_THE_SEARCH_BEGINS,)


def test_reserved_ports():
    assert reserved_ports("8080,9148-9150") == {8080, 9148, 9149, 9150}
    assert reserved_ports("") == reserved_ports("\n") == reserved_ports("x-,-3") == frozenset()
    assert max(reserved_ports("65534-99999999999")) == 65535


# -- Whatever it is given -----------------------------------------------------------------------

addresses = st.sampled_from(
    [
        "0.0.0.0",
        "127.0.0.1",
        "10.9.0.1",
        "::",
        "::1",
        "::ffff:1.2.3.4",
        "fe80::1",
        "ff02::1",
        "",
        "x",
        "\0",
        "1.2.3.4%x",
    ]
) | st.text(max_size=20)
flag = st.booleans()
maybe = st.none() | flag
ports = st.sampled_from([0, 80, 8080, 65535]) | st.integers(-5, 70000)
families = st.sampled_from(["inet", "inet6"])
states = st.sampled_from(["listen", "bound", "unconnected", "established", "syn-recv", "time-wait", "fin-wait-2", "?"])
devices = st.sampled_from([None, "", "lo", "eth0"])
sockets = st.lists(
    st.builds(
        Socket,
        proto=st.sampled_from(["tcp", "udp", "udplite"]),
        family=families,
        local_address=addresses,
        local_port=ports,
        state=states,
        inode=st.integers(0, 2),
        uid=st.none() | st.integers(0, 1),
        device=devices,
        v6only=maybe,
        reuseaddr=maybe,
        reuseport=maybe,
        mptcp=flag,
        timer=st.sampled_from([None, "on", "time-wait"]),
    ),
    max_size=6,
)
attempts = st.builds(
    Attempt,
    proto=st.sampled_from(["tcp", "udp"]),
    family=families,
    address=addresses,
    port=ports,
    reuseaddr=flag,
    reuseport=flag,
    v6only=flag,
    uid=st.integers(0, 1),
    device=devices,
    listen=flag,
    low_ports=maybe,
)
local_addresses = st.builds(
    LocalAddress,
    address=addresses,
    prefix=st.integers(-1, 200),
    interface=st.sampled_from(["lo", "eth0"]),
    tentative=flag,
    failed=flag,
)
hosts = st.builds(
    Host,
    asker_low_ports=maybe,
    low_port_limit=st.none() | st.integers(0, 65536),
    automatic_ports=st.none() | st.tuples(ports, st.integers(0, 200)).map(lambda pair: (pair[0], sum(pair))),
    reserved_ports=st.none() | st.text(alphabet="0123456789-, \nx", max_size=12),
    nonlocal_bind=flag,
    addresses=st.none() | st.lists(local_addresses, max_size=4).map(tuple),
)


@given(sockets, attempts, hosts)
def test_nothing_makes_it_raise_and_its_answer_is_whole(olds, attempt, host):
    ruling = judge(olds, attempt, host)
    certain = [refusal for refusal in ruling.refusals if refusal.certain]
    assert all((refusal.depends is None) is refusal.certain for refusal in ruling.refusals)
    assert ruling.ok is (False if certain else None if ruling.refusals else True)
    assert (ruling.call is None) is (ruling.errno is None)
    assert bool(ruling.depends) is (ruling.ok is None or (ruling.ok is False and ruling.errno is None))
    for refusal in ruling.refusals:
        assert refusal.rule
        assert refusal.socket is None or refusal.socket in olds


@given(sockets, attempts, hosts, st.randoms(use_true_random=False))
def test_knowing_more_never_reverses_it(olds, attempt, host, rng):
    """What is decided with options unread stays so, whatever they turn out to be."""
    blind = judge(olds, attempt, host)
    filled_in = [
        Socket(
            **{
                name: rng.choice((True, False))
                if name in {"reuseaddr", "reuseport", "v6only"} and getattr(old, name) is None
                else getattr(old, name)
                for name in old.__struct_fields__
            }
        )
        for old in olds
    ]
    seeing = judge(filled_in, attempt, host)
    assert blind.ok is None or seeing.ok is blind.ok
