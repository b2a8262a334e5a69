"""The cell of a run in a table: its number and its marks. Which run of a column is best, where the statistics support that
(validity section 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from memeval.errors import UsageError, suggest
from memeval.plugins import CONTROLS
from memeval.records.averages import Average, of_values, plain
from memeval.results.layout import Key
from memeval.results.pairs import Pair
from memeval.results.run import Run
from memeval.results.run_table import MARKS
from memeval.runs.notes import FEW
from memeval.stats import holm, paired, tells_apart
from memeval.stats.intervals import FEW_CLUSTERS

BEST = "*"
WITHIN = "§"
LEGEND = {
    BEST: "* better than every other agent of its column: paired by question, p < .05 after Holm.",
    WITHIN: "§ too few streams: the interval holds for other questions within these streams only.",
}


@dataclass(frozen=True)
class Cell:
    """metric: the metric shown. kept: ids of the questions that count, None for all. apart: why the run may not be compared
    with the others of its column; letter: the footnote of that reason."""

    run: Run
    metric: str
    kept: frozenset[str] | None
    apart: str = ""
    letter: str = ""
    best: bool = False

    @cached_property
    def values(self) -> dict[str, float]:
        """question id -> score, for the questions that count"""
        found = self.run.values(self.metric)
        return found if self.kept is None else {key: value for key, value in found.items() if key in self.kept}

    @cached_property
    def average(self) -> Average:
        """Raises UsageError where the run does not have the metric."""
        if self.kept is not None:
            return of_values(self.values, self.run.questions)
        summary = self.run.summary
        if self.metric == summary.headline.metric:
            return plain(summary.headline)
        if self.metric not in summary.metrics:
            known = f"{suggest(self.metric, summary.metrics)} ({', '.join(summary.metrics)})"
            raise UsageError(f"--metric {self.metric}: {self.run.path} has no such metric{known}")
        return summary.metrics[self.metric]

    @property
    def counts(self) -> bool:
        """Whether a mean over tasks may use this cell."""
        return self.average.value is not None and self.run.summary.status == "complete" and not self.apart

    @property
    def trained(self) -> bool:
        """Whether a model of the run was trained on these questions, or on similar ones."""
        return self.run.summary.trained_on is not None

    @property
    def marks(self) -> str:
        summary = self.run.summary
        found = [BEST] if self.best else []
        found += [MARKS[summary.trained_on.mark]] if summary.trained_on else []
        found += [WITHIN] if self.average.within_stream else []
        found += [f"[{self.letter}]"] if self.letter else []
        found += [f"({summary.failed} failed)"] if summary.failed else []
        found += [summary.status] if summary.status != "complete" else []
        return " ".join(found)


def best(column: Mapping[Key, Cell]) -> Key | None:
    """The row whose mean is higher than every other row's, by paired tests at .05 after Holm. None where no row is, or where
    a test has fewer than 100 questions or 5 streams. Left out are controls, runs that are incomplete or not comparable, and
    those of the offline model, whose order says nothing about agents. column: runs on one task."""
    rivals = {row: cell for row, cell in column.items() if _takes_part(cell)}
    if len(rivals) < 2 or any(len(cell.values) < FEW for cell in rivals.values()):
        return None
    leader = max(rivals, key=lambda row: sum(rivals[row].values.values()) / len(rivals[row].values))
    first = rivals.pop(leader)
    p_values = []
    for cell in rivals.values():
        both = Pair(first.run, cell.run).columns(first.values, cell.values)
        if len(both.questions) < FEW or len(set(both.clusters)) < FEW_CLUSTERS:
            return None
        found = paired(both.base, both.other, both.clusters)
        if found.value <= 0:
            return None
        p_values.append(found.p)
    return leader if tells_apart(max(holm(p_values))) else None


def _takes_part(cell: Cell) -> bool:
    run = cell.run
    return run.summary.status == "complete" and run.agent not in CONTROLS and not run.offline and not cell.apart
