"""What `inuse demo` stages of SSH is what it says it is."""

import pytest
from ssh_lab import details
from staging import diagnosis, finding, pids, private

from inuse.demo import ssh


@pytest.mark.parametrize(
    ("stage_it", "expected"),
    [
        (ssh.ssh_forward, ("local", "db.example:5432")),
        (ssh.ssh_forward_dynamic, ("dynamic", None)),
        (ssh.ssh_forward_remote, ("remote", None)),
        (ssh.ssh_forward_master, ("local", "db.example:5432")),
        (ssh.ssh_forward_persist, ("local", None)),
        (ssh.ssh_forward_x11, ("remote", None)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@private
def test_a_demo(stage, stage_it, expected):
    staged = stage_it(stage)
    said = diagnosis(staged.target)
    assert said["situation"] == "ssh-forward"
    assert pids(said) == set(staged.pids)
    assert details(finding(said, "ssh-forward"), "direction", "to") == expected
    assert stage_it.__doc__.partition("\n")[0].endswith(".")
