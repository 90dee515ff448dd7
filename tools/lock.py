"""Writes uv.lock, and the two requirements files from it, after a change of dependencies in pyproject.toml.

    python tools/lock.py              lock again, keeping versions where they still fit
    python tools/lock.py --upgrade    lock again, taking the newest versions

Needs uv on PATH, or in the environment that runs it. Only the public default index is named in the results.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: What ./inuse installs, and what ./test installs: the file and which groups are in it.
EXPORTS = {
    "requirements.txt": ("--no-dev",),
    "requirements-dev.txt": ("--all-groups",),
}


def uv(*arguments: str) -> str:
    """Run uv on this project, whatever index or settings this machine has, and return what it printed."""
    beside = Path(sys.executable).with_name("uv")
    program = str(beside) if beside.exists() else shutil.which("uv")
    if program is None:
        raise FileNotFoundError("uv is neither on PATH nor beside this Python")
    own = ("UV_", "PIP_", "VIRTUAL_ENV")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(own)}
    environ["UV_PYTHON_DOWNLOADS"] = "never"
    command = [program, *arguments, "--no-config", "--python", sys.executable]
    done = subprocess.run(command, cwd=ROOT, env=environ, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def export(name: str) -> str:
    """Return what the requirements file of that name must hold, as uv.lock has it; needs no network."""
    frozen = ("--frozen", "--offline", "--quiet", "--no-emit-project", "--no-header", "--no-annotate")
    body = uv("export", *frozen, "--format", "requirements.txt", *EXPORTS[name])
    # ./inuse compares this first word, so that it need not read on.
    digest = hashlib.sha256(body.encode()).hexdigest()[:16]
    return f"#lock:{digest} made from uv.lock by tools/lock.py; don't edit\n{body}"


def main() -> None:
    """Lock, then write what ./inuse and ./test install."""
    uv("lock", *sys.argv[1:])
    for name in EXPORTS:
        (ROOT / name).write_text(export(name), encoding="utf-8")
        print(f"{name} written")


if __name__ == "__main__":
    main()
