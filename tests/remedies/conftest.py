"""Tests of freeing: they use the staging helpers of the kernel tests."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "kernel")]
