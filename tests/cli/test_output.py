"""What people and scripts read: exit status, standard output and standard error together."""

import io
import json
import re
import socket
import sys
import time
import unicodedata

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inuse.cli import main
from inuse.cli.app import run
from inuse.listing import Entry, Listing, Who
from inuse.model import (
    Diagnosis,
    Failure,
    Finding,
    Holder,
    HolderSocket,
    Options,
    Parent,
    Remedy,
    Scene,
    Socket,
    Target,
)
from inuse.render import holders, table, text
from inuse.render import json as as_json
from inuse.render.safe import cut, fit, safe, shell, width, wrap
from inuse.systems.replay import dump

#: A name nobody should have: a cursor movement, a bidi override, a newline, a lone surrogate, a C1 control.
HOSTILE = "evil\x1b[2Jname\u202egnp.exe\n$ rm -rf ~\udcff\x9b31m"
WIDE = "日本語のとても長い名前のサーバープロセスです"


@pytest.fixture
def asked(capsys):
    """Runs the command line; status, standard output and standard error as one text."""

    def ask(*arguments):
        status = run(arguments)
        out, err = capsys.readouterr()
        errors = "".join(f"stderr: {line}" for line in err.splitlines(keepends=True))
        return f"$ inuse {' '.join(arguments)}\n{out}{errors}[{status}]"

    return ask


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Eleven in the morning, UTC, on a day long ago."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()

    class Clock:
        strptime, localtime = staticmethod(time.strptime), staticmethod(time.localtime)

        @staticmethod
        def time():
            return 1_790_000_000

        @staticmethod
        def strftime(form, moment=None):
            return time.strftime(form, moment or time.gmtime(Clock.time()))

    monkeypatch.setattr(holders, "time", Clock)
    monkeypatch.setattr(table, "time", Clock)
    yield
    monkeypatch.undo()
    time.tzset()


# ------------------------------------------------------------------------------------------ the command line


def test_help(asked, snapshot):
    said = asked("--help")
    assert said == snapshot
    assert said == asked("-h").replace("inuse -h\n", "inuse --help\n", 1)
    assert "Usage: inuse [OPTIONS] [TARGET]...\n" in said
    assert too_wide(said) == []


@pytest.mark.parametrize("verb", ["demo", "schema"])
def test_help_of_a_verb(asked, verb, snapshot):
    said = asked(verb, "--help")
    assert said == snapshot
    assert too_wide(said) == []


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version_is_said_without_and_with_the_whole_command_line(asked, monkeypatch, capsys, option):
    monkeypatch.setattr(sys, "argv", ["inuse", option])
    monkeypatch.setattr("os._exit", sys.exit)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert f"$ inuse {option}\n{capsys.readouterr().out}[0]" == asked(option)


@pytest.mark.parametrize(
    "arguments",
    [
        ["80800000"],
        ["65536"],
        ["8010-8000"],
        ["htps"],
        ["frobnicate"],
        [""],
        ["8080", "\x1b[31mred"],
        ["8080", "--json", "--short"],
        ["8080", "--as", "reuse"],
        ["8080", "--as", "uid=4294967295"],
        ["8080", "--as", "uid=no-such-user"],
        ["8080", "--as", "dev="],
        ["8080", "--as"],
        ["8080", "--color", "sometimes"],
        ["8080", "--frobnicate"],
        ["8080", "--all"],
        ["demo", "no-such-situation"],
        ["schema", "8080"],
    ],
    ids=lambda arguments: " ".join(arguments).replace("\x1b", "ESC") or "nothing",
)
def test_a_usage_error_is_one_line(asked, arguments, snapshot):
    said = asked(*arguments)
    assert said.replace(str(arguments), "") == snapshot
    head, *lines, status = said.split("\n")
    assert head
    assert status == "[2]"
    assert len(lines) == 1
    assert lines[0].startswith("stderr: inuse: ")
    assert lines[0].isprintable()


def test_a_scene_that_is_none(asked, tmp_path):
    path = tmp_path / "scene.json"
    assert asked("--scene", str(path)).endswith(f"stderr: inuse: {path} can't be read: No such file or directory\n[3]")
    for broken in (b"", b"{}", b"[1]", b"\xff", b'[{"schema": "x"}]'):
        path.write_bytes(broken)
        said = asked("--scene", str(path))
        assert f"stderr: inuse: {path} is not a saved scene: " in said
        assert said.endswith("\n[3]")
    path.write_bytes(dump([Scene(schema=999)]))
    assert "was saved by a newer version" in asked("--scene", str(path))


