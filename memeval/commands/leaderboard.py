"""`memeval leaderboard`: published tables on the terminal, or in files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from memeval.errors import UsageError
from memeval.results.columns import width
from memeval.results.grid import Form, Grid, render_all
from memeval.results.leaderboard import leaderboard
from memeval.results.leaderboard_card import card
from memeval.results.load import Runs, load_runs
from memeval.results.published import boards

CARD = "card"
FIRST = ("memalpha-table1", "memocr-table1")
"""The tables that are shown by default."""


def show_command(runs: Sequence[str], *, form: Form, runs_dir: Path, layout: str | None, methods: Sequence[str]) -> str:
    """The text of `memeval leaderboard show`."""
    found = _runs(runs, runs_dir)
    names = (layout,) if layout else (CARD,) if found is not None else FIRST
    grids = [grid for name in names for grid in _layout(name, found, methods)]
    return render_all(grids, form, width(sys.stdout))


def build_command(
    runs: Sequence[str], *, form: Form, runs_dir: Path, layouts: Sequence[str], methods: Sequence[str], output: Path
) -> str:
    """Write a file per table. Returns their paths, one per line. Raises UsageError where a file cannot be written."""
    found = _runs(runs, runs_dir)
    written = []
    for name in layouts or boards():
        path = output / f"{name}.{'tex' if form == 'latex' else form}"
        text = render_all(_layout(name, found, methods), form)
        try:
            output.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None
        written.append(str(path))
    return "\n".join(written)


def _runs(names: Sequence[str], runs_dir: Path) -> Runs | None:
    return load_runs(*names, runs_dir=runs_dir) if names else None


def _layout(name: str, runs: Runs | None, methods: Sequence[str]) -> tuple[Grid, ...]:
    return card(runs, methods) if name == CARD else leaderboard(name, runs, methods)
