"""VPN software that holds a port, or needs it.

Called for a VPN's usual port, any UDP port, and a holder whose name is in vpn_names.py. A plain UDP port on a
machine without VPN software costs the calls that find no configuration; what is dearer is loaded only where
something was found.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from inuse.evidence.vpn import Vpn
from inuse.language import N_
from inuse.model import Scene, Target, Unseen
from inuse.systems.linux.vpn import configured, present
from inuse.systems.linux.vpn_names import is_vpn


def look(scene: Scene) -> Scene:
    """Add what was seen; never raises: what could not be looked at goes into ``unseen``."""
    try:
        if scene.target is None:
            return replace(scene, vpns=tuple(_everywhere(scene)))
        return _look(scene, scene.target) if scene.target.port else scene
    except (OSError, ValueError) as error:
        why = N_("VPN software can't be looked for ({error})")
        unseen = Unseen(what="vpn", why=why, values={"error": str(error)})
        return replace(scene, unseen=(*scene.unseen, unseen))


def _look(scene: Scene, target: Target) -> Scene:
    if not scene.processes:
        return _look_behind(scene)
    mine = [process for process in scene.processes if present.product_of(process.name, process.exe)]
    said = configured.look()
    usual = present.users_of(target, said.settled)
    if not (mine or usual or said.for_port(target) or target.service):
        return scene
    from inuse.systems.linux.vpn import holders, needs

    found = [row for process in mine if (row := holders.look(process, target))]
    wanting, unseen = needs.look(scene, found, said)
    return replace(scene, vpns=(*scene.vpns, *found, *wanting), unseen=(*scene.unseen, *unseen))


def _everywhere(scene: Scene) -> Iterator[Vpn]:
    """Describe each port that VPN software waits on, on this machine."""
    from inuse.systems.linux.vpn import holders

    waiting = {row.inode: row for row in scene.sockets if row.state in {"listen", "bound", "unconnected"}}
    processes = {process.pid: process for process in scene.processes if is_vpn(process.name, process.unit)}
    told = set()
    for descriptor in scene.descriptors:
        row, process = waiting.get(descriptor.inode), processes.get(descriptor.pid)
        if row is None or process is None or row.proto == "udplite":
            continue
        key = (process.pid, row.proto, row.local_port)
        if key not in told:
            told.add(key)
            target = Target(text="", proto=row.proto, port=row.local_port)
            if (found := holders.look(process, target)) is not None:
                yield replace(found, proto=row.proto, port=row.local_port)


def _look_behind(scene: Scene) -> Scene:
    """Look for signs of a holder that could not be looked at; where there is none, the kernel itself has the port."""
    if not any(unseen.what == "holders" for unseen in scene.unseen):
        return scene
    from inuse.systems.linux.vpn import hidden

    return replace(scene, vpns=(*scene.vpns, *hidden.look(scene)))
