"""The engines of this machine, each asked once, all of them within one time limit."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from inuse.evidence.container import Container
from inuse.language import N_
from inuse.systems.linux.containers import answers
from inuse.systems.linux.containers.endpoints import Endpoint
from inuse.systems.linux.containers.engine import Deadline, EngineError, get
from inuse.systems.linux.containers.groups import is_id


class Refusal(NamedTuple):
    """An engine that could not be asked. ``why`` is an English template; ``more`` fills it."""

    endpoint: Endpoint
    why: str
    denied: bool = False
    absent: bool = False
    more: Mapping[str, str | int] = {}

    @property
    def values(self) -> dict[str, str | int]:
        """Return what fills a template that says where it was asked ({address}), and why in vain ({cause})."""
        return {"address": self.endpoint.address, "cause": self.why, **self.more}


class Engines:
    """Asks engines, and remembers what they answered."""

    def __init__(self) -> None:
        """Ask nothing yet."""
        self._deadline: Deadline | None = None
        self._rows: dict[str, list[answers.Row] | Refusal] = {}
        self._details: dict[str, Container] = {}

    def rows(self, endpoint: Endpoint, runtime: str) -> list[answers.Row] | Refusal:
        """Return the engine's running containers, or why it could not be asked."""
        if endpoint.address not in self._rows:
            try:
                self._rows[endpoint.address] = answers.parse_list(self._get(endpoint, "/containers/json"), runtime)
            except EngineError as error:
                self._rows[endpoint.address] = Refusal(endpoint, error.why, error.denied, error.absent, error.values)
            except ValueError:
                self._rows[endpoint.address] = Refusal(endpoint, N_("its answer makes no sense"))
        return self._rows[endpoint.address]

    def detailed(self, endpoint: Endpoint, container: Container) -> Container:
        """Return a container with its restart policy; without an answer it is the same."""
        key = container.id or ""
        if key not in self._details and is_id(key):
            try:
                self._details[key] = answers.with_more(container, self._get(endpoint, f"/containers/{key}/json"))
            except (EngineError, ValueError):
                self._details[key] = container
        return self._details.get(key, container)

    def starting(self, endpoint: Endpoint) -> bool:
        """Whether some container is being started: its proxy is there before the engine lists it as running."""
        # {"status": ["created", "restarting"]}
        filters = "%7B%22status%22%3A%5B%22created%22%2C%22restarting%22%5D%7D"
        try:
            return bool(answers.parse_list(self._get(endpoint, f"/containers/json?filters={filters}"), "docker"))
        except (EngineError, ValueError):
            return True

    def services(self, endpoint: Endpoint) -> list[Container]:
        """Return the services of the swarm that an engine manages; none where it manages none."""
        try:
            return answers.parse_services(self._get(endpoint, "/services"))
        except (EngineError, ValueError):
            return []

    def refusals(self) -> list[Refusal]:
        """Return the engines that could not be asked."""
        return [one for one in self._rows.values() if isinstance(one, Refusal)]

    def _get(self, endpoint: Endpoint, path: str) -> bytes:
        """Ask; the clock runs from the first question on. Raises EngineError."""
        self._deadline = self._deadline or Deadline()
        return get(endpoint.address, path, self._deadline, frozenset({0, os.geteuid(), endpoint.uid}))
