"""Which program a command runs: the file, or the script or module that an interpreter is given.

The words are read as the programs themselves read them; nothing is run. Pure but for Files, which looks paths up.
Source: execve(2) on ``#!``; python(1), node(1), java(1), ruby(1), perl(1), php(1), bash(1) for their options.
"""

import os
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from inuse.evidence.program import Program
from inuse.systems.linux.read import foreign, read_bytes

#: Interpreters: the letters and words of the options that take a value of their own.
LANGUAGES: Final[dict[str, frozenset[str]]] = {
    "python": frozenset({"-W", "-X", "-Q", "--check-hash-based-pycs"}),
    "pypy": frozenset({"-W", "-X"}),
    "node": frozenset({"-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions"}),
    "deno": frozenset({"-c", "--config", "--import-map", "--lock", "-L", "--log-level"}),
    "bun": frozenset({"-r", "--preload", "-c", "--config", "--cwd"}),
    "ruby": frozenset({"-r", "-I", "-C", "-E"}),
    "perl": frozenset({"-I"}),
    "php": frozenset({"-c", "-d", "-t", "-z"}),
    "java": frozenset({"-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules"}),
    "lua": frozenset({"-l"}),
    "dotnet": frozenset({"--roll-forward", "--fx-version", "--depsfile", "--runtimeconfig"}),
    "bash": frozenset({"-o", "-O", "--rcfile", "--init-file"}),
}
ALIASES: Final = {"nodejs": "node", "sh": "bash", "dash": "bash", "zsh": "bash", "ksh": "bash", "ash": "bash"}
#: Options after which a piece of program stands, and those after which a module's name stands.
CODE: Final = {"python": "-c", "pypy": "-c", "bash": "-c", "node": "-e", "ruby": "-e", "perl": "-e", "php": "-r"}
MODULE: Final = {"python": ("-m",), "pypy": ("-m",), "java": ("-m", "--module")}
#: Verbs that an interpreter takes before the script.
VERBS: Final = {"deno": ("run", "serve"), "bun": ("run",), "dotnet": ("run", "exec")}
#: Programs that run another one: how many words of theirs stand before it, beside options and NAME=value.
WRAPPERS: Final = {
    **dict.fromkeys(
        ("env", "sudo", "doas", "nohup", "setsid", "nice", "ionice", "exec", "time", "stdbuf", "command"), 0
    ),
    **dict.fromkeys(("timeout", "chrt", "taskset", "unbuffer"), 1),
    "unbuffer": 0,
}
WRAPPER_VALUES: Final = {
    "sudo": ("-u", "-g", "-C", "-h", "-p", "-D", "-R", "-T"),
    "env": ("-u", "-C"),
    "nice": ("-n",),
    "ionice": ("-c", "-n", "-p"),
    "timeout": ("-s", "-k"),
    "stdbuf": ("-i", "-o", "-e"),
    "doas": ("-u", "-C"),
    "inuse": ("--timeout", "--port", "--retries", "--color", "--lang"),
    "uv": ("--with", "-p", "--python", "--extra", "--group", "--env-file", "--directory", "--project"),
}
#: The same with a verb: ``uv run app.py``.
RUN_VERBS: Final = {
    **dict.fromkeys(("uv", "poetry", "pipenv", "pdm", "hatch", "inuse"), "run"),
    "bundle": "exec",
}
#: Programs that run what a project's files say.
RUNNERS: Final = frozenset(
    {"npm", "npx", "yarn", "pnpm", "bunx", "make", "just", "cargo", "go", "mvn", "gradle", "rake", "foreman", "honcho"}
)
#: ``python -m inuse.hook app.py`` runs app.py.
HOOK: Final = "inuse.hook"
ENGINES: Final = frozenset({"docker", "podman", "nerdctl"})
MOST_NESTING: Final = 8
SHEBANG_BYTES: Final = 256


