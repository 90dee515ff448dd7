"""Ports that can be had and whose traffic a rule takes: real rules in the kernel, and real connections as the judge."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from nat_lab import HERE, HERE6, Lab, iptables, nft, run
from staging import PATH, diagnosis, finding, inuse, needs_users, private, situations

from inuse.demo import linux, nat

HOOK = {"prerouting": "type nat hook prerouting priority dstnat;", "output": "type nat hook output priority -100;"}
STAGINGS = [nat.nat_rule, nat.nat_rule_legacy, nat.nat_rule_node_port, nat.nat_rule_host_port]


def rule_of(said):
    return finding(said, "nat-rule")


def untouched(*arguments):
    said = diagnosis(*arguments)
    assert said["verdict"] == "free"
    assert "nat-rule" not in situations(said)
    return said


# -- What is said ---------------------------------------------------------------------------------


@pytest.mark.parametrize("staging", STAGINGS, ids=lambda staging: staging.__name__)
@private
def test_the_stagings(stage, staging):
    staged = staging(stage)
    said = diagnosis(staged.target)
    assert (said["verdict"], said["situation"], said["error"]) == ("free", "nat-rule", None)
    assert "free" in situations(said)
    assert not any("NAT" in limit for limit in said["limits"])
    found = rule_of(said)
    assert found["confidence"] == "certain"
    assert found["title"].startswith(f"port {staged.target} can be had, but ")
    assert not any(remedy["automatic"] for remedy in found["remedies"])
    untouched(str(int(staged.target) + 100))
    untouched(f"{staged.target}/udp")
    untouched(f"[::1]:{staged.target}") if staging is not nat.nat_rule else None


@private
def test_a_redirect(stage):
    found = rule_of(diagnosis(nat.nat_rule(stage).target))
    assert found["title"] == "port 8080 can be had, but a redirect rule sends its traffic to :8081"
    assert found["details"]["action"] == "redirect"
    assert found["details"]["to"] == ":8081"
    assert found["details"]["hooks"] == ["prerouting", "output"]
    assert found["details"]["traffic"] == ["others", "own"]
    assert found["evidence"][0].startswith("inet demo: prerouting, handle ")
    assert found["evidence"][0].endswith(": tcp dport 8080 redirect to :8081")


@private
def test_the_command_that_is_shown_deletes_the_rule(stage):
    staged = nat.nat_rule(stage)
    for remedy in rule_of(diagnosis(staged.target))["remedies"]:
        if remedy["command"]:
            run(*remedy["command"])
    untouched(staged.target)


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
@private
def test_the_command_that_is_shown_deletes_the_rule_of_iptables(stage, tool):
    """By its own words: a rule before it, gone in the meantime, must not lead to another one's end."""
    comment = r"a \"comment\" with $HOME; and more"
    iptables(
        "-A OUTPUT -p tcp --dport 9 -j REDIRECT --to-ports 10\n"
        f'-A OUTPUT -p tcp -m tcp --dport 8080 -m comment --comment "{comment}" -j DNAT --to-destination 192.0.2.7:80\n'
        "-A OUTPUT -p tcp --dport 11 -j REDIRECT --to-ports 10",
        tool,
    )
    found = rule_of(diagnosis("8080"))
    assert found["details"]["to"] == "192.0.2.7:80"
    run(tool, "-t", "nat", "-D", "OUTPUT", "1")
    run(*found["remedies"][0]["command"])
    untouched("8080")
    assert rule_of(diagnosis("11"))


@private
def test_a_node_port(stage):
    found = rule_of(diagnosis(nat.nat_rule_node_port(stage).target))
    assert found["title"] == (
        "port 31001 can be had, but a NAT rule of kube-proxy sends its traffic to 10.244.0.5:8080 or 10.244.0.6:8080"
    )
    assert found["details"]["by"] == "kube-proxy"
    assert found["details"]["serves"] == "the Kubernetes service default/web:http"
    remedy = found["remedies"][0]
    assert remedy["command"] == ["kubectl", "--namespace", "default", "edit", "service", "web"]
    assert len(found["evidence"]) == 2
    assert found["evidence"][0].startswith("ip nat: PREROUTING and OUTPUT > KUBE-SERVICES > KUBE-NODEPORTS > KUBE-EXT-")


