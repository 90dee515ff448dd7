"""``inuse schema``: the JSON Schema of everything ``--json`` prints."""

import click

from inuse.cli import output, status


@click.command(name="schema", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> int:
    """Print the JSON Schema (2020-12) of everything that --json prints."""
    from inuse.render.json import render, schema

    output.write_bytes(render(schema(), indent=True))
    return status.DONE
