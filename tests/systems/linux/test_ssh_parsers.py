"""Forwards, command lines and configurations of SSH as text: against ``ssh -G`` where it is here, and hostile ones."""

import contextlib
import os
import shutil
import subprocess
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inuse.systems.linux.ssh import command, config, control, files, forwards, lines, server_config, titles, tokens
from inuse.systems.linux.ssh.client import title_path

SSH = shutil.which("ssh")
needs_ssh = pytest.mark.skipif(SSH is None, reason="ssh is not installed")


# -- Forwards ---------------------------------------------------------------------------------------

WRITTEN = [
    ("8080:db:5432", (8080, None, "db", 5432)),
    ("127.0.0.1:8080:db:5432", (8080, "127.0.0.1", "db", 5432)),
    ("[::1]:8080:[fe80::1]:5432", (8080, "::1", "fe80::1", 5432)),
    ("*:8080:db:1", (8080, "*", "db", 1)),
    (":8080:db:1", (8080, "", "db", 1)),
    ("http:db:https", (80, None, "db", 443)),
    ("080:db:1", (80, None, "db", 1)),
    ("1:2:3:4", (2, "1", "3", 4)),
    ("8080::1", (8080, None, "", 1)),
    ("8080:db:1:", (8080, None, "db", 1)),
    (r"8080:db\:x:1", (8080, None, "db:x", 1)),
]
NONE = [
    *(
        "",
        ":",
        "8080",
        "127.0.0.1:8080",
        "127.0.0.1/8080/db/5432",
        "0:db:1",
        "8080:db:5432:9",
        "8080:db:0",
        "65536:db:1",
    ),
    *(
        ":::8080:db:1",
        "8080 db:5432",
        "/tmp/y.sock:db:1",
        "[::1:8080:db:1",
        "8080:db:1\\",
        "-1:db:1",
        "٣:db:1",
    ),
    *("[::1]x:8080:db:1", "1" * 5000),
]


@pytest.mark.parametrize(("text", "expected"), WRITTEN)
def test_a_local_forward(text, expected):
    made = forwards.parse_local(text)
    assert (made.port, made.bind, made.host, made.host_port) == expected


@pytest.mark.parametrize("text", NONE)
def test_no_local_forward(text):
    assert forwards.parse_local(text) is None


@pytest.mark.parametrize(
    ("text", "port", "bind"),
    [("1080", 1080, None), ("*:1080", 1080, "*"), ("[::1]:1080", 1080, "::1"), ("localhost:1080", 1080, "localhost")],
)
def test_a_dynamic_forward(text, port, bind):
    made = forwards.parse_dynamic(text)
    assert (made.port, made.bind, made.dynamic, made.to) == (port, bind, True, None)


@pytest.mark.parametrize("text", ["::1:1080", "127.0.0.1/1080", "1080:db:1", "0", "", "x:y:z"])
def test_no_dynamic_forward(text):
    assert forwards.parse_dynamic(text) is None


@pytest.mark.parametrize(
    ("text", "address", "fits"),
    [
        ("8080:a:1", "127.0.0.1", True),
        ("8080:a:1", "0.0.0.0", True),
        ("8080:a:1", "192.0.2.1", False),
        ("*:8080:a:1", "::", True),
        ("*:8080:a:1", "::1", False),
        ("localhost:8080:a:1", "::1", True),
        ("[0:0::1]:8080:a:1", "::1", True),
        ("127.0.0.2:8080:a:1", "127.0.0.1", False),
        ("myhost:8080:a:1", "192.0.2.1", True),
    ],
)
def test_which_listener_a_forward_can_have(text, address, fits):
    assert forwards.parse_local(text).fits(address) is fits


def asked_ssh(*words):
    """What ssh itself makes of a command line: its forwards, as ``ssh -G`` prints them."""
    done = subprocess.run(
        [SSH, "-F", "none", "-G", *words, "host"], capture_output=True, text=True, timeout=20, check=False
    )
    found = set()
    for line in done.stdout.splitlines():
        key, _, rest = line.partition(" ")
        if key == "localforward" and not rest.startswith("/"):
            found.add(rest)
    return found if done.returncode == 0 else None


def as_ssh_prints(made):
    bind = "" if made.bind is None else f"[{made.bind}]:"
    return f"{bind}{made.port} " + (made.path or f"[{made.host}]:{made.host_port}")


