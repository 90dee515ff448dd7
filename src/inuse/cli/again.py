"""Whether and how ``inuse run`` runs a command again: after a pause, after waiting, with another port."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import click

from inuse.cli import output
from inuse.language import N_, _, number
from inuse.model import Diagnosis, Options
from inuse.render.safe import cut, safe

if TYPE_CHECKING:
    from inuse.explaining import Explained
    from inuse.waiting import Progress

PLACEHOLDER: Final = "{port}"
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 10.0
#: What another port helps with.
HELPED: Final = frozenset(
    {
        *("addr_in_use", "port_allocated_docker", "forbidden_range", "permission_privileged"),
        *("ssh_local_forward", "ssh_remote_forward"),
    }
)


class Retrying:
    """Runs it again after a pause that grows; what the others share."""

    #: Whether the diagnosis is told before that is decided.
    tells_first = False

    def __init__(self, limit: int, port: int | None = None, *, quiet: bool) -> None:
        """``limit``: so many times at most; ``port`` stands for {port} and in PORT; ``quiet``: say nothing."""
        self.port = port
        #: Whether so much time has passed since the diagnosis that it may be another now.
        self.stale = False
        self._left = limit
        self._quiet = quiet
        self._pause = FIRST_PAUSE

    def words(self, words: Sequence[str]) -> tuple[str, ...]:
        """Return the command to run now."""
        return tuple(words) if self.port is None else tuple(w.replace(PLACEHOLDER, str(self.port)) for w in words)

    def environ(self, environ: Mapping[str, str]) -> Mapping[str, str]:
        """Return its environment."""
        return environ if self.port is None else {**environ, "PORT": str(self.port)}

    def wanted(self, told: "Sequence[Explained]") -> bool:
        """Whether to run it again after it failed of that; returns when it is time to."""
        if self._left <= 0:
            return False
        self._left -= 1
        return self._prepared(told)

    def _prepared(self, told: "Sequence[Explained]") -> bool:  # noqa: ARG002 - what others need
        self._rest()
        return True

    def _rest(self) -> None:
        self._say(_("running the command again in {seconds} s", seconds=number(self._pause)))
        time.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _say(self, text: str) -> None:
        if not self._quiet:
            click.echo(f"inuse: {safe(text)}", err=True)


class Waiting(Retrying):
    """Runs it again when what it failed of can be had."""

    def __init__(self, limit: int, seconds: float | None, *, quiet: bool) -> None:
        """``seconds``: the longest to wait, all in all; None for ever."""
        super().__init__(limit, quiet=quiet)
        self._seconds = seconds
        self._plainly = False

    def _prepared(self, told: "Sequence[Explained]") -> bool:
        from inuse import waiting
        from inuse.api import this_machine, this_machines_events
        from inuse.run.waiting import worth_waiting

        diagnoses = [diagnosis for one in told for diagnosis in one.diagnoses]
        if not worth_waiting(diagnoses):
            self._say(_("waiting does not help here"))
            return False
        held = [diagnosis for diagnosis in diagnoses if diagnosis.verdict != "free"]
        if not held:
            self._rest()
            return True
        options = Options(reuseaddr=self._may_reuse(held))
        progress = _Progress(quiet=self._quiet)
        system = this_machine()[0]
        try:
            targets = [one.target for one in held]
            with this_machines_events(targets, options) as events:
                free = waiting.Waiting(system, events, targets, options).wait(self._seconds, progress.tell).reached
        finally:
            progress.end()
            self.stale = True
        if self._seconds is not None:
            self._seconds = max(0.0, self._seconds - progress.seconds)
        if free:
            self._say(_("it can be had now: running the command again"))
        else:
            self._say(_("still not free after {seconds} s", seconds=round(progress.seconds)))
        return free

    def _may_reuse(self, held: Sequence[Diagnosis]) -> bool:
        """Whether to wait as for a server that sets SO_REUSEADDR: most do, and so need not wait for TIME_WAIT.

        Had it been refused because of TIME_WAIT, or been wrong to try already, it is none of them. A UDP port
        is shared that way, not had.
        """
        plainly = self._plainly or any(one.verdict != "in_use" or one.target.proto != "tcp" for one in held)
        self._plainly = True
        return not plainly


class Picking(Retrying):
    """Runs it again with another port."""

    def __init__(self, limit: int, port: int | None, words: Sequence[str], *, quiet: bool) -> None:
        """Without a ``port`` that is wanted one is picked at once, if the command has a place for it."""
        super().__init__(limit, port, quiet=quiet)
        if port is None and any(PLACEHOLDER in word for word in words):
            self._take(None, "tcp", N_("port {port} is free: using it"))

    def _prepared(self, told: "Sequence[Explained]") -> bool:
        refused = [one for one in told if one.recognised.kind in HELPED]
        ports = [port for one in refused for port in _ports(one)]
        if not refused:
            self._say(_("another port does not help here"))
            return False
        if self.port is not None and ports and self.port not in ports:
            text = N_("the command wanted port {taken}, not {port}: {placeholder} in it, or PORT, must tell it which")
            self._say(_(text, taken=ports[0], port=self.port, placeholder=PLACEHOLDER))
            return False
        near = self.port or next(iter(ports), None)
        text = N_("port {near} can't be had: running the command again with port {port}")
        if near is None:
            text = N_("running the command again with port {port}")
        return self._take(near, refused[0].recognised.proto or "tcp", text)

    def _take(self, near: int | None, proto: str, said: str) -> bool:
        if sys.platform == "linux":
            from inuse.systems.linux.free_ports import pick_port
        else:
            from inuse.run.ports import pick_port
        port = pick_port(near, proto)
        if port is None:
            self._say(_("no free port was found"))
            return False
        self.port = port
        self._say(_(said, near=near, port=port))
        return True


def _ports(explained: "Explained") -> Iterator[int]:
    """Yield the ports it may have failed of: the one said, else those that were looked at and are not free."""
    recognised, diagnoses = explained
    if recognised.port:
        yield recognised.port
        return
    held = [diagnosis.target.port for diagnosis in diagnoses if diagnosis.verdict != "free"]
    yield from filter(None, held or [recognised.guess.port if recognised.guess else None])


class _Progress:
    """Says on standard error what is waited for: on a terminal in one line that changes, else when it is another."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._since = time.monotonic()
        self._said: str | None = None

    @property
    def seconds(self) -> float:
        """How long it has been."""
        return time.monotonic() - self._since

    def tell(self, waited: "Progress") -> None:
        diagnosis = waited.diagnosis
        if diagnosis is None or self._quiet or (not self._terminal and self._said == diagnosis.situation):
            return
        self._said = diagnosis.situation
        if self._terminal:
            text = _("waiting for {seconds} s: {summary}", seconds=int(self.seconds), summary=diagnosis.summary)
            click.echo("\r" + cut(f"inuse: {safe(text)}", output.columns() - 1) + "\x1b[K", nl=False, err=True)
        else:
            click.echo(f"inuse: {safe(_('waiting: {summary}', summary=diagnosis.summary))}", err=True)

    def end(self) -> None:
        """Leave the line free."""
        if self._terminal and self._said is not None:
            click.echo("\r\x1b[K", nl=False, err=True)
