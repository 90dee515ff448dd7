"""What is made of what was seen of a serial device, on scenes made by hand."""

import json

import msgspec
import pytest
from msgspec.structs import replace

from inuse.diagnosis import explain
from inuse.evidence.device import (
    Device,
    DeviceSeen,
    FileLock,
    LockFile,
    Neighbour,
    OpenAnswer,
    OpenDevice,
    PppLink,
    UdevRule,
    UdevSeen,
)
from inuse.evidence.sleep import Sleep, Sleeper
from inuse.model import Host, Options, Parent, Process, Scene, Target, Unit, Unseen
from inuse.render import text
from inuse.render.json import render, schema
from inuse.scene import View

FREE = OpenAnswer()
BUSY = OpenAnswer(errno="EBUSY")
PATH = "/dev/ttyUSB0"


def usb(**facts):
    row = {
        "path": PATH,
        "node": PATH,
        "name": "ttyUSB0",
        "major": 188,
        "minor": 0,
        "kind": "usb",
        "driver": "ch341",
        "vendor": "QinHeng",
        "product": "CH340",
        "vendor_id": "1a86",
        "product_id": "7523",
        "user": "root",
        "uid": 0,
        "group": "dialout",
        "gid": 20,
        "mode": 0o660,
    }
    return Device(**{**row, **facts})


def process(pid=12, name="picocom", **facts):
    return Process(**{"pid": pid, "start_ticks": 5, "name": name, "uid": 1000, "user": "anna", **facts})


def has(pid=12, fd=3, **facts):
    return OpenDevice(**{"pid": pid, "fd": fd, "path": PATH, "exclusive": False, "cloexec": True, **facts})


def scene(*processes, device=None, answer=FREE, uid=1000, target=PATH, **seen):
    opened = seen.pop("open_by", tuple(has(p.pid) for p in processes))
    more = {name: seen.pop(name) for name in ("units", "unseen", "sleep", "options") if name in seen}
    return Scene(
        target=Target(text=target, kind="device", device=target),
        processes=processes,
        device=DeviceSeen(device=device or usb(), answer=answer, open_by=opened, **seen),
        host=Host(asker_uid=uid),
        **more,
    )


def said(made):
    """Diagnose, and try on it what every answer has to stand: a saved scene, JSON by the schema, text."""
    found = explain(View(made))
    assert explain(View(msgspec.json.decode(msgspec.json.encode(made), type=Scene))) == found
    assert json.loads(render(found))
    told = text.render(found)
    assert all(
        len(line) <= 80 or "$ " in line or line.lstrip().startswith(("/", "sh ")) for line in told.split("\n")
    ), told
    return found


def situations(found):
    return [finding.situation for finding in found.findings]


def commands(finding):
    return [remedy.command for remedy in finding.remedies if remedy.command]


# -- The verdict ----------------------------------------------------------------------------------


def test_nobody_has_it_and_an_open_would_succeed():
    found = said(scene())
    assert (found.verdict, found.situation, found.error, found.findings) == ("free", "free", None, ())
    assert found.summary == "/dev/ttyUSB0 is free: a USB serial device (QinHeng CH340, 1a86:7523, driver ch341)"


def test_somebody_has_it_and_an_open_would_succeed_all_the_same():
    found = said(scene(process()))
    assert (found.verdict, found.situation, found.error) == ("in_use", "serial-open", None)
    [holder] = found.holders
    [held] = holder.devices
    assert (holder.pid, holder.sockets, held.path, held.fd, held.exclusive) == (12, (), PATH, 3, False)


def test_somebody_is_alone_on_it():
    found = said(scene(process(), open_by=(has(exclusive=True),), answer=BUSY))
    assert (found.verdict, found.error.call, found.error.errno) == ("in_use", "open", "EBUSY")
    assert found.findings[0].details["exclusive"] is True
    assert "has  /dev/ttyUSB0 open, exclusively, descriptor 3" in text.render(found)


def test_root_gets_past_what_stops_the_others():
    answer = OpenAnswer(others="EBUSY")
    found = said(scene(process(), open_by=(has(exclusive=True),), answer=answer, uid=0))
    assert found.error is None
    assert "Root gets past that" in found.findings[0].explanation


