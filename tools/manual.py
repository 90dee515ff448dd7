"""Makes the man page and the shell completions from the command line itself: python tools/manual.py --write.

Options and verbs are asked of click, examples are those of --help, situations are described by the
docstrings of their files: every text is written once. A test holds the files in docs/ equal to what
comes out here.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))

import click  # noqa: E402

from inuse.cli import app, diagnose  # noqa: E402
from inuse.model import SITUATIONS  # noqa: E402
from inuse.situations import paragraphs, registry  # noqa: E402

#: What a person may type, and what it means. A test reads every one of them.
TARGETS = (
    (("8080", ":8080", "8080/tcp"), "TCP port 8080 on any address (the wildcard 0.0.0.0 and [::])"),
    (("500/udp", "udp:500", "udp/500"), "UDP port 500 on any address"),
    (
        ("127.0.0.1:8080", "[::1]:53/udp", "localhost:3000", "http://localhost:3000/"),
        "that address only; localhost is both 127.0.0.1 and ::1",
    ),
    (("8000-8010",), "each port of the range"),
    (("https", "openvpn", "ipsec", "l2tp", "wireguard"), "the ports of that service, for every protocol"),
    (("0",), "whichever port the system would choose"),
    (("/dev/ttyUSB0", "ttyUSB0", "COM3", r"\\.\COM12", "/dev/cu.usbmodem1"), "a serial port or modem"),
)

STATUS = (
    ("0", "in use or blocked; of several targets, any one"),
    ("1", "free; of several targets, all"),
    ("2", "usage error, such as a target that can't be read"),
    ("3", "could not find out; the reason is printed"),
    ("130", "ended by Ctrl-C, with nothing left half-done"),
)

ENVIRONMENT = (
    (
        "LANGUAGE, LC_ALL, LC_MESSAGES, LANG",
        "The language of words for people, English or German, where --lang does not choose it.",
    ),
    ("PORT", "Set by ``inuse run`` for its command, with --pick or --port."),
    ("NO_COLOR", "Where it is set and not empty, text has no colour unless --color always asks for it."),
    ("TERM", "With the value dumb, text has no colour either."),
    (
        "DOCKER_HOST, DOCKER_CONTEXT, DOCKER_CONFIG, CONTAINER_HOST",
        "Where Docker and Podman are asked for a container, if that is on this machine.",
    ),
)

FILES = (
    ("/proc/PID/fd", "The descriptors of every process that may be looked at: who has a socket."),
    ("/proc/net", "Read where the kernel can't be asked through sock_diag."),
    (
        "/run/lock, /var/lock, /var/spool/lock, /var/spool/uucp",
        "Lock files of serial devices: read; ``inuse free`` deletes one whose owner is dead.",
    ),
    (
        "/etc/sysctl.d/99-zz-inuse.conf",
        "Written by ``inuse reserve``, so that it holds after a reboot too; ``inuse unreserve --all`` removes it.",
    ),
    (
        "/proc/sys/net/ipv4/ip_local_reserved_ports",
        "The ports that are not assigned automatically now: written by ``inuse reserve`` and ``inuse unreserve``.",
    ),
    ("/etc/services, /etc/hosts", "Names of services and hosts; no name is ever looked up on a network."),
    ("/etc/systemd, /run/systemd, /usr/lib/systemd", "What the unit of a holder says about restarting it."),
    (
        "/run/docker.sock, /run/podman/podman.sock, /run/user/UID/…",
        "The sockets of container engines: asked, read-only, where a holder or a socket speaks for a container.",
    ),
    (
        "~/.ssh/config, /etc/ssh/ssh_config, /etc/ssh/sshd_config",
        "Read where ssh or sshd holds the port. Nothing in them is executed: ``Match exec`` counts as unknown.",
    ),
    (
        "/etc/openvpn, /etc/wireguard, /etc/ipsec.conf, /etc/strongswan.conf, /etc/swanctl, /etc/xl2tpd, …",
        "Which VPN here wants the port; read where the port is a UDP port, a VPN's usual one, or held by a VPN.",
    ),
    (
        "/run/wireguard, /run/rpcbind.sock",
        "wireguard-go's and rpcbind's sockets: asked where a holder, or a socket of the kernel's, calls for it.",
    ),
    (
        "/dev/kmsg, /proc/self/timens_offsets, the journal",
        "When the machine last slept; read where a holder's connection is dead and it has slept at all.",
    ),
)

#: What is not told without which right.
PERMISSIONS = (
    ("CAP_SYS_PTRACE", "Which process of another user has a socket, and what it is."),
    (
        "CAP_NET_ADMIN",
        "NAT rules; which WireGuard or L2TP tunnel has a port; whether the machine slept since a program began.",
    ),
    ("the group docker", "The names of Docker's containers."),
    ("the group systemd-journal", "When the machine last slept."),
)

DESCRIPTION = """\
"Address already in use": *inuse* says who or what has a TCP or UDP port or a serial device, which kind of
situation that is, how it knows, and what helps. For a port the verdict is the kernel's own: a bind(2) and listen(2)
that are really made and closed at once; a device is not opened, unless with --probe. Every holder is named, not
the first one found; what could not be seen is said, never guessed over.

