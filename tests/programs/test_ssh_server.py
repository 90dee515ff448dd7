"""The server's side, with real sshd: whose session holds a -R port, how long it is silent, and what will end it."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ssh_lab import PORT, Lab, details, gone, listens, owners, remedies, remedy, ssh_finding, text, until
from staging import diagnosis, finding, needs_users, pids, private, script, situations

from inuse.demo import linux
from inuse.demo.ssh import SERVER_PORT, ssh_forward_x11
from inuse.demo.stage import find_program as program

REMOTE = ("-N", "-R", "8080:localhost:3000", "bastion")


def freeze(client):
    os.kill(client.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, client.pid, os.WSTOPPED | os.WNOWAIT)


@private
def test_a_living_client(stage):
    lab = Lab(stage)
    lab.start(*REMOTE, then=PORT)
    (session,) = owners(PORT, lab.sessions())
    said = diagnosis(str(PORT))
    assert pids(said) == {session}
    assert lab.server.pid not in pids(said)
    found = finding(said, "ssh-forward")
    assert found["confidence"] == "certain"
    assert details(found, "direction", "to", "user", "own_session") == ("remote", None, lab.user, False)
    assert found["details"]["client"].startswith("127.0.0.1:")
    assert said["summary"].endswith(
        f"sshd (pid {session}) holds 127.0.0.1:8080 for the ssh -R of {lab.user} from 127.0.0.1"
    )
    assert "whether its end still lives can't be told from here" in found["explanation"]
    assert "TIME_WAIT is not what blocks a restart" in found["explanation"]
    assert "dead" not in found["explanation"]


@private
def test_a_frozen_client_keeps_the_port_and_a_second_client_is_refused(stage):
    """The listener stays with the session: not TIME_WAIT, and ending that session frees the port at once."""
    lab = Lab(stage)
    client = lab.start(*REMOTE, then=PORT)
    freeze(client)
    second = lab.run("-o", "ExitOnForwardFailure=yes", *REMOTE)
    assert second.returncode == 255
    assert "remote port forwarding failed for listen port 8080" in second.stderr
    found = ssh_finding()
    assert remedies(found)[:2] == ["end-client", "stop-holder"]
    stop = remedy(found, "stop-holder")
    (session,) = owners(PORT, lab.sessions())
    assert stop["command"] == ["kill", "-TERM", str(session)]
    assert stop["disrupts"] == f"the session of {lab.user} from 127.0.0.1"
    subprocess.run(stop["command"], check=True)
    gone()
    third = lab.start("-o", "ExitOnForwardFailure=yes", *REMOTE, then=PORT)
    assert third.process.poll() is None
    assert lab.server.process.poll() is None


@private
def test_silence_is_measured(stage):
    lab = Lab(stage)
    client = lab.start(*REMOTE, then=PORT)
    freeze(client)
    before = ssh_finding()["details"]["silent_seconds"]
    time.sleep(2.1)
    after = ssh_finding()["details"]["silent_seconds"]
    assert after - before == 2


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", "sshd itself does not ask whether the client lives (ClientAliveInterval is 0, off)."),
        ("", "TCP keepalive ends it after 2 h 11 min if the client's computer no longer answers"),
        ("ClientAliveInterval 15", "more than 3 are unanswered: 45 to 60 s after the client was last heard."),
        ("ClientAliveInterval 1m\nClientAliveCountMax 1", "more than 1 are unanswered: 60 to 120 s after"),
        ("ClientAliveInterval 15\nClientAliveCountMax 0", "ends nothing (ClientAliveCountMax is 0)."),
        ("Match User nobody\nClientAliveInterval 15", "is 0, off), unless a Match block says otherwise."),
        ("Match all\nClientAliveInterval 15", "45 to 60 s after the client was last heard."),
        ("TCPKeepAlive no", "TCP keepalive is off too: unless something is sent to the client, nothing ends it."),
    ],
)
@private
def test_what_will_end_it_and_when(stage, settings, expected):
    Lab(stage, server=settings).start(*REMOTE, then=PORT)
    found = ssh_finding()
    assert expected in found["explanation"]
    off = "ClientAliveInterval 1" not in settings or settings.startswith("Match User")
    assert (remedy(found, "client-alive-interval") is not None) == off


@private
def test_settings_in_an_included_file_and_on_sshds_own_command_line(stage):
    lab = Lab(stage, server="Include /tmp/no-such-file-*\n")
    extra = lab.directory / "more.conf"
    extra.write_text("ClientAliveInterval 20\n")
    config = lab.directory / "sshd_config"
    config.write_text(f"Include {extra}\n" + config.read_text().replace("2222", "2223"))
    server = stage.program(program("sshd"), "-D", "-e", "-o", "ClientAliveCountMax=1", "-f", str(config))
    until(lambda: listens(2223), "the second sshd")
    lab.start("-p", "2223", *REMOTE)
    until(lambda: listens(PORT), "the listener")
    (session,) = owners(PORT)
    stage.adopt(session)
    found = ssh_finding()
    assert details(found, "client_alive_interval", "client_alive_count_max") == (20, 1)
    assert "20 to 40 s after" in found["explanation"]
    assert server.process.poll() is None


@private
def test_settings_that_were_changed_since_sshd_started(stage):
    lab = Lab(stage)
    lab.start(*REMOTE, then=PORT)
    config = lab.directory / "sshd_config"
    config.write_text("ClientAliveInterval 15\n" + config.read_text())
    later = time.time() + 10
    os.utime(config, (later, later))
    assert "as its settings are now" in ssh_finding()["explanation"]


@private
def test_the_network_of_the_client_is_cut(stage):
    """No FIN arrives: what sshd sends is not acknowledged any more."""
    lab = Lab(stage, server="ClientAliveInterval 1\nClientAliveCountMax 60")
    client = lab.start(*REMOTE, then=PORT)
    chain = "type filter hook input priority 0\ntcp dport 2222 drop\ntcp sport 2222 drop"
    rules = f"table ip cut {{\nchain cut {{\n{chain}\n}}\n}}\n"
    if subprocess.run([program("nft"), "-f", "-"], input=rules.encode(), check=False, capture_output=True).returncode:
        pytest.skip("no nftables here")
    client.process.kill()
    client.process.wait()
    (session,) = owners(PORT, lab.sessions())

    def retransmitted():
        count = ssh_finding()["details"]["retransmits"]
        return count is not None and count >= 2

    until(retransmitted, "retransmissions")
    found = ssh_finding()
    assert found["holders"] == [session]
    assert "is not acknowledged" in found["explanation"]
    assert "seems gone" in found["explanation"]
    assert "sshd asks after every 1 s of silence" in found["explanation"]
    assert "60 to 61 s after the client was last heard" in found["explanation"]
    assert "TCP gives up about 15 min after the first loss" in found["explanation"]
    assert listens(PORT)


@private
def test_sshd_ends_it_itself_as_was_said(stage):
    lab = Lab(stage, server="ClientAliveInterval 1\nClientAliveCountMax 1")
    client = lab.start(*REMOTE, then=PORT)
    freeze(client)
    assert "1 to 2 s after the client was last heard" in ssh_finding()["explanation"]
    start = time.monotonic()
    gone()
    assert time.monotonic() - start < 5


@private
def test_a_session_with_a_terminal_is_not_ended_without_a_person(stage):
    lab = Lab(stage)
    if os.geteuid() != 0:
        pytest.skip("an sshd without root can't give a terminal here")
    lab.start("-tt", "-R", "8080:localhost:3000", "bastion", "sleep 60", then=PORT)
    until(lambda: ssh_finding()["details"]["tty"] is not None, "the terminal")
    found = ssh_finding()
    assert found["details"]["tty"].startswith("pts/")
    stop = remedy(found, "stop-holder")
    assert not stop["automatic"]
    assert "with what runs in it" in stop["disrupts"]


@private
def test_a_session_outlives_the_sshd_that_accepted_it(stage):
    """So it is when sshd is restarted; what that sshd had read is not known any more."""
    lab = Lab(stage)
    lab.start(*REMOTE, then=PORT)
    (session,) = owners(PORT, lab.sessions())
    lab.server.process.kill()
    lab.server.process.wait()
    said = diagnosis(str(PORT))
    assert (situations(said), pids(said)) == (["ssh-forward"], {session})
    found = finding(said, "ssh-forward")
    assert found["details"]["user"] == lab.user
    assert any(
        words in found["explanation"]
        for words in ("as its settings are now", "the settings were others", "could not be read")
    )


@private
def test_x11_forwarding_is_told_from_a_remote_forward(stage):
    staged = ssh_forward_x11(stage)
    found = ssh_finding(6010)
    assert found["holders"] == list(staged.pids)
    assert details(found, "direction", "purpose") == ("remote", "x11")
    assert found["confidence"] == "certain"
    assert "as the X11 display" in found["title"]


@private
def test_a_remote_forward_in_the_range_of_displays_is_not_sure(stage):
    Lab(stage).start("-N", "-R", "6011:localhost:3000", "bastion", then=6011)
    found = ssh_finding(6011)
    assert (found["confidence"], found["details"]["purpose"]) == ("likely", None)


@private
def test_the_session_we_are_in_is_not_offered_for_ending(stage):
    lab = Lab(stage)
    src = Path(__file__).parents[2] / "src"
    python = os.path.realpath("/proc/self/exe")
    paths = os.pathsep.join(path for path in os.sys.path if path)
    ask = f"PYTHONPATH={src}:{paths} {python} -m inuse 8080 --json"
    done = lab.run("-R", "8080:localhost:3000", "bastion", ask)
    import json

    found = json.loads(done.stdout)["findings"][0]
    assert found["details"]["own_session"] is True
    assert "It is the session you are in now." in found["explanation"]
    assert "stop-holder" not in remedies(found)


@private
def test_the_port_of_the_sshd_we_came_through(stage):
    lab = Lab(stage)
    src = Path(__file__).parents[2] / "src"
    python = os.path.realpath("/proc/self/exe")
    paths = os.pathsep.join(path for path in os.sys.path if path)
    done = lab.run("bastion", f"PYTHONPATH={src}:{paths} {python} -m inuse {SERVER_PORT} --json; echo $PPID >&2")
    import json

    said = json.loads(done.stdout)
    session = int(done.stderr.split()[-1])
    assert session in {holder["pid"] for holder in said["holders"]}
    for way in said["findings"][0]["remedies"]:
        assert str(session) not in (way["command"] or ())


@private
def test_another_users_session(stage):
    """The user's part, not the part with rights, holds the listener."""
    needs_users()
    lab = Lab(stage, user="nobody")
    if pwd.getpwnam("nobody").pw_uid != linux.NOBODY:
        pytest.skip("nobody has another number here")
    shutil.copy(lab.directory / "user.pub", lab.directory / "keys")
    lab.start(*REMOTE, then=PORT)
    (session,) = owners(PORT, lab.sessions())
    said = diagnosis(str(PORT))
    assert pids(said) == {session}
    assert said["holders"][0]["user"] == "nobody"
    found = finding(said, "ssh-forward")
    assert found["details"]["user"] == "nobody"
    assert found["details"]["client_alive_interval"] == 0
    subprocess.run(remedy(found, "stop-holder")["command"], check=True)
    gone()


