"""What one command may spend: `--max-cost USD` and `--max-calls N`, over all its runs.

Only calls that are sent count; replies from a store, the cache or an equal call in flight are free. The gateway asks
before it sends, and waits for what is in flight before it stops the run, so that nothing that was paid for is lost. What a
prompt may cost is estimated from its characters, and the reply is taken to be as long as its limit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from memeval.errors import StopRun, UsageError
from memeval.models import prices
from memeval.models.completion import ModelSpec, Request, Usage
from memeval.models.prices import Price
from memeval.models.registry import runs_here
from memeval.models.reply import estimate


class BudgetSpent(StopRun):
    """`--max-cost` or `--max-calls` is used up: the same command with a larger one goes on from here."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one call may come to. prompt: tokens, by its characters. usd: at most; None where nothing limits its reply."""

    prompt: int = 0
    usd: float | None = None


class Budget:
    """calls: sent so far, those that failed included. usd: spent on those whose reply is there; models that cost nothing to
    call (offline, scripted) and unknown prices add nothing.

    max_calls is exact. max_usd is kept by foresight: a call is sent while what is spent, and what the calls in flight and
    this one may come to, stay within it; one without a limit of its reply is taken to cost the mean so far. The first call
    is sent alone: it tells how many tokens the characters of a prompt are. So max_usd is exceeded only by replies without a
    limit, and by a prompt with more tokens for its characters than any before.
    """

    def __init__(
        self,
        max_usd: float | None = None,
        max_calls: int | None = None,
        price: Callable[[str, str | None], Price | None] = prices.price,
    ) -> None:
        if max_usd is not None and not max_usd >= 0:  # nor is it nan, of which nothing is ever more
            raise UsageError(f"--max-cost {max_usd}: expected USD, 0 or more")
        self.max_usd = max_usd
        self.max_calls = max_calls
        self.calls = 0
        self.usd = 0.0
        self.refused = ""  # why: once a call was refused, every later one is
        self._price = price
        self._prices: dict[tuple[str, str | None], Price | None] = {}
        self._in_flight = 0
        self._unlimited = 0  # of them, those that have no charge in USD
        self._held = 0.0  # USD that the others may come to
        self._denser: defaultdict[tuple[str, str | None], float] = defaultdict(lambda: 1.0)  # than four characters a token

    def require_prices(self, specs: Iterable[ModelSpec]) -> None:
        """Raises UsageError when max_usd is given and a model that may cost money has no known price."""
        if self.max_usd is None:
            return
        for spec in specs:
            if self._of(spec) is None and not runs_here(spec):
                raise UsageError(
                    f"--max-cost: the price of model '{spec.name}' is not known; put it under 'prices:' in memeval.yaml "
                    "(0 where you run it yourself), or use --max-calls"
                )

    def charge(self, spec: ModelSpec, request: Request, limit: int | None = None) -> Charge:
        """What a call may come to. limit: tokens of its reply, where `params` do not tell."""
        if self.max_usd is None:
            return Charge()
        limits = [request.params.get(key, limit) for key in ("max_tokens", "max_completion_tokens")]
        limit = min((value for value in limits if isinstance(value, int)), default=None)
        prompt = estimate(request, "").prompt
        if limit is None:
            return Charge(prompt)
        most = Usage(math.ceil(prompt * self._denser[spec.name, spec.base_url]), limit)
        return Charge(prompt, prices.cost(most, self._of(spec)) or 0.0)

    def allows(self, charge: Charge) -> bool:
        """Whether one more call may be sent now."""
        if not self.refused:
            self.refused = self._exceeded(charge)
        return not self.refused

    def waits(self, charge: Charge) -> bool:
        """Whether a call has to wait for those in flight, which may turn out cheaper than what is held for them. The first
        of all teaches what calls cost: sixteen at once may be sixteen times too many."""
        if self.max_usd is None or not self._in_flight or self.refused:
            return False
        return self.calls == self._in_flight or (charge.usd is not None and bool(self._exceeded(charge)))

    def sent(self, charge: Charge) -> None:
        """A call leaves now."""
        self.calls += 1
        self._in_flight += 1
        self._unlimited += charge.usd is None
        self._held += charge.usd or 0.0

    def landed(self, spec: ModelSpec, usage: Usage, charge: Charge) -> None:
        """It is over; without a reply, or cancelled, its usage is zero."""
        self._in_flight -= 1
        self._unlimited -= charge.usd is None
        self._held = self._held - (charge.usd or 0.0) if self._in_flight else 0.0
        name = (spec.name, spec.base_url)
        self._denser[name] = max(self._denser[name], usage.prompt / max(1, charge.prompt))
        self.usd += prices.cost(usage, self._of(spec)) or 0.0

    def _exceeded(self, charge: Charge) -> str:
        if self.max_calls is not None and self.calls >= self.max_calls:
            return f"--max-calls {self.max_calls} is used up: raise it to go on"
        if self.max_usd is None:
            return ""
        landed = self.calls - self._in_flight
        mean = self.usd / landed if landed else 0.0
        following = mean if charge.usd is None else charge.usd
        held = self._held + self._unlimited * mean
        if self.usd >= self.max_usd or self.usd + held + following > self.max_usd * (1 + 1e-9):
            spent = f"{self.usd:.4g} USD spent on {self.calls} calls, the next may cost {following:.2g}"
            return f"--max-cost {self.max_usd:g} leaves no room for another call ({spent}): raise it to go on"
        return ""

    def _of(self, spec: ModelSpec) -> Price | None:
        name = (spec.name, spec.base_url)
        if name not in self._prices:
            self._prices[name] = self._price(*name)
        return self._prices[name]
