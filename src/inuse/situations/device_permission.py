"""The asker may not open the device.

A device node has an owner, a group and a mode like any file, and often an access list. Serial devices mostly belong to
root and a group (dialout on Debian, Ubuntu and Fedora, uucp on Arch): whoever is in the group may open them. A group
that somebody has joined counts only in sessions begun after that. Where udev gives a device the tag uaccess, the user
who sits at the machine has it by an access list, and somebody logged in over SSH does not.
How we know: the node's owner, group, mode and access list (stat(2), acl(5)), held against the asker's uid and groups,
and, for the group, against the user database.
What helps: join the group, then log in anew; or a udev rule for this device. In a container: hand the device over.
References: open(2), acl(5), usermod(8), newgrp(1), udev(7) TAG+="uaccess", cgroup-v2 device controller, docker-run(1).
"""

from collections.abc import Iterator
from typing import Any, Final

from inuse.evidence.device import Device
from inuse.language import N_, _
from inuse.model import Finding, Remedy
from inuse.scene import View
from inuse.situations import device_words, words

CODE = "device-permission"
REFUSED: Final = frozenset({"EACCES", "EPERM"})
_READ_WRITE: Final = 6
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def find(view: View) -> Finding | None:
    """Return the finding where open(2) answers EACCES or EPERM."""
    seen = device_words.seen(view)
    device, answer = seen.device, seen.answer
    if not device.exists or not device.is_tty or not answer.known or answer.errno not in REFUSED:
        return None
    return Finding(
        situation=CODE,
        title=_title(view, device),
        explanation=_explanation(view, device),
        evidence=_evidence(view, device),
        details=_details(view, device),
        remedies=words.kept(*_remedies(view, device)),
    )


def _forbidden(view: View) -> bool:
    """Whether the rights of the node would do, and something else refuses: a container's list of devices."""
    return device_words.seen(view).answer.errno == "EPERM"


def _later(view: View, device: Device) -> bool:
    """Whether the asker has joined the group, and this session does not know it yet."""
    return device.gid is not None and device.gid in device_words.seen(view).later_groups and _group_helps(device)


def _group_helps(device: Device) -> bool:
    """Whether members of the device's group may open it; that of a terminal (tty) is no group to join."""
    return bool(
        device.gid
        and device.mode is not None
        and device.mode >> 3 & _READ_WRITE == _READ_WRITE
        and device.kind not in {"pty", "console"}
    )


def _account(view: View) -> str | None:
    """Return the name of the asker's account; None where it is not known."""
    return None if _other_uid(view) is not None else device_words.seen(view).asker


def _other_uid(view: View) -> int | None:
    uid = view.scene.options.uid
    return uid if uid != view.host.asker_uid else None


def _who(view: View) -> str:
    """Name the asker."""
    other, own = _other_uid(view), view.host.asker_uid
    if other is not None:
        return _("uid {uid}", uid=other)
    return _account(view) or (_("uid {uid}", uid=own) if own is not None else _("this user"))


def _title(view: View, device: Device) -> str:
    who, group = _who(view), _group(device)
    if _forbidden(view):
        return _("{who} may not open it: this container was not given the device", who=who)
    if device.mode is None:
        return _("{who} may not get to it: a directory on the way is closed", who=who)
    if _later(view, device):
        return _("{who} has joined {group}, but this session began before that", who=who, group=group)
    owner = _owner(device)
    if _group_helps(device):
        text = N_("only {owner} and the group {group} may open it; {who} is not in that group")
        return _(text, owner=owner, group=group, who=who)
    return _("only {owner} may open it, not {who}", owner=owner, who=who)


def _owner(device: Device) -> str:
    return device.user or _("uid {uid}", uid=device.uid)


def _group(device: Device) -> str:
    return device.group or str(device.gid)


def _explanation(view: View, device: Device) -> str:
    if _forbidden(view):
        return _(
            "{device} is there, but the control group of this container does not allow device {number}. "
            "Rights on the node can't change that: it must be given from outside.",
            device=view.name,
            number=f"{device.major}:{device.minor}",
        )
    if device.mode is None:
        return _(
            "A directory on the way to {device} may not be searched by {who}: what is there, and whose it "
            "is, can't be told. Another name of the same device may do.",
            device=view.name,
            who=_who(view),
        )
    owned = _(
        "{device} belongs to {owner} and the group {group}, with mode {mode}.",
        device=view.name,
        owner=_owner(device),
        group=_group(device),
        mode=f"{device.mode & 0o777:04o}",
    )
    return " ".join([owned, *_consequence(view, device)])


