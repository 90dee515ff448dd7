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

from collections.abc import Iterator, Sequence

from inuse.language import _
from inuse.model import Finding, LocalAddress, Remedy
from inuse.scene import View
from inuse.situations import words

CODE = "address-not-local"


def find(view: View) -> Finding | None:
    """Return the finding when the address is what is missing."""
    absent = [answer for answer in view.answers if answer.errno == "EADDRNOTAVAIL"]
    if not absent or not view.target.address:
        return None
    wanted = absent[0].attempt.address
    addresses = view.host.addresses or ()
    own = next((a for a in addresses if a.address == wanted.partition("%")[0]), None)
    return Finding(
        situation=CODE,
        title=_title(wanted, own),
        explanation=_explanation(wanted, own),
        evidence=(words.answered(view, "EADDRNOTAVAIL"), *_listed(addresses)),
        details={
            "addresses": [address.address for address in addresses],
            "tentative": bool(own and own.tentative),
        },
        remedies=_remedies(view, own),
    )


def _title(wanted: str, own: LocalAddress | None) -> str:
    if own is None:
        return _("no interface has the address {address}", address=wanted)
    return _("{address} is not usable", address=wanted) + _state(own)


def _listed(addresses: Sequence[LocalAddress]) -> Iterator[str]:
    there = [_("{address} on {interface}", address=f"{a.address}/{a.prefix}", interface=a.interface) for a in addresses]
    listed = ", ".join(one + _state(a) for one, a in zip(there, addresses, strict=True))
    if listed:
        yield _("addresses of this host: {addresses}", addresses=listed)


def _state(address: LocalAddress) -> str:
    """Say in parentheses why an address is not to be used; "" where it is."""
    if address.failed:
        return f" ({_('duplicate, not usable')})"
    return f" ({_('tentative')})" if address.tentative else ""


def _explanation(wanted: str, own: LocalAddress | None) -> str:
    if own and own.failed:
        return _(
            "Another machine on the link has {address}: duplicate address detection failed, so it can't be used.",
            address=wanted,
        )
    if own and own.tentative:
        return _(
            "Duplicate address detection for {address} still runs, as after link-up; in a moment it can be bound.",
            address=wanted,
        )
    return _(
        "A program can only bind an address of this machine; {address} is none of them in this network namespace.",
        address=wanted,
    )


def _remedies(view: View, own: LocalAddress | None) -> tuple[Remedy, ...]:
    if own and own.tentative:
        title = _("Wait a second or two and try again")
        return (Remedy(id="wait", title=title, command=("sleep", "2"), automatic=True),)
    use = Remedy(
        id="use-local-address", title=_("Use an address of this machine, or 0.0.0.0 or [::] for every address")
    )
    family = 6 if ":" in (view.target.address or "") else 4
    early = Remedy(
        id="allow-nonlocal",
        title=_("Or, where the address comes later (VRRP, a VPN): allow binding it before it is there"),
        command=("sysctl", "-w", f"net.ipv{family}.ip_nonlocal_bind=1"),
        needs_root=view.host.asker_uid != 0,
    )
    return use, early
