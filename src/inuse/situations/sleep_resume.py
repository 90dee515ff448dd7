"""It is held over from before the computer slept; the connection behind it is dead.

Sleep closes nothing: after it every socket stands as before. But the other end, or a router on the way (NAT), has
mostly forgotten the connection meanwhile, and the program hears of that only when TCP gives up, a quarter of an hour of
waking time after its first unanswered packet; where it has nothing to send, and asks for no keepalive, never. Until
then an SSH tunnel, a VPN or a client of any kind sits on its port and serves nobody.
How we know: CLOCK_BOOTTIME, which runs on during sleep, is ahead of CLOCK_MONOTONIC, which does not; the holder is
older than the last sleep: by the kernel's account of its age on both clocks (taskstats, root only), or by the date of
that sleep in the journal or the kernel log; and the connection is dead: data or probes went unanswered three times in
a row (twice on a slow way), and nothing at all came from the other end (tcp_info). An idle connection is not called
dead, nor one that is read too slowly, and one that was answered after the computer woke did not die of the sleep.
Which connection: of a program that listens, those it made itself or was started for, never its clients', and only if
none of them lives; where nobody listens, those that have the port, if none of them lives.
What helps: end the holder and start it anew: nothing can be lost on a dead connection. To have it noticed next time:
ServerAliveInterval for ssh, whose clock counts the time asleep, or TCP keepalive.
References: clock_gettime(2), tcp(7), RFC 9293 3.8.3, RFC 6298, ssh_config(5), systemd.special(7) sleep.target.
"""

from collections.abc import Iterable
from typing import Any, Final

from inuse import stale
from inuse.evidence.sleep import Sleep
from inuse.model import Confidence, Finding, Process, Remedy, Socket
from inuse.scene import View, host_port
from inuse.situations import words
from inuse.stale import Stale

CODE = "sleep-resume"
#: So many unanswered tries take 12 seconds at the least: by then a network that came back is there.
SURE_TRIES: Final = 6
#: What runs for less than this has most likely not seen the sleep, where nothing tells.
LONG_SECONDS: Final = 3600
#: The first and the longest time TCP waits for an answer: TCP_RTO_MIN, TCP_RTO_MAX.
RTO_SECONDS: Final = 0.2, 120.0
SSH: Final = frozenset({"ssh", "autossh"})
SSHD: Final = frozenset({"sshd", "sshd-session"})


def find(view: View) -> Finding | None:
    """Return the finding for holders that hang on a connection the sleep has killed."""
    sleep = view.scene.sleep
    if sleep is not None and view.device is not None:
        return _of_device(view, sleep)
    if sleep is None or view.succeeded or view.target.port == 0:
        return None
    held = [
        one
        for one in stale.find(view)
        if stale.slept_through(sleep, one.process.pid) is not False
        and not any(stale.heard_since(sleep, socket) for socket in one.connections)
    ]
    if not held:
        return None
    lead = held[0].process
    dead = list(dict.fromkeys(socket for one in held for socket in one.connections))
    older = stale.slept_through(sleep, lead.pid)
    return Finding(
        situation=CODE,
        confidence=_confidence(sleep, held),
        title=_title(view, lead, dead, older=older),
        explanation=_explanation(sleep, lead, dead, older=older),
        evidence=(
            *_slept(sleep),
            *(line for one in held[:10] if (line := _age(sleep, one.process))),
            *(_death(view, socket) for socket in dead[:10]),
            *words.evidence(view, [one.process for one in held]),
        ),
        holders=words.pids([one.process for one in held]),
        details=_details(sleep, dead, older=older),
        remedies=_remedies(view, sleep, [one.process for one in held], dead),
    )


def _of_device(view: View, sleep: Sleep) -> Finding | None:
    """Return the finding for programs that still have a USB device as it was before the sleep.

    Many USB hosts cut the power while the computer sleeps, so every device is plugged in anew when it wakes. Who had
    it open before has a dead one, which keeps the name.
    """
    seen = view.device
    old = {one.pid for one in seen.open_by if one.other_node or one.deleted} if seen else set()
    held = [p for p in view.holders if p.pid in old and stale.slept_through(sleep, p.pid) is not False]
    if not held or (sleep.total_seconds <= stale.SLEPT_SECONDS):
        return None
    lead = held[0]
    sure = stale.slept_through(sleep, lead.pid) is True
    return Finding(
        situation=CODE,
        confidence="likely" if sure else "possible",
        title=f"{words.who(lead)} still has {view.name} as it was before the computer slept",
        explanation=f"{_when(sleep)} USB devices come anew after that, and what {words.who(lead)} has open is the one "
        "of before: it is dead, and keeps the name.",
        evidence=(*_slept(sleep), *words.evidence(view, held)),
        holders=words.pids(held),
        details={**_details(sleep, [], older=sure or None)},
        remedies=words.kept(
            *(_restart(view, group[0], []) for group in words.services(held)),
            words.stop(view, [process for process in held if not words.is_managed(process)]),
        ),
    )


