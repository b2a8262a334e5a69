"""The live objects that all contexts of a run share, made once by the driver: for a run, a dry run, a check, training.

A role's calls go through the gateway to its store, or straight to a live model that is passed in (a stand-in, a model that
is being trained): then nothing is stored.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from memeval import cards
from memeval.models.bound import close_route, open_route
from memeval.models.budget import Budget
from memeval.models.completion import Completion, Request
from memeval.models.gateway import Elsewhere, Gateway
from memeval.models.limits import Policy
from memeval.models.store import Store, open_cache
from memeval.models.usage import Step
from memeval.records.rows import CallRow
from memeval.runs.engine import Engine
from memeval.runs.reader import AnswerStage, Emit, SampleKey
from memeval.runs.siblings import Siblings
from memeval.runs.signals import AgentSlow, Row
from memeval.runs.spec import RunSpec


def phase_stores(memory: Store, run: Store) -> dict[str, Store]:
    """phase -> store: a memory's calls are those made while reading and recalling, a run's those made while answering."""
    return {"ingest": memory, "recall": memory, "answer": run}


class LiveModel(Protocol):
    """What answers the calls of a role by itself; `embed(texts, params)`, where it has it, those for vectors."""

    async def complete(self, request: Request) -> Completion: ...


class RunContext:
    """For use on the running event loop, as an async context manager; it closes all that it opened.

    models: role -> a live model, for roles whose calls are not to go through the gateway. stores: phase -> where replies are
    kept. cache: the user's. on_call: given the row of each call that goes through the gateway. on_step: given what each
    method of an agent called, with the replies (and their training rows). Stores, cache and shared memories that are passed
    in are closed here.
    """

    def __init__(
        self,
        spec: RunSpec,
        *,
        models: Mapping[str, LiveModel] | None = None,
        stores: Mapping[str, Store] | None = None,
        cache: Store | None = None,
        on_call: Callable[[CallRow], None] | None = None,
        on_step: Callable[[Step], None] | None = None,
        budget: Budget | None = None,
        policy: Policy | None = None,
        shared: Siblings | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.spec = spec
        self.shared = shared
        self._stores = {store.path: store for store in (*(stores or {}).values(), *([cache] if cache else []))}
        self._on_step = on_step or (lambda step: None)
        elsewhere: Elsewhere = shared.get if shared is not None else lambda key, phase: None
        self.gateway = Gateway(stores, cache, spec.concurrency, on_call, policy=policy, budget=budget, elsewhere=elsewhere)
        self.routes = {}
        for role, model in spec.models.items():
            live = (models or {}).get(role)
            if live is not None:
                self.routes[role] = open_route(live.complete, loop, getattr(live, "embed", None))
            else:
                self.routes[role] = open_route(partial(self.gateway.call, model), loop, partial(self.gateway.embed, model))
        self._scratch = tempfile.TemporaryDirectory(prefix="memeval-", ignore_cleanup_errors=True)
        self.scratch = Path(self._scratch.name)

    @classmethod
    def of_run(cls, spec: RunSpec, on_call: Callable[[CallRow], None], budget: Budget | None = None) -> RunContext:
        """The context of a run that keeps its calls in its folder, fills the user's cache and shares its memory."""
        shared = Siblings(spec.folder, cards.digest(spec.ingest_identity()))
        run = Store(spec.folder / "calls.sqlite")
        memory = run  # a folder of its own for the memory is named here
        cache = open_cache() if spec.use_cache else None
        return cls(
            spec,
            stores=phase_stores(memory, run),
            cache=cache,
            on_call=on_call,
            budget=budget,
            policy=spec.policy,
            shared=shared,
        )

    def engine(
        self, emit: Callable[[Row | AgentSlow], None], done: frozenset[SampleKey] = frozenset(), constant: str | None = None
    ) -> Engine:
        """What runs one context after the other. done: samples that are not asked again. constant: the fixed answer of the
        `constant` control."""
        return Engine((self.stage(emit, done),), emit, self.scratch, constant, self._on_step)

    def stage(self, emit: Emit, done: frozenset[SampleKey] = frozenset()) -> AnswerStage:
        return AnswerStage(self.spec, self.routes, emit, done)

    async def __aenter__(self) -> RunContext:
        return self

    async def __aexit__(self, *exception: object) -> None:
        try:
            await self.gateway.close()
        finally:
            for route in self.routes.values():
                close_route(route)
            for store in self._stores.values():
                store.close()
            if self.shared is not None:
                self.shared.close()
            self._scratch.cleanup()
