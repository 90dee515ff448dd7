"""What a pppd on the device is doing, in words. Pure."""

from typing import Final

from inuse.evidence.device import PppLink
from inuse.language import N_, _
from inuse.model import Process
from inuse.scene import View
from inuse.situations import device_words, words

#: How a link with an interface stands: up, down, or not told.
_INTERFACE: Final = {
    True: N_("{who} runs {link} over {device}, interface {interface}, which is up"),
    False: N_("{who} runs {link} over {device}, interface {interface}, which is down"),
    None: N_("{who} runs {link} over {device}, interface {interface}"),
}


def of(view: View, process: Process) -> PppLink | None:
    """Return what was seen of the link that a process runs."""
    return next((link for link in device_words.seen(view).ppp if link.pid == process.pid), None)


def title(view: View, lead: Process, link: PppLink) -> str:
    """Say in a few words what the link is, and how it stands."""
    who = words.who(lead)
    if link.dialling:
        somebody, peer = N_("{who} is dialling over {device}"), N_("{who} is dialling to {peer} over {device}")
        return _(peer if link.peer else somebody, who=who, peer=link.peer, device=view.name)
    if link.interface:
        told = _("the link to {peer}", peer=link.peer) if link.peer else _("the link")
        return _(_INTERFACE[link.up], who=who, link=told, device=view.name, interface=link.interface)
    unnamed, named = N_("{who} {has}, for a PPP link"), N_("{who} {has}, for a PPP link to {peer}")
    return _(named if link.peer else unnamed, who=who, has=device_words.doing(view, lead), peer=link.peer)


def story(link: PppLink) -> str:
    """Tell what pppd does with the device, for whom, and how far it has got."""
    unnamed, named = (
        N_("pppd makes a network connection over this device"),
        N_("pppd makes a network connection to {peer} over this device"),
    )
    made = _(named if link.peer else unnamed, peer=link.peer)
    parts = [_("{statement}, as {file} says.", statement=made, file=link.file) if link.file else f"{made}."]
    if link.by:
        parts.append(_("{program} started it, and would start it again.", program=link.by))
    parts.append(_progress(link))
    if link.persistent:
        parts.append(_("When the line breaks, it dials again (option persist)."))
    return " ".join(parts)


def _progress(link: PppLink) -> str:
    """Say how far the connection has got."""
    if link.dialling:
        return _("chat (pid {pid}) is talking to the modem: there is no connection yet.", pid=link.dialling)
    if not link.interface:
        return _("It has no interface yet: the connection is being made.")
    if link.up is False:
        text = N_("{interface} is down: the connection is being made, or broken.")
    elif not link.up:
        text = N_("Its interface is {interface}; it is not in this network namespace.")
    elif link.remote:
        text = N_("The connection stands: {interface} is up, with {remote} at the other end.")
    else:
        text = N_("The connection stands: {interface} is up.")
    return _(text, interface=link.interface, remote=link.remote)