Without a target everything that is held is listed as one table.

``inuse explain`` begins with an error message, ``inuse run`` with the command that fails; ``inuse free`` gets a port or
device back, ``inuse wait`` waits for it, ``inuse pick`` finds another port, ``inuse reserve`` keeps one from being
taken by chance.

Other users' processes can only be named with the right to look at them, so run it as root where it says that
some could not be looked at. To look changes nothing, and sends nothing over a network. Local services that what was
seen calls for (a container engine, rpcbind, wireguard-go) are asked, read-only and for a second at most; of programs
it runs only journalctl(1) for the last sleep, and nft(8) or iptables(8) for the words of a rule that was found.

Only ``inuse free`` ends, stops or deletes something, after it has shown what and was told to; only
``inuse reserve`` and ``inuse unreserve`` change a setting.
"""

#: How a line of the examples begins that goes on with the one before, which had no room for what it does.
FURTHER = " " * 8

SEE_ALSO = "ss(8), lsof(8), fuser(1), bind(2), ip(7), proc_pid_fd(5), sock_diag(7)"

# ---------------------------------------------------------------------------------------------- the man page

_SPECIAL = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "~": r"\(ti", "^": r"\(ha", '"': r"\(dq"}
)
#: Literal text, emphasis, a page of the manual, an option: what prose has besides words.
_MARKED = re.compile(r"``(.+?)``|\*(\w+)\*|(?<![\w(/.])([A-Za-z_][\w.:-]*)(\(\d\))|(?<!\S)(--?[a-z][\w-]*)")


def literal(text: str) -> str:
    """Escape text that is to be copied as it stands."""
    return _guarded("".join(c if c.isascii() else rf"\[u{ord(c):04X}]" for c in text.translate(_SPECIAL)))


def prose(text: str) -> str:
    """Escape sentences: names of programs, pages and options in bold."""
    done, parts = 0, []
    for match in _MARKED.finditer(text):
        parts.append(literal(text[done : match.start()]))
        code, emphasis, page, section, option = match.groups()
        parts.append(rf"\fB{literal(code or emphasis or page or option)}\fR{section or ''}")
        done = match.end()
    parts.append(literal(text[done:]))
    return _guarded("".join(parts).replace(r"\&", ""))


def _guarded(line: str) -> str:
    """Keep a line that starts like a request from being one."""
    return rf"\&{line}" if line.startswith((".", "'")) else line


def _flowing(text: str, between: str) -> Iterator[str]:
    for number, lines in enumerate(paragraphs(text)):
        if number:
            yield between
        yield from map(prose, lines)


def _entry(term: str, *text: str) -> Iterator[str]:
    yield from (".TP", term, *text)


def _option(option: click.Option, context: click.Context) -> Iterator[str]:
    record = option.get_help_record(context)
    if record is None:
        return
    spelt, _, value = record[0].partition(" ") if "," not in record[0] else (record[0], "", "")
    names = ", ".join(rf"\fB{literal(name)}\fR" for name in spelt.split(", "))
    yield from _entry(names + (rf" \fI{literal(value.strip('[]'))}\fR" if value else ""), prose(record[1]))


def _context(name: str | None, command: click.Command) -> click.Context:
    return click.Context(command, info_name=name, **command.context_settings)


def _options(command: click.Command) -> Iterator[str]:
    context = _context(command.name, command)
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option):
            yield from _option(parameter, context)


def _synopsis() -> Iterator[str]:
    yield r"\fBinuse\fR [\fIOPTION\fR]... [\fITARGET\fR]..."
    for name, command in _verbs():
        context = _context(name, command)
        words = literal(" ".join(command.collect_usage_pieces(context)).replace("[OPTIONS]", "[OPTION]..."))
        yield ".br"
        yield rf"\fBinuse {literal(name)}\fR " + re.sub(r"[A-Z]+", r"\\fI\g<0>\\fR", words)


def _verbs() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(app.app, info_name="inuse")
    for name in app.VERBS:
        command = app.app.get_command(context, name)
        if command is None:
            raise LookupError(f"inuse {name} is announced, but not there")
        yield name, command


def examples(command: click.Command) -> Iterator[tuple[str, str]]:
    """Yield the examples of a verb's --help: what to type, and what that does."""
    for block in _blocks(command):
        if block.startswith("Examples:"):
            lines = block.splitlines()[1:]
            for line, after in zip(lines, [*lines[1:], ""], strict=True):
                if line.startswith(FURTHER):
                    continue
                typed, _, does = line.strip().partition("  ")
                yield typed, does.strip() or (after.strip() if after.startswith(FURTHER) else "")


