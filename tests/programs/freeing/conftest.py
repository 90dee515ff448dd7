"""What the tests of `inuse free` share: the helpers of the kernel tests, of the programs' tests, and their own."""

import sys
from pathlib import Path

import pytest

# Collected before tests/kernel, which asks for the same: once imported, a module can't be rewritten any more.
pytest.register_assert_rewrite("staging", "freeing_lab", "freeing_stage")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "kernel")]
