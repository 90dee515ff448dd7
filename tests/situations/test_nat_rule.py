"""What is said of rules that take a port's traffic: from scenes made by hand."""

import pytest

from inuse.evidence.nat import NatRule
from inuse.model import Answer, Attempt, Host, Scene, Target
from inuse.scene import View
from inuse.situations import nat_rule


def found(*rules, address=None, proto="tcp", uid=0, errno=None, families=("inet", "inet6")):
    answers = tuple(Answer(attempt=Attempt(proto=proto, family=family, port=80), errno=errno) for family in families)
    scene = Scene(
        target=Target(text="80", proto=proto, address=address, port=80),
        answers=answers,
        nat_rules=rules,
        host=Host(asker_uid=uid),
    )
    return nat_rule.find(View(scene))


def rule(**changes):
    first = {
        "action": "dnat",
        "to": "10.0.0.5:8080",
        "table": "nat",
        "path": ("OUTPUT",),
        "own": True,
        "hook": "output",
    }
    return NatRule(**(first | {"handle": 7} | changes))


def test_nothing_without_rules_nor_where_it_is_held():
    assert found() is None
    assert found(rule(), errno="EADDRINUSE") is None


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "a NAT rule sends this machine's own connections to 10.0.0.5:8080"),
        ({"own": False, "hook": "prerouting"}, "a NAT rule sends other hosts' connections to 10.0.0.5:8080"),
        ({"partial": True}, "a NAT rule sends some of this machine's own connections to 10.0.0.5:8080"),
        ({"by": "docker"}, "a NAT rule of Docker sends this machine's own connections to 10.0.0.5:8080"),
        ({"to": None}, "a NAT rule sends this machine's own connections to another place"),
        (
            {"action": "ipvs", "hook": "input", "own": False, "addresses": ("192.0.2.1",)},
            "a virtual service of IPVS sends its traffic to 10.0.0.5:8080 (only those for 192.0.2.1)",
        ),
        (
            {"own": False, "hook": "prerouting", "addresses": ("::1",), "interfaces": ("eth0",)},
            "a NAT rule sends other hosts' connections to 10.0.0.5:8080 (only those for ::1 that come in by eth0)",
        ),
    ],
)
def test_titles(changes, title):
    assert found(rule(**changes)).title == f"port 80 can be had, but {title}"


def test_packets_of_udp():
    assert "own packets to" in found(rule(), proto="udp").title
    assert "listen" not in found(rule(), proto="udp").explanation


def test_both_hooks_together_are_all_its_traffic():
    both = found(rule(), rule(own=False, hook="prerouting"))
    assert both.title == "port 80 can be had, but a NAT rule sends its traffic to 10.0.0.5:8080"
    assert "still arrive" not in both.explanation
    assert both.details["hooks"] == ["output", "prerouting"]


def test_many_ends_are_counted():
    many = found(*(rule(to=f"10.0.0.{n}:80") for n in range(6)))
    assert many.title.endswith("to 10.0.0.0:80, 10.0.0.1:80, 10.0.0.2:80 or 3 more")


def test_the_other_family_is_said_to_be_free():
    assert "Only IPv4 is affected." in found(rule()).explanation
    assert "IPv4" not in found(rule(), families=("inet",)).explanation


def test_whoever_is_not_root_needs_to_be():
    assert [remedy.needs_root for remedy in found(rule()).remedies] == [False, False]
    assert [remedy.needs_root for remedy in found(rule(), uid=1000).remedies] == [True, False]


def test_a_rule_of_iptables_is_deleted_by_its_words_and_without_them_by_its_number():
    by_words = rule(tool="iptables-nft", text='-A OUTPUT -p tcp -m comment --comment "a b" -j DNAT')
    assert found(by_words).remedies[0].command == (
        *("iptables-nft", "-t", "nat", "-D", "OUTPUT", "-p", "tcp", "-m", "comment", "--comment", "a b", "-j", "DNAT"),
    )
    for text in ("", '-A OUTPUT "unbalanced', "garbage"):
        by_number = rule(tool="iptables-legacy", number=3, text=text)
        assert found(by_number).remedies[0].command == ("iptables-legacy", "-t", "nat", "-D", "OUTPUT", "3")


@pytest.mark.parametrize("by", ["kube-proxy", "cni", "docker", "podman", "firewalld", "calico"])
def test_what_a_manager_made_is_not_deleted_by_hand(by):
    said = found(rule(by=by))
    assert [remedy.id for remedy in said.remedies] == ["remove-rule-where-made", "use-another-port"]
    assert not any(remedy.automatic for remedy in said.remedies)


def test_a_virtual_service():
    said = found(rule(action="ipvs", hook="input", own=False, addresses=("2001:db8::1",), table="", path=()))
    assert said.remedies[0].command == ("ipvsadm", "--delete-service", "--tcp-service", "[2001:db8::1]:80")
    assert said.evidence == ("/proc/net/ip_vs: a virtual service at 2001:db8::1 with the destinations 10.0.0.5:8080",)
