"""Aggregate one run: every number with n, its interval and the rule of its average (validity section 1).

A question's repeats are averaged first; intervals resample clusters with all their questions. The headline is over
answerable questions; precision, recall and F1 of abstention stand beside it.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from msgspec.structs import replace

from memeval.costs import costs
from memeval.metrics import abstention_scores
from memeval.models.call_facts import quotable
from memeval.models.prices import Price, price
from memeval.records.averages import Average, MetricAverage, average, bounds, named, plain
from memeval.records.folder import RunFolder
from memeval.records.judgements import JudgeHeader
from memeval.records.manifest import Manifest
from memeval.records.rows import (
    UNANSWERABLE,
    CallFacts,
    InvocationRow,
    OperationRow,
    QuestionRow,
    SampleRow,
    ScoreRow,
    TroubleRow,
)
from memeval.records.summary import (
    Abstention,
    Chunks,
    JudgeSummary,
    Operations,
    QueryFacts,
    Rebuilt,
    RepeatValue,
    Sizes,
    StreamSizes,
    Summary,
)
from memeval.records.verdicts import UNUSABLE, status
from memeval.runs.times import ingest_seconds_per_1k, latencies

ABSTENTION = "abstention"
CUT = ("length", "unclosed_think")
"""Finish reasons of replies that ended too early, so that their remaining calls are lost."""


def summarise(
    *,
    questions: Mapping[str, QuestionRow],
    samples: Sequence[SampleRow],
    scores: Sequence[ScoreRow],
    operations: Sequence[OperationRow],
    headline: str,
    tokenizer: str,
    asked: int,
    complete: bool,
    prices: Mapping[str, Price | None],
    judged: Sequence[JudgeHeader] = (),
) -> Summary:
    """The part of a summary that follows from the rows of a run. asked: number of samples that were requested. prices:
    role -> price of its model. judged: the costs of judges (costs.py)."""
    verdicts = Counter(row.verdict for row in scores)
    names = dict.fromkeys(name for row in scores for name in row.metrics if name != ABSTENTION)
    metrics = {name: _average(scores, questions, name) for name in names}
    counted = [row for row in scores if headline in row.metrics]
    unread: Counter[str] = Counter()
    for step in operations:
        unread.update(step.unusable)
    spent = costs(questions=questions, samples=samples, operations=operations, scores=scores, prices=prices, judged=judged)
    return Summary(
        status=status(complete and len(samples) >= asked, verdicts["failed"], len(samples)),
        n=len({row.question_id for row in samples}),
        failed=verdicts["failed"],
        failure_bounds=bounds(scores, headline),
        reasons=dict(Counter(row.reason for row in scores if row.reason).most_common(5)),
        unread={UNUSABLE[reason]: number for reason, number in unread.most_common()},
        verdicts=dict(verdicts),
        headline=named(headline, _average(scores, questions, headline)),
        metrics=metrics,
        kinds=_kinds(scores, questions, headline),
        abstention=_abstention(scores, questions),
        repeats=_repeats(counted, headline),
        with_evidence=sum(bool(row.evidence) for row in questions.values()),
        query=QueryFacts(
            any(row.query_used is not None for row in samples), any(row.query_used for row in samples)
        ),
        chunks=_chunks(questions),
        memory_tokens=_sizes(_held_at_the_end(samples)),
        recall_tokens=_sizes([row.recall_tokens for row in samples if row.failure is None]),
        recall_dropped=sum(row.recall_dropped for row in samples),
        stream_tokens=_stream_sizes(questions, tokenizer),
        calls=spent.calls,
        tokens=spent.tokens,
        tokens_by_role=spent.by_role,
        tokens_by_phase=spent.by_phase,
        cost=spent.cost,
        services=spent.services,
        operations=_operations(operations),
        empty_memory=sum(row.memory_tokens == 0 and row.failure is None for row in samples) if operations else 0,
        facts=sum([step.facts for step in operations] + [row.facts for row in samples], CallFacts()),
        rebuilt=_rebuilt(operations, questions),
        lost_numbers=sum(step.lost for step in operations) + sum(row.lost for row in questions.values()),
    )  # fmt: skip


def prices_of(manifest: Manifest, judged: Sequence[JudgeHeader]) -> dict[str, Price | None]:
    """Current prices: role -> price of its model; scorer -> price of that judge. A single judge has the role `judge`."""
    found = {role: price(name, manifest.base_urls.get(role)) for role, name in manifest.models.items()}
    found |= {header.scorer: price(header.judge, header.base_url) for header in judged}
    if len(judged) == 1:
        found["judge"] = found[judged[0].scorer]
    return found


def as_recorded(found: Summary, folder: RunFolder, manifest: Manifest) -> Summary:
    """The summary completed with facts from the manifest and the events of its run."""
    identity, models, events = manifest.identity, manifest.models, folder.events()
    invocations = {row.id: row for row in events if isinstance(row, InvocationRow)}.values()
    budgets = (identity["task"].get("answer_budget"), identity.get("answer_budget"))
    return replace(
        found,
        path=str(folder.path),
        memory=os.path.normpath(folder.path / manifest.memory) if manifest.memory else None,
        agent=manifest.typed.agent,
        params=identity["agent"].get("params", {}),
        task=manifest.typed.task,
        answer_budget=min((budget for budget in budgets if budget), default=None),
        model=models.get("memory") or models.get("reader"),
        reader=models.get("reader"),
        embedder=models.get("embedder") if found.calls.get("embedder") else None,
        judge_family=manifest.judge,
        adapted=tuple(dict.fromkeys(text for row in invocations for text in row.adapted)),
        differing=sum(row.differing for row in invocations),
        trouble=dict(Counter(row.what for row in events if isinstance(row, TroubleRow))),
        agent_files=manifest.agent_files,
        seconds=sum(row.seconds for row in invocations),
        build_seconds=sum(row.build_seconds for row in invocations),
        latency=latencies(events, manifest.track == "native"),
        ingest_seconds_per_1k=ingest_seconds_per_1k(events),
    )


def with_judge(summary: Summary, judged: JudgeSummary, others: MetricAverage | None) -> Summary:
    """The summary with a judge's score beside its metrics, or as the headline if the task needs a judge. others: the
    judge's average on the questions that no model was trained on."""
    found = replace(
        summary,
        judge=judged,
        metrics={**summary.metrics, "judge": plain(judged)},
        status=judged.status if summary.status == "complete" else summary.status,
    )
    if not summary.judge_family or summary.failed == sum(summary.verdicts.values()):
        return found
    trained = summary.trained_on
    return replace(
        found,
        headline=named("judge", judged),
        kinds={kind: named("judge", row) for kind, row in judged.kinds.items()},
        trained_on=replace(trained, others=others) if trained and trained.others else trained,
    )


