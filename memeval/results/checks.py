"""What a candidate must keep against a baseline, and whether it does (validity section 1).

Each check has a number with one-sided limits at level 1 - alpha, and a bound that the number must keep:

    score     candidate - baseline: at least -max_drop      failures   candidate's share - baseline's: at most 0
    memory    candidate / baseline - 1: at most max_growth  cost       the same
    min       mean of a metric: at least so much            latency    a quantile: at most so many seconds (no limits)

Both limits beyond the bound: `regression`. Both within it: `pass`. Else `inconclusive`: these questions are too few to tell,
and the check says how many would be enough. By default an inconclusive check lets the candidate pass, with a warning; under
`strict` it does not. An increase of failures counts only if it is significant, also under `strict`: a run with more than 2 %
of failures is invalid anyway.

Checks of one kind (on several tasks; memory and cost together) share alpha by Holm's method, so that each kind stops a
candidate that is as good as the baseline with probability alpha at most. To pass, each check is held to the unshared level:
all of them passing by chance is no more likely than one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from memeval.errors import UsageError
from memeval.results.pairs import Pair, Scores
from memeval.results.question_costs import memory_sizes, question_costs
from memeval.results.run import Run
from memeval.stats import difference, growth, interval

Verdict = Literal["pass", "regression", "inconclusive"]
AtLeast0 = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Limits = tuple[float, float, float]
"""value, low, high"""
MOST = 1_000_000
"""The largest number of questions that is worth naming as enough to decide."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """max_drop: of the headline, as a fraction (.02 = 2 points). minimum: metric -> its least mean. max_memory_growth,
    max_cost_growth: as fractions (.2 = a fifth more), None: not judged. max_latency: `p50` or `p95` of an answer -> seconds.
    alpha: one-sided. strict: an inconclusive check stops the candidate. within_stream: judge also with fewer than five
    clusters, where limits hold for these streams only."""

    max_drop: Share = 0.0
    minimum: dict[str, Share] = {}
    max_memory_growth: AtLeast0 | None = None
    max_cost_growth: AtLeast0 | None = None
    max_latency: dict[str, AtLeast0] = {}
    alpha: Annotated[float, msgspec.Meta(ge=1e-6, lt=0.5)] = 0.05
    strict: bool = False
    within_stream: bool = False


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One judgement. what: `score f1`, `failures`, `memory`, `cost`, `min f1`, `latency p95`. baseline, candidate: the two
    means, in `unit`; the baseline's is None where the check does not use it. change, low, high: the number that is judged,
    with its one-sided limits (a difference of shares, or growth as a fraction); bound: the bound that it must keep. n: the
    number of questions, in `clusters`. decides: how many questions would decide an inconclusive check, None where no number
    would.
    """

    task: str
    what: str
    verdict: Verdict
    unit: str
    baseline: float | None
    candidate: float | None
    bound: float
    change: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    clusters: int = 0
    decides: int | None = None


def checks(pairs: Sequence[Pair], rules: Rules) -> list[Check]:
    """All checks of the pairs (one pair per task), task by task. Raises UsageError where a rule needs something that the
    runs do not have."""
    made = [number for pair in pairs for number in _numbers(pair, rules)]
    found: list[Check] = []
    for kind in dict.fromkeys(number.kind for number in made):
        found += _judged([number for number in made if number.kind == kind], rules.alpha)
    found += [check for pair in pairs for check in _latencies(pair, rules)]
    order = [pair.base.task for pair in pairs]
    return sorted(found, key=lambda check: order.index(check.task))


@dataclass(frozen=True, slots=True)
class _Number:
    """A number that must keep the bound of its check. check: the check before its verdict. kind: `score`, `failures`, `min`
    or `growth`. scores: the values that the number is computed from."""

    check: Check
    kind: str
    scores: Scores

    @property
    def high_is_good(self) -> bool:
        return self.kind in ("score", "min")

    def limits(self, alpha: float) -> Limits:
        return _limits(self.kind, self.scores, alpha)

    def breaks(self, alpha: float) -> bool:
        _, low, high = self.limits(alpha)
        return high < self.check.bound if self.high_is_good else low > self.check.bound

    def keeps(self, alpha: float) -> bool:
        _, low, high = self.limits(alpha)
        return low >= self.check.bound if self.high_is_good else high <= self.check.bound

    def decides(self, alpha: float) -> int | None:
        """How many questions would bring the nearer limit to the bound, all else being equal; None where too many."""
        value, low, high = self.limits(alpha)
        distance = abs(value - self.check.bound)
        reach = value - low if value > self.check.bound else high - value
        needed = self.check.n * (reach / distance) ** 2 if distance > 1e-9 else math.inf
        return math.ceil(needed) if needed <= MOST else None


