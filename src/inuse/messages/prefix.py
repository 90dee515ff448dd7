"""What a log puts before a message: times, numbers of processes."""

import re
from typing import Final


def _parts(space: str, marked: str) -> str:
    return (
        rf"(?:[A-Z][a-z]{{2,8}},?{space}{{1,2}}|\[?[\d:.,/TZ#+-]{{2,40}}\]?:?{space}{{1,2}}"
        rf"|\[{marked}\]:?{space}{{1,2}}|\w[\w.-]{{0,40}}\[\d{{1,9}}\]:{space})"
    )


_ANY: Final = "^" + _parts(r"\s", r"\w{1,12}") + "{1,8}"
PREFIX: Final = re.compile(_ANY)
RAW_PREFIX: Final = re.compile(_ANY.encode())
#: As much of it as there is, as a part of an expression for bytes that are read as they stand: without a tab, which
#: would become a space, and without what is taken for a colour.
AS_IT_STANDS: Final = b"(?>" + _parts("[ ]", r"(?!\d{1,2}m)\w{1,12}").encode() + b"{0,8})"
