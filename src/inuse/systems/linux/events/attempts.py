"""Quick attempts on a port: the diagnosis' own, stopped at the first refusal."""

from inuse.model import Answer, Options, Target
from inuse.scene import ABSENT, planned, telling
from inuse.systems.linux import probe as probing


class Attempts:
    """Tries ports again and again; the attempt that was refused last comes first.

    So while a port is held nothing is ever bound: an attempt that succeeds could be in the way of somebody else's.
    """

    def __init__(self, options: Options) -> None:
        """``options``: the kind of attempt."""
        self._options = options
        self._refused: dict[Target, int] = {}

    def succeed(self, target: Target) -> bool:
        """Whether every attempt that tells about the port succeeds; False where none can be made."""
        plan = planned(target, self._options, probing.own_uid())
        first = self._refused.get(target, 0)
        answers: list[Answer] = []
        for number, attempt in [*enumerate(plan)][first:] + [*enumerate(plan)][:first]:
            try:
                answer = probing.ask(attempt)
            except probing.ProbeError:
                return False
            if answer.errno and answer.errno not in ABSENT:
                self._refused[target] = number
                return False
            answers.append(answer)
        return bool(answers) and all(answer.errno is None for answer in telling(answers))
