"""What the holders run, to be compared with the command asked about.

Their command lines may name any path: nothing is looked up on a file system that may hang.
Source: proc_pid_cmdline(5), proc_pid_exe(5), proc_pid_mountinfo(5).
"""

import os
from collections.abc import Iterator

from msgspec.structs import replace

from inuse.evidence.program import Program, Running
from inuse.instances import same
from inuse.language import N_
from inuse.model import Process, Scene, Unseen
from inuse.systems.linux.process import parse_cmdline, parse_stat
from inuse.systems.linux.programs import Files, identify, unwrapped, wanted
from inuse.systems.linux.read import foreign, read_bytes, read_text
from inuse.systems.linux.ssh.files import Files as LocalFiles


def look(scene: Scene) -> Scene:
    """Add what the command asked about runs, and what the holders and those that started them run."""
    try:
        cwd: str | None = foreign(os.fsencode(os.getcwd()))
    except OSError:
        cwd = None
    program = wanted(scene.options.command, Files(cwd, os.environ.get("PATH") or os.defpath))
    running = tuple(one for process in scene.processes for one in _of(process, program))
    return replace(scene, wanted=program, programs=running, unseen=(*scene.unseen, *_unfound(program, scene)))


def _unfound(program: Program, scene: Scene) -> Iterator[Unseen]:
    """Say so where the command's file was not found, and nothing else in it tells an instance."""
    if not any((program.exe, program.language, program.runner, program.images, program.project)):
        first = (unwrapped(scene.options.command) or [""])[0]
        yield Unseen(
            what="program",
            why=N_("{program} is not found from here, so an instance of it can only be told by its name"),
            needs=N_("its path, or the directory it is started in"),
            values={"program": first},
        )


def _of(process: Process, program: Program) -> Iterator[Running]:
    """Yield what a holder runs, and of its ancestors what is the program asked about: they started it as a part."""
    for pid in (process.pid, *(parent.pid for parent in process.parents)):
        # The command lines of other ancestors are nobody's business.
        if pid != process.pid and not (program.runner or _session(pid) == process.session):
            continue  # an sshd, a terminal or an editor started a session, not a part of itself
        found = running_program(pid)
        if found is not None and (pid == process.pid or same(program, found)):
            yield Running(holder=process.pid, pid=pid, program=found)


def _session(pid: int) -> int | None:
    try:
        return parse_stat(read_bytes(f"/proc/{pid}/stat")).session
    except (OSError, ValueError):
        return None


def running_program(pid: int, proc: str = "/proc") -> Program | None:
    """Return what a process runs; None where it can't be told. A path that means another file to it is left out."""
    try:
        words = parse_cmdline(read_bytes(f"{proc}/{pid}/cmdline"))
    except OSError:
        return None
    if len(words) == 1 and " " in words[0]:  # a title: "npm run dev"
        words = tuple(words[0].split())
    exe = _link(f"{proc}/{pid}/exe")
    words = words or (exe or "",)
    found = identify(words, exe, HoldersFiles(_link(f"{proc}/{pid}/cwd")))
    paths = [path for path in (found.exe, found.script) if path]
    return found if all(_means_the_same(path, pid, proc) for path in paths) else None


class HoldersFiles(Files):
    """Looks up what a word of a holder's command line means, on local file systems alone."""

    def __init__(self, cwd: str | None) -> None:
        """``cwd``: the holder's."""
        super().__init__(cwd, "")
        self._local = LocalFiles()

    def real(self, word: str) -> str | None:
        """Return the real path of a file that exists; None where there is none, or it can't be looked up safely."""
        if not word or "\0" in word or (self.cwd is None and not word.startswith("/")):
            return None
        try:
            place = self._local.resolve(os.path.join(self.cwd or "/", word))
        except (OSError, ValueError):
            return None
        return place if place and os.path.isfile(place) else None


def _means_the_same(path: str, pid: int, proc: str) -> bool:
    """Whether a path leads a process to the file that it means here: not so in most containers and chroots."""
    try:
        if os.readlink(f"{proc}/{pid}/root") == "/" and os.readlink(f"{proc}/{pid}/ns/mnt") == os.readlink(
            f"{proc}/self/ns/mnt"
        ):
            return True
    except OSError:
        return True  # nothing of another user's can be compared: what its command line says is all there is
    here = on_file_system(read_text(f"{proc}/self/mountinfo") or "", path)
    return here is not None and here == on_file_system(read_text(f"{proc}/{pid}/mountinfo") or "", path)


def on_file_system(mountinfo: str, path: str) -> tuple[str, str] | None:
    """Return the device and the path on it that a path means, by a mount table; None where no mount has it. Pure."""
    best: tuple[int, str, str] | None = None
    for line in mountinfo.split("\n"):
        fields = line.split(" ")
        if len(fields) < 6:
            continue
        device, root, point = fields[2:5]
        point = point.rstrip("/")
        if (path + "/").startswith(point + "/") and (best is None or len(point) >= best[0]):
            best = len(point), device, root.rstrip("/") + path[len(point) :]
    return best and best[1:]


def _link(path: str) -> str | None:
    try:
        return foreign(os.readlink(os.fsencode(path))).removesuffix(" (deleted)")
    except OSError:
        return None
