"""A managed service holds it: ending the process alone brings it back.

systemd puts every service into a control group of its own, and restarts it as its unit says
(``Restart=``, socket and path units, timers). So the unit is to be stopped, not the pid.
How we know: the innermost ``.service`` of the holder's cgroup path; ``Restart=`` from the unit's
files and drop-ins. A login session's or user manager's own group is no service.
References: systemd.service(5), systemd.unit(5), cgroups(7).
"""

from inuse.model import Finding, Process, Remedy, Unit
from inuse.scene import View
from inuse.situations import words

CODE = "service"


def find(view: View) -> Finding | None:
    """Return the finding for the holders that belong to a service unit."""
    if view.succeeded or view.target.port == 0:
        return None
    # Stopping the unit would stop every container, and every other session of the SSH server.
    sessions = {forward.pid for forward in view.scene.forwards if forward.direction == "remote"}
    managed = [
        p
        for p in view.holders
        if p.unit
        and p.unit.endswith(".service")
        and not words.is_activator(p)
        and view.container(p.pid) is None
        and p.pid not in sessions
    ]
    if not managed:
        return None
    lead = managed[0]
    mine = [process for process in managed if process.unit == lead.unit]
    names = list(dict.fromkeys((process.unit or "", process.user_unit) for process in managed))
    units = {unit.name: unit for unit in view.scene.units}
    unit = units.get(lead.unit or "")
    return Finding(
        situation=CODE,
        title=f"{lead.unit} holds it: {words.who(lead)} {words.doing(view, lead)}",
        explanation=_explanation(lead, unit),
        evidence=(
            f"{words.who(lead)} is in the control group {lead.cgroup}",
            *((f"{unit.path} says Restart={unit.restart}",) if unit and unit.path else ()),
            *words.evidence(view, mine),
        ),
        holders=words.pids(managed),
        details={
            "unit": lead.unit,
            "manager": "user" if lead.user_unit else "system",
            "restart": unit.restart if unit else None,
            "units": [name for name, _ in names],
        },
        remedies=(*(_stop(view, name, managed, user=user) for name, user in names), words.another_port()),
    )


def _explanation(lead: Process, unit: Unit | None) -> str:
    manager = "the user's systemd" if lead.user_unit else "systemd"
    text = f"{words.who(lead)} belongs to {lead.unit}, which {manager} looks after. "
    if unit and unit.restart == "no":
        return text + "The unit is not restarted by itself, but stopping it as a unit also ends its helpers."
    if unit and unit.restart:
        return text + f"Its unit says Restart={unit.restart}: ending the process alone brings it back."
    return text + "Ending the process alone may bring it back: stop the unit."


def _stop(view: View, name: str, managed: list[Process], *, user: bool) -> Remedy:
    served = sum(view.clients(process.pid) for process in managed if process.unit == name)
    return Remedy(
        id="stop-unit",
        title=f"Stop the service {name}",
        command=("systemctl", *(_manager(view, name, managed) if user else ()), "stop", name),
        needs_root=not user and view.host.asker_uid != 0,
        disrupts=f"{name}" + (f" and {words.plural(served, 'open connection')}" if served else ""),
        reversible=True,
        automatic=True,
    )


def _manager(view: View, name: str, managed: list[Process]) -> tuple[str, ...]:
    """Return the options that reach the user manager a unit belongs to: root's own is another."""
    owner = next((process for process in managed if process.unit == name), None)
    if owner is None or owner.uid == view.host.asker_uid or not owner.user:
        return ("--user",)
    return ("--user", f"--machine={owner.user}@")
