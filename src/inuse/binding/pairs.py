"""What two sockets have in common beside their addresses, and what could not be read of the old one."""

from inuse.model import Attempt, Socket


def same_device(old: Socket, attempt: Attempt) -> bool | None:
    """Do the SO_BINDTODEVICE settings meet? Two different devices do not; no device meets every one."""
    if not attempt.device or old.device == "":
        return True
    return None if old.device is None else old.device == attempt.device


def same_user(old: Socket, uid: int) -> bool | None:
    """uid_eq() on sk_uid, which is what sock_diag reports; None where it was not reported."""
    return None if old.uid is None else old.uid == uid


def unread(old: Socket, attempt: Attempt) -> list[str]:
    """The sharing options of the old socket that would decide and could not be read."""
    left = []
    # SO_REUSEADDR is no use against a TCP listener, so it does not matter whether that one set it.
    if attempt.reuseaddr and old.reuseaddr is None and old.state != "listen":
        left.append("SO_REUSEADDR")
    if attempt.reuseport and old.reuseport is None:
        left.append("SO_REUSEPORT")
    return left
