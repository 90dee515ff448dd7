"""VPN software holds it, or a program holds the port that VPN software here needs.

A VPN's two ends find each other by fixed ports: IKE (IPsec) by 500/udp and 4500/udp, L2TP by 1701/udp, OpenVPN by
1194, WireGuard mostly by 51820/udp. Some use them on both sides, so a client needs the port as well. A daemon that
does not get its port may end, go on without it (charon says so in its log only), or quietly take another.
Two daemons of one kind want the same ports: strongSwan's two services, strongSwan and Libreswan, the system's
xl2tpd and NetworkManager's. Where both set SO_REUSEADDR, as xl2tpd and Libreswan do, both bind a UDP port without an
error, and each packet reaches one of them only. Usual ports inside the automatic range (51820, 41641) can be taken
by chance, by any outgoing connection.
How we know: the holder's program; its command line and configuration; the interface its descriptor of /dev/net/tun
drives (/proc/PID/fdinfo), and whether that is up; for WireGuard in user space its control socket. That a VPN needs
the port: a process of it runs without it, its service is enabled, or a file asks for the port; where it is only
installed, the confidence is "possible".
What helps: the other program moves where the protocol fixes the port; otherwise the VPN can be freed from it by the
setting that its row of the catalogue names. Stopping a VPN cuts off everybody who uses its tunnel.
Details in JSON: direction (holds, needs), product, name, purpose, side, connection, config, line, remote, interface,
up, addresses, peers, handshake_seconds, unit, manager, state, program, vpn_pid, setting, setting_in, competitors,
by_chance.
References: the sources of each row in inuse/catalogue/vpn.json; RFC 7296, 3948, 2661, 2637; udp(7), ip(7).
"""

from inuse.model import Finding
from inuse.scene import View
from inuse.situations.vpn.held import held
from inuse.situations.vpn.hidden import hidden
from inuse.situations.vpn.needed import is_kept_out, needed

CODE = "vpn"


def find(view: View) -> Finding | None:
    """Return the finding: for a VPN that holds the port, else for one that others keep from it."""
    if not view.scene.vpns or view.succeeded or view.target.port == 0:
        return None
    rows = {row.pid: row for row in view.scene.vpns if not row.needs}
    holding = [(process, rows[process.pid]) for process in view.holders if process.pid in rows]
    needing = [row for row in view.scene.vpns if row.needs]
    if holding:
        return held(view, holding, needing)
    unseen = next((row for row in view.scene.vpns if not row.needs and row.pid is None), None)
    if unseen and not view.holders:
        return hidden(view, unseen)
    others = [process for process in view.holders if view.refuses(process)]
    needing = [row for row in needing if is_kept_out(view, row, others)]
    return needed(view, others, needing) if others and needing else None
