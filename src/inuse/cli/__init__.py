"""The command line: the only room that prints or exits."""

import gc
import os
import sys

from inuse._version import __version__

TYPE_CHECKING = False  # typing itself would be most of the cost of --version

if TYPE_CHECKING:
    from typing import NoReturn


def main() -> None:
    """Run the command line and exit with the status the contract gives."""
    for name in ("stdout", "stderr"):  # closed by whoever started us: the answer is then the exit status alone
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - to the end of the process
    gc.disable()  # one short answer makes little garbage, and looking for it takes a fifth of the time
    if sys.argv[1:] in (["--version"], ["-V"]):  # without loading what only other questions need
        sys.stdout.write(f"inuse {__version__}\n")
        end(0)
    try:
        from inuse.cli.app import run
    except KeyboardInterrupt:  # while modules are loaded
        end(130)
    end(run(sys.argv[1:]))


def end(result: int) -> "NoReturn":
    """Exit at once: taking the interpreter apart piece by piece would take as long as an answer."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed, or full: run() has said what there was to say
            continue
    os._exit(result)
