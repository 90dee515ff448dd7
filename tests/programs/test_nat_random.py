"""Random rules, and real connections as the judge of what is said about them."""

import contextlib
import os
import random
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from nat_lab import HERE, HERE6, Lab, forget_connections, iptables, nft, run
from staging import private

from inuse.model import Scene, Target
from inuse.systems.linux.nat import look_all

CASES = int(os.environ.get("INUSE_NAT_CASES", "10"))
PORTS = range(8000, 8004)
V4 = (*HERE.values(), "127.0.0.1")
ADDRESSES = (*V4, HERE6, "::1")


class Draw:
    """Draws rules in the grammar of nft."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.proto = self.one("tcp", "udp")
        self.family = self.one("ip", "inet")

    def one(self, *things):
        return self.random.choice(things)

    def port(self):
        return self.one(*PORTS)

    def range(self):
        first = self.port()
        return f"{first}-{self.random.randint(first + 1, 8005)}"

    def ports(self):
        p = self.proto
        return self.one(
            f"{p} dport {self.port()}",
            f"{p} dport {self.range()}",
            f"{p} dport != {self.port()}",
            f"{p} dport != {self.range()}",
            f"{p} dport {{ {self.port()}, {self.range()}, 9000 }}",
            f"{p} dport != {{ {self.port()}, 9000-9010 }}",
            f"{p} dport >= {self.port()}",
            f"{p} dport < {self.port()}",
            f"meta l4proto {{ tcp, udp }} th dport {self.port()}",
            f"meta l4proto {p} th dport {self.range()}",
            f"ip daddr . {p} dport {{ {self.one(*V4)} . {self.port()}, {self.one(*V4)} . {self.range()} }}",
            f"{p} dport & 1 == 1",
            f"meta l4proto . th dport {{ {p} . {self.port()} }}",
            f"meta l4proto {p}",
        )

    def place(self):
        return self.one(
            "",
            "",
            f"ip daddr {self.one(*V4)}",
            f"ip daddr != {self.one(*V4)}",
            f"ip daddr {{ {self.one(*V4)}, 10.0.0.0/8 }}",
            "ip daddr 192.0.2.0/24",
            "ip daddr != 127.0.0.0/8",
            f"ip daddr {HERE['h0']}-{HERE['h1']}",
            "fib daddr type local",
            "fib daddr type != local",
            'iifname "h1"',
            'iifname != "h0"',
            'iifname "h*"',
            'oifname "lo"',
            'iif "lo"',
            "meta nfproto ipv4",
            "ct state new",
            f"ip saddr {HERE['h0']} ip daddr {HERE['h0']}",
            "meta mark 0",
            f"ip6 daddr {HERE6}" if self.family == "inet" else "counter",
        )

    def end(self, below):
        jumps = [f"{self.one('jump', 'goto')} c{n}" for n in below]
        to = self.one(*V4[:2], *V4)
        return self.one(
            f"redirect to :{self.port()}",
            f"redirect to :{self.one(8004, 8005)}",
            f"dnat ip to {to}:{self.port()}" if self.family == "inet" else f"dnat to {to}:{self.port()}",
            "accept",
            "return",
            "counter",
            *jumps,
            *jumps,
        )

    def rule(self, below):
        if self.random.random() < 0.2:
            targets = ["accept", "return", *(f"jump c{n}" for n in below)]
            first, other = self.random.sample(PORTS, 2)
            return f"{self.proto} dport vmap {{ {first} : {self.one(*targets)}, {other} : {self.one(*targets)} }}"
        if self.random.random() < 0.1:
            keys = self.random.sample(PORTS, 2)
            to = f"{{ {keys[0]} : 8005, {keys[1]} : 8001 }}"
            return f"meta l4proto {self.proto} redirect to :{self.proto} dport map {to}"
        return f"{self.ports()} {self.place()} {self.end(below)}"

    def table(self):
        lines = [f"table {self.family} t {{"]
        for n in (2, 1, 0):
            below = range(n + 1, 3)
            lines += [f"chain c{n} {{", *(self.rule(below) for _ in range(self.random.randint(1, 3))), "}"]
        for hook in ("prerouting", "output"):
            for priority in self.random.sample((-100, -90, -110), self.one(1, 2)):
                lines += [f"chain {hook}{-priority} {{", f"type nat hook {hook} priority {priority}"]
                lines += [*(self.rule(range(3)) for _ in range(self.random.randint(1, 4))), "}"]
        return "\n".join((*lines, "}"))


def iptables_rules(draw):
    """Draw rules of iptables; chains are jumped to only downwards."""
    place = ["", "-d 192.0.2.1", "! -d 127.0.0.0/8", "-d 127.0.0.1", "-m addrtype --dst-type LOCAL"]
    place += ["-m addrtype ! --dst-type LOCAL", "-m conntrack --ctstate NEW"]
    lines = [":A - [0:0]", ":B - [0:0]"]
    for chain, below in (("PREROUTING", "AB"), ("OUTPUT", "AB"), ("A", "B"), ("B", "")):
        where = [*place, "-i h1", "! -i h0", "-i h+"] if chain == "PREROUTING" else place
        for _ in range(draw.random.randint(1, 3)):
            low, high = sorted(draw.random.sample(PORTS, 2))
            ports = draw.one(
                f"-m {draw.proto} --dport {low}",
                f"-m {draw.proto} --dport {low}:{high}",
                f"-m {draw.proto} ! --dport {low}",
                f"-m multiport --dports {low},{high}",
                f"-m multiport ! --dports {low}",
                f"-m multiport --dports {low}:{high},9000",
                "",
            )
            ends = ["REDIRECT --to-ports 8004", f"DNAT --to-destination 192.0.2.1:{low}", "RETURN", "ACCEPT", *below]
            comment = draw.one("", '-m comment --comment "why not"')
            jump = draw.one("-j", "-g") if (end := draw.one(*ends)) in below else "-j"
            lines.append(f"-A {chain} {draw.one(*where)} -p {draw.proto} {ports} {comment} {jump} {end}")
    return "\n".join(lines)


def accepted(draw):
    """Draw until nft takes the table: not everything that can be said goes together."""
    for _ in range(50):
        table = draw.table()
        with contextlib.suppress(AssertionError):
            nft(table)
            return table
    raise AssertionError("nft takes none of 50 tables")


def scene(proto, address, port):
    return Scene(target=Target(text="", proto=proto, address=address, port=port))


def takes(rules, address, interface, *, own):
    """Whether rules are said to take a connection: True, False, or None for "some of them"."""
    hit = [
        rule
        for rule in rules
        if rule.own is own
        and (rule.family == "ip6") is (":" in address)
        and (not rule.addresses or address in rule.addresses)
        and (own or not rule.interfaces or interface in rule.interfaces)
    ]
    if not hit:
        return False
    return None if any(rule.partial for rule in hit) else True


def wrong(lab, proto):
    """Compare everything that is said with what really happens; return what differs, and how much was compared."""
    asked = [(bound, port) for bound in (None, *ADDRESSES) for port in PORTS]
    scenes = look_all([scene(proto, *one) for one in asked])
    differ, compared = [], 0
    forget_connections()
    for (bound, port), seen in zip(asked, scenes, strict=True):
        assert not seen.unseen, seen.unseen
        for address in ADDRESSES if bound is None else (bound,):
            interface = next((name for name, here in HERE.items() if here == address), "h0")
            for own in (True, False):
                if not own and address in {"127.0.0.1", "::1"}:
                    continue
                said = takes(seen.nat_rules, address, interface, own=own)
                if said is None:
                    continue
                compared += 1
                truth = not lab.arrives(bound, port, address, own=own, proto=proto)
                if truth is not said:
                    differ.append((bound, port, address, "own" if own else "others", "taken" if truth else "arrives"))
    return differ, compared


@pytest.mark.parametrize("group", range(3))
@private
def test_rules_of_nft(stage, group):
    compared = 0
    with Lab() as lab:
        for case in range(CASES):
            draw = Draw(f"nft {group} {case}")
            table = accepted(draw)
            differ, count = wrong(lab, draw.proto)
            assert not differ, f"case {group} {case}:\n{table}\n{differ}"
            compared += count
            run("nft", "flush", "ruleset")
    assert compared > 20 * CASES


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
@private
def test_rules_of_iptables(stage, tool):
    compared = 0
    with Lab() as lab:
        for case in range(CASES):
            draw = Draw(f"{tool} {case}")
            rules = iptables_rules(draw)
            iptables(rules, tool)
            differ, count = wrong(lab, draw.proto)
            assert not differ, f"case {case}:\n{rules}\n{differ}"
            compared += count
            run(tool, "-t", "nat", "-F")
            with contextlib.suppress(AssertionError):
                run(tool, "-t", "nat", "-X")
    assert compared > 20 * CASES