def _confidence(sleep: Sleep, held: list[Stale]) -> Confidence:
    """How sure it is: that they are older than the sleep, that the connection died, and that it died of that."""
    older = [stale.slept_through(sleep, one.process.pid) for one in held]
    dated = sleep.ended_ago is not None
    if all(older) and dated and all(_sure(one.connections) for one in held):
        return "certain"
    known = (stale.sleeper(sleep, one.process.pid) for one in held)
    young = all(one is not None and one.age_seconds < LONG_SECONDS for one in known)
    return "possible" if None in older and young and sleep.shifted_seconds == 0 else "likely"


def _sure(dead: Iterable[Socket]) -> bool:
    return all(stale.tries(socket) >= SURE_TRIES for socket in dead)


def _title(view: View, lead: Process, dead: list[Socket], *, older: bool | None) -> str:
    far = list(dict.fromkeys(host_port(socket.remote_address, socket.remote_port) for socket in dead))
    state = "is dead" if _sure(dead) else "seems to be dead"
    states = "are dead" if _sure(dead) else "seem to be dead"
    behind = f"its connection to {far[0]} {state}" if len(dead) == 1 else f"its {len(dead)} connections {states}"
    since = " since before the computer slept" if older else ""
    slept = "" if older else " and the computer has slept"
    return f"{words.who(lead)} {words.doing(view, lead)}{since}, but {behind}{slept}"


def _explanation(sleep: Sleep, lead: Process, dead: list[Socket], *, older: bool | None) -> str:
    text = _when(sleep)
    if older and sleep.source is None:
        one = stale.sleeper(sleep, lead.pid)
        part = span(one.asleep_seconds) if one and one.asleep_seconds is not None else "Some"
        text += f" {part} of that was after {words.who(lead)} was started."
    elif older:
        text += f" {words.who(lead)} was started before that."
    elif sleep.source is None:
        text += f" When is not recorded: {words.who(lead)} may have been started after that."
    else:
        text += f" Whether {words.who(lead)} was started before that can't be told."
    shows = "Its connection shows" if len(dead) == 1 else "Its connections show"
    text += f" {shows} as open, but the other end no longer answers. The port stays taken until {lead.name} notices"
    text += f", which can take {about(limit)} or more." if (limit := gives_up(sleep.retries)) else "."
    if not _sure(dead):
        text += " If the network came back only a moment ago, ask again in a minute."
    return text


def _when(sleep: Sleep) -> str:
    """Say when the computer slept, as exactly as that is known."""
    if sleep.began and sleep.ended and sleep.began_ago is not None and sleep.ended_ago is not None:
        length = span(sleep.began_ago - sleep.ended_ago)
        return f"The computer slept for {length}, until {span(sleep.ended_ago)} ago."
    if sleep.ended and sleep.ended_ago is not None:
        return f"The computer woke from sleep {span(sleep.ended_ago)} ago."
    if sleep.began_ago is not None:
        return f"The computer went to sleep {span(sleep.began_ago)} ago, and woke only just now."
    return f"This computer has slept {span(sleep.total_seconds)} in all since it was booted."


def _slept(sleep: Sleep) -> tuple[str, ...]:
    """Return what shows that the machine slept."""
    lines = [f"CLOCK_BOOTTIME is {sleep.total_seconds:.0f} s ahead of CLOCK_MONOTONIC: so long it has slept in all"]
    if sleep.times and sleep.shifted_seconds == 0:
        lines[0] += f", {words.plural(sleep.times, 'time')}"
    if sleep.shifted_seconds:
        lines.append(f"{sleep.shifted_seconds:.0f} s of that are this time namespace's own (/proc/self/timens_offsets)")
    if sleep.source:
        times = (f"{word} {time}" for word, time in (("from", sleep.began), ("until", sleep.ended)) if time)
        lines.append(f"last sleep, by the {sleep.source}: {' '.join(times)}")
    return tuple(lines)


def _age(sleep: Sleep, process: Process) -> str | None:
    """Return what shows how old a holder is."""
    one = stale.sleeper(sleep, process.pid)
    if one is None:
        return None
    line = f"{words.who(process)} was started {span(one.age_seconds)} ago"
    if one.asleep_seconds is not None and one.asleep_seconds > stale.SLEPT_SECONDS:
        line += f", and the computer slept {span(one.asleep_seconds)} of that (taskstats)"
    return line


