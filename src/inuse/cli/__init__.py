"""The command line: the only room that prints or exits."""

import sys

from inuse._version import __version__


def main() -> None:
    """Run the command line and exit with the status the contract gives."""
    if sys.argv[1:] in (["--version"], ["-V"]):  # without loading what only other questions need
        sys.stdout.write(f"inuse {__version__}\n")
        sys.exit(0)
    from inuse.cli.app import run

    sys.exit(run(sys.argv[1:]))
