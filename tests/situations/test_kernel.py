"""What is said of the kernel's sockets, on scenes made by hand: whose word is believed, and how far."""

import pytest
from msgspec.structs import replace

from inuse.diagnosis import explain
from inuse.evidence.tunnel import KernelPort
from inuse.model import Answer, Attempt, Descriptor, Host, Process, Scene, Socket, Target, Unseen
from inuse.scene import View
from inuse.situations.kernel import claims, find, holders, kernel_sockets

PORT = 51820
HIDDEN = Unseen(what="holders", why="3 processes of root may not be looked at", needs="sudo", uids=(0,), pids=(7,))
WG0 = KernelPort(
    subsystem="wireguard",
    port=PORT,
    addresses=("0.0.0.0", "::"),
    interface="wg0",
    peers=2,
    handshake_seconds=40,
    bound=True,
)
VXLAN = KernelPort(subsystem="vxlan", port=PORT, addresses=("0.0.0.0",), interface="vxlan0", bound=True)


def udp(address="0.0.0.0", inode=5, **more):
    family = "inet6" if ":" in address else "inet"
    rest = {"proto": "udp", "state": "unconnected", "uid": 0, "v6only": True if family == "inet6" else None}
    return Socket(family=family, local_address=address, local_port=PORT, inode=inode, **(rest | more))


PAIR = (udp(), udp("::", 6))


def view(*ports, sockets=PAIR, unseen=(), proto="udp", uid=0, **more):
    attempt = Attempt(proto=proto, port=PORT)
    scene = Scene(
        target=Target(text=f"{PORT}/{proto}", proto=proto, port=PORT),
        answers=(Answer(attempt=attempt, call="bind", errno="EADDRINUSE"),),
        sockets=sockets,
        kernel_ports=ports,
        unseen=unseen,
        complete=not unseen,
        host=Host(asker_uid=uid),
        **more,
    )
    return View(scene)


def commands(finding):
    return [remedy.command for remedy in finding.remedies if remedy.command]


def test_wireguard_is_named_with_its_interface_and_peers():
    found = find(view(WG0))
    assert found.title == f"the kernel itself has 0.0.0.0:{PORT} and [::]:{PORT}, for the WireGuard interface wg0"
    assert found.confidence == "certain"
    assert found.details == {"subsystem": "wireguard", "interface": "wg0", "peers": 2, "handshake_seconds": 40}
    assert "2 peers; the latest handshake was 40 seconds ago: the tunnel is in use" in found.explanation
    assert commands(found) == [("wg", "set", "wg0", "listen-port", "0"), ("ip", "link", "set", "dev", "wg0", "down")]
    assert not any(remedy.automatic for remedy in found.remedies)


@pytest.mark.parametrize(
    ("peers", "seconds", "said"),
    [
        (0, None, "It has no peers."),
        (1, None, "It has 1 peer; none of them was ever heard from."),
        (1, 180, "3 minutes ago: the tunnel is in use"),
        (1, 7300, "2 hours ago: no session is alive"),
        (5, 200_000, "5 peers; the latest handshake was 2 days ago: no session is alive"),
    ],
)
def test_a_tunnel_is_said_to_be_up_or_stale(peers, seconds, said):
    assert said in find(view(replace(WG0, peers=peers, handshake_seconds=seconds))).explanation


@pytest.mark.parametrize(
    ("config", "command"),
    [
        ("/etc/wireguard/wg0.conf", ("wg-quick", "down", "wg0")),
        ("/etc/systemd/network/10-wg0.netdev", ("networkctl", "down", "wg0")),
        ("/etc/NetworkManager/system-connections/x.nmconnection", ("nmcli", "device", "disconnect", "wg0")),
    ],
)
def test_who_set_wireguard_up_takes_it_down(config, command):
    found = find(view(replace(WG0, config=config)))
    assert commands(found)[-1] == command
    assert found.details["config"] == config
    assert config in found.explanation


