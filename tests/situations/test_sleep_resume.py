"""Which connections are dead, who hangs on them, and who is older than the sleep: decided on scenes made by hand."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse import stale
from inuse.evidence.sleep import Sleep, Sleeper
from inuse.model import Answer, Attempt, Connection, Descriptor, Host, Process, Scene, Socket, Target, TcpInfo
from inuse.scene import View
from inuse.situations import sleep_resume

HOUR = 3600
PID = 100
DEAD = TcpInfo(retransmits=7, backoff=7, unacked=1, rto_ms=25000, last_data_recv_ms=60_000, last_ack_recv_ms=60_000)
#: Its peer reads nothing, but answers each probe of the closed window: the kernel goes on doubling the wait.
FULL = TcpInfo(backoff=5, rto_ms=208, last_data_sent_ms=11_000, last_data_recv_ms=12_000, last_ack_recv_ms=5000)
IDLE = TcpInfo(rto_ms=204, last_data_sent_ms=70_000, last_data_recv_ms=70_000, last_ack_recv_ms=70_000)
ALIVE = TcpInfo(rto_ms=204, last_data_recv_ms=5, last_ack_recv_ms=5)


def connection(inode, info=DEAD, remote="192.0.2.2", port=9000, local_port=40000, **other):
    sent = {"send_queue": 36} if info.unacked else {}
    return Socket(
        proto="tcp",
        family="inet",
        local_address="192.0.2.1",
        local_port=local_port,
        remote_address=remote,
        remote_port=port,
        inode=inode,
        info=info,
        **({"state": "established"} | sent | other),
    )


LISTENER = Socket(proto="tcp", family="inet", local_address="127.0.0.1", local_port=8080, state="listen", inode=1)
SLEPT = Sleep(
    total_seconds=8 * HOUR,
    up_seconds=20 * HOUR,
    source="journal",
    began="2026-11-22T00:00:00+00:00",
    ended="2026-11-22T08:00:00+00:00",
    began_ago=8 * HOUR + 30.0,
    ended_ago=30.0,
    margin_seconds=2,
    sleepers=(Sleeper(pid=PID, age_seconds=10 * HOUR),),
    retries=15,
)


def scene(*elsewhere, on_port=(LISTENER,), sleep=SLEPT, process=None, owners=None):
    attempt = Attempt(port=8080)
    return Scene(
        target=Target(text="8080", proto="tcp", port=8080),
        answers=(Answer(attempt=attempt, call="bind", errno="EADDRINUSE"),),
        sockets=on_port,
        descriptors=tuple(
            Descriptor(pid=pid, fd=3, inode=socket.inode)
            for socket in on_port
            for pid in (owners or {}).get(socket.inode, (PID,))
        ),
        processes=(process or Process(pid=PID, start_ticks=1, name="tunnel", uid=0),),
        connections=tuple(Connection(pid=PID, socket=socket) for socket in elsewhere),
        sleep=sleep,
        host=Host(asker_uid=0),
    )


def found(made):
    return sleep_resume.find(View(made))


def with_sleep(**changes):
    return msgspec.structs.replace(SLEPT, **changes)


# -- Dead or not ------------------------------------------------------------------------------------------


def test_certain_where_all_is_known():
    said = found(scene(connection(2)))
    assert said.confidence == "certain"
    assert said.title == (
        "tunnel (pid 100) listens on 127.0.0.1:8080 since before the computer slept, "
        "but its connection to 192.0.2.2:9000 is dead"
    )
    assert said.explanation.startswith("The computer slept for 8 h, until 30 s ago.")
    assert said.details["older"] is True


@pytest.mark.parametrize(
    "one",
    [
        connection(2, IDLE),
        connection(2, ALIVE),
        connection(2, msgspec.structs.replace(DEAD, retransmits=2, backoff=2, rto_ms=816)),
        connection(2, msgspec.structs.replace(DEAD, retransmits=1, backoff=1, rto_ms=1776)),
        connection(2, FULL, send_queue=2_500_000),
        connection(2, msgspec.structs.replace(DEAD, last_ack_recv_ms=40)),
        connection(2, msgspec.structs.replace(DEAD, last_data_recv_ms=40)),
        connection(2, DEAD, state="syn-sent"),
        connection(2, DEAD, state="time-wait"),
    ],
    ids=[
        *("idle", "alive", "two packets lost", "one lost on a slow way", "is read slowly", "acknowledges", "sends"),
        *("only connecting", "closed"),
    ],
)
def test_not_dead(one):
    assert found(scene(one)) is None


@pytest.mark.parametrize(
    "one",
    [
        connection(2, TcpInfo(probes=4, backoff=4, last_data_recv_ms=40_000, last_ack_recv_ms=40_000), send_queue=36),
        connection(2, TcpInfo(probes=6, last_data_recv_ms=450_000, last_ack_recv_ms=450_000), timer="keepalive"),
        connection(2, msgspec.structs.replace(DEAD, backoff=0)),
        connection(2, msgspec.structs.replace(DEAD, retransmits=2, backoff=2, rto_ms=3552)),
        connection(2, DEAD, state="fin-wait-1"),
        connection(2, DEAD, state="close-wait"),
        connection(2, DEAD, remote="2001:db8::2"),
    ],
    ids=[
        *("nothing can be sent", "keepalive", "backoff undone by ICMP", "two lost on a slow way", "closing"),
        *("half closed", "IPv6"),
    ],
)
def test_dead(one):
    assert found(scene(one)) is not None


# -- Which connection it hangs on ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("others", "hangs"),
    [
        ([connection(3, ALIVE, remote="198.51.100.7")], False),
        ([connection(3, IDLE, remote="198.51.100.7")], False),
        ([connection(3, ALIVE)], False),
        ([connection(3, IDLE)], True),
        ([connection(3, ALIVE, remote="127.0.0.1")], True),
        ([connection(3, ALIVE, remote="::ffff:127.0.0.1")], True),
        ([connection(3, ALIVE, remote="192.0.2.1")], True),
        ([connection(3, ALIVE, remote="198.51.100.7", state="close-wait")], True),
        ([connection(3)], True),
    ],
    ids=[
        *("one lives", "one is idle, to another host", "the same host answers", "one is idle, to the same host"),
        *("one within this host", "the same, mapped", "to our own address", "the other end closed it", "both dead"),
    ],
)
def test_a_living_connection_beside_a_dead_one(others, hangs):
    assert (found(scene(connection(2), *others)) is not None) is hangs


def test_within_one_host_a_living_connection_counts_like_any():
    dead = connection(2, remote="127.0.0.1")
    assert found(scene(dead, connection(3, ALIVE, remote="127.0.0.1", port=9001))) is None
    assert found(scene(dead)) is not None


def test_what_else_would_end_with_the_holder_is_said():
    said = found(scene(connection(2), connection(3, ALIVE, remote="127.0.0.1")))
    stop = next(one for one in said.remedies if one.id == "stop-holder")
    assert stop.disrupts == (
        "tunnel (pid 100), whose connection no longer answers; 1 other connection of it would end too"
    )


def test_clients_do_not_count():
    clients = [connection(inode, local_port=8080, port=50000 + inode) for inode in (2, 3)]
    assert found(scene(on_port=(LISTENER, *clients))) is None


def test_nor_those_of_another_listener_of_it():
    assert found(scene(connection(2), sleep=with_sleep(accepted=(2,)))) is None


def test_where_nobody_listens_connections_alone_hold_the_port():
    dead = [connection(inode, local_port=8080, port=50000 + inode) for inode in (2, 3)]
    said = found(scene(on_port=tuple(dead)))
    assert "2 connections are dead" in said.title
    alive = connection(4, ALIVE, local_port=8080, port=50004)
    assert found(scene(on_port=(*dead, alive))) is None


def test_a_connection_under_somebody_elses_listener():
    """As sshd's sessions have: the listener lives on, and is no reason to end a session."""
    session = connection(2, local_port=8080)
    assert found(scene(on_port=(LISTENER, session), owners={1: (7,), 2: (PID,)})) is None


