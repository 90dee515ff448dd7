"""Rules that take a port's traffic elsewhere: address translation, redirects, transparent proxies.

The kernel is asked for its rules directly (nftables.py, legacy.py), so it does not matter which tool made them or
whether it is installed; only the text that is shown comes from the tool. A free port costs one cheap question: which
chains hang on the hooks that can take its traffic (reading.py). Where there is none, nothing else is asked, nor loaded.
From there: places.py, the addresses at which packets arrive; walk.py, matching.py and xtables.py, their way through the
rules, as sets (packets.py); outcome.py, where they are sent; makers.py, by whom; show.py, the rule's text.
"""

from collections.abc import Sequence

from inuse.model import Scene
from inuse.systems.linux.nat.reading import look


def look_all(scenes: Sequence[Scene]) -> Sequence[Scene]:
    """Add what was seen to each scene of a free port.

    Never raises: what could not be looked at goes into ``unseen``.
    """
    return look(scenes) if scenes else scenes
