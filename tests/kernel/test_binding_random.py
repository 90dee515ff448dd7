"""The bind rules against the kernel, at random, in private network namespaces.

INUSE_SEED chooses another seed, INUSE_CASES how many cases. Each batch is a process of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LAB = Path(__file__).with_name("binding_lab.py")
SOURCE = Path(__file__).parents[2] / "src"
SEED = os.environ.get("INUSE_SEED", "1")
IN_A_BATCH = 500
NORMALLY, WITH_LONG = 2_000, 100_000


def pytest_generate_tests(metafunc):
    if "first" in metafunc.fixturenames:
        long = metafunc.config.getoption("--long", default=False)
        cases = int(os.environ.get("INUSE_CASES", WITH_LONG if long else NORMALLY))
        metafunc.parametrize("first", range(0, cases, IN_A_BATCH))


def run_lab(*words):
    done = subprocess.run(
        [sys.executable, LAB, *(str(word) for word in words)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    if "unshare(" in done.stderr:
        pytest.skip("no private network namespace: " + done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def stories(failures):
    """Each failure so that it can be read and staged again."""
    lines = []
    for failure in failures:
        lines.append(f"seed {failure['seed']}, case {failure['case']}: {'; '.join(failure['wrong'])}")
        for key in ("sockets", "rows", "attempt", "kernel", "rulings"):
            value = failure.get(key, "")
            lines += [f"  {key}:"] + [f"    {line}" for line in (value if isinstance(value, list) else [value])]
    return "\n".join(lines)


def test_the_rules_say_what_the_kernel_does(first, record_property):
    report = run_lab(SEED, first, IN_A_BATCH)
    counts = report["counts"]
    record_property("counts", counts)
    left_out = [f"no {ability}" for ability, there in report["abilities"].items() if not there]
    if left_out:
        print("left out of the cases:", ", ".join(left_out))
    assert not report["failures"], stories(report["failures"])
    # Nearly every case could be staged, and both answers were common.
    assert counts["cases"] > 0.9 * IN_A_BATCH
    assert counts["kernel: ok"] > 0.2 * IN_A_BATCH
    assert counts["kernel: EADDRINUSE"] > 0.2 * IN_A_BATCH
    # Saying nothing is no way out: with every option known it is the exception.
    undecided = sum(count for name, count in counts.items() if name.startswith("left open: "))
    assert undecided < 0.08 * counts["cases"]
    assert counts["kernel's rows: decided"] > 0.85 * counts["cases"]


def test_port_0_when_the_automatic_range_is_nearly_full():
    report = run_lab(SEED, 0, 300, "automatic")
    assert not report["failures"], stories(report["failures"])
    assert report["counts"]["kernel: EADDRINUSE"] > 10
