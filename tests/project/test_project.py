"""The project's own files agree with each other."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib

import pytest


@pytest.fixture(scope="module")
def pyproject(root):
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def lock(root):
    return tomllib.loads((root / "uv.lock").read_text())


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_what_uv_lock_says(root, name):
    if not (importlib.util.find_spec("uv") or shutil.which("uv")):
        pytest.skip("uv is not installed")
    assert (root / name).read_text() == load(root / "tools/lock.py").export(name), "run tools/lock.py"


def test_uv_lock_is_what_pyproject_says(pyproject, lock):
    def plain(requirement):
        return re.sub(r"\s", "", requirement)

    (own,) = (package for package in lock["package"] if package["name"] == "inuse")
    metadata = own["metadata"]
    locked = {entry["name"] + entry.get("specifier", "") for entry in metadata["requires-dist"]}
    assert locked == set(map(plain, pyproject["project"]["dependencies"])), "run tools/lock.py"
    locked = {entry["name"] + entry.get("specifier", "") for entry in metadata["requires-dev"]["dev"]}
    assert locked == set(map(plain, pyproject["dependency-groups"]["dev"])), "run tools/lock.py"
    assert lock["requires-python"] == pyproject["project"]["requires-python"]


def test_uv_lock_names_only_the_public_index(root, lock):
    for package in lock["package"]:
        assert package["source"] in ({"registry": "https://pypi.org/simple"}, {"editable": "."})
    hosts = set(re.findall(r"\b(\w+://[^/\"\s]*)", (root / "uv.lock").read_text()))
    assert hosts == {"https://pypi.org", "https://files.pythonhosted.org"}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_and_hashed(root, name):
    text = (root / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.match(r"[a-z0-9-]+==[^ ]+ ", line), line
        assert " --hash=sha256:" in line, line
        assert "://" not in line, line


def test_what_runs_is_part_of_what_is_tested(root):
    def pins(name):
        return set(re.findall(r"^[a-z0-9-]+==\S+", (root / name).read_text(), re.MULTILINE))

    assert pins("requirements.txt") <= pins("requirements-dev.txt")


def test_the_version_is_written_once(root, pyproject):
    assert pyproject["project"]["dynamic"] == ["version"]
    assert "version" not in pyproject["project"]
    version = load(root / "src/inuse/_version.py").__version__
    for path in (root / "src").rglob("*.py"):
        if path.name != "_version.py":
            assert f'"{version}"' not in path.read_text(), f"{path} repeats the version"
    hatch = [sys.executable, "-P", "-m", "hatchling", "version"]
    said = subprocess.run(hatch, cwd=root, capture_output=True, text=True, check=True).stdout
    assert said.strip() == version


@pytest.mark.parametrize("name", ["inuse", "test", ".ci/run", "tools/find-python.sh"])
@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh"])
def test_scripts_are_posix_sh(root, name, shell):
    words = shell.split()
    if not shutil.which(words[0]):
        pytest.skip(f"{words[0]} is not installed")
    subprocess.run([*words, "-n", root / name], check=True)


@pytest.mark.parametrize("name", ["inuse", "test", ".ci/run"])
def test_scripts_can_be_started(root, name):
    assert (root / name).stat().st_mode & 0o111 == 0o111


# ------------------------------------------------------------------------------------------ ./test itself


@pytest.fixture
def run_check(root, tmp_path):
    """Runs tools/check.py over a checkout that has just these tests."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tests").mkdir()
    shutil.copy(root / "tools/check.py", tmp_path / "tools")
    shutil.copy(root / "pyproject.toml", tmp_path)

    def run(tests, *arguments):
        (tmp_path / "tests/test_it.py").write_text(tests)
        command = [sys.executable, "-I", "tools/check.py", "--only", "tests", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()

    return run


def test_check_counts_and_names_what_happened(run_check):
    status, lines = run_check("""
import pytest
def test_good(): pass
def test_bad(): assert 1 == 2
def test_absent(): pytest.skip("no such program: frobnicate")
@pytest.fixture
def broken(): raise ValueError
def test_error(broken): pass
""")
    assert status == 1
    assert lines[-1] == "1 passed, 2 failed, 1 skipped"
    end = lines[lines.index("Skipped:") :]
    assert "  no such program: frobnicate" in end
    assert any(line.strip().endswith("::test_absent") for line in end)
    assert any(line.strip().endswith("::test_bad") for line in end)


def test_check_is_content_when_all_passed(run_check):
    status, lines = run_check("def test_good(): pass")
    assert (status, lines[-1]) == (0, "1 passed, 0 failed, 0 skipped")


def test_check_fails_when_nothing_was_tested(run_check):
    status, lines = run_check("def test_good(): pass", "-k", "nothing_is_called_this")
    assert (status, lines[-1]) == (1, "0 passed, 1 failed, 0 skipped")
    assert "  tests: no test was collected" in lines


def test_check_fails_when_tests_cannot_be_read(run_check):
    status, lines = run_check("import there_is_no_such_module")
    assert status == 1
    assert " 0 failed" not in lines[-1]


def test_check_fails_when_pytest_refuses_its_arguments(run_check):
    status, lines = run_check("def test_good(): pass", "tests/absent.py")
    assert (status, lines[-1]) == (1, "0 passed, 1 failed, 0 skipped")
