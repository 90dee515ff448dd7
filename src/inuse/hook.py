"""For Python programs: an uncaught error of a port or device in use ends with what inuse has to say of it.

``python -m inuse.hook app.py …`` runs a program as ``python app.py …`` would, and
``inuse.install_excepthook()`` does the same from within. The diagnosis becomes a note of the
error (BaseException.add_note, PEP 678), so that whatever prints the traceback prints it too.
Until there is such an error, nothing more than this file is loaded.
"""

import os
import sys

TYPE_CHECKING = False  # typing itself would be most of the cost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.machinery import ModuleSpec
    from types import CodeType, TracebackType
    from typing import Any, NoReturn

    from inuse.model import Diagnosis

USAGE = "usage: python -m inuse.hook FILE [ARGUMENT]...\n       python -m inuse.hook -m MODULE [ARGUMENT]..."
#: How the note begins.
MARK = "inuse: "
#: So many errors of a group are explained.
MOST_MEMBERS = 8
_undo: "Callable[[], None] | None" = None


def install_excepthook() -> "Callable[[], None]":
    """Have uncaught errors of a port or device in use explained; returns what takes it back.

    Covers the main thread, other threads and what asyncio.run() raises; errors in groups and those
    that others were raised from. The hooks that were there are called as before. Doing it twice does nothing more.
    """
    global _undo  # noqa: PLW0603 - the interpreter has one hook
    if _undo is None:
        _undo = _install()
    return _undo


def _install() -> "Callable[[], None]":
    import threading

    active = True
    before, before_in_threads = sys.excepthook, threading.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: "TracebackType | None") -> None:
        if active:
            explain(error)
        before(kind, error, trace)

    def hook_in_threads(args: threading.ExceptHookArgs) -> None:
        if active and args.exc_value is not None:
            explain(args.exc_value)
        before_in_threads(args)

    def undo() -> None:
        global _undo
        nonlocal active
        active, _undo = False, None
        if sys.excepthook is hook:  # else somebody stands upon it
            sys.excepthook = before
        if threading.excepthook is hook_in_threads:
            threading.excepthook = before_in_threads

    sys.excepthook, threading.excepthook = hook, hook_in_threads
    return undo


def explain(error: BaseException) -> None:
    """Add the diagnosis to an error as a note, if it is about a port or device; never raises anything.

    Of a group each member gets its own: what is printed of a group ends with them.
    """
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions[:MOST_MEMBERS]:
            explain(member)
        return
    try:
        if any(str(note).startswith(MARK) for note in getattr(error, "__notes__", ())):
            return
        if not any(isinstance(one, OSError) for one in _family(error)):
            return
        if (diagnosis := _diagnosis(error)) is not None:
            from inuse.render.text import WIDTH, render

            error.add_note(MARK + render(diagnosis, columns=WIDTH - len(MARK)).rstrip("\n"))
    except BaseException:  # noqa: BLE001, S110 - the error itself is what must be seen
        pass


def _family(error: BaseException) -> "Iterator[BaseException]":
    """Yield the error, those it was raised from and the members of groups, each once."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


def _diagnosis(error: BaseException) -> "Diagnosis | None":
    from inuse.api import diagnose, explain_error
    from inuse.model import Options

    found = explain_error(error) or _of_device(error)
    if found is None or any(holder.pid == os.getpid() for holder in found.holders):
        return found
    return diagnose(found.target, options=Options(command=_command()))


def _of_device(error: BaseException) -> "Diagnosis | None":
    """Diagnose the serial device that an error speaks of: its words name it, as pyserial's do."""
    from inuse.api import this_machine
    from inuse.explaining import Explainer
    from inuse.messages import recognise
    from inuse.model import Options

    said = [f"{type(one).__name__}: {one}" for one in _family(error) if isinstance(one, OSError)]
    devices = [one for text in said for one in recognise(text) if one.device]
    if not devices:
        return None
    system, names = this_machine()
    return next(iter(Explainer(system, Options(), names=names).explain(devices[:1])[0].diagnoses), None)


