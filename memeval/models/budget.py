"""The limits of one command: `--max-cost USD` and `--max-calls N`, over all its runs.

Only calls that are sent count; replies from a store, the cache or an equal call in flight are free. The gateway
reserves before it sends. No paid reply is lost: the calls in flight end before the run stops. The cost of a prompt is
estimated from its characters, and a reply is assumed to be as long as its limit.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from memeval.errors import StopRun, UsageError
from memeval.models import prices
from memeval.models.body import limit as reply_limit
from memeval.models.completion import ModelSpec, Request, Usage
from memeval.models.prices import Price
from memeval.models.registry import runs_here
from memeval.models.reply import estimate
from memeval.wording import counted

_Name = tuple[str, str | None]


class BudgetSpent(StopRun):
    """`--max-cost` or `--max-calls` is used up; the same command with a larger limit continues."""


@dataclass(frozen=True, slots=True)
class Charge:
    """The most that one call may cost. prompt: tokens, estimated from its characters. usd: None if nothing limits its
    reply."""

    prompt: int = 0
    usd: float | None = None


class Budget:
    """calls: number sent so far, including failed ones. usd: spent on calls with a reply, counted if max_usd is set;
    models without a price (offline, scripted) and unknown prices add nothing. refused: why no further call may be sent,
    else "".

    max_calls is exact. max_usd is respected in advance: a call is sent while the money spent, plus the most that the
    calls in flight and this call may cost, stays within it; a call without a reply limit is assumed to cost the mean so
    far. The first call is sent alone: its usage shows how many tokens a prompt has per character. So max_usd is
    exceeded only by a reply without a limit, by a reply longer than its limit and any before, and by a prompt with more
    tokens per character.
    """

    def __init__(
        self,
        max_usd: float | None = None,
        max_calls: int | None = None,
        price: Callable[[str, str | None], Price | None] = prices.price,
    ) -> None:
        if max_usd is not None and not max_usd >= 0:  # also rejects NaN
            raise UsageError(f"--max-cost {max_usd}: expected USD, 0 or more")
        self.max_usd = max_usd
        self.max_calls = max_calls
        self.calls = 0
        self.usd = 0.0
        self.refused = ""
        self._price = functools.cache(price)
        self._in_flight: list[Charge] = []
        self._end = asyncio.Event()  # set when the next call in flight ends
        self._density: defaultdict[_Name, float] = defaultdict(lambda: 1.0)  # measured tokens per estimated token
        self._longest: defaultdict[_Name, int] = defaultdict(int)  # longest reply: a model that thinks gets a larger limit

    def require_prices(self, specs: Iterable[ModelSpec]) -> None:
        """Raises UsageError if max_usd is set and a model that may cost money has no known price."""
        if self.max_usd is None:
            return
        for spec in specs:
            if self._price(spec.name, spec.base_url) is None and not runs_here(spec):
                raise UsageError(
                    f"--max-cost: the price of model '{spec.name}' is not known; put it under 'prices:' in memeval.yaml "
                    "(0 where you run it yourself), or use --max-calls"
                )

    def charge(self, spec: ModelSpec, request: Request) -> Charge:
        """The most that this call may cost."""
        if self.max_usd is None:
            return Charge()
        name, prompt = (spec.name, spec.base_url), estimate(request, "").prompt
        limit = 0 if request.embeds else reply_limit(request.params)
        if limit is None:
            return Charge(prompt)
        most = Usage(math.ceil(prompt * self._density[name]), max(limit, self._longest[name]))
        return Charge(prompt, prices.cost(most, self._price(*name)) or 0.0)

    async def reserve(self, spec: ModelSpec, request: Request) -> Charge:
        """Wait until a call may be sent, and count it. It waits for calls in flight, which may cost less than is
        reserved for them. Raises BudgetSpent after they have ended."""
        charge = self.charge(spec, request)
        while self._in_flight and not self.refused and self._waits(charge):
            await self._end.wait()
            charge = self.charge(spec, request)
        self.refused = self.refused or self._exceeded(charge)
        if self.refused:
            while self._in_flight:
                await self._end.wait()
            raise BudgetSpent(self.refused)
        self.calls += 1
        self._in_flight.append(charge)
        return charge

    def settle(self, spec: ModelSpec, charge: Charge, usage: Usage) -> None:
        """Settle a call that has ended; without a reply, or if it was cancelled, its usage is zero."""
        self._in_flight.remove(charge)
        if self.max_usd is not None:
            name = (spec.name, spec.base_url)
            self._density[name] = max(self._density[name], usage.prompt / max(1, charge.prompt))
            self._longest[name] = max(self._longest[name], usage.completion)
            self.usd += prices.cost(usage, self._price(*name)) or 0.0
        self._end.set()
        self._end = asyncio.Event()

    def _waits(self, charge: Charge) -> bool:
        first = self.calls == len(self._in_flight)  # the cost of calls is still unknown
        return self.max_usd is not None and (first or (charge.usd is not None and bool(self._exceeded(charge))))

    def _exceeded(self, charge: Charge) -> str:
        """Why this call would exceed the limits, else ""."""
        if self.max_calls is not None and self.calls >= self.max_calls:
            return f"--max-calls {self.max_calls} is used up: raise it to go on"
        if self.max_usd is None:
            return ""
        ended = self.calls - len(self._in_flight)
        mean = self.usd / ended if ended else 0.0
        reserved = sum(mean if one.usd is None else one.usd for one in self._in_flight)
        following = mean if charge.usd is None else charge.usd
        if self.usd >= self.max_usd or self.usd + reserved + following > self.max_usd * (1 + 1e-9):
            spent = f"{self.usd:.4g} USD spent on {counted(self.calls, 'call')}, the next may cost {following:.2g}"
            return f"--max-cost {self.max_usd:g} leaves no room for another call ({spent}): raise it to go on"
        return ""
