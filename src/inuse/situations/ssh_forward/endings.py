"""What will end a server's session whose client is gone, in words. Pure.

Source: sshd_config(5) for ClientAliveInterval, ClientAliveCountMax and TCPKeepAlive; serverloop.c: a session ends when
the unanswered checks exceed the count; tcp(7) for tcp_keepalive_* and tcp_retries2.
"""

from typing import Final

from inuse.evidence.ssh import KeepAlive
from inuse.language import _
from inuse.model import Socket
from inuse.situations.ssh_forward.told import duration

#: tcp_retries2 is 15 by default: the kernel gives up 924.6 s after the first loss, or later.
RETRIES_SECONDS: Final = 925


def told(keep: KeepAlive | None, way: Socket | None) -> str:
    """Say what will end the session if the client is gone, and when; ``way``: its connection to the client."""
    if keep is None:
        return ""
    parts = [_by_sshd(keep), _by_tcp(keep, way)]
    if keep.unused and keep.unused.lower() not in {"none", "0"}:
        parts.append(_("UnusedConnectionTimeout {time} ends it earlier when no channel is open.", time=keep.unused))
    return " ".join(part for part in parts if part)


def _by_sshd(keep: KeepAlive) -> str:
    """Say what ClientAliveInterval does, and how sure that is."""
    if keep.interval is None or keep.count is None:
        return _("What sshd is set to do about silent clients could not be read.")
    text = _settings(keep.interval, keep.count)
    if keep.matched and keep.changed:
        return _(
            "{sentence}, unless a Match block says otherwise or the settings were others when it started.",
            sentence=text,
        )
    if keep.matched:
        return _("{sentence}, unless a Match block says otherwise.", sentence=text)
    return _("{sentence}, as its settings are now.", sentence=text) if keep.changed else f"{text}."


def _settings(interval: int, count: int) -> str:
    """Say what ClientAliveInterval (in seconds) and ClientAliveCountMax come to, in a clause."""
    if not interval:
        return _("sshd itself does not ask whether the client lives (ClientAliveInterval is 0, off)")
    if not count:
        return _("sshd asks every {time}, but ends nothing (ClientAliveCountMax is 0)", time=duration(interval))
    return _(
        "sshd asks after every {time} of silence, and ends the session when more than {most} are unanswered: "
        "{first} to {last} s after the client was last heard",
        time=duration(interval),
        most=count,
        first=interval * count,
        last=interval * (count + 1),
    )


def _by_tcp(keep: KeepAlive, way: Socket | None) -> str:
    """Say what TCP itself does."""
    if way is not None and way.info is not None and (way.info.retransmits or way.info.backoff):
        return _("TCP gives up about {time} after the first loss (tcp_retries2).", time=duration(RETRIES_SECONDS))
    on = way.timer == "keepalive" if way is not None and way.timer != "on" else keep.tcp
    if on is False:
        off = _("TCP keepalive is off too: unless something is sent to the client, nothing ends it.")
        return "" if keep.interval else off
    if on is None or keep.time is None or keep.step is None or keep.probes is None:
        return ""
    whole, first = duration(keep.time + keep.step * keep.probes), _first_probe(way)
    if first is None:
        return _(
            "TCP keepalive ends it after {time} if the client's computer no longer answers; "
            "a client that only hangs is not noticed by it.",
            time=whole,
        )
    return _(
        "TCP keepalive ends it after {time} if the client's computer no longer answers (first probe in {first}); "
        "a client that only hangs is not noticed by it.",
        time=whole,
        first=first,
    )


def _first_probe(way: Socket | None) -> str | None:
    """Say in what time TCP keepalive will ask for the first time; None where it has, or that is not known."""
    if way is None or way.timer != "keepalive" or way.expires_ms is None or (way.info and way.info.probes):
        return None
    return duration(way.expires_ms / 1000)
