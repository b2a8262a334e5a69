"""`memeval table`: load, tabulate, print."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from memeval.results.breakdowns import kinds, lost_table
from memeval.results.columns import width
from memeval.results.grid import Form, render, render_all
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
    by_loss: bool,
    unseen: Sequence[str],
    limit: int | None,
) -> str:
    """The text of `memeval table`."""
    found = load_runs(*runs, runs_dir=runs_dir, limit=limit)
    closed_book = load_runs(*unseen, runs_dir=runs_dir, limit=limit) if unseen else None
    grid = table(found, rows=rows, cols=cols, metric=metric, ci=ci, unseen=closed_book)
    below = (*(kinds(found, rows) if by_kind else ()), *((lost_table(found),) if by_loss else ()))
    room = width(sys.stdout)
    return render_all((grid, *below), form, room) if by_kind or by_loss else render(grid, form, room)