def _blocks(command: click.Command) -> list[str]:
    """Return the paragraphs of a verb's --help."""
    return [block.strip() for block in (command.help or "").replace("\b\n", "\n").split("\n\n") if block.strip()]


def _examples(command: click.Command) -> Iterator[str]:
    for typed, does in examples(command):
        yield from _entry(rf"\fB{literal(typed)}\fR", prose(does) if does else r"\&")


def _situation(code: str, about: str) -> Iterator[str]:
    verdict = SITUATIONS[code].replace("_", " ")
    yield from _entry(rf"\fB{literal(code)}\fR ({verdict})", *_flowing(about, ".IP"))


def _page() -> Iterator[str]:
    yield r".\" Made by tools/manual.py from the command line and the situations; not to be edited."
    yield '.TH INUSE 1 "" inuse "User Commands"'
    # Left-justified and unhyphenated: codes and addresses stay whole.
    yield from (".ad l", ".nh", ".SH NAME", r"inuse \- say who or what has a port, and how to get it back")
    yield from (".SH SYNOPSIS", *_synopsis())
    yield from (".SH DESCRIPTION", *_flowing(DESCRIPTION, ".PP"), ".SS Examples")
    yield from _examples(diagnose.command)
    yield from (".SH TARGETS", "A target names one port or device, or several of them.")
    for forms, means in TARGETS:
        yield from _entry(", ".join(rf"\fB{literal(form)}\fR" for form in forms), prose(means))
    yield from (".SH OPTIONS", *_options(diagnose.command))
    yield ".SH VERBS"
    for name, command in _verbs():
        about = "\n\n".join(block for block in _blocks(command) if not block.startswith("Examples:"))
        yield from (rf".SS inuse {literal(name)}", *_flowing(about, ".PP"))
        yield from _options(command)
        yield from _examples(command)
    yield from (".SH EXIT STATUS", "Of inuse with targets:")
    for number, means in STATUS:
        yield from _entry(number, prose(means))
    yield from (
        ".PP",
        prose(
            "Of the verbs: 0 done, 1 not done (the reason is printed), 2 usage error, 130 ended by Ctrl-C. "
            "``inuse run`` ends as its command does."
        ),
    )
    yield from (
        ".SH SITUATIONS",
        "The codes that answers and JSON use, in the order in which several are listed.",
    )
    for situation in registry():
        yield from _situation(situation.code, situation.about)
    yield ".SH ENVIRONMENT"
    for name, means in ENVIRONMENT:
        yield from _entry(rf"\fB{name}\fR", prose(means))
    yield ".SH FILES"
    for name, means in FILES:
        yield from _entry(rf"\fI{literal(name)}\fR", prose(means))
    yield ".SH PERMISSIONS"
    yield prose(
        "The verdict takes none above the ports of net.ipv4.ip_unprivileged_port_start. What it can't tell without one:"
    )
    for name, means in PERMISSIONS:
        yield from _entry(rf"\fB{literal(name)}\fR", prose(means))
    yield from (".SH SEE ALSO", prose(SEE_ALSO))


