"""What a person types, read as the contract's table says, and one helpful line for everything else."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inuse.model import Target
from inuse.services import WELL_KNOWN
from inuse.targets import LONGEST, TargetError, parse


class Names:
    """A machine's tables, as the parser asks for them."""

    def __init__(self):
        self.services = {"chargen": [("tcp", 19), ("udp", 19)], "sctponly": [("sctp", 9)]}
        self.hosts = {"db.internal": ["10.0.0.5"], "both": ["10.0.0.5", "fd00::5"], "twice": ["10.0.0.5", "10.0.0.5"]}

    def service(self, name):
        return self.services.get(name, ())

    def host(self, name):
        return self.hosts.get(name, ())


def ports(text, names=None):
    return [(t.proto, t.address, t.port) for t in parse(text, names).targets]


# ------------------------------------------------------------------------------------------ the table


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8080", ("tcp", None, 8080)),
        (":8080", ("tcp", None, 8080)),
        ("8080/tcp", ("tcp", None, 8080)),
        ("*:8080", ("tcp", None, 8080)),
        ("500/udp", ("udp", None, 500)),
        ("udp:500", ("udp", None, 500)),
        ("udp/500", ("udp", None, 500)),
        ("UDP:500", ("udp", None, 500)),
        ("127.0.0.1:8080", ("tcp", "127.0.0.1", 8080)),
        ("0.0.0.0:8080", ("tcp", "0.0.0.0", 8080)),
        ("[::1]:53/udp", ("udp", "::1", 53)),
        ("[0:0::0:1]:53", ("tcp", "::1", 53)),
        ("[fe80::1%eth0]:53", ("tcp", "fe80::1%eth0", 53)),
        (":::3000", ("tcp", "::", 3000)),
        ("http://127.0.0.1/", ("tcp", "127.0.0.1", 80)),
        ("https://127.0.0.1/a?b#c", ("tcp", "127.0.0.1", 443)),
        ("ws://127.0.0.1", ("tcp", "127.0.0.1", 80)),
        ("http://user:secret@127.0.0.1:8080/x", ("tcp", "127.0.0.1", 8080)),
        ("tcp://0.0.0.0:80", ("tcp", "0.0.0.0", 80)),
        ("udp://127.0.0.1:53", ("udp", "127.0.0.1", 53)),
        ("  8080\n", ("tcp", None, 8080)),
        ("0", ("tcp", None, 0)),
        ("65535", ("tcp", None, 65535)),
        ("008080", ("tcp", None, 8080)),
    ],
)
def test_one_port(text, meant):
    parsed = parse(text)
    assert ports(text) == [meant]
    assert not parsed.many
    assert parsed.targets[0].text == text
    assert parsed.targets[0].kind == "port"
    assert parsed.targets[0].device is None


@pytest.mark.parametrize("text", ["localhost:3000", "http://localhost:3000/", "LOCALHOST:3000", "api.localhost:3000"])
def test_localhost_is_both_loopback_addresses_whatever_a_table_says(text):
    (target,) = parse(text).targets
    assert (target.proto, target.port, target.address, target.also) == ("tcp", 3000, "127.0.0.1", ("::1",))


def test_a_name_of_the_hosts_table():
    assert ports("db.internal:5432", Names()) == [("tcp", "10.0.0.5", 5432)]
    assert parse("both:1", Names()).targets[0].also == ("fd00::5",)
    assert parse("twice:1", Names()).targets[0].also == ()


@pytest.mark.parametrize("text", ["8000-8010", "8000-8010/tcp", ":8000-8010", "tcp:8000-8010"])
def test_a_range_is_each_of_its_ports(text):
    assert ports(text) == [("tcp", None, port) for port in range(8000, 8011)]
    assert parse(text).many


def test_a_range_of_one_still_prints_an_array():
    assert parse("8000-8000").many
    assert ports("8000-8000") == [("tcp", None, 8000)]
    assert ports("[::1]:1-2/udp") == [("udp", "::1", 1), ("udp", "::1", 2)]
    assert len(ports("1-65535")) == 65535


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("https", [("tcp", 443), ("udp", 443)]),
        ("openvpn", [("tcp", 1194), ("udp", 1194)]),
        ("ipsec", [("udp", 500), ("udp", 4500)]),
        ("l2tp", [("udp", 1701)]),
        ("wireguard", [("udp", 51820)]),
    ],
)
def test_a_service_is_every_port_of_it(name, pairs):
    for text in (name, name.upper()):
        parsed = parse(text)
        assert sorted((t.proto, t.port) for t in parsed.targets) == sorted(pairs)
        assert parsed.many
        assert {t.service for t in parsed.targets} == {name}


def test_a_service_with_protocol_or_address():
    assert ports("https/tcp") == [("tcp", None, 443)]
    assert ports("127.0.0.1:https/udp") == [("udp", "127.0.0.1", 443)]
    assert ports("chargen", Names()) == [("tcp", None, 19), ("udp", None, 19)]


