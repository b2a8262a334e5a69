"""The live objects that all contexts of a run share, created once by the driver: for runs, a dry run, a check,
training.

A role's calls go through the gateway to its store, or directly to a live model that is passed in (a stand-in, or a
model in training); then nothing is stored.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from memeval.models import usage
from memeval.models.bound import close_route, open_route
from memeval.models.budget import Budget
from memeval.models.calls import CallSettings
from memeval.models.completion import Completion, Request
from memeval.models.gateway import MEMORY, Gateway
from memeval.models.usage import Step
from memeval.records.folder import Key, RunFolder
from memeval.records.memory import MemoryFolder
from memeval.records.rows import CallRow
from memeval.runs.engine import Engine
from memeval.runs.reader import AnswerStage, Emit
from memeval.runs.signals import Event
from memeval.runs.spec import RunSpec


def answer_phase(number: int) -> str:
    """The phase of the answers of a run, by the run's number among those answered together."""
    return f"answer-{number}" if number else "answer"


class LiveModel(Protocol):
    """A model object that answers the calls of a role directly."""

    async def complete(self, request: Request) -> Completion: ...


def _booked(on_call: Callable[[CallRow], None] | None, row: CallRow) -> None:
    """Report a finished call; runs in the context of the method that made the call."""
    ledger = usage.current.get(None)
    if ledger is not None and row.source != "model":
        ledger.read_back = True
    if on_call is not None:
        on_call(row)


class RunContext:
    """An async context manager for the running event loop. It closes everything that it opens.

    spec: of a run; others: of further runs that share its memory and recall (they differ in how they are answered).
    models: role -> a live model, for roles whose calls bypass the gateway. stores: phase -> file of its replies; if
    empty, nothing is stored and the user's cache is not used. on_call: receives the row of each call through the
    gateway. on_step: receives the calls of each agent method, with the replies (and their training rows).
    """

    def __init__(
        self,
        spec: RunSpec,
        others: Sequence[RunSpec] = (),
        *,
        models: Mapping[str, LiveModel] | None = None,
        stores: Mapping[str, Path] | None = None,
        on_call: Callable[[CallRow], None] | None = None,
        on_step: Callable[[Step], None] | None = None,
        budget: Budget | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.spec = spec
        self.specs = (spec, *others)
        self._on_step = on_step or (lambda step: None)
        settings = CallSettings(spec.concurrency, spec.use_cache and bool(stores), spec.policy, budget)
        self.gateway = Gateway(settings, stores or {}, partial(_booked, on_call))
        self.routes = {}
        for role, model in spec.models.items():
            live = (models or {}).get(role)
            self.routes[role] = open_route(live.complete if live else partial(self.gateway.call, model), loop)
        self._scratch = tempfile.TemporaryDirectory(prefix="memeval-", ignore_cleanup_errors=True)
        self.scratch = Path(self._scratch.name)

    @classmethod
    def of_runs(
        cls,
        specs: Sequence[RunSpec],
        on_call: Callable[[CallRow], None] | None = None,
        budget: Budget | None = None,
    ) -> RunContext:
        """The context of runs that store their calls in their folders and their memory's folder, and use the user's
        cache."""
        spec, *others = specs
        stores = {answer_phase(n): RunFolder(each.folder).calls_file for n, each in enumerate(specs)}
        memory = MemoryFolder(spec.memory).calls_file if spec.memory else stores["answer"]
        stores |= dict.fromkeys((*MEMORY, ""), memory)
        return cls(spec, others, stores=stores, on_call=on_call, budget=budget)

    def engine(
        self, emit: Callable[[Event], None], stages: Sequence[AnswerStage] = (), constant: str | None = None
    ) -> Engine:
        """The engine. emit: receives all rows, but for those of answers that go to `stages`. constant: the fixed answer
        of the control `constant`."""
        return Engine(stages or [self.stage(emit)], emit, self.scratch, constant, self._on_step)

    def stage(self, emit: Emit, done: frozenset[Key] = frozenset(), number: int = 0) -> AnswerStage:
        """The stage for the answers of one run. done: samples that are not asked again."""
        return AnswerStage(self.specs[number], self.routes, emit, done, answer_phase(number))

    async def __aenter__(self) -> RunContext:
        return self

    async def __aexit__(self, *exception: object) -> None:
        try:
            await self.gateway.close()
        finally:
            for route in self.routes.values():
                close_route(route)
            self._scratch.cleanup()
