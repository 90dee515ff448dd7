"""The program that opened it is gone; a child it left behind still holds the descriptor.

A child made by fork(2) has all of its parent's descriptors, and keeps them over execve(2) unless
they are close-on-exec. When the server ends, the socket lives on in the child: a shell, ``sleep``,
a browser it opened, or a worker whose master died. Nobody serves the port, yet it is taken.
How we know, from the strongest sign to the weakest: the program in the child imports neither
listen(2) nor accept(2); several orphans share one socket and none of them is the parent, or it calls
itself a worker; its language opens every socket close-on-exec and this one is not; an orphan that
only forked, never called execve, and is no daemon (its session is not its own). Where the child is
seen to wait for clients itself (accept, epoll), the weaker signs don't count: then it serves the port.
A serial device is inherited alike: every process that has it open is an orphan, with a descriptor that is not
close-on-exec, and only forked, or runs a program that does not open devices, or only close-on-exec.
What helps: ending the child; fix: close-on-exec descriptors in the server (SOCK_CLOEXEC).
References: fork(2), execve(2), open(2) O_CLOEXEC, PEP 446.
"""

from typing import Final

from inuse.evidence.device import OpenDevice
from inuse.language import _, ngettext
from inuse.model import Confidence, Descriptor, Finding, Process
from inuse.scene import ABOUT_PROCESSES, View
from inuse.situations import words

CODE = "inherited"
#: Runtimes that open every socket close-on-exec (PEP 446; libuv; Go's net; Rust's std).
CLOSING: Final = ("python", "node", "deno", "bun", "ruby", "pypy")
#: Programs that open no serial device, whatever they are told; and the first descriptor that is no standard one.
NEVER_OPEN: Final = frozenset({"sleep", "ssh-agent", "gpg-agent", "dbus-daemon", "dbus-launch", "true", "yes"})
STANDARD: Final = 3
#: Adoptive parents: the init of a pid namespace or session, which orphans are given to.
REAPERS: Final = frozenset(
    {"systemd", "init", "tini", "dumb-init", "docker-init", "catatonit", "containerd-shim", "conmon"}
)


def find(view: View) -> Finding | None:
    """Return the finding for holders that cannot have opened the socket themselves."""
    if view.device is not None:
        return _of_device(view)
    if view.succeeded or view.target.port == 0:
        return None
    reasons = {process.pid: reason for process in view.holders if (reason := _reason(view, process))}
    # One holder that did open it is enough: then the others are its children, and it answers for them.
    heirs = [process for process in view.holders if process.pid in reasons]
    inodes = {socket.inode for process in heirs for socket in view.sockets_of(process.pid)}
    if not heirs or any(pid not in reasons for inode in inodes for pid in view.sharers(inode)):
        return None
    hidden = any(view.may_be_hidden(s) for process in heirs for s in view.sockets_of(process.pid))
    if hidden and view.host.asker_uid != 0:
        return None  # the one that opened it may be among those that can't be seen
    lead = heirs[0]
    sure = not hidden and all(reasons[p.pid][0] == "certain" for p in heirs)
    confidence: Confidence = "certain" if sure else "likely"
    return Finding(
        situation=CODE,
        confidence=confidence,
        title=_(
            "{who} still {doing}: left to it by a program that has ended or closed it",
            who=words.who(lead),
            doing=words.doing(view, lead),
        ),
        explanation=_explanation(heirs, confidence),
        evidence=(
            *dict.fromkeys(reasons[process.pid][1] for process in heirs[:10]),
            *words.evidence(view, heirs),
        ),
        holders=words.pids(heirs),
        remedies=words.kept(words.stop(view, heirs), words.another_port()),
    )


def _of_device(view: View) -> Finding | None:
    """Return the finding for a serial device: every process that has it open is an orphan that did not open it."""
    makers = (
        view.device.device.peer if view.device is not None else ()
    )  # of a pseudo-terminal: socat keeps it open as well
    openers = [process for process in view.holders if _opened(view, process) and process.pid not in makers]
    reasons = [reason for process in openers if (reason := _left_with(view, process))]
    if not openers or len(reasons) < len(openers):
        return None
    hidden = any(unseen.what in ABOUT_PROCESSES and unseen.uids != () for unseen in view.scene.unseen)
    if hidden and view.host.asker_uid != 0:
        return None
    lead = openers[0]
    return Finding(
        situation=CODE,
        confidence="likely",
        title=_(
            "{who} still {doing}: left to it by a program that has ended",
            who=words.who(lead),
            doing=words.doing(view, lead),
        ),
        explanation=ngettext(
            "{who} most likely did not open this device: it was left to a child by a program that has "
            "ended. It stays open until the last copy is closed.",
            "{who} most likely did not open this device: it was left to a child by a program that has "
            "ended. It stays open until the last copy is closed.",
            len(openers),
            who=words.everyone(openers),
        ),
        evidence=(*dict.fromkeys(reasons), *words.evidence(view, openers)),
        holders=words.pids(openers),
        remedies=words.kept(words.stop(view, openers)),
    )


