"""Requests in the air: no call is sent twice at a time, and none that the budget does not allow.

A request is claimed for its calls, flies, and lands; who asks for one of these calls meanwhile waits for the landing.
Between `landing`, `allowed` and `claim` nothing may be awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from memeval.models.budget import Budget, BudgetSpent, Charge
from memeval.models.completion import Completion, ModelSpec, Request, Usage
from memeval.models.limits import Trace, trace

Send = Callable[[], Awaitable[Sequence[Completion]]]
Keep = Callable[[bytes, Completion], None]


@dataclass
class _Flight:
    landed: asyncio.Future[Completion]
    caller: asyncio.Task[Any] | None
    charge: Charge


class Flights:
    """On one event loop. lost: told the attempts of a request that brought no completion at all."""

    def __init__(self, lost: Callable[[int], None], budget: Budget | None = None) -> None:
        self._lost = lost
        self._budget = budget
        self._flights: dict[bytes, _Flight] = {}

    def landing(self, key: bytes) -> asyncio.Future[Completion] | None:
        """What to wait for where the call is in the air. It is cancelled when the caller that sent it was: then somebody
        else sends it."""
        flight = self._flights.get(key)
        return None if flight is None else flight.landed

    def charge(self, spec: ModelSpec, request: Request, limit: int | None = None) -> Charge:
        return Charge() if self._budget is None else self._budget.charge(spec, request, limit)

    def allowed(self, charge: Charge) -> bool:
        return self._budget is None or self._budget.allows(charge)

    async def room(self, spec: ModelSpec, request: Request) -> Charge:
        """Wait while what the calls in the air will have cost decides whether another may follow. Returns what it may come
        to, as they have taught."""
        while self._budget is not None and self._budget.waits(self.charge(spec, request)) and self._flights:
            flights = [flight.landed for flight in self._flights.values()]
            await asyncio.wait(flights, return_when=asyncio.FIRST_COMPLETED)
        return self.charge(spec, request)

    async def land(self) -> str:
        """Wait for what is in the air: the replies are paid for, and kept once they are here. Returns why no more may be
        sent."""
        flights = [flight.landed for flight in self._flights.values()]
        if flights:
            await asyncio.wait(flights)
        return self._budget.refused if self._budget is not None else ""

    async def cancel(self) -> None:
        """Cancel the callers that have something in the air, and wait for their end."""
        callers = [flight.caller for flight in self._flights.values() if flight.caller is not None]
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)

    def claim(self, keys: Sequence[bytes], charge: Charge) -> None:
        """One request for these calls leaves now; `fly` must follow."""
        loop, caller = asyncio.get_running_loop(), asyncio.current_task()
        for key in keys:
            self._flights[key] = _Flight(loop.create_future(), caller, charge)
        if self._budget is not None:
            self._budget.sent(charge)

    async def fly(self, keys: Sequence[bytes], spec: ModelSpec, send: Send, keep: Keep) -> tuple[Sequence[Completion], int]:
        """Send a claimed request, in the task of the caller that came first, and keep its completions but for errors.
        Returns a completion per key, and the attempts."""
        counter = Trace()
        token = trace.set(counter)
        used, failed = Usage(), None
        try:
            completions = await send()
            if self._budget is not None:
                used = sum((completion.usage for completion in completions), used)
            for key, completion in zip(keys, completions, strict=True):
                if completion.error is None:
                    keep(key, completion)
                self._flights[key].landed.set_result(completion)
            return completions, max(1, counter.attempts)
        except BaseException as error:
            self._lost(counter.attempts)
            failed = error
            raise
        finally:
            trace.reset(token)
            self._part(keys, spec, used, failed)

    async def side_by_side(
        self,
        send: Callable[[Sequence[bytes]], Awaitable[None]],
        batches: Sequence[Sequence[bytes]],
        spec: ModelSpec,
        charge: Callable[[Sequence[bytes]], Charge],
    ) -> None:
        """Claim batches of keys, as many as the budget allows, and have `send` let them fly. All have ended when this ends,
        well or not. Raises the first error, or BudgetSpent."""
        claimed = []
        for batch in batches:
            if not self.allowed(charge(batch)):
                break
            self.claim(batch, charge(batch))
            claimed.append(batch)
        try:
            outcomes = await asyncio.gather(*map(send, claimed), return_exceptions=True)
        finally:
            for batch in claimed:
                if batch[0] in self._flights:  # cancelled before it began
                    self._part(batch, spec, Usage(), None)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        if len(claimed) < len(batches):
            raise BudgetSpent(await self.land())

    def _part(self, keys: Sequence[bytes], spec: ModelSpec, used: Usage, error: BaseException | None) -> None:
        """End what `claim` began; who waits for a call that brought no completion gets the error."""
        flights = [self._flights.pop(key) for key in keys]
        for landed in (flight.landed for flight in flights):
            if landed.done():
                continue
            if isinstance(error, Exception):
                landed.set_exception(error)
                landed.exception()  # nobody need wait for it
            else:
                landed.cancel()
        if self._budget is not None:
            self._budget.landed(spec, used, flights[0].charge)
