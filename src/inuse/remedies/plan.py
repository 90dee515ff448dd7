"""From a diagnosis to a plan: every holder covered, the mildest steps first; or no step at all, and why. Pure.

A plan that could not free the target would only disrupt: where one holder must not, or can't, be ended, none is.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from inuse.language import N_, _
from inuse.model import Diagnosis, Process
from inuse.remedies import aftermath, refusals
from inuse.remedies.offers import ORDER, Means, Offer, ending, offers
from inuse.remedies.sight import had
from inuse.remedies.steps import DeleteLocks, Destroy, Plan, Refused, Run, Signal, Step, Survey, Wait
from inuse.scene import View
from inuse.situations import words

_AT_ONCE: Final = N_("Have the kernel drop them now; late packets could then reach a new connection")
_AGAIN: Final = N_("If that was not enough: have the kernel drop them; late packets could then reach a new connection")


def plan(
    view: View, diagnosis: Diagnosis, survey: Survey, *, means: Means, force: bool = False, wait: bool = True
) -> Plan:
    """Return what would free the target, or why nothing would.

    ``force``: end with SIGKILL what does not heed SIGTERM; ``wait`` False: don't wait for what ends by itself where
    the kernel can drop it at once.
    """
    if had(view, diagnosis):
        return Plan()
    if diagnosis.verdict == "unknown":
        return _hopeless(view, diagnosis.summary)
    if diagnosis.verdict == "blocked" and (why := refusals.lasting(view, diagnosis.findings)):
        return _hopeless(view, why)
    found = offers(view, diagnosis, survey, means)
    chosen: list[Offer] = []
    refused: list[Refused] = []
    for process in _to_free(view):
        offer, why = _best(view, diagnosis, survey, found, process)
        if offer is None:
            refused.append(Refused(pid=process.pid, why=why))
        elif offer not in chosen:
            chosen.append(offer)
    _add_unowned(view, diagnosis, found, chosen, refused)
    _add_ending(view, survey, found, chosen)
    _add_ownerless(found, chosen, wait=wait)
    _add_locks(view, diagnosis, found, chosen, refused)
    if refused or not chosen:
        why = None if refused else _("{name}: nothing that inuse can do frees it", name=view.name)
        return replace(_hopeless(view, why), refused=tuple(refused))
    steps = [_step(view, offer) for offer in _sorted(_merged(view, chosen, survey, means))]
    killed = aftermath.kill(steps) if force else None
    remnants = aftermath.remnants(view, survey, steps)
    every = (*steps, *((killed,) if killed else ()), *((remnants,) if remnants else ()))
    return replace(_hopeless(view, None), steps=every)


def _hopeless(view: View, why: str | None) -> Plan:
    return Plan(
        why=why,
        holders=tuple((process.pid, process.start_ticks) for process in view.holders),
        inodes=tuple(socket.inode for socket in view.sockets if socket.inode),
    )


# -- Who is to be covered ---------------------------------------------------------------------------


def _to_free(view: View) -> list[Process]:
    """Return the holders that are in the way; whoever made a pseudo-terminal is its other end."""
    if view.device is None:
        return [process for process in view.holders if view.refuses(process)]
    makers = view.device.device.peer
    users = [process for process in view.holders if process.pid not in makers]
    return users or list(view.holders)


def _best(
    view: View, diagnosis: Diagnosis, survey: Survey, found: Sequence[Offer], process: Process
) -> tuple[Offer | None, str]:
    """Return the first offer that may free the target from a holder, or why none does."""
    reasons: list[str] = []
    for offer in found:
        if process.pid not in offer.pids:
            continue
        why = _obstacle(view, survey, offer)
        if why is None:
            return offer, ""
        reasons.append(why)
    protected = refusals.protection(view, survey, process)
    by_hand = refusals.by_hand(process, diagnosis.findings)
    return None, reasons[0] if reasons else protected or by_hand


def _obstacle(view: View, survey: Survey, offer: Offer) -> str | None:
    """Say why an offer can't, or must not, be carried out; None where it may."""
    if isinstance(offer.action, Run):
        return refusals.inside(view, survey, offer.pids) or refusals.command(offer.remedy, survey)
    if isinstance(offer.action, Destroy):
        return refusals.own_connection(view, survey, offer.pids)
    if not isinstance(offer.action, Signal):
        return None
    for one in (*offer.action.first, *offer.action.rest):
        process = view.process(one.pid)
        if process is not None and (why := refusals.protection(view, survey, process)):
            return why
        if one.pid in survey.denied:
            return refusals.right(one, process)
    return None


