"""Whether and when the machine slept, and who of the holders hangs on connections that did not survive it.

The order keeps a machine that once slept from paying for it at every port: first the holders' connections, and only
where a holder hangs on dead ones its own time asleep, and the records of the last sleep.
"""

from collections.abc import Sequence
from time import CLOCK_BOOTTIME, clock_gettime, gmtime, strftime, time

from msgspec.structs import replace

from inuse import stale
from inuse.evidence.sleep import Sleep
from inuse.language import N_
from inuse.model import Process, Scene, Unseen
from inuse.scene import View
from inuse.systems.linux import connections, roles
from inuse.systems.linux.read import read_number
from inuse.systems.linux.sleep import clocks, journal, kernel_log, taskstats
from inuse.systems.linux.sleep.helpers import helpers as find_helpers
from inuse.systems.linux.sleep.record import Record


def look(scene: Scene) -> Scene:
    """Add what was seen; never raises: what could not be looked at goes into ``unseen``."""
    holders = {process.pid for process in scene.processes}
    if not holders:
        return scene
    fixed = any(not row.remote_address for row in scene.sockets)
    seen = _with_connections(scene, holders) if fixed else scene
    hanging = stale.find(View(seen))
    return with_times(seen, [process for process, _ in hanging]) if hanging else scene


def _with_connections(scene: Scene, holders: set[int]) -> Scene:
    """Add the holders' connections beside the port; of an ssh that has none, its ProxyCommand's."""
    scene = connections.add(scene, holders)
    connected = {connection.pid for connection in scene.connections}
    idle = (p.pid for p in scene.processes if p.name in roles.SSH and p.pid not in connected)
    helpers = find_helpers(idle)
    if helpers:
        scene = connections.add(scene, helpers)
    dead = any(stale.is_dead(connection.socket) for connection in scene.connections)
    sleep = Sleep(
        total_seconds=roles.asleep_seconds(),
        helpers=helpers,
        accepted=connections.accepted(scene.connections) if dead else (),
    )
    return replace(scene, sleep=sleep)


def with_times(scene: Scene, holders: Sequence[Process]) -> Scene:
    """Add when the machine slept, and whether these holders are older than that."""
    offsets = clocks.own_offsets()
    total = roles.asleep_seconds()
    shifted = offsets.boottime - offsets.monotonic if offsets else None
    times = read_number("/sys/power/suspend_stats/success")
    sleep = Sleep(
        total_seconds=total,
        shifted_seconds=shifted,
        up_seconds=clock_gettime(CLOCK_BOOTTIME),
        times=times,
        sleepers=tuple(taskstats.sleepers(holders)),
        helpers=scene.sleep.helpers if scene.sleep else {},
        accepted=scene.sleep.accepted if scene.sleep else (),
        retries=read_number("/proc/sys/net/ipv4/tcp_retries2"),
    )
    if all(stale.slept_through(sleep, process.pid) is False for process in holders):
        return replace(scene, sleep=sleep)  # they died of something else: no need to know when it slept
    record = journal.last_sleep()
    if record is None and offsets:
        record = kernel_log.last_sleep(total - shifted if shifted is not None else None, offsets.monotonic)
    if record is not None and not _is_last(record, sleep):
        record = None
    sleep = _dated(sleep, record)
    unseen = scene.unseen
    if any(stale.slept_through(sleep, process.pid) is None for process in holders):
        unseen += (_undated(scene),)
    return replace(scene, sleep=sleep, unseen=unseen)


def _is_last(record: Record, sleep: Sleep) -> bool:
    """Whether a record can be that of the last sleep: not where a process it is older than has slept since."""
    if record.ended is None:
        return True
    slept = (one for one in sleep.sleepers if (one.asleep_seconds or 0) > stale.SLEPT_SECONDS)
    return all(one.age_seconds > record.ended - record.margin for one in slept)


def _dated(sleep: Sleep, record: Record | None) -> Sleep:
    """Add a record of the last sleep."""
    if record is None:
        return sleep
    return replace(
        sleep,
        source=record.source,
        began=_iso(record.began),
        ended=_iso(record.ended),
        began_ago=record.began,
        ended_ago=record.ended,
        margin_seconds=record.margin,
    )


def _iso(ago: float | None) -> str | None:
    return None if ago is None else strftime("%Y-%m-%dT%H:%M:%S+00:00", gmtime(time() - ago))


def _undated(scene: Scene) -> Unseen:
    """Say that the holders' start and the last sleep can't be compared."""
    why = N_(
        "when this computer last slept is recorded nowhere that can be read: it may have been before the holder began"
    )
    needs = None if scene.host.asker_uid == 0 else N_("root, or membership of the group systemd-journal")
    return Unseen(what="sleep", why=why, needs=needs)
