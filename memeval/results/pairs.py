"""Runs that are compared, pair by pair: matched by task, on the questions that both were asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from memeval.errors import UsageError
from memeval.results.comparable import Difference, differences, shared_questions, task_name
from memeval.results.load import load_runs
from memeval.results.run import Run
from memeval.stats import average_repeats

Where = Run | str | Path | Iterable[Run]
"""Runs, or what `load_runs` finds them by."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What both runs have of a metric: question ids with their clusters, and a value of either run for each, repeats
    averaged."""

    questions: tuple[str, ...]
    clusters: tuple[str, ...]
    base: tuple[float, ...]
    other: tuple[float, ...]


@dataclass(frozen=True)
class Pair:
    """A run, and the one that it is compared with (`base`)."""

    base: Run
    other: Run

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        return differences(self.base, self.other)

    @property
    def forbidden(self) -> tuple[Difference, ...]:
        return tuple(one for one in self.differences if one.forbids)

    @cached_property
    def questions(self) -> tuple[str, ...]:
        """The questions that both were asked, with the same stream, text and golds."""
        return shared_questions(self.base, self.other)

    @property
    def title(self) -> str:
        """Both sides by what tells them apart."""
        base, other = self.names
        return f"{other} against {base}"

    @property
    def names(self) -> tuple[str, str]:
        """Base and other in a few words: label, else agent and tag; where these are equal, with the folder."""
        base, other = name(self.base), name(self.other)
        if base != other:
            return base, other
        return f"{base} ({self.base.path.name})", f"{other} ({self.other.path.name})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What contradicts or limits the results of either run: what is said of both once, the other by name."""
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
        """metric: None for the base's headline. questions: some of the shared ones. Raises UsageError where a run lacks the
        metric."""
        metric = metric or self.base.summary.headline.metric
        return self.columns(self.base.values(metric), self.other.values(metric), questions)

    def failures(self) -> Scores:
        """The share of a question's answers that failed."""
        return self.columns(_failures(self.base), _failures(self.other))

    def columns(self, base: dict[str, float], other: dict[str, float], questions: Sequence[str] | None = None) -> Scores:
        """The values of the questions that both have."""
        known = self.base.questions
        both = [key for key in (self.questions if questions is None else questions) if key in base and key in other]
        return Scores(
            tuple(both),
            tuple(known[key].cluster for key in both),
            tuple(base[key] for key in both),
            tuple(other[key] for key in both),
        )


def _failures(run: Run) -> dict[str, float]:
    """Without a reply, or without a verdict of the judge whose score is the headline."""
    rows = run.scores(run.decides)
    return average_repeats((row.question_id, row.repeat, float(row.verdict == "failed")) for row in rows)


def found(where: Where, runs_dir: str | Path, limit: int | None = None) -> tuple[Run, ...]:
    """limit: only the first questions of each run.

    Raises UsageError for what names no run, and where two of the runs are on one task."""
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
    """Pairs by task, in the order of `base`. One run on either side is a pair whatever its task: `differences` says whether
    it may be."""
    if len(base) == len(other) == 1:
        return [Pair(base[0], other[0])]
    by_task = {task_name(run): run for run in other}
    return [Pair(run, by_task[task_name(run)]) for run in base if task_name(run) in by_task]


def name(run: Run) -> str:
    """A run in a few words: its label, else agent and tag."""
    return run.label or " ".join(filter(None, (run.agent, run.tag)))
