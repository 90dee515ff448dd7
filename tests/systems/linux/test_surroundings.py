"""Units, repositories, mounts, programs, hosts, cgroups: the pure readers and the real files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse.systems.linux import cgroups, deep, elf, holders, host, names, repository, units, unreadable


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/nginx.service\n", "/system.slice/nginx.service"),
        ("12:pids:/x\n1:name=systemd:/system.slice/cron.service\n0::/\n", "/system.slice/cron.service"),
        ("1:name=systemd:/\n0::/user.slice/x.scope\n", "/user.slice/x.scope"),
        ("", None),
        ("garbage", None),
        ("0::/user.slice/x\x1c0::/system.slice/ssh.service\n", "/user.slice/x\x1c0::/system.slice/ssh.service"),
    ],
)
def test_the_cgroup_that_systemd_gave(text, path):
    assert units.cgroup_path(text) == path


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/nginx.service", ("nginx.service", False)),
        ("/system.slice/system-getty.slice/getty@tty1.service", ("getty@tty1.service", False)),
        ("/system.slice/foo.socket", ("foo.socket", False)),
        ("/system.slice/app.service/workers", ("app.service", False)),
        ("/system.slice/_odd.service", ("odd.service", False)),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/dev.service", ("dev.service", True)),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-term.scope", None),
        ("/user.slice/user-1000.slice/user@1000.service", None),
        ("/user.slice/user-1000.slice/session-3.scope", None),
        (
            "/machine.slice/systemd-nspawn@web.service/payload/system.slice/ssh.service",
            ("systemd-nspawn@web.service", False),
        ),
        ("/lxc.payload.web/system.slice/ssh.service", None),
        ("/docker/0123abc/system.slice/ssh.service", None),
        ("/system.slice/docker-0123abc.scope/system.slice/ssh.service", None),
        ("/", None),
        (None, None),
    ],
)
def test_the_innermost_unit(path, unit):
    assert units.unit_of(path) == unit


def test_unit_files_with_drop_ins(tmp_path):
    etc, lib = tmp_path / "etc", tmp_path / "lib"
    for folder in (etc / "web.service.d", lib):
        folder.mkdir(parents=True)
    (lib / "web.service").write_text("[Service]\nExecStart=/bin/web\nRestart=no\n# Restart=never\n")
    (etc / "web.service.d" / "10.conf").write_text("[Service]\nRestart=on-failure\n")
    unit = units.read_unit("web.service", load_path=(str(etc), str(lib)))
    assert (unit.path, unit.restart) == (str(lib / "web.service"), "on-failure")
    assert units.read_unit("none.service", load_path=(str(etc), str(lib))).restart is None


def test_instances_use_their_template(tmp_path):
    (tmp_path / "job@.service").write_text("[Service]\nRestart=always\n")
    assert units.read_unit("job@7.service", load_path=(str(tmp_path),)).restart == "always"


def test_socket_units_by_their_port(tmp_path):
    (tmp_path / "web.socket").write_text("[Socket]\nListenStream=8080\nListenStream=[::1]:8081\n")
    (tmp_path / "old.socket").write_text("[Socket]\nListenStream=8080\nListenStream=\nListenStream=9000\n")
    (tmp_path / "path.socket").write_text("[Socket]\nListenStream=/run/8080\nService=other.service\n")
    places = (str(tmp_path),)
    [unit] = units.socket_units(8080, load_path=places)
    assert (unit.name, unit.starts, unit.listens) == (
        "web.socket",
        "web.service",
        ("ListenStream=8080", "ListenStream=[::1]:8081"),
    )
    assert [u.name for u in units.socket_units(8081, load_path=places)] == ["web.socket"]
    assert units.read_unit("path.socket", load_path=places).starts == "other.service"


@given(st.text(max_size=200))
def test_no_text_breaks_the_readers(text):
    units.parse_unit([text])
    units.listen_port(text)
    units.unit_of(units.cgroup_path(text))
    repository.parse_mountinfo(text)
    holders.hidepid(text, "/proc")
    deep.passed_descriptors(text)
    elf.mapped_programs(text)
    host.capabilities(text)
    assert all(isinstance(address, str) for address in names.hosts_entries(text, "a"))


def test_mounts_that_may_hang_are_not_touched():
    table = repository.parse_mountinfo(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "2 1 0:9 / /net rw - nfs4 server:/x rw\n"
        "3 1 0:9 / /net/a\\040b rw - tmpfs x rw\n"
    )
    assert repository.is_local(table, "/home/anna")
    assert not repository.is_local(table, "/net/home")
    assert not repository.is_local(table, "/net")
    assert repository.is_local(table, "/net/a b/c")
    assert not repository.is_local([], "/")


def test_the_repository_around_a_folder(tmp_path):
    (tmp_path / "api" / ".git").mkdir(parents=True)
    inner = tmp_path / "api" / "src" / "x"
    inner.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"], cwd=inner) as child:
        directory = os.open(f"/proc/{child.pid}", os.O_RDONLY | os.O_DIRECTORY)
        try:
            if not repository.is_local(
                repository.parse_mountinfo(Path("/proc/self/mountinfo").read_text()), str(inner)
            ):
                pytest.skip(f"{inner} is not on a file system that is known to be local")
            assert repository.Mounts().repository(directory, str(inner)) == "api"
        finally:
            os.close(directory)
            child.kill()


def listens(command, *, ready=False):
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        directory = os.open(f"/proc/{child.pid}", os.O_RDONLY | os.O_DIRECTORY)
        try:
            while not Path(f"/proc/{child.pid}/cmdline").read_bytes():
                pass  # execve has not finished
            os.read(child.stdout.fileno(), 1) if ready else None
            return elf.missing_calls(directory, lambda _: True).listening
        finally:
            os.close(directory)
            child.kill()


def test_sleep_can_not_have_opened_a_listener():
    assert listens(["/bin/sleep", "60"]) is False


def test_an_interpreter_may_have_once_it_loaded_the_means():
    talk = "print(1, flush=True); input()"
    assert listens([sys.executable, "-c", f"import socket; {talk}"], ready=True) is None


def test_hidepid_is_the_last_mount_that_counts():
    plain = "22 1 0:21 / /proc rw - proc proc rw\n"
    hidden = "23 1 0:22 / /proc rw - proc proc rw,hidepid=invisible,gid=4\n"
    assert holders.hidepid(plain + hidden, "/proc") == "hidepid=invisible"
    assert holders.hidepid(hidden + plain, "/proc") is None
    assert holders.hidepid("22 1 0:21 / /proc rw - proc proc rw,hidepid=0\n", "/proc") is None


def test_root_is_never_told_to_use_sudo():
    for ptrace in (True, False):
        why, needs = unreadable.why(2, 0, ptrace=ptrace)
        assert "sudo" not in why + (needs or "")
    assert unreadable.why(1, 1000, ptrace=False)[1] == "sudo"


def test_an_unknown_cgroup_is_left_out():
    assert cgroups.paths([]) == {}
    assert 2**40 not in cgroups.paths([2**40])
