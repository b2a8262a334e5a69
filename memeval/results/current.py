"""What a run folder says now, by the rules and from the rows of today: `memeval run` has stored it, unless the metrics have
changed since or the run was killed. Nothing is written."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import TYPE_CHECKING

from msgspec.structs import replace

from memeval import metrics
from memeval.errors import UsageError
from memeval.judging.summary import judged_summary
from memeval.metrics.rules import Rules, scorer_digest
from memeval.records.folder import RunFolder
from memeval.records.manifest import Manifest
from memeval.records.rows import ScoreRow
from memeval.records.summary import Summary
from memeval.runs.notes import notes
from memeval.runs.score import score_samples, up_to_date
from memeval.runs.summary import as_recorded, prices_of, summarise, with_judge

if TYPE_CHECKING:
    from memeval.results.load import Run


def rules(manifest: Manifest) -> str | None:
    """Digest of the rules that score this run today; None where one of its metrics is a user's that is not imported here."""
    by = scored_by(manifest)
    try:
        for name in by.metrics:
            metrics.load(name, "")
    except UsageError:
        return None
    return _digest(by, tuple(id(metrics.METRICS[name]) for name in by.metrics))


def scored_by(manifest: Manifest) -> Rules:
    """The rules that the run's cards give it."""
    return Rules.of(manifest.identity.get("task", {}), manifest.headline, manifest.track == "native")


@functools.cache
def _digest(by: Rules, made: tuple[int, ...]) -> str:
    """made: which functions the names mean at the moment."""
    return scorer_digest(by)


def scorer(run: Run) -> str | None:
    """Digest of the rules that made the scores as `scores` gives them."""
    return (rules(run.manifest) if run.folder.has_texts else None) or run.folder.scored_by()


def scores(run: Run) -> list[ScoreRow]:
    """The task's scores of the samples: as stored, or made anew where they are by other rules. A baseline, which has no
    texts to score, keeps the stored ones."""
    stored, today = run.folder.scores(), rules(run.manifest) if run.folder.has_texts else None
    if today is None or up_to_date(stored, run.samples, today):
        keys = {row.key for row in run.samples}
        return [row for row in stored if row.key in keys]
    return list(score_samples(run.samples, run.questions, run.texts, scored_by(run.manifest), today))


def is_current(run: Run) -> bool:
    """Whether summary.json says what the folder holds. False also while another process fills it."""
    return run.manifest.finished >= run.manifest.started and run.folder.scored_by() in (None, scorer(run))


def summary(run: Run, asked: int) -> Summary:
    """The summary of the rows of a run that was to answer `asked` questions; what does not follow from rows is as it was
    stored, or as the manifest has it."""
    manifest = run.manifest
    identity = manifest.identity
    judged = run.folder.judge_headers()
    stored = run.folder.summary()
    asked *= identity.get("repeats", 1) * identity.get("answer_repeats", 1)
    found = summarise(
        questions=run.questions,
        samples=run.samples,
        scores=run.scores(),
        operations=run.operations,
        headline=manifest.headline,
        tokenizer=stored.stream_tokens.tokenizer if stored else identity["task"].get("tokenizer", ""),
        asked=asked,
        complete=True,
        prices=prices_of(manifest, judged),
        judged=judged,
    )
    known = stored or as_recorded(found, run.folder, manifest)
    found = replace(found, **{name: getattr(known, name) for name in NOT_FROM_ROWS})
    return replace(found, notes=notes(found))


NOT_FROM_ROWS = (
    *("path", "memory", "replayable", "agent", "params", "task", "answer_budget", "model", "reader", "embedder"),
    *("judge_family", "adapted", "agent_files", "window", "recall_budget", "seconds", "build_seconds", "requests"),
    *("latency", "ingest_seconds_per_1k", "trained_on", "read_back", "service_read_back", "differing"),
)
"""Fields of a summary that come from its command, its manifest or its events."""


def judged(folder: RunFolder, found: Summary, judge: str | None, asked: Collection[str] | None) -> Summary:
    """The summary with what a judge made of the run: its headline, where the task is made to be judged. asked: count these
    questions only."""
    if judge is None:
        return found
    found = with_judge(found, judged_summary(folder.path, judge, asked), None)
    return replace(found, notes=notes(found))