def test_every_built_in_service_can_be_asked_for():
    for name, pairs in WELL_KNOWN.items():
        assert ports(name) == [(proto, None, port) for proto, port in pairs]


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("/dev/ttyUSB0", "/dev/ttyUSB0"),
        ("ttyUSB0", "/dev/ttyUSB0"),
        ("COM3", "COM3"),
        ("com3:", "COM3"),
        (r"\\.\COM12", "COM12"),
        ("/dev/cu.usbmodem1", "/dev/cu.usbmodem1"),
        ("cu.usbmodem1", "/dev/cu.usbmodem1"),
        ("/dev/serial/by-id/usb-FTDI_x-if00-port0", "/dev/serial/by-id/usb-FTDI_x-if00-port0"),
    ],
)
def test_a_device(text, device):
    assert parse(text).targets == (Target(text=text, kind="device", device=device),)
    assert not parse(text).many


# ------------------------------------------------------------------------------------------ what can't be read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "an empty target"),
        ("   ", "an empty target"),
        ("65536", "port 65536 is above 65535"),
        ("99999999999999999999999999", "is above 65535"),
        ("127.0.0.1:65536", "port 65536 is above 65535"),
        ("1-65536", "port 65536 is above 65535"),
        ("8010-8000", "runs backwards; did you mean 8000-8010?"),
        ("htps", "did you mean https?"),
        ("frobnicate", "neither a port, an address with a port, a service nor a device"),
        ("-1", "neither a port"),
        ("8080x", "neither a port"),
        ("80 80", "neither a port"),
        ("8080-", "neither a port"),
        ("¹²", "neither a port"),
        ("٨٠", "neither a port"),
        ("8080/sctp", "no protocol of ports"),
        ("127.0.0.1", "has no port"),
        ("::1", "has no port: write the port after it, such as [::1]:8080"),
        ("2001:db8::1", "has no port: write the port after it, such as [2001:db8::1]:8080"),
        ("[::1]", "has no port: write the port after it, such as [::1]:8080"),
        ("127.0.0.1:", "has no port"),
        ("::1:8080", "is ambiguous: put the IPv6 address in brackets, such as [::1]:8080"),
        ("::1:8080x", "is ambiguous: put the IPv6 address in brackets"),
        ("[::1", "expected an IPv6 address in brackets"),
        ("[::1]8080", "expected an IPv6 address in brackets"),
        ("[::g]:80", "neither an address nor a name"),
        ("no.such.host:80", "neither an address nor a name"),
        ("256.0.0.1:80", "neither an address nor a name"),
        ("l2tp/tcp", "registered, but not for tcp"),
        ("gopher9://127.0.0.1/", "neither a port"),
        ("\x1b[2J8080", "is not a target"),
        ("80\n80", "is not a target"),
        ("80\u202e80", "is not a target"),
        ("8\udc8080", "is not a target"),
        ("9" * (LONGEST + 1), "is not a target"),
    ],
)
def test_one_line_says_what_was_read_and_what_would_have_been_right(text, said):
    with pytest.raises(TargetError) as error:
        parse(text)
    message = str(error.value)
    assert said in message
    assert message.isprintable()
    assert len(message) < 300


def test_a_service_of_another_protocol_only():
    with pytest.raises(TargetError, match="registered, but not for"):
        parse("sctponly/tcp", Names())


# ------------------------------------------------------------------------------------------ whatever is typed

WORDS = "tcp udp 0 80 8080 65535 65536 127.0.0.1 ::1 localhost https http COM3 /dev/ tty"
PIECES = st.sampled_from([*WORDS.split(), *":/-.[]%@*", "::", "//", "\\\\.\\"])
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=8).map("".join), st.text("0123456789:-[]/.%", max_size=20))


@given(TEXTS)
@example("0-0")
@example("udp:udp:udp/udp")
@example("tcp://[::1%]:-")
@example("http://@:")
def test_any_text_gives_targets_or_one_printable_line(text):
    try:
        parsed = parse(text, Names())
    except TargetError as error:
        said = str(error)
        assert said
        assert said.isprintable()
        return
    assert parsed.targets
    for target in parsed.targets:
        assert target.text == text
        if target.kind == "device":
            assert target.device
            assert target.port is None
        else:
            assert target.proto in {"tcp", "udp"}
            assert 0 <= target.port <= 65535


@given(st.integers(0, 65535), st.sampled_from(["tcp", "udp"]))
def test_every_port_can_be_asked_for(port, proto):
    assert ports(f"{port}/{proto}") == ports(f"{proto}:{port}") == [(proto, None, port)]


@given(st.ip_addresses(), st.integers(1, 65535))
def test_every_address_can_be_asked_for(address, port):
    where = f"[{address}]" if address.version == 6 else str(address)
    (found,) = ports(f"{where}:{port}")
    assert found[2] == port
    assert parse(f"http://{where}:{port}/").targets[0].address == found[1]
