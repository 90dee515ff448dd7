"""What the lines round about an error tell of it: who binds or connects, by which protocol, to what kind of thing."""

import re
from typing import Final

from inuse.messages.catalogue import Program, compiled, programs, words
from inuse.messages.model import Proto

#: Somebody wants to serve.
BIND: Final = words("bind")
#: Somebody wants to reach another.
CONNECT: Final = words("connect")
_CONNECT_STACK: Final = words("connect_stack", exact=True)
_BIND_STACK: Final = words("bind_stack", exact=True)
#: A serial port, or a program for one.
SERIAL: Final = words("serial")
#: A device of a tunnel.
TUN: Final = words("tun")
#: Nothing that speaks of a device's absence, or of a connection that was open, is a device in use.
ABSENT: Final = words("absent")
#: An e-mail's, a network card's, an account's address: none that a program binds to.
OTHER_ADDRESS = re.compile(
    r"(?:mail|ip|ipv4|ipv6|mac|wallet|street|account|web|network|static|device|slave|node|modbus|i2c|user|メール|邮箱|邮件)"
    r"[-\s_'\"]{0,3}(?:address )?$",
    re.IGNORECASE,
)
#: Words before a sentence, after which it is only supposed.
SUPPOSED: Final = words("supposed")
_QUOTES = "\"'`“”„«»「」『』"
#: Code that names an error, and does not print it.
CODE: Final = words("code", exact=True)
_TCP: Final = words("tcp")
_UDP: Final = words("udp")
_CLIENT_CALL = re.compile(r"connectex|: connect\b|connect:|connect\(\)|no further information|dial", re.IGNORECASE)
_BIND_CALL = re.compile(r": bind\b|bind:", re.IGNORECASE)
_EITHER = re.compile(r"tcp/udp|udp/tcp|tcp (?:and|or|&) udp", re.IGNORECASE)


def protocol(text: str) -> Proto | None:
    """Return the protocol that a text makes certain; None where it names both or none."""
    text = _EITHER.sub(" ", text)
    udp, tcp = _UDP.search(text), _TCP.search(text)
    if udp and tcp:
        return None
    return "udp" if udp else "tcp" if tcp else None


def connects(line: str, round_about: str) -> bool:
    """Whether an error is that of a client. ``line``: the error's own."""
    bind, connect = BIND.search(line), CONNECT.search(line)
    if connect and not bind:
        return True
    if connect and bind:
        return _CLIENT_CALL.search(line) is not None and not _BIND_CALL.search(line)
    if bind:
        return False
    return _CONNECT_STACK.search(round_about) is not None and not _BIND_STACK.search(round_about)


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
    return re.match(r"\s{0,40}//", text) is not None and not quoted(text, start, end)


def program(line: str, round_about: str) -> Program | None:
    """Return the program that a message is of: as its line says, or else as those round about do."""
    for general in (False, True):
        for text in (line, round_about):
            for one in programs():
                if one.general is general and compiled(one.pattern).search(text):
                    return one
    return None