@private
def test_a_host_port(stage):
    found = rule_of(diagnosis(nat.nat_rule_host_port(stage).target))
    assert found["title"] == "port 8080 can be had, but a NAT rule of a CNI plugin sends its traffic to 10.4.0.2:80"
    assert found["details"]["by"] == "cni"
    assert found["details"]["serves"] == "the container 8f2b1c0d9e7a of the network cbr0"
    assert found["remedies"][0]["command"] is None


@private
def test_kube_proxy_in_its_nftables_mode(stage):
    """Maps from protocol and port to chains named after the service; an endpoint chosen by chance."""
    name = "ULMVA6XW-ns1/svc1/tcp/p80"
    ends = (f"endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.{n}/80" for n in (1, 2))
    choice = ", ".join(f"{n} : goto {end}" for n, end in enumerate(ends))
    nft(
        f"""
        table ip kube-proxy {{
            map service-nodeports {{
                type inet_proto . inet_service : verdict
                elements = {{ tcp . 30080 : goto external-{name} }}
            }}
            map service-ips {{
                type ipv4_addr . inet_proto . inet_service : verdict
                elements = {{ 172.30.0.41 . tcp . 80 : goto service-{name} }}
            }}
            set nodeport-ips {{ type ipv4_addr; elements = {{ 192.0.2.1 }} }}
            chain endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80 {{ meta l4proto tcp dnat to 10.180.0.1:80; }}
            chain endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.2/80 {{ meta l4proto tcp dnat to 10.180.0.2:80; }}
            chain service-{name} {{ numgen random mod 2 vmap {{ {choice} }}; }}
            chain mark-for-masquerade {{ meta mark set meta mark or 0x4000; }}
            chain external-{name} {{ jump mark-for-masquerade; goto service-{name}; }}
            chain services {{
                ip daddr . meta l4proto . th dport vmap @service-ips
                ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
            }}
            chain nat-prerouting {{ {HOOK["prerouting"]} jump services; }}
            chain nat-output {{ {HOOK["output"]} jump services; }}
        }}
        """
    )
    with Lab():
        found = rule_of(diagnosis("30080"))
        assert found["details"]["by"] == "kube-proxy"
        assert found["details"]["serves"] == "the Kubernetes service ns1/svc1:p80"
        assert found["details"]["all_to"] == ["10.180.0.1:80", "10.180.0.2:80"]
        assert found["details"]["addresses"] == ["192.0.2.1"]
        assert "(only those for 192.0.2.1)" in found["title"]
        for other in ("80", "30081", "30080/udp", "198.51.100.1:30080"):
            untouched(other)


@private
def test_portmap_in_its_nftables_mode(stage):
    container = "4b624583ded419060960435aec2264eda03b1b0ac54c009a2ac98dc8492bf729"
    nft(
        f"""
        table ip cni_hostport {{
            chain hostports {{
                ip protocol tcp th dport 8444 dnat to 198.18.0.56:18444 comment "{container}"
            }}
            chain output {{ {HOOK["output"]} ip daddr != {{ 198.19.254.254 }} fib daddr type local jump hostports; }}
        }}
        """
    )
    found = rule_of(diagnosis("8444"))
    assert found["details"]["by"] == "cni"
    assert found["details"]["serves"] == "the container 4b624583ded4"
    assert found["details"]["to"] == "198.18.0.56:18444"


@private
def test_podman(stage):
    container = "dae7766953dafea5b850f1126f59ccc5717291dece209700112bddc27b65785b"
    iptables(
        ":NETAVARK-HOSTPORT-DNAT - [0:0]\n:NETAVARK-DN-26815A4C67D60 - [0:0]\n"
        "-A OUTPUT -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT\n"
        "-A NETAVARK-HOSTPORT-DNAT -p tcp -m tcp --dport 8080 -m comment "
        f'--comment "dnat name: podman id: {container}" -j NETAVARK-DN-26815A4C67D60\n'
        "-A NETAVARK-DN-26815A4C67D60 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.88.0.6:80"
    )
    found = rule_of(diagnosis("8080"))
    assert found["details"]["by"] == "podman"
    assert found["remedies"][0]["command"] == ["podman", "stop", "dae7766953da"]


