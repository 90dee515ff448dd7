"""A container publishes it, or runs what has it.

An engine that publishes a container's port keeps it on the host with a stand-in: docker-proxy (or dockerd itself,
where its userland proxy is off), Podman's conmon, rootlessport, pasta or slirp4netns. The program that serves is
inside, in a network namespace of its own. A container that uses the host's network has the port itself. In both
cases the process is the wrong thing to end: the engine starts it again as the restart policy says, or goes on
believing that the port is published. The container is to be stopped, or the service, pod or unit that it belongs to.
How we know: the stand-in's arguments and the holder's control group name the container, and the engine is asked for
its name, image and published ports over its API, read-only and for a second at most. Where it can't be asked, the
same is told as far as arguments, control groups and files tell it, and the answer says what is missing.
A port that is listened on only in another network namespace is free here; what listens there is named all the same.
What helps: stop the container (`docker stop`, `podman stop`). A container with the policy `always` or
`unless-stopped` stays stopped then, with `always` until the engine is started anew. A pod is made again by its
controller, so that one is to be changed. A paused container keeps its ports, and answers once it is unpaused. A
docker-proxy whose container is gone is Docker's to take away.
References: docker(1), docs.docker.com/engine/network, podman-run(1), conmon(8), network_namespaces(7).
"""

from inuse.evidence.container import Container
from inuse.model import Confidence, Finding
from inuse.scene import View
from inuse.situations import words

CODE = "container"


def find(view: View) -> Finding | None:
    """Return the finding for holders that run in a container or stand in for one."""
    if not view.scene.containers:
        return None  # the usual case, also of a free port: the rest need not be loaded for it
    from inuse.situations.container import elsewhere, shown, told
    from inuse.situations.container.remedies import remedies

    if view.succeeded:
        return elsewhere.find(view)
    mine = _of_target(view)
    if not mine or view.target.port == 0:
        return None
    lead, others = mine[0], mine[1:]
    holders = [process for one in mine for process in told.holders_of(view, one)]
    return Finding(
        situation=CODE,
        confidence=_confidence(lead),
        title=told.title(view, lead),
        explanation=" ".join([told.explanation(view, lead), *(told.sentence(view, one) for one in others)]),
        evidence=(*(line for one in mine for line in shown.evidence(view, one)), *words.evidence(view, holders)),
        holders=words.pids(holders),
        details=shown.details(lead) | ({"others": [shown.details(one) for one in others]} if others else {}),
        remedies=(*(remedy for one in mine for remedy in remedies(view, one)), words.another_port()),
    )


def _of_target(view: View) -> list[Container]:
    """Return the containers that have to do with the target, those in the way first."""
    order = {process.pid: place for place, process in enumerate(view.holders)}
    unowned = {socket.inode for socket in view.unowned}
    mine = [one for one in view.scene.containers if order.keys() & set(one.pids) or unowned & set(one.inodes)]
    return sorted(mine, key=lambda one: min((order[pid] for pid in one.pids if pid in order), default=len(order)))


def _confidence(container: Container) -> Confidence:
    """A hidden holder is told by somebody else's arguments: that fits, and is not proven."""
    return "likely" if container.hidden and container.source != "api" else "certain"
