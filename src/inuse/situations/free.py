"""Nothing stands in the way: a program that asks for this port now gets it.

How we know: a real attempt (bind and, for TCP, listen, without SO_REUSEADDR) on every address of
the target succeeded and was closed at once. With ``--as`` the attempt is made as that program
would; others may then hold the port beside it, and are listed.
References: bind(2), listen(2).
"""

from inuse.language import _, ngettext
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
    explanation = _("{name} can be had now.", name=view.name)
    if view.holders:
        explanation += " " + ngettext(
            "{who} holds it as well: the attempt asked for may share it.",
            "{who} hold it as well: the attempt asked for may share it.",
            len(view.holders),
            who=words.everyone(view.holders),
        )
    return Finding(
        situation=CODE,
        confidence="likely" if by_rules else "certain",
        title=_("{name} is free", name=view.name),
        explanation=explanation,
        evidence=(f"{tried}: {_how(view, by_rules=by_rules)}",),
    )


def _how(view: View, *, by_rules: bool) -> str:
    if by_rules:
        return _("the bind rules let it through")
    if view.target.proto == "udp":
        return _("bind succeeded, and was closed at once")
    return _("bind and listen succeeded, and were closed at once")
