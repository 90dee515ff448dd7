"""What ./test runs, in the environment that ./test made: style, types, architecture, tests.

Every step runs even when one before it failed. At the end stand every skip with its reason, what
failed, and one line with the counts: tests and the checks of the other steps alike.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
SYSTEMS = {"linux": "linux", "win32": "windows", "darwin": "macos"}
NO_TESTS = 5  # pytest's exit status when nothing was collected
NOBODY = 65534
# The `env` at the end is what makes it true: setpriv itself may still start what an ordinary user may not.
BECOME_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}"),
    *("--clear-groups", "--inh-caps=-all", "--ambient-caps=-all", "--", "env"),
)

EPILOG = """\
Steps, in this order: packages, static, tests, user.
  packages  installs the Debian packages of tools/debian-packages.txt that are missing, where it may
  static    ruff check, ruff format --check, mypy for linux, win32 and darwin, lint-imports
  tests     pytest, in parallel; among them those that build, install and use the wheel
  user      tests/kernel once more, as an ordinary user inside `unshare -rn`

Anything else on the command line goes to pytest, and then only pytest runs:
  ./test tests/project -x
  ./test -k requirements
"""


@dataclass
class Report:
    """What came out of all steps."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def check(self, name: str, trouble: str | None) -> None:
        """Count one check that isn't a pytest test."""
        if trouble is None:
            self.passed += 1
        else:
            self.failed.append(f"{name}: {trouble}" if trouble else name)

    def skip(self, name: str, reason: str) -> None:
        """Count something that was not tried, and why."""
        self.skipped[reason].append(name)

    def show(self) -> int:
        """Print the end of the run; return its exit status."""
        if self.skipped:
            print("\nSkipped:")
        for reason, names in self.skipped.items():
            print(f"  {reason}")
            print("".join(f"      {name}\n" for name in names), end="")
        if self.failed:
            print("\nFailed:")
        for name in self.failed:
            print(f"  {name}")
        skipped = sum(map(len, self.skipped.values()))
        print(f"\n{self.passed} passed, {len(self.failed)} failed, {skipped} skipped", flush=True)
        return 1 if self.failed else 0


@dataclass(frozen=True)
class Run:
    """One run of ./test."""

    report: Report
    options: argparse.Namespace
    workers: int


def head(title: str) -> None:
    """Print where the run is."""
    print(f"\n━━ {title}", flush=True)


def call(
    command: Sequence[str],
    *,
    limit: float | None = None,
    quiet: bool = False,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a command; return its status (124: took too long) and, when quiet, everything it said.

    It gets a session of its own, so that whatever it started ends with it.
    """
    pipes = (subprocess.PIPE, subprocess.STDOUT) if quiet else (None, None)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=pipes[0],
        stderr=pipes[1],
        text=True,
        errors="replace",
        cwd=cwd,
        env=env,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return 124, f"still running after {limit} seconds"
        else:
            return process.returncode, said or ""
        finally:
            # Also when interrupted. What is left of the session has no reason to stay.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


# ------------------------------------------------------------------------------------------------- packages


def packages(run: Run) -> None:
    """Install what tools/debian-packages.txt lists and isn't there."""
    lines = (ROOT / "tools/debian-packages.txt").read_text(encoding="utf-8").splitlines()
    names = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
    if not shutil.which("dpkg-query"):
        run.report.skip("Debian packages: " + " ".join(names), "not a Debian system")
        return

    def missing() -> list[str]:
        query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names]
        _, said = call(query, quiet=True)
        return [name for name in names if f"{name} installed" not in said.splitlines()]

    absent = missing()
    if not absent:
        return
    head("Debian packages: " + " ".join(absent))
    become = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if become and (not shutil.which("sudo") or call([*become, "true"], quiet=True)[0]):
        run.report.skip("Debian packages: " + " ".join(absent), "neither root nor sudo without a password")
        return
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    get = [*become, "apt-get", "-qq", "-y", "--no-install-recommends", "install"]
    with no_services(become):
        status, said = call([*get, *absent], quiet=True, env=environ, limit=900)
        if status:
            call([*become, "apt-get", "-qq", "update"], quiet=True, env=environ, limit=300)
            for name in absent:  # one by one: one that can't be had doesn't keep the others away
                status, said = call([*get, name], quiet=True, env=environ, limit=900)
                if status:
                    print(said)
    for name in missing():
        run.report.skip(f"Debian package {name}", "apt-get could not install it")


