"""`memeval gate`: judge a candidate by a baseline."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from memeval.errors import UsageError
from memeval.results.checks import Rules
from memeval.results.columns import width
from memeval.results.gate import gate
from memeval.results.gate_report import gate_text, warning, write_junit, write_summary
from memeval.results.grid import Form


def rules_of(minimum: tuple[str, ...], max_latency: tuple[str, ...], **rules: Any) -> Rules:
    """The rules that the flags set. Raises UsageError for a metric without a number, and a latency without a time."""
    least = dict(_pair(text, "--min", "f1=0.35") for text in minimum)
    most = dict(_pair(text, "--max-latency", "p95=2s") for text in max_latency)
    return Rules(minimum=least, max_latency=most, **rules)


def _pair(text: str, flag: str, example: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    unit = 1.0
    if flag == "--max-latency":
        unit = 0.001 if number.endswith("ms") else 1.0
        number = number.removesuffix("s").removesuffix("m")
    try:
        value = float(number) * unit
    except ValueError:
        value = math.nan
    if not name or not 0 <= value < math.inf:
        raise UsageError(f"{flag} '{text}': expected a name and a number, as {example}")
    return name.strip(), value


def gate_command(
    baseline: str,
    candidate: str,
    rules: Rules,
    *,
    form: Form,
    limit: int | None,
    runs_dir: Path,
    junit: Path | None,
    summary: Path | None,
) -> int:
    """Print the verdict, and write it to the files for CI. Returns the exit code."""
    found = gate(baseline, candidate, rules, runs_dir, limit)
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        click.echo(gate_text(found, form, width(sys.stdout)))
    if found.verdict == "inconclusive":
        click.echo(f"memeval: warning: {warning(found)}", err=True)
    if junit:
        write_junit(found, junit)
    if summary:
        write_summary(found, summary)
    return found.exit_code
