"""The table that `memeval run` prints: every number with its interval and n, and what it was measured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from memeval.records.numbers import count, percent, percents
from memeval.records.summary import Contamination, Summary
from memeval.results.columns import columns
from memeval.wording import counted

if TYPE_CHECKING:
    from memeval.estimate import Estimate

MARKS = {"leaked": "†", "in-domain": "‡"}
LEGEND = {
    "leaked": "† leaked: a model of the row was trained on this split, or on questions asked here.",
    "in-domain": "‡ in-domain: a model of the row was trained on this family of data, as far as known on another split.",
}
RETRIEVAL = {
    "evidence_recall_at_1": "recall@1",
    "evidence_recall_at_5": "recall@5",
    "evidence_recall": "recall",
    "evidence_mrr": "MRR",
}
"""Metric of retrieval -> its heading in a table; `recall` counts all recalled items."""
OF_THE_TABLE = {"few", "offline-judge", "offline-model", "offline-embedder"}
"""Codes of notes that are printed once for all rows."""


def runs_table(runs: Sequence[Summary], width: int | None = None) -> str:
    """A table with a row per run for each task and answer budget (different budgets are never ranked together), each with
    the headline per kind of question and retrieval metrics, and the notes below. width: of a line in characters, None for no
    limit."""
    if not runs:
        return "no runs"
    blocks = []
    for rows in by_task_and_budget(runs):
        blocks.append(_main(rows[0].task, rows, width))
        kinds = _kinds(rows, width)
        retrieval = _retrieval(rows, width)
        blocks += [block for block in (kinds, retrieval) if block]
    return "\n\n".join([*blocks, "\n".join(notes_of(runs))]).rstrip()


def by_task_and_budget(runs: Sequence[Summary]) -> list[list[Summary]]:
    """Group the runs that may be in one table: runs on one task with one answer budget."""
    found: dict[tuple[str, int | None], list[Summary]] = {}
    for run in runs:
        found.setdefault((run.task, run.answer_budget), []).append(run)
    return list(found.values())


def _main(task: str, runs: Sequence[Summary], width: int | None) -> str:
    first = runs[0]
    metric, stream, budget = first.headline.metric, first.stream_tokens, first.answer_budget
    size = f", streams of {counted(round(stream.mean), 'token')} ({stream.tokenizer})" if stream.mean else ""
    size += f", answer budget {budget:,}" if budget else ""
    embedders = any(run.embedder for run in runs)
    models = ["model", "reader", *(["embedder"] if embedders else [])]
    header = [task, metric, "95% interval", "n", "failed", "memory tokens", "calls", "seconds", *models, "status"]
    body = [
        [
            label(run, runs),
            _score(run) + mark(run.trained_on),
            percents(run.headline.low, run.headline.high),
            _count(run),
            run.failed,
            count(run.memory_tokens.mean),
            sum(run.calls.values()),
            f"{run.seconds:.1f}",
            run.model or "-",
            run.reader or "-",
            *([run.embedder or "-"] if embedders else []),
            run.status,
        ]
        for run in runs
    ]
    align = ["left", "right", "left", *["right"] * 5, *["left"] * (len(header) - 8)]
    return f"{task}: {metric}{size}\n" + columns(header, body, align, keep=(task, metric, "status"), width=width)


def _kinds(runs: Sequence[Summary], width: int | None) -> str:
    """The headline per kind of question; `unanswerable` is the share declined."""
    kinds = kind_counts(runs)
    if len(kinds) < 2:
        return ""
    header = ["by kind (n)", *(f"{kind} ({n})" for kind, n in kinds.items())]
    body = [
        [label(run, runs), *(percent(run.kinds[kind].value if kind in run.kinds else None) for kind in kinds)]
        for run in runs
    ]
    return columns(header, body, ["left", *["right"] * len(kinds)], keep=header, width=width)


def kind_counts(runs: Sequence[Summary]) -> dict[str, int]:
    """Kind of question -> the most questions of it in any run."""
    kinds = dict.fromkeys(kind for run in runs for kind in run.kinds)
    return {kind: max(run.kinds[kind].n for run in runs if kind in run.kinds) for kind in kinds}


def _retrieval(runs: Sequence[Summary], width: int | None) -> str:
    """How much of the gold evidence the agents that rank items retrieved; empty where no agent ranks."""
    ranking = [run for run in runs if "evidence_mrr" in run.metrics]
    if not ranking:
        return ""
    header = ["retrieval", *RETRIEVAL.values(), "n"]
    body = [
        [
            label(run, runs),
            *(
                f"{percent(run.metrics[name].value)} ({percents(run.metrics[name].low, run.metrics[name].high)})"
                for name in RETRIEVAL
            ),
            run.metrics["evidence_mrr"].n,
        ]
        for run in ranking
    ]
    return columns(header, body, ["left", *["right"] * (len(header) - 1)], keep=header, width=width)


def notes_of(runs: Sequence[Summary]) -> list[str]:
    """The notes: those of the table as a whole, each once; then those of single rows."""
    common = dict.fromkeys(note.text for run in runs for note in run.notes if note.code in OF_THE_TABLE)
    agents = {run.agent for run in runs}
    controls = ["none", *(["oracle"] if any(run.with_evidence for run in runs) else [])]
    missing = [control for control in controls if control not in agents]
    lines = list(common)
    if missing:
        lines.append(f"controls not run: {', '.join(missing)} (add {' '.join(f'--agent {name}' for name in missing)}).")
    lines += legend([run.trained_on for run in runs])
    rows = (f"{run.agent} on {run.task}: {note.text}" for run in runs for note in run.notes if note.code not in OF_THE_TABLE)
    return [*lines, *dict.fromkeys(rows)]


def _score(run: Summary) -> str:
    return "n/a" if run.headline.value is None and run.verdicts.get("n/a") else percent(run.headline.value)


def _count(run: Summary) -> str:
    """The number of questions in the headline; `80 of 100` where some do not count in it (unanswerable ones, say)."""
    found = run.metrics.get(run.headline.metric)
    n = found.n if found else 0
    return str(run.n) if n == run.n else f"{n} of {run.n}"


def label(run: Summary | Estimate, runs: Sequence[Summary | Estimate]) -> str:
    """The agent, with the parameters in which it differs from the other rows of the same agent."""
    same: list[Mapping[str, object]] = [other.params for other in runs if other.agent == run.agent]
    differing = [key for key in run.params if len({str(params.get(key)) for params in same}) > 1]
    return " ".join([run.agent, *(f"{key}={run.params[key]}" for key in differing)])


def mark(trained: Contamination | None) -> str:
    """The mark of a number whose model was trained on the questions, or on similar ones; else empty."""
    return f" {MARKS[trained.mark]}" if trained else ""


def legend(trained: Sequence[Contamination | None]) -> list[str]:
    """The meaning of the marks of these rows."""
    marks = {found.mark for found in trained if found}
    return [text for key, text in LEGEND.items() if key in marks]
