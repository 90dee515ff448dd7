"""The client's side, with real ssh: where a forward leads, where it is written, who started it, on which terminal."""

import os
import pty
import shutil
import signal
import socket
import time

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
    text,
    until,
)
from staging import diagnosis, finding, needs_users, pids, private, situations

from inuse.demo import linux
from inuse.demo.stage import find_program as program
from inuse.demo.stagings import other_users


@private
def test_a_local_forward_on_the_command_line(stage):
    lab = Lab(stage)
    client = lab.start("-N", "-L", f"{PORT}:db.example:5432", "bastion", then=PORT)
    said = diagnosis(str(PORT))
    assert said["summary"].endswith(f"ssh (pid {client.pid}) forwards 127.0.0.1:8080 to db.example:5432")
    assert pids(said) == {client.pid}
    assert "application" not in situations(said)
    found = finding(said, "ssh-forward")
    assert found["confidence"] == "certain"
    assert details(found, "direction", "to", "via", "control_path") == ("local", "db.example:5432", "bastion", None)
    stop = remedy(found, "stop-holder")
    assert (stop["command"], stop["automatic"]) == (["kill", "-TERM", str(client.pid)], True)
    assert stop["disrupts"] == "the tunnel to db.example:5432"
    assert "TIME_WAIT is not what blocks a restart" in found["explanation"]
    os.kill(client.pid, signal.SIGTERM)
    client.process.wait()
    gone()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-N", "-L", "127.0.0.1:8080:[fe80::1]:5432"), ("local", "[fe80::1]:5432", "bastion")),
        (("-NgL8080:db:1",), ("local", "db:1", "bastion")),
        (("-N", "-L", "*:8080:db:1"), ("local", "db:1", "bastion")),
        (("-N", "-L", "[::1]:8080:db:https"), ("local", "db:443", "bastion")),
        (("-N", "-o", "LocalForward=8080 db:1"), ("local", "db:1", "bastion")),
        (("-N", "-L", "8080:/run/x.sock"), ("local", "/run/x.sock", "bastion")),
        (("-N", "-D", "8080"), ("dynamic", None, "bastion")),
        (("-N", "-o", "DynamicForward localhost:8080"), ("dynamic", None, "bastion")),
        (("-N", "-L", "8081:other:1", "-L", "8080:db:1"), ("local", "db:1", "bastion")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) and value[0].startswith("-") else "",
)
@private
def test_each_way_to_write_it(stage, words, expected):
    Lab(stage).start(*words, "bastion", then=PORT)
    found = ssh_finding()
    assert (found["confidence"], found["details"]["source"]) == ("certain", "command-line")
    assert details(found, "direction", "to", "via") == expected


@private
def test_options_after_the_host(stage):
    lab = Lab(stage)
    lab.start("bastion", "-N", "-L8080:db:1", then=PORT)
    assert details(ssh_finding(), "to", "via") == ("db:1", "bastion")


@private
def test_a_forward_of_the_configuration(stage):
    lab = Lab(stage, client="    LocalForward 127.0.0.1:8080 db.example:5432\n")
    lab.start("-N", "bastion", then=PORT)
    found = ssh_finding()
    assert found["confidence"] == "certain"
    assert details(found, "direction", "to", "via", "source") == ("local", "db.example:5432", "bastion", "config")
    assert found["details"]["config"].startswith(f"{lab.config}:")
    assert f"as {lab.config}:" in found["explanation"]


@private
def test_a_configuration_that_was_changed_since_is_not_believed(stage):
    lab = Lab(stage, client="    LocalForward 8080 db.example:5432\n")
    lab.start("-N", "bastion", then=PORT)
    lab.write_config("    LocalForward 8080 elsewhere:1\n")
    later = time.time() + 10
    os.utime(lab.config, (later, later))
    found = ssh_finding()
    assert found["confidence"] == "likely"
    assert "if that is what ssh read" in found["explanation"]


@private
def test_the_configuration_in_the_home_of_the_user_with_includes(stage):
    home = private_home()
    lab = Lab(stage)
    os.mkdir(f"{home}/.ssh/more")
    shutil.copy(lab.config, f"{home}/.ssh/more/10-hosts")
    with open(f"{home}/.ssh/more/20-forwards", "w") as more:
        more.write('match originalhost "bastion"\n LocalForward = 8080 db.example:5432\n')
    with open(f"{home}/.ssh/config", "w") as config:
        config.write("Include more/*\nHost other\n LocalForward 8080 wrong:1\n")
    for path in ("config", "more/10-hosts", "more/20-forwards"):
        os.chmod(f"{home}/.ssh/{path}", 0o600)
    os.environ["HOME"] = home
    client = stage.program(lab.ssh, "-N", "bastion")
    until(lambda: listens(PORT), "the listener")
    lab.adopt_sessions()
    said = diagnosis(str(PORT))
    assert pids(said) == {client.pid}
    found = finding(said, "ssh-forward")
    assert details(found, "to", "via", "config") == (
        "db.example:5432",
        "bastion",
        f"{home}/.ssh/more/20-forwards:2",
    )


