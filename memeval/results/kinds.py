"""The headline by kind of question, a table per task."""

from __future__ import annotations

from collections.abc import Sequence

from memeval.results.grid import Grid
from memeval.results.load import Runs
from memeval.results.row_keys import layout
from memeval.runs.notes import percent


def kinds(runs: Runs, rows: Sequence[str] = ()) -> tuple[Grid, ...]:
    """Tasks whose questions are of one kind are left out. rows: as of `table`; a run is in the row that it has there."""
    found = layout(runs, rows)
    return tuple(grid for col in found.col_keys if len((grid := _of_task(runs, rows, col[0])).columns) > len(found.rows) + 1)


def _of_task(runs: Runs, rows: Sequence[str], task: str) -> Grid:
    found = layout(runs, rows)
    here = {row: run.summary for (row, (col,)), run in found.runs.items() if col == task}
    names = list(dict.fromkeys(kind for run in here.values() for kind in run.kinds))
    counts = {kind: max(run.kinds[kind].n for run in here.values() if kind in run.kinds) for kind in names}
    metrics = dict.fromkeys(average.metric for run in here.values() for average in run.kinds.values())
    return Grid(
        title=f"{task} by kind of question",
        columns=(*found.rows, *(f"{kind} (n {counts[kind]})" for kind in names)),
        rows=tuple(
            (*row, *(percent(run.kinds[kind].value) if kind in run.kinds else None for kind in names))
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
