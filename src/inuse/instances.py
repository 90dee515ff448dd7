"""Whether a holder is another instance of a program: the same file, script, module or image. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from inuse.evidence.container import Container
from inuse.evidence.program import Program, Running
from inuse.language import N_, _
from inuse.model import Confidence, Process, Scene

#: Folders of scripts that run whatever application they are told: flask, gunicorn, vite.
INSTALLED: Final = frozenset({"bin", "sbin", "Scripts", ".bin", "site-packages", "node_modules"})
#: Runners of which ``run NAME`` and then arguments runs a script of package.json.
SCRIPT_RUNNERS: Final = frozenset({"npm", "yarn", "pnpm"})


class Instance(NamedTuple):
    """How sure it is that a process is an instance of the program asked about, why, and the pid that shows it."""

    confidence: Confidence
    why: str
    origin: int


def instances(scene: Scene) -> Iterator[tuple[int, Instance]]:
    """Yield the pid of each holder that is an instance of the program asked about."""
    if scene.wanted is None:
        return
    for process in scene.processes:
        if found := _instance(scene, process, scene.wanted):
            yield process.pid, found


def _instance(scene: Scene, process: Process, wanted: Program) -> Instance | None:
    containers = (container for container in scene.containers if process.pid in container.pids)
    for container in containers:
        if why := same_container(wanted, container):
            return Instance("certain", why, process.pid)
    for running in scene.programs:
        if running.holder == process.pid and (judged := same(wanted, running.program)):
            return Instance(judged[0], _because(process, running, judged[1]), running.pid)
    return None


def _because(process: Process, running: Running, what: str) -> str:
    who = _("{name} (pid {pid})", name=process.name, pid=process.pid)
    if running.pid == process.pid:
        return _("{who} runs {what}, as the command does", who=who, what=what)
    parent = next((parent.name for parent in process.parents if parent.pid == running.pid), None)
    started = N_("{who} was started by a parent (pid {pid}), which runs {what}, as the command does")
    if parent is not None:
        started = N_("{who} was started by {parent} (pid {pid}), which runs {what}, as the command does")
    return _(started, who=who, parent=parent, pid=running.pid, what=what)


def same(wanted: Program, other: Program) -> tuple[Confidence, str] | None:
    """Whether two commands run the same program, how sure that is, and what it is."""
    if wanted.runner or other.runner:
        alike = wanted.runner == other.runner and _task(wanted) == _task(other) and wanted.cwd == other.cwd
        return ("certain", _in(" ".join(other.words), other)) if alike and wanted.cwd else None
    if wanted.images or wanted.project:
        return None
    if wanted.language or other.language:
        return _same_script(wanted, other)
    if wanted.exe and other.exe:
        return ("certain", wanted.exe) if wanted.exe == other.exe else None
    name = _base(wanted)
    return ("likely", _("a program called {name}", name=name)) if name and name == _base(other) else None


def _in(what: str, program: Program) -> str:
    return _("{what} in {folder}", what=what, folder=program.cwd)


def _same_script(wanted: Program, other: Program) -> tuple[Confidence, str] | None:
    if wanted.language != other.language:
        return None
    here = wanted.cwd == other.cwd
    if wanted.script is not None:
        if wanted.script != other.script:
            return None
        # Of an installed script the directory it is run in tells which application it runs.
        sure = here or not INSTALLED & set(wanted.script.split("/")[:-1])
        return ("certain", wanted.script) if sure else ("likely", _in(wanted.script, other))
    if wanted.module is not None and wanted.module == other.module:
        module = _("the module {name}", name=wanted.module)
        return ("certain", module) if here else ("likely", _in(module, other))
    if wanted.code is not None and wanted.code == other.code:
        return "certain", _("the same lines of program text")
    return None


def _task(program: Program) -> tuple[str, ...]:
    """Return what a runner is to run: its words, but of npm's kin only the script where they name one."""
    words = program.words[1:]
    if program.runner not in SCRIPT_RUNNERS:
        return words
    if words[:1] in {("run",), ("run-script",)}:
        return words[1:2]
    return words[:1] if words[:1] == ("start",) else words


def _base(program: Program) -> str:
    return (program.exe or (program.words or ("",))[0]).rpartition("/")[2]


def same_container(wanted: Program, container: Container) -> str | None:
    """Why a container is an instance of what a container engine is told to run; None where it is none."""
    called = container.name or container.id or _("the container")
    if wanted.project and container.project == wanted.project:
        return _(
            "{container} belongs to the compose project {project}, as the command does",
            container=called,
            project=wanted.project,
        )
    images = {container.name, container.id, *_image_names(container.image)} - {None, ""}
    if any(name in images for word in wanted.images for name in (word, *_image_names(word))):
        return _(
            "{container} was made from {image}, which the command runs as well",
            container=called,
            image=container.image,
        )
    return None


def _image_names(image: str | None) -> tuple[str, ...]:
    """Return the name of an image in full: ``nginx`` is docker.io/library/nginx:latest."""
    if not image:
        return ()
    name = image if "@" in image or ":" in image.rpartition("/")[2] else f"{image}:latest"
    first = name.partition("/")[0]
    if "/" not in name:
        return (f"docker.io/library/{name}",)
    return (name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}",)
