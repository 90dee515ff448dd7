"""A client's forwards: from its command line, its configuration, or the clients that share its connection.

Source: ssh(1), ssh_config(5); autossh(1) for its monitoring ports; proc(5).
"""

import os
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Final, Literal, NamedTuple

from inuse.evidence.ssh import Master, SshForward, Supervisor
from inuse.language import N_
from inuse.model import Process, Socket
from inuse.systems.linux.process import TICKS, Clock
from inuse.systems.linux.read import clean
from inuse.systems.linux.ssh import config, control, surroundings
from inuse.systems.linux.ssh.command import DROPBEAR, parse
from inuse.systems.linux.ssh.files import Files
from inuse.systems.linux.ssh.forwards import Forward
from inuse.systems.linux.ssh.lines import Source, load
from inuse.systems.linux.ssh.tokens import Connection, expand

SYSTEM_CONFIG: Final = "/etc/ssh/ssh_config"
#: So many names of a configuration are tried for a master whose command line is overwritten.
MOST_ALIASES: Final = 300
_MOMENT: Final = 1.0
#: A configuration that takes longer than this is none that a person wrote.
LONGEST_SECONDS: Final = 0.1


class Written(NamedTuple):
    """A forward with where it is written; ``source`` as in SshForward."""

    forward: Forward
    source: Literal["command-line", "config", "mux-client"]
    via: str | None
    place: str | None = None
    sure: bool = True