def _opened(view: View, process: Process) -> list[OpenDevice]:
    """Return the descriptors of the device as it is now: not those of one that was unplugged."""
    every = view.device.open_by if view.device is not None else ()
    return [one for one in every if one.pid == process.pid and not (one.deleted or one.other_node or one.hung_up)]


def _left_with(view: View, process: Process) -> str | None:
    """Why a process can hardly have opened the device; None where it may have.

    Who has it as terminal, or as standard input and output, was given it on purpose.
    """
    mine = _opened(view, process)
    if not _orphan(process) or any(one.controlling or one.cloexec is not False or one.fd < STANDARD for one in mine):
        return None
    if process.forked_only and not _daemon(process):
        return _only_forked(process)
    if process.forked_only:
        return None
    if _always_closes(process):
        return _kept_open(process, mine[0].fd)
    if (process.exe or "").rpartition("/")[2] in NEVER_OPEN:
        return _(
            "{name} opens no device by itself, and its descriptor {fd} is not close-on-exec",
            name=process.name,
            fd=mine[0].fd,
        )
    return None


def _only_forked(process: Process) -> str:
    return _("{who} was forked by a program that has ended, and never started another", who=words.who(process))


def _kept_open(process: Process, fd: int) -> str:
    return _("descriptor {fd} is kept over execve, which {name} does only when asked to", fd=fd, name=process.name)


def _explanation(heirs: list[Process], confidence: Confidence) -> str:
    if confidence == "certain":
        return ngettext(
            "{who} did not open this socket: it was left to a child by a program that has ended, or closed its own "
            "copy. The port stays taken until the last copy is closed.",
            "{who} did not open this socket: it was left to a child by a program that has ended, or closed its own "
            "copy. The port stays taken until the last copy is closed.",
            len(heirs),
            who=words.everyone(heirs),
        )
    return ngettext(
        "{who} most likely did not open this socket: it was left to a child by a program that has ended, or closed its "
        "own copy. The port stays taken until the last copy is closed.",
        "{who} most likely did not open this socket: it was left to a child by a program that has ended, or closed its "
        "own copy. The port stays taken until the last copy is closed.",
        len(heirs),
        who=words.everyone(heirs),
    )


def _reason(view: View, process: Process) -> tuple[Confidence, str] | None:
    """Why this process can't be the one that opened the socket; None where it may be."""
    if process.handed_sockets or words.is_activator(process):
        return None
    mine = [descriptor for socket, descriptors in view.held(process.pid) for descriptor in descriptors]
    inheritable = any(d.cloexec is False for d in mine)
    if inheritable and (calls := _cannot_have_opened(view, process)):
        return "certain", _(
            "nothing loaded into {who} imports {calls}, its file {file} included",
            who=words.who(process),
            calls=calls,
            file=process.exe,
        )
    if process.serves and not _worker(process) and not _siblings(view, process):
        return None  # whoever opened it, this program waits for clients now
    if not process.forked_only and inheritable and _always_closes(process) and _orphan(process):
        return "likely", _kept_open(process, _open_fd(mine))
    if (
        process.forked_only
        and _orphan(process)
        and (not _daemon(process) or _worker(process) or _siblings(view, process))
    ):
        return "likely", _only_forked(process)
    return None


def _cannot_have_opened(view: View, process: Process) -> str | None:
    """Which calls the process lacks to have opened, or to serve, any of its sockets here; None where it may."""
    states = {socket.state for socket in view.sockets_of(process.pid)}
    if states == {"listen"} and process.can_listen is False:
        return _("listen() or accept()")
    return _("bind() or recv()") if states <= {"bound", "unconnected"} and process.can_bind is False else None


def _open_fd(descriptors: list[Descriptor]) -> int:
    return next((d.fd for d in descriptors if d.cloexec is False), 0)


def _always_closes(process: Process) -> bool:
    program = (process.exe or "").rpartition("/")[2]
    return program.startswith(CLOSING)


def _orphan(process: Process) -> bool:
    """Whether the parent is not the one that started it: init, or another reaper, has it.

    What a manager started has a unit, and a session leader left on purpose: neither is a leftover.
    """
    if process.unit or process.session == process.pid:
        return False
    return process.ppid <= 1 or bool(process.parents and process.parents[0].name in REAPERS)


def _daemon(process: Process) -> bool:
    """Whether it left its starter's session on purpose: daemon(7) forks after setsid(2)."""
    return process.tty == 0 and (process.session == process.pid or not process.session_leader_alive)


def _worker(process: Process) -> bool:
    """Whether its title calls it a worker, as nginx, gunicorn and others do."""
    title = (process.cmdline or ("",))[0]
    return len(process.cmdline or ()) == 1 and "worker" in title


def _siblings(view: View, process: Process) -> bool:
    """Whether other orphans share its socket: the workers of a master that died."""
    inodes = {socket.inode for socket in view.sockets_of(process.pid)}
    return all(len(view.sharers(i)) > 1 and _all_forked_orphans(view, i) for i in inodes)


def _all_forked_orphans(view: View, inode: int) -> bool:
    """Whether every process that shares the socket is one; it ends at the first that is not."""
    sharers = (view.process(pid) for pid in view.sharers(inode))
    return all(process is None or (process.forked_only and _orphan(process)) for process in sharers)