def scenes(tmp_path):
    """A saved scene: a listener of an unknown process, and a free port beside it."""
    listener = Socket(proto="tcp", family="inet", local_address="0.0.0.0", local_port=8080, state="listen", inode=7)
    found = [
        Scene(target=Target(text="8080", proto="tcp", port=8080), probed=False, sockets=(listener,)),
        Scene(target=Target(text="8081", proto="tcp", port=8081), probed=False),
    ]
    path = tmp_path / "scene.json"
    path.write_bytes(dump(found))
    return str(path)


def test_exit_status_of_several_targets(asked, tmp_path):
    path = scenes(tmp_path)
    assert asked("8081", "--short", "--scene", path).endswith("\n[1]")
    assert not asked("8080", "--short", "--scene", path).endswith("\n[1]")
    assert len(asked("8080-8081", "--short", "--scene", path).split("\n")) == 4


@pytest.mark.parametrize(
    ("arguments", "kind"), [(["8081"], dict), (["8081", "8080"], list), (["8081-8081"], list), (["8080-8081"], list)]
)
def test_one_object_or_an_array(tmp_path, capsys, arguments, kind):
    run([*arguments, "--json", "--scene", scenes(tmp_path)])
    out, err = capsys.readouterr()
    assert isinstance(json.loads(out), kind)
    assert out.endswith("\n")
    assert err == ""


# ------------------------------------------------------------------------------------------ text for people

LISTENER = HolderSocket(proto="tcp", local="127.0.0.1:8080", remote=None, state="listen", fd=3)
ANNA = Holder(
    pid=4711,
    name="python3",
    exe="/usr/bin/python3.11",
    cmdline=("python3", "-m", "http.server", "8080", "--bind", "127.0.0.1"),
    cwd="/home/anna/api",
    repository="api",
    user="anna",
    uid=1000,
    started="2026-09-21T08:14:03+00:00",
    state="sleeping",
    parents=(Parent(pid=4002, name="bash"), Parent(pid=3990, name="tmux: server")),
    sockets=(LISTENER,),
)
STOP = Remedy(
    id="stop-holder", title="End it", command=("kill", "-TERM", "4711"), disrupts="what python3 does", automatic=True
)
OTHER = Remedy(id="use-another-port", title="Use another port", command=("inuse", "pick", "8081-8099"))
EDIT = Remedy(
    id="edit",
    title="Give the program the right it lacks",
    command=(
        "setcap",
        "cap_net_bind_service=+ep",
        "/usr/local/lib/a/rather/long/path/to/the/program/that/listens/here",
    ),
    needs_root=True,
)


def diagnosis(**changes):
    plain = {
        "target": Target(text="8080", proto="tcp", port=8080),
        "verdict": "in_use",
        "situation": "application",
        "summary": "TCP port 8080 is in use: python3 (pid 4711) listens on 127.0.0.1:8080",
        "error": Failure(call="bind", errno="EADDRINUSE"),
        "holders": (ANNA,),
        "findings": (
            Finding(
                situation="application",
                title="python3 (pid 4711) listens on 127.0.0.1:8080",
                explanation="python3 has the port open and serves it. Only one socket can have an address and "
                "port unless both sides agree to share.",
                evidence=("127.0.0.1:8080 without SO_REUSEADDR covers the same address",),
                holders=(4711,),
                remedies=(STOP, OTHER),
            ),
        ),
    }
    return Diagnosis(**(plain | changes))


def hostile():
    holder = msgspec.structs.replace(
        ANNA,
        name=HOSTILE,
        cmdline=(HOSTILE, "a b", "it's", "\x7f"),
        cwd=f"/tmp/{HOSTILE}",
        repository=HOSTILE,
        user=HOSTILE,
        unit=HOSTILE,
        exe_deleted=True,
        exe=HOSTILE,
        parents=(Parent(pid=1, name=HOSTILE),),
    )
    finding = Finding(
        situation="application",
        title=HOSTILE,
        explanation=f"Because of {HOSTILE}.",
        evidence=(HOSTILE,),
        remedies=(Remedy(id="x", title=HOSTILE, command=("kill", HOSTILE)),),
    )
    return diagnosis(summary=HOSTILE, holders=(holder,), findings=(finding,), limits=(HOSTILE,))


def wide():
    name = f"{WIDE}.exe"
    holder = msgspec.structs.replace(
        ANNA, name=name, cmdline=(f"/opt/{WIDE}/{name}", "--port", "8080"), cwd=f"/home/{WIDE}"
    )
    finding = Finding(situation="application", title=name, explanation=f"Because of {name} " * 6, evidence=(WIDE * 5,))
    return diagnosis(summary=f"TCP port 8080 is in use: {name} listens", holders=(holder,), findings=(finding,))


