"""What the lines round about an error tell of it: who binds or connects, by which protocol, to what kind of thing."""

import re
from typing import Final

from inuse.messages.lines import Line, Lines
from inuse.messages.model import Proto
from inuse.messages.words import exact_words, words

#: Somebody wants to serve.
BIND: Final = words("bind")
#: Somebody wants to reach another.
CONNECT: Final = words("connect")
_CONNECT_STACK: Final = exact_words("connect_stack")
_BIND_STACK: Final = exact_words("bind_stack")
#: A serial port, or a program for one.
SERIAL: Final = words("serial")
#: A serial port by its name, or spoken of as one that a program opens.
SERIAL_NAMED: Final = words("serial_named")
SERIAL_UNOPENED: Final = words("serial_unopened")
#: A device of a tunnel.
TUN: Final = words("tun")
#: Nothing that speaks of a device's absence, or of a connection that was open, is a device in use.
ABSENT: Final = words("absent")
#: An e-mail's, a network card's, an account's address: none that a program binds to.
OTHER_ADDRESS = re.compile(
    r"(?:mail|ip|ipv4|ipv6|mac|wallet|street|account|web|network|static|device|slave|node|modbus|i2c|user|メール|邮箱|邮件)"
    r"[-\s_'\",]{0,3}(?:address )?$",
    re.IGNORECASE,
)
#: Words before a sentence, after which it is only supposed.
SUPPOSED: Final = words("supposed")
_QUOTES = "\"'`“”„«»「」『』"
#: Code that names an error, and does not print it.
CODE: Final = exact_words("code")
_COMMENT = re.compile(r"(?:^|[\s;(){}])//")
_TCP: Final = words("tcp")
_UDP: Final = words("udp")
_EXCEPTION: Final = "BindException"
_CLIENT_CALL = re.compile(r"connectex|: connect\b|connect:|connect\(\)|no further information|dial", re.IGNORECASE)
_BIND_CALL = re.compile(r": bind\b|bind:", re.IGNORECASE)
_EITHER = re.compile(r"tcp/udp|udp/tcp|tcp (?:and|or|&) udp", re.IGNORECASE)


def protocol(line: Line) -> Proto | None:
    """Return the protocol that a line makes certain; None where it names both or none."""
    return _certain(*_of_whole(line))


def protocol_near(lines: Lines, line: Line, before: int, after: int) -> Proto | None:
    """Return the protocol that a line and its neighbours make certain; None where they name both or none."""
    udp, tcp = _of_whole(line)
    for one in (*lines.before(line, before), *lines.after(line, after)):
        of_udp, of_tcp = one.protocols or _of_beginning(one)
        udp, tcp = udp or of_udp, tcp or of_tcp
    return _certain(udp, tcp)


def _named(line: Line, text: str) -> tuple[bool, bool]:
    """Whether the text of a line, or its beginning, is of UDP, whether of TCP."""
    if "tcp" in line.lower and "udp" in line.lower and _EITHER.search(text):
        text = _EITHER.sub(" ", text)
        return _UDP.search(text) is not None, _TCP.search(text) is not None
    return (
        line.may_say(_UDP) and _UDP.search(text) is not None,
        line.may_say(_TCP) and _TCP.search(text) is not None,
    )


def _of_whole(line: Line) -> tuple[bool, bool]:
    return line.protocols or _of_beginning(line) if line.is_short else _named(line, line.text)


def _of_beginning(line: Line) -> tuple[bool, bool]:
    line.protocols = _named(line, line.beginning)
    return line.protocols


def _certain(udp: bool, tcp: bool) -> Proto | None:  # noqa: FBT001 - two facts of the same kind
    if udp and tcp:
        return None
    return "udp" if udp else "tcp" if tcp else None


def connects(lines: Lines, line: Line, end: int) -> bool:
    """Whether an error is that of a client. ``end``: where the line no longer counts."""
    text = line.text[:end]
    bind = binds_besides(line, text)
    if line.may_say(CONNECT) and CONNECT.search(text):
        return not bind or (_CLIENT_CALL.search(text) is not None and not _BIND_CALL.search(text))
    if bind:
        return False
    return lines.any(line, 12, 12, _CONNECT_STACK) and not lines.any(line, 12, 12, _BIND_STACK)


def binds_besides(line: Line, text: str) -> bool:
    """Whether a line, or a part of it, speaks of binding otherwise than by the name of Java's exception."""
    if _EXCEPTION in text:
        return BIND.search(text.replace(_EXCEPTION, "")) is not None
    return line.may_say(BIND) and BIND.search(text) is not None


def supposed(text: str, start: int) -> bool:
    """Whether what stands at ``start`` is only supposed, in the same sentence and outside quotes."""
    clause = re.split(r"[.;!?\n]\s|[:—–(]\s?", text[max(0, start - 120) : start])[-1]
    return SUPPOSED.search(clause) is not None


def quoted(text: str, start: int, end: int) -> bool:
    """Whether a piece of a line stands in quotes, or begins or ends with one."""
    before = text[max(0, start - 200) : start]
    after = text[end : end + 200]
    return any(mark in before for mark in _QUOTES) and any(mark in after for mark in _QUOTES)


def commented(text: str, start: int, end: int) -> bool:
    """Whether a piece of a line stands in a comment of a source file, and not in quotes there."""
    return _COMMENT.search(text[:start]) is not None and not quoted(text, start, end)
