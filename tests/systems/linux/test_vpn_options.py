"""What OpenVPN's options and other configuration files say of ports; nothing else of the system is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse.systems.linux.vpn import configured, interfaces, openvpn, settings, wireguard
from inuse.systems.linux.vpn.files import Text


def understood(text):
    return openvpn.understand(list(openvpn.from_file(text, "x.conf")))


@pytest.mark.parametrize(
    ("text", "port", "binds"),
    [
        ("remote a.example", 1194, True),
        ("port 5000", 5000, True),
        ("lport 5000\nrport 1194", 5000, True),
        ("port 5000\nlport 5001", 5001, True),
        ("port 5000\nnobind", 5000, False),
        ("lport 0", 0, False),
        ("client\nproto tcp-client", 1194, False),
        ("client\nproto tcp\nport 5000", 5000, False),
        ("client\nremote a.example", 1194, None),
        ("pull\ntls-client\nport 5000", 5000, None),
        ("client\nlport 5000", 5000, True),
        ("client\nbind", 1194, True),
        ("client\nport 0", 0, False),
        ("client\nnobind", 1194, False),
        ("socks-proxy 127.0.0.1 1080\nremote a.example", 1194, False),
        ("proto tcp-client\nbind", 1194, True),
        ("proto tcp4-client\nlport 4000", 4000, True),
        ("proto tcp-server", 1194, True),
        ("  --port   5000   # the usual one", 5000, True),
        ("#port 5000\n;port 5001", 1194, True),
        ("<ca>\nport 6000\n</ca>\nport 5000", 5000, True),
        ("<connection>\nremote a.example 443 tcp\n</connection>\nnobind", 1194, False),
    ],
)
def test_the_local_port(text, port, binds):
    said = understood(text)
    assert (said.port, said.binds) == (port, binds)


def test_the_line_that_gives_the_port():
    said = understood("dev tun\n\nport 5000\n")
    assert (said.port_option.file, said.port_option.line) == ("x.conf", 3)


def test_what_else_is_read():
    said = understood(
        "dev tun7\nproto udp6\nremote 2001:db8::1 1195\nmanagement 127.0.0.1 7505\nserver 10.8.0.0 255.0.0.0"
    )
    assert (said.device, said.proto, said.remote, said.server) == ("tun7", "udp", "[2001:db8::1]:1195", True)
    assert said.management == ("127.0.0.1", 7505)


def test_a_management_interface_on_a_unix_socket_needs_no_port():
    assert understood("management /run/openvpn.sock unix").management is None


def test_a_port_that_is_no_number_says_nothing():
    options = list(openvpn.from_file("port openvpn", "x.conf"))
    assert list(configured.from_openvpn(options, "x.conf", None, None)) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('remote "a b" 1', ["remote", "a b", "1"]),
        ("remote 'a\"b'", ["remote", 'a"b']),
        (r"cd C:\\vpn", ["cd", r"C:\vpn"]),
        ("port 1 # 2", ["port", "1"]),
        ("port 1#2", ["port", "1#2"]),
        ('empty ""', ["empty", ""]),
        ("", []),
    ],
)
def test_words_of_a_line(line, words):
    assert openvpn.split(line) == words


def test_options_of_a_command_line():
    options = openvpn.from_arguments(["--config", "a.conf", "--nobind", "--remote", "a", "1194"])
    assert [(option.name, option.words) for option in options] == [
        ("config", ("a.conf",)),
        ("nobind", ()),
        ("remote", ("a", "1194")),
    ]
    assert openvpn.from_arguments(["a.conf"]) == [openvpn.Option("config", ("a.conf",))]


def test_wireguard_counts_the_interfaces_own_section_only():
    text = "[Interface]\nListenPort = 51820 # home\n[Peer]\nListenPort = 1\n"
    assert [(one.port, one.line) for one in settings.wireguard(text)] == [(51820, 2)]


def test_strongswan_sections():
    text = (
        "charon {\n  # port = 1\n  port = 501\n  plugins { vici { port = 7 } }\n  port_nat_t = 0 }\n"
        "charon-systemd { port = 502 }\n"
    )
    found = {(one.product, one.purpose): (one.port, one.line) for one in configured.from_strongswan(text, "x")}
    assert found == {
        ("strongswan", "ike"): (502, 6),
        ("strongswan-starter", "ike"): (501, 3),
        ("strongswan", "nat-t"): (0, 5),
        ("strongswan-starter", "nat-t"): (0, 5),
    }


def test_xl2tpd_has_its_port_in_the_global_section():
    text = "[lac x]\nport = 1\n[global]\n; port = 2\nport = 1702\n"
    assert [(one.port, one.line) for one in configured.from_xl2tpd(Text("x", text))] == [(1702, 5)]


def test_nebulas_and_zerotiers_ports():
    text = "pki:\n  port: 1\nlisten: # here\n  host: 0.0.0.0\n  port: 4242 # ours\nport: 9\n"
    assert settings.yaml_port(text)[1:] == ("port", "4242", 5)
    assert settings.json_number('{\n "settings": {\n  "primaryPort": 9994,\n', "primaryPort").port == 9994
    assert settings.json_number('{"primaryPort": "x"}', "primaryPort") is None


def test_wireguards_answer_keeps_no_key():
    answer = (
        b"private_key=5ec4e7\nlisten_port=51820\npublic_key=aa\nlast_handshake_time_sec=5\npublic_key=bb\nerrno=0\n\n"
    )
    assert wireguard.parse(answer) == wireguard.Tunnel(51820, 2, 5)
    assert wireguard.parse(b"listen_port=51820\n") is None, "a cut answer"
    assert wireguard.parse(b"listen_port=1\nerrno=1\n\n") is None


@pytest.mark.parametrize(("fdinfo", "name"), [("pos:\t0\niff:\ttun0\n", "tun0"), ("iff:\t\n", ""), ("pos:\t0\n", None)])
def test_the_interface_of_a_descriptor(fdinfo, name):
    assert interfaces.interface_of(fdinfo) == name


def test_an_interface_that_is_not_here():
    assert interfaces.is_up("no-such-if") is None
    assert interfaces.is_up("a-name-too-long-for-any") is None
    assert interfaces.is_up("lo") in {True, False}


@given(st.text())
def test_no_file_however_broken_gives_a_traceback(text):
    openvpn.understand(list(openvpn.from_file(text, "x")))
    openvpn.split(text)
    list(settings.ini(text)), list(settings.wireguard(text)), list(settings.plain(text)), list(settings.braces(text))
    list(configured.from_strongswan(text, "x")), list(configured.from_xl2tpd(Text("x", text)))
    settings.yaml_port(text)
    settings.json_number(text, "primaryPort")


@given(st.binary())
def test_no_answer_however_broken_gives_a_traceback(data):
    wireguard.parse(data)


@given(st.lists(st.sampled_from(["--port", "--config", "--remote", "--proto", "--management", "--mode", "1", "", "x"])))
def test_no_command_line_however_broken_gives_a_traceback(words):
    options = openvpn.from_arguments(words)
    list(configured.from_openvpn(options, "", None, None))