def _add_unowned(
    view: View, diagnosis: Diagnosis, found: Sequence[Offer], chosen: list[Offer], refused: list[Refused]
) -> None:
    """Cover sockets that somebody has who can't be seen, the kernel among them."""
    lost = [socket for socket in view.unowned if socket in view.in_the_way]
    nobody = view.device is not None and diagnosis.verdict == "in_use" and not view.holders
    if not lost and not nobody:
        return
    ways = [offer for offer in found if offer.unowned]
    able = [offer for offer in ways if not offer.remedy.needs_root]
    if able:
        chosen += [offer for offer in able if offer not in chosen]
    elif ways:
        refused.append(Refused(pid=None, why=_by_root(ways[0])))
    else:
        refused.append(Refused(pid=None, why=refusals.unseen(view, diagnosis.findings)))


def _add_ending(view: View, survey: Survey, found: Sequence[Offer], chosen: list[Offer]) -> None:
    """Where a connection's port is none that the system gives out: a program that bound it keeps it without.

    Source: tcp_disconnect() in net/ipv4/tcp.c, which releases the port only where SOCK_BINDPORT_LOCK is not set.
    """
    closing = next((offer for offer in chosen if isinstance(offer.action, Destroy) and offer.action.sockets), None)
    first, last = view.host.automatic_ports or (0, 65535)
    if closing is None or first <= (view.target.port or 0) <= last:
        return
    endings = (o for o in found if isinstance(o.action, Signal) and o.pids & closing.pids)
    ending = next((o for o in endings if _obstacle(view, survey, o) is None), None)
    if ending is not None and ending not in chosen:
        whom = words.everyone([process for process in view.holders if process.pid in ending.pids])
        title = _("If the port stays bound all the same: ask {whom} to end", whom=whom)
        chosen.append(ending._replace(remedy=replace(ending.remedy, title=title)))


def _add_ownerless(found: Sequence[Offer], chosen: list[Offer], *, wait: bool) -> None:
    """Cover what nobody owns, where nothing else is in the way: it ends by itself, or the kernel drops it."""
    waits = [offer for offer in found if isinstance(offer.action, Wait)][:1]
    drops = [offer for offer in found if offer.action == Destroy()][:1]
    if drops and waits:
        title = _(_AGAIN) if wait else _(_AT_ONCE)
        drops = [drops[0]._replace(remedy=replace(drops[0].remedy, title=title))]
    if not chosen:
        chosen += (waits if wait or not drops else []) + drops


def _add_locks(
    view: View, diagnosis: Diagnosis, found: Sequence[Offer], chosen: list[Offer], refused: list[Refused]
) -> None:
    """Cover lock files that nobody has: those that are certainly stale; the others keep the plan from working."""
    if view.device is None:
        return
    deleting = [offer for offer in found if isinstance(offer.action, DeleteLocks)]
    chosen += deleting
    refused += [Refused(pid=None, why=_by_root(offer)) for offer in deleting if offer.remedy.needs_root]
    covered = {lock.path for o in chosen if isinstance(o.action, DeleteLocks) for lock in o.action.locks}
    stale = next((finding for finding in diagnosis.findings if finding.situation == "stale-lock"), None)
    for file in stale.details["files"] if stale else ():
        if file["path"] not in covered:
            left = [r for r in stale.remedies if r.command and file["path"] in r.command] if stale else []
            why = left[0].title if left else str(file["path"])
            refused.append(Refused(pid=None, why=_("a person is to decide: {remedy}", remedy=why)))


def _by_root(offer: Offer) -> str:
    return _("{remedy}: that takes root (sudo)", remedy=offer.remedy.title)


# -- Steps ------------------------------------------------------------------------------------------


def _merged(view: View, chosen: Sequence[Offer], survey: Survey, means: Means) -> list[Offer]:
    """Put what ends running processes into one step: those that share a socket are asked together."""
    plain = [o for o in chosen if isinstance(o.action, Signal) and o.remedy.id == "stop-holder" and not _stopped(o)]
    if len(plain) < 2:
        return list(chosen)
    pids = {one.pid for offer in plain if isinstance(offer.action, Signal) for one in offer.action.first}
    together = [process for process in view.holders if process.pid in pids]
    remedy = words.stop(view, together)
    if remedy is None:
        return list(chosen)
    first = words.leaders(together)
    one = ending(view, remedy, first, survey, means, rest=[process for process in together if process not in first])
    return [*(offer for offer in chosen if offer not in plain), one]


def _stopped(offer: Offer) -> bool:
    return isinstance(offer.action, Signal) and any(one.stopped for one in offer.action.first)


def _sorted(chosen: Sequence[Offer]) -> list[Offer]:
    def rank(offer: Offer) -> tuple[int, bool]:
        kind = "kernel" if offer.kernel else offer.remedy.id
        return ORDER.index(kind) if kind in ORDER else ORDER.index("stop-unit"), not _stopped(offer)

    return sorted(chosen, key=rank)


def _step(view: View, offer: Offer) -> Step:
    pids = [process.pid for process in view.holders if process.pid in offer.pids]
    return Step(remedy=aftermath.planned(offer.remedy, pids, offer.affected), action=offer.action)
