"""Makes the saved scenes of tests/scenes from real stagings.

    python tests/kernel/staging_save.py FOLDER [NAME…]

stages each situation (all, or those named), saves what was seen as FOLDER/NAME.json, and beside it the
diagnosis in short as NAME.expected.json: to be read before it is believed. What belongs to the machine
and not to the situation is replaced: paths, ancestors, and processes here that nobody may look at.
"""

import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec
from staging import in_child, inuse, script

from inuse.demo import linux
from inuse.demo.registry import DEMOS
from inuse.demo.stage import ACTORS, Stage, Staged
from inuse.diagnosis import explain
from inuse.model import Options, Scene
from inuse.scene import View
from inuse.systems.replay import dump

SERVER = "/home/anna/api/server.py"
#: Where things lie on the machine that stages, and where they might lie on somebody's.
PATHS = (
    (re.escape(str(ACTORS)), SERVER),
    (re.escape(sys.executable), "python3"),
    (r"/tmp/inuse-ssh-\w+", "/home/anna/.ssh"),
    (re.escape(f'"cwd": "{os.getcwd()}"'), '"cwd": "/home/anna/api"'),
)


def time_wait_reuseaddr(stage):
    program = script(
        stage,
        "server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        "server.bind((LOCAL, 8080)); server.listen(); client = socket.create_connection((LOCAL, 8080))\n"
        "accepted, _ = server.accept(); accepted.close(); client.recv(1); client.close(); say(closed=True)",
    )
    program.hear()
    program.process.wait()
    return Staged(target="8080")


def one_socket(code, target="8080"):
    def staging(stage):
        program = script(stage, f"made = {code}; say(ready=True); stay()")
        program.hear()
        return Staged(target=target, pids=(program.pid,))

    return staging


def application_forked(stage):
    program = script(
        stage,
        "server = listener('8080')\nchild = os.fork()\nif not child: linger(server)\nsay(child=child); stay()",
    )
    child = program.hear()["child"]
    stage.adopt(child)
    return Staged(target="8080", pids=(program.pid, child))


def application_reuseport(stage):
    code = (
        "made = socket.socket(); made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
        "made.bind((LOCAL, 8080)); made.listen(); say(ready=True); stay()"
    )
    group = [script(stage, code) for _ in range(2)]
    for one in group:
        one.hear()
    return Staged(target="8080", pids=tuple(one.pid for one in group))


def hidden_holder_low_port(stage):
    server = stage.start("serve", 80)
    server.hear()
    return Staged(target="80", pids=(server.pid,), enter=linux.become_nobody)


def application_low_port(stage):
    server = stage.start("serve", 80)
    server.hear()
    return Staged(target="80", pids=(server.pid,), options=Options(uid=linux.NOBODY))


def hidden_holder_container(stage):
    stage.start("serve", 8080).hear()
    return Staged(target="8080", enter=linux.inner_processes)


def no_proc():
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, 0x4000 | 1 << 18)
    linux.mount("tmpfs", "/proc", "tmpfs")


def hidden_holder_no_proc(stage):
    stage.start("serve", 8080).hear()
    return Staged(target="8080", enter=no_proc)


MORE = {
    "time-wait-reuseaddr": time_wait_reuseaddr,
    "application-forked": application_forked,
    "application-reuseport": application_reuseport,
    "application-ipv6-loopback": one_socket("listener('8080', '::1')"),
    "application-dual-stack": one_socket("listener('8080', '::')", "127.0.0.1:8080"),
    "free-other-address": one_socket("listener('8080', '127.0.0.2')", "127.0.0.1:8080"),
    "application-low-port": application_low_port,
    "hidden-holder-low-port": hidden_holder_low_port,
    "hidden-holder-container": hidden_holder_container,
    "hidden-holder-no-proc": hidden_holder_no_proc,
}


def save(name, staging, folder):
    """Stage one situation and save it."""
    linux.private_network()
    with Stage(private=True) as stage:
        staged = staging(stage)
        place = tempfile.mkdtemp()
        stage.afterwards(lambda: shutil.rmtree(place))
        os.chmod(place, 0o777)
        uid = () if staged.options.uid is None else ("--as", f"uid={staged.options.uid}")
        words = staged.options.command
        program = ("--for", shlex.join(words)) if words else ()
        inuse(staged.target, *uid, *program, "--save-scene", f"{place}/scene", enter=staged.enter)
        seen = json.loads(Path(place, "scene").read_text())
    text = json.dumps([neutral(scene) for scene in seen])
    for path, instead in PATHS:
        text = re.sub(path, instead, text)
    scenes = msgspec.json.decode(text, type=list[Scene])
    Path(folder, f"{name}.json").write_bytes(dump(scenes))
    expected = json.dumps(in_short(explain(View(scenes[0]))), indent=1, ensure_ascii=False)
    Path(folder, f"{name}.expected.json").write_text(expected + "\n")


def _only_init(values):
    """Whether the only process that may not be looked at is the first one: this machine's own."""
    return (values.get("count"), values.get("pid1")) == (1, 1)


def neutral(scene):
    """Replace what belongs to this machine."""
    ours = [one for one in scene.get("unseen", []) if one.get("pids") == [1] or _only_init(one.get("values", {}))]
    scene["unseen"] = [one for one in scene.get("unseen", []) if one not in ours]
    if ours and not any(one["what"] == "holders" for one in scene["unseen"]):
        scene["complete"] = True
    scene.get("host", {})["kernel"] = "6.18.44"
    for process in scene.get("processes", []):
        if "python" in process.get("exe", ""):
            process["exe"] = "/usr/bin/python3.11"
            words = process.get("cmdline", [])
            process["name"] = "python3"
            verb = words[words.index(str(ACTORS)) + 1 :] if str(ACTORS) in words else []
            process["cmdline"] = ["python3", SERVER, *verb]
        if process.get("parents"):
            process["parents"] = [{"pid": process["ppid"], "name": "bash"}]
        if "cgroup" in process and process["cgroup"].startswith("/inuse-demo-"):
            process["cgroup"] = "/" + process["cgroup"].split("/", 2)[2]
    return scene


def in_short(said):
    """The part of a diagnosis that a case is about: codes and numbers, no prose."""
    return {
        "verdict": said.verdict,
        "situation": said.situation,
        "error": said.error and {"call": said.error.call, "errno": said.error.errno},
        "holders": [holder.pid or holder.kind for holder in said.holders],
        "findings": [
            {
                "situation": one.situation,
                "confidence": one.confidence,
                "holders": list(one.holders),
                "details": one.details,
            }
            for one in said.findings
        ],
        "limits": len(said.limits),
    }


def main():
    folder, *names = sys.argv[1:]
    stagings = {**{demo.name: demo.stage for demo in DEMOS}, **MORE}
    for name in names or stagings:
        try:
            in_child(lambda name=name: save(name, stagings[name], folder))
        except BaseException as error:  # noqa: BLE001 - pytest's own skip and failure are no Exceptions
            print(f"{name}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
