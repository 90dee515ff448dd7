"""This machine, asked: the Linux system.

The order keeps a plain question cheap: the attempts first; only where one is refused the sockets
of that port; only for sockets somebody may own the processes; and whatever a situation needs
beyond that only where the sockets at hand call for it.
"""

import time
from collections.abc import Sequence
from typing import Final

from inuse.model import Answer, Host, Options, Scene, Target, Unseen
from inuse.scene import planned, telling, why
from inuse.systems.interface import LookError
from inuse.systems.linux import probe as probing
from inuse.systems.linux import roles, sockets
from inuse.systems.linux.extras import Extras
from inuse.systems.linux.holders import Found, Holders
from inuse.systems.linux.host import read_host

#: More targets than this are still probed and looked up together, in batches of this size.
BATCH: Final = 4096
#: How often a look that met closing sockets is begun again.
TRIES: Final = 4


class LinuxSystem:
    """The machine this runs on, seen from this process's namespaces and with its rights."""

    live = True

    def __init__(self, *, share_work: bool = False, thorough: bool = False) -> None:
        """``share_work`` allows forked helpers on a big host: for a process without threads.

        ``thorough`` allows some milliseconds more for a port that is free: for a person, not for a loop.
        """
        self._share = share_work
        self._thorough = thorough

    def look(self, targets: Sequence[Target], options: Options, *, probe: bool = True) -> list[Scene]:
        """See everything about each target; see System.look."""
        scenes: list[Scene] = []
        for start in range(0, len(targets), BATCH):
            scenes += self._look(targets[start : start + BATCH], options, probe=probe)
        return scenes

    def _look(self, targets: Sequence[Target], options: Options, *, probe: bool, tries: int = TRIES) -> list[Scene]:
        tried = [self._try(target, options, probe=probe) for target in targets]
        asked = [
            target
            for target, (answers, _) in zip(targets, tried, strict=True)
            if target.kind == "port" and _must_look(answers, options, probe=probe)
        ]
        host = read_host() if asked else None
        rows = sockets.on_ports(asked, host.automatic_ports) if host else sockets.Rows({}, ())
        holders = Holders(share=self._share)
        found = holders.find([row for group in rows.by_port.values() for row in group]) if asked else None
        gone = self._gone(asked, rows, found, host) if found and host else frozenset()
        if (
            gone and tries > 1
        ):  # sockets were closed while their holders were looked for: what was seen is of two moments
            return self._look(targets, options, probe=probe, tries=tries - 1)
        rows = rows.without(gone)
        extras = Extras(options, probe=probe)
        wanted = set(asked)
        scenes = []
        for target, (answers, unseen) in zip(targets, tried, strict=True):
            if target.kind == "device":
                from inuse.systems.linux import devices

                scenes.append(devices.look(target, options, probe=probe, share=self._share))
                continue
            scene = Scene(
                taken=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
                target=target,
                options=options,
                probed=probe,
                answers=answers,
                unseen=unseen,
            )
            if host is not None and found is not None and target in wanted:
                scene = extras.complete(scene, rows.of(target), rows.unseen, found, host)
            scenes.append(scene)
        free = [index for index, scene in enumerate(scenes) if _nothing_there(scene, probe=probe)]
        more = roles.add_where_free([scenes[index] for index in free], thorough=self._thorough)
        for index, scene in zip(free, more, strict=True):
            scenes[index] = scene
        return scenes

    @staticmethod
    def _gone(asked: Sequence[Target], rows: sockets.Rows, found: Found, host: Host) -> frozenset[int]:
        """Return the inodes that nobody was seen to have because their sockets are closed by now."""
        lost = {row.inode for row in rows.all if row.inode} - {d.inode for d in found.descriptors}
        if not lost:
            return frozenset()
        return frozenset(lost - {row.inode for row in sockets.on_ports(asked, host.automatic_ports).all})

    def _try(self, target: Target, options: Options, *, probe: bool) -> tuple[tuple[Answer, ...], tuple[Unseen, ...]]:
        """Make the plain attempts on a target; the answers, and what kept us from making one."""
        if target.kind != "port" or not probe:
            return (), ()
        try:
            return tuple(probing.ask(attempt) for attempt in planned(target, options, probing.own_uid())), ()
        except probing.ProbeError as error:
            return (), (Unseen(what="attempt", why=error.text, values=error.values),)

    def look_around(self, *, connections: bool = False) -> Scene:
        """See every held port of this machine; see System.look_around."""
        rows = sockets.everywhere(connections=connections)
        from inuse.systems.linux import devices

        found = Holders(share=self._share).find(list(rows.all), paths=devices.paths())
        lost = {row.inode for row in rows.all if row.inode} - {d.inode for d in found.descriptors}
        if lost:
            rows = rows.without(lost - {row.inode for row in sockets.everywhere(connections=connections).all})
        if not rows.all and rows.unseen:
            raise LookError(why(rows.unseen[0]))
        scene = Scene(
            taken=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
            probed=False,
            sockets=rows.all,
            descriptors=found.descriptors,
            processes=found.processes,
            units=found.units(),
            host=read_host(),
            complete=found.complete,
            unseen=(*rows.unseen, *found.unseen),
        )
        return devices.look_around(roles.add_everywhere(scene), found.others)


def _nothing_there(scene: Scene, *, probe: bool) -> bool:
    """Whether a port can be had and nobody has it; without an attempt: whether nobody has it."""
    if scene.target is None or scene.target.kind != "port" or not scene.target.port:
        return False
    if not probe:
        return not scene.sockets
    answers = telling(scene.answers)
    return bool(answers) and not scene.sockets and all(answer.errno is None for answer in answers)


def _must_look(answers: Sequence[Answer], options: Options, *, probe: bool) -> bool:
    """Whether the sockets of the port are needed.

    A plain attempt that succeeded proves that nothing on the port stands in its way: without
    SO_REUSEADDR and SO_REUSEPORT any overlapping socket refuses it. So a free port costs no dump.
    """
    plain = not (options.reuseaddr or options.reuseport or options.device)
    return not (probe and plain and answers and all(answer.errno is None for answer in telling(answers)))
