"""The one door to every model of a run: journal, then cache, then one flight per identical call, then the model.

A fresh reply is committed to the journal before it is handed out, and to the user's cache a moment later. Errors are handed
out but not stored, so that the next run of the same command asks again. Calls are counted here, once, for the whole run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from memeval.models import registry
from memeval.models.cache import Cache, call_key
from memeval.models.completion import Completion, Model, ModelSpec, Request, Usage
from memeval.models.journal import Journal, encode
from memeval.models.limits import Limiter, Policy, Trace, trace

Event = dict[str, Any]
FLUSH_SECONDS = 0.2
Opener = Callable[[ModelSpec, Limiter], Model]


@dataclass
class Counters:
    """calls: logical calls, cached ones included. cached: those answered without sending anything (journal, cache, or an
    identical call under way). requests: attempts sent, retries included. failures: calls that ended with an error.
    tokens: of all calls; fresh: of those that were sent. first_call_at: `time.monotonic()` of the first call, or None."""

    calls: int = 0
    cached: int = 0
    requests: int = 0
    failures: int = 0
    tokens: Usage = field(default_factory=Usage)
    fresh: Usage = field(default_factory=Usage)
    first_call_at: float | None = None


@dataclass
class _Flight:
    landed: asyncio.Future[Completion]
    caller: asyncio.Task[Any] | None


class Gateway:
    """Calls models for one run on one event loop.

    concurrency: the cap per endpoint. on_event: called with one plain dict per call, on the loop:
    `{"event": "call", "time": Unix seconds, "model", "source": "model" | "journal" | "cache" | "shared", "seconds",
    "attempts", "status": "ok" or the error, "finish_reason", "prompt", "completion"}`.
    """

    def __init__(
        self,
        journal: Journal | None,
        cache: Cache | None = None,
        concurrency: int = 16,
        on_event: Callable[[Event], None] | None = None,
        *,
        policy: Policy | None = None,
        opener: Opener = registry.open_model,
    ) -> None:
        self.counters = Counters()
        self._journal = journal
        self._cache = cache
        self._concurrency = concurrency
        self._on_event = on_event
        self._policy = policy
        self._opener = opener
        self._models: dict[tuple[str, str | None], Model] = {}
        self._limiters: dict[str, Limiter] = {}
        self._flights: dict[bytes, _Flight] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def call(self, spec: ModelSpec, request: Request) -> Completion:
        """One logical call. `spec.params` are defaults under `request.params`.

        Returns a Completion with `error` where no reply was obtained. Raises EndpointDown and EndpointRefused (stop the
        run), UsageError (a name that means nothing, a journal that cannot be written).
        """
        if self._closed:
            raise RuntimeError("the gateway is closed")
        begun = time.monotonic()
        if self.counters.first_call_at is None:
            self.counters.first_call_at = begun
        model = self.model(spec)
        if spec.params:
            request = replace(request, params={**spec.params, **request.params})
        key = call_key(model.identity, request)
        while (flight := self._flights.get(key)) is not None:
            await asyncio.wait((flight.landed,))
            if not flight.landed.cancelled():  # it is when the caller that sent it was: then somebody else sends it
                completion = flight.landed.result()
                self._book("shared", model, completion, begun, 0)
                return completion
        cache = self._cache if registry.fills_cache(spec) else None
        for source, store in (("journal", self._journal), ("cache", cache)):
            found = store.get(key) if store is not None else None
            if found is not None:
                if source == "cache" and self._journal is not None:
                    self._journal.put(key, model.identity, found)
                self._book(source, model, found, begun, 0)
                return found
        return await self._fly(key, model, request, cache, begun)

    def model(self, spec: ModelSpec) -> Model:
        """The open model of a spec; opened at its first use."""
        name = (spec.name, spec.base_url)
        if name not in self._models:
            endpoint = registry.route(spec).endpoint
            limiter = self._limiters.get(endpoint)
            if limiter is None:
                limiter = self._limiters[endpoint] = Limiter(endpoint, self._concurrency, self._policy)
            self._models[name] = self._opener(spec, limiter)
        return self._models[name]

    async def close(self) -> None:
        """Cancel the callers whose calls are in flight, wait for their end, close the models. Journal and cache belong to
        who made them."""
        self._closed = True
        callers = [flight.caller for flight in self._flights.values() if flight.caller is not None]
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        self._flush()
        for model in self._models.values():
            await model.close()
        self._models.clear()

    async def _fly(self, key: bytes, model: Model, request: Request, cache: Cache | None, begun: float) -> Completion:
        """Send the call, in the task of the caller that came first; later ones wait for `landed`."""
        flight = self._flights[key] = _Flight(asyncio.get_running_loop().create_future(), asyncio.current_task())
        counter = Trace()
        token = trace.set(counter)
        try:
            completion = await model.complete(request)
            if completion.error is None:
                self._keep(key, model.identity, completion, cache)
            self._book("model", model, completion, begun, max(1, counter.attempts))
            flight.landed.set_result(completion)
            return completion
        except BaseException as error:
            self.counters.requests += counter.attempts
            if isinstance(error, Exception):
                flight.landed.set_exception(error)
                flight.landed.exception()  # nobody need wait for it
            else:
                flight.landed.cancel()
            raise
        finally:
            trace.reset(token)
            del self._flights[key]

    def _keep(self, key: bytes, identity: str, completion: Completion, cache: Cache | None) -> None:
        text = encode(completion)
        if self._journal is not None:
            self._journal.put_text(key, identity, text)
        if cache is not None and completion.finish_reason != "overflow":  # a window can be widened
            cache.put_text(key, identity, text)
            if self._timer is None:  # the journal holds it: the cache may wait for a moment when nobody waits for us
                self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._cache is not None:
            self._cache.flush()

    def _book(self, source: str, model: Model, completion: Completion, begun: float, attempts: int) -> None:
        counters = self.counters
        counters.calls += 1
        counters.requests += attempts
        counters.tokens += completion.usage
        if source == "model":
            counters.fresh += completion.usage
        else:
            counters.cached += 1
        if completion.error is not None:
            counters.failures += 1
        if self._on_event is not None:
            self._on_event(
                {
                    "event": "call",
                    "time": round(time.time(), 3),
                    "model": model.identity,
                    "source": source,
                    "seconds": round(time.monotonic() - begun, 6),
                    "attempts": attempts,
                    "status": completion.error or "ok",
                    "finish_reason": completion.finish_reason,
                    "prompt": completion.usage.prompt,
                    "completion": completion.usage.completion,
                }
            )