@private
def test_an_ordinary_user_is_not_told_more_than_can_be_seen(stage):
    needs_users()
    Lab(stage).start(*REMOTE, then=PORT)
    said = diagnosis(str(PORT), enter=linux.become_nobody)
    assert (said["situation"], said["holders"]) == ("hidden-holder", [])


@private
def test_dropbears_session(stage):
    lab = Lab(stage)
    key = lab.directory / "dropbear_host"
    binary = program("dropbear")
    if os.geteuid() != 0:
        pytest.skip("dropbear looks into the home directory of the user")
    home = linux_home(stage)
    shutil.copy(lab.directory / "user.pub", f"{home}/.ssh/authorized_keys")
    os.chmod(f"{home}/.ssh/authorized_keys", 0o600)
    maker = program("dropbearkey")
    subprocess.run([maker, "-t", "ed25519", "-f", str(key)], check=True, capture_output=True)
    server = stage.program(binary, "-F", "-E", "-s", "-r", str(key), "-p", "127.0.0.1:2224", "-P", "/dev/null")
    until(lambda: listens(2224), "dropbear")
    lab.start("-p", "2224", *REMOTE)
    until(lambda: listens(PORT), "the listener")
    (session,) = owners(PORT)
    stage.adopt(session)
    assert session != server.pid
    found = ssh_finding()
    assert found["holders"] == [session]
    assert found["details"]["direction"] == "remote"
    assert "ssh-forward" not in situations(diagnosis("2224"))
    subprocess.run(remedy(found, "stop-holder")["command"], check=True)
    gone()
    assert server.process.poll() is None


def linux_home(stage):
    from ssh_lab import private_home

    home = private_home()
    os.chmod(home, 0o700)
    return home


@private
def test_a_program_with_the_title_of_a_session_is_not_believed(stage):
    code = (
        "import ctypes, socket, time\n"
        "ctypes.CDLL(None).prctl(15, b'sshd', 0, 0, 0)\n"
        "s = socket.create_server(('127.0.0.1', 8080)); say(ready=True); time.sleep(60)"
    )
    script(stage, code).hear()
    assert situations(diagnosis(str(PORT))) == ["application"]


@private
def test_at_eighty_columns(stage):
    Lab(stage).start(*REMOTE, then=PORT)
    said = text()
    assert "holds 127.0.0.1:8080 for the ssh -R of" in said
    assert "End that one session" in said