def _consequence(view: View, device: Device) -> Iterator[str]:
    """Say what the rights on the node mean for the asker."""
    udev = device_words.seen(view).udev
    if _later(view, device):
        yield _("A group that was joined counts only in sessions that begin afterwards: log in anew.")
    elif device.kind == "pty":
        yield _("It is {owner}'s terminal, and nobody else's.", owner=_owner(device))
    elif not _group_helps(device):
        yield _("Joining a group does not help, since the mode gives the group nothing.")
    elif udev and "uaccess" in udev.tags:
        yield _(
            "udev also gives it to whoever sits at this machine's screen and keyboard (tag uaccess); a session over "
            "SSH, or in the background, does not count."
        )


def _evidence(view: View, device: Device) -> tuple[str, ...]:
    seen = device_words.seen(view)
    lines = []
    if device.mode is not None:
        lines.append(_owners(device, device.mode))
    lines += [_("access list: {entry}", entry=entry) for entry in device.acl[:10]]
    if seen.asker_groups:
        lines.append(_("groups of the asker: {groups}", groups=", ".join(map(str, seen.asker_groups[:20]))))
    if _later(view, device):
        text = N_("the user database has the asker in {group} (gid {gid}), the session has not")
        lines.append(_(text, group=_group(device), gid=device.gid))
    real, ruled = N_("a real open() answered {errno}"), N_("by these rights open() answers {errno}")
    return (*lines, _(real if seen.answer.by == "kernel" else ruled, errno=seen.answer.errno))


def _owners(device: Device, mode: int) -> str:
    return _(
        "{path}: owner {owner} (uid {uid}), group {group} (gid {gid}), mode {mode}",
        path=device.node or device.path,
        owner=_owner(device),
        uid=device.uid,
        group=_group(device),
        gid=device.gid,
        mode=f"{mode & 0o777:04o}",
    )


def _details(view: View, device: Device) -> dict[str, Any]:
    seen = device_words.seen(view)
    return {
        "owner": device.user,
        "group": device.group,
        "mode": f"{device.mode & 0o7777:04o}" if device.mode is not None else None,
        "acl": list(device.acl),
        "group_helps": _group_helps(device),
        "joined_already": _later(view, device),
        "uaccess": bool(seen.udev and "uaccess" in seen.udev.tags),
    }


def _remedies(view: View, device: Device) -> list[Remedy | None]:
    if _forbidden(view):
        path = device.node or device.path
        title = _("Start the container with the device: docker run --device {path} …", path=path)
        return [Remedy(id="give-device", title=title)]
    if device.kind == "pty":
        owner = device.user if device.user and set(device.user) <= _PLAIN else None
        title = _("Run the program as {owner}: sudo -u {owner} …", owner=owner)
        return [Remedy(id="as-owner", title=title)] if owner else []
    if _later(view, device):
        return [
            _new_group(device),
            Remedy(id="log-in-anew", title=_("Or log out and in again: then every program has it")),
        ]
    return [*_joining(view, device), _rule(view, device)]


def _joining(view: View, device: Device) -> list[Remedy]:
    """Return what lets the asker in by the group."""
    name, group = _account(view), _group(device)
    if not name or not _group_helps(device) or not {*name, *group} <= _PLAIN:
        return []
    return [
        Remedy(
            id="join-group",
            title=_("Join the group {group}, then log out and in again", group=group),
            command=("usermod", "-aG", group, name),
            needs_root=view.host.asker_uid != 0,
        ),
    ]


def _new_group(device: Device) -> Remedy:
    return Remedy(
        id="new-group",
        title=_("Begin a shell that has the group {group} already", group=_group(device)),
        command=("newgrp", _group(device)),
    )


def _rule(view: View, device: Device) -> Remedy | None:
    """Return the udev rule that gives the device to whoever sits at the machine."""
    ids = device.vendor_id, device.product_id
    if not all(number and len(number) == 4 and number.isalnum() for number in ids):
        return None
    rule = f'SUBSYSTEM=="tty", ATTRS{{idVendor}}=="{ids[0]}", ATTRS{{idProduct}}=="{ids[1]}", TAG+="uaccess"'
    file = f"/etc/udev/rules.d/70-serial-{ids[0]}-{ids[1]}.rules"
    return Remedy(
        id="uaccess-rule",
        title=_("Or give it to whoever sits at this machine: a udev rule; then unplug the device and plug it in again"),
        command=device_words.write_line(file, rule),
        needs_root=view.host.asker_uid != 0,
    )
