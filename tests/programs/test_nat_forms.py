"""Rules in forms that a plain reading gets wrong, and from where they can be read; real rules in the kernel."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from nat_lab import HERE, Lab, forget_connections, iptables, nft, program, run
from staging import PATH, diagnosis, finding, inuse, needs_users, private, situations

PREROUTING = "type nat hook prerouting priority -100;"
REDIRECT = f"table ip t {{ chain p {{ {PREROUTING} tcp dport 8080 redirect to :99; }} }}"


def rule_of(said):
    return finding(said, "nat-rule")


@private
def test_a_table_that_sleeps_takes_nothing(stage):
    nft(REDIRECT)
    with Lab() as lab:
        assert rule_of(diagnosis("8080"))["confidence"] == "certain"
        assert not lab.arrives(None, 8080, HERE["h0"], own=False)
        run("nft", "add table ip t { flags dormant; }")
        forget_connections()
        assert lab.arrives(None, 8080, HERE["h0"], own=False)
        assert "nat-rule" not in situations(diagnosis("8080"))


BECOME_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
IN_NAMESPACE = """
ip link set lo up
nft {rule!r}
exec {python} -m inuse 8080 --json
"""


def test_an_ordinary_user_sees_the_rules_of_a_namespace_of_theirs(tmp_path):
    """The list of iptables-legacy's tables is root's outside: what can't be seen is said, and only that."""
    needs_users()
    rule = REDIRECT.replace("} }", "};}")
    script = IN_NAMESPACE.format(rule=rule, python=sys.executable)
    done = subprocess.run(
        [*BECOME_NOBODY, program("unshare"), "-rn", "sh", "-ec", script],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": PATH},
    )
    if "unshare" in done.stderr or "not permitted" in done.stderr:
        pytest.skip(done.stderr.strip())
    said = json.loads(done.stdout)
    assert rule_of(said)["details"]["to"] == ":99"
    about = [limit for limit in said["limits"] if "NAT" in limit]
    assert all("iptables-legacy" in limit and "sudo" not in limit for limit in about)
    assert len(about) <= 1


@pytest.mark.parametrize("condition", ["iifname eth7", "ip saddr 10.0.0.0/8", "ip daddr != 127.0.0.0/8", "meta mark 1"])
@private
def test_conditions_where_no_other_host_can_come_yet(stage, condition):
    """With loopback alone: from where and by which interface others will come is not known, so it may be taken."""
    nft(REDIRECT.replace("tcp dport", f"{condition} tcp dport"))
    found = rule_of(diagnosis("8080"))
    assert found["confidence"] == ("certain" if "daddr" in condition else "likely")
    assert found["details"]["traffic"] == ["others"]
    assert found["details"]["addresses"] == []


@private
def test_tables_of_both_families_with_the_same_numbers(stage):
    """A handle counts within its table: each rule has its own command, and together they help."""
    nft(REDIRECT)
    nft(REDIRECT.replace("table ip ", "table ip6 "))
    for remedy in rule_of(diagnosis("8080"))["remedies"]:
        if remedy["command"]:
            run(*remedy["command"])
    assert "nat-rule" not in situations(diagnosis("8080"))


@private
def test_what_else_a_rule_takes_goes_with_it(stage):
    nft(REDIRECT.replace("8080", "{ 80, 8080 }"))
    assert "any other port" in rule_of(diagnosis("8080"))["remedies"][0]["disrupts"]


HOSTILE = [
    "x\x1b[31mred",
    "one\n-A PREROUTING -p tcp -m tcp --dport 22 -j ACCEPT",
    'a "quoted\n-A PREROUTING" \\ \' end\\',
    "two\n\t\ttcp dport 22 accept # handle 3",
]


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
@pytest.mark.parametrize("comment", HOSTILE)
@private
def test_a_comment_with_line_breaks_and_escapes(stage, tool, comment):
    """Neither its own text nor that of the next rule is taken from within a comment, nor the command to delete it."""
    run(tool, *shlex.split("-t nat -A PREROUTING -p tcp --dport 8080 -m comment --comment"), comment, "-j", "REDIRECT")
    run(tool, *shlex.split("-t nat -R PREROUTING 1 -p tcp --dport 8080 -m comment --comment"), comment,
        *shlex.split("-j REDIRECT --to-ports 99"))  # fmt: skip
    iptables("-A PREROUTING -p tcp -m tcp --dport 8081 -j REDIRECT --to-ports 98", tool)
    first, second = rule_of(diagnosis("8080")), rule_of(diagnosis("8081"))
    assert " redirect to :99, with the comment " in first["evidence"][0]
    assert second["evidence"][0].endswith(": -A PREROUTING -p tcp -m tcp --dport 8081 -j REDIRECT --to-ports 98")
    assert "\x1b" not in inuse("8080").text
    run(*second["remedies"][0]["command"])
    assert "nat-rule" not in situations(diagnosis("8081"))
    assert rule_of(diagnosis("8080"))
    run(*first["remedies"][0]["command"])
    assert "nat-rule" not in situations(diagnosis("8080"))


@private
def test_a_comment_of_nft_with_line_breaks(stage):
    nft(
        REDIRECT.replace(";", ' comment "two\n\t\tlines # handle 2";', 2).replace(
            ' comment "two\n\t\tlines # handle 2"', "", 1
        )
    )
    said = rule_of(diagnosis("8080"))["evidence"][0]
    assert " redirect to :99, with the comment " in said
