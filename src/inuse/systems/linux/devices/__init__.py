"""Serial devices: what they are, who has them open, and who has locked them.

Nothing here opens a device, which would raise DTR and reset boards; only ``--probe`` does.
"""

import time
from collections.abc import Sequence

from msgspec.structs import replace

from inuse.evidence.device import Clause, Device, DeviceSeen, Neighbour, OpenDevice
from inuse.language import N_
from inuse.model import Options, Process, Scene, Target, Unit, Unseen
from inuse.systems.linux import roles, units
from inuse.systems.linux.devices import around, holders, identity, numbers, resolve
from inuse.systems.linux.devices.holders import Openings, Reader
from inuse.systems.linux.devices.numbers import Driver
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.devices.resolve import Node
from inuse.systems.linux.host import read_host
from inuse.systems.linux.scan import Hit


def look(target: Target, options: Options, *, probe: bool, share: bool = False, places: Places = HERE) -> Scene:
    """See everything about a device; ``probe`` here never opens it (that takes ``--probe``).

    ``share`` allows worker processes on a big host.
    """
    known = numbers.drivers(places)
    asked = target.device or target.text
    node = resolve.resolve(asked, known, places)
    device = _identify(node, known, places)
    scene = Scene(
        taken=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        target=target,
        options=options,
        probed=probe,
        host=read_host(),
        device=DeviceSeen(device=device),
    )
    if not device.is_tty:
        why = N_("{path} was not opened, and who has it open was not looked for")
        return replace(scene, unseen=(Unseen(what="device", why=why, values={"path": device.path}),))
    from inuse.systems.linux.devices import answer, locks, ppp, rights

    openings = holders.search(places, share=share)
    reader = Reader(places)
    seen = _surroundings(_held(device, node, openings, reader, places), known, openings, reader, asked, places)
    seen = locks.look(seen, places)
    near = {pid for neighbour in seen.neighbours for pid in neighbour.holders}
    processes = _processes(_concerned(seen) | near | set(seen.device.peer), reader)
    seen = _in_words(seen, processes)
    seen = ppp.look(seen, processes, places)
    who = rights.asker(options.uid, places)
    said = answer.by_rules(seen, node, who, certain=openings.complete and not openings.unseen, places=places)
    untried: tuple[Unseen, ...] = ()
    if options.open_device and who.own:
        said = answer.by_kernel(node, said)
    elif options.open_device:
        why = N_("--probe can open a device as the user who asks only: of another user the rules tell")
        untried = (Unseen(what="attempt", why=why),)
    scene = replace(
        scene,
        device=replace(seen, answer=said, asker_groups=who.groups, later_groups=who.later),
        processes=processes,
        units=_units(processes),
        complete=openings.complete,
        unseen=(*openings.unseen, *locks.unseen(seen), *untried),
    )
    return _with_roles(scene)


def _with_roles(scene: Scene) -> Scene:
    """Add the containers that holders run in, and the computer's sleep where somebody has a device of before it."""
    if any(roles.in_container(process) for process in scene.processes):
        from inuse.systems.linux import containers

        scene = containers.look(scene)
    seen = scene.device
    old = {one.pid for one in seen.open_by if one.other_node or one.deleted} if seen else set()
    if old and roles.asleep_seconds() > roles.SLEPT_SECONDS:
        from inuse.systems.linux.sleep import with_times

        scene = with_times(scene, [process for process in scene.processes if process.pid in old])
    return scene


def paths(places: Places = HERE) -> frozenset[str]:
    """Return how /proc shows descriptors of this machine's serial devices, while the node is there and after."""
    nodes = [f"{places.dev}/{name}" for name in around.names(places)]
    return frozenset([*nodes, *(f"{node} (deleted)" for node in nodes)])


def look_around(
    scene: Scene, hits: Sequence[Hit] | None = None, *, share: bool = False, places: Places = HERE
) -> Scene:
    """Add every serial device of this machine to a scene, with who has it; costs one listing where there is none.

    ``hits``: their descriptors, where a look at every process was made already; what has a device by another path (a
    bind mount, a container's own node) is only found for a device that is asked about.
    """
    if not around.names(places):
        return scene
    from inuse.systems.linux.devices import locks

    known = numbers.drivers(places)
    openings = holders.search(places, share=share) if hits is None else holders.of_hits(hits, places)
    reader = Reader(places)
    found = []
    for device in around.devices(known, places):
        node = resolve.resolve(device.path, known, places)
        seen = _held(device, node, openings, reader, places)
        seen = locks.look(seen, places)
        found.append(replace(seen, device=around.preferred(seen.device)))
    pids = {pid for seen in found for pid in _concerned(seen)}
    processes = _processes(pids - {process.pid for process in scene.processes}, reader)
    return replace(
        scene,
        devices=tuple(found),
        processes=(*scene.processes, *processes),
        units=tuple(dict.fromkeys((*scene.units, *_units(processes)))),
        complete=scene.complete and openings.complete,
        unseen=scene.unseen or openings.unseen,
    )


