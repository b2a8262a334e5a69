"""A run as it stands when the driver is done with it, and as it is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memeval.judging.summary import judged_summary
from memeval.runs.plan import Planned


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run as it stands now. summary: summary.json. stopped: why it ended early, if it did (`interrupted` by the user).
    judged: what a judge made of it (judging/summary.py)."""

    planned: Planned
    summary: dict[str, Any]
    stopped: str | None = None
    interrupted: bool = False
    judged: Mapping[str, Any] | None = None

    @property
    def complete(self) -> bool:
        return self.summary["status"] == "complete" and (self.judged is None or self.judged["status"] == "complete")


def public(outcome: Outcome) -> dict[str, Any]:
    """One run as `--format json` prints it. Rates are fractions 0..1, sizes tokens, times seconds.

    answer_budget: tokens the reader saw at most, where a variant or --answer-budget says so. memory_from: run whose memory
    this one shares -> calls that were read from its journal. embedder: None where the agent embedded nothing.
    """
    spec, summary = outcome.planned.spec, outcome.summary
    interval: Sequence[str] = ("value", "low", "high", "n")
    headline, metrics, kinds = summary["headline"], summary["metrics"], summary["kinds"]
    judged = outcome.judged
    if judged is not None:
        metrics = {**metrics, "judge": judged}
        if spec.task.judge:  # a task that is made to be judged: what it is published by
            headline = {"metric": "judge", **judged}
            kinds = {kind: {"metric": "judge", **row} for kind, row in judged["kinds"].items()}
    trained = dict(summary["trained_on"] or {})
    if left_out := trained.pop("questions", ()):
        found = trained["others"]
        if headline["metric"] == "judge" and judged is not None:
            asked = set(outcome.planned.question_ids) - set(left_out)
            found = {"metric": "judge", **judged_summary(spec.folder, judged["scorer"], asked)}
        trained["others"] = {key: found[key] for key in ("metric", *interval)}
    return {
        "path": spec.shown,
        "agent": spec.agent.typed,
        "params": dict(spec.agent.params),
        "task": spec.task_typed,
        "answer_budget": summary["answer_budget"],
        "model": summary["memory"] or summary["reader"],
        "reader": summary["reader"],
        "embedder": summary.get("embedder") if summary["calls"].get("embedder") else None,
        "judge": judged
        and {key: judged[key] for key in ("judge", "prompt_hash", "related", "failed", "corrected", "parts")},
        "judge_family": spec.task.judge or None,
        "status": summary["status"] if judged is None or summary["status"] != "complete" else judged["status"],
        "n": summary["n"],
        "failed": summary["failed"],
        "reasons": summary["reasons"],
        "unread": summary.get("unread", {}),
        "headline": {key: headline[key] for key in ("metric", "value", "low", "high")},
        "metrics": {name: {key: row[key] for key in interval} for name, row in metrics.items()},
        "kinds": {kind: {key: row[key] for key in ("metric", *interval)} for kind, row in kinds.items()},
        "abstention": summary["abstention"],
        "with_evidence": summary["with_evidence"],
        "trained_on": trained or None,
        "query": summary["query"],
        "chunks": summary["chunks"],
        "memory_from": summary["memory_from"],
        "memory_tokens": summary["memory_tokens"],
        "stream_tokens": summary["stream_tokens"],
        "calls": summary["calls"],
        "requests": summary["requests"],
        "tokens": {key: summary["tokens"][key] for key in ("prompt", "completion")},
        "cost": summary["cost"],
        "seconds": summary["seconds"],
        "build_seconds": summary["build_seconds"],
    }
