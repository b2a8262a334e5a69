"""Is one run better than another? `compare("bm25-run", "memalpha-run")`: paired by question, with the details to explain it.

All others are compared with the first run; a difference is the other's score minus the first's, in the metric's own unit
(0 to 1). Several runs, or names that mean a run on each of several tasks, give a pair each; their p-values are adjusted
together by Holm's method.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from memeval.errors import UsageError
from memeval.records.rows import UNANSWERABLE
from memeval.results.pairs import Pair, RunsOrName, Scores, matched, runs_of
from memeval.results.question_costs import answer_cost
from memeval.results.run import Run
from memeval.stats import Difference, detectable_effect, holm, paired, tells_apart

Verdict = Literal["higher", "lower", "not told apart"]
POWER_TO_INTERVAL = 1.43
"""(z(.975) + z(.8)) / z(.975): the difference that is detected with 80 % power, in half-widths of a 95 % interval."""
ABSTENTION = "abstention"


class Side(msgspec.Struct, frozen=True):
    """One of the two runs. value: its mean over the compared questions; repeats: the mean of each repeat over all questions
    of the run, where there are several repeats and the metric is its headline."""

    path: str
    name: str
    agent: str
    task: str
    model: str | None
    value: float
    repeats: tuple[float, ...] = ()


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """A paired difference over `n` questions in `clusters`, with its 95 % interval.

    p: of the hypothesis of no difference; p_holm: adjusted for all pairs of the comparison. method: `mcnemar` or
    `sign-flip`. within_stream: there are fewer than five clusters, so the interval holds for these streams only.
    detectable: the difference that n questions detect with 80 % power, if 20 % of the pairs differ; or the one that follows
    from the width of the interval, if that is larger.
    """

    value: float
    low: float
    high: float
    p: float
    p_holm: float
    method: str
    n: int
    clusters: int
    within_stream: bool
    detectable: float
    note: str = ""


class Changed(msgspec.Struct, frozen=True):
    """A question whose score differs. text: empty where a baseline has none."""

    question_id: str
    kind: str
    a: float
    b: float
    text: str


class Kind(msgspec.Struct, frozen=True):
    """The difference on one kind of question; for unanswerable ones the metric is the share that was declined."""

    metric: str
    n: int
    a: float
    b: float
    difference: float
    low: float
    high: float


class Amounts(msgspec.Struct, frozen=True):
    """A size or cost of each run, over all of its questions; None where it is not known."""

    a: float | None
    b: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One pair. a: the run that b is compared with. won, lost, tied: questions on which b scores higher, lower or the same.
    kinds: kind -> difference. beside: memory_tokens, recall_tokens, failed; tokens, usd and seconds for one answer. forced:
    mismatches that forbid the comparison; named: other mismatches; notes: what readers of either run must know."""

    a: Side
    b: Side
    metric: str
    effect: Effect
    verdict: Verdict
    won: tuple[Changed, ...]
    lost: tuple[Changed, ...]
    tied: int
    kinds: dict[str, Kind]
    beside: dict[str, Amounts]
    forced: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def compare(
    a: RunsOrName,
    *others: RunsOrName,
    metric: str | None = None,
    force: bool = False,
    runs_dir: str | Path = "runs",
    limit: int | None = None,
) -> tuple[Comparison, ...]:
    """Compare runs with the first. metric: None for the first run's headline. force: compare the questions that both runs
    have even where a mismatch forbids it (comparable.py). limit: only the first questions, in the order of the task.

    Raises UsageError where runs may not be compared, have nothing in common, or are not finished.
    """
    base = runs_of(a, runs_dir, limit)
    if not others:
        raise UsageError("compare: only one run is given; name a second one")
    pairs = [pair for other in others for pair in matched(base, runs_of(other, runs_dir, limit))]
    if not pairs:
        raise UsageError("compare: the runs have no task in common")
    scores = [_scores(pair, metric, force) for pair in pairs]
    differences = [_paired(of_pair) for of_pair in scores]
    adjusted = holm([one.p for one in differences])
    return tuple(
        _comparison(pair, of_pair, metric, _effect(difference, p), len(pairs))
        for pair, of_pair, difference, p in zip(pairs, scores, differences, adjusted, strict=True)
    )


