"""Workers that were forked after the plan was made, and are left when those it names have ended. Pure."""

from collections.abc import Collection

from inuse.remedies import refusals
from inuse.remedies.offers import who
from inuse.remedies.sight import identity, in_the_way
from inuse.remedies.steps import Plan, Survey, Who
from inuse.scene import View
from inuse.situations import words


def workers(view: View, survey: Survey, plan: Plan, meant: Collection[tuple[int, int]]) -> tuple[Who, ...]:
    """Return those that may be signalled among the holders that the plan has grown by since it ``meant`` its own.

    They were seen as forks of those while these lived. Who only shares a socket with them may have been sent it.
    """
    late = [one for one in in_the_way(view) if identity(one) in plan.holders and identity(one) not in meant]
    able = [one for one in words.may_end(view, late) if refusals.protection(view, survey, one) is None]
    return tuple(who(view, one) for one in able)
