"""The one door to every model of a run: journals, then cache, then one flight per identical call, then the model.

A fresh reply is in the journal before it is handed out, and in the user's cache a moment later. Errors are handed
out but not stored, so that the next run of the same command asks again. Calls are counted here, once, for the whole run.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from memeval.errors import StopRun, UsageError
from memeval.models import registry, window
from memeval.models.budget import Budget, BudgetSpent, Charge
from memeval.models.cache import Cache
from memeval.models.call_json import call_key
from memeval.models.completion import Completion, Model, ModelSpec, Request, Usage
from memeval.models.counters import Counters
from memeval.models.flights import Flights
from memeval.models.journal import Journal, encode
from memeval.models.limits import Policy
from memeval.models.opened import Opened, Opener
from memeval.models.reply import one_line
from memeval.models.turns import Turns
from memeval.records.rows import CallRow

FLUSH_SECONDS = 0.2
LONGEST_BATCH = 200_000  # characters of the texts of one request for vectors; some 50,000 tokens
Elsewhere = Callable[[bytes], tuple[str, Completion] | None]
"""key of a call -> (name, reply) of another run that has made it, and whose memory this run shares (runs/siblings.py)"""


class Gateway:
    """Calls models for one run on one event loop.

    concurrency: the cap per endpoint. on_event: called with one row per call, on the loop. budget: what
    may be sent, shared by the runs of one command. elsewhere: where other runs' replies are found.
    """

    def __init__(
        self,
        journal: Journal | None,
        cache: Cache | None = None,
        concurrency: int = 16,
        on_event: Callable[[CallRow], None] | None = None,
        *,
        policy: Policy | None = None,
        opener: Opener = registry.open_model,
        budget: Budget | None = None,
        elsewhere: Elsewhere = lambda key: None,
    ) -> None:
        self.counters = Counters(on_event)
        self._elsewhere = elsewhere
        self._journal = journal
        self._cache = cache
        self._opened = Opened(concurrency, policy, opener)
        self._flights = Flights(self.counters.lost, budget)
        self._turns = Turns()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def call(self, spec: ModelSpec, request: Request) -> Completion:
        """One logical call. `spec.params` are defaults under `request.params`.

        Returns a Completion with `error` where no reply was obtained. Raises EndpointDown, EndpointRefused and BudgetSpent
        (stop the run), UsageError (a name that means nothing, a journal that cannot be written).
        """
        begun = self._begin()
        model = self._opened.model(spec)
        if spec.params:
            request = replace(request, params={**spec.params, **request.params})
        longest, request = window.split(spec, request)
        if longest is not None and await window.exceeds(request, longest):
            completion = Completion(finish_reason="overflow")
            self.counters.book("window", model.identity, completion, begun, 0)
            return completion
        key = call_key(model.identity, request)
        charge = await self._flights.room(spec, request)
        while (landing := self._flights.landing(key)) is not None:
            await asyncio.wait((landing,))
            if not landing.cancelled():
                completion = landing.result()
                self.counters.book("shared", model.identity, completion, begun, 0)
                return completion
        cache = self._cache if registry.fills_cache(spec) else None
        stored = self._stored(key, model.identity, cache)
        if stored is not None:
            source, run, completion = stored
            self.counters.book(source, model.identity, completion, begun, 0, run=run)
            return completion

        if not self._flights.allowed(charge):
            raise BudgetSpent(await self._flights.land())

        async def send() -> list[Completion]:
            return [await _completed(model, request)]

        self._flights.claim([key], charge)
        (completion,), attempts = await self._flights.fly([key], spec, send, self._keeper(model.identity, cache))
        await self._turns.mine()
        self.counters.book("model", model.identity, completion, begun, attempts)
        return completion

    async def embed(self, spec: ModelSpec, texts: Sequence[str], params: Mapping[str, Any]) -> list[Completion]:
        """The vectors of `texts`, one Completion each, as `Embedder.embed` gives them; raises what `call` raises.

        One logical call. Journal and cache file each text by itself, equal texts are sent once, and the others in batches
        that the embedder can take, side by side.
        """
        begun = self._begin()
        model = self._opened.embedder(spec)
        given = {key: value for key, value in {**spec.params, **params}.items() if key != window.KEY}
        keys = [call_key(model.identity, Request(({"role": "embed", "content": text},), None, given)) for text in texts]
        wanted = dict(zip(keys, texts, strict=True))
        cache = self._cache if registry.fills_cache(spec) else None
        keep = self._keeper(model.identity, cache)
        found: dict[bytes, Completion] = {}
        sources = {"shared"}
        attempts, fresh = 0, Usage()
        run: str | None = None

        async def send(batch: Sequence[bytes]) -> None:
            nonlocal attempts, fresh
            some = [wanted[key] for key in batch]
            completions, tries = await self._flights.fly(batch, spec, lambda: model.embed(some, given), keep)
            found.update(zip(batch, completions, strict=True))
            attempts += tries
            fresh = sum((completion.usage for completion in completions), fresh)

        def charge(batch: Sequence[bytes]) -> Charge:
            return self._flights.charge(spec, Request([{"content": wanted[key]} for key in batch]), limit=0)

        while missing := [key for key in wanted if key not in found]:
            landings = {key: landing for key in missing if (landing := self._flights.landing(key)) is not None}
            for key in missing:
                stored = None if key in landings else self._stored(key, model.identity, cache)
                if stored is not None:
                    sources.add(stored[0])
                    run, found[key] = stored[1] or run, stored[2]
            mine = [key for key in missing if key not in landings and key not in found]
            if mine:
                sources.add("model")
                await self._flights.side_by_side(send, list(batches(mine, wanted, model.largest)), spec, charge)
            if landings:
                await asyncio.wait(landings.values())
                found.update((key, landing.result()) for key, landing in landings.items() if not landing.cancelled())
        completions = [found[key] for key in keys]
        usage = sum((completion.usage for completion in found.values()), Usage())
        error = next((completion.error for completion in completions if completion.error), None)
        source = next(source for source in ("model", "cache", "journal", "shared") if source in sources)
        self.counters.book(source, model.identity, Completion(usage=usage, error=error), begun, attempts, fresh, run)
        return completions

    def open(self, spec: ModelSpec) -> None:
        """Open a model before its first call; raises what the call would raise where a key or a package is missing."""
        self._opened.model(spec)

    async def close(self) -> None:
        """Cancel the callers whose calls are in flight, wait for their end, close the models. Journal and cache belong to
        who made them."""
        self._closed = True
        await self._flights.cancel()
        self._flush()
        await self._opened.close()

    def _begin(self) -> float:
        if self._closed:
            raise RuntimeError("the gateway is closed")
        return self.counters.begin()

    def _stored(self, key: bytes, identity: str, cache: Cache | None) -> tuple[str, str | None, Completion] | None:
        """What is held for a call: by the journal, another run's journal or the cache; which of them, which run's; the
        reply."""
        own = self._journal.get(key) if self._journal is not None else None
        if own is not None:
            return "journal", None, own
        shared = self._elsewhere(key)
        cached = cache.get(key) if shared is None and cache is not None else None
        run, found = shared or (None, cached)
        if found is None:
            return None
        if self._journal is not None:
            self._journal.put(key, identity, found)
            self._flush_soon()
        return "journal" if shared else "cache", run, found

    def _keeper(self, identity: str, cache: Cache | None) -> Callable[[bytes, Completion], None]:
        """Files the fresh completions of one model."""

        def keep(key: bytes, completion: Completion) -> None:
            text = encode(completion)
            if self._journal is not None:
                self._journal.put_text(key, identity, text)
            if cache is not None and completion.finish_reason != "overflow":  # a window can be widened
                cache.put_text(key, identity, text)
            self._flush_soon()

        return keep

    def _flush_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        """File what nobody need wait for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._cache is not None:
            self._cache.flush()
        if self._journal is not None:
            with contextlib.suppress(UsageError):  # it holds what it cannot file now; who closes it is told
                self._journal.settle()


async def _completed(model: Model, request: Request) -> Completion:
    """The model's reply. What it raises that is no reason to stop the run (a bug, a text that its tokenizer chokes on) fails
    this call alone."""
    try:
        return await model.complete(request)
    except (StopRun, UsageError):
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = one_line(f"the model raised {type(error).__name__}({error})")
        return Completion(error=f"{text} at {Path(frame.filename).name}:{frame.lineno}", finish_reason="error")


def batches(keys: Iterable[bytes], texts: Mapping[bytes, str], largest: int) -> Iterator[list[bytes]]:
    """`keys` in order, in lists that one request can carry: at most `largest` texts and LONGEST_BATCH characters."""
    batch: list[bytes] = []
    size = 0
    for key in keys:
        if batch and (len(batch) == largest or size + len(texts[key]) > LONGEST_BATCH):
            yield batch
            batch, size = [], 0
        batch.append(key)
        size += len(texts[key])
    if batch:
        yield batch