@needs_ssh
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.sampled_from(["8080", "80", "0", ":", "[", "]", "::1", "db", "127.0.0.1", "*", "\\", "70000", "x"]),
        max_size=9,
    )
)
def test_ssh_reads_a_forward_in_the_same_way(parts):
    text = "".join(parts)
    theirs = asked_ssh(f"-L{text}") if text else None
    ours = forwards.parse_local(text)
    assert ({as_ssh_prints(ours)} if ours else None) == (theirs or None)


@given(st.text(max_size=60) | st.text(alphabet=":[]\\/*.0123456789a", max_size=40))
def test_no_text_breaks_it(text):
    for parse in (forwards.parse_local, forwards.parse_dynamic):
        made = parse(text)
        if made is not None:
            assert 0 < made.port < 65536
            assert parse(made.spec) == made or "\\" in text or "]" in text or made.bind == ""


# -- Command lines ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "host", "user", "rest"),
    [
        ("ssh -N -L 8080:a:1 bastion", "bastion", None, ()),
        ("ssh -fNL8080:a:1 anna@bastion", "bastion", "anna", ()),
        ("ssh bastion -L 8080:a:1 -N", "bastion", None, ()),
        ("ssh -L 8080:a:1 -- bastion -L 9:b:1", "bastion", None, ("-L", "9:b:1")),
        ("ssh -L 8080:a:1 bastion tail -f log -L 9:b:1", "bastion", None, ("tail", "-f", "log", "-L", "9:b:1")),
        ("ssh -L 8080:a:1 ssh://anna@[::1]:22", "::1", "anna", ()),
        ("ssh -vvTL 8080:a:1 -o ServerAliveInterval=5 -i key -p22 -l anna bastion", "bastion", "anna", ()),
        ("ssh -L 8080:a:1 a@b@bastion", "bastion", "a@b", ()),
    ],
)
def test_a_command_line(line, host, user, rest):
    read = command.parse(line.split())
    assert [forward.port for forward in read.forwards] == [8080]
    assert (read.host, read.user, read.words) == (host, user, rest)


def test_flags_of_a_command_line():
    assert not command.parse(["ssh", "-fN", "h"]).session
    assert command.parse(["ssh", "-fN", "h"]).background
    assert not command.parse(["ssh", "-o", "SessionType none", "h"]).session
    assert command.parse(["ssh", "-L", "1:a:1", "h"]).session
    assert command.parse(["ssh", "-F", "a", "-Sx", "-J", "j", "-O", "check", "h"])[3:5] == ("a", "x")


@pytest.mark.parametrize(
    "words", [[], ["ssh"], ["ssh", "-"], ["ssh", "-L"], ["ssh", "--"], ["ssh", "-o"], [""], ["ssh", "@"]]
)
def test_broken_command_lines(words):
    assert command.parse(words).forwards == ()


@given(
    st.lists(st.text(max_size=20) | st.sampled_from(["-L", "-D", "-o", "--", "-N", "8080:a:1", "host"]), max_size=12)
)
def test_no_command_line_breaks_it(words):
    for valued in (command.OPENSSH, command.DROPBEAR):
        read = command.parse(words, valued)
        assert isinstance(read.session, bool)
        assert isinstance(read.background, bool)


def test_a_huge_command_line_is_quick():
    start = time.monotonic()
    command.parse(["ssh", *(["-L", "8080:a:1"] * 200_000)])
    command.parse(["ssh", "-" + "v" * 1_000_000])
    assert time.monotonic() - start < 2


# -- Configurations ---------------------------------------------------------------------------------


class Texts:
    """Files that are only texts."""

    def __init__(self, **texts):
        self._texts = {f"/c/{name}": text for name, text in texts.items()}

    def read(self, path):
        return files.Text(self._texts[path], 0.0) if path in self._texts else None

    def matching(self, pattern):
        return iter(sorted(path for path in self._texts if lines.wild(pattern, path)))


def said(host, text, user="anna", **more):
    source = lines.load("/c/config", Texts(config=text, **more), "/c")
    return config.ask(source.lines, config.Asked(host, user))


def leads(answer):
    return [(written.forward.to, written.sure) for written in answer.forwards]


CONFIG = """
LocalForward 1 all:1
Host b* !bad
    LocalForward 2 b:2
    HostName %h.example
Host "other" third
    LocalForward 3 c:3
Match user anna host "*.example"
    localforward=4 [fe80::4]:4   # a comment
Match !user anna
    LocalForward 5 e:5
Match exec "true" host *
    LocalForward 6 f:6
Match final
    LocalForward 7 g:7
Match all
    DynamicForward *:8
    LocalForward 9:h:9
    LocalForward /tmp/socket h:9
"""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("bast", ["all:1", "b:2", "[fe80::4]:4", "f:6", None, "g:7"]),
        ("bad", ["all:1", "f:6", None, "g:7"]),
        ("third", ["all:1", "c:3", "f:6", None, "g:7"]),
    ],
)
def test_a_configuration(host, expected):
    answer = said(host, CONFIG)
    assert [to for to, _ in leads(answer)] == expected
    assert [to for to, sure in leads(answer) if not sure] == ["f:6"]


