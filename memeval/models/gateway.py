"""The single path to every model of a run: window, key, stores, calls in flight, budget, then the model; one row per
call.

A new reply is committed before it is returned. Errors are returned but not stored, so that the next run of the same
command asks again. The gateway is in the driver, on one event loop, whatever executes the contexts.
"""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from memeval.errors import StopRun, UsageError
from memeval.models import registry, window
from memeval.models.budget import Budget
from memeval.models.call_json import call_key
from memeval.models.calls import CallSettings
from memeval.models.completion import Completion, Model, ModelSpec, Request, Usage
from memeval.models.limits import Limiter, Trace, trace
from memeval.models.providers import Provider
from memeval.models.reply import one_line
from memeval.models.store import Store, open_cache
from memeval.records.rows import CallRow

MEMORY = ("ingest", "recall")
"""Phases whose replies belong to a memory."""
Opener = Callable[[ModelSpec, Limiter], Model]


@dataclass(frozen=True, slots=True)
class _Call:
    """One logical call in progress. store: of its phase. key: of its reply there. cache: the user's, if the reply is to
    be stored there."""

    spec: ModelSpec
    model: Model
    request: Request
    store: Store | None
    key: bytes
    cache: Store | None
    begun: float


class Gateway:
    """Calls models on the running event loop.

    stores: phase -> file that stores its replies; equal calls are joined only if they share a file. on_call: receives
    the row of each finished call, on the loop. opener: opens the models for text.

    requests: attempts sent, including retries. first_call_at: `time.monotonic()` of the first call, or None.
    """

    def __init__(
        self,
        settings: CallSettings,
        stores: Mapping[str, Path],
        on_call: Callable[[CallRow], None] | None = None,
        opener: Opener = registry.open_model,
    ) -> None:
        self.requests = 0
        self.first_call_at: float | None = None
        self._settings = settings
        self._budget = settings.budget or Budget()
        self._files = {path: Store(path) for path in dict.fromkeys(stores.values())}
        self._stores = {phase: self._files[path] for phase, path in stores.items()}
        self._cache = open_cache() if settings.use_cache else None
        self._on_call = on_call or (lambda row: None)
        self._opener = opener
        self._models: dict[tuple[Any, ...], tuple[Model, Provider]] = {}
        self._limiters: dict[str, Limiter] = {}
        self._in_flight: dict[tuple[Store | None, bytes], asyncio.Future[Completion]] = {}
        self._callers: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def adapted(self) -> tuple[str, ...]:
        """What was changed in requests to the servers of this gateway, in words."""
        named = [(name, getattr(model, "adapted", ())) for (name, *_), (model, _) in self._models.items()]
        return tuple(dict.fromkeys(f"{name}: {note}" for name, notes in named for note in notes))

    async def call(self, spec: ModelSpec, request: Request) -> Completion:
        """Make one logical call. `spec.params` are defaults for `request.params`.

        Returns a Completion with `error` if no reply was obtained. Raises EndpointDown, EndpointRefused and BudgetSpent
        (stop the run), UsageError (an unknown name, a store that cannot be written).
        """
        if self._closed:
            raise RuntimeError("the gateway is closed")
        begun = time.monotonic()
        self.first_call_at = self.first_call_at or begun
        model, provider = self._opened(spec, request.embeds)
        longest, request = window.split(spec, replace(request, params={**spec.params, **request.params}))
        key = call_key(registry.call_identity(spec, model.identity, provider), request)
        cache = self._cache if provider.fills_cache else None
        call = _Call(spec, model, request, self._stores.get(request.phase), key, cache, begun)
        if longest is not None and not request.embeds and await window.exceeds(request, longest):
            return self._book(call, "window", Completion(finish_reason="overflow"))
        return await self._answer(call)

    def open(self, spec: ModelSpec) -> None:
        """Open a model before its first call. Raises UsageError if a key or a package is missing."""
        self._opened(spec, embeds=False)

    async def close(self) -> None:
        """Cancel all callers with calls in flight, wait for them to end, then close the models and the stores. An error
        of one model is raised after all are closed: a server that keeps running keeps its GPU."""
        self._closed = True
        callers = list(self._callers)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        errors = await asyncio.gather(*(model.close() for model, _ in self._models.values()), return_exceptions=True)
        for store in (*self._files.values(), *([self._cache] if self._cache else ())):
            store.close()
        for error in filter(None, errors):
            raise error

    # -- one call, step by step ---------------------------------------------------------------------------------------

    async def _answer(self, call: _Call) -> Completion:
        """The reply to a call: from an equal call in flight, or from a new call."""
        place = (call.store, call.key)
        while (other := self._in_flight.get(place)) is not None:
            await asyncio.wait((other,))
            if not other.cancelled():  # if it was cancelled, this caller sends the call
                return self._book(call, "shared", other.result())
        reply: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._in_flight[place] = reply
        caller = asyncio.current_task()
        assert caller is not None
        new = caller not in self._callers
        self._callers.add(caller)
        try:
            completion = await self._stored(call) or await self._fresh(call)
            reply.set_result(completion)
            return completion
        except Exception as error:
            reply.set_exception(error)
            reply.exception()  # mark the exception as retrieved, in case no other task waits for it
            raise
        finally:
            reply.cancel()
            del self._in_flight[place]
            if new:
                self._callers.discard(caller)

    async def _stored(self, call: _Call) -> Completion | None:
        """A stored reply: from the store of the phase, or from the user's cache."""
        if call.store is not None and (found := await call.store.get(call.key)) is not None:
            return self._book(call, "stored", found)
        if call.cache is None or (found := await call.cache.get(_cache_key(call))) is None:
            return None
        if call.store is not None:
            await call.store.put(call.key, call.model.identity, found)
        return self._book(call, "cache", found)

    async def _fresh(self, call: _Call) -> Completion:
        """A new reply from the model, committed. Raises BudgetSpent if no further call may be sent."""
        charge = await self._budget.reserve(call.spec, call.request)
        counter, used = Trace(), Usage()
        token = trace.set(counter)
        try:
            completion = await _completed(call.model, call.request)
            used = completion.usage
            completion = await _committed(call, completion)
            counter.attempts = max(1, counter.attempts)
        finally:
            trace.reset(token)
            self.requests += counter.attempts
            self._budget.settle(call.spec, charge, used)
        return self._book(call, "model", completion, counter.attempts)

    def _book(self, call: _Call, source: str, completion: Completion, attempts: int = 0) -> Completion:
        """Emit the row of a finished call."""
        row = CallRow(
            at=round(time.time(), 3),
            phase=call.request.phase,
            model=call.model.identity,
            source=source,
            seconds=round(time.monotonic() - call.begun, 6),
            attempts=attempts,
            status=completion.error or "ok",
            finish_reason=completion.finish_reason,
            prompt=completion.usage.prompt,
            completion=completion.usage.completion,
        )
        self._on_call(row)
        return completion

    # -- open models --------------------------------------------------------------------------------------------------

    def _opened(self, spec: ModelSpec, embeds: bool) -> tuple[Model, Provider]:
        """The open model of a spec, and its row in the table of providers. Models behind one endpoint share its
        limiter."""
        name = (spec.name, spec.base_url, json.dumps(dict(spec.backend), sort_keys=True), embeds)
        if name not in self._models:
            where = registry.route(spec)
            if where.endpoint not in self._limiters:
                self._limiters[where.endpoint] = Limiter(where.endpoint, self._settings.concurrency, self._settings.policy)
            opener = registry.open_embedder if embeds else self._opener
            self._models[name] = opener(spec, self._limiters[where.endpoint]), where.provider
        return self._models[name]


def _cache_key(call: _Call) -> bytes:
    """The key in the user's cache, which includes the URL and the checkpoint."""
    identity = f"{call.model.identity} {call.spec.checkpoint}".rstrip()
    return call_key(registry.tagged(identity, call.spec), call.request)


async def _committed(call: _Call, completion: Completion) -> Completion:
    """Store a reply and return the stored one: several processes may read one memory at once, and the first reply wins."""
    if call.store is not None:
        completion = await call.store.put(call.key, call.model.identity, completion)
    if call.cache is not None and completion.finish_reason != "overflow":  # the window may be larger next time
        await call.cache.put(_cache_key(call), call.model.identity, completion)
    return completion


async def _completed(model: Model, request: Request) -> Completion:
    """The model's reply. An exception that is no reason to stop the run (a bug, a text that its tokenizer cannot read)
    fails only this call."""
    try:
        return await model.complete(request)
    except (StopRun, UsageError):
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = one_line(f"the model raised {type(error).__name__}({error})")
        return Completion(error=f"{text} at {Path(frame.filename).name}:{frame.lineno}", finish_reason="error")
