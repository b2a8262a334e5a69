"""A run beside a published table: in which of its columns, by which metric, and how far the two may be compared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from memeval.cards import AgentCard
from memeval.protocol import of_agent
from memeval.records.averages import Average, plain
from memeval.results.badge import LEVELS, Badge, badge
from memeval.results.published import Board, Published, published
from memeval.results.run import Run
from memeval.results.run_table import MARKS
from memeval.wording import counted

UNIT = {"percent": (100.0, 1), "fraction": (1.0, 3)}
"""Unit of a table -> factor and digits of a measured number in it."""


@dataclass(frozen=True, slots=True)
class Beside:
    """column: any published row of the run's column. rule: the metric of the published number, empty where it is not known.
    metric, average: those of that rule where the run computed it, else the run's headline."""

    run: Run
    board: Board
    column: Published
    badge: Badge
    rule: str
    metric: str
    average: Average

    @property
    def by_rule(self) -> bool:
        """Whether the number is in the table's own metric, as far as that is known."""
        return self.rule in ("", self.metric)

    @property
    def budget(self) -> str:
        return str(self.run.summary.answer_budget or "")

    @property
    def text(self) -> str | None:
        """The number in the table's unit, with its interval and marks."""
        average, trained = self.average, self.run.summary.trained_on
        if average.value is None or average.low is None or average.high is None:
            return None
        value, low, high = (in_unit(number, self.column.unit) for number in (average.value, average.low, average.high))
        other = "" if self.by_rule else f" {self.metric}"
        return f"{value} [{low}, {high}]{other}{f' {MARKS[trained.mark]}' if trained else ''}"

    def record(self) -> dict[str, object]:
        """One record for CSV and JSON. value, low, high, headline: fractions."""
        summary = self.run.summary
        return {
            "agent": self.run.agent,
            "model": summary.model,
            "reader": summary.reader,
            "budget": summary.answer_budget,
            "task": self.run.task,
            "dataset": self.column.dataset,
            "length": self.column.length,
            "metric": self.metric,
            "value": self.average.value,
            "low": self.average.low,
            "high": self.average.high,
            "n": self.average.n,
            "headline_metric": summary.headline.metric,
            "headline": summary.headline.value,
            "badge": self.badge.level,
            "why": list(self.badge.why),
            "mark": summary.trained_on.mark if summary.trained_on else None,
            "memory_tokens": summary.memory_tokens.mean,
            "memory_tokenizer": summary.stream_tokens.tokenizer,
            "board": self.board.name,
            "path": str(self.run.path),
        }


def beside(run: Run, board: Board) -> Beside | None:
    """The run beside a published table. None where the table has no column for the run's task, whatever its variant, and for
    the offline model, whose numbers say nothing about a memory system."""
    columns = {row.task: row for row in published() if row.board == board.name and row.task and row.measure == "performance"}
    name = run.task
    while name not in columns and "@" in name:
        name = name.rpartition("@")[0]
    if name not in columns or run.offline:
        return None
    summary, rule = run.summary, _rule(run, board)
    computed = rule in summary.metrics
    metric = rule if computed else summary.headline.metric
    average = summary.metrics[metric] if computed else plain(summary.headline)
    return Beside(run, board, columns[name], badge(run, board, columns[name]), rule, metric, average)


def _rule(run: Run, board: Board) -> str:
    """The metric of the published number: the table's, else the one that the task's card gives for the agent; empty where
    neither names one."""
    rules = run.identity("task").get("published_metrics", {})
    agent = AgentCard(run.manifest.agent, str(run.identity("agent").get("agent", "")))
    return board.metric or of_agent(rules, agent)


def in_unit(value: float, unit: str) -> str:
    """Format a fraction as a table of this unit prints it."""
    factor, places = UNIT[unit]
    return f"{factor * value:.{places}f}"


def notes_beside(runs: Collection[Run], places: Iterable[Beside]) -> Iterator[str]:
    """Notes on which runs were left out, and on the reasons of each badge."""
    shown = list(places)
    offline = sum(run.offline for run in runs)
    elsewhere = len(runs) - offline - len({place.run for place in shown})
    if offline:
        yield f"left out, because the offline model is not comparable with published results: {counted(offline, 'run')}."
    if elsewhere:
        yield f"left out, because they are on other tasks: {counted(elsewhere, 'run')}."
    for level in LEVELS:
        why = dict.fromkeys(reason for place in shown for reason in place.badge.why if place.badge.level == level)
        yield from (f"{level}: {reason}." for reason in why)
