"""`memeval table`: load, tabulate, print."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from memeval.results.columns import width
from memeval.results.grid import Form, render
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
) -> str:
    """The text of `memeval table`."""
    grid = table(load_runs(*runs, runs_dir=runs_dir), rows=rows, cols=cols, metric=metric, ci=ci)
    return render(grid, form, width(sys.stdout))