def test_who_only_has_a_lock_is_a_holder_without_a_descriptor():
    locked = scene(process(), open_by=(), file_locks=(FileLock(kind="flock", mode="write", pid=12),))
    [holder] = said(locked).holders
    assert (holder.pid, holder.sockets) == (12, ())
    assert [(one.fd, one.lock) for one in holder.devices] == [(None, "flock")]


def test_what_is_no_serial_device_is_not_judged():
    found = said(scene(device=Device(path="/dev/null", is_tty=False, what="the null device"), target="/dev/null"))
    assert (found.verdict, found.situation) == ("unknown", "unknown")
    assert found.summary == "/dev/null: could not find out: it is the null device, no serial device"


def test_nobody_is_not_said_where_not_everybody_could_be_looked_at():
    hidden = Unseen(what="holders", why="3 processes of root may not be looked at", needs="sudo", uids=(0,))
    found = said(scene(answer=OpenAnswer(known=False), unseen=(hidden,)))
    assert found.verdict == "unknown"
    assert found.limits[0] == "3 processes of root may not be looked at (what would show it: sudo)"
    opened = said(scene(answer=OpenAnswer(by="kernel"), unseen=(hidden,)))
    assert opened.verdict == "free", "it was really opened"
    assert opened.limits


def test_a_refusal_that_nothing_explains():
    found = said(scene(answer=BUSY))
    assert (found.verdict, found.error.errno) == ("unknown", "EBUSY")
    assert "EBUSY" in found.summary


def test_what_could_not_be_asked_is_said():
    found = said(scene(process(), open_by=(has(exclusive=None),), answer=OpenAnswer(known=False)))
    assert any("TIOCEXCL" in limit for limit in found.limits)
    assert any("open() would answer is not known" in limit for limit in found.limits)
    assert "can't be seen from here" in found.findings[0].explanation


def test_the_schema_knows_devices():
    assert "devices" in schema()["$defs"]["Holder"]["required"]


# -- serial-open ----------------------------------------------------------------------------------


def test_two_readers_at_once():
    found = said(scene(process(), process(13, "cat")))
    assert found.summary == "/dev/ttyUSB0 is in use: picocom (pid 12) and cat (pid 13) have /dev/ttyUSB0 open at once"
    assert "each byte that arrives goes to whichever program reads first" in found.findings[0].explanation
    assert commands(found.findings[0]) == [("kill", "-TERM", "12", "13")]


def test_a_child_that_was_given_it_is_no_second_reader():
    found = said(scene(process(), process(13, "cat", ppid=12)))
    assert "at once" not in found.summary
    assert found.findings[0].holders == (12, 13)


@pytest.mark.parametrize(
    ("name", "words", "way"),
    [
        ("picocom", ("picocom", PATH), "Ctrl-A, then Ctrl-X"),
        ("minicom", ("minicom",), "Ctrl-A, then X"),
        ("screen", ("SCREEN", PATH), "Ctrl-A, then K"),
        ("cu", ("cu", "-l", "ttyUSB0"), "~."),
        ("tio", ("tio", PATH), "Ctrl-T, then Q"),
        ("python3", ("python3", "-m", "serial.tools.miniterm", PATH), "Ctrl-]"),
        ("python3", ("python3", "/usr/bin/miniterm.py", PATH), "Ctrl-]"),
    ],
)
def test_a_terminal_program_is_ended_its_own_way_first(name, words, way):
    finding = said(scene(process(name=name, cmdline=words, tty=0x8803))).findings[0]
    assert finding.remedies[0].id == "quit-program"
    assert way in finding.remedies[0].title
    assert "on pts/3" in finding.remedies[0].title
    assert finding.remedies[0].command is None


def test_where_it_was_started():
    made = process(tty=0x8803, parents=(Parent(pid=9, name="bash"), Parent(pid=8, name="sshd")))
    assert "was started from bash (pid 9) on pts/3" in said(scene(made)).findings[0].explanation


@pytest.mark.parametrize(("number", "place"), [(0x8803, "pts/3"), (0x0402, "tty2"), (0x0441, "ttyS1"), (0, None)])
def test_the_terminal_of_a_process(number, place):
    assert said(scene(process(tty=number))).findings[0].details["terminal"] == place


