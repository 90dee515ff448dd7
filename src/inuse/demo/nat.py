"""Rules that take a port's traffic elsewhere, staged in a network namespace of their own."""

import os
import shutil
import subprocess
from typing import Final

from inuse.demo.stage import NotHereError, Stage, Staged
from inuse.language import _

_FOLDERS: Final = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin"
_HOOKS: Final = ("PREROUTING", "OUTPUT")
_NODE_PORT: Final = 31001
_HASH: Final = "4SW47YFZTEDKD3PK"
_CONTAINER: Final = "8f2b1c0d9e7a65b4c3d2e1f00918273645546372819aa0b1c2d3e4f506172839"
_SANDBOX: Final = "CNI-DN-2a7c4f9b1e6d8035c7a91"


def nat_rule(stage: Stage) -> Staged:
    """`nft` redirects the port to another one, for this machine and for others."""
    rule = f"tcp dport {stage.port} redirect to :{stage.port + 1}"
    chain = "chain {0} {{ type nat hook {0} priority {1}; {2}; }}"
    chains = (chain.format("prerouting", "dstnat", rule), chain.format("output", "-100", rule))
    return _staged(stage, stage.port, "\n".join(("table inet demo {", *chains, "}\n")), "nft", "-f", "-")


def nat_rule_legacy(stage: Stage) -> Staged:
    """`iptables-legacy` sends what this machine sends to the port to another address."""
    return _staged(
        stage,
        stage.port,
        f"*nat\n-A OUTPUT -p tcp -m tcp --dport {stage.port} -j DNAT --to-destination 192.0.2.7:80\nCOMMIT\n",
        "iptables-legacy-restore",
    )


def nat_rule_node_port(stage: Stage) -> Staged:
    """The rules that kube-proxy makes for a NodePort service with two pods are loaded."""
    ends = ("KUBE-SEP-AAAAAAAAAAAAAAAA", "KUBE-SEP-BBBBBBBBBBBBBBBB")
    service = '-m comment --comment "default/web:http"'
    external = '-m comment --comment "masquerade traffic for default/web:http external destinations"'
    last = '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"'
    half = "-m statistic --mode random --probability 0.50000000000"
    rules = [
        *(f":{chain} - [0:0]" for chain in ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-MARK-MASQ", *ends)),
        *(f":KUBE-{kind}-{_HASH} - [0:0]" for kind in ("EXT", "SVC")),
        *(f'-A {hook} -m comment --comment "kubernetes service portals" -j KUBE-SERVICES' for hook in _HOOKS),
        f"-A KUBE-SERVICES {last} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
        f"-A KUBE-NODEPORTS -p tcp {service} -m tcp --dport {_NODE_PORT} -j KUBE-EXT-{_HASH}",
        f"-A KUBE-EXT-{_HASH} {external} -j KUBE-MARK-MASQ",
        f"-A KUBE-EXT-{_HASH} -j KUBE-SVC-{_HASH}",
        f'-A KUBE-SVC-{_HASH} -m comment --comment "default/web:http -> 10.244.0.5:8080" {half} -j {ends[0]}',
        f'-A KUBE-SVC-{_HASH} -m comment --comment "default/web:http -> 10.244.0.6:8080" -j {ends[1]}',
        *(
            f"-A {end} -p tcp {service} -m tcp -j DNAT --to-destination 10.244.0.{n}:8080"
            for n, end in enumerate(ends, 5)
        ),
        "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
    ]
    text = "\n".join(("*nat", *rules, "COMMIT", ""))
    return _staged(stage, _NODE_PORT, text, "iptables-nft-restore")


def nat_rule_host_port(stage: Stage) -> Staged:
    """The rules that the CNI plugin portmap makes for a pod's hostPort are loaded."""
    comment = f'-m comment --comment "dnat name: \\"cbr0\\" id: \\"{_CONTAINER}\\""'
    rules = [
        ":CNI-HOSTPORT-DNAT - [0:0]",
        ":CNI-HOSTPORT-SETMARK - [0:0]",
        f":{_SANDBOX} - [0:0]",
        *(f"-A {hook} -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT" for hook in _HOOKS),
        f"-A CNI-HOSTPORT-DNAT -p tcp {comment} -m multiport --dports {stage.port},8443 -j {_SANDBOX}",
        f"-A {_SANDBOX} -s 10.4.0.2/32 -p tcp -m tcp --dport {stage.port} -j CNI-HOSTPORT-SETMARK",
        f"-A {_SANDBOX} -p tcp -m tcp --dport {stage.port} -j DNAT --to-destination 10.4.0.2:80",
        '-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000',
    ]
    text = "\n".join(("*nat", *rules, "COMMIT", ""))
    return _staged(stage, stage.port, text, "iptables-nft-restore")


def _staged(stage: Stage, port: int, rules: str, *command: str) -> Staged:
    """Load rules with a tool; they go with the namespace."""
    stage.needs_namespace()
    path = shutil.which(command[0], path=_FOLDERS)
    if path is None:
        raise NotHereError(_("{name} is not installed", name=command[0]))
    environment = {**os.environ, "LC_ALL": "C", "XTABLES_LOCKFILE": os.devnull}
    done = subprocess.run(
        [path, *command[1:]], input=rules.encode(), capture_output=True, env=environment, timeout=30, check=False
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise NotHereError(_("{name} can't load the rules here: {said}", name=command[0], said=said))
    return Staged(target=str(port))
