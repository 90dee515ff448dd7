"""Serial devices: staged on pseudo-terminals, with the helpers of the kernel tests."""

import sys
from pathlib import Path

import pytest

# Collected before tests/kernel, which asks for the same: once imported, a module can't be rewritten any more.
pytest.register_assert_rewrite("staging", "locks_stage")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "kernel")]