def test_a_service_is_stopped_by_its_unit():
    made = process(unit="octoprint.service", name="python3")
    finding = said(scene(made)).findings[0]
    assert (finding.situation, finding.remedies[0].command) == (
        "serial-open",
        ("systemctl", "stop", "octoprint.service"),
    )
    assert not any(command[0] == "kill" for command in commands(finding))


def test_a_program_on_the_device_of_before_it_was_unplugged():
    found = said(scene(process(), open_by=(has(deleted=True, other_node=True, exclusive=None),)))
    finding = found.findings[0]
    assert finding.details["old_node"]
    assert finding.title == "picocom (pid 12) has the /dev/ttyUSB0 open that was unplugged"
    assert [remedy.id for remedy in finding.remedies][-1] == "plug-in-again"
    assert found.holders[0].devices[0].current is False
    assert not any("TIOCEXCL" in limit for limit in found.limits), "the old one stops nobody"


def test_a_line_that_was_hung_up_under_a_program():
    found = said(scene(process(), open_by=(has(hung_up=True, exclusive=None),)))
    assert "hung up" in found.summary
    assert "stops nobody" in found.findings[0].explanation
    assert not any(remedy.id == "plug-in-again" for remedy in found.findings[0].remedies)


def test_the_terminal_somebody_works_in():
    pts = Device(path="/dev/pts/3", node="/dev/pts/3", name="pts/3", major=136, minor=3, kind="pty")
    made = scene(process(name="bash"), device=pts, open_by=(has(fd=0, controlling=True, path="/dev/pts/3"),))
    assert "is its terminal" in said(made).findings[0].title


def test_who_made_a_pseudo_terminal_is_not_one_of_its_users():
    pts = Device(path="/dev/pts/3", node="/dev/pts/3", name="pts/3", major=136, minor=3, kind="pty", peer=(11,))
    found = said(scene(process(11, "socat"), process(), device=pts))
    assert "picocom (pid 12) has" in found.findings[0].title
    assert "socat (pid 11) made this pseudo-terminal" in found.findings[0].explanation
    assert commands(found.findings[0]) == [("kill", "-TERM", "12")]
    assert {holder.pid for holder in found.holders} == {11, 12}


def test_the_terminal_of_somebody_who_may_not_be_looked_at():
    found = said(scene(controlled_by=(77,), answer=OpenAnswer(known=False)))
    assert (found.verdict, found.situation, found.findings[0].confidence) == ("in_use", "serial-open", "likely")
    assert "pid 77" in found.summary


# -- Conditions -----------------------------------------------------------------------------------


def test_a_stopped_program_comes_before_what_it_has_open():
    found = said(scene(process(state="stopped")))
    assert situations(found) == ["suspended-process", "serial-open"]
    assert "still has /dev/ttyUSB0 open" in found.summary
    assert not any(remedy.id == "use-another-port" for finding in found.findings for remedy in finding.remedies)
    assert "port" not in found.findings[0].explanation


def orphan(**facts):
    return process(
        **{"name": "python3", "forked_only": True, "ppid": 1, "session": 4, "session_leader_alive": True, **facts}
    )


@pytest.mark.parametrize(
    ("facts", "held", "inherited"),
    [
        ({}, {}, True),
        ({"ppid": 5}, {}, False),
        ({}, {"cloexec": True}, False),
        ({}, {"fd": 1}, False),
        ({}, {"controlling": True}, False),
        ({"session": 12}, {}, False),
        ({"unit": "reader.service"}, {}, False),
        ({"session_leader_alive": False}, {}, False),  # daemon(7)
        ({"forked_only": False, "name": "sleep", "exe": "/usr/bin/sleep"}, {}, True),
        ({"forked_only": False, "name": "cat", "exe": "/usr/bin/cat"}, {}, False),
        ({"forked_only": False, "exe": "/usr/bin/python3.12"}, {}, True),
    ],
)
def test_a_child_that_was_left_with_it(facts, held, inherited):
    made = scene(orphan(**facts), open_by=(has(**{"cloexec": False, **held}),))
    assert ("inherited" in situations(said(made))) == inherited


