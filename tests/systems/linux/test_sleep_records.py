"""What tells when the machine slept, read from hostile and honest sources: clocks, taskstats, journal, kernel log."""

import json
import os
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse.evidence.sleep import Sleep, Sleeper
from inuse.model import Process
from inuse.systems.linux import sleep
from inuse.systems.linux.netlink import NetlinkError, attribute
from inuse.systems.linux.sleep import clocks, helpers, journal, kernel_log, taskstats
from inuse.systems.linux.sleep.record import Record

BOOT = "0123456789abcdef0123456789abcdef"
NOW = 1_800_000_000.0


# -- Clocks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "offsets"),
    [
        ("monotonic           0         0\nboottime        30000         0\n", (0, 30000)),
        ("monotonic          -5 500000000\nboottime            7 250000000\n", (-4.5, 7.25)),
        ("1 0 0\n7 42 0\n", (0, 42)),
    ],
)
def test_offsets(text, offsets):
    assert clocks.parse_offsets(text) == offsets


@pytest.mark.parametrize("text", ["", "monotonic 0 0\n", "boottime x 0\nmonotonic 0 0\n", "boottime 1\n"])
def test_offsets_that_are_none(text):
    with pytest.raises(ValueError, match=r"."):
        clocks.parse_offsets(text)


def own_process(**other):
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return Process(pid=os.getpid(), start_ticks=int(stat[19]), name="us", **other)


def test_own_age():
    assert clocks.is_still(own_process())
    assert 0 <= clocks.age(own_process()) < time.clock_gettime(time.CLOCK_BOOTTIME)
    assert not clocks.is_still(msgspec.structs.replace(own_process(), start_ticks=1))
    assert not clocks.is_still(msgspec.structs.replace(own_process(), pid=0))


# -- Taskstats ------------------------------------------------------------------------------------------


def test_a_process_younger_than_any_sleep_slept_nothing():
    child = subprocess.Popen(["sleep", "30"])
    try:
        stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        [one] = taskstats.sleepers([Process(pid=child.pid, start_ticks=int(stat[19]), name="sleep")])
    finally:
        child.kill()
        child.wait()
    assert one.age_seconds < 10
    if one.asleep_seconds is None:
        pytest.skip("taskstats may not be asked here")
    assert one.asleep_seconds < 0.1


def test_a_process_that_is_gone():
    [one] = taskstats.sleepers([Process(pid=2**22 - 1, start_ticks=0, name="gone")])
    assert one.asleep_seconds is None


GENERIC = struct.pack("=BBH", 1, 1, 0)


def stats(microseconds, length=560):
    return bytes(144) + struct.pack("=Q", microseconds) + bytes(length - 152)


def answer(inner):
    return GENERIC + attribute(4, attribute(1, struct.pack("=I", 7)) + attribute(3, inner))


def test_waking_seconds():
    assert taskstats.waking_seconds(answer(stats(1_500_000))) == 1.5
    assert taskstats.waking_seconds(answer(stats(2**63))) > 0


@pytest.mark.parametrize(
    "payload", [b"", GENERIC, answer(b""), answer(bytes(151)), GENERIC + b"\xff\xff\x04\x00", answer(stats(1))[:-400]]
)
def test_statistics_that_are_none(payload):
    with pytest.raises(NetlinkError):
        taskstats.waking_seconds(payload)


@given(st.binary(max_size=700))
def test_any_bytes_are_statistics_or_refused(data):
    for parse in (taskstats.waking_seconds, taskstats.family_number):
        with suppress(NetlinkError):
            assert parse(data) >= 0


# -- The journal ------------------------------------------------------------------------------------------


def line(message, ago, **fields):
    entry = {"__REALTIME_TIMESTAMP": str(round((NOW - ago) * 1e6)), "MESSAGE_ID": message, "_UID": "0"} | fields
    return json.dumps({name: value for name, value in entry.items() if value is not ...}).encode() + b"\n"


def parse(*lines):
    return journal.parse(b"".join(lines), NOW, BOOT)


START, STOP = journal.START, journal.STOP
FAILED = "Failed to put system to sleep. System resumed again: Device or resource busy"


