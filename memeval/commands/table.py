"""`memeval table`: load, tabulate, print."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from memeval.results.columns import width
from memeval.results.grid import Form, render, render_all
from memeval.results.kinds import kinds
from memeval.results.load import load_runs
from memeval.results.table import table


def table_command(
    runs: Sequence[str],
    *,
    form: Form,
    runs_dir: Path,
    rows: Sequence[str],
    cols: Sequence[str],
    metric: str | None,
    ci: bool,
    by_kind: bool,
    unseen: Sequence[str],
) -> str:
    """The text of `memeval table`."""
    found = load_runs(*runs, runs_dir=runs_dir)
    closed_book = load_runs(*unseen, runs_dir=runs_dir) if unseen else None
    grid = table(found, rows=rows, cols=cols, metric=metric, ci=ci, unseen=closed_book)
    grids = (grid, *kinds(found, rows)) if by_kind else (grid,)
    return render_all(grids, form, width(sys.stdout)) if by_kind else render(grid, form, width(sys.stdout))