def _concerned(seen: DeviceSeen) -> set[int]:
    """Return the pids that have a device open or locked, or as their terminal."""
    from inuse.systems.linux.devices import locks

    return {one.pid for one in seen.open_by} | set(seen.controlled_by) | locks.pids(seen)


def _identify(node: Node, known: Sequence[Driver], places: Places) -> Device:
    """Say what a target leads to, as far as it leads anywhere."""
    path = resolve.shown(node.path)
    if node.number is not None:
        return identity.identify(node, known, identity.lasting_names(places), places)
    if node.what is not None:
        return Device(path=path, node=resolve.shown(node.real or path), is_tty=False, what=node.what)
    name = path.removeprefix(places.dev + "/") if path.startswith(places.dev + "/") else None
    number = numbers.number_of(name, known) if name else None
    there = node.errno in {"EACCES", "EPERM"}
    return Device(
        path=path,
        name=name,
        exists=there,
        major=number[0] if number else None,
        minor=number[1] if number else None,
        kind="pty" if name and name.startswith("pts/") else "other",
    )


def _held(device: Device, node: Node, openings: Openings, reader: Reader, places: Places) -> DeviceSeen:
    """Say who has a device open."""
    folder = node.status.st_dev if node.status else None
    found = holders.of_device(openings.all, device, folder, places)
    seen_as = {(one.pid, one.fd): one.number for one in openings.all}
    kept = reader.kept(found, seen_as)
    if device.kind == "pty" and device.exists:
        device = replace(device, peer=holders.masters(openings.all, device, folder, places))
    return DeviceSeen(
        device=device,
        open_by=tuple(_controlling(one, reader, device) for one in kept),
        controlled_by=holders.controlled(openings.denied, device, places),
    )


def _controlling(one: OpenDevice, reader: Reader, device: Device) -> OpenDevice:
    process = reader.process(one.pid)
    mine = process is not None and numbers.controlling(process.tty) == (device.major, device.minor)
    return replace(one, controlling=mine)


def _surroundings(
    seen: DeviceSeen, known: Sequence[Driver], openings: Openings, reader: Reader, asked: str, places: Places
) -> DeviceSeen:
    """Add the other ports of the same modem; or, of what is missing, what there is instead."""
    device = seen.device
    if device.exists:
        near = around.siblings(device, around.devices(known, places)) if device.usb_path else ()
        return replace(seen, neighbours=_with_holders(near, openings, reader, places))
    from inuse.systems.linux.devices import usb

    everything = around.devices(known, places)
    near = around.instead(device, everything, kept=any(one.other_node for one in seen.open_by))
    return replace(
        seen,
        neighbours=_with_holders(near, openings, reader, places),
        unclaimed=usb.without_tty(places, lambda major, minor: _who_has(major, minor, openings, reader)),
        meant=resolve.meant(asked, everything, places),
    )


def _who_has(major: int, minor: int, openings: Openings, reader: Reader) -> list[Clause]:
    pids = dict.fromkeys(one.pid for one in openings.all if one.number == (major, minor))
    found = (reader.process(pid) for pid in pids)
    who = N_("{name} (pid {pid})")
    return [Clause(text=who, values={"name": process.name, "pid": process.pid}) for process in found if process]


def _with_holders(
    near: Sequence[Neighbour], openings: Openings, reader: Reader, places: Places
) -> tuple[Neighbour, ...]:
    return tuple(replace(one, holders=_pids(one.device, openings, reader, places)) for one in near)


def _pids(device: Device, openings: Openings, reader: Reader, places: Places) -> tuple[int, ...]:
    kept = reader.kept(holders.of_device(openings.all, device, None, places), {})
    return tuple(dict.fromkeys(one.pid for one in kept if not one.other_node))


def _in_words(seen: DeviceSeen, processes: Sequence[Process]) -> DeviceSeen:
    """Drop from the other side of a pseudo-terminal who ended meanwhile."""
    alive = {process.pid for process in processes}
    return replace(seen, device=replace(seen.device, peer=tuple(pid for pid in seen.device.peer if pid in alive)))


def _processes(pids: set[int], reader: Reader) -> tuple[Process, ...]:
    return tuple(process for pid in sorted(pids) if (process := reader.process(pid)))


def _units(processes: Sequence[Process]) -> tuple[Unit, ...]:
    names = dict.fromkeys((process.unit, process.user_unit) for process in processes if process.unit)
    return tuple(units.read_unit(name, user=user) for name, user in names if name)
