"""Runs in one table: agents x tasks, with marks on numbers that may not be compared.

    table(load_runs("runs"), ci=True)        a Grid: render(grid, "md"), grid.to_pandas()

Runs with different models never share a row, and no two runs share a cell (layout.py). A run that may not be compared with
the rest of its column is marked, by the rule of comparable.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from memeval.errors import UsageError
from memeval.records.averages import Average
from memeval.records.numbers import percent
from memeval.results import seen
from memeval.results.cells import BEST, LEGEND, WITHIN, Cell, best
from memeval.results.comparable import forbidden, groups
from memeval.results.grid import Grid
from memeval.results.layout import Key, Layout, layout, same_for_all
from memeval.results.load import Runs
from memeval.results.run import Run
from memeval.results.run_table import notes_of
from memeval.results.suites import Mean, mean_of_values


@dataclass(frozen=True, slots=True)
class _Column:
    """The runs of one column. metrics: the names of their metrics, usually one; n: the most frequent number of questions."""

    name: str
    cells: Mapping[Key, Cell]
    metrics: tuple[str, ...]
    n: int


@dataclass(frozen=True, slots=True)
class _Means:
    """A column of means over tasks. name: its name in the data. of: row -> its mean; None where a cell is missing,
    incomplete or not comparable, because a mean of fewer tasks is another number."""

    heading: str
    name: str
    of: Mapping[Key, Mean | None]


def table(
    runs: Runs,
    *,
    rows: Sequence[str] = (),
    cols: Sequence[str] = ("task",),
    metric: str | None = None,
    ci: bool = False,
    unseen: Runs | None = None,
) -> Grid:
    """A table of agents x tasks, in percent. rows, cols: facts that make a row and a column (layout.FACTS). metric: shown in
    place of each run's headline. ci: show the 95 % interval. unseen: runs of closed-book; then only questions count that
    closed-book does not answer right with the run's reader.

    Raises UsageError for an unknown fact, for a metric that a run does not have, and where there is nothing to show.
    """
    if not runs:
        raise UsageError("no runs; `memeval run` makes some")
    found = layout(runs, rows, cols)
    kept = {run: seen.unseen(run, unseen) for run in runs} if unseen is not None else {}
    columns = [_column(key, found, metric, kept) for key in found.col_keys]
    several = found.cols == ("task",) and len(columns) > 1
    means = _means(found, columns) if several else []
    header = [*found.rows, *(_heading(column) for column in columns), *(mean.heading for mean in means)]
    body = []
    for key in found.row_keys:
        cells = [_shown(column.cells.get(key), ci, column.n) for column in columns]
        body.append((*key, *cells, *(_mean_shown(mean.of[key], ci) for mean in means)))
    return Grid(
        columns=tuple(header),
        rows=tuple(body),
        notes=tuple(_notes(runs, found, columns, means, kept)),
        left=len(found.rows),
        data=tuple(_data(found, columns, means)),
    )


# -- columns and cells ------------------------------------------------------------------------------------------------


def _column(key: Key, found: Layout, metric: str | None, kept: Mapping[Run, frozenset[str]]) -> _Column:
    here = {row: run for (row, col), run in found.runs.items() if col == key}
    tasks = {run.task for run in here.values()}
    reference = max(groups(list(here.values())), key=len)[0] if len(tasks) == 1 else None
    letters: dict[str, str] = {}
    cells = {}
    for row, run in here.items():
        apart = "; ".join(map(str, forbidden(reference, run))) if reference else ""
        letter = letters.setdefault(apart, chr(ord("a") + len(letters))) if apart else ""
        cells[row] = Cell(run, metric or run.summary.headline.metric, kept.get(run), apart, letter)
    counts = Counter(cell.average.n for cell in cells.values())
    winner = best(cells) if reference else None
    if winner is not None:
        cells[winner] = replace(cells[winner], best=True)
    metrics = tuple(dict.fromkeys(cell.metric for cell in cells.values()))
    return _Column(" ".join(key), cells, metrics, counts.most_common(1)[0][0])


def _heading(column: _Column) -> str:
    return f"{column.name} ({' or '.join(column.metrics)}, n {column.n})"


def _shown(cell: Cell | None, ci: bool, n: int) -> str | None:
    if cell is None:
        return None
    other = "" if cell.average.n == n else f" (n {cell.average.n})"
    interval = f" {_interval(cell.average)}" if ci and cell.average.low is not None else ""
    return f"{percent(cell.average.value)}{interval}{other} {cell.marks}".rstrip()


def _interval(average: Average | Mean) -> str:
    return f"[{percent(average.low)}, {percent(average.high)}]"


# -- means over tasks -------------------------------------------------------------------------------------------------


def _means(found: Layout, columns: Sequence[_Column]) -> list[_Means]:
    """The mean over all tasks and, where a cell is marked as trained on, the mean over the unmarked ones."""
    whole: dict[Key, Mean | None] = {}
    clean: dict[Key, Mean | None] = {}
    for key in found.row_keys:
        cells = [cell for column in columns if (cell := column.cells.get(key)) is not None and cell.counts]
        cells = cells if len(cells) == len(columns) else []
        untrained = [cell for cell in cells if not cell.trained]
        whole[key], clean[key] = (_mean(some) if some else None for some in (cells, untrained))
    means = [_Means(f"mean ({', '.join(_metrics(columns))})", "mean", whole)]
    if any(cell.trained for column in columns for cell in column.cells.values()):
        means.append(_Means("mean without † ‡", "mean without trained on", clean))
    return means


def _mean(cells: Sequence[Cell]) -> Mean:
    return mean_of_values([(cell.values, cell.run.questions) for cell in cells])


def _metrics(columns: Sequence[_Column]) -> list[str]:
    return list(dict.fromkeys(metric for column in columns for metric in column.metrics))


def _mean_shown(mean: Mean | None, ci: bool) -> str | None:
    if mean is None:
        return None
    return f"{percent(mean.value)} {_interval(mean)}" if ci else percent(mean.value)


def _rule(columns: Sequence[_Column]) -> str:
    metrics = _metrics(columns)
    mixed = f" It mixes metrics: {', '.join(metrics)}." if len(metrics) > 1 else ""
    return f"mean: the plain mean of a row's tasks, each counting the same; blank where one is missing.{mixed}"


# -- below the table --------------------------------------------------------------------------------------------------


def _notes(
    runs: Runs,
    found: Layout,
    columns: Sequence[_Column],
    means: Sequence[_Means],
    kept: Mapping[Run, frozenset[str]],
) -> list[str]:
    cells = [cell for column in columns for cell in column.cells.values()]
    facts = ("model", "reader", "embedder", "tag", "budget", "judge", "seed")
    same = [f"{name} {value}" for name, value in same_for_all(runs, [name for name in facts if name not in found.rows])]
    notes = [f"all rows: {', '.join(same)}."] if same else []
    notes += [_rule(columns)] if means else []
    for text in dict.fromkeys(f"{run.task} {len(some)} of {len(run.questions)}" for run, some in kept.items()):
        notes.append(f"only questions that closed-book does not get right with the same reader: {text}.")
    notes += [LEGEND[mark] for mark in (BEST, WITHIN) if any(mark in cell.marks for cell in cells)]
    for column in columns:
        apart = {cell.letter: cell.apart for cell in column.cells.values() if cell.letter}
        notes += [
            f"[{letter}] {column.name}: not comparable with most of its column: {why}." for letter, why in apart.items()
        ]
    notes += notes_of([run.summary for run in runs])
    return list(dict.fromkeys(notes))


def _data(found: Layout, columns: Sequence[_Column], means: Sequence[_Means]) -> list[dict[str, Any]]:
    """A record per cell, and per mean (`task` is `mean`, or `mean without trained on`; n is the number of tasks)."""
    data = []
    for key in found.row_keys:
        facts = dict(zip(found.rows, key, strict=True))
        for column in columns:
            cell = column.cells.get(key)
            if cell is not None:
                data.append({**facts, **_record(cell)})
        for column_of_means in means:
            if (mean := column_of_means.of[key]) is not None:
                data.append({**facts, **_mean_record(column_of_means.name, mean, columns)})
    fields = dict.fromkeys(name for record in data for name in record)
    return [{name: record.get(name) for name in fields} for record in data]


def _record(cell: Cell) -> dict[str, Any]:
    run = cell.run.summary
    return {
        "task": cell.run.task,
        "metric": cell.metric,
        "value": cell.average.value,
        "low": cell.average.low,
        "high": cell.average.high,
        "n": cell.average.n,
        "clusters": cell.average.clusters,
        "rule": cell.average.rule,
        "status": run.status,
        "failed": run.failed,
        "best": cell.best,
        "trained_on": run.trained_on.mark if run.trained_on else None,
        "not_comparable": cell.apart or None,
        "answer_budget": run.answer_budget,
        "memory_tokens": run.memory_tokens.mean,
        "usd": run.cost.usd,
        "path": str(cell.run.path),
    }


def _mean_record(name: str, mean: Mean, columns: Sequence[_Column]) -> dict[str, Any]:
    metrics = ", ".join(_metrics(columns))
    return {
        "task": name,
        "metric": metrics,
        "value": mean.value,
        "low": mean.low,
        "high": mean.high,
        "n": mean.tasks,
        "rule": "plain mean of the tasks",
    }
