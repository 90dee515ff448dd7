"""Completion of targets: the ports that are in use now."""

from typing import Any

import click


def held_targets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:  # noqa: ARG001
    """Offer the ports in use, each once, with who has it."""
    from click.shell_completion import CompletionItem

    from inuse.api import this_machine
    from inuse.listing import listing
    from inuse.render.safe import safe
    from inuse.systems.interface import LookError

    try:
        rows = listing(this_machine()[0].look_around()).entries
    except LookError:
        return []
    found: dict[str, str] = {}
    for row in rows:
        if row.ports == 1:
            name = str(row.port) if row.proto == "tcp" else f"{row.port}/{row.proto}"
            found.setdefault(name, safe(row.holders[0].name) if row.holders else row.situation or row.state)
    return [CompletionItem(name, help=who) for name, who in found.items() if name.startswith(incomplete)]
