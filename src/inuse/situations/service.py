"""A managed service holds it: ending the process alone brings it back.

systemd puts every service into a control group of its own, and restarts it as its unit says
(``Restart=``, socket and path units, timers). So the unit is to be stopped, not the pid.
How we know: the innermost ``.service`` of the holder's cgroup path; ``Restart=`` from the unit's
files and drop-ins. A login session's or user manager's own group is no service.
References: systemd.service(5), systemd.unit(5), cgroups(7).
"""

from typing import Final

from inuse.language import N_, _
from inuse.model import Finding, Process, Unit
from inuse.scene import View
from inuse.situations import words

CODE = "service"
#: The values of Restart= with which a unit is started again after SIGTERM, which counts as a clean end.
ALWAYS: Final = ("always", "on-success")


def find(view: View) -> Finding | None:
    """Return the finding for the holders that belong to a service unit."""
    if view.succeeded or view.target.port == 0:
        return None
    # Stopping the unit would stop every container, and every other session of the SSH server.
    sessions = {forward.pid for forward in view.scene.forwards if forward.direction == "remote"}
    managed = [
        p
        for p in view.holders
        if words.is_managed(p) and not words.is_activator(p) and view.container(p.pid) is None and p.pid not in sessions
    ]
    if not managed:
        return None
    lead = managed[0]
    services = words.services(managed)
    mine = services[0]
    unit = next((u for u in view.scene.units if (u.name, u.user) == (lead.unit, lead.user_unit)), None)
    return Finding(
        situation=CODE,
        title=_("{unit} holds it: {who} {doing}", unit=lead.unit, who=words.who(lead), doing=words.doing(view, lead)),
        explanation=_explanation(lead, unit),
        evidence=(
            _("{who} is in the control group {path}", who=words.who(lead), path=lead.cgroup),
            *((words.unit_says(unit, f"Restart={unit.restart}"),) if unit and unit.path else ()),
            *words.evidence(view, mine),
        ),
        holders=words.pids(managed),
        details={
            "unit": lead.unit,
            "manager": "user" if lead.user_unit else "system",
            "restart": unit.restart if unit else None,
            "units": [group[0].unit for group in services],
        },
        remedies=(*(words.stop_unit(view, group) for group in services), words.another_port()),
    )


def _explanation(lead: Process, unit: Unit | None) -> str:
    belongs = N_("{who} belongs to {unit}, which systemd looks after.")
    if lead.user_unit:
        belongs = N_("{who} belongs to {unit}, which the user's systemd looks after.")
    return f"{_(belongs, who=words.who(lead), unit=lead.unit)} {_comes_back(unit)}"


def _comes_back(unit: Unit | None) -> str:
    """Say what follows where the process alone is ended."""
    if unit is None or not unit.restart:
        return _("Ending the process alone may bring it back: stop the unit.")
    if unit.restart == "no":
        return _("The unit is not restarted by itself, but stopping it as a unit also ends its helpers.")
    setting = f"Restart={unit.restart}"
    if unit.restart in ALWAYS:
        return _("Its unit says {setting}: ending the process alone brings it back.", setting=setting)
    return _("Its unit says {setting}: ending the process alone may bring it back.", setting=setting)
