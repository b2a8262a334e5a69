"""Runs that are compared, pair by pair: matched by task, on the questions that both were asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from memeval.errors import UsageError
from memeval.results.comparable import Mismatch, mismatches, shared_questions, task_name
from memeval.results.load import load_runs
from memeval.results.run import Run
from memeval.stats import average_repeats

RunsOrName = Run | str | Path | Iterable[Run]
"""Runs, or what `load_runs` finds them by."""


@dataclass(frozen=True, slots=True)
class Scores:
    """One metric of both runs: the questions with their clusters, and for each question the value of either run, averaged
    over repeats."""

    questions: tuple[str, ...]
    clusters: tuple[str, ...]
    base: tuple[float, ...]
    other: tuple[float, ...]

    @property
    def won(self) -> tuple[str, ...]:
        """The questions on which `other` scores higher."""
        rows = zip(self.questions, self.base, self.other, strict=True)
        return tuple(question for question, base, other in rows if other > base)

    @property
    def lost(self) -> tuple[str, ...]:
        rows = zip(self.questions, self.base, self.other, strict=True)
        return tuple(question for question, base, other in rows if other < base)


@dataclass(frozen=True)
class Pair:
    """Two runs: `other` is compared with `base`."""

    base: Run
    other: Run

    @cached_property
    def mismatches(self) -> tuple[Mismatch, ...]:
        return mismatches(self.base, self.other)

    def forbidden(self, metric: str | None = None) -> tuple[Mismatch, ...]:
        """What forbids a comparison by this metric (None: by the headlines, which must then be of the same metric)."""
        return tuple(one for one in self.mismatches if one.forbids and (metric is None or one.what != "metric"))

    @cached_property
    def questions(self) -> tuple[str, ...]:
        """The questions that both were asked, with the same stream, text and golds."""
        return shared_questions(self.base, self.other)

    @property
    def title(self) -> str:
        """The names of both runs, as the title of their comparison."""
        base, other = self.names
        return f"{other} against {base}"

    @property
    def names(self) -> tuple[str, str]:
        """Short names of base and other: label, else agent and tag; with the folder where these are equal."""
        base, other = name(self.base), name(self.other)
        if base != other:
            return base, other
        return f"{base} ({self.base.path.name})", f"{other} ({self.other.path.name})"

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of both runs: one that both have is given once, any other with its run's name."""
        of_base, of_other = (
            [note.text for note in run.summary.notes if note.code != "few"] for run in (self.base, self.other)
        )
        both = [text for text in of_base if text in of_other]
        base, other = self.names
        return (
            *both,
            *(f"{base}: {text}" for text in of_base if text not in both),
            *(f"{other}: {text}" for text in of_other if text not in both),
        )

    def scores(self, metric: str | None = None, questions: Sequence[str] | None = None) -> Scores:
        """The scores of both runs. metric: None for the base's headline. questions: a part of the shared ones. Raises
        UsageError where a run lacks the metric."""
        metric = metric or self.base.summary.headline.metric
        return self.columns(self.base.values(metric), self.other.values(metric), questions)

    def failures(self) -> Scores:
        """For each question, the share of its answers that failed."""
        return self.columns(_failures(self.base), _failures(self.other))

    def columns(self, base: dict[str, float], other: dict[str, float], questions: Sequence[str] | None = None) -> Scores:
        """The values of the questions for which both sides have one. questions: a part of the shared ones."""
        known = self.base.questions
        both = [key for key in (self.questions if questions is None else questions) if key in base and key in other]
        return Scores(
            tuple(both),
            tuple(known[key].cluster for key in both),
            tuple(base[key] for key in both),
            tuple(other[key] for key in both),
        )


def _failures(run: Run) -> dict[str, float]:
    """question id -> share of its answers without a reply, or without a verdict of the judge whose score is the headline"""
    rows = run.scores(run.decides)
    return average_repeats((row.question_id, float(row.verdict == "failed")) for row in rows)


def runs_of(where: RunsOrName, runs_dir: str | Path, limit: int | None = None) -> tuple[Run, ...]:
    """The runs that `where` names. limit: only the first questions of each run.

    Raises UsageError where a name finds no run, and where two of the runs are on one task."""
    if isinstance(where, Run):
        where = (where,)
    runs = tuple(load_runs(where, runs_dir=runs_dir) if isinstance(where, str | Path) else where)
    if limit is not None:
        runs = tuple(run.first(limit) for run in runs)
    for task in dict.fromkeys(map(task_name, runs)):
        same = [run for run in runs if task_name(run) == task]
        if len(same) > 1:
            shown = where if isinstance(where, str | Path) else "these runs"
            raise UsageError(
                f"{shown}: {len(same)} runs on {task}; name one of them: {', '.join(str(r.path) for r in same)}"
            )
    return runs


def matched(base: Sequence[Run], other: Sequence[Run]) -> list[Pair]:
    """Pairs by task, in the order of `base`. A single run on each side makes a pair whatever the tasks; `Pair.mismatches`
    then tells whether they may be compared."""
    if len(base) == len(other) == 1:
        return [Pair(base[0], other[0])]
    by_task = {task_name(run): run for run in other}
    return [Pair(run, by_task[task_name(run)]) for run in base if task_name(run) in by_task]


def name(run: Run) -> str:
    """A short name of a run: its label, else agent and tag."""
    return run.label or " ".join(filter(None, (run.agent, run.tag)))
