"""`memeval report`: a page about runs, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memeval.records.clean import encode
from memeval.results.load import load_runs
from memeval.results.report import report
from memeval.wording import counted


def report_command(where: Sequence[str], output: Path, title: str, stories: str, runs_dir: Path, form: str = "table") -> str:
    """Write the page. Returns the text on what it contains. Raises UsageError as `load_runs` and `report` do."""
    made = report(load_runs(*where, runs_dir=runs_dir), output, title=title, all_stories=stories == "all")
    if form == "json":
        return encode(made).decode()
    left = made.answers - made.stories
    held = f"{counted(made.runs, 'run')}, {counted(made.answers, 'answer')}, {made.size / 1e6:.1f} MB"
    lines = [f"{made.path}: {held}; open it in a browser"]
    if left:
        lines.append(f"left out: the stories of {counted(left, 'answer')}, right ones first; --stories all keeps all")
    return "\n".join(lines)
