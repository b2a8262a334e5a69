"""`memeval attribute RUN...`: ask the questions of wrong answers again, to find where each answer was lost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from memeval.commands.judge import counter, stoppable
from memeval.models.calls import CallSettings
from memeval.records.attribution import Attribution
from memeval.records.clean import encode
from memeval.records.numbers import money
from memeval.records.verdicts import status
from memeval.results.attribute import Attribute, Expected
from memeval.results.load import load_runs
from memeval.results.lost import asked_sentence, sentence
from memeval.results.run import Run
from memeval.wording import counted


def attribute_command(
    names: Sequence[str],
    settings: CallSettings,
    *,
    runs_dir: Path,
    limit: int | None = None,
    base_url: str | None = None,
    data_dir: Path | None = None,
    form: str = "table",
    quiet: bool = False,
) -> int:
    """Attribute the wrong answers of runs and print the result. Returns the exit code: 0, 3 (stopped, or too many answers
    without a reply), 130."""
    found: list[tuple[Run, Attribution]] = []
    with stoppable("answers") as work:
        runs = load_runs(*names, runs_dir=runs_dir)
        for run in [run for run in runs if run.manifest.memory is not None] or runs:
            attribute = Attribute(run, limit, base_url, data_dir)
            if settings.budget is not None:
                settings.budget.require_prices([attribute.reader])
            if not quiet:
                print(f"memeval: {run.agent} on {run.task}: {expectation(attribute.expected())}", file=sys.stderr)
            progress = counter(f"attributing {run.path.name}", quiet, "answers")
            found.append((run, attribute.attribution(settings, progress)))
    if form == "json":
        rows = [{"path": str(run.path), **msgspec.to_builtins(one)} for run, one in found]
        click.echo(encode({"attributed": rows}))  # JSON is UTF-8, whatever the terminal
    else:
        print("\n\n".join("\n".join(_lines(run, one)) for run, one in found))
    invalid = any(status(True, one.counts.get("failed", 0), len(one.answers)) == "invalid" for _, one in found)
    return work.code or (3 if invalid else 0)


def expectation(found: Expected) -> str:
    """One line on the calls that are about to be made."""
    usd = "price unknown" if found.usd is None else f"about {money(found.usd)} USD"
    wrong, calls = counted(found.answers, "wrong answer"), counted(found.calls, "call")
    return f"{wrong}: at most {calls}, about {counted(found.prompt_tokens, 'prompt token')}, {usd}"


def _lines(run: Run, found: Attribution) -> list[str]:
    lines = [f"{run.agent} on {run.task}: {asked_sentence(found)} (reader {found.reader})"]
    if by_text := sentence(run.lost):
        lines.append(f"  by the recorded texts: {by_text}")
    if found.memory not in ("operations", "replay"):
        lines.append(f"  the whole memory could not be shown to the reader: {found.memory}")
    return lines