def crowd():
    holders = tuple(msgspec.structs.replace(ANNA, pid=100 + k, sockets=(LISTENER,) * (k + 1)) for k in range(12))
    return diagnosis(holders=holders)


DIAGNOSES = {
    "application": diagnosis(),
    "free": diagnosis(
        verdict="free", situation="free", summary="TCP port 8080 is free", error=None, holders=(), findings=()
    ),
    "shared": diagnosis(
        verdict="free", situation="free", summary="TCP port 8080 is free, shared with 1 other(s)", error=None
    ),
    "kernel": diagnosis(
        target=Target(text="4789/udp", proto="udp", port=4789),
        summary="UDP port 4789 is in use: a kernel socket",
        holders=(
            Holder(
                kind="kernel",
                subsystem="vxlan",
                sockets=(HolderSocket(proto="udp", local="*:4789", remote=None, state="unconnected", fd=None),),
            ),
        ),
    ),
    "blocked": diagnosis(
        verdict="blocked",
        situation="privileged-port",
        summary="TCP port 80 is blocked: below the unprivileged range",
        error=Failure(call="bind", errno="EACCES"),
        holders=(),
        findings=(
            Finding(
                situation="privileged-port", title="low", explanation="Ports below 1024 need a right.", remedies=(EDIT,)
            ),
        ),
    ),
    "unknown": diagnosis(
        verdict="unknown",
        situation="unknown",
        summary="TCP port 8080: could not find out: /proc can't be read: No such file or directory",
        error=None,
        holders=(),
        findings=(),
        limits=("the processes could not be looked at (what would show it: a mounted /proc)",),
    ),
    "crowd": crowd(),
    "hostile": hostile(),
    "wide": wide(),
}


