"""`memeval export`: results as CSV, or as a baseline for git."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from memeval.errors import UsageError
from memeval.records.files import write_whole
from memeval.results.export import to_baseline, to_csv
from memeval.results.load import load_runs


def export_command(runs: tuple[str, ...], *, to: Literal["csv", "baseline"], output: Path | None, runs_dir: Path) -> str:
    """Export runs. Returns the text to print: the CSV itself, or the paths that were written."""
    found = load_runs(*runs, runs_dir=runs_dir)
    if to == "baseline":
        return "\n".join(map(str, to_baseline(found, output or Path("baseline"))))
    if output is None:
        return to_csv(found)
    if output.is_dir():
        raise UsageError(f"{output}: a folder; --output names the CSV file")
    write_whole(output, f"{to_csv(found)}\n".encode())
    return str(output)