def test_who_opened_it_answers_for_a_child():
    made = scene(orphan(), process(13), open_by=(has(cloexec=False), has(13)))
    assert "inherited" not in situations(said(made))


@pytest.mark.parametrize(("asleep", "confidence"), [(600.0, "likely"), (None, "possible"), (0.0, None)])
def test_a_device_of_before_the_sleep(asleep, confidence):
    sleep = Sleep(total_seconds=900.0, sleepers=(Sleeper(pid=12, age_seconds=5000.0, asleep_seconds=asleep),))
    found = said(scene(process(), open_by=(has(other_node=True),), sleep=sleep))
    told = next((finding for finding in found.findings if finding.situation == "sleep-resume"), None)
    assert (told and told.confidence) == confidence


def test_a_device_that_is_still_the_same_did_not_die_of_the_sleep():
    sleep = Sleep(total_seconds=900.0, sleepers=(Sleeper(pid=12, age_seconds=5000.0, asleep_seconds=600.0),))
    assert situations(said(scene(process(), sleep=sleep))) == ["serial-open"]


# -- device-daemon --------------------------------------------------------------------------------


def daemon(name, exe=None, **facts):
    return process(name=name, exe=exe or f"/usr/sbin/{name}", uid=0, user="root", **facts)


def test_modemmanager_and_the_rule_that_keeps_it_off():
    made = scene(daemon("ModemManager", unit="ModemManager.service"), open_by=(has(exclusive=True),), answer=BUSY)
    found = said(made)
    finding = found.findings[0]
    rule = 'ATTRS{idVendor}=="1a86", ATTRS{idProduct}=="7523", ENV{ID_MM_DEVICE_IGNORE}="1"'
    file = "/etc/udev/rules.d/78-mm-ignore-1a86-7523.rules"
    assert situations(found) == ["device-daemon"]
    assert finding.details["setting"] == {"file": file, "line": rule}
    assert [remedy.id for remedy in finding.remedies] == ["wait", "stop-unit", "modemmanager-leave-device-alone"]
    assert (
        finding.remedies[2].command[2]
        == f'echo "{rule.replace(chr(34), chr(92) + chr(34))}" > {file} && udevadm control --reload'
    )
    assert finding.remedies[1].command == ("systemctl", "stop", "ModemManager.service")
    assert finding.remedies[2].needs_root


def test_the_rule_can_be_typed_as_it_stands(tmp_path):
    import subprocess

    finding = said(scene(daemon("ModemManager"))).findings[0]
    command = next(c for c in commands(finding) if c[0] == "sh")[2].replace("/etc/udev/rules.d", str(tmp_path))
    subprocess.run(["/bin/sh", "-c", command.partition(" && ")[0]], check=True)
    [made] = tmp_path.iterdir()
    assert made.read_text() == finding.details["setting"]["line"] + "\n"


def test_a_port_without_usb_numbers_is_named_by_its_name():
    made = scene(daemon("ModemManager"), device=usb(vendor_id=None, product_id=None, name="ttyS1", kind="on-board"))
    assert said(made).findings[0].details["setting"]["line"] == 'KERNEL=="ttyS1", ENV{ID_MM_PORT_IGNORE}="1"'


@pytest.mark.parametrize("name", ['x"; reboot; "', "x y", "$(reboot)", "-rf", "x\ny"])
def test_a_name_never_becomes_a_command(name):
    hostile = usb(vendor_id=name, product_id=name, name=name, node=name)
    for program in ("ModemManager", "gpsd", "rfcomm", "agetty"):
        made = scene(daemon(program, unit=None), device=hostile)
        assert not any(name in word for command in commands(said(made).findings[0]) for word in command)


def test_brltty_and_the_rule_that_hands_it_the_device():
    rules = "/usr/lib/udev/rules.d/90-brltty-usb-generic.rules"
    made = scene(daemon("brltty"), udev=UdevSeen(brltty=rules, rules=(UdevRule(path=rules, line=8, text="ENV{X}"),)))
    finding = said(made).findings[0]
    assert ("ln", "-s", "/dev/null", "/etc/udev/rules.d/90-brltty-usb-generic.rules") in commands(finding)
    assert ("systemctl", "mask", "brltty.path") in commands(finding)
    assert f"{rules}, line 8: ENV{{X}}" in finding.evidence
    assert not any("remove" in remedy.title or "purge" in remedy.title for remedy in finding.remedies)


