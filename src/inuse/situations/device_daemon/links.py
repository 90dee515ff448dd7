"""What a pppd on the device is doing, in words. Pure."""

from inuse.evidence.device import PppLink
from inuse.model import Process
from inuse.scene import View
from inuse.situations import device_words, words


def of(view: View, process: Process) -> PppLink | None:
    """Return what was seen of the link that a process runs."""
    return next((link for link in device_words.seen(view).ppp if link.pid == process.pid), None)


def title(view: View, lead: Process, link: PppLink) -> str:
    """Say in a few words what the link is, and how it stands."""
    peer = f" to {link.peer}" if link.peer else ""
    if link.dialling:
        return f"{words.who(lead)} is dialling{peer} over {view.name}"
    if link.interface:
        state = {True: "which is up", False: "which is down", None: ""}[link.up]
        return f"{words.who(lead)} runs the link{peer} over {view.name}, interface {link.interface}" + (
            f", {state}" if state else ""
        )
    return f"{words.who(lead)} {device_words.doing(view, lead)}, for a PPP link{peer}"


def story(link: PppLink) -> str:
    """Tell what pppd does with the device, for whom, and how far it has got."""
    text = f"pppd makes a network connection{' to ' + link.peer if link.peer else ''} over this device"
    text += f", as {link.file} says." if link.file else "."
    if link.by:
        text += f" {link.by} started it, and would start it again."
    if link.dialling:
        text += f" chat (pid {link.dialling}) is talking to the modem: there is no connection yet."
    elif link.interface and link.up:
        far = f", with {link.remote} at the other end" if link.remote else ""
        text += f" The connection stands: {link.interface} is up{far}."
    elif link.interface and link.up is False:
        text += f" {link.interface} is down: the connection is being made, or broken."
    elif link.interface:
        text += f" Its interface is {link.interface}; it is not in this network namespace."
    else:
        text += " It has no interface yet: the connection is being made."
    if link.persistent:
        text += " When the line breaks, it dials again (option persist)."
    return text
