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

from collections.abc import Iterator
from typing import Any, Final

from inuse import stale
from inuse.evidence.sleep import Sleep
from inuse.language import _, ngettext
from inuse.model import Confidence, Finding, Process, Socket
from inuse.scene import View, host_port
from inuse.situations import words
from inuse.situations.sleep_resume import told
from inuse.situations.sleep_resume.remedies import remedies, restarts
from inuse.situations.sleep_resume.told import span
from inuse.stale import Stale

CODE = "sleep-resume"
#: What runs for less than this has most likely not seen the sleep, where nothing tells.
LONG_SECONDS: Final = 3600
#: The first and the longest time TCP waits for an answer: TCP_RTO_MIN, TCP_RTO_MAX.
RTO_SECONDS: Final = 0.2, 120.0


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
    older, limit = stale.slept_through(sleep, lead.pid), gives_up(sleep.retries)
    return Finding(
        situation=CODE,
        confidence=_confidence(sleep, held),
        title=told.title(view, lead, dead, older=older),
        explanation=told.explanation(sleep, lead, dead, older=older, limit=limit),
        evidence=(
            *_slept(sleep),
            *(line for one in held[:10] if (line := _age(sleep, one.process))),
            *(_death(view, socket) for socket in dead[:10]),
            *words.evidence(view, [one.process for one in held]),
        ),
        holders=words.pids([one.process for one in held]),
        details=_details(sleep, dead, older=older),
        remedies=remedies(view, [one.process for one in held], dead, limit),
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
    sure, who = stale.slept_through(sleep, lead.pid) is True, words.who(lead)
    anew = _(
        "USB devices come anew after that, and what {who} has open is the one of before: it is dead, and keeps the "
        "name.",
        who=who,
    )
    return Finding(
        situation=CODE,
        confidence="likely" if sure else "possible",
        title=_("{who} still has {device} as it was before the computer slept", who=who, device=view.name),
        explanation=f"{told.when(sleep)} {anew}",
        evidence=(*_slept(sleep), *words.evidence(view, held)),
        holders=words.pids(held),
        details={**_details(sleep, [], older=sure or None)},
        remedies=words.kept(
            *restarts(view, held, []),
            words.stop(view, [process for process in held if not words.is_managed(process)]),
        ),
    )


def _confidence(sleep: Sleep, held: list[Stale]) -> Confidence:
    """How sure it is: that they are older than the sleep, that the connection died, and that it died of that."""
    older = [stale.slept_through(sleep, one.process.pid) for one in held]
    dated = sleep.ended_ago is not None
    if all(older) and dated and all(told.sure(one.connections) for one in held):
        return "certain"
    known = (stale.sleeper(sleep, one.process.pid) for one in held)
    young = all(one is not None and one.age_seconds < LONG_SECONDS for one in known)
    return "possible" if None in older and young and sleep.shifted_seconds == 0 else "likely"


def _slept(sleep: Sleep) -> Iterator[str]:
    """Yield what shows that the machine slept."""
    total = f"{sleep.total_seconds:.0f}"
    if sleep.times and sleep.shifted_seconds == 0:
        yield ngettext(
            "CLOCK_BOOTTIME is {total} s ahead of CLOCK_MONOTONIC: so long it has slept in all, {count} time",
            "CLOCK_BOOTTIME is {total} s ahead of CLOCK_MONOTONIC: so long it has slept in all, {count} times",
            sleep.times,
            total=total,
        )
    else:
        yield _("CLOCK_BOOTTIME is {total} s ahead of CLOCK_MONOTONIC: so long it has slept in all", total=total)
    if sleep.shifted_seconds:
        yield _(
            "{seconds} s of that are this time namespace's own (/proc/self/timens_offsets)",
            seconds=f"{sleep.shifted_seconds:.0f}",
        )
    if sleep.source:
        yield _("last sleep, by the {source}: {times}", source=_(sleep.source), times=_times(sleep))


def _times(sleep: Sleep) -> str:
    if sleep.began and sleep.ended:
        return _("from {began} until {ended}", began=sleep.began, ended=sleep.ended)
    if sleep.ended:
        return _("until {ended}", ended=sleep.ended)
    return _("from {began}", began=sleep.began) if sleep.began else ""


def _age(sleep: Sleep, process: Process) -> str | None:
    """Return what shows how old a holder is."""
    one = stale.sleeper(sleep, process.pid)
    if one is None:
        return None
    who, age = words.who(process), span(one.age_seconds)
    if one.asleep_seconds is not None and one.asleep_seconds > stale.SLEPT_SECONDS:
        asleep = span(one.asleep_seconds)
        return _(
            "{who} was started {age} ago, and the computer slept {asleep} of that (taskstats)",
            who=who,
            age=age,
            asleep=asleep,
        )
    return _("{who} was started {age} ago", who=who, age=age)


def _death(view: View, socket: Socket) -> str:
    """Return what shows that a connection is dead."""
    sleep = view.scene.sleep
    helpers = [c.pid for c in view.scene.connections if sleep and c.socket == socket and c.pid in sleep.helpers]
    way = f"{socket.proto} {words.ends(socket)}"
    if helpers:
        way = _("{connection} of its child (pid {pid})", connection=way, pid=helpers[0])
    heard = _("nothing received for {time} (time asleep not counted)", time=span(stale.silent_ms(socket) / 1000))
    return f"{way}: {_unanswered(socket)}, {heard}"


def _unanswered(socket: Socket) -> str:
    tries = stale.tries(socket)
    if not socket.send_queue:
        return ngettext("{count} question in a row unanswered", "{count} questions in a row unanswered", tries)
    return ngettext(
        "{count} byte unacknowledged, tried {tries} times in a row",
        "{count} bytes unacknowledged, tried {tries} times in a row",
        socket.send_queue,
        tries=tries,
    )


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


def gives_up(retries: int | None) -> float | None:
    """Return the seconds after which TCP gives up: tcp_model_timeout() in net/ipv4/tcp_timer.c; None: not known."""
    if retries is None or not 0 <= retries <= 255:
        return None
    first, longest = RTO_SECONDS
    doubled = 9  # after so many doublings the longest is reached: ilog2(longest / first)
    if retries <= doubled:
        return ((2 << retries) - 1) * first
    return ((2 << doubled) - 1) * first + (retries - doubled) * longest
