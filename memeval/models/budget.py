"""What one command may spend: `--max-cost USD` and `--max-calls N`, over all its runs.

Only calls that are sent count; replies from the journal, the cache or an equal call under way are free. The gateway asks
before it sends, and lets what is in the air land before it stops the run, so that nothing that was paid for is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from memeval.errors import StopRun, UsageError
from memeval.models import prices
from memeval.models.completion import ModelSpec, Usage
from memeval.models.prices import Price


class BudgetSpent(StopRun):
    """`--max-cost` or `--max-calls` is used up: the same command with a larger one goes on from here."""


class Budget:
    """calls: sent so far, those that failed included. usd: spent on those whose reply is there; models that cost nothing to
    call (offline, scripted) and unknown prices add nothing.

    max_calls is exact. max_usd is kept by foresight: a call is sent while what is spent, and what the calls in the air and
    this one cost at the mean so far, stay within it. The first call, of which nothing is known, flies alone.
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
        self._flying = 0

    def require_prices(self, specs: Iterable[ModelSpec]) -> None:
        """Raises UsageError when max_usd is given and a model that may cost money has no known price."""
        if self.max_usd is None:
            return
        for spec in specs:
            if self._of(spec) is None and not prices.runs_here(spec.name, spec.base_url):
                raise UsageError(
                    f"--max-cost: the price of model '{spec.name}' is not known; put it under 'prices:' in memeval.yaml "
                    "(0 where you run it yourself), or use --max-calls"
                )

    def allows(self) -> bool:
        """Whether one more call may be sent now."""
        if not self.refused:
            self.refused = self._exceeded()
        return not self.refused

    @property
    def sounding(self) -> bool:
        """Whether what calls cost is about to be learned from the first: sixteen at once may be sixteen times too many."""
        return self.max_usd is not None and self.calls == self._flying > 0

    def sent(self) -> None:
        """A call leaves now."""
        self.calls += 1
        self._flying += 1

    def landed(self, spec: ModelSpec, usage: Usage) -> None:
        """It is over; without a reply, or cancelled, its usage is zero."""
        self._flying -= 1
        self.usd += prices.cost(usage, self._of(spec)) or 0.0

    def _exceeded(self) -> str:
        if self.max_calls is not None and self.calls >= self.max_calls:
            return f"--max-calls {self.max_calls} is used up: raise it to go on"
        if self.max_usd is None:
            return ""
        landed = self.calls - self._flying
        expected = (self._flying + 1) * self.usd / landed if landed else 0.0
        if self.usd >= self.max_usd or self.usd + expected > self.max_usd * (1 + 1e-9):
            spent = f"{self.usd:.4g} USD spent on {self.calls} calls"
            return f"--max-cost {self.max_usd:g} is used up ({spent}): raise it to go on"
        return ""

    def _of(self, spec: ModelSpec) -> Price | None:
        name = (spec.name, spec.base_url)
        if name not in self._prices:
            self._prices[name] = self._price(*name)
        return self._prices[name]
