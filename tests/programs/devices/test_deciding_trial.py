"""What a trial with real programs brought to light: small things that were said wrongly."""

import os

import pytest
from locks_stage import pty
from test_deciding import has, orphan, process, said, scene, situations, usb

from inuse.evidence.device import Device, LockFile, OpenAnswer
from inuse.model import Options, Target, Unseen
from inuse.systems.linux import devices
from inuse.systems.linux.devices import resolve

REFUSED = OpenAnswer(errno="EBUSY", by="kernel")
ROOTS = Unseen(what="holders", why="9 processes of root may not be looked at", uids=(0,), needs="sudo")


def test_a_real_open_that_is_refused_tells_of_a_holder_out_of_sight():
    found = said(scene(answer=REFUSED, unseen=(ROOTS,)))
    assert (found.verdict, found.situation) == ("in_use", "hidden-holder")
    assert found.findings[0].confidence == "likely"
    assert found.findings[0].remedies[0].id == "ask-as-root"


@pytest.mark.parametrize(
    ("answer", "facts"),
    [
        (REFUSED, {"uid": 0, "unseen": (ROOTS,)}),  # TIOCEXCL stops no root: the driver refuses
        (REFUSED, {}),  # everybody could be looked at
        (OpenAnswer(known=False), {"unseen": (ROOTS,)}),
    ],
)
def test_no_holder_is_made_up(answer, facts):
    found = said(scene(answer=answer, **facts))
    assert (found.verdict, found.findings) == ("unknown", ())


def test_the_maker_of_a_pseudo_terminal_did_not_leave_it_to_a_child():
    """socat keeps both sides of its pseudo-terminal open; who was left with it is a child all the same."""
    terminal = usb(kind="pty", peer=(13,))
    made = scene(orphan(), process(13, "socat"), device=terminal, open_by=(has(cloexec=False), has(13)))
    assert situations(said(made))[0] == "inherited"


def test_the_maker_alone_is_no_heir():
    terminal = usb(kind="pty", peer=(12,))
    made = scene(orphan(), device=terminal, open_by=(has(cloexec=False),))
    assert "inherited" not in situations(said(made))


def test_a_left_over_lock_beside_a_holder_is_named_where_it_is_explained():
    file = LockFile(path="/run/lock/LCK..ttyUSB0", format="hdb", pid=99, state="dead", sure=True)
    found = said(scene(process(), lock_files=(file,)))
    assert situations(found) == ["serial-open", "stale-lock"]
    assert "LCK..ttyUSB0" in found.findings[1].explanation


def test_a_device_behind_a_closed_directory_has_no_owner_that_could_be_told():
    device = Device(path="/srv/closed/tty")
    found = said(scene(device=device, answer=OpenAnswer(errno="EACCES"), target="/srv/closed/tty"))
    assert (found.verdict, found.situation) == ("blocked", "device-permission")
    assert "None" not in found.summary + found.findings[0].explanation


def test_the_maker_of_pseudo_terminals_is_no_device_to_share():
    master, _ = pty()
    node = devices.look(Target(text="/dev/ptmx", kind="device", device="/dev/ptmx"), Options(), probe=True)
    os.close(master)
    found = said(node)
    assert (found.verdict, found.holders) == ("unknown", ())
    assert "ptmx" in found.summary


def test_a_process_without_a_terminal_is_told_so():
    meant = resolve.meant("/dev/tty", ())
    device = usb(path="/dev/tty", node=None, name="tty", exists=False)
    found = said(scene(device=device, answer=OpenAnswer(errno="ENXIO"), target="/dev/tty", meant=meant))
    assert (found.verdict, found.situation) == ("blocked", "device-missing")
    assert "this process has none" in found.summary
    assert not any("no such file" in line for line in found.findings[0].evidence)