def test_the_kernel_s_word_is_believed_whatever_is_hidden():
    seen = view(VXLAN, sockets=(udp(),), unseen=(HIDDEN,), uid=1000)
    found = find(seen)
    assert (found.confidence, found.details["interface"]) == ("certain", "vxlan0")
    assert all(remedy.needs_root for remedy in found.remedies if remedy.command)


def test_what_only_fits_is_likely_and_nothing_said_is_no_finding():
    fits = replace(WG0, bound=False, peers=None, handshake_seconds=None)
    found = find(view(fits, unseen=(HIDDEN,), uid=1000))
    assert found.confidence == "likely"
    assert "most likely for the WireGuard interface wg0" in found.title
    assert find(view(unseen=(HIDDEN,), uid=1000)) is None


def test_a_usual_port_is_a_guess_and_none_where_processes_are_hidden():
    guess = KernelPort(subsystem="wireguard", port=PORT, guessed=True)
    found = find(view(guess))
    assert found.confidence == "likely"
    assert "WireGuard, going by the port's number" in found.title
    assert found.details["guessed"] is True
    assert [remedy.id for remedy in found.remedies] == ["show-interfaces", "use-another-port"]
    assert find(view(guess, unseen=(HIDDEN,))) is None


def test_the_best_vouched_for_is_believed():
    fits, guess = replace(VXLAN, interface="other", bound=False), replace(VXLAN, bound=False, guessed=True)
    seen = view(guess, fits, VXLAN, sockets=(udp(),))
    assert claims(seen, seen.sockets[0]) == (VXLAN,)


def test_a_process_s_socket_is_not_the_kernel_s():
    process = Process(pid=9, start_ticks=1, name="vpnd")
    seen = view(WG0, descriptors=(Descriptor(pid=9, fd=3, inode=5),), processes=(process,))
    assert [socket.inode for socket in kernel_sockets(seen)] == [6]


def test_a_socket_elsewhere_is_not_explained_by_it():
    seen = view(VXLAN, sockets=(udp("::", 6),), unseen=(HIDDEN,))
    assert find(seen) is None


def test_interfaces_that_share_a_socket_are_all_named():
    other = replace(VXLAN, interface="vxlan1")
    found = find(view(VXLAN, other, sockets=(udp(),)))
    assert "the VXLAN interfaces vxlan0 and vxlan1" in found.title
    assert found.details["interfaces"] == ["vxlan0", "vxlan1"]
    assert [command[-2] for command in commands(found)] == ["vxlan0", "vxlan1"]
    assert all("share the socket" in remedy.title for remedy in found.remedies[:2])


def test_holders_are_told_apart_by_subsystem_and_interface():
    six = KernelPort(subsystem="geneve", port=PORT, addresses=("::",), interface="gen0", bound=True)
    seen = view(VXLAN, replace(VXLAN, interface="vxlan1"), six)
    assert [(subsystem, interface, [s.inode for s in sockets]) for subsystem, interface, sockets in holders(seen)] == [
        ("vxlan", "vxlan0", [5]),
        ("vxlan", "vxlan1", [5]),
        ("geneve", "gen0", [6]),
    ]
    assert holders(view()) == ((None, None, PAIR),)


def test_an_interface_in_another_namespace_is_reached_there():
    found = find(view(replace(VXLAN, namespace="/run/netns/blue"), sockets=(udp(),)))
    assert commands(found) == [("nsenter", "--net=/run/netns/blue", "ip", "link", "set", "dev", "vxlan0", "down")]
    unnamed = find(view(replace(VXLAN, namespace=""), sockets=(udp(),)))
    assert commands(unnamed) == []
    assert "another network namespace" in unnamed.explanation