def _scores(pair: Pair, metric: str | None, force: bool) -> Scores:
    """The scores of a pair. Raises UsageError where the two runs may not be compared, or share no question with a score."""
    listed = "; ".join(map(str, pair.forbidden(metric)))
    if listed and not force:
        raise UsageError(f"{pair.title} may not be compared: {listed} (--force compares the questions that both were asked)")
    scores = pair.scores(metric)
    if not scores.questions:
        raise UsageError(f"{pair.title}: no question with a score was asked in both; there is nothing to compare")
    return scores


def _paired(scores: Scores) -> Difference:
    return paired(scores.other, scores.base, scores.clusters)


def _effect(difference: Difference, p_holm: float) -> Effect:
    fields = dataclasses.asdict(difference)
    del fields["least_p"]  # the note says it in words
    reach = POWER_TO_INTERVAL * (difference.high - difference.low) / 2
    detectable = max(detectable_effect(difference.n), reach)
    return Effect(**fields, p_holm=p_holm, detectable=detectable, note=difference.note)


def _verdict(effect: Effect, pairs: int) -> Verdict:
    """The verdict by the test. Where so few questions differ that the test can never reject, the interval of a single pair
    decides; with too few streams there is no verdict."""
    shown = tells_apart(effect.p_holm) or (bool(effect.note) and pairs == 1 and not effect.low <= 0 <= effect.high)
    if not shown or effect.within_stream or not effect.value:
        return "not told apart"
    return "higher" if effect.value > 0 else "lower"


def _comparison(pair: Pair, scores: Scores, asked: str | None, effect: Effect, pairs: int) -> Comparison:
    """asked: the metric that was asked for, if any. pairs: the number of pairs compared together."""
    metric = asked or pair.base.summary.headline.metric
    rows = zip(scores.questions, scores.base, scores.other, strict=True)
    changed = {question: _changed(pair, question, a, b) for question, a, b in rows if a != b}
    return Comparison(
        a=_side(pair.base, pair.names[0], scores.base, metric),
        b=_side(pair.other, pair.names[1], scores.other, metric),
        metric=metric,
        effect=effect,
        verdict=_verdict(effect, pairs),
        won=tuple(changed[question] for question in scores.won),
        lost=tuple(changed[question] for question in scores.lost),
        tied=len(scores.questions) - len(changed),
        kinds=_kinds(pair, metric),
        beside=_beside(pair),
        forced=tuple(map(str, pair.forbidden(asked))),
        named=tuple(str(one) for one in pair.mismatches if not one.forbids),
        notes=pair.notes,
    )


def _side(run: Run, name: str, values: Sequence[float], metric: str) -> Side:
    repeats = tuple(row.value for row in run.summary.repeats) if metric == run.summary.headline.metric else ()
    return Side(str(run.path), name, run.agent, run.task, run.model, sum(values) / len(values), repeats)


def _changed(pair: Pair, question_id: str, a: float, b: float) -> Changed:
    row = pair.base.questions[question_id]
    text = row.text or pair.other.questions[question_id].text
    return Changed(question_id, row.kind, a, b, text)


def _kinds(pair: Pair, metric: str) -> dict[str, Kind]:
    """The differences by kind of question; empty where all questions are of one kind."""
    questions = pair.base.questions
    by_kind: dict[str, list[str]] = {}
    for key in pair.questions:
        by_kind.setdefault(questions[key].reported_kind, []).append(key)
    kinds = {}
    for kind, keys in sorted(by_kind.items()):
        of_kind = ABSTENTION if kind == UNANSWERABLE else metric
        if of_kind == metric or any(of_kind in row.metrics for row in pair.base.scores()):
            scores = pair.scores(of_kind, keys)
            if scores.questions:
                kinds[kind] = _kind(of_kind, scores)
    return kinds if len(kinds) > 1 else {}


def _kind(metric: str, scores: Scores) -> Kind:
    difference, n = _paired(scores), len(scores.questions)
    means = (sum(scores.base) / n, sum(scores.other) / n)
    return Kind(metric, n, *means, difference.value, difference.low, difference.high)


def _beside(pair: Pair) -> dict[str, Amounts]:
    a, b = (_amounts(run) for run in (pair.base, pair.other))
    return {what: Amounts(a[what], b[what]) for what in a}


def _amounts(run: Run) -> dict[str, float | None]:
    summary = run.summary
    usd, tokens = answer_cost(summary)
    return {
        "memory_tokens": summary.memory_tokens.mean,
        "recall_tokens": summary.recall_tokens.mean,
        "tokens": tokens,
        "usd": usd,
        "seconds": summary.seconds / (sum(summary.verdicts.values()) or 1) if run.whole else None,
        "failed": float(summary.failed),
    }
