"""A record of the machine's last sleep, wherever one can be read."""

from typing import NamedTuple


class Record(NamedTuple):
    """When the last sleep was, in seconds ago, right to ``margin``. None: the record does not tell.

    ``began`` alone: the record knows of no end, so the machine has only just woken.
    """

    source: str
    began: float | None
    ended: float | None
    margin: float