@private
def test_docker(stage):
    """Its chain lets containers on its bridge through before the rule; this machine's loopback is left out."""
    iptables(
        ":DOCKER - [0:0]\n"
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
        "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER\n"
        "-A DOCKER -i docker0 -j RETURN\n"
        "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80"
    )
    with Lab():
        found = rule_of(diagnosis("8080"))
        assert found["details"]["by"] == "docker"
        assert found["details"]["traffic"] == ["others", "own"]
        assert found["confidence"] == "certain"
        assert found["remedies"][0]["command"] == ["docker", "ps", "--filter", "publish=8080"]
        untouched("127.0.0.1:8080")


@private
def test_a_saved_scene_gives_the_same_answer(stage, tmp_path):
    target, file = nat.nat_rule_node_port(stage).target, str(tmp_path / "scene.json")
    said = diagnosis(target, "--save-scene", file)
    assert rule_of(diagnosis("--scene", file)) == rule_of(said)


@private
def test_a_rule_that_takes_every_port(stage):
    nft(f"table ip t {{ chain o {{ {HOOK['output']} ip daddr 127.0.0.1 dnat to 192.0.2.7; }} }}")
    found = rule_of(diagnosis("8080"))
    assert found["details"]["every_port"]
    assert "it takes every port" in found["explanation"]
    assert "use-another-port" not in [remedy["id"] for remedy in found["remedies"]]


@private
def test_a_range_is_told_port_by_port(stage):
    nft(
        f"""table inet t {{
            map to {{ type inet_service : inet_service; flags interval; elements = {{ 8002-8003 : 99, 8005 : 98 }} }}
            chain o {{ {HOOK["output"]} tcp dport 8001 redirect to :97
            meta l4proto tcp redirect to :tcp dport map @to; }}
        }}"""
    )
    said = diagnosis("8000-8009")
    told = {one["target"]["port"]: rule_of(one)["details"]["to"] for one in said if one["situation"] == "nat-rule"}
    assert told == {8001: ":97", 8002: ":99", 8003: ":99", 8005: ":98"}


@private
def test_a_transparent_proxy(stage):
    nft(
        "table ip m { chain p { type filter hook prerouting priority mangle;\n"
        "tcp dport 8080 tproxy to :1234 meta mark set 1 accept\n}\n}"
    )
    found = rule_of(diagnosis("8080"))
    assert found["details"]["action"] == "tproxy"
    assert found["details"]["to"] == ":1234"
    assert found["confidence"] == "likely"
    untouched("8081")
    with Lab() as lab, socket.socket() as proxy:
        assert rule_of(diagnosis("8080"))["details"]["traffic"] == ["others", "own"]
        assert lab.arrives(None, 8080, HERE["h0"], own=False), "a rule without its proxy takes nothing"
        proxy.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
        proxy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what it accepts has the port asked about
        proxy.bind(("0.0.0.0", 1234))
        proxy.listen()
        assert not lab.arrives(None, 8080, HERE["h0"], own=False)
        assert not lab.arrives(None, 8080, "127.0.0.1", own=True)
        assert lab.arrives(None, 8081, HERE["h0"], own=False)


@private
def test_further_conditions_are_said(stage):
    nft(f"table ip t {{ chain o {{ {HOOK['output']} meta skuid 12345 tcp dport 8080 redirect to :99; }} }}")
    found = rule_of(diagnosis("8080"))
    assert found["confidence"] == "likely"
    assert found["details"]["partial"]
    assert "sends some of this machine's own connections to :99" in found["title"]
    assert "other conditions" in found["explanation"]


