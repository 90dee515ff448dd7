"""What the experiments on the real kernel share: their helper modules, by plain name."""

import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("staging")
sys.path.insert(0, str(Path(__file__).parent))
