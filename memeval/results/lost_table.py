"""Where the wrong answers of runs were lost, in one table: a row per run."""

from __future__ import annotations

from memeval.results.grid import Cell, Grid
from memeval.results.load import Runs
from memeval.results.lost import WORDS
from memeval.results.row_keys import layout


def lost_table(runs: Runs) -> Grid:
    """Counts of answers, failed and partly right ones left out; a run without texts (a baseline) has no row. Runs are told
    apart as in `table`. Raises UsageError, with file and line, where a row is damaged."""
    found = layout(runs, ())
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
