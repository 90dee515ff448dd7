"""`inuse free` on real holders: what is announced happens, the target can be had, and nobody else is hurt."""

import socket
import time
from contextlib import ExitStack
from importlib import import_module
from pkgutil import walk_packages
from typing import NamedTuple

from freeing_stage import PORT, gone, started
from staging import check, harmless, inuse

from inuse.demo.stage import until

# -- Asking ------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What `inuse free … --json` answered; ``seconds`` it took."""

    status: int
    said: dict
    seconds: float

    @property
    def plan(self):
        return [step["id"] for step in self.said["plan"]]

    @property
    def refused(self):
        return {one["pid"] for one in self.said["refused"]}

    @property
    def text(self):
        """Every word of the plan, of the refusals and of the reason, for what must be said somewhere."""
        return " ".join(map(str, (self.said["plan"], self.said.get("refused"), self.said.get("why"))))


def free(target=PORT, *options, enter=None, environment=None):
    """Run `inuse free TARGET … --json`; what holds of every answer is asserted here."""
    began = time.monotonic()
    run = inuse("free", str(target), "--json", *options, enter=enter, environment=environment)
    answer = judged(run.status, run.out, run.err, time.monotonic() - began, dry="--dry-run" in options)
    assert run.json["target"]["text"] == str(target)
    return answer


def judged(status, out, err, seconds=0.0, *, dry=False):
    """Check what the contract promises of an answer."""
    from json import loads

    assert b"Traceback" not in err, err.decode()
    assert out, err.decode()
    harmless(out)
    said = loads(out)
    assert said["schema"] == 1
    check(said["before"])
    check(said["after"])
    planned = [step["id"] for step in said["plan"]]
    assert set(said["done"]) <= set(planned), "something was done that was not in the plan"
    if dry:
        assert said["freed"] is None
        assert said["done"] == []
    else:
        assert said["freed"] is (status == 0)
        assert said["freed"] is (said["after"]["verdict"] == "free"), "freed, and not free"
    return Answer(status, {"refused": [], **said}, seconds)


def import_everything():
    """Import all that freeing may take: an asker that gave up its rights may not be able to read it."""
    import inuse as package

    for module in walk_packages(package.__path__, "inuse."):
        if not module.name.endswith("__main__") and ".demo" not in module.name:
            import_module(module.name)


def can_be_had(port=PORT, kind=socket.SOCK_STREAM):
    """Whether a plain program, without SO_REUSEADDR, can bind the port on every address, and listen."""
    with ExitStack() as sockets:
        try:
            for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                made = sockets.enter_context(socket.socket(family, kind))
                if family == socket.AF_INET6:
                    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                made.bind((address, port))
                if kind == socket.SOCK_STREAM:
                    made.listen()
        except OSError:
            return False
    return True


def udp_can_be_had(port=PORT):
    return can_be_had(port, socket.SOCK_DGRAM)


# -- What must hold ----------------------------------------------------------------------------------


def freed(target=PORT, *options, ends=(), bystanders=(), had=can_be_had, environment=None, enter=None):
    """Announce, then do: the plan touches nothing, the same plan is carried out, and the target can be had.

    ``ends``: the processes that are to end, and nobody else. Returns the answer.
    """
    began = {pid: started(pid) for pid in ends}
    assert None not in began.values()
    asked = {"environment": environment, "enter": enter}
    announced = free(target, "--dry-run", *options, **asked)
    assert announced.status == 0, announced.said
    unharmed([(pid, began[pid]) for pid in ends], bystanders)
    assert not had(), "it could be had all the time"
    done = free(target, "--yes", *options, **asked)
    assert done.status == 0, (done.said.get("why"), done.said["after"]["summary"], done.said["done"])
    assert steps(done) == steps(announced), "what was done is not what was announced"
    assert had(), "said to be free, and can't be had"
    unharmed([], bystanders)
    for pid in ends:
        until(lambda pid=pid: gone(pid, began[pid]), f"the end of {pid}")
    return done


def steps(answer):
    """The plan without what time changes: how long is still to wait."""
    return [(step["id"], None if step["id"] == "wait" else step["command"]) for step in answer.said["plan"]]


def untouched(target=PORT, *options, holders=(), bystanders=(), environment=None, enter=None):
    """It is not freed, and holders and bystanders are none the worse. Returns the answer."""
    began = [(pid, started(pid)) for pid in holders]
    answer = free(target, *options, environment=environment, enter=enter)
    assert answer.status == 1, answer.said
    time.sleep(0.1)  # a signal may take a moment
    unharmed(began, bystanders)
    return answer


def unharmed(known, bystanders):
    for pid, began in known:
        assert began is not None
        assert started(pid) == began, f"the holder {pid} is gone"
    for one in bystanders:
        one.check()
