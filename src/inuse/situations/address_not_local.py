"""No interface has that address.

bind(2) takes only addresses of this network namespace, so an address of another machine, of an
interface that is down, or one that changed since the configuration was written is refused with
EADDRNOTAVAIL. An IPv6 address is not usable either while duplicate address detection runs
(tentative, about a second after the link comes up) or when it failed.
How we know: the kernel's answer, and the addresses there are.
What helps: an address that exists, or the wildcard; waiting, for a tentative one;
net.ipv4.ip_nonlocal_bind or IP_FREEBIND where the address comes later.
References: bind(2), ip(7), RFC 4862 section 5.4, ip-address(8).
"""

from inuse.model import Finding, LocalAddress, Remedy
from inuse.scene import View

CODE = "address-not-local"


def find(view: View) -> Finding | None:
    """Return the finding when the address is what is missing."""
    absent = [answer for answer in view.answers if answer.errno == "EADDRNOTAVAIL"]
    if not absent or not view.target.address:
        return None
    wanted = absent[0].attempt.address
    addresses = view.host.addresses or ()
    own = next((a for a in addresses if a.address == wanted.partition("%")[0]), None)
    listed = [f"{a.address}/{a.prefix} on {a.interface}{_state(a)}" for a in addresses]
    return Finding(
        situation=CODE,
        title=f"no interface has the address {wanted}" if own is None else f"{wanted} is not usable{_state(own)}",
        explanation=_explanation(wanted, own),
        evidence=(
            "the kernel answered EADDRNOTAVAIL to bind"
            if view.scene.probed
            else "by the bind rules, bind is answered with EADDRNOTAVAIL",
            *(("addresses of this host: " + ", ".join(listed),) if listed else ()),
        ),
        details={
            "addresses": [address.address for address in addresses],
            "tentative": bool(own and own.tentative),
        },
        remedies=_remedies(view, own),
    )


def _state(address: LocalAddress) -> str:
    return " (duplicate, not usable)" if address.failed else " (tentative)" if address.tentative else ""


def _explanation(wanted: str, own: LocalAddress | None) -> str:
    if own and own.failed:
        return f"Another machine on the link has {wanted}: duplicate address detection failed, so it can't be used."
    if own and own.tentative:
        return f"Duplicate address detection for {wanted} still runs, as after link-up; in a moment it can be bound."
    return f"A program can only bind an address of this machine; {wanted} is none of them in this network namespace."


def _remedies(view: View, own: LocalAddress | None) -> tuple[Remedy, ...]:
    if own and own.tentative:
        return (Remedy(id="wait", title="Wait a second or two and try again", command=("sleep", "2"), automatic=True),)
    use = Remedy(id="use-local-address", title="Use an address of this machine, or 0.0.0.0 or [::] for every address")
    family = 6 if ":" in (view.target.address or "") else 4
    early = Remedy(
        id="allow-nonlocal",
        title="Or, where the address comes later (VRRP, a VPN): allow binding it before it is there",
        command=("sysctl", "-w", f"net.ipv{family}.ip_nonlocal_bind=1"),
        needs_root=view.host.asker_uid != 0,
    )
    return use, early
