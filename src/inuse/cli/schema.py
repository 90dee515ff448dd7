"""``inuse schema``: the JSON Schema of everything ``--json`` prints."""

import click

from inuse.cli import output, status
from inuse.cli.command import Verb


@click.command(name="schema", cls=Verb)
def command() -> int:
    """Print the JSON Schema (2020-12) of everything that --json prints."""
    from inuse.render.json import render, schema

    output.write_bytes(render(schema(), indent=True))
    return status.DONE
