"""The child process that stages a situation and asks about it.

It writes one Outcome to its standard output. The process that asks is a fork of it: that one may give
up rights for good, while this one keeps those it needs to take everything away.
"""

import os
import signal
import sys
from typing import Any

import msgspec

from inuse.demo import linux
from inuse.demo.model import Outcome
from inuse.demo.registry import BY_NAME
from inuse.demo.stage import NotHereError, Stage, Staged, reason
from inuse.language import _, use
from inuse.model import Diagnosis


def main() -> None:
    """Stage the situation named by the first argument, and write the Outcome.

    Further arguments: the pid of the process that started us, and the language to speak.
    """
    name, parent = sys.argv[1], int(sys.argv[2])
    use(sys.argv[3])
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    linux.die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        return
    try:
        outcome = run(name)
    except NotHereError as error:
        outcome = Outcome(refused=str(error))
    except SystemExit:
        # Told to stop in the middle: an actor may just have started something that we have not heard of.
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        raise
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


def _stop(_number: int, _frame: object) -> None:
    """Leave as an exception does, so that the stage is cleared; a second signal must not break that off."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(1)


def run(name: str) -> Outcome:
    """Stage a situation, in a network namespace of our own where it can be had, and ask about it."""
    private = True
    try:
        linux.private_network()
    except OSError:
        private = False
    with Stage(private=private) as stage:
        staged = BY_NAME[name].stage(stage)
        diagnosis = ask(staged)
    return Outcome(target=staged.target, command=staged.options.command, private=private, diagnosis=diagnosis)


def ask(staged: Staged) -> Diagnosis:
    """Diagnose what was staged, in a process of its own. Raises NotHereError where that process can't ask."""
    import_everything()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _answer(staged, writing)
    os.close(writing)
    with open(reading, "rb") as stream:  # noqa: PTH123 - a descriptor, not a path
        answer = stream.read()
    os.waitpid(child, 0)
    if not answer:
        raise NotHereError(_("the process that was to ask ended without an answer"))
    said = msgspec.json.decode(answer, type=Diagnosis | str)
    if isinstance(said, str):
        raise NotHereError(said)
    return said


def _answer(staged: Staged, pipe: int) -> None:
    """Be the process that asks."""
    from inuse.api import diagnose
    from inuse.systems.interface import LookError

    # Said now, this also reads the catalogue of the language: later it may not be allowed to.
    said: Any = _("the process that was to ask failed")
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if staged.enter is not None:
            staged.enter()
        said = diagnose(staged.target, options=staged.options)
    except OSError as error:
        said = reason(error)
    except (LookError, NotHereError) as error:
        said = str(error)
    finally:
        with open(pipe, "wb") as stream:
            stream.write(msgspec.json.encode(said))
        os._exit(0)


def import_everything() -> None:
    """Import what a diagnosis may need: an asker that gave up its rights may not be able to read it."""
    from importlib import import_module
    from pkgutil import walk_packages

    import inuse

    rooms = ("inuse.systems.linux.", "inuse.situations.", "inuse.binding.")
    for module in walk_packages(inuse.__path__, "inuse."):
        if module.name.startswith(rooms) or (module.name.count(".") == 1 and not module.name.endswith("__main__")):
            import_module(module.name)
    from inuse.catalogue import vpn_products

    vpn_products()
    for name in ("pwd", "re", "calendar", "subprocess", "encodings.idna"):
        import_module(name)
