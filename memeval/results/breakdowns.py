"""What `memeval table` puts below its table: the headline by kind of question, and where wrong answers were lost."""

from __future__ import annotations

from collections.abc import Sequence

from memeval.records.numbers import percent
from memeval.results.grid import Cell, Grid
from memeval.results.layout import Layout, layout
from memeval.results.load import Runs
from memeval.results.lost import WORDS
from memeval.results.run_table import kind_counts


def kinds(runs: Runs, rows: Sequence[str] = ()) -> tuple[Grid, ...]:
    """A table per task; tasks whose questions are all of one kind are left out. rows: as for `table`, which puts each run in
    the same row."""
    found = layout(runs, rows)
    grids = (_kinds_of(found, task) for (task,) in found.col_keys)
    return tuple(grid for grid in grids if len(grid.columns) > len(found.rows) + 1)


def _kinds_of(found: Layout, task: str) -> Grid:
    here = {row: run.summary for (row, (col,)), run in found.runs.items() if col == task}
    counts = kind_counts(list(here.values()))
    metrics = dict.fromkeys(average.metric for run in here.values() for average in run.kinds.values())
    return Grid(
        title=f"{task} by kind of question",
        columns=(*found.rows, *(f"{kind} (n {n})" for kind, n in counts.items())),
        rows=tuple(
            (*row, *(percent(run.kinds[kind].value) if kind in run.kinds else None for kind in counts))
            for row, run in here.items()
        ),
        notes=(f"metrics: {', '.join(metrics)}; abstention is the share that was declined.",),
        left=len(found.rows),
        data=tuple(
            {**dict(zip(found.rows, row, strict=True)), "task": task, "kind": kind, "metric": average.metric}
            | {"value": average.value, "low": average.low, "high": average.high, "n": average.n}
            for row, run in here.items()
            for kind, average in run.kinds.items()
        ),
    )


def lost_table(runs: Runs) -> Grid:
    """A row per run with counts of its answers, without failed and partly right ones. A run without texts (a baseline) has
    no row. Raises UsageError, with file and line, where a row is damaged."""
    found = layout(runs)
    rows: list[tuple[Cell, ...]] = []
    for (row, col), run in found.runs.items():
        if run.folder.has_texts:
            counts = [run.lost.counts.get(where, 0) for where in WORDS]
            rows.append((*row, *col, run.lost.wrong, *counts, run.lost.right, run.lost.unsupported))
    return Grid(
        title="where wrong answers were lost",
        columns=(*found.rows, *found.cols, "wrong", *WORDS.values(), "right", "of these unsupported"),
        rows=tuple(rows),
        notes=("unsupported: right, and neither evidence nor answer was in what was recalled.",),
        left=len(found.rows) + len(found.cols),
    )
