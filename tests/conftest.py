"""What all tests share: the option --long, English, and Hypothesis without a stopwatch."""

import faulthandler
import os
from pathlib import Path

import pytest
from hypothesis import settings

# What the kernel tests stage with is imported by tests elsewhere too, whichever come first.
pytest.register_assert_rewrite("staging")

# The words that tests read are English, whoever runs them.
os.environ["LC_ALL"] = "C.UTF-8"

# The machine is shared with other workers: an example that takes long once is no failure.
settings.register_profile("usual", deadline=None)
settings.register_profile("long", deadline=None, max_examples=5000)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the tests that take minutes as well")


def pytest_configure(config):
    settings.load_profile("long" if config.getoption("--long") else "usual")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: runs with --long"))


def pytest_runtest_setup(item):
    if item.get_closest_marker("long"):
        # These may take longer than the limit after which a test counts as hanging.
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def root():
    """The checkout."""
    return Path(__file__).resolve().parent.parent