def _average(scores: Sequence[ScoreRow], questions: Mapping[str, QuestionRow], metric: str) -> Average:
    """The average of a metric, without a value if no sample got a reply."""
    found = average(scores, questions, metric)
    if all(row.verdict == "failed" for row in scores if metric in row.metrics):
        return replace(found, value=None, low=None, high=None)
    return found


def _operations(steps: Sequence[OperationRow]) -> Operations:
    """The outcomes of the operations of reading. Complete replies without a call are counted if calls were expected: if
    tools were offered, or in steps without results of agents that have results in other steps (their calls are text)."""
    counts: Counter[str] = Counter(dict.fromkeys(("ok", "skipped", "error"), 0))
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    by_tools = any(step.results or step.facts.offered for step in steps)
    for step in steps:
        for row in step.results:
            counts[row.status] += 1
            if row.status != "ok" and row.message:
                reasons[row.status][quotable(row.message)] += 1
        if by_tools:
            counts["cut"] += sum(step.unusable.get(reason, 0) for reason in CUT)
            whole = sum(step.calls.values()) - sum(step.unusable.values())
            counts["no call"] += step.facts.uncalled if step.facts.offered or step.results else whole
    read = [step for step in steps if step.units and step.calls]
    unstored = [step.reply for step in read if step.reply is not None]
    return Operations(
        counts={status: number for status, number in counts.items() if number},
        reasons={status: dict(found.most_common(5)) for status, found in reasons.items()},
        chunks=len(read),
        unstored=len(unstored),
        reply=next(filter(None, unstored), ""),
    )


