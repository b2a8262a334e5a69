"""`memeval estimate`: calls, tokens, USD, interval and detectable effect of runs, as one table or one JSON object."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from memeval.estimate import Estimate, Role, estimate, totals
from memeval.process import foreign_code
from memeval.records.numbers import count, money, percent
from memeval.results.columns import columns, width
from memeval.results.run_table import label
from memeval.runs.options import Options
from memeval.runs.plan import plan

HEADER = ["agent", "task", "n", "streams", "chunks", "calls", "prompt tokens", "completion tokens", "USD", "half-width"]


def estimate_command(options: Options, form: str) -> int:
    """Print the estimates of the planned runs. Returns the exit code."""
    with foreign_code() as out:
        plans = plan(options)
        found = [estimate(planned, plans[:number]) for number, planned in enumerate(plans)]
        if form == "json":
            report = {"estimates": [dataclasses.asdict(one) for one in found], "total": totals(_roles(found))}
            print(json.dumps(report, ensure_ascii=False), file=out)
        else:
            print(estimates_table(found, width(out)), file=out)
    return 0


def estimates_table(estimates: Sequence[Estimate], width: int | None = None) -> str:
    """A table with a row per run and, for several runs, their sum; below it the assumptions. Half-widths and effects are in
    points. A `~` marks guesses."""
    body = [
        [
            label(one, estimates),
            one.task,
            str(one.n) if one.n == one.questions else f"{one.n} of {one.questions}",
            count(one.streams),
            count(one.chunks),
            *_sums([one]),
            percent(one.half_width),
            percent(one.detectable_effect if (one.detectable_effect or 1) < 1 else None),
        ]
        for one in estimates
    ]
    if len(estimates) > 1:
        body.append(["together", "", "", "", "", *_sums(estimates), "", ""])
    align = ("left", "left", *["right"] * 9)
    table = columns([*HEADER, "detectable"], body, align, keep=("agent", "task", "USD"), width=width)
    return "\n\n".join([table, *_notes(estimates)])


def _sums(estimates: Sequence[Estimate]) -> list[str]:
    """Calls, prompt tokens, completion tokens, USD."""
    sums = totals(_roles(estimates))
    mark = "~" if any(role.guessed for role in _roles(estimates)) else ""
    usd = money(sums["usd"])
    return [
        count(sums["calls"]),
        count(sums["prompt"]),
        mark + count(sums["completion"]),
        usd if usd == "-" else mark + usd,
    ]


def _roles(estimates: Sequence[Estimate]) -> list[Role]:
    return [role for one in estimates for role in one.roles.values()]


def _notes(estimates: Sequence[Estimate]) -> list[str]:
    """Each note once, after the names of its runs where it does not apply to all."""
    rows = {note: [one for one in estimates if note in one.notes] for one in estimates for note in one.notes}
    lines = []
    for note, about in rows.items():
        names = ", ".join(dict.fromkeys(f"{one.agent} on {one.task}" for one in about))
        lines.append(f"- {note}" if len(about) == len(estimates) else f"- {names}: {note}")
    return ["\n".join(lines)] if lines else []