@contextlib.contextmanager
def no_services(become: Sequence[str]) -> Iterator[None]:
    """Have no service started by what is installed meanwhile: the tests start what they need themselves.

    Debian asks policy-rc.d before it starts one (invoke-rc.d(8)); where somebody has a policy, it stays.
    """
    policy = "/usr/sbin/policy-rc.d"
    if os.path.lexists(policy):
        yield
        return
    call([*become, "sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' > {policy} && chmod 755 {policy}"], quiet=True)
    try:
        yield
    finally:
        call([*become, "rm", "-f", policy], quiet=True)


# --------------------------------------------------------------------------------------------------- static


def static(run: Run) -> None:
    """Run everything that only reads the code, two at a time."""
    head("style, types and architecture")
    python = [sys.executable, "-P", "-m"]
    lint_imports = "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())"
    checks = {
        "ruff check": [*python, "ruff", "check", "."],
        "ruff format": [*python, "ruff", "format", "--check", "--diff", "."],
        "import-linter": [sys.executable, "-P", "-c", lint_imports],
    }
    for platform in ("linux",) if run.options.quick else SYSTEMS:
        others = "|".join(room for name, room in SYSTEMS.items() if name != platform)
        sources = ["src", "tools"] if platform == "linux" else ["src"]
        checks[f"mypy for {platform}"] = [
            *(*python, "mypy", "--platform", platform, "--cache-dir", f".mypy_cache/{platform}"),
            *("--exclude", f"src/inuse/systems/({others})/"),
            # Staging a situation is Linux's own; "no such platform" ends a function early elsewhere.
            *(() if platform == "linux" else ("--exclude", "src/inuse/demo/", "--no-warn-unreachable")),
            *(("--exclude", "src/inuse/run/posix/") if platform == "win32" else ()),
            *sources,
        ]
    with ThreadPoolExecutor(2) as pool:
        running = {name: pool.submit(call, command, quiet=True, limit=600) for name, command in checks.items()}
        for name, future in running.items():
            status, said = future.result()
            print(f"{'ok    ' if status == 0 else 'FAILED'}  {name}", flush=True)
            if status:
                print(said, flush=True)
            run.report.check(name, None if status == 0 else "")


# ---------------------------------------------------------------------------------------------------- tests


