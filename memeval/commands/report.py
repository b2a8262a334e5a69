"""`memeval report`: a page about runs, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memeval.records.clean import encode
from memeval.results.load import load_runs
from memeval.results.report import report


def report_command(where: Sequence[str], output: Path, title: str, stories: str, runs_dir: Path, form: str = "table") -> str:
    """Write the page, and say what is in it. Raises UsageError as `load_runs` and `report` do."""
    made = report(load_runs(*where, runs_dir=runs_dir), output, title=title, all_stories=stories == "all")
    if form == "json":
        return encode(made).decode()
    left = made.answers - made.stories
    lines = [f"{made.path}: {made.runs} runs, {made.answers:,} answers, {made.size / 1e6:.1f} MB; open it in a browser"]
    if left:
        lines.append(f"the stories of {left:,} answers are left out, wrong ones went in first; --stories all keeps all")
    return "\n".join(lines)
