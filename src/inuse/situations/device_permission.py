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

from typing import Any, Final

from inuse.evidence.device import Device
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


def _who(view: View) -> str:
    """Name the asker."""
    seen, uid = device_words.seen(view), view.scene.options.uid
    if uid is not None and uid != view.host.asker_uid:
        return f"uid {uid}"
    return seen.asker or (f"uid {view.host.asker_uid}" if view.host.asker_uid is not None else "this user")


def _title(view: View, device: Device) -> str:
    if _forbidden(view):
        return f"{_who(view)} may not open it: this container was not given the device"
    if device.mode is None:
        return f"{_who(view)} may not get to it: a directory on the way is closed"
    if _later(view, device):
        return f"{_who(view)} has joined {device.group}, but this session began before that"
    if _group_helps(device):
        return f"only {_owner(device)} and the group {_group(device)} may open it; {_who(view)} is not in that group"
    return f"only {_owner(device)} may open it, not {_who(view)}"


def _owner(device: Device) -> str:
    return device.user or f"uid {device.uid}"


def _group(device: Device) -> str:
    return device.group or str(device.gid)


def _explanation(view: View, device: Device) -> str:
    if _forbidden(view):
        return (
            f"{view.name} is there, but the control group of this container does not allow device "
            f"{device.major}:{device.minor}. Rights on the node can't change that: it must be given from outside."
        )
    if device.mode is None:
        return (
            f"A directory on the way to {view.name} may not be searched by {_who(view)}: what is there, and whose it "
            "is, can't be told. Another name of the same device may do."
        )
    mode = f"mode {device.mode & 0o777:04o}"
    text = f"{view.name} belongs to {_owner(device)} and the group {_group(device)}, with {mode}."
    if _later(view, device):
        return text + " A group that was joined counts only in sessions that begin afterwards: log in anew."
    if device.kind == "pty":
        return text + f" It is {_owner(device)}'s terminal, and nobody else's."
    if not _group_helps(device):
        return text + " Joining a group does not help, since the mode gives the group nothing."
    udev = device_words.seen(view).udev
    if udev and "uaccess" in udev.tags:
        text += (
            " udev also gives it to whoever sits at this machine's screen and keyboard (tag uaccess); "
            "a session over SSH, or in the background, does not count."
        )
    return text


def _evidence(view: View, device: Device) -> tuple[str, ...]:
    seen = device_words.seen(view)
    lines = []
    if device.mode is not None:
        owner, group = f"{_owner(device)} (uid {device.uid})", f"{_group(device)} (gid {device.gid})"
        lines.append(f"{device.node or device.path}: owner {owner}, group {group}, mode {device.mode & 0o777:04o}")
    lines += [f"access list: {entry}" for entry in device.acl[:10]]
    if seen.asker_groups:
        lines.append(f"groups of the asker: {', '.join(map(str, seen.asker_groups[:20]))}")
    if _later(view, device):
        lines.append(f"the user database has the asker in {_group(device)} (gid {device.gid}), the session has not")
    by = "a real open() answered" if seen.answer.by == "kernel" else "by these rights open() answers"
    return (*lines, f"{by} {seen.answer.errno}")


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
        return [
            Remedy(id="give-device", title=f"Start the container with the device: docker run --device {path} …"),
        ]
    if device.kind == "pty":
        owner = device.user if device.user and set(device.user) <= _PLAIN else None
        return [Remedy(id="as-owner", title=f"Run the program as {owner}: sudo -u {owner} …")] if owner else []
    if _later(view, device):
        return [
            _new_group(device),
            Remedy(id="log-in-anew", title="Or log out and in again: then every program has it"),
        ]
    return [*_joining(view, device), _rule(view, device)]


def _joining(view: View, device: Device) -> list[Remedy]:
    """Return what lets the asker in by the group."""
    name, group = _who(view), _group(device)
    if not _group_helps(device) or not {*name, *group} <= _PLAIN:
        return []
    return [
        Remedy(
            id="join-group",
            title=f"Join the group {group}, then log out and in again",
            command=("usermod", "-aG", group, name),
            needs_root=view.host.asker_uid != 0,
        ),
    ]


def _new_group(device: Device) -> Remedy:
    return Remedy(
        id="new-group",
        title=f"Begin a shell that has the group {_group(device)} already",
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
        title="Or give it to whoever sits at this machine: a udev rule; then unplug the device and plug it in again",
        command=device_words.write_line(file, rule),
        needs_root=view.host.asker_uid != 0,
    )
