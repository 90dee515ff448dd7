"""Completion of targets: the ports that are in use now."""

from typing import Any

import click


def held_targets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:  # noqa: ARG001
    """Offer the ports in use, each once, with who has it."""
    from click.shell_completion import CompletionItem

    from inuse.api import this_machine
    from inuse.render.safe import safe
    from inuse.systems.interface import LookError

    try:
        scene = this_machine(share_work=True)[0].look_around()
    except LookError:
        return []
    names = {process.pid: process.name for process in scene.processes}
    who = {descriptor.inode: names.get(descriptor.pid) for descriptor in scene.descriptors}
    # 127.0.0.1:80 and [::1]:80 are completed behind the colon.
    head, colon, typed = incomplete.rpartition(":")
    found: dict[str, str] = {}
    for socket in sorted(scene.sockets, key=lambda s: (s.proto != "tcp", s.local_port)):
        name = str(socket.local_port) if socket.proto == "tcp" else f"{socket.local_port}/udp"
        if socket.inode and name.startswith(typed):
            found.setdefault(name, safe(who.get(socket.inode) or socket.state))
    return [CompletionItem(head + colon + name, help=about) for name, about in found.items()]