@private
def test_included_files_are_found_by_environment_and_the_configuration_by_the_user(stage):
    """So does ssh: after `sudo` that keeps HOME the two differ."""
    home = private_home()
    lab = Lab(stage)
    elsewhere = lab.directory / "home"
    (elsewhere / ".ssh").mkdir(parents=True)
    (elsewhere / ".ssh" / "forwards").write_text("Host bastion\n LocalForward 8080 db.example:5432\n")
    with open(f"{home}/.ssh/forwards", "w") as wrong:
        wrong.write("Host bastion\n LocalForward 8080 wrong:1\n")
    with open(f"{home}/.ssh/config", "w") as config:
        config.write("Include forwards\n" + lab.config.read_text())
    for path in (elsewhere / ".ssh" / "forwards", f"{home}/.ssh/config", f"{home}/.ssh/forwards"):
        os.chmod(path, 0o600)
    os.environ["HOME"] = str(elsewhere)
    stage.program(lab.ssh, "-N", "bastion")
    until(lambda: listens(PORT), "the listener")
    lab.adopt_sessions()
    assert details(ssh_finding(), "to", "via") == ("db.example:5432", "bastion")


@private
def test_a_match_that_runs_a_command_is_neither_run_nor_believed(stage):
    lab = Lab(stage)
    ran = lab.directory / "ran"
    lab.config.write_text(
        lab.config.read_text() + f'Match exec "echo ran >>{ran}"\n    LocalForward 8080 db.example:5432\n'
    )
    lab.start("-N", "bastion", then=PORT)
    before = ran.read_text()
    found = ssh_finding()
    assert ran.read_text() == before
    assert (found["confidence"], found["details"]["to"]) == ("likely", "db.example:5432")


@private
def test_only_one_family_was_to_be_had(stage):
    server = stage.start("serve", PORT)
    server.hear()
    client = Lab(stage).start("-N", "-o", "ExitOnForwardFailure=yes", "-L", "8080:db:1", "bastion")
    until(lambda: owners(PORT, [client.pid]), "the listener on ::1")
    said = diagnosis(str(PORT))
    assert pids(said) == {server.pid, client.pid}
    found = finding(said, "ssh-forward")
    assert found["holders"] == [client.pid]
    assert "It has [::1]:8080 only: 127.0.0.1:8080 is python" in found["explanation"]
    assert finding(said, "application")["holders"] == [server.pid]