def pytest(
    run: Run,
    title: str,
    arguments: Sequence[str],
    *,
    before: Sequence[str] = (),
    python: str = sys.executable,
    place: Path | None = None,
    tree: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run pytest (behind another command, in another tree) and count what its report says."""
    with tempfile.TemporaryDirectory(prefix="inuse-test-") as directory:
        xml = (place or Path(directory)) / "report.xml"
        command = [*before, python, "-P", "-m", "pytest", "-n", str(run.workers), "--dist", "loadgroup"]
        command += [f"--junitxml={xml}", *(["--long"] if run.options.long else []), *arguments]
        status, trouble = call(command, limit=None if run.options.long else 1500, cwd=tree, env=env)
        if status == NO_TESTS:
            run.report.failed.append(f"{title}: no test was collected")
        elif status not in (0, 1):
            run.report.failed.append(f"{title}: pytest ended with status {status} {trouble}".strip())
        try:
            cases = ET.parse(xml).getroot().iter("testcase")  # noqa: S314 - written by our own pytest
        except (OSError, ET.ParseError):
            if status in (0, 1):
                run.report.failed.append(f"{title}: pytest left no report")
            return
        count(run.report, title, cases, status)


def count(report: Report, title: str, cases: Iterable[ET.Element], status: int) -> None:
    """Add the test cases of a pytest report."""
    failures = 0
    for case in cases:
        name = "::".join(part for part in (case.get("classname"), case.get("name")) if part)
        if case.find("failure") is not None or case.find("error") is not None:
            report.failed.append(f"{title}: {name}")
            failures += 1
        elif (skipped := case.find("skipped")) is not None:
            report.skip(f"{title}: {name}", skipped.get("message") or "no reason given")
        else:
            report.passed += 1
    if status == 1 and not failures:
        report.failed.append(f"{title}: pytest failed without naming a test")


def tests(run: Run) -> None:
    """Run all tests, or those asked for."""
    head("tests")
    pytest(run, "tests", run.options.pytest)


# ----------------------------------------------------------------------------------------------------- user


def user(run: Run) -> None:
    """Run the kernel tests as an ordinary user who is root only in namespaces of his own."""
    title = "tests/kernel as an ordinary user"
    head(title)
    become: list[str] = list(BECOME_NOBODY) if os.geteuid() == 0 else []
    for program in (*become[:1], "unshare"):
        if not shutil.which(program):
            run.report.skip(title, f"{program} (Debian package util-linux) is not installed")
            return
    status, said = call([*become, "unshare", "-rn", "true"], quiet=True, cwd=Path("/"))
    if status:
        run.report.skip(title, f"namespaces are not to be had for an ordinary user: {said.strip()}")
        return
    if not list(ROOT.glob("tests/kernel/**/test_*.py")):
        run.report.skip(title, "there are no kernel tests yet")
        return
    with tempfile.TemporaryDirectory(prefix="inuse-user-") as directory:
        home = Path(directory, "home")
        home.mkdir(mode=0o700)
        tree = ROOT
        if become:
            Path(directory).chmod(0o755)
            os.chown(home, NOBODY, NOBODY)
            if not readable(become, ROOT, sys.executable):
                tree = copied(Path(directory, "checkout"))
        python = str(tree / Path(sys.executable).relative_to(ROOT))
        if become and tree != ROOT and not readable(become, tree, python):
            run.report.skip(title, f"{os.path.realpath(sys.executable)} can be started by root only")
            return
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL", "TERM", "CI")}
        environ = keep | {
            "HOME": str(home),
            "TMPDIR": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(tree / "src"),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(home / "hypothesis"),
        }
        inside = [*become, "unshare", "-rn", "sh", "-c", 'ip link set lo up 2>&-; exec "$0" "$@"']
        arguments = ["-p", "no:cacheprovider", "tests/kernel"]
        pytest(run, title, arguments, before=inside, python=python, place=home, tree=tree, env=environ)


def readable(become: list[str], tree: Path, python: str) -> bool:
    """Tell whether the ordinary user can read the checkout and start its environment."""
    script = """
import os, sys
import click, hypothesis, msgspec, pexpect, pyroute2, pytest, syrupy, xdist
for top in ("src", "tests", "tools"):
    for where, folders, files in os.walk(os.path.join(sys.argv[1], top), onerror=lambda error: sys.exit(1)):
        for name in folders + files:
            if name != "__pycache__" and not os.access(os.path.join(where, name), os.R_OK):
                sys.exit(1)
"""
    status, _ = call([*become, python, "-I", "-c", script, str(tree)], quiet=True, cwd=Path("/"))
    return status == 0


def copied(to: Path) -> Path:
    """Copy the checkout and its environments to where everybody can read them."""
    unneeded = {".git", ".mypy_cache", ".ruff_cache", ".hypothesis", "uv", "uvx", "ruff", "mypy", "mypyc"}

    def ignore(_: str, names: list[str]) -> set[str]:
        return unneeded.intersection(names)

    shutil.copytree(ROOT, to, symlinks=True, ignore=ignore)
    for where, _, files in os.walk(to):
        Path(where).chmod(0o755)
        for path in (Path(where, name) for name in files):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o700 | (0o055 if path.stat().st_mode & 0o100 else 0o044))
    return to


# ----------------------------------------------------------------------------------------------------- main

STEPS: dict[str, Callable[[Run], None]] = {
    "packages": packages,
    "static": static,
    "tests": tests,
    "user": user,
}


def main() -> int:
    """Read the command line and run the steps it asks for."""
    parser = argparse.ArgumentParser(
        prog="./test",
        description="Install what the tests need, then run all of them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--long", action="store_true", help="the tests that take minutes as well")
    parser.add_argument("--quick", action="store_true", help="not the user step, types for linux only")
    parser.add_argument("--only", action="append", choices=STEPS, metavar="STEP", help="this step; repeatable")
    options, rest = parser.parse_known_args()
    options.pytest = rest
    if options.only:
        chosen = [name for name in STEPS if name in options.only]
    elif options.pytest:
        chosen = ["tests"]
    else:
        chosen = ["packages", "static", "tests"] if options.quick else list(STEPS)
    run = Run(Report(), options, max(2, os.cpu_count() or 2))
    began = time.monotonic()
    try:
        for name in chosen:
            STEPS[name](run)
    except KeyboardInterrupt:
        print("\ninterrupted", flush=True)
        return 130
    print(f"\n{time.monotonic() - began:.0f} seconds")
    return run.report.show()


if __name__ == "__main__":
    sys.exit(main())
