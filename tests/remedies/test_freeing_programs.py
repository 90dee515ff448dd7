"""Got back from real programs: containers, SSH, serial devices; what is beside them lives."""

import os
import socket
from pathlib import Path

from acting_lab import alive, answer, began, can_bind, free, ids
from staging import private

from inuse.demo import serial, stagings
from inuse.demo.container import Docker
from inuse.demo.ssh import Lab, listens, owners

PORT = 8080


@private
def test_a_container_is_stopped_and_its_other_port_is_named(stage):
    docker = Docker(stage)
    docker.run("--name", "web", "-p", f"{PORT}:80", "-p", "8443:81", serve=80)
    docker.run("--name", "other", "-p", "9090:80", serve=80)
    dry = free(PORT, "--dry-run", "--json").json
    assert dry["plan"][0]["id"] == "stop-container"
    assert any("8443/tcp" in line for line in dry["plan"][0]["affected"])
    environment = {"DOCKER_HOST": os.environ.get("DOCKER_HOST", "")}
    freed = answer(PORT, environment={k: v for k, v in environment.items() if v})
    assert freed["freed"] is True, freed["why"]
    assert freed["done"][0] == "stop-container"
    assert can_bind(PORT)
    assert can_bind(8443)
    assert not can_bind(9090)


@private
def test_one_forward_of_a_shared_connection_is_cancelled(stage):
    lab = Lab(stage)
    forwards = ("-L", f"{PORT}:db.example:5432", "-L", "9090:db.example:5433")
    lab.run("-M", "-f", "-N", *forwards, "bastion")
    master = owners(PORT)
    stage.adopt(*master)
    freed = answer(PORT)
    assert freed["done"] == ["cancel-forward"], freed
    assert freed["freed"] is True
    assert can_bind(PORT)
    assert listens(9090)
    assert began(master[0]) is not None


@private
def test_a_plain_ssh_forward(stage):
    lab = Lab(stage)
    client = lab.start("-N", "-L", f"{PORT}:db.example:5432", "bastion", then=PORT)
    beside = lab.start("-N", "-L", "9090:db.example:5432", "bastion", then=9090)
    freed = answer(PORT)
    assert freed["freed"] is True, freed
    assert not alive(client)
    assert alive(beside)


@private
def test_a_session_of_the_ssh_server_alone_is_ended(stage):
    lab = Lab(stage)
    lab.start("-N", "-R", f"{PORT}:localhost:3000", "bastion", then=PORT)
    beside = lab.start("-N", "-R", "9090:localhost:3000", "bastion", then=9090)
    freed = answer(PORT)
    assert freed["freed"] is True, freed
    assert alive(lab.server)
    assert alive(beside)
    assert listens(9090)


@private
def test_who_has_a_serial_device(stage):
    staged = serial.serial_open(stage)
    other = serial.start(stage, "use", serial.device(stage))
    freed = answer(staged.target)
    assert freed["done"] == ["stop-holder"]
    assert freed["freed"] is True, freed
    assert alive(other)
    os.close(os.open(staged.target, os.O_RDWR | os.O_NOCTTY))


@private
def test_a_stale_lock_is_deleted(stage):
    staged = serial.stale_lock(stage)
    lock = Path(serial.lock_name(staged.target))
    dry = free(staged.target, "--dry-run", "--json").json
    assert ids(dry) == ["delete-lock"]
    assert lock.exists()
    freed = answer(staged.target)
    assert freed["done"] == ["delete-lock"]
    assert freed["freed"] is True
    assert list(lock.parent.iterdir()) == []


@private
def test_a_lock_that_lives_is_freed_by_ending_its_owner(stage):
    staged = serial.serial_locked(stage)
    freed = answer(staged.target)
    assert freed["freed"] is True, freed


@private
def test_a_stopped_program_on_a_serial_device(stage):
    staged = serial.suspended_process_serial(stage)
    freed = answer(staged.target)
    assert freed["done"] == ["stop-holder"]
    assert freed["freed"] is True, freed


@private
def test_an_activator_started_by_hand(stage):
    stagings.socket_activation(stage)
    freed = answer(PORT)
    assert freed["freed"] is True, freed


@private
def test_a_tunnel_of_the_kernel_is_only_taken_down_when_asked(stage):
    stagings.kernel(stage)
    freed = answer("4789/udp")
    assert freed["freed"] is False
    assert freed["plan"] == []
    assert "--kernel" in freed["refused"][0]["why"]
    freed = answer("4789/udp", "--kernel")
    assert freed["freed"] is True, freed
    assert can_bind(4789, socket.SOCK_DGRAM)


@private
def test_a_right_that_is_missing_is_nothing_to_free(stage):
    staged = stagings.privileged_port(stage)
    said = free(staged.target, "--dry-run", "--json", enter=staged.enter)
    assert said.status == 1
    assert said.json["freed"] is None
    assert "nothing to free" in said.json["why"]
    said = free("192.0.2.1:8080", "--yes", "--json")
    assert said.status == 1
    assert said.json["plan"] == []


@private
def test_a_descriptor_in_flight_is_left_to_a_person(stage):
    stagings.descriptor_in_flight(stage)
    freed = answer(PORT)
    assert freed["freed"] is False
    assert freed["plan"] == []
    assert freed["refused"]