def man_page() -> str:
    """Return inuse.1."""
    return "".join(f"{line}\n" for line in _page())


# ---------------------------------------------------------------------------------------------- completions

# click's own scripts let errors through to the terminal, leave variables behind and change with its versions;
# these speak the same protocol with the same side of the program (click.shell_completion).

BASH = """\
# bash completion for inuse; made by tools/manual.py, not to be edited.
# Asks the program itself: options and verbs, and as targets the ports that are in use now.

_inuse() {
    local type value words
    local IFS=$'\\n'
    words="${COMP_WORDS[*]}"
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain) COMPREPLY+=("$value") ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(env COMP_WORDS="$words" COMP_CWORD="$COMP_CWORD" _INUSE_COMPLETE=bash_complete \\
        "${1/#\\~\\//$HOME/}" 2>/dev/null </dev/null)
}

# Ports come in their own order; bash before 4.4 can't keep it.
complete -o nosort -F _inuse inuse 2>/dev/null || complete -F _inuse inuse
"""

ZSH = """\
#compdef inuse
# zsh completion for inuse; made by tools/manual.py, not to be edited.
# Asks the program itself: options and verbs, and as targets the ports that are in use now, with who has them.

_inuse() {
    local kind value about
    local -a plain described
    while IFS= read -r kind && IFS= read -r value && IFS= read -r about; do
        case $kind in
            plain)
                if [[ $about == _ ]]; then
                    plain+=("$value")
                else
                    described+=("$value:$about")
                fi
                ;;
            file) _files ;;
            dir) _files -/ ;;
        esac
    done < <(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1)) _INUSE_COMPLETE=zsh_complete \\
        ${~words[1]} 2>/dev/null </dev/null)
    (( $#described )) && _describe -V inuse described
    (( $#plain )) && compadd -V inuse -a plain
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _inuse "$@"
else
    compdef _inuse inuse
fi
"""

FISH = """\
# fish completion for inuse; made by tools/manual.py, not to be edited.
# Asks the program itself: options and verbs, and as targets the ports that are in use now, with who has them.

function __inuse_complete
    set -l words (commandline -opc)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -l line (commandline -cp | string collect)
    for answer in (env COMP_WORDS=$line COMP_CWORD=(commandline -ct | string collect) \\
            _INUSE_COMPLETE=fish_complete $program 2>/dev/null </dev/null)
        set -l parts (string split -m 1 , -- $answer)
        switch $parts[1]
            case plain
                echo $parts[2]
            case file
                __fish_complete_path (commandline -ct)
            case dir
                __fish_complete_directories (commandline -ct)
        end
    end
end

complete --command inuse --no-files --keep-order --arguments '(__inuse_complete)'
"""


# ---------------------------------------------------------------------------------------------- writing


def files() -> dict[str, str]:
    """Return every generated file: path below the checkout, and text."""
    return {
        "docs/man/inuse.1": man_page(),
        "docs/completions/inuse.bash": BASH,
        "docs/completions/_inuse": ZSH,
        "docs/completions/inuse.fish": FISH,
    }


def main() -> int:
    """Write the files, or say which of them are not what the command line says."""
    write = sys.argv[1:] == ["--write"]
    if sys.argv[1:] and not write:
        print("usage: manual.py [--write]", file=sys.stderr)
        return 2
    stale = []
    for name, text in files().items():
        path = ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if write:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{'written' if write else 'stale, run tools/manual.py --write'}: {name}")
    return 0 if write else int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
