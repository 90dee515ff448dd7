"""Makes the environments of this checkout: one to run ./inuse, one for ./test.

    environment.py run|dev DIRECTORY REQUIREMENTS [--project ROOT]

Runs on a bare Python, before anything is installed. DIRECTORY/complete is written last and names the
requirements it was made from: an environment without it, or made from others, is thrown away and made
again. One process makes it while the others wait; the lock belongs to every process that writes into
DIRECTORY, so a killed start leaves neither a half environment taken for whole nor a pip that still
writes into the next one.

Exit status: 0 made (or there already), 3 could not, 130 interrupted.
"""

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PURPOSE = {"run": "inuse: first start", "dev": "test: first run"}


class CannotError(Exception):
    """Why the environment could not be made, in one line for a person."""


def say(text: str) -> None:
    """Print on standard error, at once."""
    print(text, file=sys.stderr, flush=True)


def wanted(requirements: Path, project: Path | None) -> str:
    """Return what DIRECTORY/complete must hold: the list's name, the Python, and the project it sees."""
    with requirements.open(encoding="utf-8") as file:
        lock = file.readline().split()[0].removeprefix("#lock:")
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return f"{lock} {python}\n" + (f"{project}\n" if project else "")


def is_complete(directory: Path, want: str) -> bool:
    """Tell whether DIRECTORY is a finished environment whose interpreter is still there."""
    try:
        made = (directory / "complete").read_text(encoding="utf-8")
    except OSError:
        return False
    return made == want and os.access(directory / "bin" / "python", os.X_OK)


class Builder:
    """Makes one environment, under its lock."""

    def __init__(self, directory: Path, lock: int) -> None:
        self.directory = directory
        self.lock = lock
        self.python = str(directory / "bin" / "python")
        # A person's pip settings (mirror, proxy, certificates) hold; those that put packages elsewhere don't.
        elsewhere = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")
        self.environ = {k: v for k, v in os.environ.items() if k not in elsewhere}
        self.environ |= {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        self.environ |= {"PIP_REQUIRE_VIRTUALENV": "0", "UV_PYTHON_DOWNLOADS": "never"}

    def run(self, *command: str, env: dict[str, str] | None = None) -> None:
        """Run a step quietly; when it fails, its last words are the reason."""
        try:
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                env=env or self.environ,
                pass_fds=(self.lock,),
            )
        except OSError as error:
            raise CannotError(f"{command[0]}: {error.strerror}") from None
        if done.returncode:
            lines = [line.strip() for line in f"{done.stderr}\n{done.stdout}".splitlines() if line.strip()]
            errors = [line for line in lines if line.lower().startswith("error")]
            reason = (errors or lines or [f"exit status {done.returncode}"])[0]
            raise CannotError(f"{Path(command[0]).name} {' '.join(command[1:4])} …: {reason}")

    def make(self, requirements: Path, project: Path | None, *, may_sudo: bool) -> None:
        """Create the environment and install what is listed, each file checked against its hash."""
        base = sys.executable
        listed = ("--require-hashes", "-r", str(requirements))
        ensurepip, pip = importlib.util.find_spec("ensurepip"), importlib.util.find_spec("pip")
        uv = shutil.which("uv")
        if not (ensurepip or uv or pip):
            install_venv(self, may_sudo=may_sudo)
            ensurepip = importlib.util.find_spec("ensurepip")
        if pip_wheel := bundled_pip():
            # Run from its wheel, pip need not be installed: most of the time a new environment takes.
            self.run(base, "-I", "-m", "venv", "--without-pip", str(self.directory))
            install = [self.python, "-I", f"{pip_wheel}/pip", "install"]
        elif ensurepip:
            self.run(base, "-I", "-m", "venv", str(self.directory))
            install = [self.python, "-I", "-m", "pip", "install"]
        elif uv:
            self.run(uv, "venv", "--python", base, str(self.directory))
            install = [uv, "pip", "install", "--python", self.python]
        else:
            self.run(base, "-I", "-m", "venv", "--without-pip", str(self.directory))
            install = [base, "-I", "-m", "pip", "--python", self.python, "install"]
        self.run(*install, *listed)
        if project:
            (packages,) = self.directory.glob("lib/python3*/site-packages")
            (packages / "inuse-checkout.pth").write_text(f"{project}/src\n", encoding="utf-8")


def bundled_pip() -> Path | None:
    """Return the pip wheel that this Python carries for ensurepip, wherever the distribution keeps it."""
    spec = importlib.util.find_spec("ensurepip")
    if spec is None or spec.origin is None:
        return None
    places = [Path(spec.origin).parent / "_bundled"]
    if debian := sysconfig.get_config_var("WHEEL_PKG_DIR"):
        places.append(Path(debian))
    wheels = sorted(wheel for place in places for wheel in place.glob("pip-*.whl"))
    return wheels[-1] if wheels else None


def install_venv(builder: Builder, *, may_sudo: bool) -> None:
    """Install Debian's package for making environments; root may, others are told."""
    package = "python3-venv"
    if sys.executable.startswith("/usr/bin/"):
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    become = () if os.geteuid() == 0 else ("sudo", "-n") if may_sudo and shutil.which("sudo") else None
    if become is None or not shutil.which("apt-get"):
        how = f"apt-get install {package}" if shutil.which("apt-get") else "its venv package or uv"
        raise CannotError(f"{sys.executable} has no ensurepip; please install what it lacks: {how}")
    say(f"      installing the Debian package {package}")
    environ = builder.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    get = (*become, "apt-get", "-qq", "-y", "--no-install-recommends", "install", package)
    try:
        builder.run(*get, env=environ)
    except CannotError:
        builder.run(*become, "apt-get", "-qq", "update", env=environ)
        builder.run(*get, env=environ)
    importlib.invalidate_caches()


def ensure(purpose: str, directory: Path, requirements: Path, project: Path | None, *, sudo: bool) -> None:
    """Make DIRECTORY unless it is there and whole; wait when somebody else is making it."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(f"{directory}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{PURPOSE[purpose]}: waiting for another one that is making {directory}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        want = wanted(requirements, project)
        if is_complete(directory, want):
            return
        again = "making its environment again" if directory.exists() else "making its environment"
        say(f"{PURPOSE[purpose]}: {again} in {directory} (once)")
        if directory.is_symlink():
            directory.unlink()
        elif directory.exists():
            shutil.rmtree(directory)
        Builder(directory, lock).make(requirements, project, may_sudo=sudo)
        fresh = directory / "complete.new"
        fresh.write_text(want, encoding="utf-8")
        fresh.rename(directory / "complete")
        say(f"{PURPOSE[purpose]}: done")
    finally:
        os.close(lock)


def main(arguments: list[str]) -> int:
    """Read the command line; see the module's docstring."""
    may_sudo = "--may-sudo" in arguments
    purpose, directory, requirements, *rest = [a for a in arguments if a != "--may-sudo"]
    project = Path(rest[1]) if rest[:1] == ["--project"] else None
    try:
        ensure(purpose, Path(directory), Path(requirements), project, sudo=may_sudo)
    except (CannotError, OSError) as error:
        say(f"{PURPOSE[purpose].split(':')[0]}: can't make the environment: {error}")
        return 3
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