@private
def test_what_a_held_port_costs(stage):
    """Of a port that somebody has no rules are asked."""
    nft(f"table ip t {{ chain o {{ {HOOK['output']} tcp dport 8080 redirect to :99; }} }}")
    server = stage.start("serve", 8080)
    server.hear()
    assert situations(diagnosis("8080")) == ["application"]


@private
def test_the_text_for_a_person_fits(stage):
    text = inuse(nat.nat_rule_node_port(stage).target).text
    assert "31001" in text.splitlines()[0]
    assert all(len(line) <= 80 or line.lstrip().startswith("$") for line in text.splitlines()), text


# -- Whose traffic: real connections are the judge ------------------------------------------------


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("hook", ["prerouting", "output"])
@private
def test_whose_traffic_is_taken(stage, hook, proto):
    nft(f"table inet t {{ chain c {{ {HOOK[hook]} {proto} dport 8080 redirect to :8081; }} }}")
    with Lab() as lab:
        details = rule_of(diagnosis(f"8080/{proto}"))["details"]
        assert details["traffic"] == [{"prerouting": "others", "output": "own"}[hook]]
        for address in (*HERE.values(), HERE6, "127.0.0.1", "::1"):
            assert lab.arrives(None, 8080, address, own=True, proto=proto) is (hook == "prerouting"), address
            assert lab.arrives(None, 8082, address, own=True, proto=proto)
        for address in (*HERE.values(), HERE6):
            assert lab.arrives(None, 8080, address, own=False, proto=proto) is (hook == "output"), address


@private
def test_a_rule_for_one_interface(stage):
    nft(f'table ip t {{ chain c {{ {HOOK["prerouting"]} iifname "h1" tcp dport 8080 redirect to :8081; }} }}')
    with Lab() as lab:
        details = rule_of(diagnosis("8080"))["details"]
        assert details["interfaces"] == ["h1"]
        assert "(only those that come in by h1)" in rule_of(diagnosis("8080"))["title"]
        assert lab.arrives(None, 8080, HERE["h0"], own=False)
        assert not lab.arrives(None, 8080, HERE["h1"], own=False)


@private
def test_a_rule_that_leads_back_takes_nothing(stage):
    """The same port at an address of this host: a program on every address still gets it."""
    nft(f"table ip t {{ chain o {{ {HOOK['output']} tcp dport 8080 dnat to 127.0.0.1:8080; }} }}")
    with Lab() as lab:
        untouched("8080")
        untouched("127.0.0.1:8080")
        assert lab.arrives(None, 8080, HERE["h0"], own=True)
        assert rule_of(diagnosis(f"{HERE['h0']}:8080"))["details"]["to"] == "127.0.0.1:8080"
        assert not lab.arrives(HERE["h0"], 8080, HERE["h0"], own=True)


@private
def test_an_address_that_is_not_here_concerns_nobody(stage):
    nft(f"table ip t {{ chain p {{ {HOOK['prerouting']} ip daddr 203.0.113.9 tcp dport 8080 dnat to 10.0.0.5:80; }} }}")
    untouched("8080")
    with Lab():
        untouched("8080")


# -- Where it can't be seen -----------------------------------------------------------------------


@private
def test_an_ordinary_user_is_told_what_can_not_be_seen(stage):
    needs_users()
    target = nat.nat_rule(stage).target
    said = diagnosis(target, enter=linux.become_nobody)
    assert said["verdict"] == "free"
    assert len(said["limits"]) == 1
    assert "NAT" in said["limits"][0]
    assert "sudo" in said["limits"][0]
    server = stage.start("serve", 9090)
    server.hear()
    limits = diagnosis("9090", enter=linux.become_nobody)["limits"]
    assert not any("NAT" in limit for limit in limits)


@private
def test_no_tool_is_needed(stage, tmp_path):
    """What the rule does is told from the kernel: only its text comes from the tool."""
    target = nat.nat_rule(stage).target

    def without_tools():
        from inuse.systems.linux.nat import show

        show._FOLDERS = (f"{tmp_path}/",)

    found = rule_of(diagnosis(target, enter=without_tools))
    assert found["details"]["to"] == ":8081"
    assert found["evidence"][0].endswith("redirect to :8081")


