"""The version, written here and nowhere else: the build, ``--version`` and the tests read it."""

__version__ = "0.1.0"
