"""Nothing stands in the way: a program that asks for this port now gets it.

How we know: a real attempt (bind and, for TCP, listen, without SO_REUSEADDR) on every address of
the target succeeded and was closed at once. With ``--as`` the attempt is made as that program
would; others may then hold the port beside it, and are listed.
References: bind(2), listen(2).
"""

from inuse.model import Finding
from inuse.scene import View, host_port
from inuse.situations import words

CODE = "free"


def find(view: View) -> Finding | None:
    """Return the finding when every attempt succeeded."""
    if not view.succeeded:
        return None
    tried = ", ".join(host_port(answer.attempt.address, answer.attempt.port) for answer in view.answers)
    by_rules = any(answer.by == "rules" for answer in view.answers)
    how = "the bind rules let it through" if by_rules else "bind and listen succeeded, and were closed at once"
    if view.target.proto == "udp" and not by_rules:
        how = "bind succeeded, and was closed at once"
    explanation = f"{view.name} can be had now."
    if view.holders:
        verb = "holds" if len(view.holders) == 1 else "hold"
        explanation += f" {words.everyone(view.holders)} {verb} it as well: the attempt asked for may share it."
    return Finding(
        situation=CODE,
        confidence="likely" if by_rules else "certain",
        title=f"{view.name} is free",
        explanation=explanation,
        evidence=(f"{tried}: {how}",),
    )