# -- When ---------------------------------------------------------------------------------------------------


def sleeper(age, asleep=None):
    return (Sleeper(pid=PID, age_seconds=age, asleep_seconds=asleep),)


UNDATED = {"source": None, "began": None, "ended": None, "began_ago": None, "ended_ago": None}


@pytest.mark.parametrize(
    ("sleep", "older"),
    [
        (with_sleep(sleepers=sleeper(10 * HOUR)), True),
        (with_sleep(sleepers=sleeper(20)), False),
        (with_sleep(sleepers=sleeper(31)), None),
        (with_sleep(sleepers=sleeper(20, asleep=400)), True),
        (with_sleep(sleepers=sleeper(10 * HOUR, asleep=0.02)), False),
        (with_sleep(sleepers=sleeper(10 * HOUR, asleep=0.02), shifted_seconds=8 * HOUR), True),
        (with_sleep(sleepers=sleeper(10 * HOUR, asleep=0.02), shifted_seconds=None), True),
        (with_sleep(sleepers=sleeper(10, asleep=0.02), shifted_seconds=8 * HOUR), False),
        (with_sleep(sleepers=sleeper(10, asleep=0.02), shifted_seconds=8 * HOUR, **UNDATED), None),
        (with_sleep(sleepers=sleeper(10 * HOUR), **UNDATED), None),
        (with_sleep(sleepers=sleeper(13 * HOUR), **UNDATED), True),
        (with_sleep(sleepers=sleeper(13 * HOUR), shifted_seconds=8 * HOUR, **UNDATED), None),
        (with_sleep(sleepers=(), **UNDATED), None),
        (with_sleep(sleepers=sleeper(100), ended=None, ended_ago=None, began_ago=60.0), True),
        (with_sleep(sleepers=sleeper(50), ended=None, ended_ago=None, began_ago=60.0), None),
    ],
    ids=[
        *("before, by date", "after, by date", "too close to tell", "before, by taskstats", "after, by taskstats"),
        *("a namespace adds: date", "who knows what it adds: date", "a namespace adds: after, by date"),
        *("a namespace adds, no date", "no date", "must have slept", "a namespace adds to it", "nothing known"),
        *("before, just woken", "after, just woken"),
    ],
)
def test_older_than_the_sleep(sleep, older):
    assert stale.slept_through(sleep, PID) is older
    said = found(scene(connection(2), sleep=sleep))
    assert (said is None) is (older is False)
    if said:
        assert said.details["older"] is older
        assert ("since before the computer slept" in said.title) is bool(older)


