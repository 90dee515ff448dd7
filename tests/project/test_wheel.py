"""What is published: the wheel, built from the sdist, installed out of reach of the checkout, and used."""

import json
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

# One worker builds and installs it, once.
pytestmark = pytest.mark.xdist_group("wheel")


@dataclass
class Installed:
    env: Path
    wheel: Path
    cwd: Path

    def run(self, program, *arguments):
        return run([self.env / "bin" / program, *arguments], self.cwd)


def run(command, cwd):
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "UV_"))}
    environ["UV_NO_CONFIG"] = "1"
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False)


def must(command, cwd):
    done = run(command, cwd)
    if done.returncode:
        pytest.fail(f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False)
    return done.stdout


@pytest.fixture(scope="session")
def installed(root, tmp_path_factory):
    place = tmp_path_factory.mktemp("wheel")
    hatch = [sys.executable, "-P", "-m", "hatchling", "build", "-d", place / "dist"]
    must([*hatch, "-t", "sdist"], root)
    (sdist,) = (place / "dist").glob("inuse-*.tar.gz")
    (place / "sdist").mkdir()
    must(["tar", "-xzf", sdist, "-C", place / "sdist"], place)
    (unpacked,) = (place / "sdist").iterdir()
    must([*hatch, "-t", "wheel"], unpacked)
    (wheel,) = (place / "dist").glob("*.whl")
    # A fresh environment with what requirements.txt pins and nothing else …
    make = [sys.executable, "-I", root / "tools/environment.py", "run", root / ".cache/run"]
    must([*make, root / "requirements.txt"], root)
    shutil.copytree(root / ".cache/run", place / "env", symlinks=True)
    # … and offline: what the wheel depends on must be just that.
    install = [sys.executable, "-I", "-m", "uv", "--offline", "pip", "install"]
    must([*install, "--python", place / "env/bin/python", wheel], place)
    (place / "empty").mkdir()
    return Installed(place / "env", wheel, place / "empty")


def test_the_wheel_holds_the_package_whole_and_nothing_else(root, installed):
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    assert "inuse/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert [name for name in names if not name.startswith(("inuse/", "inuse-"))] == []
    files = (path for path in (root / "src").rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert {str(path.relative_to(root / "src")) for path in files} - names == set()


@pytest.mark.parametrize(
    ("source", "share"),
    [
        ("docs/man/inuse.1", "man/man1/inuse.1"),
        ("docs/completions/inuse.bash", "bash-completion/completions/inuse"),
        ("docs/completions/_inuse", "zsh/site-functions/_inuse"),
        ("docs/completions/inuse.fish", "fish/vendor_completions.d/inuse.fish"),
    ],
)
def test_the_manual_and_the_completions_come_along(root, installed, source, share):
    assert (installed.env / "share" / share).read_bytes() == (root / source).read_bytes()


def test_it_says_its_version(root, installed):
    scope = {}
    exec((root / "src/inuse/_version.py").read_text(), scope)
    done = installed.run("inuse", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert scope["__version__"] in done.stdout.split()


def test_it_helps(installed):
    done = installed.run("inuse", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "inuse" in done.stdout


def test_it_sees_who_has_a_port(installed):
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = installed.run("inuse", f"127.0.0.1:{server.getsockname()[1]}", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["verdict"] == "in_use"
    assert os.getpid() in [holder["pid"] for holder in answer["holders"]]


def test_it_sees_that_nobody_has_a_port(installed):
    # Bound, so that nobody else is given it; closed before the question, so that it is free.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = installed.run("inuse", f"127.0.0.1:{port}", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["verdict"] == "free"


def test_it_is_a_library(installed):
    done = installed.run("python", "-c", "from inuse import diagnose; print(callable(diagnose))")
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
