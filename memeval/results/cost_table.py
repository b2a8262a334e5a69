"""What runs cost, as a pandas table of numbers and as text: USD where prices are known, tokens always.

What is not known stays blank: NaN or None in the pandas table, `-` in the text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from memeval.costs import SHARED_BY, break_even
from memeval.models.prices import remedy
from memeval.records.numbers import count, money
from memeval.records.summary import Summary
from memeval.results.columns import columns
from memeval.results.run_table import by_task_and_budget, label

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "long-context"
"""The agent that builds no memory; other agents pay off when they become cheaper than it."""


def worth_a_table(runs: Sequence[Summary]) -> bool:
    """Whether any cost of the runs is known: a price, or the share of prompt tokens from a server's cache of prefixes."""
    return any(run.cost.usd or run.cost.cached_share is not None for run in runs)


def costs_frame(runs: Sequence[Summary]) -> pd.DataFrame:
    """A row per run; runs on one task with one answer budget (`group`) are adjacent. USD or tokens per question
    (`usd_at_10`, `tokens_at_10`) include the question's share of building the memory, at 1, 10 and 100 questions a stream.
    `pays_from`: questions a stream from which on the run is cheaper than long-context, inf where it never is. `estimated`:
    calls with estimated tokens."""
    import pandas as pd  # takes a second

    rows = []
    for number, group in enumerate(by_task_and_budget(runs)):
        reference = next((run.cost for run in group if run.agent == REFERENCE), None)
        for run in group:
            cost, pays = run.cost, math.nan
            if reference is not None and cost is not reference:
                found = break_even(cost, reference)
                pays = math.inf if found is None else found
            rows.append(
                {
                    "group": number,
                    "task": run.task,
                    "agent": label(run, runs),
                    "usd": cost.usd,
                    "usd_per_right": cost.usd_per_right,
                    **{f"usd_at_{share}": cost.usd_per_question.get(str(share)) for share in SHARED_BY},
                    **{f"tokens_at_{share}": cost.tokens_per_question.get(str(share)) for share in SHARED_BY},
                    "prompt": run.tokens.prompt,
                    "completion": run.tokens.completion,
                    "cached_share": cost.cached_share,
                    "read_amplification": cost.read_amplification,
                    "ingest_tokens_per_1k": cost.ingest_tokens_per_1k,
                    "pays_from": pays,
                    "estimated": run.facts.estimated,
                }
            )
    return pd.DataFrame(rows)


def costs_table(runs: Sequence[Summary], width: int | None = None) -> str:
    """`costs_frame` as text: a table per group, and what its columns mean. Values from estimated tokens have a `~`."""
    frame = costs_frame(runs)
    unit, of_unit = ("usd", money) if any(run.cost.usd for run in runs) else ("tokens", count)
    first, *others = SHARED_BY
    shown: dict[str, tuple[str, Callable[[Any], str]]] = {
        "usd": ("USD", money),
        "usd_per_right": ("a right answer", money),
        f"{unit}_at_{first}": (f"{'USD' if unit == 'usd' else 'tokens'} a question at {first}", of_unit),
        **{f"{unit}_at_{share}": (f"at {share}", of_unit) for share in others},
        "prompt": ("prompt", count),
        "completion": ("completion", count),
        "cached_share": ("cached", lambda share: f"{100 * share:.0f}%"),
        "read_amplification": ("read", lambda times: f"{times:.2f}x"),
        "ingest_tokens_per_1k": ("ingest per 1k", count),
        "pays_from": ("pays from", lambda number: "never" if number == math.inf else f"{number:,.1f}"),
    }
    blocks = []
    for _, rows in frame.groupby("group", sort=False):
        header = [str(rows["task"].iloc[0]), *(title for title, _ in shown.values())]
        body = []
        for row in rows.to_dict("records"):
            mark = "~" if row["estimated"] else ""
            cells = [_cell(row[name], form, mark if name.startswith(MARKED) else "") for name, (_, form) in shown.items()]
            body.append([str(row["agent"]), *cells])
        align = ("left", *["right"] * (len(header) - 1))
        blocks.append(columns(header, body, align, keep=header[:2], width=width))
    return "\n\n".join([*blocks, "\n".join(_legend(runs, "USD" if unit == "usd" else "tokens")), *_notes(runs)])


def _legend(runs: Sequence[Summary], unit: str) -> list[str]:
    """What the columns mean."""
    lines = [
        f"at 1, 10, 100: {unit} of a question when so many are asked of a stream: recall, answer, its share of the memory.",
        "cached: share of prompt tokens from the server's cache of prefixes. read: prompt tokens per token of stream.",
        "ingest per 1k: prompt and completion tokens per 1,000 tokens of stream that were read.",
    ]
    if any(run.agent == REFERENCE for run in runs):
        lines.append(f"pays from: questions a stream from which on a run is cheaper than {REFERENCE}.")
    if any(run.facts.estimated for run in runs):
        lines.append("~: rests on estimated tokens.")
    return lines


MARKED = ("usd", "tokens", "prompt", "completion")
"""Starts of the names of columns that are computed from token counts."""


def _cell(value: float | None, form: Callable[[Any], str], mark: str) -> str:
    return "-" if value is None or math.isnan(value) else f"{mark}{form(value)}"


def _notes(runs: Sequence[Summary]) -> list[str]:
    lines = []
    names, services = set(), set()
    for run in runs:
        judge = run.judge.judge if run.judge else None
        of_role = {"memory": run.model, "reader": run.reader, "embedder": run.embedder, "judge": judge}
        names |= {name for role in run.cost.unpriced if (name := of_role.get(role))}
        services |= {f"{run.agent} ({role})" for role in run.cost.unpriced if role in run.services}
    if names:
        named = ", ".join(sorted(names))
        lines.append(f"no price known for calls to {named}: USD stays blank; {remedy(min(names))}.")
    if services:
        named = ", ".join(sorted(services))
        lines.append(
            f"the cost of the service of {named} is not known: USD stays blank; the agent can report it by spend(usd=...)."
        )
    return ["\n".join(lines)] if lines else []
