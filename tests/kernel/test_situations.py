"""Every situation that ``inuse demo`` stages, on the real kernel, through the JSON that the command line prints."""

import os
import shlex
from functools import partial

import pytest
from staging import answer, diagnosis, finding, held, inuse, pids, private, situations

from inuse.demo.registry import BY_NAME, DEMOS

BLOCKED = partial(lambda situation, errno, call="bind": ("blocked", situation, call, errno))

#: Per demo: verdict, situation, call and errno; then every finding in order.
EXPECTED = {
    # Another test's namespace may have a listener on the port at this moment: that is said as well.
    "free": (("free", "free", None, None), ["free"]),
    "application": (held("application"), ["application"]),
    "same-application": (held("same-application"), ["same-application"]),
    "bound-not-listening": (held("bound-not-listening"), ["bound-not-listening", "application"]),
    "suspended-process": (held("suspended-process"), ["suspended-process", "application"]),
    "inherited": (held("inherited"), ["inherited", "application"]),
    "inherited-workers": (held("inherited"), ["inherited", "application"]),
    "client-connection": (held("client-connection"), ["client-connection", "application"]),
    "close-wait": (held("close-wait"), ["close-wait", "application"]),
    "close-wait-abandoned": (held("close-wait"), ["close-wait", "application"]),
    "time-wait": (BLOCKED("time-wait", "EADDRINUSE"), ["time-wait"]),
    "closing": (BLOCKED("closing", "EADDRINUSE"), ["closing"]),
    "descriptor-in-flight": (held("descriptor-in-flight"), ["descriptor-in-flight"]),
    "kernel": (held("kernel"), ["kernel"]),
    "socket-activation": (held("socket-activation"), ["socket-activation"]),
    "service": (held("service"), ["service"]),
    "hidden-holder": (held("hidden-holder"), ["hidden-holder"]),
    "privileged-port": (BLOCKED("privileged-port", "EACCES"), ["privileged-port"]),
    "address-not-local": (BLOCKED("address-not-local", "EADDRNOTAVAIL"), ["address-not-local"]),
    "address-not-local-tentative": (BLOCKED("address-not-local", "EADDRNOTAVAIL"), ["address-not-local"]),
    "security-policy": (BLOCKED("security-policy", "EACCES"), ["security-policy"]),
    "security-policy-cgroup": (BLOCKED("security-policy", "EPERM"), ["security-policy"]),
    "ephemeral-exhausted": (BLOCKED("ephemeral-exhausted", "EADDRINUSE"), ["ephemeral-exhausted"]),
}
#: What is only ever likely: the kernel does not say who forked whom, which policy refused, or what it has itself.
LIKELY = {"inherited-workers", "close-wait", "hidden-holder", "security-policy", "security-policy-cgroup"}


def test_every_demo_is_expected():
    """Those that take other programs are in tests/programs."""
    assert set(EXPECTED) == {demo.name for demo in DEMOS if demo.stage.__module__.endswith(".stagings")}


@pytest.mark.parametrize("name", EXPECTED)
@private
def test_staged(stage, name):
    staged = BY_NAME[name].stage(stage)
    program = ("--for", shlex.join(staged.options.command)) if staged.options.command else ()
    said = diagnosis(staged.target, *program, enter=staged.enter)
    expected, found = EXPECTED[name]
    assert answer(said) == expected
    assert situations(said)[: len(found) if name == "free" else None] == found
    assert pids(said) == set(staged.pids)
    assert set(said["findings"][0]["holders"]) == set(staged.pids)
    confidence = said["findings"][0]["confidence"]
    assert confidence == ("likely" if name in LIKELY else "certain")
    assert said["findings"][0]["title"] in said["summary"] or name == "free"


def staged_details(stage, name):
    staged = BY_NAME[name].stage(stage)
    said = diagnosis(staged.target, enter=staged.enter)
    return said, said["findings"][0]["details"], staged


@private
def test_time_wait_says_how_long(stage):
    said, details, _ = staged_details(stage, "time-wait")
    assert 50 <= details["seconds_left"] <= 60
    assert details["connections"] == 1
    assert details["reuseaddr_helps"] is False  # the old server had not set it
    assert str(details["seconds_left"]) in said["summary"]
    first = said["findings"][0]["remedies"][0]
    assert first["id"] == "wait"
    assert first["command"] == ["sleep", str(details["seconds_left"])]


@private
def test_closing_says_how_long(stage):
    _, details, _ = staged_details(stage, "closing")
    assert details["state"] == "fin-wait-2"
    assert 50 <= details["seconds_left"] <= 60
    assert len(details["remotes"]) == 1


