"""Completion of targets: the ports that are in use now."""

from typing import Any

import click


def held_targets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:  # noqa: ARG001
    """Offer the ports in use, each once, with who has it."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415

    from inuse.api import this_machine  # noqa: PLC0415
    from inuse.listing import listing  # noqa: PLC0415
    from inuse.render.safe import safe  # noqa: PLC0415
    from inuse.systems.interface import LookError  # noqa: PLC0415

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