class Files:
    """Looks up which file a word of a command means, from a working directory."""

    def __init__(self, cwd: str | None, path: str) -> None:
        """``path`` is the search path for commands, as in the environment."""
        self.cwd = cwd
        self._path = path

    def below(self, place: str) -> "Files":
        """Return the same, from another directory."""
        return Files(os.path.normpath(os.path.join(self.cwd, place)) if self.cwd else None, self._path)

    def real(self, word: str) -> str | None:
        """Return the real path of a file that exists, None where there is none."""
        if not word or "\0" in word or (self.cwd is None and not word.startswith("/")):
            return None
        path = os.path.realpath(os.path.join(self.cwd or "/", word))
        return path if os.path.isfile(path) else None

    def command(self, word: str) -> str | None:
        """Return the file that a shell would execute for a command's first word, before links are followed."""
        if "/" in word:
            return os.path.join(self.cwd or "/", word) if self.real(word) else None
        for place in self._path.split(":"):
            found = os.path.join(place or self.cwd or ".", word)
            if self.real(found) and os.access(found, os.X_OK):
                return found
        return None

    def interpreter(self, path: str) -> list[str]:
        """Return the words of a script's ``#!`` line; none where it is no script."""
        try:
            line = foreign(read_bytes(path, most=SHEBANG_BYTES)).partition("\n")[0]
        except OSError:
            return []
        if not line.startswith("#!"):
            return []
        interpreter, _, argument = line[2:].strip().partition(" ")
        return [interpreter, *([argument.strip()] if argument.strip() else [])]


def wanted(words: Sequence[str], files: Files, depth: int = 0) -> Program:
    """Tell what a command would run."""
    words = unwrapped(words)
    if not words:
        return Program()
    if depth < MOST_NESTING and (shell := _in_shell(words)):
        place, inner_words = shell
        return wanted(inner_words, files.below(place) if place else files, depth + 1)
    found = files.command(words[0])
    real = files.real(found) if found else None
    shebang = files.interpreter(real) if real else []
    name = _base(words[0])
    # A python that is a shell script is a version manager's (pyenv, asdf): it starts a python.
    if shebang and found and name not in RUNNERS and not language_of(name) and depth < MOST_NESTING:
        inner = wanted([*unwrapped(shebang), found, *words[1:]], files, depth + 1)
        return replace(inner, words=tuple(words))
    return identify(words, real, files)


