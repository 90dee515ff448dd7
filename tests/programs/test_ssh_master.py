"""Connection-sharing masters, with real ssh: which socket, how many sessions, what ends just one forward."""

import os
import signal
import subprocess

import pytest
from ssh_lab import (
    PORT,
    Lab,
    details,
    gone,
    listens,
    owners,
    private_home,
    remedies,
    remedy,
    ssh_finding,
    until,
)
from staging import private

SHARING = ("-o", "ControlMaster=auto", "-o", "ControlPersist=60")
OTHER = 8081


def background_master(stage, lab, *words):
    """A master with no session of its own."""
    assert lab.run("-M", "-f", "-N", *words, "bastion").returncode == 0
    until(lambda: bool(masters(lab)), "the master")
    stage.adopt(*masters(lab))


def masters(lab):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read()
        except OSError:
            continue
        if str(lab.directory).encode() in words and b"sshd" not in words and words[:1] in {b"s", b"/"}:
            found.append(int(name))
    return found


def carry_out(one):
    """Do what a remedy says, to the letter."""
    done = subprocess.run(one["command"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stderr, done.stderr


def session(lab):
    """A session that shares the connection; it tells that it lives by what it writes."""
    client = lab.start("bastion", "echo here; cat")
    assert client.process.stdout.readline() == b"here\n"
    return client


def lives(client):
    client.process.stdin.write(b"still\n")
    client.process.stdin.flush()
    return client.process.stdout.readline() == b"still\n"


@pytest.mark.parametrize(
    ("words", "spec"),
    [
        (("-L", "8080:db.example:5432"), ("-L", "8080:db.example:5432")),
        (("-L", "127.0.0.1:8080:[fe80::1]:5432"), ("-L", "127.0.0.1:8080:[fe80::1]:5432")),
        (("-L", "[::1]:8080:db:1"), ("-L", "[::1]:8080:db:1")),
        (("-L", "localhost:8080:db:1"), ("-L", "localhost:8080:db:1")),
        (("-L", "*:8080:db:http"), ("-L", "*:8080:db:80")),
        (("-D", "8080"), ("-D", "8080")),
        (("-D", "localhost:8080"), ("-D", "localhost:8080")),
        (("-L", "8080:/run/x.sock"), ("-L", "8080:/run/x.sock")),
    ],
    ids=lambda value: value[1],
)
@private
def test_the_command_frees_this_port_and_nothing_else(stage, words, spec):
    lab = Lab(stage)
    background_master(stage, lab, *words, "-L", f"{OTHER}:db:2")
    client = session(lab)
    found = ssh_finding()
    control = f"{lab.directory}/control-{lab.user}@127.0.0.1:2222"
    assert details(found, "control_path", "sessions", "via") == (control, 1, "bastion")
    cancel = remedy(found, "cancel-forward")
    assert cancel["command"] == ["ssh", "-F", "none", "-S", control, "-O", "cancel", *spec, "bastion"]
    assert remedies(found) == ["cancel-forward", "exit-master", "use-another-port"]
    carry_out(cancel)
    gone()
    assert listens(OTHER)
    assert lives(client)
    assert remedy(ssh_finding(OTHER), "exit-master")["disrupts"] == "its 1 session and all its forwards"
    carry_out(remedy(found, "exit-master"))
    gone(OTHER)
    client.process.wait(10)


@private
def test_a_forward_with_an_empty_address_can_not_be_cancelled(stage):
    """OpenSSH (9.2) does not find it again: what is known not to work is not offered."""
    lab = Lab(stage)
    background_master(stage, lab, "-L", ":8080:db:1")
    assert remedies(ssh_finding()) == ["exit-master", "use-another-port"]


@private
def test_a_forward_that_was_added_with_o_forward(stage):
    """`ssh -O forward` leaves no trace of where the forward leads: that is said, not guessed."""
    lab = Lab(stage)
    background_master(stage, lab, "-L", f"{OTHER}:db:2")
    assert lab.run("-O", "forward", "-L", "8080:db:1", "bastion").returncode == 0
    found = ssh_finding()
    assert found["confidence"] == "likely"
    assert details(found, "direction", "to", "via", "source") == ("local", None, "bastion", "added")
    assert "most likely it was added while ssh ran" in found["explanation"]
    assert remedy(found, "cancel-forward")["command"] is None
    assert remedies(found)[:2] == ["cancel-forward", "exit-master"]


@private
def test_a_forward_that_a_client_of_the_master_asked_for(stage):
    lab = Lab(stage)
    background_master(stage, lab)
    client = lab.start("-N", "-L", "8080:db.example:5432", "bastion", then=PORT)
    found = ssh_finding()
    assert found["holders"] != [client.pid]
    assert details(found, "to", "source", "sessions") == ("db.example:5432", "mux-client", 1)
    carry_out(remedy(found, "cancel-forward"))
    gone()


@private
def test_a_master_that_waits_after_its_own_session(stage):
    """Its command line is overwritten; who still shares its connection tells where to."""
    lab = Lab(stage)
    assert lab.run(*SHARING, "-L", "8080:db.example:5432", "bastion", "true").returncode == 0
    (master,) = owners(PORT)
    stage.adopt(master)
    found = ssh_finding()
    control = f"{lab.directory}/control-{lab.user}@127.0.0.1:2222"
    assert details(found, "to", "control_path", "sessions") == (None, control, 0)
    assert "has overwritten its command line" in found["explanation"]
    assert "it stays for ControlPersist" in found["explanation"]
    assert found["confidence"] == "likely"
    clients = [session(lab), session(lab)]
    found = ssh_finding()
    assert details(found, "via", "sessions") == ("bastion", 2)
    assert remedy(found, "exit-master")["disrupts"] == "its 2 sessions and all its forwards"
    assert all(lives(client) for client in clients)


@pytest.mark.parametrize("path", ["~/.ssh/%C", "~/.ssh/%r@%h:%p", "%d/.ssh/cm-%n-%L-%u-%i"])
@private
def test_a_waiting_master_is_found_in_the_configuration_by_its_control_path(stage, path):
    home = private_home()
    lab = Lab(stage)
    config = lab.config.read_text().replace(f"{lab.directory}/control-%r@%h:%p", path)
    with open(f"{home}/.ssh/config", "w") as file:
        file.write(config + "    ControlMaster auto\n    ControlPersist 60\n    LocalForward 8080 db.example:5432\n")
        file.write("Host other\n    ControlPath ~/.ssh/other\n    LocalForward 8080 wrong:1\n")
    os.chmod(f"{home}/.ssh/config", 0o600)
    done = subprocess.run(
        [lab.ssh, "bastion", "true"], capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    lab.adopt_sessions()
    stage.adopt(*owners(PORT))
    found = ssh_finding()
    assert details(found, "to", "via", "source") == ("db.example:5432", "bastion", "config")
    carry_out(remedy(found, "cancel-forward"))
    gone()


@private
def test_a_control_socket_that_is_gone_can_not_be_told_anything(stage):
    lab = Lab(stage)
    background_master(stage, lab, "-L", "8080:db:1")
    os.unlink(f"{lab.directory}/control-{lab.user}@127.0.0.1:2222")
    found = ssh_finding()
    assert "which is gone" in found["explanation"]
    assert remedies(found) == ["stop-holder", "use-another-port"]


@private
def test_a_master_in_the_foreground_counts_its_own_session(stage):
    lab = Lab(stage)
    client = lab.start("-M", "-L", "8080:db:1", "bastion", "cat", then=PORT)
    session(lab)
    found = ssh_finding()
    assert found["holders"] == [client.pid]
    assert details(found, "sessions") == (2,)
    assert "stop-holder" not in remedies(found)


@private
def test_a_relative_control_path(stage):
    lab = Lab(stage)
    words = [lab.ssh, "-F", str(lab.config), "-M", "-S", "ctl", "-N", "-L", "8080:db:1", "bastion"]
    process = subprocess.Popen(words, cwd=lab.directory, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stage.adopt(process.pid)
    until(lambda: listens(PORT), "the listener")
    lab.adopt_sessions()
    found = ssh_finding()
    assert details(found, "control_path") == (f"{lab.directory}/ctl",)
    carry_out(remedy(found, "cancel-forward"))
    gone()
    process.send_signal(signal.SIGKILL)
    process.wait()