@pytest.mark.parametrize(
    ("lines", "began", "ended"),
    [
        ([line(START, 7200), line(STOP, 3600)], 7200, 3600),
        ([line(START, 9000), line(STOP, 8000), line(START, 7200), line(STOP, 3600)], 7200, 3600),
        ([line(STOP, 3600), line(START, 7200)], 7200, 3600),
        ([line(STOP, 3600)], None, 3600),
        ([line(START, 60)], 60, None),
        ([line(START, 7200), line(STOP, 3600), line(START, 60)], 60, None),
        ([line(START, 7200), line(STOP, 3600), line(START, 60), line(STOP, 58, MESSAGE=FAILED)], 7200, 3600),
        ([line(START, 7200, _UID=...), line(STOP, 3600, _UID=...)], 7200, 3600),
        ([line(START, 7200, _BOOT_ID=BOOT), line(STOP, 3600, _BOOT_ID=BOOT)], 7200, 3600),
        ([line(STOP, 3600, MESSAGE=[255, 254])], None, 3600),
    ],
)
def test_the_last_sleep(lines, began, ended):
    record = parse(*lines)
    assert record.source == "journal"
    assert record.began == (None if began is None else pytest.approx(began))
    assert record.ended == (None if ended is None else pytest.approx(ended))


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [line("00000000000000000000000000000000", 60)],
        [line(STOP, 60, _UID="1000")],
        [line(STOP, 60, _UID=["0", "1000"])],
        [line(STOP, 60, _BOOT_ID="f" * 32)],
        [line(STOP, -60)],
        [line(STOP, 60, __REALTIME_TIMESTAMP=...)],
        [line(STOP, 60, __REALTIME_TIMESTAMP="9" * 4000)],
        [line(STOP, 60, __REALTIME_TIMESTAMP="-5")],
        [line(STOP, 60, __REALTIME_TIMESTAMP="\u0663")],
        [line(STOP, 60, __REALTIME_TIMESTAMP=None)],
        [line([STOP], 60)],
        [line({"a": STOP}, 60)],
        [b"{" * 5000],
        [b"[" * 5000],
        [b"\xff\xfe\0\n", b"null\n", b"7\n", b'"x"\n', b"[]\n", b"{}\n"],
        [line(STOP, 60)[:-5]],
    ],
)
def test_what_is_no_record(lines):
    """Another's message, another boot's, the future's, a broken one."""
    assert parse(*lines) is None


@given(st.binary(max_size=400))
def test_any_output_of_journalctl_is_survived(data):
    assert isinstance(journal.parse(data, NOW, None), Record | None)


JOURNAL_REMOTE = next(
    (path for path in ("/lib/systemd/systemd-journal-remote", "/usr/lib/systemd/systemd-journal-remote")
     if os.access(path, os.X_OK)),
    None,
)  # fmt: skip


def test_a_real_journal(tmp_path):
    """Our question, put to the real journalctl over a real journal file."""
    if JOURNAL_REMOTE is None:
        pytest.skip("systemd-journal-remote is not installed")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    now = time.time()

    def export(message, ago, text, **fields):
        moment = round((now - ago) * 1e6)
        every = {
            "__REALTIME_TIMESTAMP": moment,
            "__MONOTONIC_TIMESTAMP": max(1, moment - round(now * 1e6) + 10**10),
            "_BOOT_ID": boot,
            "_UID": 0,
            "MESSAGE_ID": message,
            "MESSAGE": text,
        } | fields
        return "".join(f"{name}={value}\n" for name, value in every.items()) + "\n"

    entries = (
        export(START, 7200, "Entering sleep state 'suspend'..."),
        export(STOP, 3600, "System returned from sleep state."),
        export(STOP, 60, "System returned from sleep state.", _UID=1000),
        export("00000000000000000000000000000001", 30, "Something else."),
    )
    (tmp_path / "entries").write_text("".join(entries))
    made = [JOURNAL_REMOTE, "-o", tmp_path / "system.journal", tmp_path / "entries"]
    subprocess.run(made, check=True, capture_output=True)
    command = [*journal.COMMAND, f"--file={tmp_path / 'system.journal'}"]
    output = journal.run(tuple(command))
    record = journal.parse(output, now, boot)
    assert (record.began, record.ended) == (pytest.approx(7200, abs=1), pytest.approx(3600, abs=1))


# -- The kernel log -----------------------------------------------------------------------------------------

ENTRY, EXIT = "PM: suspend entry (s2idle)", "PM: suspend exit"


def message(sequence, seconds, text, priority=6):
    return f"{priority},{sequence},{round(seconds * 1e6)},-;{text}\n SUBSYSTEM=pm\n".encode()


