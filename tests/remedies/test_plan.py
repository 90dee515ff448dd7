"""Plans made of saved scenes, without a machine: who is covered, who never is, and in which order."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from inuse.diagnosis import explain
from inuse.language import speaking
from inuse.model import SITUATIONS
from inuse.remedies.offers import ORDER, Means
from inuse.remedies.plan import plan
from inuse.remedies.steps import DeleteLocks, Destroy, LockSeen, Run, Signal, Survey, Wait
from inuse.render import plan as rendered
from inuse.scene import View
from inuse.systems.replay import SavedScenes

SCENES = Path(__file__).parent.parent / "scenes"
CASES = sorted(path.stem for path in SCENES.glob("*.json") if not path.name.endswith(".expected.json"))


def view_of(name, uid=0):
    """The first scene of a file, as if that user asked."""
    scene = SavedScenes.load(str(SCENES / f"{name}.json")).look([], None)[0]
    return View(replace(scene, host=replace(scene.host, asker_uid=uid)))


def planned(view, *, survey=None, force=False, wait=True, kernel=False):
    files = view.device.lock_files if view.device is not None else ()
    locks = tuple(LockSeen(path=file.path, device=1, inode=1, modified_ns=1, content=b"") for file in files)
    survey = survey or Survey(destroys=True, locks=locks)
    return plan(view, explain(view), survey, means=Means(grace=5.0, kernel=kernel), force=force, wait=wait)


def ids(found):
    return [step.remedy.id for step in found.steps]


def signalled(found):
    actions = [step.action for step in found.steps if isinstance(step.action, Signal)]
    return {one.pid for action in actions for one in (*action.first, *action.rest)}


@pytest.mark.parametrize("force", [False, True], ids=["mild", "force"])
@pytest.mark.parametrize("name", CASES)
def test_of_every_scene(name, force):
    view = view_of(name)
    found = planned(view, force=force, kernel=force)
    diagnosis = explain(view)
    held = {process.pid: process for process in view.holders}
    supervisors = {one.supervisor.pid for one in view.scene.forwards if one.supervisor}
    assert not (found.steps and found.refused), "half a plan only disrupts"
    assert not (found.steps and found.why)
    if diagnosis.verdict != "free":
        assert found.steps or found.refused or found.why
    else:
        assert not found.steps
    for pid in signalled(found):
        assert pid > 1
        assert pid in held or pid in supervisors, "who is signalled and holds nothing"
        if pid in held:
            assert not held[pid].asks
            assert view.container(pid) is None
    covered = {pid for step in found.steps for pid in step.remedy.pids}
    refused = {one.pid for one in found.refused}
    if found.steps:
        in_the_way = {pid for pid, process in held.items() if view.refuses(process)}
        assert in_the_way <= covered
    else:
        assert refused <= {*held, None}
    signals = [step.action for step in found.steps if isinstance(step.action, Signal)]
    assert force or not any(action.kill for action in signals)
    assert all(step.remedy.automatic for step in found.steps)


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("name", CASES)
def test_every_plan_can_be_read(name, language):
    with speaking(language):
        found = planned(view_of(name), force=True, kernel=True)
        text = rendered.plan([step.remedy for step in found.steps], found.refused, found.why, columns=72)
    assert "{" not in text.replace("{{", "")
    plain = [line for line in text.splitlines() if "$ " not in line]
    assert all(len(line) <= 72 for line in plain), plain


def test_the_mildest_steps_come_first():
    found = planned(view_of("vpn-two-daemons"))
    ranks = [ORDER.index(name) for name in ids(found)]
    assert ranks == sorted(ranks)
    assert ids(found) == ["disconnect", "stop-holder"]


def test_time_wait_is_waited_for_and_dropped_at_once_only_where_that_is_wanted():
    view = view_of("time-wait")
    assert [type(step.action) for step in planned(view).steps] == [Wait, Destroy]
    assert ids(planned(view, wait=False)) == ["destroy-socket"]
    assert planned(view, wait=False).steps[0].remedy.title.startswith("Have the kernel drop"), "it is no alternative"
    assert ids(planned(view, survey=Survey())) == ["wait"]
    assert ids(planned(view, survey=Survey(), wait=False)) == ["wait"]


def test_what_a_server_leaves_behind_is_dropped_or_waited_for():
    view = view_of("application")
    assert ids(planned(view)) == ["stop-holder", "destroy-socket"]
    assert ids(planned(view, survey=Survey())) == ["stop-holder", "wait"]
    assert ids(planned(view_of("bound-not-listening"))) == ["stop-holder"]


def test_force_adds_a_step_of_its_own_for_the_same_processes():
    view = view_of("application-forked")
    found = planned(view, force=True)
    assert ids(found) == ["stop-holder", "kill-holder", "destroy-socket"]
    mild, hard = found.steps[0].action, found.steps[1].action
    assert hard.kill
    assert (hard.first, hard.rest) == (mild.first, mild.rest)


def test_workers_are_asked_only_after_their_master():
    action = planned(view_of("application-forked")).steps[0].action
    assert len(action.first) == len(action.rest) == 1


@pytest.mark.parametrize("code", ["init", "kernel", "own", "session"])
def test_a_protected_holder_keeps_anything_from_being_done(code):
    view = view_of("application-reuseport")
    first, second = view.holders
    found = planned(view, survey=Survey(protected={second.pid: code}, destroys=True))
    assert found.steps == ()
    assert second.pid in {one.pid for one in found.refused}
    assert first.pid not in signalled(found)


def test_another_users_process_is_refused_with_the_right_that_is_missing():
    view = view_of("application")
    pid = view.holders[0].pid
    [refused] = planned(view, survey=Survey(denied=(pid,))).refused
    assert refused.pid == pid
    assert "root (sudo), or CAP_KILL" in refused.why


def test_a_service_is_refused_where_its_manager_is_not_there_or_may_not_be_told():
    view = view_of("service")
    assert "not installed" in planned(view, survey=Survey(missing=("systemctl",))).refused[0].why
    assert "takes root" in planned(view_of("service", uid=1000)).refused[0].why


def test_what_stops_with_a_unit_is_said():
    view = view_of("service")
    survey = Survey(dependants={"demo.service": ("app.service", "cron.service")})
    assert any("app.service, cron.service" in line for line in planned(view, survey=survey).steps[0].remedy.affected)


def test_the_service_that_inuse_runs_in_is_not_stopped():
    view = view_of("service")
    found = planned(view, survey=Survey(protected={view.holders[0].pid: "own"}))
    assert found.steps == ()
    assert "started from" in found.refused[0].why


def test_the_ports_of_other_containers_are_not_said_to_end():
    view = view_of("container")
    serves = {process.pid: ("9999/tcp",) for process in view.holders}
    found = planned(view, survey=Survey(serves=serves, destroys=True))
    assert ids(found)[0] == "stop-container"
    assert not [line for line in found.steps[0].remedy.affected if "9999" in line]


def test_a_connection_of_what_inuse_was_started_from_is_not_closed():
    view = view_of("client-connection")
    [holder] = view.holders
    for code in ("own", "session"):
        found = planned(view, survey=Survey(protected={holder.pid: code}, destroys=True))
        assert found.steps == ()
        assert found.refused[0].pid == holder.pid


def test_a_holder_that_can_not_be_seen_is_refused_with_the_right_that_would_show_it():
    found = planned(view_of("hidden-holder", uid=1000))
    assert found.steps == ()
    assert "sudo inuse free" in found.refused[0].why


def test_each_refusal_is_said_once():
    view = view_of("application-reuseport")
    [one, other] = planned(view, survey=Survey(denied=(view.holders[0].pid,), destroys=True)).refused[:1] * 2
    assert rendered.plan((), (one, other), None).count(one.why.split(":")[0]) == 1


def test_the_kernel_is_only_told_when_asked():
    view = view_of("kernel-geneve")
    assert "--kernel" in planned(view).refused[0].why
    [step] = planned(view, kernel=True).steps
    assert isinstance(step.action, Run)
    assert step.action.command == step.remedy.command


def test_a_lock_file_that_could_not_be_taken_note_of_is_not_deleted():
    view = view_of("stale-lock")
    assert isinstance(planned(view).steps[0].action, DeleteLocks)
    assert planned(view, survey=Survey()).steps == ()


def test_a_lock_file_of_another_user_is_refused_before_anything_is_tried():
    view = view_of("stale-lock", uid=1000)
    files = tuple(replace(file, removable=False) for file in view.device.lock_files)
    found = planned(View(replace(view.scene, device=replace(view.device, lock_files=files))))
    assert found.steps == ()
    assert "takes root" in found.refused[0].why


def test_one_forward_is_cancelled_and_the_shared_connection_never_ended():
    assert ids(planned(view_of("ssh-forward-master")))[0] == "cancel-forward"
    found = planned(view_of("ssh-forward-persist"), force=True)
    assert found.steps == ()
    assert "shared SSH connection" in found.refused[0].why


def test_every_situation_that_blocks_for_good_is_known():
    from inuse.remedies.refusals import LASTING

    passing = {"time-wait", "closing", "stale-lock"}
    blocked = {code for code, verdict in SITUATIONS.items() if verdict == "blocked"}
    assert blocked - passing == LASTING