def test_a_login_prompt_of_a_service():
    unit = Unit(name="serial-getty@ttyS0.service", restart="always")
    made = scene(
        daemon("agetty", unit="serial-getty@ttyS0.service"),
        device=usb(path="/dev/ttyS0", name="ttyS0", kind="on-board"),
        console="console=ttyS0,115200",
        units=(unit,),
        target="/dev/ttyS0",
    )
    finding = said(made).findings[0]
    assert commands(finding) == [
        ("systemctl", "stop", "serial-getty@ttyS0.service"),
        ("systemctl", "mask", "serial-getty@ttyS0.service"),
    ]
    assert "console=ttyS0,115200" in finding.explanation
    assert "Restart=always" in finding.explanation
    assert finding.remedies[-1].id == "no-console"


def test_a_login_prompt_that_init_starts_again_is_not_to_be_killed():
    finding = said(scene(daemon("agetty", ppid=1))).findings[0]
    assert commands(finding) == []
    assert "inittab" in finding.remedies[0].title


def test_gpsd_lets_go_of_one_device():
    finding = said(scene(daemon("gpsd", unit="gpsd.service"))).findings[0]
    assert commands(finding)[:2] == [
        ("gpsdctl", "remove", PATH),
        ("systemctl", "stop", "gpsd.socket", "gpsd.service"),
    ]
    assert any("USBAUTO" in remedy.title for remedy in finding.remedies)


def test_a_driver_of_nut():
    finding = said(scene(daemon("blazer_ser", "/usr/lib/nut/blazer_ser", unit="nut-driver@myups.service"))).findings[0]
    assert finding.details["daemon"] == "nut"
    assert "power fails" in finding.remedies[0].disrupts


def test_a_program_by_the_name_of_a_daemon_is_told_by_its_file():
    made = scene(process(name="gpsd", exe="/home/anna/gpsd-test"))
    assert situations(said(made))[0] == "device-daemon"
    made = scene(process(name="MainThread", exe="/usr/sbin/gpsd"))
    assert said(made).findings[0].details["daemon"] == "gpsd"


def test_a_daemon_and_a_program_at_once():
    found = said(scene(process(), daemon("ModemManager", pid=40)))
    assert situations(found) == ["device-daemon", "serial-open"]
    assert [list(finding.holders) for finding in found.findings] == [[40], [12]]


def test_a_stopped_daemon_is_a_daemon_first():
    assert situations(said(scene(daemon("gpsd", state="stopped")))) == ["device-daemon", "suspended-process"]


# -- pppd -----------------------------------------------------------------------------------------


def ppp(**facts):
    return PppLink(**{"pid": 12, "peer": "office", "file": "/etc/ppp/peers/office", **facts})


def test_a_link_that_is_up():
    made = scene(daemon("pppd"), ppp=(ppp(interface="ppp0", up=True, remote="10.64.64.64"),))
    finding = said(made).findings[0]
    assert finding.title == "pppd (pid 12) runs the link to office over /dev/ttyUSB0, interface ppp0, which is up"
    assert "10.64.64.64" in finding.explanation
    assert finding.details["ppp"] == {
        "peer": "office",
        "interface": "ppp0",
        "up": True,
        "remote": "10.64.64.64",
        "by": None,
        "dialling": None,
    }
    assert commands(finding)[0] == ("poff", "office")


def test_a_link_that_is_being_dialled():
    chat = process(14, "chat", ppid=13, parents=(Parent(pid=13, name="sh"), Parent(pid=12, name="pppd")))
    made = scene(daemon("pppd"), process(13, "sh", ppid=12), chat, ppp=(ppp(dialling=14, persistent=True),))
    assert situations(said(made)) == ["device-daemon"]
    finding = said(made).findings[0]
    assert finding.title == "pppd (pid 12) is dialling to office over /dev/ttyUSB0"
    assert "dials again" in finding.explanation
    assert set(finding.holders) == {12, 13, 14}
    assert not any("14" in command for command in commands(finding))
    assert "at once" not in finding.explanation


