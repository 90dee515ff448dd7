"""The list of everything says what holders are for, where that can be told."""

from staging import inuse, private

from inuse.demo import linux, stagings, vpn
from inuse.demo import ssh as ssh_demo


def told(*words):
    """What the row of each port says: situation and of what."""
    return {
        (row["proto"], row["port"]): (row["situation"], row["what"]) for row in inuse("--json", *words).json["entries"]
    }


@private
def test_each_role_on_its_own_port(stage):
    vpn.vpn(stage)
    ssh_demo.ssh_forward(stage)
    stagings.kernel(stage)
    rows = told()
    assert rows["udp", 1194] == ("vpn", "office")
    assert rows["tcp", 8080] == ("ssh-forward", "db.example:5432")
    assert rows["udp", 4789] == ("kernel", "vxlan vxlan0")
    assert rows["tcp", 2222] == ("", None), "sshd's own listener is no forward"
    lines = inuse().text.splitlines()
    assert any("ssh-forward db." in line for line in lines)  # long pids leave less room for it
    assert max(len(line) for line in lines) <= 80


@private
def test_as_somebody_else(stage):
    stagings.kernel(stage)
    run = inuse("--json", enter=linux.become_nobody if stagings.other_users() else None)
    row = next(row for row in run.json["entries"] if row["port"] == 4789)
    assert (row["situation"], row["what"]) == ("kernel", "vxlan vxlan0")