def _numbers(pair: Pair, rules: Rules) -> list[_Number]:
    task, metric = pair.base.task, pair.base.summary.headline.metric
    made = [
        _number(task, "score", f"score {metric}", pair.scores(), 0.0 - rules.max_drop),
        _number(task, "failures", "failures", pair.failures(), 0.0),
    ]
    made += [_number(task, "min", f"min {name}", pair.scores(name), least) for name, least in rules.minimum.items()]
    if rules.max_memory_growth is not None:
        held = pair.columns(_held(pair.base), _held(pair.other))
        made.append(_number(task, "growth", "memory", held, rules.max_memory_growth, "tokens held"))
    if rules.max_cost_growth is not None:
        in_usd = all(run.summary.cost.usd for run in (pair.base, pair.other))
        taken = pair.columns(question_costs(pair.base, in_usd), question_costs(pair.other, in_usd))
        unit = "USD an answer" if in_usd else "tokens an answer"
        made.append(_number(task, "growth", "cost", taken, rules.max_cost_growth, unit))
    return made


def _held(run: Run) -> dict[str, float]:
    found = memory_sizes(run)
    if not found:
        raise UsageError(f"--max-memory-growth: {run.path}: the agent does not say what it holds")
    return found


def _number(task: str, kind: str, what: str, scores: Scores, bound: float, unit: str = "share") -> _Number:
    n = len(scores.questions)
    check = Check(
        task=task,
        what=what,
        verdict="inconclusive",
        unit=unit,
        baseline=None if kind == "min" else math.fsum(scores.base) / n,
        candidate=math.fsum(scores.other) / n,
        bound=bound,
        n=n,
        clusters=len(set(scores.clusters)),
    )
    return _Number(check, kind, scores)


@functools.lru_cache(maxsize=64)
def _limits(kind: str, scores: Scores, alpha: float) -> Limits:
    """The value and its limits; each limit misses with probability alpha."""
    confidence = 1 - 2 * alpha
    if kind == "growth":
        return growth(scores.other, scores.base, scores.clusters, confidence)
    if kind == "min":
        mean = interval(scores.other, scores.clusters, confidence)
        return mean.value, mean.low, mean.high
    return difference(scores.other, scores.base, scores.clusters, confidence)


def _judged(family: Sequence[_Number], alpha: float) -> list[Check]:
    """Apply Holm's method with limits in place of p-values: set aside the numbers that break their bound at alpha / m, until
    none of the m left does."""
    broken: set[int] = set()
    while True:
        left = [place for place in range(len(family)) if place not in broken]
        shared = alpha / max(1, len(left))
        more = {place for place in left if family[place].breaks(shared)}
        if not more:
            return [_check(number, place in broken, alpha) for place, number in enumerate(family)]
        broken |= more


def _check(number: _Number, broken: bool, alpha: float) -> Check:
    value, low, high = number.limits(alpha)
    known = math.isfinite(low) and math.isfinite(high)
    found = replace(number.check, change=value, low=low if known else None, high=high if known else None)
    if broken:
        return replace(found, verdict="regression")
    if number.kind == "failures" or number.keeps(alpha):  # an increase counts only if it is significant
        return replace(found, verdict="pass")
    return replace(found, decides=number.decides(alpha))


def _latencies(pair: Pair, rules: Rules) -> list[Check]:
    """Check the latency of an answer as measured, without limits: the load of a machine is not a random sample.
    `inconclusive` where no answer was timed."""
    checks = []
    found = pair.other.summary.latency.get("answer")
    for name, seconds in rules.max_latency.items():
        if name not in ("p50", "p95"):
            raise UsageError(f"gate: no latency {name!r}; it must be p50 or p95, as in p95=2s")
        measured = getattr(found, name) if found else None
        verdict: Verdict = "inconclusive"
        if measured is not None:
            verdict = "pass" if measured <= seconds else "regression"
        checks.append(
            Check(
                task=pair.base.task,
                what=f"latency {name}",
                verdict=verdict,
                unit="seconds",
                baseline=None,
                candidate=measured,
                bound=seconds,
                n=found.n if found else 0,
            )
        )
    return checks
