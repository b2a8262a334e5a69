"""Costs per question: the memory held when it was asked, and tokens or USD of an answer with its share of the reading."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from memeval.models.prices import MILLION, Price, cost
from memeval.records.rows import OperationRow, SampleRow
from memeval.records.summary import Summary
from memeval.results.run import Run
from memeval.stats import average_repeats


def answer_cost(summary: Summary) -> tuple[float | None, float | None]:
    """(USD, tokens) of all calls of a run, per answer; None where it is not known, or nothing was answered."""
    answers = sum(summary.verdicts.values())
    if not answers:
        return None, None
    usd, tokens = summary.cost.usd, summary.tokens
    return None if usd is None else usd / answers, (tokens.prompt + tokens.completion) / answers


def memory_sizes(run: Run) -> dict[str, float]:
    """Question id -> tokens held when it was asked, as a mean over repeats; questions without a known size are left out."""
    return average_repeats((row.question_id, row.memory_tokens) for row in run.samples)


def question_costs(run: Run, in_usd: bool) -> dict[str, float]:
    """Question id -> tokens, or USD, of one answer. The cost of a stream (reading, recalls and answers, without the judge)
    is divided equally among its answers. in_usd: by the prices of the run's summary, services included."""
    prices = {
        role: Price(listed.prompt / MILLION, listed.completion / MILLION, listed.cached / MILLION, listed.source)
        for role, listed in run.summary.cost.prices.items()
    }
    total: dict[str, float] = defaultdict(float)
    for step in run.operations:
        total[step.context_id] += _spent(step, prices, in_usd)
    for row in run.samples:
        total[row.context_id] += _spent(row, prices, in_usd)
    answers_of = Counter(row.context_id for row in run.samples)
    return {row.question_id: total[row.context_id] / answers_of[row.context_id] for row in run.samples}


def _spent(row: OperationRow | SampleRow, prices: Mapping[str, Price], in_usd: bool) -> float:
    """Tokens, or USD, of a row. Services report USD, but no tokens of a model."""
    if not in_usd:
        return float(sum(used.prompt + used.completion for used in row.tokens.values()))
    usd = sum(cost(used, prices.get(role), row.calls.get(role, 0)) or 0.0 for role, used in row.tokens.items())
    return usd + sum(service.usd or 0.0 for service in row.services.values())
