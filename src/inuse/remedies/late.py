"""Workers that were forked after the plan was made, and are left when those it names have ended. Pure."""

from collections.abc import Collection

from inuse.remedies import refusals
from inuse.remedies.offers import who
from inuse.remedies.sight import identity, in_the_way
from inuse.remedies.steps import Survey, Who
from inuse.scene import View
from inuse.situations import words


def workers(view: View, survey: Survey, holders: Collection[tuple[int, int]]) -> tuple[Who, ...]:
    """Return those that may be signalled, among the forks that are none of the ``holders`` of the plan."""
    late = [one for one in in_the_way(view) if one.forked_only and identity(one) not in holders]
    able = [one for one in words.may_end(view, late) if refusals.protection(view, survey, one) is None]
    return tuple(who(view, one) for one in able)