@pytest.mark.parametrize("tool", ["sleep 100", "yes garbage", "printf '\\033[2J # handle 3\\n'", "exit 1"])
@private
def test_a_tool_that_misbehaves(stage, tmp_path, tool):
    target = nat.nat_rule(stage).target
    fake = tmp_path / "nft"
    fake.write_text(f"#!/bin/sh\n{tool}\n")
    fake.chmod(0o755)

    def with_it():
        from inuse.systems.linux.nat import show

        show._FOLDERS = (f"{tmp_path}/",)

    before = time.monotonic()
    assert rule_of(diagnosis(target, enter=with_it))["details"]["to"] == ":8081"
    assert time.monotonic() - before < 4


@private
def test_a_hostile_comment(stage):
    comment = "\x1b[2J\u202e ﷽ end"
    nft(f'table ip t {{ chain o {{ {HOOK["output"]} tcp dport 8080 redirect to :99 comment "{comment}"; }} }}')
    assert rule_of(diagnosis("8080"))["details"]["to"] == ":99"
    inuse("8080").text.encode("utf-8")


# -- Many rules -----------------------------------------------------------------------------------


@private
def test_a_cluster_with_many_services(stage):
    """20,000 rules: only the chains on the way are read."""
    lines = [":KUBE-SERVICES - [0:0]", ":KUBE-NODEPORTS - [0:0]", "-A OUTPUT -j KUBE-SERVICES"]
    for n in range(4000):
        lines += [f":KUBE-SVC-{n:016d} - [0:0]", f":KUBE-SEP-{n:016d} - [0:0]"]
        lines.append(
            f'-A KUBE-SERVICES -d 10.96.{n // 250}.{n % 250}/32 -p tcp -m comment --comment "ns/s{n} cluster IP" '
            f"-m tcp --dport 80 -j KUBE-SVC-{n:016d}"
        )
        lines.append(
            f'-A KUBE-NODEPORTS -p tcp -m comment --comment "ns/s{n}" -m tcp --dport {10000 + n} -j KUBE-SVC-{n:016d}'
        )
        lines.append(f"-A KUBE-SVC-{n:016d} -j KUBE-SEP-{n:016d}")
        lines.append(f"-A KUBE-SEP-{n:016d} -s 10.1.0.1/32 -j RETURN")
        lines.append(f"-A KUBE-SEP-{n:016d} -p tcp -m tcp -j DNAT --to-destination 10.1.{n // 250}.{n % 250}:8080")
    lines.append("-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS")
    iptables("\n".join(lines))
    before = time.monotonic()
    found = rule_of(diagnosis("13999"))
    took = time.monotonic() - before
    assert found["details"]["serves"] == "the Kubernetes service ns/s3999"
    assert found["details"]["to"] == "10.1.15.249:8080"
    assert took < 4, took


@private
def test_rules_that_take_too_long_are_a_limit(stage):
    target = nat.nat_rule(stage).target

    def hurry():
        from inuse.systems.linux.nat import search

        search.SECONDS = -1.0

    said = diagnosis(target, enter=hurry)
    assert "nat-rule" not in situations(said)
    assert any("too many rules" in limit for limit in said["limits"])


@private
def test_a_free_port_stays_cheap_where_nothing_translates(stage):
    """Without chains on the hooks neither the walk nor the addresses are loaded or asked."""
    needs_users()
    code = """
import sys, time
from inuse.model import Scene, Target
from inuse.systems.linux.nat import look_all
scenes = [Scene(target=Target(text="8080", proto="tcp", port=8080))]
look_all(scenes)
assert look_all(scenes) == scenes
print(*(name for name in sys.modules if name.startswith("inuse.systems.linux.nat.") or name.endswith("rtnetlink")))
begin = time.process_time()
for _ in range(500):
    look_all(scenes)
print((time.process_time() - begin) / 500)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": PATH}
    )
    modules, each = done.stdout.splitlines()
    assert {name.rpartition(".")[2] for name in modules.split()} == {"reading", "nftables", "rules"}
    assert float(each) < 0.001
