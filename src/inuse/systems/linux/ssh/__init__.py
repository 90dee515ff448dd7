"""SSH clients and server sessions that hold forwards.

Only what listens on the port is a forward: the server's own listener and the source port of a connection are not.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

from msgspec.structs import replace

from inuse.evidence.ssh import SshForward
from inuse.language import N_
from inuse.model import Process, Scene, Socket, Unseen
from inuse.systems.linux import connections
from inuse.systems.linux.ssh import client, server, surroundings
from inuse.systems.linux.ssh.files import NOT_LOCAL, Files


def look(scene: Scene) -> Scene:
    """Add what was seen; never raises: what could not be looked at goes into ``unseen``."""
    files = Files()
    listening = _listening(scene)
    kinds = {
        process: kind
        for process in scene.processes
        if process.pid in listening and (kind := surroundings.kind_of(process))
    }
    if not kinds:
        return scene
    scene = connections.add(scene, [process.pid for process in kinds])
    forwards: list[SshForward] = []
    for process, kind in kinds.items():
        with suppress(OSError, ValueError, RecursionError):  # gone meanwhile, or nothing that a client would take
            forwards += _of(process, kind, listening[process.pid], scene, files)
    return replace(scene, forwards=tuple(forwards), unseen=(*scene.unseen, *_unread(forwards, files)))


def _listening(scene: Scene) -> dict[int, list[Socket]]:
    """Return each process's listening sockets."""
    rows = {row.inode: row for row in scene.sockets if row.state == "listen" and row.proto == "tcp" and row.inode}
    found: dict[int, list[Socket]] = {}
    for descriptor in scene.descriptors:
        row = rows.get(descriptor.inode)
        if row is not None and row not in found.setdefault(descriptor.pid, []):
            found[descriptor.pid].append(row)
    return found


def _of(process: Process, kind: str, sockets: list[Socket], scene: Scene, files: Files) -> Iterator[SshForward]:
    if kind == "autossh":
        yield from client.autossh_monitor(process, sockets)
    elif kind in {"ssh", "dbclient"}:
        yield from client.Client(process, files).look(sockets)
    else:
        yield from server.session_forwards(process, sockets, scene, files, dropbear=kind == "dropbear")


def _unread(forwards: list[SshForward], files: Files) -> Iterator[Unseen]:
    """Say which configuration could not be read, where it may have told more."""
    if not any(forward.source == "added" or forward.direction == "remote" for forward in forwards):
        return
    for path, reason in files.unread.items():
        yield Unseen(
            what="ssh",
            why=N_("{path} could not be read ({error}), so it may say more of this forward"),
            needs="sudo" if os.geteuid() != 0 and reason != NOT_LOCAL else None,
            values={"path": path, "error": reason},
        )