def test_the_kernel_logs_sleeps():
    log = kernel_log.parse(
        [
            message(0, 0, "Linux version 6.1"),
            message(5, 100, ENTRY),
            message(6, 101, EXIT),
            message(7, 200, "PM: hibernation: hibernation entry"),
            message(8, 203, "PM: hibernation: hibernation exit"),
            message(9, 300, "usb 1-1: new device"),
        ]
    )
    assert log == kernel_log.Log(began=200, ended=203, sleeps=2, whole=True)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [message(4, 10, EXIT)],
        [message(4, 10, ENTRY, priority=14), message(5, 11, EXIT, priority=14)],
        [message(4, 10, ENTRY), message(5, 11, "PM: Some devices failed to suspend"), message(6, 12, EXIT)],
        [message(4, 10, ENTRY), message(5, 11, "PM: Wakeup pending, aborting suspend"), message(6, 12, EXIT)],
        [b"", b";", b"6,1;PM: suspend exit", b"6,1,x,-;" + ENTRY.encode(), b"\xff" * 100, b"6,1," + b"9" * 50 + b",-;"],
    ],
)
def test_what_is_no_sleep(records):
    """An end without a beginning, a program's own message, a sleep that failed, broken records."""
    assert kernel_log.parse(records) is None


def test_a_log_that_was_overwritten():
    log = kernel_log.parse([message(70, 100, ENTRY), message(71, 101, EXIT), message(72, 500, ENTRY)])
    assert log == kernel_log.Log(began=500, ended=None, sleeps=2, whole=False)


@given(st.lists(st.binary(max_size=60)))
def test_any_kernel_log_is_survived(records):
    assert kernel_log.parse(records) is None


@pytest.fixture
def device(monkeypatch):
    """A stand-in for /dev/kmsg that hands out what is written to it, a record a read."""
    reading, writing = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
    monkeypatch.setattr(kernel_log, "KMSG", f"/proc/self/fd/{reading}")
    yield lambda record: os.write(writing, record)
    os.close(reading)
    os.close(writing)


def test_the_age_of_the_last_sleep(device):
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    device(message(0, 0, "Linux version 6.1"))
    device(message(1, now - 61, ENTRY))
    device(message(2, now - 60, EXIT))
    record = kernel_log.last_sleep(3600, 0)
    assert record.source == "kernel log"
    assert record.ended == pytest.approx(60, abs=1)
    assert record.began == pytest.approx(3661, abs=1), "the only sleep there was is all that was slept"
    assert record.margin >= 2


def test_of_several_sleeps_the_length_is_not_known(device):
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    for number, text in enumerate((ENTRY, EXIT, ENTRY, EXIT)):
        device(message(number, now - 100 + number, text))
    record = kernel_log.last_sleep(3600, 0)
    assert record.began is None
    assert record.ended == pytest.approx(97, abs=1)


def test_a_shifted_clock(device):
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    device(message(0, now - 1061, ENTRY))
    device(message(1, now - 1060, EXIT))
    assert kernel_log.last_sleep(None, 1000).ended == pytest.approx(60, abs=1)


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "endless"])
def test_a_log_that_is_none(monkeypatch, tmp_path, kind):
    path = tmp_path / "kmsg"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    monkeypatch.setattr(kernel_log, "KMSG", "/dev/zero" if kind == "endless" else str(path))
    began = time.monotonic()
    assert kernel_log.last_sleep(None, 0) is None
    assert time.monotonic() - began < 2


# -- Helpers --------------------------------------------------------------------------------------------------


def test_a_child_at_two_pipes_is_a_helper():
    pipe = subprocess.PIPE
    other = subprocess.Popen(["sleep", "30"])
    helper = subprocess.Popen(["cat"], stdin=pipe, stdout=pipe)
    half = subprocess.Popen(["sleep", "30"], stdin=pipe)
    try:
        found = helpers.helpers([os.getpid(), 2**22 - 1])
    finally:
        for child in (other, helper, half):
            child.kill()
            child.communicate()
    assert found.get(helper.pid) == os.getpid()
    assert other.pid not in found
    assert half.pid not in found


# -- Together ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asleep", "ended", "fits"),
    [(400, 1000, False), (400, 30, True), (None, 1000, True), (0.01, 1000, True), (400, None, True)],
)
def test_a_record_older_than_a_process_that_has_slept_is_not_of_the_last_sleep(asleep, ended, fits):
    """The machine was put to sleep past systemd: the journal only knows of an earlier time."""
    seen = Sleep(total_seconds=5000, sleepers=(Sleeper(pid=1, age_seconds=600, asleep_seconds=asleep),))
    assert sleep._is_last(Record("journal", None, ended, 2), seen) is fits