def _death(view: View, socket: Socket) -> str:
    """Return what shows that a connection is dead."""
    sleep = view.scene.sleep
    helpers = [c.pid for c in view.scene.connections if sleep and c.socket == socket and c.pid in sleep.helpers]
    whose = f" of its child (pid {helpers[0]})" if helpers else ""
    silent = span(stale.silent_ms(socket) / 1000)
    tries = stale.tries(socket)
    if socket.send_queue:
        waiting = f"{words.plural(socket.send_queue, 'byte')} unacknowledged, tried {tries} times in a row"
    else:
        waiting = f"{tries} questions in a row unanswered"
    heard = f"nothing received for {silent} (time asleep not counted)"
    return f"{socket.proto} {words.ends(socket)}{whose}: {waiting}, {heard}"


def _details(sleep: Sleep, dead: list[Socket], *, older: bool | None) -> dict[str, Any]:
    return {
        "slept_seconds": round(sleep.total_seconds),
        "began": sleep.began,
        "ended": sleep.ended,
        "source": sleep.source,
        "older": older,
        "connections": [
            {
                "local": host_port(socket.local_address, socket.local_port),
                "remote": host_port(socket.remote_address, socket.remote_port),
                "state": socket.state,
                "unacknowledged_bytes": socket.send_queue,
                "tries": stale.tries(socket),
                "silent_seconds": round(stale.silent_ms(socket) / 1000),
            }
            for socket in dead[:100]
        ],
    }


def _remedies(view: View, sleep: Sleep, holders: list[Process], dead: list[Socket]) -> tuple[Remedy, ...]:
    """Restart what a service manager looks after, end the rest; or wait; and have it notice by itself next time."""
    plain = [process for process in holders if not words.is_managed(process)]
    return words.kept(
        *(_restart(view, group[0], dead) for group in words.services(holders)),
        _stop(view, plain, dead),
        _wait(sleep, holders),
        _notice(holders),
        words.another_port(),
    )


def _lost(view: View, dead: list[Socket]) -> str:
    """Say what is lost with the dead connections: none of them, but any other connection of the same programs."""
    no_longer = "connection no longer answers" if len(dead) == 1 else "connections no longer answer"
    others = {one.socket.inode for one in view.scene.connections} - {socket.inode for socket in dead}
    return no_longer + (f"; {words.plural(len(others), 'other connection')} of it would end too" if others else "")


def _restart(view: View, process: Process, dead: list[Socket]) -> Remedy:
    command, needs_root = words.systemctl(view, process, "restart")
    return Remedy(
        id="restart-unit",
        title=f"Restart the service {process.unit}, so that it connects anew (it takes the {words.thing(view)} again)",
        command=command,
        needs_root=needs_root,
        disrupts=f"{process.unit} for a moment" + (f"; its {_lost(view, dead)}" if dead else ""),
    )


def _stop(view: View, holders: list[Process], dead: list[Socket]) -> Remedy | None:
    return words.stop(
        view,
        holders,
        title=f"End {words.everyone(holders)} and start it anew" if holders else None,
        disrupts=f"{words.everyone(holders)}, whose {_lost(view, dead)}",
    )


def _wait(sleep: Sleep, holders: list[Process]) -> Remedy | None:
    limit = gives_up(sleep.retries)
    if limit is None:
        return None
    name = holders[0].name
    return Remedy(
        id="wait",
        title=f"Or wait: TCP gives up {about(limit)} after the first unanswered packet, and tells {name}",
    )


def _notice(holders: list[Process]) -> Remedy:
    if any(process.name in SSH for process in holders):
        title = "To have ssh notice by itself next time: ServerAliveInterval 15 in ~/.ssh/config"
    elif any(process.name in SSHD for process in holders):
        title = "To have sshd notice by itself next time: ClientAliveInterval 15 in sshd_config"
    else:
        title = "To have it notice by itself next time: switch on its keepalive, if it has one"
    return Remedy(id="notice-next-time", title=title)


def gives_up(retries: int | None) -> float | None:
    """Return the seconds after which TCP gives up: tcp_model_timeout() in net/ipv4/tcp_timer.c; None: not known."""
    if retries is None or not 0 <= retries <= 255:
        return None
    first, longest = RTO_SECONDS
    doubled = 9  # after so many doublings the longest is reached: ilog2(longest / first)
    if retries <= doubled:
        return ((2 << retries) - 1) * first
    return ((2 << doubled) - 1) * first + (retries - doubled) * longest


def about(seconds: float) -> str:
    """Write a length of time that is not exact: whole minutes from a minute on."""
    return span(seconds if seconds < 60 else round(seconds / 60) * 60)


def span(seconds: float) -> str:
    """Write a length of time in two units at most."""
    whole = max(0, round(seconds))
    for size, unit, part, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"