def _rebuilt(steps: Sequence[OperationRow], questions: Mapping[str, QuestionRow]) -> Rebuilt | None:
    """The reading cost of an agent that is built anew for each position, compared with an agent that can fork: all
    chunks read, divided by those of steps that are not rebuilt plus the forks' own chunks."""
    again = [step for step in steps if step.rebuilt]
    if not again:
        return None
    read = [step for step in steps if step.units]
    own = {(row.context_id, row.position): row.own_chunks for row in questions.values()}
    positions = {(step.context_id, step.repeat, step.position) for step in again}
    needed = sum(not step.rebuilt for step in read)
    needed += sum(own.get((context, position), 0) for context, _, position in positions)
    return Rebuilt(tuple(dict.fromkeys(step.rebuilt for step in again)), len(read) / max(1, needed))


def _kinds(scores: Sequence[ScoreRow], questions: Mapping[str, QuestionRow], headline: str) -> dict[str, MetricAverage]:
    """The headline per kind of question; for unanswerable questions, the share that was declined."""
    kinds = {key: row.reported_kind for key, row in questions.items()}
    found = {}
    for kind in sorted(set(kinds.values())):
        metric = ABSTENTION if kind == UNANSWERABLE else headline
        rows = [row for row in scores if kinds[row.question_id] == kind]
        found[kind] = named(metric, _average(rows, questions, metric))
    return found


def _abstention(scores: Sequence[ScoreRow], questions: Mapping[str, QuestionRow]) -> Abstention | None:
    pairs = [
        (row.metrics[ABSTENTION] >= 0.5, questions[row.question_id].answerable)
        for row in scores
        if ABSTENTION in row.metrics
    ]
    if not pairs:
        return None
    found = abstention_scores(pairs)
    return Abstention(found.precision, found.recall, found.f1)


def _repeats(scores: Sequence[ScoreRow], headline: str) -> tuple[RepeatValue, ...]:
    """The headline of each repeat, to be read beside the interval (never pooled as more questions)."""
    repeats: dict[tuple[int, int], list[float]] = defaultdict(list)
    for row in scores:
        repeats[row.repeat, row.answer_repeat].append(row.metrics[headline])
    if len(repeats) < 2:
        return ()
    return tuple(RepeatValue(*key, fmean(values)) for key, values in sorted(repeats.items()))


def _chunks(questions: Mapping[str, QuestionRow]) -> Chunks:
    """Chunks read: once per context, plus a fork's own chunk per position with questions."""
    shared: dict[str, int] = {}
    own: dict[tuple[str, int | None], int] = {}
    for row in questions.values():
        shared[row.context_id] = max(shared.get(row.context_id, 0), row.prefix_chunks - row.own_chunks)
        own[row.context_id, row.position] = row.own_chunks
    return Chunks(sum(shared.values()) + sum(own.values()), sum(row.prefix_chunks for row in questions.values()))


def _held_at_the_end(samples: Sequence[SampleRow]) -> list[int]:
    """Memory tokens at the end of each context: those at its last question."""
    held: dict[tuple[str, int], tuple[float, int]] = {}
    for row in samples:
        if row.memory_tokens is not None:
            position = float("inf") if row.position is None else float(row.position)
            key = (row.context_id, row.repeat)
            held[key] = max(held.get(key, (-1.0, 0)), (position, row.memory_tokens))
    return [tokens for _, tokens in held.values()]


def _sizes(values: Sequence[int]) -> Sizes:
    return Sizes(fmean(values), max(values)) if values else Sizes()


def _stream_sizes(questions: Mapping[str, QuestionRow], tokenizer: str) -> StreamSizes:
    sizes = {row.context_id: row.stream_tokens for row in questions.values()}.values()
    return StreamSizes(min(sizes), fmean(sizes), max(sizes), tokenizer) if sizes else StreamSizes(tokenizer=tokenizer)
