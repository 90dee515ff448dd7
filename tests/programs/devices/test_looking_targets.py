"""What a person types to name a serial device."""

import pytest

from inuse.targets import TargetError, parse


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("/tmp/vmodem", "/tmp/vmodem"),
        ("./vmodem", "./vmodem"),
        ("../vmodem", "../vmodem"),
        ("run/vmodem", "run/vmodem"),
        ("dev/ttyS0", "/dev/ttyS0"),
        ("pts/3", "/dev/pts/3"),
        ("ttyACM0", "/dev/ttyACM0"),
        ("rfcomm0", "/dev/rfcomm0"),
        ("serial/by-id/usb-x-if00", "/dev/serial/by-id/usb-x-if00"),
        ("serial/by-path/pci-0000:00:14.0-usb-0:2:1.0-port0", "/dev/serial/by-path/pci-0000:00:14.0-usb-0:2:1.0-port0"),
        ("usb-1a86_USB_Serial-if00-port0", "/dev/serial/by-id/usb-1a86_USB_Serial-if00-port0"),
        ("//./COM3", "COM3"),
        ("com12", "COM12"),
    ],
)
def test_a_device(text, device):
    (target,) = parse(text).targets
    assert (target.kind, target.device) == ("device", device)


@pytest.mark.parametrize(
    "text", ["500/udp", "udp/500", "https/tcp", "tcp/https", "http://localhost:80/x/y", "[::1]:53/udp"]
)
def test_what_has_a_slash_and_is_a_port(text):
    assert parse(text).targets[0].kind == "port"


@pytest.mark.parametrize("text", ["/", "/dev", "/dev/", "8080/sctp", "https/sctp", "a/"])
def test_no_device_at_all(text):
    with pytest.raises(TargetError):
        parse(text)
