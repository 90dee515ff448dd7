"""The man page and the completions are what the command line says, and work in the programs that read them."""

import importlib.util
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time

import click
import pexpect
import pytest

from inuse.cli import app, diagnose
from inuse.situations import registry
from inuse.targets import parse

NAMES = ["docs/man/inuse.1", "docs/completions/inuse.bash", "docs/completions/_inuse", "docs/completions/inuse.fish"]
SHELLS = ["bash", "zsh", "fish"]


def need(program):
    return shutil.which(program) or pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="module")
def manual(root):
    spec = importlib.util.spec_from_file_location("manual", root / "tools/manual.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_files_are_what_is_generated_now(root, manual, name):
    assert list(manual.files()) == NAMES
    assert (root / name).read_text() == manual.files()[name], "run tools/manual.py --write"


# ------------------------------------------------------------------------------------------ the man page


def test_the_page_has_every_option_verb_and_situation(manual):
    page = manual.man_page().replace("\\-", "-")
    for parameter in diagnose.command.params:
        for name in parameter.opts if parameter.param_type_name == "option" else ():
            assert rf"\fB{name}\fR" in page
    for verb in app.VERBS:
        assert f".SS inuse {verb}\n" in page
    for situation in registry():
        assert f"\n.TP\n\\fB{situation.code}\\fR (" in page


def test_every_target_of_the_page_can_be_read(manual):
    for forms, _ in manual.TARGETS:
        for form in forms:
            assert parse(form).targets, form


def test_every_example_names_options_that_exist(manual):
    for verb in ("diagnose", *app.VERBS):
        command = app.app.get_command(None, verb)
        known = {name for parameter in command.params for name in parameter.opts} | {"-h", "--help"}
        for typed, _ in manual.examples(command):
            words = shlex.split(typed)
            if verb == "run":  # what follows the command is the command's own: click knows where that begins
                assert command.make_context(verb, words[2:]).params["words"], typed
                continue
            used = {word.partition("=")[0] for word in words if word.startswith("-")}
            assert used <= known, typed


def test_what_does_not_fit_beside_an_example_stands_below_it(manual):
    lines = ["\b", "Examples:", "  inuse x --long -- words", "             what it does", "  inuse x    that"]
    command = click.Command("x", help="\n".join(lines))
    assert list(manual.examples(command)) == [("inuse x --long -- words", "what it does"), ("inuse x", "that")]
    typed = [typed for _, verb in manual._verbs() for typed, _ in manual.examples(verb)]
    assert [one for one in typed if "inuse" not in one] == []


def test_what_is_escaped_for_roff(manual):
    assert manual.literal(r"\\.\COM12 -x 'a'") == r"\e\e.\eCOM12 \-x \(aqa\(aq"
    assert manual.literal(".TH") == r"\&.TH"
    assert manual.literal("a … b") == r"a \[u2026] b"
    assert manual.prose("as ``kill -9`` and bind(2) do, --json") == (
        r"as \fBkill \-9\fR and \fBbind\fR(2) do, \fB\-\-json\fR"
    )


@pytest.mark.parametrize(
    "command",
    [["man", "-l", "--warnings"], ["groff", "-man", "-Tutf8", "-ww"], ["mandoc", "-T", "lint", "-W", "error"]],
    ids=lambda command: command[0],
)
def test_the_page_renders_without_warnings(root, command):
    need(command[0])
    environ = os.environ | {"MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
    done = subprocess.run(
        [*command, root / NAMES[0]], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    if command[0] == "man":
        if not done.stdout:
            pytest.skip("man is a stub here: it prints nothing")
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert "\\" not in done.stdout.replace(r"\\.\COM12", "")


# ------------------------------------------------------------------------------------------ completions


@pytest.fixture(scope="module")
def program(root, tmp_path_factory):
    """A directory with this checkout's ``inuse``, for PATH."""
    place = tmp_path_factory.mktemp("bin dir")
    code = f"import sys; sys.path[:0] = {[str(root / 'src')]!r}; from inuse.cli import main; main()"
    path = place / "inuse"
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"\n')
    path.chmod(0o755)
    return place


@pytest.fixture
def served():
    """A port in use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


@pytest.fixture
def complete(root, program, tmp_path):
    """Asks a shell how it completes a command line; its words, and what it said on standard error."""

    def ask(shell, line, program=program):
        need(shell)
        environ = {"PATH": f"{program}:{os.environ['PATH']}", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
        return ASK[shell](root / "docs/completions", line, environ, tmp_path)

    return ask


def run(command, environ, place):
    done = subprocess.run(
        command,
        env=environ,
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout, done.stderr


def ask_bash(scripts, line, environ, place):
    words = line.split(" ")
    script = """
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        compopt() { printf 'compopt %s %s\\n' "$@"; }
        _inuse "$1"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    said, errors = run(["bash", "--norc", "-c", script, "bash", scripts / "inuse.bash", *words], environ, place)
    return [word for word in said.split("\n") if word], errors


def ask_fish(scripts, line, environ, place):
    script = "source $argv[1]; complete -C $argv[2]"
    said, errors = run(["fish", "--no-config", "-c", script, scripts / "inuse.fish", line], environ, place)
    return said.splitlines(), errors


def ask_zsh(scripts, line, environ, place):
    """Type it into a real zsh; all its completions, and what stood on the screen besides."""
    setup = f"""
        PS1=; unsetopt prompt_cr prompt_sp; fpath=({shlex.quote(str(scripts))} $fpath)
        autoload -Uz compinit; compinit -u -D
        show() {{ compadd() {{ local -a all; builtin compadd -O all "$@"; print -rl -- $all >>{place}/offers
                 builtin compadd "$@" }}; zle complete-word; unfunction compadd; : >{place}/done }}
        zle -C complete-word .complete-word _main_complete; zle -N show; bindkey '^I' show
        : >{place}/ready
    """
    (place / ".zshrc").write_text(setup)
    for name in ("offers", "done", "ready"):
        (place / name).unlink(missing_ok=True)
    shell = pexpect.spawn(
        "zsh", ["-d"], env=environ | {"TERM": "dumb", "ZDOTDIR": str(place)}, encoding="utf-8", cwd=str(place)
    )
    try:
        await_file(shell, place / "ready")
        shell.send(line + "\t")
        await_file(shell, place / "done")
        screen = shell.read_nonblocking(100_000, timeout=5)
    finally:
        shell.close(force=True)
    offers = (place / "offers").read_text().splitlines() if (place / "offers").exists() else []
    return list(dict.fromkeys(word for word in offers if word)), "Traceback" if "Traceback" in screen else ""


def await_file(shell, path):
    for _ in range(1200):
        if path.exists():
            return
        time.sleep(0.05)
    pytest.fail(f"zsh did not get as far as {path.name}: {shell.read_nonblocking(100_000, timeout=1)}")


ASK = {"bash": ask_bash, "zsh": ask_zsh, "fish": ask_fish}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts_are_sound(root, shell):
    need(shell)
    check = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}[shell]
    script = NAMES[1 + SHELLS.index(shell)]
    done = subprocess.run([*check, root / script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_target_is_one_of_the_ports_in_use(complete, served, shell):
    offers, errors = complete(shell, f"inuse {served}")
    assert errors == ""
    assert [offer.split("\t")[0] for offer in offers] == [served]


def test_with_who_has_it(complete, served):
    (offer,), errors = complete("fish", f"inuse {served}")
    assert offer.split("\t")[1]
    assert errors == ""


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("inuse --j", ["--json"]),
        ("inuse 8080 --sh", ["--short"]),
        ("inuse --color n", ["never"]),
        ("inuse demo tim", ["time-wait"]),
        ("inuse demo --li", ["--list"]),
        ("inuse sch", ["schema"]),
        ("inuse no-such-thing", []),
    ],
)
def test_options_values_and_verbs(complete, shell, line, offered):
    offers, errors = complete(shell, line)
    assert errors == ""
    assert [offer.split("\t")[0] for offer in offers] == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_a_file(complete, tmp_path, shell):
    (tmp_path / "saved-scene.json").touch()
    offers, errors = complete(shell, "inuse --scene saved-sc")
    assert errors == ""
    assert "compopt -o default" in offers if shell == "bash" else "saved-scene.json" in offers


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize("line", ["inuse 'a", 'inuse "', "inuse a\\", "inuse --as", "inuse -- 8", "inuse $("])
def test_nothing_odd_gives_an_error(complete, shell, line):
    _, errors = complete(shell, line)
    assert errors == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_a_program_in_trouble_is_silent(complete, tmp_path, shell):
    place = tmp_path / "broken"
    place.mkdir()
    (place / "inuse").write_text("#!/bin/sh\necho Traceback >&2\nexit 1\n")
    (place / "inuse").chmod(0o755)
    assert complete(shell, "inuse 80", program=place) == ([], "")


def test_bash_on_a_terminal(root, program, served, tmp_path):
    need("bash")
    environ = {"PATH": f"{program}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb", "PS1": ""}
    shell = pexpect.spawn("bash", ["--norc", "--noprofile"], env=environ, encoding="utf-8", timeout=60)
    try:
        shell.sendline(f"source {shlex.quote(str(root / NAMES[1]))}")
        shell.sendline('bind -x \'"\\C-o": printf "<%s>" "$READLINE_LINE"\'; echo rea\'\'dy')
        shell.expect("ready")
        shell.send(f"inuse --js\t{served}\t\x0f")
        shell.expect_exact(f"<inuse --json {served} >")
    finally:
        shell.close(force=True)