def test_slept_on_it_but_nobody_knows_when():
    known = with_sleep(sleepers=sleeper(10 * HOUR, asleep=2 * HOUR), **UNDATED)
    said = found(scene(connection(2), sleep=known))
    assert said.confidence == "likely", "it may have died after the wake"
    assert said.explanation.startswith(
        "This computer has slept 8 h in all since it was booted. 2 h of that was after tunnel (pid 100) was started."
    )


def test_who_answered_after_the_wake_did_not_die_of_the_sleep():
    woke = with_sleep(began_ago=9 * HOUR, ended_ago=HOUR)
    assert found(scene(connection(2), sleep=woke)) is None, "silent for a minute, awake for an hour"


def test_confidence():
    few = msgspec.structs.replace(DEAD, retransmits=3, backoff=3)
    said = found(scene(connection(2, few)))
    assert said.confidence == "likely"
    assert "seems to be dead" in said.title
    assert "ask again in a minute" in said.explanation
    young = with_sleep(sleepers=sleeper(300), **UNDATED)
    assert found(scene(connection(2), sleep=young)).confidence == "possible"
    old = with_sleep(sleepers=sleeper(3 * HOUR), **UNDATED)
    assert found(scene(connection(2), sleep=old)).confidence == "likely"


# -- What helps -------------------------------------------------------------------------------------------------


def remedies(made):
    return {remedy.id: remedy for remedy in found(made).remedies}


def test_a_service_is_restarted():
    unit = Process(pid=PID, start_ticks=1, name="autossh", unit="tunnel.service", uid=0)
    ways = remedies(scene(connection(2), process=unit))
    assert ways["restart-unit"].command == ("systemctl", "restart", "tunnel.service")
    assert "stop-holder" not in ways


def test_a_users_own_service():
    unit = Process(pid=PID, start_ticks=1, name="autossh", unit="tunnel.service", user_unit=True, uid=0)
    command = remedies(scene(connection(2), process=unit))["restart-unit"].command
    assert command == ("systemctl", "--user", "restart", "tunnel.service")


@pytest.mark.parametrize(
    ("name", "setting"), [("ssh", "ServerAliveInterval"), ("sshd", "ClientAliveInterval"), ("tunnel", "keepalive")]
)
def test_next_time(name, setting):
    made = scene(connection(2), process=Process(pid=PID, start_ticks=1, name=name, uid=0))
    assert setting in remedies(made)["notice-next-time"].title


@pytest.mark.parametrize(
    ("retries", "seconds"), [(15, 924.6), (8, 102.2), (9, 204.6), (10, 324.6), (0, 0.2), (None, None), (10**9, None)]
)
def test_when_tcp_gives_up(retries, seconds):
    """The kernel's documentation gives 924.6 seconds for the default of 15."""
    assert sleep_resume.gives_up(retries) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "59 min 59 s"), (30000, "8 h 20 min"), (200_000, "2 d 7 h")],
)
def test_lengths_of_time(seconds, text):
    assert sleep_resume.span(seconds) == text


# -- Whatever a scene holds -----------------------------------------------------------------------------------------

numbers = st.integers(0, 2**32 - 1)
infos = st.builds(
    TcpInfo, retransmits=st.integers(0, 255), probes=st.integers(0, 255), backoff=st.integers(0, 255), unacked=numbers,
    last_data_recv_ms=numbers, last_ack_recv_ms=numbers,
)  # fmt: skip
seconds = st.one_of(st.none(), st.floats(0, 1e9))
sleeps = st.builds(
    Sleep, total_seconds=st.floats(0, 1e9), shifted_seconds=seconds, up_seconds=seconds, times=st.none(),
    began=st.none(), ended=st.none(), began_ago=seconds, ended_ago=seconds, margin_seconds=st.floats(0, 100),
    source=st.none(), helpers=st.just({}), accepted=st.just(()), retries=st.one_of(st.none(), st.integers()),
    sleepers=st.just(()) | st.builds(lambda age, asleep: (Sleeper(pid=PID, age_seconds=age, asleep_seconds=asleep),),
                                     st.floats(0, 1e9), seconds),
)  # fmt: skip


@given(st.lists(infos, max_size=3), sleeps)
def test_a_finding_always_rests_on_dead_connections(made, sleep):
    sockets = [connection(2 + number, info) for number, info in enumerate(made)]
    said = found(scene(*sockets, sleep=sleep))
    if said:
        assert any(stale.is_dead(socket) for socket in sockets)
        assert stale.slept_through(sleep, PID) is not False
        assert said.confidence != "certain" or said.details["older"] is True