def test_the_first_value_counts_and_forwards_add_up():
    answer = said("h", "User one\nUser two\nLocalForward 1 a:1\nLocalForward 1 b:1\n")
    assert answer.values["user"] == "one"
    assert len(answer.forwards) == 2
    assert said("h", "LocalForward 1 a:1\nClearAllForwardings yes\n").forwards == ()


def test_an_include_belongs_to_its_block():
    text = "Host a\n Include sub\nLocalForward 2 b:2\nHost *\n LocalForward 3 c:3\n"
    sub = "LocalForward 1 a:1\nHost *\nLocalForward 4 d:4\n"
    assert [to for to, _ in leads(said("a", text, sub=sub))] == ["a:1", "d:4", "b:2", "c:3"]
    assert [to for to, _ in leads(said("z", text, sub=sub))] == ["c:3"]


def test_includes_that_never_end():
    start = time.monotonic()
    assert leads(said("a", "Include config\nLocalForward 1 a:1\n")) == [("a:1", True)]
    many = {f"x{n}": "Include x*\nInclude x*\nLocalForward 1 a:1\n" for n in range(30)}
    said("a", "Include x*\n", **many)
    assert time.monotonic() - start < 2


@needs_ssh
@pytest.mark.parametrize("host", ["bast", "bad", "third", "other"])
def test_ssh_reads_a_configuration_in_the_same_way(tmp_path, host):
    path = tmp_path / "config"
    text = CONFIG.replace("    LocalForward 9:h:9\n", "").replace("    DynamicForward *:8\n", "")
    path.write_text(text.replace("Match user anna", "Match originalhost *").replace("user anna", "originalhost *"))
    done = subprocess.run([SSH, "-F", path, "-G", host], capture_output=True, text=True, timeout=20, check=True)
    theirs = [line.split(" ", 1)[1] for line in done.stdout.splitlines() if line.startswith("localforward ")]
    ours = [as_ssh_prints(written.forward) for written in said(host, path.read_text()).forwards]
    assert ours == [line for line in theirs if not line.startswith("/")]


@settings(deadline=None)
@given(st.text(max_size=200) | st.lists(st.sampled_from(CONFIG.split()), max_size=40).map("\n".join))
def test_no_configuration_breaks_it(text):
    answer = said("host", text)
    list(config.aliases(lines.load("/c/config", Texts(config=text), "/c").lines))
    assert isinstance(answer.gateway, bool)


@given(st.text(alphabet="ab*?", max_size=12), st.text(alphabet="ab", max_size=12))
def test_patterns(pattern, text):
    import re

    expected = re.fullmatch("".join({"*": ".*", "?": "."}.get(sign, sign) for sign in pattern), text) is not None
    assert lines.wild(pattern, text) is expected


def test_a_pattern_that_would_take_for_ever():
    start = time.monotonic()
    assert not lines.wild("*a" * 500 + "b", "a" * 2000)
    assert time.monotonic() - start < 5


def test_a_configuration_that_would_take_for_ever():
    start = time.monotonic()
    text = "".join(f"Host *{'a' * 120}b{number}\nLocalForward 1 a:1\n" for number in range(5000))
    source = lines.load("/c/config", Texts(config=text), "/c")
    assert source.cut
    with contextlib.suppress(config.TooLongError):
        config.ask(source.lines, config.Asked("a" * 250), until=time.monotonic() + 0.1)
    with pytest.raises(config.TooLongError):
        config.ask(source.lines, config.Asked("a" * 250), until=time.monotonic() - 1)
    assert time.monotonic() - start < 3


# -- Files ------------------------------------------------------------------------------------------


