"""What a command makes of the screen: whether a few lines written there by somebody else would disturb."""

import re
from typing import Final

#: Setting and resetting private modes of a terminal. Source: ECMA-48, 8.3.106; xterm's ctlseqs, DECSET and DECRST.
MODES: Final = re.compile(rb"\x1b\[\?([0-9;]{1,32})([hl])")
#: Those that change to the other screen, the one of editors and pagers.
OTHER_SCREEN: Final = frozenset({b"47", b"1047", b"1049"})
#: What stands behind the end of a line and does not move the cursor: colours, modes.
UNMOVED: Final = re.compile(rb"(?:\x1b\[\??[0-9;]{0,32}[mhl])+$")
#: So much is kept: a sequence may come in two pieces.
KEPT: Final = 64


class Screen:
    """Follows what is written to a terminal."""

    def __init__(self) -> None:
        self._last = b"\n"
        self._other = False

    def add(self, data: bytes) -> None:
        """Take notice of what was written."""
        seen = self._last + data
        if b"\x1b[?" in seen:
            for modes, switch in MODES.findall(seen):
                if not OTHER_SCREEN.isdisjoint(modes.split(b";")):
                    self._other = switch == b"h"
        self._last = seen[-KEPT:]

    @property
    def at_rest(self) -> bool:
        """Whether it is the usual screen, with the cursor at the start of a line: nobody is being asked something."""
        return not self._other and UNMOVED.sub(b"", self._last).endswith(b"\n")