def test_a_link_of_networkmanager():
    made = scene(daemon("pppd"), ppp=(PppLink(pid=12, by="NetworkManager", interface="ppp0", up=False),))
    assert ("nmcli", "device", "disconnect", "ttyUSB0") in commands(said(made).findings[0])


def test_a_link_of_wvdial_is_ended_where_it_was_begun():
    made = scene(daemon("pppd", parents=(Parent(pid=9, name="wvdial"),)), ppp=(PppLink(pid=12, by="wvdial"),))
    assert commands(said(made).findings[0])[0] == ("kill", "-TERM", "9")


def test_a_peer_whose_name_could_be_a_command():
    hostile = "x; reboot"
    made = scene(daemon("pppd"), ppp=(ppp(peer=hostile, file=f"/etc/ppp/peers/{hostile}"),))
    assert not any(hostile in word for command in commands(said(made).findings[0]) for word in command)


def test_which_port_of_a_modem_is_whose():
    other = usb(path="/dev/ttyUSB2", name="ttyUSB2", interface="02")
    made = replace(
        scene(daemon("pppd"), ppp=(ppp(),), role="PPP data"),
        processes=(daemon("pppd"), daemon("ModemManager", pid=40)),
    )
    near = (Neighbour(device=other, holders=(40,), role="AT commands (first)"),)
    made = replace(made, device=replace(made.device, neighbours=near))
    told = said(made).findings[0].explanation
    assert "/dev/ttyUSB0 is its port for PPP data." in told
    assert "/dev/ttyUSB2 (AT commands (first)): ModemManager (pid 40)" in told


# -- device-permission ----------------------------------------------------------------------------

DENIED = OpenAnswer(errno="EACCES")


def test_a_group_to_join():
    found = said(scene(answer=DENIED, asker_groups=(1000,), asker="anna"))
    finding = found.findings[0]
    assert (found.verdict, found.situation, found.error.errno) == ("blocked", "device-permission", "EACCES")
    assert finding.remedies[0].command == ("usermod", "-aG", "dialout", "anna")
    assert "log out and in again" in finding.remedies[0].title
    assert any("uaccess" in command[-1] for command in commands(finding))
    assert finding.details["mode"] == "0660"


def test_a_group_that_was_joined_but_not_in_this_session():
    finding = said(scene(answer=DENIED, later_groups=(20,), asker="anna")).findings[0]
    assert "this session began before that" in finding.title
    assert commands(finding) == [("newgrp", "dialout")]


def test_a_group_that_would_not_help():
    finding = said(scene(answer=DENIED, device=usb(mode=0o600), asker="anna")).findings[0]
    assert not any(command[0] == "usermod" for command in commands(finding))
    assert "Joining a group does not help" in finding.explanation


def test_nobody_is_told_to_join_the_group_root_or_another_users_terminal():
    for device in (usb(group="root", gid=0), usb(kind="pty", group="tty", gid=5, mode=0o620)):
        assert not any(c[0] == "usermod" for c in commands(said(scene(answer=DENIED, device=device)).findings[0]))


def test_who_sits_at_the_machine_has_it():
    finding = said(scene(answer=DENIED, udev=UdevSeen(known=True, tags=("uaccess",)), asker="anna")).findings[0]
    assert "SSH" in finding.explanation
    assert finding.details["uaccess"]


def test_a_container_that_was_not_given_the_device():
    finding = said(scene(answer=OpenAnswer(errno="EPERM"), uid=0)).findings[0]
    assert "container" in finding.title
    assert "--device /dev/ttyUSB0" in finding.remedies[0].title


def test_another_user_is_asked_about():
    made = scene(answer=DENIED, asker="root", options=Options(uid=1001))
    assert "uid 1001" in said(replace(made, host=Host(asker_uid=0))).findings[0].title


def test_somebody_has_what_may_not_be_opened_either():
    found = said(scene(process(), answer=DENIED))
    assert (found.verdict, situations(found)) == ("in_use", ["serial-open", "device-permission"])
    assert found.error.errno == "EACCES"


# -- device-missing -------------------------------------------------------------------------------

GONE = usb(exists=False, vendor=None, product=None, vendor_id=None, product_id=None)
ABSENT = OpenAnswer(errno="ENOENT")