@pytest.mark.parametrize(("name", "listening"), [("close-wait", True), ("close-wait-abandoned", False)])
@private
def test_close_wait_says_whether_its_listener_lives(stage, name, listening):
    said, details, _ = staged_details(stage, name)
    assert details == {"connections": 1, "listening": listening}
    states = sorted(socket["state"] for holder in said["holders"] for socket in holder["sockets"])
    assert states == (["close-wait", "listen"] if listening else ["close-wait"])


@private
def test_service_names_the_unit(stage):
    said, details, _ = staged_details(stage, "service")
    assert details["unit"] == "demo.service"
    assert details["manager"] == "system"
    assert said["holders"][0]["unit"] == "demo.service"
    assert ["systemctl", "stop", "demo.service"] in [remedy["command"] for remedy in said["findings"][0]["remedies"]]
    assert not any("kill" in (remedy["command"] or []) for remedy in said["findings"][0]["remedies"])


@private
def test_kernel_holder_has_no_process(stage):
    said, _, _ = staged_details(stage, "kernel")
    assert [(holder["kind"], holder["pid"]) for holder in said["holders"]] == [("kernel", None)]
    assert said["holders"][0]["sockets"][0]["proto"] == "udp"


@private
def test_client_connection_names_the_other_end(stage):
    said, details, staged = staged_details(stage, "client-connection")
    remote = said["holders"][0]["sockets"][0]["remote"]
    assert details["remote"] == remote
    assert remote.startswith("127.0.0.1:")
    assert not remote.endswith(f":{staged.target}")


@private
def test_suspended_process_can_be_continued(stage):
    said, details, staged = staged_details(stage, "suspended-process")
    assert details == {"state": "stopped", "tracer": None}
    assert said["holders"][0]["state"] == "stopped"
    assert said["findings"][0]["remedies"][0]["command"] == ["kill", "-CONT", str(staged.pids[0])]


@private
def test_flight_names_the_receiver(stage):
    said, details, _ = staged_details(stage, "descriptor-in-flight")
    receiver = stage._actors[0].pid
    assert details["receivers"] == [receiver]
    assert str(receiver) in said["summary"]


@private
def test_address_not_local_names_the_addresses_there_are(stage):
    _, details, _ = staged_details(stage, "address-not-local")
    assert "127.0.0.1" in details["addresses"]
    assert details["tentative"] is False


@private
def test_tentative_address_is_told_from_a_foreign_one(stage):
    _, details, _ = staged_details(stage, "address-not-local-tentative")
    assert details["tentative"] is True
    assert "2001:db8::8" in details["addresses"]


@private
def test_privileged_port_shows_the_way_out(stage):
    said, details, _ = staged_details(stage, "privileged-port")
    assert details["limit"] == 1024
    ways = {remedy["id"] for remedy in said["findings"][0]["remedies"]}
    assert {"grant-capability", "socket-activation", "lower-limit"} <= ways


@private
def test_ephemeral_exhausted_counts(stage):
    said, details, staged = staged_details(stage, "ephemeral-exhausted")
    assert details["range"] == [32768, 32771]
    assert details["states"] == {"bound": 4}
    assert len(said["holders"][0]["sockets"]) == 4
    assert said["holders"][0]["pid"] == staged.pids[0]


@private
def test_security_policy_says_which_answer(stage):
    _, details, _ = staged_details(stage, "security-policy-cgroup")
    assert details["errno"] == "EPERM"
    assert "cgroup" in " ".join(details["suspects"])


@private
def test_landlock_does_not_forbid_udp(stage):
    staged = BY_NAME["security-policy"].stage(stage)
    assert diagnosis(f"{staged.target}/udp", enter=staged.enter)["verdict"] == "free"


@private
def test_hidden_holder_says_what_is_missing(stage):
    said, details, _ = staged_details(stage, "hidden-holder")
    assert details["uids"] == [os.geteuid()]
    assert said["limits"]
    assert said["holders"] == []


@pytest.mark.parametrize("name", EXPECTED)
@private
def test_text_leads_with_the_answer(stage, name):
    staged = BY_NAME[name].stage(stage)
    run = inuse(staged.target, enter=staged.enter)
    assert run.err == b""
    verdict, _, _, errno = EXPECTED[name][0]
    words = {"in_use": "in use", "blocked": "blocked", "free": "free"}[verdict]
    assert words in run.text.split(":")[0].partition("\n")[0] or words in run.text.partition("\n\n")[0]
    assert (errno or "") in run.text
    assert all(str(pid) in run.text for pid in staged.pids)
    assert max(len(line) for line in run.text.splitlines() if "$ " not in line) <= 80
    program = ("--for", shlex.join(staged.options.command)) if staged.options.command else ()
    assert finding(diagnosis(staged.target, *program, enter=staged.enter), EXPECTED[name][1][0])
