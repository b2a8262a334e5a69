"""Aggregates of one run: every number with n, its interval and the rule by which it was averaged (validity section 1).

A question's repeats are averaged first; intervals resample clusters with all their questions. The headline is over
answerable questions; abstention stands beside it as precision, recall and F1.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from memeval.costs import costs
from memeval.metrics import abstention_scores
from memeval.models.prices import Price
from memeval.runs.score import UNUSABLE
from memeval.stats import failure_bounds, interval

Line = Mapping[str, Any]
INVALID_SHARE = 0.02


def summarise(
    *,
    questions: Mapping[str, Line],
    samples: Sequence[Line],
    scores: Sequence[Line],
    operations: Iterable[Line],
    headline: str,
    tokenizer: str,
    asked: int,
    complete: bool,
    prices: Mapping[str, Price | None],
    judged: Iterable[Line] = (),
) -> dict[str, Any]:
    """The statistical part of summary.json: see the keys below. Rates are fractions 0..1, sizes tokens.

    asked: samples the run was to have. prices: role -> price of its model. judged: what judges cost (costs.py). n counts
    questions, failed counts samples without a reply.
    """
    by_metric: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    verdicts: Counter[str] = Counter()
    for line in scores:
        verdicts[line["verdict"]] += 1
        for name, value in line["metrics"].items():
            by_metric[name][line["question_id"]].append(value)
    answerable = {key for key, line in questions.items() if line["answerable"]}
    metrics = {name: _aggregate(rows, questions) for name, rows in by_metric.items() if name != "abstention"}
    kinds: dict[str, list[str]] = defaultdict(list)
    for key, line in questions.items():
        kinds[line["kind"] if line["answerable"] else "unanswerable"].append(key)
    failed = verdicts["failed"]
    limit = max(1.0, INVALID_SHARE * len(samples))
    status = "partial" if not complete or len(samples) < asked else "invalid" if failed > limit else "complete"
    summary: dict[str, Any] = {
        "status": status,
        "n": len({line["question_id"] for line in samples}),
        "failed": failed,
        "headline": {"metric": headline, **metrics.get(headline, _nothing())},
        "metrics": metrics,
        "kinds": {kind: _kind(kind, keys, by_metric, headline, questions) for kind, keys in sorted(kinds.items())},
        "abstention": _abstention(by_metric.get("abstention", {}), answerable),
        "verdicts": dict(verdicts),
        "reasons": dict(Counter(line["reason"] for line in scores if line["reason"]).most_common(5)),
        "repeats": _spread(scores, headline),
        "with_evidence": sum(bool(line["evidence"]) for line in questions.values()),
        "query": _query(samples),
        "chunks": _chunks(questions),
    }
    lost = [line for line in scores if headline in line["metrics"]]
    if failed and lost:
        bounds = failure_bounds(
            sum(line["metrics"][headline] for line in lost),
            len(lost),
            sum(line["verdict"] == "failed" for line in lost),
        )
        summary["failure_bounds"] = [bounds.all_wrong, bounds.all_right]
    unread: Counter[str] = Counter()

    def seen(lines: Iterable[Line]) -> Iterator[Line]:
        for line in lines:
            unread.update(line.get("unusable", {}))
            yield line

    steps = seen(operations)
    price = costs(questions=questions, samples=samples, operations=steps, scores=scores, prices=prices, judged=judged)
    unusable = {UNUSABLE[reason]: count for reason, count in unread.most_common()}
    return {**summary, "unread": unusable, **_sizes(questions, samples, tokenizer), **price}


def without(left_out: Collection[str], scores: Sequence[Line], questions: Mapping[str, Line], metric: str) -> dict[str, Any]:
    """A metric over the other questions, with n and interval as anywhere."""
    rows: dict[str, list[float]] = defaultdict(list)
    for line in scores:
        if line["question_id"] not in left_out and metric in line["metrics"]:
            rows[line["question_id"]].append(line["metrics"][metric])
    return {"metric": metric, **_aggregate(rows, questions)}


def _nothing() -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "n": 0}


def _aggregate(rows: Mapping[str, Sequence[float]], questions: Mapping[str, Line]) -> dict[str, Any]:
    if not rows:
        return _nothing()
    values = [sum(values) / len(values) for values in rows.values()]
    result = interval(values, [questions[key]["cluster"] for key in rows])
    return {
        "value": result.value,
        "low": result.low,
        "high": result.high,
        "n": result.n,
        "clusters": result.clusters,
        "rule": result.method,
        "within_stream": result.within_stream,
    }


def _kind(
    kind: str,
    keys: Sequence[str],
    by_metric: Mapping[str, Mapping[str, list[float]]],
    headline: str,
    questions: Mapping[str, Line],
) -> dict[str, Any]:
    """The headline on one kind of question; for the unanswerable ones, the share that was declined."""
    metric = "abstention" if kind == "unanswerable" else headline
    rows = by_metric.get(metric, {})
    return {"metric": metric, **_aggregate({key: rows[key] for key in keys if key in rows}, questions)}


def _abstention(rows: Mapping[str, Sequence[float]], answerable: set[str]) -> dict[str, Any] | None:
    pairs = [(value >= 0.5, key in answerable) for key, values in rows.items() for value in values]
    return asdict(abstention_scores(pairs)) if pairs else None


def _spread(scores: Sequence[Line], headline: str) -> list[dict[str, Any]]:
    """The headline of each repeat by itself, to be read beside the interval (never pooled as more questions)."""
    repeats: dict[tuple[int, int], list[float]] = defaultdict(list)
    for line in scores:
        if headline in line["metrics"]:
            repeats[line["repeat"], line["answer_repeat"]].append(line["metrics"][headline])
    if len(repeats) < 2:
        return []
    return [
        {"repeat": repeat, "answer_repeat": answer, "value": sum(values) / len(values)}
        for (repeat, answer), values in sorted(repeats.items())
    ]


def _query(samples: Sequence[Line]) -> dict[str, bool]:
    """Whether the question was offered while the stream was read, and whether the agent looked at it."""
    return {
        "offered": any(line.get("query_used") is not None for line in samples),
        "used": any(line.get("query_used") for line in samples),
    }


def _chunks(questions: Mapping[str, Line]) -> dict[str, int]:
    """Chunks shown to the agent in one repeat: read once per context, with a fork's own chunk per position asked at; and
    what it would be were the stream read anew for every question."""
    shared: dict[str, int] = {}
    own: dict[tuple[str, int | None], int] = {}
    for line in questions.values():
        context, prefix = line["context_id"], line["prefix_chunks"] - line["own_chunks"]
        shared[context] = max(shared.get(context, 0), prefix)
        own[context, line["position"]] = line["own_chunks"]
    return {
        "shown": sum(shared.values()) + sum(own.values()),
        "without_sharing": sum(line["prefix_chunks"] for line in questions.values()),
    }


def _sizes(questions: Mapping[str, Line], samples: Sequence[Line], tokenizer: str) -> dict[str, Any]:
    streams = {line["context_id"]: line["stream_tokens"] for line in questions.values()}
    # what an agent holds at its last question is what it holds in the end
    held: dict[tuple[str, int], tuple[float, int]] = {}
    for line in samples:
        if line["memory_tokens"] is not None:
            where = float("inf") if line["position"] is None else float(line["position"])
            key = (line["context_id"], line["repeat"])
            held[key] = max(held.get(key, (-1.0, 0)), (where, line["memory_tokens"]))
    ends = [tokens for _, tokens in held.values()]
    recalled = [line["recall_tokens"] for line in samples if line["failure"] is None]
    return {
        "memory_tokens": {"mean": _mean(ends), "max": max(ends, default=None)},
        "recall_tokens": {"mean": _mean(recalled), "max": max(recalled, default=None)},
        "recall_dropped": sum(line["recall_dropped"] for line in samples),
        "stream_tokens": {
            "min": min(streams.values(), default=None),
            "mean": _mean(list(streams.values())),
            "max": max(streams.values(), default=None),
            "tokenizer": tokenizer,
        },
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
