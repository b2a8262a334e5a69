"""The table that `memeval run` prints: every number with its interval and n, and what it was measured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memeval.records.summary import Contamination, Summary
from memeval.results.columns import columns
from memeval.runs.notes import percent, range_text
from memeval.wording import counted

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
"""Metrics of retrieval, and their heads in a table; `recall` is that of all that was recalled."""
OF_THE_TABLE = {"few", "offline-judge", "offline-model", "offline-embedder"}
"""Notes that are said once for all rows."""


def runs_table(runs: Sequence[Summary], width: int | None = None) -> str:
    """A row per run, grouped by task and answer budget (rows of different budgets are never ranked together); below it the
    headline per kind of question, and the notes. width: characters of a line, None for any."""
    if not runs:
        return "no runs"
    blocks = []
    for rows in groups(runs):
        blocks.append(_main(rows[0].task, rows, width))
        kinds = _kinds(rows, width)
        retrieval = _retrieval(rows, width)
        blocks += [block for block in (kinds, retrieval) if block]
    return "\n\n".join([*blocks, "\n".join(notes_of(runs))]).rstrip()


def groups(runs: Sequence[Summary]) -> list[list[Summary]]:
    """The runs that may be in one table: of one task, read under one answer budget."""
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
            range_text(run.headline),
            _count(run),
            run.failed,
            _tokens(run.memory_tokens.mean),
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
    names = list(dict.fromkeys(kind for run in runs for kind in run.kinds))
    if len(names) < 2:
        return ""
    counts = {kind: max(run.kinds[kind].n for run in runs if kind in run.kinds) for kind in names}
    header = ["by kind (n)", *(f"{kind} ({counts[kind]})" for kind in names)]
    body = [
        [label(run, runs), *(percent(run.kinds[kind].value if kind in run.kinds else None) for kind in names)]
        for run in runs
    ]
    return columns(header, body, ["left", *["right"] * len(names)], keep=header, width=width)


def _retrieval(runs: Sequence[Summary], width: int | None) -> str:
    """What agents that rank found of the gold evidence, apart from what the reader made of it."""
    ranking = [run for run in runs if "evidence_mrr" in run.metrics]
    if not ranking:
        return ""
    header = ["retrieval", *RETRIEVAL.values(), "n"]
    body = [
        [
            label(run, runs),
            *(f"{percent(run.metrics[name].value)} ({range_text(run.metrics[name])})" for name in RETRIEVAL),
            run.metrics["evidence_mrr"].n,
        ]
        for run in ranking
    ]
    return columns(header, body, ["left", *["right"] * (len(header) - 1)], keep=header, width=width)


def notes_of(runs: Sequence[Summary]) -> list[str]:
    """Those of the table as a whole, each once; then those of single rows."""
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
    """Questions behind the headline, of those asked where some do not count in it (unanswerable ones, say)."""
    found = run.metrics.get(run.headline.metric)
    counted = found.n if found else 0
    return str(run.n) if counted == run.n else f"{counted} of {run.n}"


def label(run: Summary, runs: Sequence[Summary]) -> str:
    """The agent, with the parameters in which it differs from the other rows of the same agent."""
    same: list[Mapping[str, object]] = [other.params for other in runs if other.agent == run.agent]
    differing = [key for key in run.params if len({str(params.get(key)) for params in same}) > 1]
    return " ".join([run.agent, *(f"{key}={run.params[key]}" for key in differing)])


def mark(trained: Contamination | None) -> str:
    """What follows a number whose questions, or whose like, were trained on."""
    return f" {MARKS[trained.mark]}" if trained else ""


def legend(trained: Sequence[Contamination | None]) -> list[str]:
    """What the marks of these rows mean."""
    marks = {found.mark for found in trained if found}
    return [text for key, text in LEGEND.items() if key in marks]


def _tokens(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
