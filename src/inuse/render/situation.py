"""A situation's documentation as text for people."""

from typing import Final

from inuse.language import N_, _
from inuse.model import SITUATIONS
from inuse.render.safe import wrap
from inuse.render.text import WIDTH, Style, plain
from inuse.situations import paragraphs

VERDICTS: Final = {
    "in_use": N_("in use"),
    "blocked": N_("blocked"),
    "free": N_("free"),
    "unknown": N_("could not find out"),
}


def render(code: str, about: str, *, columns: int = WIDTH, style: Style = plain) -> str:
    """Return the documentation of a situation, its title first, wrapped."""
    title, *rest = [_(" ".join(lines)) for lines in paragraphs(about)]
    head = _("{code} (verdict: {verdict})", code=code, verdict=_(VERDICTS[SITUATIONS[code]]))
    lines = [style(head, "bold"), "", *wrap(title, columns)]
    for text in rest:
        lines += ["", *wrap(text, columns)]
    return "\n".join(lines) + "\n"
