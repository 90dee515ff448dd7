"""Containers of engines without an API to be asked: told by real control groups, arguments and files."""

import os
from pathlib import Path

import pytest
from staging import answer, diagnosis, finding, held, inuse, pids, private, private_mounts, script, situations

from inuse.demo import linux
from inuse.demo.stagings import control_group, join

ID = "0123456789abcdef" * 4
UID = "3c8e1d5e-1f2a-4b6c-9d7e-0a1b2c3d4e5f"
SLICE = f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
KUBERNETES = [
    (f"{SLICE}/cri-containerd-{ID}.scope", "containerd"),
    (f"{SLICE}/crio-{ID}.scope", "cri-o"),
    (f"kubepods/besteffort/pod{UID}/{ID}", "kubernetes"),
    (f"kubepods/pod{UID}/{ID}", "kubernetes"),
]


def serve_in(stage, path):
    group = control_group(stage, f"inuse-demo-{os.getpid()}/{path}")
    server = stage.start("serve", stage.port)
    server.hear()
    join(group, server.pid)
    return server


def remedies(said):
    return {one["id"]: one for found in said["findings"] for one in found["remedies"]}


@private
@pytest.mark.parametrize(("path", "runtime"), KUBERNETES, ids=lambda value: value.split("/")[-1][:12])
def test_a_pod_on_the_hosts_network(stage, path, runtime):
    server = serve_in(stage, path)
    said = diagnosis(str(stage.port))
    assert answer(said) == held("container")
    assert pids(said) == {server.pid}
    shown = said["holders"][0]["container"]
    assert (shown["id"], shown["runtime"]) == (ID, runtime)
    assert finding(said, "container")["details"]["pod_uid"] == UID
    assert "stop-holder" not in remedies(said)
    assert remedies(said)["find-container"]["command"] == ["crictl", "inspect", ID]


@private
def test_the_names_of_a_pod_from_its_logs(stage):
    serve_in(stage, KUBERNETES[0][0])
    private_mounts()
    linux.mount("tmpfs", "/var/log", "tmpfs")
    os.makedirs(f"/var/log/pods/shop_web-5d8f_{UID}/nginx")
    said = diagnosis(str(stage.port))
    details = finding(said, "container")["details"]
    assert (details["pod"], details["namespace"]) == ("web-5d8f", "shop")
    assert remedies(said)["delete-pod"]["command"] == ["kubectl", "-n", "shop", "delete", "pod", "web-5d8f"]
    assert remedies(said)["delete-pod"]["automatic"] is False
    assert "pod shop/web-5d8f" in said["summary"]
    os.mkdir("/var/log/containers")
    Path(f"/var/log/containers/web-5d8f_shop_nginx-{ID}.log").symlink_to("nowhere")
    assert finding(diagnosis(str(stage.port)), "container")["details"]["name"] == "nginx"


@private
def test_the_names_that_the_runtime_was_given(stage):
    serve_in(stage, KUBERNETES[0][0])
    private_mounts()
    linux.mount("tmpfs", "/run", "tmpfs")
    folder = Path(f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        '{"annotations": {"io.kubernetes.cri.container-name": "nginx", "io.kubernetes.cri.sandbox-name": "web-5d8f",'
        '"io.kubernetes.cri.sandbox-namespace": "shop", "io.kubernetes.cri.image-name": "nginx:1.27"}}'
    )
    shown = diagnosis(str(stage.port))["holders"][0]["container"]
    assert [shown[name] for name in ("name", "image", "pod", "namespace")] == [
        "nginx",
        "nginx:1.27",
        "web-5d8f",
        "shop",
    ]
    (folder / "config.json").write_text('{"annotations": {"io.kubernetes.cri.container-name": ["no text"]}}')
    shown = diagnosis(str(stage.port))["holders"][0]["container"]
    assert (shown["id"], shown["name"]) == (ID, None)


@private
@pytest.mark.parametrize(
    ("path", "runtime", "name", "command"),
    [
        ("lxc.payload.web", "lxc", "web", ["lxc-stop", "-n", "web"]),
        ("lxc/web", "lxc", "web", ["lxc-stop", "-n", "web"]),
        (
            r"machine.slice/machine-my\x2dbox.scope/payload",
            "systemd-nspawn",
            "my-box",
            ["machinectl", "poweroff", "my-box"],
        ),
    ],
)
def test_containers_that_are_named_by_their_group(stage, path, runtime, name, command):
    serve_in(stage, path)
    said = diagnosis(str(stage.port))
    assert answer(said) == held("container")
    shown = said["holders"][0]["container"]
    assert (shown["runtime"], shown["name"]) == (runtime, name)
    assert remedies(said)["stop-container"]["command"] == command
    assert "stop-holder" not in remedies(said)


@private
def test_a_name_that_would_be_an_option_is_put_into_no_command(stage):
    serve_in(stage, "lxc.payload.--all")
    said = diagnosis(str(stage.port))
    assert said["holders"][0]["container"]["name"] == "--all"
    assert all("--all" not in (one["command"] or []) for one in remedies(said).values())


@private
@pytest.mark.parametrize(
    "path", ["machine.slice/machine-qemu\\x2d1\\x2dbox.scope", "docker", "docker/mine", "system.slice"]
)
def test_groups_that_are_no_containers(stage, path):
    serve_in(stage, path)
    said = diagnosis(str(stage.port))
    assert answer(said) == held("application")
    assert said["holders"][0]["container"] is None


@private
def test_what_shares_our_own_container_is_an_application(stage):
    """Asked from within: the container is where we are, not what is in the way."""
    server = serve_in(stage, f"docker/{ID}")
    group = next(Path("/sys/fs/cgroup").rglob(f"inuse-demo-{os.getpid()}/docker/{ID}"))
    assert situations(diagnosis(str(stage.port))) == ["container"]
    said = inuse(str(stage.port), "--json", enter=lambda: join(group, os.getpid())).json
    assert said["situation"] == "application"
    assert pids(said) == {server.pid}


@private
def test_a_program_that_calls_itself_docker_proxy_is_none(stage):
    """The file that runs decides, not the name: whoever pretends is an application like any other."""
    program = script(
        stage,
        "open('/proc/self/comm', 'w').write('docker-proxy')\nserver = listener('8080')\nsay(ready=True); stay()",
    )
    program.hear()
    said = diagnosis("8080")
    assert said["holders"][0]["name"] == "docker-proxy"
    assert answer(said) == held("application")