def test_openvpn_s_data_channel_is_only_likely():
    guess = KernelPort(subsystem="ovpn", port=PORT, interface="ovpn0", guessed=True)
    found = find(view(guess, sockets=(udp(),)))
    assert found.confidence == "likely"
    assert "most likely for the OpenVPN interface ovpn0" in found.title
    assert commands(found) == [("ip", "link", "del", "dev", "ovpn0")]
    assert not found.remedies[0].reversible
    assert find(view(guess, sockets=(udp(),), unseen=(HIDDEN,))) is None


TCP = {"proto": "tcp", "state": "listen", "v6only": None}
MOUNT = KernelPort(
    subsystem="nfs",
    proto="tcp",
    port=PORT,
    addresses=("192.0.2.9",),
    remote="192.0.2.1",
    what="192.0.2.1:/home",
    mounts=("/mnt/home", "/srv/a b"),
    bound=True,
)


def test_a_client_s_connection_names_the_mounts():
    end = udp("192.0.2.9", **TCP | {"state": "established"}, remote_address="192.0.2.1", remote_port=2049)
    found = find(view(MOUNT, sockets=(end,), proto="tcp"))
    assert "for the NFS mounts /mnt/home and /srv/a b" in found.title
    assert commands(found) == [("umount", "/mnt/home"), ("umount", "/srv/a b")]
    elsewhere = replace(end, remote_address="192.0.2.3")
    assert "mount" not in find(view(MOUNT, sockets=(elsewhere,), proto="tcp")).title


def test_a_connection_that_a_kernel_server_accepted_is_its_own():
    server = KernelPort(subsystem="nfs", proto="tcp", port=PORT, addresses=("0.0.0.0", "::"), bound=True)
    accepted = udp("127.0.0.1", 8, **TCP | {"state": "established"}, remote_address="127.0.0.1", remote_port=700)
    listening = udp(**TCP)
    found = find(view(server, sockets=(listening, accepted), proto="tcp", unseen=(HIDDEN,)))
    assert (found.confidence, found.details["subsystem"]) == ("certain", "nfs")
    assert ("rpc.nfsd", "0") in commands(found)
    with_systemd = view(server, sockets=(listening,), proto="tcp")
    with_systemd.host = replace(with_systemd.host, systemd=True)
    assert ("systemctl", "stop", "nfs-server.service") in commands(find(with_systemd))


def test_an_mptcp_listener_of_the_kernel_is_no_closing_connection():
    endpoint = KernelPort(subsystem="mptcp", proto="tcp", port=PORT, addresses=("127.0.0.1",), id=1, bound=True)
    listener = udp("127.0.0.1", **TCP, mptcp=True)
    found = find(view(endpoint, sockets=(listener,), proto="tcp"))
    assert "path manager" in found.title
    assert commands(found) == [("ip", "mptcp", "endpoint", "delete", "id", "1")]
    closing = find(view(sockets=(replace(listener, state="last-ack"),), proto="tcp"))
    assert "being closed" in closing.title
    assert closing.details["subsystem"] == "mptcp"


EVERY = [
    *("vxlan", "geneve", "bareudp", "amt", "gtp", "pfcp", "wireguard", "fou", "gue", "l2tp", "tipc", "ipvs", "sctp"),
    *("rxrpc", "rxe", "nfs", "lockd", "ovpn", "something-new"),
]


@pytest.mark.parametrize("subsystem", EVERY)
@pytest.mark.parametrize("interface", [None, "if0"])
@pytest.mark.parametrize("hostile", [None, "a\n$ rm -rf /;\x1b[2J"])
def test_every_subsystem_has_words_and_no_pid_to_end(subsystem, interface, hostile):
    port = KernelPort(subsystem=subsystem, port=PORT, interface=hostile or interface, what=hostile, id=1, bound=True)
    seen = view(port)
    said = explain(seen)
    assert said.situation == "kernel"
    assert said.findings[0].details["subsystem"] == subsystem
    for remedy in said.findings[0].remedies:
        assert "kill" not in (remedy.command or ())
        assert remedy.title