def _in_shell(words: list[str]) -> tuple[str | None, list[str]] | None:
    """Return the directory and the one plain command of ``sh -c 'cd DIR && CMD'``; None for more than that."""
    if words[:1] == ["cd"] and words[2:3] == ["&&"] and len(words) > 3:
        return words[1], list(words[3:])
    if len(words) < 3 or language_of(_base(words[0])) != "bash" or not words[1].startswith("-") or words[1][-1] != "c":
        return None
    import shlex

    lexer = shlex.shlex(words[2], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        found = list(lexer)
    except ValueError:
        return None
    place = found[1] if found[:1] == ["cd"] and found[2:3] == ["&&"] else None
    found = found[3:] if place else found
    plain = found and not any(set(word) <= set("();<>|&") or set(word) & set("$`*?") for word in found)
    return (place, found) if plain else None


def identify(words: Sequence[str], exe: str | None, files: Files) -> Program:
    """Tell what a command runs whose file is known."""
    plain = Program(words=tuple(words), exe=exe, cwd=files.cwd)
    name = _base(words[0]) if words else ""
    if name in RUNNERS:
        return replace(plain, runner=name)
    if name in ENGINES or name == "docker-compose":
        return _of_engine(plain, name)
    language = language_of(_base(exe or "")) or language_of(name)
    if not language:
        return plain
    found = _interpreted(replace(plain, language=language), files)
    runner = _base(found.script or "").partition(".")[0].removesuffix("-cli")
    if runner in RUNNERS:  # node …/npm-cli.js run dev
        at = next((i for i, word in enumerate(words) if _base(word) == _base(found.script or "")), 0)
        return replace(plain, runner=runner, words=(runner, *words[at + 1 :]))
    return found


def unwrapped(words: Sequence[str]) -> list[str]:
    """Leave out what stands before the command itself: NAME=value, sudo, env, timeout 5 …"""
    rest = list(words)
    for _ in range(MOST_NESTING):
        while rest and _is_assignment(rest[0]):
            del rest[0]
        name = _base(rest[0]) if rest else ""
        if RUN_VERBS.get(name) == (rest[1] if len(rest) > 1 else None) and name in RUN_VERBS:
            rest = _after_options(rest[2:], WRAPPER_VALUES.get(name, ()))
            if rest and rest[0].endswith(".py"):
                rest.insert(0, "python")
        elif name in WRAPPERS and len(rest) > 1:
            rest = _after_options(rest[1:], WRAPPER_VALUES.get(name, ()))
            while rest and _is_assignment(rest[0]):
                del rest[0]
            rest = rest[WRAPPERS[name] :]
        else:
            break
    return rest


def language_of(name: str) -> str | None:
    """Return which interpreter a file's name is: ``python3.12`` is python."""
    stem = name.rstrip("0123456789.-")
    return ALIASES.get(stem) or (stem if stem in LANGUAGES else None)


def _after_options(words: list[str], values: Sequence[str]) -> list[str]:
    """Return what follows the options; ``values``: those that are followed by a value."""
    index = 0
    while index < len(words) and words[index].startswith("-") and words[index] != "-":
        if words[index] == "--":
            return words[index + 1 :]
        index += 2 if words[index] in values else 1
    return words[index:]


def _interpreted(program: Program, files: Files) -> Program:
    language = program.language or ""
    words = list(program.words[1:])
    index = 0
    while index < len(words):
        word = words[index]
        following = words[index + 1] if index + 1 < len(words) else None
        if word == CODE.get(language):
            return replace(program, code=following)
        if word in MODULE.get(language, ()) and following == HOOK:  # what it runs is the program
            inner = _interpreted(replace(program, words=(program.words[0], *words[index + 2 :])), files)
            return replace(inner, words=program.words)
        if word in MODULE.get(language, ()):
            return replace(program, module=following)
        if language == "java" and word == "-jar":
            return replace(program, script=_script(following, files))
        if word == "--":
            return replace(program, script=_script(following, files))
        if word in VERBS.get(language, ()):
            index += 1
        elif word.startswith("-") and word != "-":
            if language == "python" and word.startswith("-m") and len(word) > 2:
                return replace(program, module=word[2:])
            index += 2 if word in LANGUAGES[language] else 1
        elif language == "java":
            return replace(program, module=word)
        elif language == "node":
            return replace(program, script=_module_of_node(word, files))
        else:
            return replace(program, script=_script(word, files))
    return program


def _module_of_node(word: str, files: Files) -> str | None:
    """Return the file that node takes for a word: its extension may be left out, and a folder means its index.js."""
    tried = (word, f"{word}.js", f"{word}/index.js")
    return next((real for one in tried if (real := files.real(one))), None) or _script(word, files)


def _script(word: str | None, files: Files) -> str | None:
    """Return the real path of a script; where the file is gone, the path it would have."""
    if not word or word == "-":
        return None
    return files.real(word) or (os.path.normpath(os.path.join(files.cwd, word)) if files.cwd else None)


def _of_engine(program: Program, name: str) -> Program:
    """A container engine's command: what is run is a container."""
    words = program.words[1:]
    if name == "docker-compose" or "compose" in words[:3]:
        named = next((words[i + 1] for i, word in enumerate(words[:-1]) if word in {"-p", "--project-name"}), None)
        return replace(program, project=named or _base(program.cwd or "").lower() or None)
    if "run" in words or "start" in words:
        return replace(program, images=tuple(word for word in words if not word.startswith("-")))
    return program


def _is_assignment(word: str) -> bool:
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isidentifier()


def _base(path: str) -> str:
    return path.rpartition("/")[2]