@private
def test_the_source_port_of_a_client_is_no_forward(stage):
    lab = Lab(stage)
    client = lab.start("-N", "-L", "8080:db:1", "bastion", then=PORT)
    with open("/proc/thread-self/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    port = next(int(row[1][-4:], 16) for row in rows if row[2].endswith(":08AE") and row[3] == "01")
    said = diagnosis(f"127.0.0.1:{port}")
    assert said["situation"] == "client-connection"
    assert pids(said) == {client.pid}


@private
def test_the_servers_own_port_is_no_forward(stage):
    lab = Lab(stage)
    lab.start("-N", "-L", "8080:db:1", "bastion", then=PORT)
    said = diagnosis("2222")
    assert "ssh-forward" not in situations(said)
    assert lab.server.pid in pids(said)


@private
def test_a_session_beside_the_forward_is_named_as_lost(stage):
    lab = Lab(stage)
    lab.start("-L", "8080:db:1", "-L", "8081:db:2", "bastion", "sleep 60", then=PORT)
    stop = remedy(ssh_finding(), "stop-holder")
    assert stop["disrupts"] == "the tunnel to db:1, its session on bastion and 1 other forward"


@private
def test_by_way_of_another_host(stage):
    """The ssh that goes to the first host (-W) is no holder."""
    lab = Lab(stage)
    lab.config.write_text(lab.config.read_text() + lab.config.read_text().replace("Host bastion", "Host inner"))
    client = lab.start("-J", "bastion", "-N", "-L", "8080:db:1", "inner", then=PORT)
    said = diagnosis(str(PORT))
    assert pids(said) == {client.pid}
    found = finding(said, "ssh-forward")
    assert details(found, "to", "via") == ("db:1", "inner")
    assert "comes out through inner (by way of bastion) at db:1" in found["explanation"]


@private
def test_hostile_words_on_its_command_line(stage):
    lab = Lab(stage)
    lab.start("-N", "-L", "8080:d\x1b[2J\nb:1", "bastion", then=PORT)
    assert ssh_finding()["details"]["to"] == "d\x1b[2J\nb:1"
    assert "\x1b" not in text()


# -- Terminals --------------------------------------------------------------------------------------


def in_terminal(stage, *command):
    """Start a command in a session and terminal of its own; returns its pid and the other end."""
    pid, terminal = pty.fork()
    if not pid:
        os.execv(command[0], command)
    stage.adopt(pid)
    return pid, terminal


@private
def test_a_terminal_that_is_open(stage):
    lab = Lab(stage)
    pid, terminal = in_terminal(stage, lab.ssh, "-F", str(lab.config), "-L", "8080:db:1", "bastion", "sleep 60")
    until(lambda: listens(PORT), "the listener")
    lab.adopt_sessions()
    found = ssh_finding()
    assert found["holders"] == [pid]
    assert found["details"]["terminal"] == "open"
    assert "Its terminal, /dev/pts/" in found["explanation"]
    assert "-KL 8080" in remedy(found, "escape-command")["title"]
    os.close(terminal)


@private
def test_a_terminal_that_has_gone(stage):
    lab = Lab(stage)
    words = f"trap '' HUP; {lab.ssh} -F {lab.config} -N -L 8080:db:1 bastion & sleep 60"
    shell, terminal = in_terminal(stage, program("sh"), "-c", words)
    until(lambda: listens(PORT), "the listener")
    lab.adopt_sessions()
    stage.adopt(*owners(PORT))
    os.close(terminal)
    os.kill(shell, signal.SIGKILL)
    os.waitpid(shell, 0)
    found = ssh_finding()
    assert found["details"]["terminal"] == "closed"
    assert "The terminal it was started on (/dev/pts/" in found["explanation"]
    assert "escape-command" not in remedies(found)


@private
def test_in_the_background(stage):
    lab = Lab(stage)
    assert lab.run("-f", "-N", "-L", "8080:db:1", "bastion").returncode == 0
    stage.adopt(*owners(PORT))
    assert situations(diagnosis(str(PORT))) == ["ssh-forward"]
    found = ssh_finding()
    assert found["details"]["terminal"] == "none"
    assert "It runs in the background (-f), on no terminal." in found["explanation"]


@private
def test_a_stopped_ssh_is_a_forward_first_and_stopped_second(stage):
    lab = Lab(stage)
    client = lab.start("-N", "-L", "8080:db:1", "bastion", then=PORT)
    os.kill(client.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, client.pid, os.WSTOPPED | os.WNOWAIT)
    said = diagnosis(str(PORT))
    assert situations(said) == ["ssh-forward", "suspended-process"]
    assert "stop-holder" not in remedies(finding(said, "ssh-forward"))


# -- What started it --------------------------------------------------------------------------------


@private
def test_autossh_is_what_has_to_end(stage):
    lab = Lab(stage)
    binary = "/usr/lib/autossh/autossh" if os.path.exists("/usr/lib/autossh/autossh") else program("autossh")
    os.environ.update(AUTOSSH_PATH=lab.ssh, AUTOSSH_GATETIME="0")
    words = ("-M", "0", "-F", str(lab.config), "-N", "-L", "8080:db:1", "bastion")
    supervisor = stage.program(binary, *words)
    until(lambda: listens(PORT), "the listener")
    lab.adopt_sessions()
    (first,) = owners(PORT)
    os.kill(first, signal.SIGKILL)
    until(lambda: set(owners(PORT)) - {first}, "a new ssh of autossh's")
    lab.adopt_sessions()
    stage.adopt(*owners(PORT))
    found = ssh_finding()
    assert found["details"]["started_by"] == f"autossh ({supervisor.pid})"
    assert "starts it again when it fails" in found["explanation"]
    assert "stop-holder" not in remedies(found)
    assert remedy(found, "stop-supervisor")["command"] == ["kill", "-TERM", str(supervisor.pid)]
    os.kill(supervisor.pid, signal.SIGTERM)
    supervisor.process.wait()
    gone()


@private
def test_the_ports_with_which_autossh_watches(stage):
    lab = Lab(stage)
    binary = "/usr/lib/autossh/autossh" if os.path.exists("/usr/lib/autossh/autossh") else program("autossh")
    os.environ.update(AUTOSSH_PATH=lab.ssh, AUTOSSH_GATETIME="0", AUTOSSH_POLL="600")
    supervisor = stage.program(binary, "-M", "20000", "-F", str(lab.config), "-N", "bastion")
    until(lambda: listens(20000) and listens(20001), "the ports of autossh")
    lab.adopt_sessions()
    stage.adopt(*owners(20000))
    for port in (20000, 20001):
        found = ssh_finding(port)
        assert found["details"]["purpose"] == "autossh-monitor", port
        assert remedy(found, "stop-supervisor")["command"] == ["kill", "-TERM", str(supervisor.pid)]


@private
def test_a_tunnel_of_an_editor(stage):
    lab = Lab(stage)
    code = lab.directory / "code"
    shutil.copy(os.path.realpath("/proc/self/exe"), code)
    code.chmod(0o755)
    words = repr([lab.ssh, "-F", str(lab.config), "-T", "-D", "8080", "bastion", "cat"])
    home = f"import subprocess, sys; subprocess.Popen({words}, stdin=subprocess.PIPE).wait()"
    os.environ["PYTHONHOME"] = os.path.dirname(os.path.dirname(os.__file__)).removesuffix("/lib")
    editor = stage.program(str(code), "-c", home)
    until(lambda: listens(PORT), "the listener")
    lab.adopt_sessions()
    stage.adopt(*owners(PORT))
    found = ssh_finding()
    assert found["details"]["started_by"] == f"code ({editor.pid})"
    assert f"VS Code (pid {editor.pid}) started it." in found["explanation"]
    assert remedies(found)[:2] == ["close-editor", "stop-holder"]


@private
def test_dbclient_of_dropbear(stage):
    lab = Lab(stage)
    key = lab.directory / "dropbear"
    convert = shutil.which("dropbearconvert") or "/usr/bin/dropbearconvert"
    if not os.path.exists(convert):
        pytest.skip("dropbearconvert is not installed")
    assert os.spawnl(os.P_WAIT, convert, convert, "openssh", "dropbear", str(lab.directory / "user"), str(key)) == 0
    words = ("-y", "-y", "-N", "-i", str(key), "-p", "2222", "-L", "127.0.0.1:8080:db.example:5432")
    client = stage.program(program("dbclient"), *words, f"{lab.user}@127.0.0.1")
    until(lambda: listens(PORT), "the listener of dbclient")
    lab.adopt_sessions()
    found = ssh_finding()
    assert found["holders"] == [client.pid]
    assert details(found, "direction", "to", "via") == ("local", "db.example:5432", "127.0.0.1")


# -- Who asks ---------------------------------------------------------------------------------------


@private
def test_an_ordinary_user_about_an_ssh_of_his_own(stage):
    needs_users()
    lab = Lab(stage)
    for name in ("user", "ssh_config"):
        os.chown(lab.directory / name, linux.NOBODY, linux.NOBODY)
    client = os.fork()
    if not client:
        linux.become_nobody()
        with open("/dev/null", "w") as null:
            os.dup2(null.fileno(), 2)
        os.execv(lab.ssh, [lab.ssh, "-F", str(lab.config), "-N", "-L", "8080:db:1", "bastion"])
    stage.adopt(client)
    until(lambda: listens(PORT), "the listener")
    lab.adopt_sessions()
    found = ssh_finding(enter=linux.become_nobody)
    assert details(found, "to", "via") == ("db:1", "bastion")
    stop = remedy(found, "stop-holder")
    assert not stop["needs_root"]


@private
def test_an_ordinary_user_about_somebody_elses_is_not_told_a_guess(stage):
    if not other_users():
        pytest.skip("needs real root")
    Lab(stage).start("-N", "-L", "8080:db:1", "bastion", then=PORT)
    said = diagnosis(str(PORT), enter=linux.become_nobody)
    assert said["situation"] == "hidden-holder"


@private
def test_a_program_that_calls_itself_ssh_is_not_believed(stage):
    """The file a process runs counts more than the name and command line that it gave itself."""
    code = (
        "import ctypes, socket, time\n"
        "ctypes.CDLL(None).prctl(15, b'ssh', 0, 0, 0)\n"
        "s = socket.create_server(('127.0.0.1', 8080)); say(ready=True); time.sleep(60)"
    )
    from staging import script

    script(stage, code, "-L", "8080:db:1", "bastion").hear()
    said = diagnosis(str(PORT))
    assert said["holders"][0]["name"] == "ssh"
    assert situations(said) == ["application"]


@private
def test_at_eighty_columns(stage):
    lab = Lab(stage)
    lab.start("-N", "-L", "8080:db.example:5432", "bastion", then=PORT)
    with socket.create_connection(("127.0.0.1", PORT)):
        said = text()
    assert "forwards 127.0.0.1:8080 to db.example:5432" in said
    assert "Traceback" not in said
