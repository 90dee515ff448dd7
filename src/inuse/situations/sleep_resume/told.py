"""When the computer slept, who is older than that, and how their connections are, in words. Pure."""

from collections.abc import Iterable
from typing import Final

from inuse import stale
from inuse.evidence.sleep import Sleep
from inuse.language import _, ngettext
from inuse.model import Process, Socket
from inuse.scene import View, host_port
from inuse.situations import words

#: So many unanswered tries take 12 seconds at the least: by then a network that came back is there.
SURE_TRIES: Final = 6


def sure(dead: Iterable[Socket]) -> bool:
    """Whether no network that is only slow to come back can explain it."""
    return all(stale.tries(socket) >= SURE_TRIES for socket in dead)


def title(view: View, lead: Process, dead: list[Socket], *, older: bool | None) -> str:
    """Say it in one line."""
    facts = {"who": words.who(lead), "does": words.doing(view, lead), "but": _behind(dead)}
    if older:
        return _("{who} {does} since before the computer slept, but {but}", **facts)
    return _("{who} {does}, but {but} and the computer has slept", **facts)


def _behind(dead: list[Socket]) -> str:
    """Say in a clause how the connections behind it are."""
    if len(dead) == 1:
        far = host_port(dead[0].remote_address, dead[0].remote_port)
        if sure(dead):
            return _("its connection to {far} is dead", far=far)
        return _("its connection to {far} seems to be dead", far=far)
    if sure(dead):
        return ngettext("its {count} connection is dead", "its {count} connections are dead", len(dead))
    return ngettext("its {count} connection seems to be dead", "its {count} connections seem to be dead", len(dead))


def explanation(sleep: Sleep, lead: Process, dead: list[Socket], *, older: bool | None, limit: float | None) -> str:
    """Say when it slept, whether the holder is older than that, and until when the port stays taken."""
    parts = [when(sleep), _begun(sleep, lead, older=older)]
    parts.append(
        ngettext(
            "Its connection shows as open, but the other end no longer answers.",
            "Its connections show as open, but the other end no longer answers.",
            len(dead),
        )
    )
    if limit:
        time = about(limit)
        parts.append(
            _("The port stays taken until {name} notices, which can take {time} or more.", name=lead.name, time=time)
        )
    else:
        parts.append(_("The port stays taken until {name} notices.", name=lead.name))
    if not sure(dead):
        parts.append(_("If the network came back only a moment ago, ask again in a minute."))
    return " ".join(parts)


def _begun(sleep: Sleep, lead: Process, *, older: bool | None) -> str:
    """Say whether the holder was started before the computer slept."""
    who = words.who(lead)
    if older and sleep.source is None:
        one = stale.sleeper(sleep, lead.pid)
        if one is None or one.asleep_seconds is None:
            return _("Some of that was after {who} was started.", who=who)
        return _("{time} of that was after {who} was started.", time=span(one.asleep_seconds), who=who)
    if older:
        return _("{who} was started before that.", who=who)
    if sleep.source is None:
        return _("When is not recorded: {who} may have been started after that.", who=who)
    return _("Whether {who} was started before that can't be told.", who=who)


def when(sleep: Sleep) -> str:
    """Say when the computer slept, as exactly as that is known."""
    if sleep.began and sleep.ended and sleep.began_ago is not None and sleep.ended_ago is not None:
        length = span(sleep.began_ago - sleep.ended_ago)
        return _("The computer slept for {time}, until {ended} ago.", time=length, ended=span(sleep.ended_ago))
    if sleep.ended and sleep.ended_ago is not None:
        return _("The computer woke from sleep {time} ago.", time=span(sleep.ended_ago))
    if sleep.began_ago is not None:
        return _("The computer went to sleep {time} ago, and woke only just now.", time=span(sleep.began_ago))
    return _("This computer has slept {time} in all since it was booted.", time=span(sleep.total_seconds))


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
