"""The catalogue of VPN software: every row is complete, and known at a glance."""

import os

import pytest

from inuse.catalogue import LONGEST_NAME, vpn_product, vpn_products
from inuse.situations.vpn.told import PURPOSES
from inuse.systems.linux.vpn import present
from inuse.systems.linux.vpn_names import PROGRAMS, is_vpn

LINUX = [product for product in vpn_products() if "linux" in product.platforms]
WANTED = """
openvpn wireguard wireguard-go boringtun strongswan strongswan-starter libreswan racoon xl2tpd networkmanager-l2tp
pptpd sstpc sstp-server accel-ppp openconnect ocserv anyconnect globalprotect forticlient softether tailscale zerotier
nebula rasman ikeext
"""


def test_keys_are_unique_and_everything_wanted_is_there():
    keys = [product.key for product in vpn_products()]
    assert len(keys) == len(set(keys))
    assert set(WANTED.split()) <= set(keys)


@pytest.mark.parametrize("product", vpn_products(), ids=lambda product: product.key)
def test_row(product):
    assert product.name
    assert product.family
    assert product.platforms
    assert product.sources
    assert all(len(source) > 6 for source in product.sources)
    assert product.ports
    assert product.programs or product.units
    assert len({(port.port, port.proto) for port in product.ports}) == len(product.ports)
    for port in product.ports:
        assert 0 < port.port < 65536
        assert port.purpose in PURPOSES
    for name in product.programs:
        assert name.endswith(".exe") or len(name) <= LONGEST_NAME
        assert "/" not in name
    assert all(unit.count("*") <= 1 for unit in product.units)
    if any(port.side == "local" and not port.busy for port in product.ports) and product.family not in {
        "openconnect",
        "globalprotect",
        "softether",
        "l2tp",
    }:
        assert product.frees, "what has a fixed port of its own says how to free it"
    for freeing in product.frees:
        assert freeing.what
        assert freeing.where
        assert freeing.means
        assert set(freeing.purposes) <= {port.purpose for port in product.ports} | {"dtls"}


@pytest.mark.parametrize("product", LINUX, ids=lambda product: product.key)
def test_the_glance_is_in_step(product):
    assert set(product.programs) - {name for name in product.programs if name.endswith(".exe")} <= PROGRAMS
    for unit in product.units:
        if unit.endswith(".service"):
            assert is_vpn("sh", unit.replace("*", "office")), unit


def test_the_glance_knows_nothing_more():
    assert {name for product in LINUX for name in product.programs} >= PROGRAMS
    assert not is_vpn("nginx", "nginx.service")
    assert not is_vpn("nginx", None)


def test_what_setting_frees_what():
    assert vpn_product("openvpn").freeing("tunnel", "client").what == "nobind"
    assert vpn_product("openvpn").freeing("tunnel", "server").what == "port N"
    assert vpn_product("openvpn").freeing("management").what.startswith("management ")
    assert "charon" in vpn_product("strongswan").freeing("ike").where
    assert vpn_product("wireguard").freeing("tunnel").what == "ListenPort = 0"


@pytest.mark.parametrize(
    ("name", "exe", "product", "sure"),
    [
        ("openvpn", "/usr/sbin/openvpn", "openvpn", True),
        ("openvpn", None, "openvpn", False),
        ("renamed", "/opt/vpn/openvpn", "openvpn", True),
        ("ocserv-main", "/usr/sbin/ocserv", "ocserv", True),
        ("nm-openvpn-service", "/usr/lib/NetworkManager/nm-openvpn-service", "networkmanager-openvpn", True),
        ("sstpd", "/usr/bin/python3.11", "sstp-server", True),
    ],
)
def test_a_program_is_known(name, exe, product, sure):
    found, certain = present.product_of(name, exe)
    assert (found.key, certain) == (product, sure)


@pytest.mark.parametrize(("name", "exe"), [("openvpn", "/usr/bin/python3"), ("nginx", "/usr/sbin/nginx"), ("", None)])
def test_a_program_that_is_none(name, exe):
    assert present.product_of(name, exe) is None


def test_who_has_just_ended_is_in_no_network():
    """It has let go of its namespaces, and is a competitor no more; that is nothing that may not be seen."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert present.same_network(child) is False
        assert present.same_network(os.getpid()) is True
    finally:
        os.waitpid(child, 0)
