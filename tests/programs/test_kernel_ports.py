"""The kernel's own users of ports on the real kernel: what is said of them, and that what is advised frees the port."""

import os
import socket
import subprocess

import pytest
from staging import answer, diagnosis, everything_visible, finding, held, inuse, needs_users, private, situations

from inuse.demo import linux
from inuse.demo.kernel import VARIANTS, VXLAN
from inuse.demo.stage import NotHereError
from inuse.demo.stagings import kernel as kernel_vxlan

STAGINGS = {staging.__name__: staging for staging in (kernel_vxlan, *VARIANTS)}
#: What each staging's finding names.
NAMED = {
    "kernel": ("vxlan", "vxlan0"),
    "kernel_shared": ("vxlan", "vxlan0"),
    "kernel_external": ("vxlan", "vxlan0"),
    "kernel_moved": ("vxlan", "vxlan0"),
    "kernel_geneve": ("geneve", "geneve0"),
    "kernel_fou": ("fou", None),
    "kernel_l2tp": ("l2tp", None),
    "kernel_wireguard": ("wireguard", "wg0"),
    "kernel_mptcp": ("mptcp", None),
}
IP = next((path for folder in ("/usr/sbin", "/sbin", "/bin") if os.access(path := f"{folder}/ip", os.X_OK)), "ip")


