"""Finding descriptors: all of them, whatever comes and goes."""

import errno
import os
import socket
import subprocess
import sys
import threading

import pytest

from inuse.systems.linux import scan
from inuse.systems.linux.scan import Scan, find_sockets, inode_of, link_text


def inode(one):
    return os.fstat(one.fileno()).st_ino


def where(found):
    return sorted((d.pid, d.fd) for d in found.descriptors())


def test_every_descriptor_of_ours_is_found():
    with socket.socket() as one, socket.socket() as two, socket.socket() as other:
        copy = os.dup(one.fileno())
        try:
            found = find_sockets([inode(one), inode(two)])
            assert where(found) == sorted((os.getpid(), n) for n in (one.fileno(), copy, two.fileno()))
            assert (os.getpid(), other.fileno()) not in where(found)
        finally:
            os.close(copy)


def test_children_that_share_it_are_found_with_and_without_helpers(monkeypatch):
    monkeypatch.setattr(scan, "WORTH_SHARING", 5)
    with socket.socket() as one:
        children = []
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                os.read(hold[0], 1) if (hold := os.pipe()) else None
                os._exit(0)
            children.append(pid)
        try:
            wanted = sorted((pid, one.fileno()) for pid in (*children, os.getpid()))
            assert where(find_sockets([inode(one)])) == wanted
            assert where(find_sockets([inode(one)], share=True)) == wanted
        finally:
            for pid in children:
                os.kill(pid, 9)
                os.waitpid(pid, 0)


def test_a_killed_helper_is_said_not_passed_over(monkeypatch):
    reading, writing = os.pipe()
    os.close(writing)
    assert scan._collect(2**22 + 1, reading).failure == ("a worker of the process scan was killed", {})


def test_processes_may_come_and_go_meanwhile():
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            subprocess.run([sys.executable, "-S", "-c", ""], check=True)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        with socket.socket() as one:
            for _ in range(30):
                found = find_sockets([inode(one)])
                assert (os.getpid(), one.fileno()) in where(found)  # and maybe a child of ours before its execve
                assert found.failure is None
    finally:
        stop.set()
        thread.join()


def test_a_full_descriptor_table_is_no_empty_answer(monkeypatch):
    real = os.open

    def full(path, *rest, **named):
        if str(path).endswith("/fd"):
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, *rest, **named)

    monkeypatch.setattr(scan.os, "open", full)
    found = find_sockets([1])
    assert found.failure[1]["error"] == "Too many open files"


def test_no_proc_is_no_empty_answer(tmp_path):
    assert "can't be read" in find_sockets([1], proc=str(tmp_path / "none")).failure[0]
    assert "no processes" in find_sockets([1], proc=str(tmp_path)).failure[0]


def test_nothing_is_looked_for_where_nothing_is_wanted(tmp_path):
    assert find_sockets([], proc=str(tmp_path / "none")) == Scan([], [])


@pytest.mark.parametrize(("text", "number"), [(link_text(12), 12), ("socket:[x]", 0), ("pipe:[7]", 0), ("", 0)])
def test_links_are_read(text, number):
    assert inode_of(text) == number
