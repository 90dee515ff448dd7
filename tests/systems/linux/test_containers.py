"""What control groups, arguments and answers of engines tell of containers: pure parsing, hostile input included."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inuse.evidence.container import Container, Published
from inuse.model import Process, Socket
from inuse.systems.linux.containers import answers, endpoints
from inuse.systems.linux.containers.engine import EngineError, announced, body
from inuse.systems.linux.containers.groups import Group, group_of, groups_of
from inuse.systems.linux.containers.stand_ins import is_published, own_endpoints, parse, stand_in

ID = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
UID = "3c8e1d5e-1f2a-4b6c-9d7e-0a1b2c3d4e5f"
LOW = UID.replace("-", "_")

GROUPS = [
    (f"/docker/{ID}", Group("docker", ID)),
    (f"/system.slice/docker-{ID}.scope", Group("docker", ID)),
    (f"/system.slice/docker-{ID}.scope/init", Group("docker", ID)),
    (f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope", Group("docker", ID)),
    (f"/machine.slice/libpod-{ID}.scope", Group("podman", ID)),
    (f"/machine.slice/libpod-{ID}.scope/container", Group("podman", ID)),
    (f"/libpod_parent/libpod-{ID}", Group("podman", ID)),
    (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope", Group("podman", ID)),
    (f"/system.slice/web.service/libpod-payload-{ID}", Group("podman", ID)),
    (f"/machine.slice/libpod-conmon-{ID}.scope", None),
    (f"/libpod_parent/conmon/{ID}", None),
    (f"/batch/{ID}", Group("docker", ID)),
    (f"/kubepods.slice/kubepods-pod{LOW}.slice/cri-containerd-{ID}.scope", Group("containerd", ID, None, UID)),
    (
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{LOW}.slice/crio-{ID}.scope",
        Group("cri-o", ID, None, UID),
    ),
    (
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{LOW}.slice/docker-{ID}.scope",
        Group("docker", ID, None, UID),
    ),
    (f"/kubepods/burstable/pod{UID}/{ID}", Group("kubernetes", ID, None, UID)),
    (f"/kubepods/pod{UID}", Group("kubernetes", None, None, UID)),
    # Kubernetes in Docker: the outer container is the one that this host's engine knows.
    (f"/docker/{OTHER}/kubelet/kubepods/pod{UID}/{ID}", Group("docker", OTHER)),
    (f"/system.slice/nerdctl-{ID}.scope", Group("containerd", ID)),
    ("/lxc.payload.web", Group("lxc", name="web")),
    ("/lxc.payload.web/system.slice/ssh.service", Group("lxc", name="web")),
    ("/lxc.monitor.web", None),
    ("/lxc/web/init.scope", Group("lxc", name="web")),
    ("/machine.slice/machine-web.scope/payload", Group("systemd-nspawn", name="web")),
    ("/machine.slice/systemd-nspawn@web.service/payload", Group("systemd-nspawn", name="web")),
    (r"/machine.slice/machine-qemu\x2d1\x2dweb.scope", None),
    (f"/ecs/task/{ID}", Group("docker", ID)),
    (f"/docker/buildkit/{ID[:25]}", Group("buildkit", name=ID[:25])),
    ("/docker", None),
    ("/docker/mine", None),
    (f"/docker/{ID[:-1]}", None),
    (f"/docker/{ID.upper()}", None),
    ("/system.slice/docker.service", None),
    ("/system.slice/ssh.service", None),
    ("/", None),
    ("", None),
    (None, None),
]


@pytest.mark.parametrize(("path", "group"), GROUPS)
def test_the_paths_that_engines_make(path, group):
    assert group_of(path) == group


def test_each_hierarchy_of_version_1_is_looked_at():
    text = f"4:memory:/docker/{ID}\n2:cpu:/\n1:name=systemd:/system.slice/ssh.service\n0::/\n"
    assert groups_of(text) == Group("docker", ID)
    assert groups_of("0::/system.slice/ssh.service\n") is None
    assert groups_of(f"0::/kubepods/pod{UID}\n1:cpu:/kubepods/pod{UID}/{ID}") == Group("kubernetes", ID, None, UID)


@given(st.text())
def test_any_path_at_all(text):
    found = group_of(text)
    assert found is None or found.runtime
    groups_of(text)


# -- Arguments ------------------------------------------------------------------------------------


def process(*words, exe=None, name="x"):
    return Process(pid=7, start_ticks=1, name=name, exe=exe, cmdline=words)


def test_docker_proxy():
    words = "-proto tcp -host-ip :: -host-port 8080 -container-ip fd00::2 -container-port 80 -use-listen-fd"
    found = stand_in(process("/usr/bin/docker-proxy", *words.split(), exe="/usr/bin/docker-proxy"))
    assert found.published == Published(proto="tcp", address="::", port=8080, container_port=80)
    assert found.to == "[fd00::2]:80"
    assert parse("docker-proxy", ["docker-proxy", "-proto=udp", "-host-port=53"]).published == Published(
        proto="udp", address="", port=53
    )


@pytest.mark.parametrize("port", ["0", "99999", "-1", "x", "", "٣"])
def test_docker_proxy_with_nonsense(port):
    assert parse("docker-proxy", ["docker-proxy", "-host-port", port]).published is None


def test_conmon():
    bundle = f"/var/lib/containers/storage/overlay-containers/{ID}/userdata"
    words = [
        *f"/usr/bin/conmon --api-version 1 -c {ID} -u {ID} -r /usr/bin/runc -b {bundle} -n web".split(),
        *["--exit-dir", "/run/libpod/exits", "--exit-command", "/usr/bin/podman", "--exit-command-arg", "-c"],
    ]
    found = stand_in(process(*words, exe="/usr/bin/conmon"))
    assert (found.runtime, found.id, found.name, found.bundle) == ("podman", ID, "web", bundle)
    crio = (
        f"/usr/libexec/crio/conmon -b /run/containers/x -c {ID} --exit-dir /var/run/crio/exits -n k8s_POD_web".split()
    )
    assert stand_in(process(*crio, exe="/usr/libexec/crio/conmon")).runtime == "cri-o"
    assert parse("conmon", ["conmon", "-c", "../../etc"]).id is None
    assert parse("conmon", ["conmon", "-c"]).id is None


def test_rootless_stand_ins():
    port = stand_in(process("containers-rootlessport", name="exe"))
    assert (port.program, port.runtime) == ("containers-rootlessport", "podman")
    pasta = "--config-net -t 8080-8080:80-80 --quiet --netns /run/user/1000/netns/netns-1"
    found = stand_in(process("/usr/bin/pasta", *pasta.split(), exe="/usr/bin/pasta.avx2"))
    assert found.network == "/run/user/1000/netns/netns-1"
    slirp = "slirp4netns --mtu=65520 -c -e 3 -r 4 --netns-type=path /run/user/1000/netns/cni-1 tap0"
    assert stand_in(process(*slirp.split())).network == "/run/user/1000/netns/cni-1"
    slirp += f" --api-socket /run/user/1000/libpod/tmp/{ID}.net"
    assert stand_in(process(*slirp.split())).id == ID
    assert parse("slirp4netns", ["slirp4netns", "--api-socket", "/tmp/mine.net"]).id is None


def test_arguments_are_compared_with_the_sockets():
    told = Published(address="127.0.0.1", port=80)
    near = Socket(proto="tcp", family="inet", local_address="127.0.0.1", local_port=80, state="listen", inode=1)
    assert is_published(told, [near])
    assert not is_published(told, [])
    for other in ({"local_address": "10.0.0.1"}, {"local_port": 81}, {"proto": "udp"}):
        assert not is_published(told, [replace(near, **other)])
    assert is_published(Published(address="0.0.0.0", port=80), [replace(near, local_address="::")])


def test_what_serves_others_than_podman_is_no_stand_in():
    assert stand_in(process("pasta", "-t", "8080:80", "--", "sh", exe="/usr/bin/pasta")) is None
    assert stand_in(process("passt", "-t", "8080", "--socket", "/run/vm/net.sock", exe="/usr/bin/passt")) is None


def test_the_file_decides_over_the_name():
    assert stand_in(process("docker-proxy", exe="/usr/bin/python3.11", name="docker-proxy")) is None
    assert stand_in(process("docker-proxy", name="docker-proxy")) is not None  # another user's file can't be read
    assert stand_in(process("/usr/sbin/nginx", exe="/usr/sbin/nginx", name="nginx")) is None


@given(st.lists(st.text(), max_size=8), st.sampled_from(["docker-proxy", "conmon", "pasta", "slirp4netns", "dockerd"]))
def test_any_arguments_at_all(words, program):
    parse(program, words)
    own_endpoints(words)


# -- Where to ask ---------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch, tmp_path):
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "CONTAINER_HOST", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def test_the_usual_sockets(environment):
    found, elsewhere = endpoints.docker({0, 1000})
    assert [(one.address, one.own, one.uid) for one in found] == [
        ("unix:///run/user/1000/docker.sock", False, 1000),
        ("unix:///run/docker.sock", True, 0),
    ]
    assert elsewhere is None


def test_docker_host_comes_before(environment, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    found, _ = endpoints.docker({0})
    assert [(one.address, one.own) for one in found] == [
        ("tcp://127.0.0.1:2375", True),
        ("unix:///run/docker.sock", False),
    ]
    monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")
    assert [(one.own, one.uid) for one in endpoints.docker({0})[0]] == [(True, 0)]
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/1000/docker.sock")
    assert [(one.own, one.uid) for one in endpoints.docker({0})[0]] == [(True, 1000), (False, 0)]


def test_docker_host_and_a_context_at_once(environment, monkeypatch):
    """DOCKER_HOST is what Docker 20.10 obeys, the context what its manual says: neither is relied upon."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/docker.sock")
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    assert [(one.address, one.own) for one in endpoints.docker({0})[0]] == [("unix:///run/docker.sock", False)]