def _command() -> tuple[str, ...]:
    """Return the words this program was started with, without those that start it through this file."""
    words = sys.orig_argv
    for index in range(1, len(words) - 1):
        if words[index : index + 2] == ["-m", "inuse.hook"]:
            return (*words[:index], *words[index + 2 :])
    return tuple(words)


# ------------------------------------------------------------------------------------------ python -m inuse.hook


def main() -> None:
    """Run the program that the arguments name in place of this one, with the hook installed."""
    arguments = sys.argv[1:]
    as_module = arguments[:1] == ["-m"]
    if as_module:
        del arguments[0]
    if not as_module and arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(USAGE + "\n")
        return
    if not arguments or (arguments[0].startswith("-") and not as_module):
        _refuse(USAGE)
    _leave_us_out()
    install_excepthook()
    spec, code = _module(arguments[0]) if as_module else _file(arguments[0])
    path = os.path.abspath(arguments[0])  # noqa: PTH100
    if spec is not None and spec.origin:
        path = spec.origin
    sys.argv[:] = [path if as_module else arguments[0], *arguments[1:]]
    _become(code, spec, path)


def _refuse(text: str, status: int = 2) -> "NoReturn":
    sys.stderr.write(text + "\n")
    sys.exit(status)


def _leave_us_out() -> None:
    """Have tracebacks begin with the program, as they do without us."""
    before = sys.excepthook
    ours = {__file__, "<frozen runpy>"}

    def hook(kind: type[BaseException], error: BaseException, trace: "TracebackType | None") -> None:
        while trace is not None and trace.tb_frame.f_code.co_filename in ours:
            trace = trace.tb_next
        before(kind, error.with_traceback(trace), trace)

    sys.excepthook = hook


def _file(path: str) -> "tuple[ModuleSpec | None, CodeType]":
    """Read a script, or the ``__main__`` of a folder or archive, and make the path for imports what python makes it."""
    import io
    from importlib.machinery import PathFinder

    place = os.path.abspath(path)  # noqa: PTH100
    spec = PathFinder.find_spec("__main__", [path])
    if spec is not None:
        code = _code(spec)
    else:
        place = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
        path = os.path.abspath(path)  # noqa: PTH100
        try:
            with io.open_code(path) as file:
                code = compile(file.read(), path, "exec", dont_inherit=True)
        except OSError as error:
            _refuse(f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}")
    if not sys.flags.safe_path:
        sys.path[0] = place
    elif spec is not None:
        sys.path.insert(0, place)
    return spec, code


def _module(name: str) -> "tuple[ModuleSpec, CodeType]":
    """Find a module, or the ``__main__`` of a package."""
    from importlib.util import find_spec

    try:
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = find_spec(f"{name}.__main__")
    except (ImportError, ValueError) as error:
        _refuse(f"{sys.executable}: Error while finding module specification for {name!r} ({error})", 1)
    if spec is None:
        _refuse(f"{sys.executable}: No module named {name}", 1)
    return spec, _code(spec)


def _code(spec: "ModuleSpec") -> "CodeType":
    loader: Any = spec.loader
    code: CodeType | None = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:
        _refuse(f"{sys.executable}: No code object available for {spec.name}", 1)
    return code


def _become(code: "CodeType", spec: "ModuleSpec | None", path: str) -> None:
    """Be the module ``__main__`` with that code."""
    module = type(sys)("__main__")
    module.__file__ = path
    if spec is not None:
        module.__spec__, module.__package__, module.__loader__ = spec, spec.parent, spec.loader
    else:
        from importlib.machinery import SourceFileLoader

        module.__spec__, module.__package__ = None, None
        module.__loader__ = SourceFileLoader("__main__", path)
    module.__dict__["__builtins__"] = sys.modules["builtins"]
    for name in ("__annotations__", "__cached__"):  # not every version has them
        if name in vars(sys.modules["__main__"]):
            module.__dict__[name] = {} if name == "__annotations__" else spec and spec.cached
    sys.modules["__main__"] = module
    try:
        exec(code, module.__dict__)  # noqa: S102 - the program that the person typed
    except Exception as error:  # it may have set a hook of its own, which shows the note as well
        explain(error)
        raise


if __name__ == "__main__":
    # The module that runs is to be the program, not this one.
    from inuse.hook import main as run

    run()
