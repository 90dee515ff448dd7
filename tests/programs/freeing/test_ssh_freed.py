"""Forwards of SSH: the one forward goes, and the connection that others share stays."""

import time

from freeing_lab import freed
from freeing_stage import PORT, Bystander, gone, siblings, started
from ssh_lab import Lab, listens, owners
from staging import private

from inuse.demo.stage import until

OTHER = 8082


def session(lab, name="echo"):
    """A session that shares the connection, and says that it lives by what it sends back."""
    client = lab.start("bastion", f"echo {name}; cat")
    assert client.process.stdout.readline() == f"{name}\n".encode()

    def works():
        client.process.stdin.write(b"still\n")
        client.process.stdin.flush()
        return client.process.stdout.readline() == b"still\n"

    return Bystander(f"the session {name}", client.pid, works)


def master(stage, lab, *words):
    assert lab.run("-M", "-f", "-N", *words, "bastion").returncode == 0
    until(lambda: bool(owners(OTHER)), "the master")
    (pid,) = owners(OTHER)
    stage.adopt(pid)
    return pid


@private
def test_one_of_two_forwards_of_a_master(stage):
    lab = Lab(stage)
    pid = master(stage, lab, "-L", f"{PORT}:db.example:5432", "-L", f"{OTHER}:db.example:80")
    others = [
        Bystander("the master", pid, lambda: owners(OTHER) == (pid,)),
        session(lab),
        Bystander("sshd", lab.server.pid),
        *siblings(stage),
    ]
    done = freed(bystanders=others)
    assert done.said["done"] == ["cancel-forward"]


@private
def test_a_dynamic_forward_of_a_master(stage):
    lab = Lab(stage)
    pid = master(stage, lab, "-D", str(PORT), "-L", f"{OTHER}:db.example:80")
    others = [Bystander("the master", pid, lambda: listens(OTHER)), session(lab)]
    assert freed(bystanders=others).said["done"] == ["cancel-forward"]


@private
def test_a_client_of_its_own(stage):
    lab = Lab(stage)
    client = lab.start("-N", "-L", f"{PORT}:db.example:5432", "bastion", then=PORT)
    other = lab.start("-N", "-L", f"{OTHER}:db.example:80", "bastion", then=OTHER)
    others = [
        Bystander("another ssh", other.pid, lambda: listens(OTHER)),
        Bystander("sshd", lab.server.pid),
        *siblings(stage),
    ]
    freed(ends=[client.pid], bystanders=others)


@private
def test_the_session_of_a_remote_forward(stage):
    """Its session at the server ends, as announced; every other one, and sshd itself, go on."""
    lab = Lab(stage)
    plain = ("-o", "ControlPath=none")
    first = lab.start(*plain, "-N", "-R", f"{OTHER}:localhost:3000", "bastion", then=OTHER)
    others = [session(lab), Bystander("another client", first.pid, lambda: listens(OTHER))]
    (kept,) = owners(OTHER, lab.sessions())
    client = lab.start(*plain, "-N", "-R", f"{PORT}:localhost:3000", "bastion", then=PORT)
    (ends,) = owners(PORT, lab.sessions())
    began = started(client.pid)
    others += [Bystander("its session", kept), Bystander("sshd", lab.server.pid), *siblings(stage)]
    freed(ends=[ends], bystanders=others)
    until(lambda: client.process.poll() is not None or gone(client.pid, began), "the end of its client")


@private
def test_autossh_brings_it_back_and_is_named(stage):
    import os

    from freeing_lab import free
    from freeing_stage import children_end_with

    from inuse.demo.stage import find_program

    children_end_with(stage)
    lab = Lab(stage)
    os.environ.update(AUTOSSH_GATETIME="0", AUTOSSH_PORT="0")
    words = ("-F", str(lab.config), "-N", "-L", f"{PORT}:db.example:5432", "bastion")
    supervisor = stage.program(find_program("autossh"), *words)
    until(lambda: listens(PORT), "the forward")
    lab.adopt_sessions()
    (ssh,) = owners(PORT)
    began = started(ssh)
    answer = free(PORT, "--yes")
    if answer.status == 0:  # autossh was stopped, as the plan said
        assert "stop-supervisor" in answer.said["done"]
        time.sleep(1)
        assert not listens(PORT)
        assert supervisor.process.poll() is not None
    else:
        assert "autossh" in answer.text
        assert supervisor.process.poll() is None
        assert not gone(ssh, began)
