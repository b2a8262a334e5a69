"""`memeval compare`: paired differences between runs."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from memeval.results.columns import width
from memeval.results.compare import compare
from memeval.results.compare_table import comparison_grids
from memeval.results.grid import Form, render_all


def compare_command(
    runs: tuple[str, ...],
    *,
    metric: str | None,
    force: bool,
    everything: bool,
    form: Form,
    limit: int | None,
    runs_dir: Path,
) -> str:
    pairs = compare(*runs, metric=metric, force=force, runs_dir=runs_dir, limit=limit)
    if form == "json":
        return msgspec.json.format(msgspec.json.encode({"comparisons": pairs}), indent=2).decode()
    return render_all(comparison_grids(pairs, everything), form, width(sys.stdout))
