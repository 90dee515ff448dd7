"""A host under test with two virtual cables to another one, and a judge: does a connection arrive where it was sent?"""

import os
import shutil
import socket
import subprocess
import sys

import pytest

from inuse.systems.linux.nat.nftables import NETLINK_NETFILTER
from inuse.systems.linux.netlink import NetlinkSocket

FOLDERS = "/usr/sbin:/sbin:/usr/bin:/bin"
#: This host's addresses by interface, and the other host's.
HERE = {"h0": "192.0.2.1", "h1": "198.51.100.1"}
THERE = {"h0": "192.0.2.2", "h1": "198.51.100.2"}
HERE6, THERE6 = "2001:db8::1", "2001:db8::2"

OUTSIDE = """
import ctypes, os, socket, subprocess, sys
ctypes.CDLL(None).unshare(0x40000000)
print("ready", flush=True)
sys.stdin.readline()
for line in {commands!r}:
    subprocess.run(["ip", *line.split()], check=True)
print("up", flush=True)
for line in sys.stdin:
    proto, address, port = line.split()
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, getattr(socket, proto))
    made.settimeout(0.3)
    try:
        made.connect((address, int(port)))
        if proto == "SOCK_DGRAM":
            made.send(b"x")
        print("done", flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
    made.close()
"""


def program(name):
    """Where a program is; the test is skipped where it is not."""
    return shutil.which(name, path=FOLDERS) or pytest.skip(f"there is no program {name}")


def run(*command, text=""):
    """Run a program with some input; skip where the kernel does not offer what it asks for."""
    done = subprocess.run(
        [program(command[0]), *command[1:]],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "XTABLES_LOCKFILE": os.devnull},
    )
    if any(
        why in done.stderr
        for why in (
            *("not permitted", "must be root", "unable to initialize table", "not supported", "Message too long"),
            "Could not process rule: No such file",
        )
    ):
        pytest.skip(f"{' '.join(command)}: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def nft(text):
    """Load rules with nft, whose grammar wants a new line after a block."""
    run("nft", "-f", "-", text=text.replace("} }", "}\n}"))


def iptables(text, name="iptables-nft"):
    """Load rules of the table nat, without touching others."""
    run(f"{name}-restore", "--noflush", text=f"*nat\n{text}\nCOMMIT\n")


class Lab:
    """This network namespace, with another one at the end of two cables."""

    def __init__(self):
        ip = program("ip")
        commands = ["link set lo up"]
        for here, other in (("h0", "p0"), ("h1", "p1")):
            self._ip(ip, "link", "add", here, "type", "veth", "peer", "name", other)
            commands += [f"addr add {THERE[here]}/24 dev {other}", f"link set {other} up"]
        commands.append(f"addr add {THERE6}/64 dev p0 nodad")
        self._other = subprocess.Popen(
            [sys.executable, "-I", "-c", OUTSIDE.format(commands=commands)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": FOLDERS},
        )
        assert self._other.stdout.readline() == "ready\n"
        for here, other in (("h0", "p0"), ("h1", "p1")):
            self._ip(ip, "link", "set", other, "netns", str(self._other.pid))
            self._ip(ip, "addr", "add", f"{HERE[here]}/24", "dev", here)
            self._ip(ip, "link", "set", here, "up")
        self._ip(ip, "addr", "add", f"{HERE6}/64", "dev", "h0", "nodad")
        self._tell("")
        assert self._other.stdout.readline() == "up\n"

    @staticmethod
    def _ip(*command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no virtual cable can be had: {done.stderr.strip()}")

    def _tell(self, line):
        self._other.stdin.write(line + "\n")
        self._other.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._other.kill()
        self._other.wait()
        self._other.stdin.close()
        self._other.stdout.close()

    def arrives(self, bound, port, to, *, own, proto="tcp"):
        """Bind and listen on a port, connect to it at an address, and tell whether the connection arrives there."""
        family = socket.AF_INET6 if ":" in (bound or to) else socket.AF_INET
        kind = "SOCK_STREAM" if proto == "tcp" else "SOCK_DGRAM"
        with socket.socket(family, getattr(socket, kind)) as server:
            if family == socket.AF_INET6:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if proto == "tcp":  # connections of the case before are in TIME_WAIT
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((bound or ("::" if family == socket.AF_INET6 else "0.0.0.0"), port))
            if proto == "tcp":
                server.listen()
            if own:
                self._connect_here(kind, to, port)
            else:
                self._tell(f"{kind} {to} {port}")
                self._other.stdout.readline()
            return _heard(server, proto)

    @staticmethod
    def _connect_here(kind, to, port):
        with socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, getattr(socket, kind)) as made:
            made.settimeout(0.3)
            try:
                made.connect((to, port))
                if kind == "SOCK_DGRAM":
                    made.send(b"x")
            except OSError:
                pass


def _heard(server, proto):
    server.setblocking(False)
    try:
        if proto == "udp":
            return bool(server.recv(1))
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def forget_connections():
    """Have the kernel forget its tracked connections: a source port used again would follow the rules of before."""
    with NetlinkSocket(NETLINK_NETFILTER) as link:
        link.request(1 << 8 | 2, bytes(4))  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