def too_wide(said, columns=80):
    """The lines that don't fit, but for commands, which may not be broken just anywhere."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    return [line for line in plain.splitlines() if width(line) > columns and "$ " not in line]


def harmless(said):
    """Whether text has only newlines besides what can be printed."""
    return all(c.isprintable() or c == "\n" for c in said)


@pytest.mark.parametrize("name", DIAGNOSES)
def test_text(name, snapshot):
    said = text.render(DIAGNOSES[name])
    assert said == snapshot
    assert harmless(said)
    assert too_wide(said) == []
    assert not any(line.endswith(" ") for line in said.splitlines())


@pytest.mark.parametrize("columns", [40, 60, 100, 120])
@pytest.mark.parametrize("name", DIAGNOSES)
def test_text_of_any_width_fits(name, columns):
    assert too_wide(text.render(DIAGNOSES[name], columns=columns), columns) == []


def test_short_is_one_line_a_target(snapshot):
    lines = [text.short(diagnosis) for diagnosis in DIAGNOSES.values()]
    assert lines == snapshot
    assert all(line.isprintable() for line in lines)


def test_a_command_can_be_pasted_into_a_shell():
    assert shell(["kill", "-TERM", "1"]) == "kill -TERM 1"
    assert shell(["a b", "it's", ""]) == "'a b' 'it'\"'\"'s' ''"
    assert shell(["\x1b'\\"]) == r"$'\x1b\'\\'"


@given(st.text(), st.integers(2, 200))
def test_wrapped_text_fits_and_loses_nothing(foreign, columns):
    lines = wrap(safe(foreign), columns)
    assert all(width(line) <= columns for line in lines)
    assert "".join(lines).replace(" ", "") == safe(foreign).replace(" ", "")
    assert width(cut(safe(foreign), columns)) <= columns
    assert width(fit(safe(foreign), columns)) == columns


@given(st.text(st.characters()))
def test_safe_text_is_printable_and_plain_text_is_left_alone(foreign):
    assert safe(foreign).isprintable()
    if foreign.isprintable():
        assert safe(foreign) == foreign


class Screen(io.TextIOWrapper):
    """A standard output that is, or is not, a terminal."""

    def __init__(self, terminal, encoding="utf-8"):
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self.terminal = terminal

    def isatty(self):
        return self.terminal


def colours(monkeypatch, tmp_path, *arguments, terminal=True, encoding="utf-8", **environ):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    screen = Screen(terminal, encoding)
    monkeypatch.setattr(sys, "stdout", screen)
    run(["8080", "--scene", scenes(tmp_path), *arguments])
    return screen.buffer.getvalue().decode(encoding)


def test_colour_is_for_terminals(monkeypatch, tmp_path):
    assert "\x1b[" in colours(monkeypatch, tmp_path, TERM="xterm")
    assert "\x1b[" not in colours(monkeypatch, tmp_path, terminal=False)
    assert "\x1b[" not in colours(monkeypatch, tmp_path, NO_COLOR="1")
    assert "\x1b[" in colours(monkeypatch, tmp_path, NO_COLOR="")
    assert "\x1b[" not in colours(monkeypatch, tmp_path, TERM="dumb")
    assert "\x1b[" not in colours(monkeypatch, tmp_path, "--color", "never")
    assert "\x1b[" not in colours(monkeypatch, tmp_path, "--json")
    assert "\x1b[" not in colours(monkeypatch, tmp_path, "--short")


def test_colour_when_asked_for(monkeypatch, tmp_path):
    bright = colours(monkeypatch, tmp_path, "--color", "always", terminal=False, NO_COLOR="1")
    assert "\x1b[1;" in bright
    assert re.sub(r"\x1b\[[0-9;]*m", "", bright) == colours(monkeypatch, tmp_path, terminal=False)


def test_a_locale_without_the_characters(monkeypatch, tmp_path):
    colours(monkeypatch, tmp_path, encoding="ascii")


# ------------------------------------------------------------------------------------------ the table


def entry(**changes):
    plain = {
        "proto": "tcp",
        "address": "0.0.0.0",
        "port": 8080,
        "state": "listen",
        "count": 1,
        "holders": (Who(pid=4711, name="python3", user="anna", unit=None),),
        "since": "2026-09-21T08:14:03+00:00",
        "situation": "",
    }
    return Entry(**(plain | changes))


LISTING = Listing(
    entries=(
        entry(),
        entry(port=8081, address="2001:db8:1234:5678:9abc:def0:1234:5678%wlan0", since="2025-01-01T00:00:00+00:00"),
        entry(port=8082, state="bound", situation="bound-not-listening"),
        entry(
            port=8083, holders=tuple(Who(pid=pid, name="worker", user=None, unit=None) for pid in range(5, 9)), count=4
        ),
        entry(port=8084, holders=(Who(pid=1, name=HOSTILE, user=None, unit=None),), address="127.0.0.1"),
        entry(port=8085, holders=(Who(pid=2, name=WIDE, user=None, unit=None),)),
        entry(port=8086, holders=(), state="time-wait", situation="time-wait", since=None),
        entry(
            port=32768,
            ports=412,
            address="*",
            holders=(),
            state="time-wait",
            count=9000,
            situation="time-wait",
            since=None,
        ),
        entry(port=8087, state="established", address="10.0.0.1", remote="192.0.2.200:54321"),
        entry(proto="udp", port=53, state="unconnected", situation="service"),
    ),
    limits=("1 process may not be looked at (what would show it: sudo)", HOSTILE),
)


def test_table(snapshot):
    lines = list(table.render(LISTING))
    assert lines == snapshot
    assert all(line.isprintable() for line in lines)
    assert too_wide("\n".join(lines)) == []


def test_an_empty_table():
    assert [line.split() for line in table.render(Listing(entries=(), limits=()))] == [list(table.HEADINGS)]


# ------------------------------------------------------------------------------------------ JSON


def assert_quiet(data):
    """Nothing that acts on a terminal stands in it raw."""
    said = data.decode("utf-8")
    assert said[-1] == "\n"
    for character in said[:-1]:
        assert character == "\n" or unicodedata.category(character)[0] != "C", ascii(character)
        assert unicodedata.category(character) not in {"Zl", "Zp"}, ascii(character)


@given(
    st.recursive(st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)),
    st.booleans(),
)
@example("\x7f", False)
@example("\u2028\u2029\u202e\x9b\ufeff\U000e0001\U0001f600", True)
def test_any_text_is_the_same_json_after_parsing_and_harmless_before(document, indent):
    data = as_json.render(document, indent=indent)
    assert json.loads(data) == document
    assert_quiet(data)


def test_a_hostile_name_in_json():
    name = HOSTILE.replace("\udcff", "")
    found = msgspec.structs.replace(diagnosis(), summary=name)
    data = as_json.render(found)
    assert_quiet(data)
    assert data.count(b"\n") == 1
    assert json.loads(data)["summary"] == name


# ------------------------------------------------------------------------------------------ the schema

#: Words of JSON Schema that say something without asking for anything.
_ANNOTATIONS = {"$schema", "title", "description", "default", "$defs"}


def holds(schema, value, root, at="$"):  # noqa: C901 - a case for each word
    """The places where a value is not what a schema says; for the words of JSON Schema that ours uses."""
    for word, says in schema.items():
        if word == "$ref":
            yield from holds(root["$defs"][says.removeprefix("#/$defs/")], value, root, at)
        elif word == "anyOf":
            found = [list(holds(one, value, root, at)) for one in says]
            if all(found):
                yield from min(found, key=len)
        elif word == "type":
            if not _is(value, says):
                yield f"{at}: {value!r} is no {says}"
        elif word == "enum":
            if value not in says:
                yield f"{at}: {value!r} is none of {says}"
        elif word == "properties" and isinstance(value, dict):
            yield from (f"{at}: {name} is not announced" for name in set(value) - set(says))
            for name in set(value) & set(says):
                yield from holds(says[name], value[name], root, f"{at}.{name}")
        elif word == "required" and isinstance(value, dict):
            yield from (f"{at}: {name} is missing" for name in says if name not in value)
        elif word == "items" and isinstance(value, list):
            for number, one in enumerate(value):
                yield from holds(says, one, root, f"{at}[{number}]")
        elif word not in _ANNOTATIONS | {"properties", "required", "items"}:
            raise NotImplementedError(word)


def _is(value, kind):
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kinds[kind])


@pytest.fixture(scope="module")
def schema():
    return json.loads(as_json.render(as_json.schema()))


def test_schema_is_printed_alone(capsys, schema):
    assert run(["schema"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == schema
    assert err == ""


def test_schema_is_sound(schema):
    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"]
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    walk(schema)
    for definition in schema["$defs"].values():
        assert set(definition.get("required", ())) <= set(definition["properties"])


@pytest.mark.parametrize("name", [name for name in DIAGNOSES if name != "hostile"])
def test_a_diagnosis_is_as_the_schema_says(schema, name):
    document = json.loads(as_json.render(DIAGNOSES[name]))
    assert list(holds(schema, document, schema)) == []
    assert list(holds(schema, [document, document], schema)) == []


def test_the_listing_is_as_the_schema_says(schema):
    quiet = msgspec.structs.replace(LISTING, entries=LISTING.entries[:4], limits=())
    assert list(holds(schema, json.loads(as_json.render(quiet)), schema)) == []


@pytest.mark.parametrize(
    "broken", [{}, 1, None, {"schema": 1}, {"schema": 1, "entries": [{}], "limits": []}, [{"verdict": "in_use"}]]
)
def test_the_schema_refuses_what_is_no_answer(schema, broken):
    assert list(holds(schema, broken, schema))


def test_this_machine_is_as_the_schema_says(schema, capsys):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        for arguments in ([f"127.0.0.1:{port}"], [str(port), f"{port}/udp"], [f"{port}-{port}"], ["ipsec"]):
            assert run([*arguments, "--json"]) in {0, 1}
            document = json.loads(capsys.readouterr().out)
            assert list(holds(schema, document, schema)) == []
        assert run(["--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert list(holds(schema, document, schema)) == []
        assert port in [row["port"] for row in document["entries"]]


def test_fields_of_the_contract(capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        run([f"127.0.0.1:{server.getsockname()[1]}", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert {"schema", "target", "verdict", "situation", "summary", "error", "holders", "findings", "limits"} <= set(
        answer
    )
    assert {"text", "kind", "proto", "address", "port", "device"} <= set(answer["target"])
    assert set(answer["error"]) >= {"call", "errno"}
    (holder,) = answer["holders"]
    named = "kind pid name exe cmdline cwd repository user uid started state unit container parents sockets"
    assert set(named.split()) <= set(holder)
    assert set(holder["sockets"][0]) >= {"proto", "local", "remote", "state", "fd"}
    assert {"situation", "confidence", "title", "explanation", "evidence", "holders", "details", "remedies"} <= set(
        answer["findings"][0]
    )
    remedy = {"id", "title", "command", "needs_root", "disrupts", "reversible", "automatic"}
    assert all(remedy <= set(given) for given in answer["findings"][0]["remedies"])


def test_options_of_an_attempt():
    from inuse.cli.options import AttemptOptions

    read = AttemptOptions().convert
    assert read("", None, None) == Options()
    assert read(" reuseaddr, reuseport,,v6only ", None, None) == Options(reuseaddr=True, reuseport=True, v6only=True)
    assert read("uid=1000,dev=eth0", None, None) == Options(uid=1000, device="eth0")
    assert read("uid=root", None, None).uid == 0