def ip(*words):
    try:
        done = subprocess.run([IP, *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no program ip")
    if done.returncode:
        pytest.skip(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def carried_out(command):
    """Type what a remedy says."""
    words = [IP if word == "ip" else word for word in command]
    done = subprocess.run(words, check=False, capture_output=True, timeout=20)
    if b"not permitted" in done.stderr:
        pytest.skip(f"{' '.join(words)}: {done.stderr.decode().strip()}")
    assert done.returncode == 0, done.stderr


def kernel(said):
    return finding(said, "kernel")


def commands(said):
    return [remedy["command"] for remedy in kernel(said)["remedies"] if remedy["command"]]


def test_every_staging_is_expected():
    assert set(NAMED) == set(STAGINGS)


@pytest.mark.parametrize("name", NAMED)
@private
def test_the_kernel_s_holder_is_named(stage, name):
    staged = STAGINGS[name](stage)
    said = diagnosis(staged.target)
    assert answer(said) == held("kernel")
    assert situations(said) == ["kernel"]
    assert (kernel(said)["details"]["subsystem"], kernel(said)["details"]["interface"]) == NAMED[name]
    assert said["holders"][0]["kind"] == "kernel"
    assert said["holders"][0]["pid"] is None
    assert said["holders"][0]["subsystem"] == NAMED[name][0]
    # Certain even where processes are hidden: the kernel itself says so.
    assert kernel(said)["confidence"] == "certain"


@pytest.mark.parametrize("name", NAMED)
@private
def test_what_is_advised_frees_the_port(stage, name):
    staged = STAGINGS[name](stage)
    said = diagnosis(staged.target)
    assert all(not remedy["automatic"] for remedy in kernel(said)["remedies"])
    if name == "kernel_moved":
        # That namespace has no name here: there is no command, but it is said where to look.
        assert commands(said) == []
        assert "another network namespace" in kernel(said)["explanation"]
        return
    assert commands(said)
    # Interfaces that share a socket have to go all of them; else the first remedy is enough.
    for command in commands(said) if name == "kernel_shared" else commands(said)[:1]:
        carried_out(command)
    assert diagnosis(staged.target)["verdict"] == "free"


@private
def test_taking_an_interface_down_can_be_undone(stage):
    staged = kernel_vxlan(stage)
    [remedy] = [one for one in kernel(diagnosis(staged.target))["remedies"] if one["command"]]
    assert remedy["reversible"]
    assert remedy["command"] == ["ip", "link", "set", "dev", "vxlan0", "down"]
    carried_out(remedy["command"])
    linux.up("vxlan0")
    assert answer(diagnosis(staged.target)) == held("kernel")


@private
def test_a_person_reads_the_interface_and_no_pid(stage):
    kernel_vxlan(stage)
    text = " ".join(inuse(f"{VXLAN}/udp").text.split())
    assert "VXLAN interface vxlan0" in text
    assert "ip link set dev vxlan0 down" in text
    assert "kill" not in text
    if everything_visible():
        assert "may not be looked at" not in text


@private
def test_an_interface_that_is_down_has_nothing(stage):
    kernel_vxlan(stage)
    ip("link", "set", "dev", "vxlan0", "down")
    assert diagnosis(f"{VXLAN}/udp")["verdict"] == "free"


@private
def test_a_program_on_the_port_of_an_interface_that_is_down_is_the_holder(stage):
    kernel_vxlan(stage)
    ip("link", "set", "dev", "vxlan0", "down")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.bind(("0.0.0.0", VXLAN))
        said = diagnosis(f"{VXLAN}/udp")
    assert "kernel" not in situations(said)
    assert said["holders"][0]["pid"] == os.getpid()


@private
def test_an_interface_that_is_down_is_not_blamed_by_who_can_not_see_the_program(stage):
    needs_users()
    kernel_vxlan(stage)
    ip("link", "set", "dev", "vxlan0", "down")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.bind(("0.0.0.0", VXLAN))
        said = diagnosis(f"{VXLAN}/udp", enter=linux.become_nobody)
    assert situations(said)[0] == "hidden-holder"
    assert "kernel" not in situations(said)
    assert all(holder["kind"] != "kernel" for holder in said["holders"])


@private
def test_what_taking_an_interface_down_costs_is_said(stage):
    kernel_vxlan(stage)
    [remedy] = [one for one in kernel(diagnosis(f"{VXLAN}/udp"))["remedies"] if one["command"]]
    ip("address", "add", "fd77::1/64", "dev", "vxlan0")
    carried_out(remedy["command"])
    linux.up("vxlan0")
    assert "fd77::1" in ip("address", "show", "dev", "vxlan0") or "IPv6 addresses" in remedy["disrupts"]


@private
def test_a_program_beside_the_kernel_is_named_as_well(stage):
    """The tunnel has the IPv4 port, a program the IPv6 one."""
    needs_users()
    kernel_vxlan(stage)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as mine:
        mine.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        mine.bind(("::", VXLAN))
        said = diagnosis(f"{VXLAN}/udp")
    assert {holder["pid"] for holder in said["holders"]} == {None, os.getpid()}
    assert kernel(said)["title"].count("::") == 0


@private
def test_an_ordinary_user_is_told_of_the_interface_too(stage):
    needs_users()
    staged = kernel_vxlan(stage)
    said = diagnosis(staged.target, enter=linux.become_nobody)
    assert said["situation"] == "kernel"
    assert kernel(said)["confidence"] == "certain"
    assert kernel(said)["details"]["interface"] == "vxlan0"
    assert all(remedy["needs_root"] for remedy in kernel(said)["remedies"] if remedy["command"])


@private
def test_an_ordinary_user_is_not_told_that_a_hidden_program_is_the_kernel(stage):
    """A tunnel has the IPv4 port; the IPv6 port is a root program's, which only root may see."""
    needs_users()
    kernel_vxlan(stage)
    program = stage.program(
        "/usr/bin/python3",
        "-I",
        "-c",
        "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.setsockopt(41, 26, 1)\n"
        f"s.bind(('::', {VXLAN})); print('{{}}', flush=True); input()",
    )
    program.hear()
    said = diagnosis(f"[::]:{VXLAN}/udp", enter=linux.become_nobody)
    assert said["situation"] != "kernel" or kernel(said)["confidence"] == "likely"
    assert "hidden-holder" in situations(said)


@private
def test_a_named_namespace_is_in_the_command(stage):
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, 0x4000 | 1 << 18)
    linux.mount("tmpfs", "/run", "tmpfs")
    STAGINGS["kernel_moved"](stage)
    pid = stage._actors[0].pid
    os.makedirs("/run/netns")
    with open("/run/netns/there", "w"):
        pass
    linux.mount(f"/proc/{pid}/ns/net", "/run/netns/there", None, 0x1000)
    enter = ["nsenter", "--net=/run/netns/there"]
    said = diagnosis(f"{VXLAN}/udp")
    assert kernel(said)["confidence"] == "certain"
    assert kernel(said)["details"]["namespace"] == "/run/netns/there"
    assert commands(said) == [[*enter, "ip", "link", "set", "dev", "vxlan0", "down"]]
    carried_out(commands(said)[0])
    assert diagnosis(f"{VXLAN}/udp")["verdict"] == "free"


@private
def test_the_maker_of_an_interface_is_named(stage):
    try:
        linux.add_vxlan("vxlan_sys_4789", VXLAN)
    except OSError as error:
        raise NotHereError(f"this kernel makes no VXLAN interface ({error.strerror})") from error
    said = diagnosis(f"{VXLAN}/udp")
    assert kernel(said)["details"]["made_by"] == "Open vSwitch"
    assert "Open vSwitch" in kernel(said)["remedies"][0]["title"]


@private
def test_an_ipv6_tunnel_is_told_from_an_ipv4_one(stage):
    ip("link", "add", "vx6", "type", "vxlan", "id", "6", "dstport", str(VXLAN), "remote", "::1", "dev", "lo")
    ip("link", "add", "vx4", "type", "vxlan", "id", "4", "dstport", str(VXLAN), "remote", "127.0.0.2", "dev", "lo")
    linux.up("vx6")
    linux.up("vx4")
    assert kernel(diagnosis(f"0.0.0.0:{VXLAN}/udp"))["details"]["interface"] == "vx4"
    assert kernel(diagnosis(f"[::]:{VXLAN}/udp", "--as", "v6only"))["details"]["interface"] == "vx6"