class Client:
    """One running ssh, dbclient or autossh, with everything that says what it forwards."""

    def __init__(self, process: Process, files: Files) -> None:
        """Read its command line; the rest is read when it is needed."""
        self.process = process
        self._files = files
        self.dropbear = surroundings.kind_of(process) == "dbclient"
        self.title = title_path(process.cmdline)
        words = () if self.title is not None else process.cmdline or ()
        self.command = parse(words, DROPBEAR) if self.dropbear else parse(words)
        self._guess: str | None = None
        self._home, self._user = surroundings.account(process.uid)

    def look(self, sockets: Sequence[Socket]) -> Iterator[SshForward]:
        """Yield a forward for each listening socket."""
        shared = None if self.dropbear else control.look(self.process.pid)
        commands = [parse(words) for pid in shared.clients if (words := surroundings.ssh_words(pid))] if shared else []
        written = [Written(forward, "command-line", self.command.host) for forward in self.command.forwards]
        written += [Written(f, "mux-client", command.host) for command in commands for f in command.forwards]
        if not self.dropbear and not all(any(w.forward.port == s.local_port for w in written) for s in sockets):
            hosts = dict.fromkeys(c.host for c in (self.command, *commands) if c.host)
            written += self._configured([*hosts] or self._guessed_hosts(shared), shared is not None)
        via = self.command.host or next((command.host for command in commands if command.host), None)
        master = self._master(shared)
        for socket in sockets:
            yield self._forward(socket, written, via, master)

    def _forward(
        self, socket: Socket, written: Sequence[Written], via: str | None, master: Master | None
    ) -> SshForward:
        matching = [w for w in written if w.forward.port == socket.local_port and w.forward.fits(socket.local_address)]
        found = next((w for w in matching if w.sure), matching[0] if matching else None)
        terminal, gone = surroundings.terminal(self.process)
        return SshForward(
            pid=self.process.pid,
            direction="dynamic" if found and found.forward.dynamic else "local",
            address=socket.local_address,
            port=socket.local_port,
            to=found.forward.to if found else None,
            via=(found.via if found else None) or via or (self._guess if master else None),
            control_path=master.control_path if master else None,
            source=found.source if found else "added" if self.title is None else "overwritten",
            config=found.place if found else None,
            sure=found.sure if found else True,
            searched=found is not None or (surroundings.same_root(self.process.pid) and not self._files.unread),
            jump=self.command.jump,
            spec=found.forward.spec if found else None,
            purpose="autossh-monitor" if found and self._monitors(found.forward) else None,
            others=len({w.forward for w in written if w.sure} - {found.forward if found else None}),
            command=None if self.title is not None or not self.command.host else self.command.session,
            background=self.command.background,
            terminal=terminal,
            terminal_gone=gone,
            orphan=surroundings.is_orphan(self.process),
            supervisor=surroundings.supervisor(self.process),
            master=master,
        )

    # -- the configuration ------------------------------------------------------------------

    def _sources(self) -> list[Source]:
        """Return the configurations this client reads: the user's, then the system's; or the one of -F alone."""
        home = surroundings.home_by_environment(self.process.pid) or self._home or ""
        if self.command.config is not None:
            path = self.command.config
            if path.lower() == "none":
                return []
            path = path if path.startswith("/") else os.path.join(self.process.cwd or "/", path)
            only = load(path, self._files, f"{home}/.ssh", home)
            return [only] if only else []
        mine = load(f"{self._home}/.ssh/config", self._files, f"{home}/.ssh", home) if self._home else None
        system = load(SYSTEM_CONFIG, self._files, "/etc/ssh")
        return [source for source in (mine, system) if source]

    def _configured(self, hosts: Sequence[str], shared: bool) -> list[Written]:  # noqa: FBT001
        """Return the forwards that the configuration has for these hosts; nothing where it is not for us to read."""
        if not hosts or not surroundings.same_root(self.process.pid):
            return []
        sources = self._sources()
        lines = [line for source in sources for line in source.lines]
        until = monotonic() + LONGEST_SECONDS
        fresh = all(source.changed <= self._started() + _MOMENT and not source.cut for source in sources)
        found = []
        for host in hosts:
            asked = config.Asked(host, self._user, self.command.user)
            try:
                answer = config.ask(lines, asked, self.command.settings, until=until)
            except config.TooLongError:
                self._files.unread[host] = N_("what it says for this host is not found in time")
                break
            for written in answer.forwards:
                by_option = written.place == "-o"
                found.append(
                    Written(
                        written.forward,
                        "command-line" if by_option else "config",
                        host,
                        None if by_option else written.place,
                        written.sure and (by_option or fresh) and (not shared or len(hosts) == 1),
                    )
                )
        return found

    def _guessed_hosts(self, shared: control.Control | None) -> list[str]:
        """Return the host of a master that overwrote its command line: the one whose ControlPath it has."""
        path = shared.path if shared else self.title
        if path is None or not surroundings.same_root(self.process.pid):
            return []
        lines = [line for source in self._sources() for line in source.lines]
        local = clean(os.uname().nodename)
        until = monotonic() + LONGEST_SECONDS
        for name in list(dict.fromkeys(config.aliases(lines)))[:MOST_ALIASES]:
            try:
                answer = config.ask(lines, config.Asked(name, self._user), until=until)
            except config.TooLongError:
                return []
            template = answer.values.get("controlpath")
            if template is None:
                continue
            end = Connection(
                name=name,
                host=config.host_name(answer.values, name),
                port=answer.values.get("port", "22"),
                user=answer.values.get("user", self._user),
                home=self._home or "",
                local_user=self._user,
                uid=self.process.uid or 0,
                local_host=local,
                jump=answer.values.get("proxyjump", ""),
            )
            if path in {expand(template, end), expand(template, end, with_jump=True)}:
                self._guess = name
                return [name]
        try:
            template = config.ask(lines, config.Asked("", self._user), until=until).values.get("controlpath")
        except config.TooLongError:
            return []
        if template is None:
            return []
        if template.startswith("~/"):
            template = (self._home or "") + template[1:]
        self._guess = config.host_in_path(template, path)
        return [self._guess] if self._guess else []

    def _started(self) -> float:
        return Clock.now().boot + self.process.start_ticks / TICKS

    # -- what it is besides -----------------------------------------------------------------

    def _master(self, shared: control.Control | None) -> Master | None:
        """Tell of its control socket; a title names it where its descriptors can't be seen."""
        path = shared.path if shared else self.title
        if path is None:
            return None
        if not path.startswith("/") and self.process.cwd:
            path = f"{self.process.cwd.rstrip('/')}/{path.removeprefix('./')}"
        own = int(self.title is None and self.command.session)
        return Master(
            control_path=path,
            reachable=self._files.exists(path) if surroundings.same_root(self.process.pid) else None,
            sessions=own + shared.connections if shared else None,
            clients=shared.clients if shared else (),
            waits=self.title is not None,
        )

    def _monitors(self, forward: Forward) -> bool:
        """Whether a forward is the one with which autossh watches its connection: port P to 127.0.0.1 port P."""
        alike = forward.host == "127.0.0.1" and forward.port == forward.host_port
        return alike and any(parent.name == "autossh" for parent in self.process.parents[:1])


def title_path(cmdline: Sequence[str] | None) -> str | None:
    """Return the control path in the title of a master whose own session is over: ``ssh: PATH [mux]``. Pure."""
    title = cmdline[0].rstrip(" \0") if cmdline else ""
    if not title.startswith("ssh: ") or not title.endswith(" [mux]"):
        return None
    return title[5:-6] or None


def autossh_monitor(process: Process, sockets: Sequence[Socket]) -> Iterator[SshForward]:
    """Yield what autossh itself listens for: the answers to its own test data."""
    for socket in sockets:
        yield SshForward(
            pid=process.pid,
            direction="local",
            address=socket.local_address,
            port=socket.local_port,
            purpose="autossh-monitor",
            source="command-line",
            supervisor=Supervisor(pid=process.pid, name=process.name, start_ticks=process.start_ticks, uid=process.uid),
        )
