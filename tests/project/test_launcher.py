"""./inuse: makes its environment once, whatever goes wrong meanwhile, and imports nothing but what it should.

These work on a copy of the launcher with a stand-in for the tool and one tiny dependency of its own, so
no network is needed and the real environments are left alone.
"""

import base64
import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pytest

TOOL = """
import json, sys
import tiny
def main():
    json.dump({
        "argv": sys.argv, "path": sys.path, "tiny": tiny.__file__, "stdin": sys.stdin.read(),
        "modules": sorted(sys.modules), "pycache": sys.pycache_prefix,
    }, sys.stdout)
    return 7
"""


class Checkout:
    """A copy of what ./inuse needs, at a path with a space."""

    def __init__(self, root, place):
        self.path = place / "a checkout"
        self.path.mkdir()
        self.home = place / "home"
        self.home.mkdir()
        shutil.copy(root / "inuse", self.path)
        shutil.copytree(root / "tools", self.path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
        (self.path / "src/inuse/cli").mkdir(parents=True)
        (self.path / "src/inuse/__init__.py").touch()
        (self.path / "src/inuse/cli/__init__.py").write_text(TOOL)
        self.wheel = self.path / "tiny-1-py3-none-any.whl"
        with zipfile.ZipFile(self.wheel, "w") as file:
            file.writestr("tiny.py", "")
            file.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
            file.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            empty = base64.urlsafe_b64encode(hashlib.sha256(b"").digest()).rstrip(b"=").decode()
            file.writestr("tiny-1.dist-info/RECORD", f"tiny.py,sha256={empty},0\n")
        self.require("one")

    def require(self, lock, digest=None):
        digest = digest or hashlib.sha256(self.wheel.read_bytes()).hexdigest()
        url = self.wheel.as_uri()
        (self.path / "requirements.txt").write_text(f"#lock:{lock} x\ntiny @ {url} --hash=sha256:{digest}\n")

    @property
    def env(self):
        return self.path / ".cache/run"

    def start(self, *arguments, program=None, before=(), environ=None, **options):
        """Begin a start of ./inuse; returns the process."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home)} | (environ or {})
        options = {"cwd": self.home, "stdin": subprocess.DEVNULL} | options
        command = [*before, program or self.path / "inuse", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environ, stdout=pipe, stderr=pipe, text=True, **options)

    def run(self, *arguments, status=7, text=None, **options):
        """Run ./inuse; returns what the stand-in saw (or standard output) and standard error."""
        if text is not None:
            options["stdin"] = subprocess.PIPE
        with self.start(*arguments, **options) as process:
            out, err = process.communicate(text, timeout=120)
        assert process.returncode == status, err
        return (json.loads(out) if status == 7 else out), err


@pytest.fixture
def checkout(root, tmp_path):
    return Checkout(root, tmp_path)


@pytest.fixture(scope="module")
def some_environment(root, tmp_path_factory):
    checkout = Checkout(root, tmp_path_factory.mktemp("launcher"))
    checkout.run()
    return checkout.env


@pytest.fixture
def started(checkout, some_environment):
    """A checkout that was started before."""
    shutil.copytree(some_environment, checkout.env, symlinks=True)
    assert checkout.run()[1] == ""
    return checkout


def test_first_start_makes_the_environment_and_the_second_finds_it(checkout):
    seen, err = checkout.run("8080", "with space", "new\nline", "--json", "", text="a log\n")
    assert seen["argv"] == ["inuse", "8080", "with space", "new\nline", "--json", ""]
    assert seen["stdin"] == "a log\n"
    assert seen["tiny"].startswith(str(checkout.env))
    assert "making its environment" in err
    seen, err = checkout.run(text="")
    assert seen["argv"] == ["inuse"]
    assert err == ""


def test_a_log_on_standard_input_survives_the_first_start(checkout):
    with (checkout.home / "log").open("w+") as log:
        log.write("bind: Address already in use\n")
        log.seek(0)
        seen, _ = checkout.run("explain", stdin=log)
    assert seen["stdin"] == "bind: Address already in use\n"


def test_any_directory_and_any_link_leads_to_it(started, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/one").symlink_to("../a checkout/inuse")
    (tmp_path / "two").symlink_to(tmp_path / "bin/one")
    for cwd, program in [
        (tmp_path, "./two"),
        (tmp_path / "bin", "./one"),
        (started.path, "./inuse"),
        (started.path / "src", "../inuse"),
        (tmp_path, "a checkout/inuse"),
    ]:
        seen, err = started.run("x", cwd=cwd, program=program)
        assert Path(seen["tiny"]).is_relative_to(started.env)
        assert err == ""
    seen, err = started.run(cwd=started.path, before=["sh"], program="inuse")
    assert err == ""
    environ = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    seen, err = started.run(before=["env"], program="one", environ=environ)
    assert err == ""


def test_nothing_is_imported_from_where_it_is_started(checkout, tmp_path):
    hostile = tmp_path / "hostile"
    (hostile / "inuse/cli").mkdir(parents=True)
    names = [
        "click.py",
        "tiny.py",
        "json.py",
        "site.py",
        "sitecustomize.py",
        "usercustomize.py",
        "encodings.py",
    ]
    for name in [*names, "inuse/__init__.py", "inuse/cli/__init__.py", "pip.py", "venv.py", "ensurepip.py"]:
        (hostile / name).write_text(f"open({str(tmp_path / 'caught')!r}, 'a').write({name!r})\nraise SystemExit(66)\n")
    environ = {
        "PYTHONPATH": str(hostile),
        "PYTHONSTARTUP": str(hostile / "click.py"),
        "PYTHONHOME": str(hostile),
    }
    for _ in range(2):  # making the environment, and using it
        seen, _ = checkout.run(cwd=hostile, environ=environ)
        assert not (tmp_path / "caught").exists()
        assert seen["path"][0] == str(checkout.path / "src")
        assert not {"", ".", str(hostile)} & set(seen["path"])
    assert not {"site", "runpy", "sitecustomize", "importlib.metadata"} & set(seen["modules"])


def test_several_first_starts_at_once_make_one_environment(checkout):
    processes = [checkout.start(str(number)) for number in range(4)]
    said = [process.communicate(timeout=120) for process in processes]
    for number, (out, _) in enumerate(said):
        assert json.loads(out)["argv"] == ["inuse", str(number)]
    assert sum("making its environment" in err for _, err in said) == 1


def children(pid):
    """The processes that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("who", ["the launcher", "and the maker", "all of them"])
def test_a_killed_first_start_is_made_good_by_the_next(checkout, who):
    process = checkout.start(start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(checkout.env.glob("lib/python3*/site-packages")):  # in the midst of it
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    try:
        makers = children(process.pid)
        assert makers
        if who == "all of them":
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        if who == "and the maker":  # what it started goes on, and still writes
            for pid in makers:
                os.kill(pid, signal.SIGKILL)
        assert not (checkout.env / "complete").exists()
        seen, err = checkout.run()
        if who != "the launcher":
            assert "making its environment again" in err
        assert Path(seen["tiny"]).is_relative_to(checkout.env)
        assert checkout.run()[1] == ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_other_requirements_make_another_environment(started):
    (started.env / "left over").touch()
    started.require("two")
    assert "making its environment again" in started.run()[1]
    assert not (started.env / "left over").exists()
    assert started.run()[1] == ""


def test_an_interpreter_that_went_away_is_replaced(started):
    python = started.env / "bin/python"
    while python.parent == started.env / "bin":  # the last link inside leads to the real interpreter
        last, python = python, python.parent / python.readlink()
    assert python.resolve() == python, "the environment must name the real interpreter, not a link that is moved"
    last.unlink()
    last.symlink_to("/nonexistent/python3")
    assert "making its environment again" in started.run()[1]
    assert started.run()[1] == ""


def test_a_package_that_is_not_what_was_locked_is_refused(checkout):
    checkout.require("bad", digest="0" * 64)
    _, err = checkout.run(status=3)
    assert "can't make the environment" in err
    assert "hash" in err.lower()
    assert "Traceback" not in err
    assert not (checkout.env / "complete").exists()
    checkout.require("good")
    checkout.run()


def test_requirements_that_are_missing_are_named(checkout):
    (checkout.path / "requirements.txt").unlink()
    out, err = checkout.run(status=3)
    assert (out, err.count("\n")) == ("", 1)
    assert str(checkout.path / "requirements.txt") in err


@pytest.fixture
def other_place():
    """A directory everybody can look into, as tmp_path is not."""
    with tempfile.TemporaryDirectory(prefix="inuse-launcher-") as place:
        Path(place).chmod(0o755)
        yield Path(place)


def test_a_checkout_that_cannot_be_written(root, other_place):
    checkout = Checkout(root, other_place)
    before = []
    if os.geteuid() == 0:
        before = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--inh-caps=-all",
            "--",
            "env",
        ]
        if not shutil.which("setpriv"):
            pytest.skip("setpriv (Debian package util-linux) is not installed")
        os.chown(checkout.home, 65534, 65534)
    (checkout.path / "tools").chmod(0o555)
    checkout.path.chmod(0o555)
    script = f". '{checkout.path}/tools/find-python.sh'; find_python"
    if subprocess.run([*before, "sh", "-c", script], stdout=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("no Python >= 3.11 that an ordinary user can start")
    try:
        seen, err = checkout.run(before=before)
        assert f"{checkout.home}/.cache/inuse/run-one" in err
        assert Path(seen["tiny"]).is_relative_to(checkout.home / ".cache/inuse/run-one")
        assert Path(seen["pycache"]).is_relative_to(checkout.home)
        assert checkout.run(before=before)[1] == ""
        # Another cache, and none at all.
        elsewhere = {"XDG_CACHE_HOME": str(checkout.home / "else where")}
        seen, err = checkout.run(before=before, environ=elsewhere)
        assert Path(seen["tiny"]).is_relative_to(checkout.home / "else where/inuse")
        # No home to write to: a folder of our own below the temporary one, unless it is somebody else's.
        temporary = checkout.home / "tmp"
        temporary.mkdir()
        temporary.chmod(0o777)
        homeless = {"HOME": "/nonexistent", "TMPDIR": str(temporary)}
        seen, err = checkout.run(before=before, environ=homeless)
        assert Path(seen["tiny"]).is_relative_to(temporary)
        [own] = temporary.iterdir()
        assert own.stat().st_mode & 0o777 == 0o700
        own.rename(own.with_name("moved"))
        own.symlink_to("moved")
        out, err = checkout.run(before=before, environ=homeless, status=3)
        assert (out, err.count("\n")) == ("", 1)
        assert "HOME" in err
        assert not (checkout.path / ".cache").exists()
    finally:
        checkout.path.chmod(0o755)


def programs(place, *names):
    """A PATH with these programs only."""
    place.mkdir()
    for name in names:
        (place / name).symlink_to(shutil.which(name))
    return place


def test_no_python(checkout, tmp_path):
    path = programs(tmp_path / "bin", "sh", "readlink")
    out, err = checkout.run(environ={"PATH": str(path)}, status=3)
    assert out == ""
    assert err == ("inuse: needs Python 3.11 or newer; found nothing (INUSE_PYTHON=/path/to/python names another)\n")


def test_an_old_python(checkout, tmp_path):
    path = programs(tmp_path / "bin", "sh", "readlink")
    (path / "python3").write_text("#!/bin/sh\necho 3.9 1 /usr/bin/python3.9\n")
    (path / "python3").chmod(0o755)
    _, err = checkout.run(environ={"PATH": str(path)}, status=3)
    assert "found python3 3.9 " in err
    # A newer one is taken, though its name comes later and a broken one stands before it.
    (path / "python3.13").write_text("#!/bin/sh\nexit 127\n")
    (path / "python3.13").chmod(0o755)
    script = '. "$0"/tools/find-python.sh && find_python && echo "$python"'
    environ = {"PATH": str(path), "INUSE_PYTHON": sys.executable}
    command = ["sh", "-c", script, checkout.path]
    said = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout
    assert said == f"{Path(sys.executable).resolve()}\n"


# --------------------------------------------------------------------------- a Python that lacks ensurepip


@pytest.fixture
def environment(root, monkeypatch):
    """tools/environment.py, believing that this Python has neither ensurepip nor pip, nor anybody uv."""
    spec = importlib.util.spec_from_file_location("environment", root / "tools/environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    find_spec = importlib.util.find_spec
    lacking = {"ensurepip", "pip"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in lacking else find_spec(name))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    module.programs = {"apt-get": "/usr/bin/apt-get"}
    monkeypatch.setattr(shutil, "which", module.programs.get)
    return module


def test_without_ensurepip_one_line_says_what_to_install(environment, checkout, capsys):
    assert environment.main(["run", str(checkout.env), str(checkout.path / "requirements.txt")]) == 3
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 2
    assert "apt-get install python3" in err[1]
    assert err[1].endswith("-venv")
    environment.programs.clear()
    assert environment.main(["run", str(checkout.env), str(checkout.path / "requirements.txt")]) == 3
    assert "apt-get" not in capsys.readouterr().err


def test_without_ensurepip_uv_will_do(environment, checkout, monkeypatch):
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not installed beside this Python")
    environment.programs["uv"] = str(uv)
    monkeypatch.setenv("UV_CACHE_DIR", str(checkout.home / "uv"))
    assert environment.main(["run", str(checkout.env), str(checkout.path / "requirements.txt")]) == 0
    seen, err = checkout.run()
    assert err == ""
    assert Path(seen["tiny"]).is_relative_to(checkout.env)