@pytest.mark.parametrize(
    "value",
    [
        "ssh://host",
        "tcp://10.0.0.1:2375",
        "tcp://127.evil.example:1",
        "tcp://localhost.evil:1",
        "tcp://127.0.0.1:x",
        "x",
        "unix://rel",
    ],
)
def test_other_machines_are_not_asked(environment, monkeypatch, value):
    monkeypatch.setenv("DOCKER_HOST", value)
    found, elsewhere = endpoints.docker({0})
    assert [(one.address, one.own) for one in found] == [("unix:///run/docker.sock", False)]
    assert (elsewhere.setting, elsewhere.value) == ("DOCKER_HOST", value)


def test_tls_is_not_spoken(environment, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    assert "TLS" in endpoints.docker({0})[1].why


def test_the_context_of_the_configuration(environment):
    (environment / "config.json").write_text('{"currentContext": "rootless", "auths": {}}')
    folder = environment / "contexts/meta/0123"
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(
        '{"Name": "rootless", "Metadata": {}, "Endpoints": {"docker": {"Host": "unix:///run/user/1000/docker.sock"}}}'
    )
    first = endpoints.docker({0})[0][0]
    assert (first.address, first.own) == ("unix:///run/user/1000/docker.sock", True)
    (folder / "meta.json").write_text('{"Name": 3}')
    # Docker's command fails then, unless it is told where to ask.
    assert [(one.address, one.own) for one in endpoints.docker({0})[0]] == [("unix:///run/docker.sock", False)]
    (environment / "config.json").write_text("[" * 100000)
    assert [one.address for one in endpoints.docker({0})[0]] == ["unix:///run/docker.sock"]


def test_podman_of_each_user(environment):
    found = endpoints.podman({0, 1000})
    assert [one.address for one in found] == [
        "unix:///run/podman/podman.sock",
        "unix:///run/user/1000/podman/podman.sock",
    ]
    assert [one.own for one in found] == [os.geteuid() == 0, os.geteuid() == 1000]


# -- Answers ------------------------------------------------------------------------------------------


def published(*ports):
    return Container(ports=tuple(Published(address=address, port=port) for address, port in ports))


def test_who_publishes():
    everywhere, near, far = published(("0.0.0.0", 80)), published(("127.0.0.1", 80)), published(("127.0.0.2", 80))
    assert answers.publishers([everywhere, near], "tcp", "::", 80) == [everywhere]
    assert answers.publishers([everywhere, near, far], "tcp", "127.0.0.2", 80) == [far]
    assert answers.publishers([near, far], "tcp", "127.0.0.3", 80) == []
    anywhere = published(("", 80))
    assert answers.publishers([anywhere], "tcp", "127.0.0.3", 80) == [anywhere]
    assert answers.publishers([near], "udp", "127.0.0.1", 80) == []
    assert answers.publishers([near], "tcp", "127.0.0.1", 81) == []


def test_a_swarms_services():
    ports = b'[{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080}]'
    text = b'[{"ID": "abc", "Spec": {"Name": "shop_web"}, "Endpoint": {"Ports": %s}}, {"ID": "d"}]' % ports
    found = answers.parse_services(text)
    assert [one.name for one in answers.publishers(found, "tcp", "0.0.0.0", 8080)] == ["shop_web"]


@given(st.binary(max_size=200))
def test_any_answer_at_all(data):
    for read in (lambda: answers.parse_list(data, "docker"), lambda: answers.parse_services(data)):
        try:
            read()
        except ValueError:
            continue
    announced(data)
    try:
        body(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    except EngineError:
        return
