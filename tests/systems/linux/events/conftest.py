"""Events of the real kernel: they use the staging helpers of the kernel tests."""

import sys
from pathlib import Path

import pytest

# Collected before tests/kernel, which asks for the same: once imported, a module can't be rewritten any more.
pytest.register_assert_rewrite("staging")
sys.path.insert(0, str(Path(__file__).parents[3] / "kernel"))
