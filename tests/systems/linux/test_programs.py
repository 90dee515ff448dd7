"""Which program a command's words mean; the words are read, nothing is run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inuse.evidence.container import Container
from inuse.evidence.program import Program
from inuse.instances import same, same_container
from inuse.systems.linux.programs import Files, identify, language_of, unwrapped, wanted


@pytest.fixture
def files(tmp_path):
    (tmp_path / "bin").mkdir()
    for name, text in (
        ("python3", "ELF"),
        ("node", "ELF"),
        ("server", "ELF"),
        ("flask", f"#!{tmp_path}/bin/python3 -E\n"),
    ):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "app.py").write_text("")
    (tmp_path / "index.js").write_text("")
    return Files(str(tmp_path), str(tmp_path / "bin"))


def told(program, files):
    """What of a program counts, with paths below the folder shortened."""
    names = ("language", "script", "module", "code", "runner")
    found = {name: value for name in names if (value := getattr(program, name)) is not None}
    return {name: value.replace(f"{files.cwd}/", "") for name, value in found.items()}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python3 app.py", {"language": "python", "script": "app.py"}),
        ("python3 -W ignore -u app.py -m x", {"language": "python", "script": "app.py"}),
        ("python3 -m http.server 80", {"language": "python", "module": "http.server"}),
        ("python3 -mhttp.server", {"language": "python", "module": "http.server"}),
        ("python3 -m inuse.hook app.py 80", {"language": "python", "script": "app.py"}),
        ("python3 -m inuse.hook -m http.server", {"language": "python", "module": "http.server"}),
        ("inuse run --timeout 5 -- python3 app.py", {"language": "python", "script": "app.py"}),
        ("python3 -c pass app.py", {"language": "python", "code": "pass"}),
        ("python3 -", {"language": "python"}),
        ("node --inspect -r dotenv gone.js", {"language": "node", "script": "gone.js"}),
        ("java -cp a.jar:b.jar -Xmx1g com.example.Main --port 1", {"language": "java", "module": "com.example.Main"}),
        ("java -jar app.py", {"language": "java", "script": "app.py"}),
        ("deno run --allow-net app.py", {"language": "deno", "script": "app.py"}),
        ("flask run", {"language": "python", "script": "bin/flask"}),
        ("server --port 1", {}),
        ("npm run dev", {"runner": "npm"}),
        (
            "sudo -u anna PORT=1 nice -n 5 timeout -k 1 5 env -u A B=1 python3 app.py",
            {"language": "python", "script": "app.py"},
        ),
        ("uv run --with x app.py", {"language": "python", "script": "app.py"}),
        ("poetry run python3 app.py", {"language": "python", "script": "app.py"}),
        ("node index", {"language": "node", "script": "index.js"}),
        ("node .", {"language": "node", "script": "index.js"}),
        ("node gone", {"language": "node", "script": "gone"}),
        ("cd bin && python3 ../app.py", {"language": "python", "script": "app.py"}),
    ],
)
def test_what_a_command_runs(files, command, expected):
    assert told(wanted(command.split(), files), files) == expected


def test_a_shell_is_looked_into_where_it_runs_one_plain_command(files):
    def inside(text):
        return told(wanted(["sh", "-c", text], files), files)

    assert inside("exec python3 app.py") == {"language": "python", "script": "app.py"}
    assert inside("cd bin && python3 ../app.py") == {"language": "python", "script": "app.py"}
    for text in ("python3 app.py | cat", "python3 $APP", "a; b", "'", ""):
        assert inside(text) == {"language": "bash", "code": text}


def test_npm_is_told_by_its_title_and_by_its_script():
    by_title = identify(("npm", "run", "dev"), "/usr/bin/node", Files("/srv", ""))
    by_script = identify(
        ("node", "/usr/lib/node_modules/npm/bin/npm-cli.js", "run", "dev"), "/usr/bin/node", Files("/srv", "")
    )
    assert same(by_title, by_script) == ("certain", "npm run dev in /srv")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("npm run dev", "npm run dev -- --port 3000", True),
        ("npm start", "npm run start", True),
        ("yarn run-script dev", "yarn run dev", True),
        ("npm run dev", "npm run start", False),
        ("npm exec vite", "npm exec eslint", False),
        ("make serve", "make serve PORT=1", False),
    ],
)
def test_what_a_runner_is_to_run(one, other, alike):
    found = same(*(identify(tuple(words.split()), None, Files("/srv", "")) for words in (one, other)))
    assert bool(found) is alike


def test_an_installed_script_runs_what_its_directory_says(files):
    here = wanted(["flask", "run"], files)
    elsewhere = replace(here, cwd="/other")
    assert same(here, here)[0] == "certain"
    assert same(here, elsewhere)[0] == "likely"
    own = wanted(["python3", "app.py"], files)
    assert same(own, replace(own, cwd="/other"))[0] == "certain"


def test_an_interpreter_alone_is_no_program():
    shell = Program(words=("bash",), exe="/bin/bash", language="bash", cwd="/")
    assert same(shell, shell) is None


@pytest.mark.parametrize(
    ("command", "image", "expected"),
    [
        ("docker run -d -p 8080:80 nginx", "nginx", True),
        ("docker run nginx:latest", "docker.io/library/nginx:latest", True),
        ("podman run docker.io/library/nginx", "nginx:latest", True),
        ("docker run nginx:1.25", "nginx:1.27", False),
        ("docker run -e A=nginx caddy", "nginx", False),
        ("docker start web", "nginx", True),
        ("docker compose -p shop up", "nginx", True),
        ("docker-compose up", "nginx", True),
        ("docker compose -p other up", "nginx", False),
        ("docker ps", "nginx", False),
    ],
)
def test_a_container_of_the_same_image(command, image, expected):
    program = identify(command.split(), None, Files("/home/anna/shop", ""))
    container = Container(id="0" * 64, name="web", image=image, project="shop")
    assert bool(same_container(program, container)) is expected


def test_versions_of_an_interpreter_are_one_language():
    assert {language_of(name) for name in ("python", "python3", "python3.12", "python3.13-")} == {"python"}
    assert language_of("pythonista") is None
    assert language_of("") is None


@given(
    st.lists(
        st.text(max_size=12)
        | st.sampled_from(["sudo", "env", "-u", "--", "sh", "-c", "python3", "-m", "docker", "run"])
    )
)
def test_no_words_give_a_traceback(words):
    files = Files("/", "/usr/bin:/bin")
    wanted(words, files)
    identify(words, None, files)
    assert len(unwrapped(words)) <= len(words) + 8