def missing(*processes, **facts):
    return said(scene(*processes, **{"device": GONE, "answer": ABSENT, **facts}))


def test_it_is_not_there_but_another_is():
    other = usb(path="/dev/ttyUSB1", name="ttyUSB1", by_id=("/dev/serial/by-id/usb-1a86-if00",))
    found = missing(neighbours=(Neighbour(device=other),))
    assert (found.verdict, found.situation, found.error.errno) == ("blocked", "device-missing", "ENOENT")
    assert found.summary == "/dev/ttyUSB0 is blocked: it is not there, but /dev/ttyUSB1 is"
    assert "/dev/serial/by-id/usb-1a86-if00" in found.findings[0].remedies[0].title


def test_a_port_of_another_kind_is_no_substitute():
    other = Device(path="/dev/ttyS0", node="/dev/ttyS0", name="ttyS0", kind="on-board")
    found = missing(neighbours=(Neighbour(device=other),))
    assert "/dev/ttyS0" in found.findings[0].explanation
    assert found.findings[0].remedies == ()


def test_it_came_back_under_another_name_because_somebody_kept_the_old_one():
    other = usb(path="/dev/ttyUSB1", name="ttyUSB1")
    old = has(deleted=True, other_node=True, path="/dev/ttyUSB0 (deleted)")
    found = missing(process(), open_by=(old,), neighbours=(Neighbour(device=other),))
    finding = found.findings[0]
    assert (found.verdict, situations(found)) == ("blocked", ["device-missing"])
    assert finding.title == "it was unplugged while picocom (pid 12) had it open; it may have come back as /dev/ttyUSB1"
    assert finding.holders == (12,)
    assert [holder.pid for holder in found.holders] == [12]
    assert [remedy.id for remedy in finding.remedies][:2] == ["stop-holder", "plug-in-again"]


def test_brltty_has_taken_it():
    finding = missing(unclaimed=("1a86:7523 CH340 at 1-2: taken by brltty (pid 40)",)).findings[0]
    assert ("systemctl", "mask", "brltty.path") in commands(finding)
    assert "Braille" in finding.explanation


def test_no_driver_has_it():
    finding = missing(unclaimed=("1a86:7523 CH340 at 1-2: no driver",)).findings[0]
    assert "1a86:7523" in finding.title
    assert any("dmesg" in remedy.title for remedy in finding.remedies)


def test_a_name_of_another_system():
    meant = "COM3 is a name of Windows; in the classic numbering it is /dev/ttyS2 here"
    found = said(scene(device=Device(path="COM3", exists=False), answer=ABSENT, meant=meant, target="COM3"))
    assert found.summary == f"COM3 is blocked: {meant}"


def test_a_port_without_hardware():
    found = said(scene(device=usb(kind="on-board", uart=False)))
    assert (found.verdict, found.situation, found.error) == ("blocked", "device-missing", None)
    assert "EIO" in found.findings[0].explanation


# -- Hostile --------------------------------------------------------------------------------------


def test_names_that_try_to_write_elsewhere():
    nasty = "x\x1b[2J\n\u202ey"
    made = scene(
        process(name=nasty, cmdline=(nasty,)),
        device=usb(path=f"/dev/{nasty}", name=nasty, vendor=nasty, product=nasty, user=nasty, group=nasty),
        open_by=(has(path=nasty),),
        lock_files=(LockFile(path=f"/run/lock/LCK..{nasty}", format="hdb", pid=12, state="live"),),
        neighbours=(Neighbour(device=usb(path=nasty, name=nasty), holders=(12,), role=nasty),),
        unclaimed=(nasty,),
        udev=UdevSeen(known=True, properties={"ID_MM_X": nasty}, tags=(nasty,)),
        answer=DENIED,
    )
    for one in (made, replace(made, device=replace(made.device, device=replace(made.device.device, exists=False)))):
        found = said(one)
        for shown in (text.render(found), render(found).decode()):
            assert "\x1b" not in shown
            assert "\u202e" not in shown


def test_a_holder_that_ended_while_it_was_looked_at():
    made = scene(open_by=(has(99),))
    found = said(made)
    assert (found.verdict, found.situation) == ("unknown", "unknown")
    assert "pid 99" in found.summary
