"""Who loses what by a step, in lines for a person. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from inuse.language import _, ngettext
from inuse.model import Process
from inuse.remedies import keepers
from inuse.remedies.steps import Survey
from inuse.scene import View, host_port
from inuse.situations import words

_NAMED: Final = 3
#: Device numbers of pseudo-terminals: Documentation/admin-guide/devices.txt, Unix98 slaves.
_FIRST_PTS: Final = 136
_LAST_PTS: Final = 143


def by_end_of(view: View, survey: Survey, processes: Sequence[Process]) -> tuple[str, ...]:
    """Return what ends with processes, and who brings them back.

    Their clients' connections, what else they serve, and work in their terminal ends.
    """
    return (*by_stop_of(view, survey, processes), *_jobs(processes), *keepers.of(processes))


def by_stop_of(view: View, survey: Survey, processes: Sequence[Process]) -> tuple[str, ...]:
    """Return what ends with the services of processes: their clients' connections, and what else they serve."""
    return (*_clients(view, processes), *_other_ports(survey, processes))


def with_workers(rest: Sequence[Process]) -> tuple[str, ...]:
    """Say which workers end with their masters."""
    if not rest:
        return ()
    return (
        ngettext(
            "{who} shares the socket and ends as well",
            "{who} share the socket and end as well",
            len(rest),
            who=words.everyone(rest),
        ),
    )


def by_stop_of_container(view: View, survey: Survey, processes: Sequence[Process]) -> tuple[str, ...]:
    """Return what ends with the containers that processes belong to: their clients, and their other ports."""
    lines: list[str] = []
    untold: list[Process] = []
    for container in view.scene.containers:
        if not any(process.pid in container.pids for process in processes) and not container.inodes:
            continue
        if not (container.runtime or "").startswith("docker"):
            untold += [process for process in processes if process.pid in container.pids]
        others = [
            f"{port.port}/{port.proto}"
            for port in container.ports
            if (port.port, port.proto) != (view.target.port, view.target.proto)
        ]
        if others:
            lines.append(
                ngettext(
                    "{container} publishes {count} other port, which ends too: {ports}",
                    "{container} publishes {count} other ports, which end too: {ports}",
                    len(dict.fromkeys(others)),
                    container=container.name or (container.id or "")[:12],
                    ports=", ".join(dict.fromkeys(others)),
                )
            )
    # Podman does not say which ports it publishes where only its processes were seen: its stand-in has them, and no
    # other container's. Docker's own daemon can stand in for many.
    return (*_clients(view, processes), *(lines or _other_ports(survey, untold)))


def by_stop_of_units(survey: Survey, units: Sequence[str]) -> Iterator[str]:
    """Yield which other units stop with these."""
    for unit in units:
        others = survey.dependants.get(unit, ())
        if others:
            yield ngettext(
                "{count} unit stops with {unit}: {others}",
                "{count} units stop with {unit}: {others}",
                len(others),
                unit=unit,
                others=", ".join(others),
            )


def _clients(view: View, processes: Sequence[Process]) -> Iterator[str]:
    """Yield how many clients are connected, and from where."""
    mine = {s.inode: s for p in processes for s in view.sockets_of(p.pid) if s.state == "established"}
    if not mine:
        return
    remotes = list(dict.fromkeys(host_port(s.remote_address, s.remote_port) for s in mine.values()))
    shown = remotes[:_NAMED] + (["…"] if len(remotes) > _NAMED else [])
    yield ngettext(
        "{count} connection breaks off: {remotes}",
        "{count} connections break off: {remotes}",
        len(mine),
        remotes=", ".join(shown),
    )


def _other_ports(survey: Survey, processes: Sequence[Process]) -> Iterator[str]:
    ports = list(dict.fromkeys(port for process in processes for port in survey.serves.get(process.pid, ())))
    if ports:
        yield ngettext(
            "{count} other port is served no longer: {ports}",
            "{count} other ports are served no longer: {ports}",
            len(ports),
            ports=", ".join(ports),
        )


def _jobs(processes: Sequence[Process]) -> Iterator[str]:
    """Yield whose work in a terminal may be lost."""
    for process in processes:
        if not process.tty:
            continue
        shell = process.parents[0] if process.parents else None
        facts = {"who": words.who(process), "terminal": terminal(process.tty)}
        if shell is None:
            yield _("{who} runs on {terminal}: what is not saved in it is lost", **facts)
        else:
            yield _(
                "{who} is a job of {shell} (pid {pid}) on {terminal}: what is not saved in it is lost",
                **facts,
                shell=shell.name,
                pid=shell.pid,
            )


def terminal(number: int) -> str:
    """Name a terminal by its device number, as in proc_pid_stat(5): the minor one in bits 31-20 and 7-0."""
    major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
    if _FIRST_PTS <= major <= _LAST_PTS:
        return f"pts/{(major - _FIRST_PTS) * 256 + minor}"
    return f"tty{minor}" if major == 4 and minor < 64 else f"{major}:{minor}"
