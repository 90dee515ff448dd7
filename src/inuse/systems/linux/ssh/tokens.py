"""The percent tokens of a ControlPath. Pure.

Source: TOKENS in ssh_config(5); ssh_connection_hash() in OpenSSH's readconf.c: %C is SHA-1 of %l%h%p%r, and of the
jump host where there is one (newer ones).
"""

from typing import NamedTuple


class Connection(NamedTuple):
    """What the tokens stand for: the host as asked and as it is reached, and who asks where."""

    name: str
    host: str
    port: str
    user: str
    home: str
    local_user: str
    uid: int
    local_host: str
    jump: str = ""


def expand(text: str, to: Connection, *, with_jump: bool = False) -> str:
    """Replace the tokens and a leading ``~``; a token that is not known stays as it is."""
    if text == "~" or text.startswith("~/"):
        text = to.home + text[1:]
    if "%" not in text:
        return text
    short = to.local_host.partition(".")[0]
    values = {
        "%": "%",
        "d": to.home,
        "h": to.host,
        "i": str(to.uid),
        "j": to.jump,
        "k": to.name,
        "L": short,
        "l": to.local_host,
        "n": to.name,
        "p": to.port,
        "r": to.user,
        "u": to.local_user,
    }
    if "%C" in text:
        values["C"] = _hash(to, with_jump=with_jump)
    parts = text.split("%")
    out = [parts[0]]
    at = 1
    while at < len(parts):
        part = parts[at]
        if not part and at + 1 < len(parts):  # %%
            out.append("%" + parts[at + 1])
            at += 2
            continue
        out.append(values[part[0]] + part[1:] if part and part[0] in values else "%" + part)
        at += 1
    return "".join(out)


def _hash(to: Connection, *, with_jump: bool) -> str:
    from _sha1 import sha1  # type: ignore[import-not-found]  # what hashlib falls back to, without loading OpenSSL

    text = to.local_host + to.host + to.port + to.user + (to.jump if with_jump else "")
    digest: str = sha1(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
    return digest