def test_hostile_files(tmp_path):
    read = files.Files()
    os.mkfifo(tmp_path / "fifo")
    os.symlink("loop", tmp_path / "loop")
    os.symlink("/dev/zero", tmp_path / "zero")
    (tmp_path / "big").write_bytes(b"#\xff\n" * 1_000_000)
    (tmp_path / "good").write_text("Host a\n")
    os.symlink("good", tmp_path / "link")
    for name in ("fifo", "loop", "zero", "none", "good/x"):
        assert read.read(str(tmp_path / name)) is None, name
    assert read.read("/c\0x") is None
    assert len(read.read(str(tmp_path / "big")).text) < 4 * files.MOST_BYTES
    assert read.read(str(tmp_path / "link")).text == "Host a\n"
    assert [*read.matching(f"{tmp_path}/l*")] == [f"{tmp_path}/link", f"{tmp_path}/loop"]
    assert read.read("/proc/self/status") is None
    assert read.unread.keys() >= {"/proc/self/status"}


# -- Titles, tokens, control sockets ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("sshd: anna",), ("anna", None, False)),
        (("sshd: anna@pts/3",), ("anna", "pts/3", False)),
        (("sshd: anna@pts/3,pts/4   ",), ("anna", "pts/3,pts/4", False)),
        (("sshd-session: anna@notty",), ("anna", None, False)),
        (("sshd: anna@EXAMPLE.ORG@pts/1",), ("anna@EXAMPLE.ORG", "pts/1", False)),
        (("sshd: anna [priv]",), ("anna", None, True)),
        (("sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups",), None),
        (("sshd: [accepted]",), None),
        (("sshd: anna [net]",), None),
        (("sshd: unknown [preauth]",), None),
        (("/usr/sbin/sshd", "-D"), None),
        (("sshd: ",), None),
        ((), None),
        (None, None),
    ],
)
def test_a_sessions_title(words, expected):
    assert titles.session(words) == expected


def test_the_listeners_arguments():
    title = "sshd: /usr/sbin/sshd -D -f /etc/x -oClientAliveInterval=5 [listener] 0 of 10-100 startups"
    assert server_config.options(titles.listener_words((title,))) == ("/etc/x", ["ClientAliveInterval=5"])
    assert titles.listener_words(("/usr/sbin/sshd", "-ddef", "/etc/y")) == ["/usr/sbin/sshd", "-ddef", "/etc/y"]
    assert server_config.options(["sshd", "-Def", "/etc/y", "-o"])[0] == "/etc/y"
    assert titles.listener_words(("sshd: anna",)) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0),
        ("15", 15),
        ("1m30s", 90),
        ("2h", 7200),
        ("1w", 604800),
        ("x", None),
        ("", None),
        ("5x", None),
        ("m", None),
    ],
)
def test_times(text, seconds):
    assert server_config.seconds(text, 0) == seconds


def test_the_title_of_a_master():
    assert title_path(("ssh: /home/a b/ctl [mux]",)) == "/home/a b/ctl"
    assert title_path(("ssh", "-M")) is None
    assert title_path(()) is None
    assert title_path(("ssh:  [mux]",)) is None


def test_a_control_sockets_name():
    assert control.control_path("/a/ctl-x.tSLgBkkMuTWB3rYY") == "/a/ctl-x"
    for name in (
        "",
        "/a/ctl",
        "/run/agent.123",
        "/a/ctl.tSLgBkkMuTWB3rY",
        "/a/ctl-tSLgBkkMuTWB3rYY",
        ".tSLgBkkMuTWB3rYY",
    ):
        assert control.control_path(name) is None, name


END = tokens.Connection("alias", "h.example", "22", "root", "/home/a", "anna", 1000, "here.local", "jump")


def test_tokens():
    assert tokens.expand("~/.ssh/%r@%h:%p-%n-%L-%l-%u-%i-%%h-%x", END) == (
        "/home/a/.ssh/root@h.example:22-alias-here-here.local-anna-1000-%h-%x"
    )
    assert tokens.expand("%", END) == "%"
    assert tokens.expand("%%%h%", END) == "%h.example%"
    assert len(tokens.expand("%C", END)) == 40
    assert tokens.expand("%C", END) != tokens.expand("%C", END, with_jump=True)


@given(st.text(alphabet="%hpCn~/a", max_size=20))
def test_no_template_breaks_it(text):
    tokens.expand(text, END)
    config.host_in_path(text, "/a/h")


def test_the_host_in_a_control_path():
    assert config.host_in_path("/c/%r@%h:%p", "/c/root@db.example:22") == "db.example"
    assert config.host_in_path("/c/%h", "/c/db") == "db"
    assert config.host_in_path("/c/%r-%h-%p", "/c/a-b-c-22") is None
    assert config.host_in_path("/c/%C", "/c/0123") is None


@given(st.binary(max_size=80))
def test_no_answer_of_the_kernel_breaks_it(row):
    control.decode(row)
