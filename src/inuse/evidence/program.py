"""What is run by whom, to tell another instance of a program."""

from msgspec import Struct


class Program(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a command runs, whatever its further arguments. None: not so, or not known.

    ``words``: the command. ``exe``: the real path of the file that is executed; ``language``: which
    interpreter it is ("python", "node" …), and then ``script``: the real path of what it interprets,
    ``module``: ``python -m``, a Java main class, or ``code``: what stands after ``-c``. ``runner``: a program
    that runs what a project's files say (npm, make …): then ``words`` and ``cwd`` tell which. ``images``: words
    of a ``docker run`` or the like that may name its image; ``project``: of ``docker compose up``.
    """

    words: tuple[str, ...] = ()
    exe: str | None = None
    language: str | None = None
    script: str | None = None
    module: str | None = None
    code: str | None = None
    runner: str | None = None
    images: tuple[str, ...] = ()
    project: str | None = None
    cwd: str | None = None


class Running(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A program of a holder: its own (``pid`` is the holder's), or that of an ancestor, which ``holder`` came from."""

    holder: int
    pid: int
    program: Program
