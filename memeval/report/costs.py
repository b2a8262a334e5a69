"""The table of what runs cost: USD where prices are known, tokens always; what is not known stays blank (`-`)."""

from __future__ import annotations

from collections.abc import Sequence

from memeval.costs import SHARED_BY, break_even
from memeval.models.prices import remedy
from memeval.records.summary import Cost, Summary
from memeval.report.columns import columns
from memeval.report.table import groups, label

REFERENCE = "long-context"
"""The agent that builds no memory: what others must save to be worth their ingest."""


def worth_a_table(runs: Sequence[Summary]) -> bool:
    """Whether anything of what the runs cost is known: a price, or what a server answered from its cache of prefixes."""
    return any(run.cost.usd or run.cost.cached_share is not None for run in runs)


def costs_table(runs: Sequence[Summary], width: int | None = None) -> str:
    """A row per run, grouped by task. USD per question includes the run's share of building the memory, at 1, 10 and 100
    questions a stream; `pays from` is the number of questions from which it is cheaper than long-context."""
    unit = "usd" if any(run.cost.usd for run in runs) else "tokens"
    shared = [f"at {number}" for number in SHARED_BY]
    each = [f"{'USD' if unit == 'usd' else 'tokens'} a question {shared[0]}", *shared[1:]]
    blocks = []
    for rows in groups(runs):
        reference = next((run.cost for run in rows if run.agent == REFERENCE), None)
        header = [
            rows[0].task,
            "USD",
            "a right answer",
            *each,
            "prompt",
            "completion",
            "cached",
            "read",
            "ingest per 1k",
            "pays from",
        ]
        body = [_row(run, runs, unit, reference) for run in rows]
        align = ("left", *["right"] * (len(header) - 1))
        blocks.append(columns(header, body, align, keep=header[:2], width=width))
    return "\n\n".join([*blocks, *_notes(runs)])


def _row(run: Summary, runs: Sequence[Summary], unit: str, reference: Cost | None) -> list[str]:
    cost = run.cost
    shares = (cost.usd_per_question if unit == "usd" else cost.tokens_per_question).values()
    pays = None if reference is None or cost is reference else break_even(cost, reference)
    return [
        label(run, runs),
        money(cost.usd),
        money(cost.usd_per_right),
        *(money(value) if unit == "usd" else count(value) for value in shares),
        count(run.tokens.prompt),
        count(run.tokens.completion),
        "-" if cost.cached_share is None else f"{100 * cost.cached_share:.0f}%",
        "-" if cost.read_amplification is None else f"{cost.read_amplification:.2f}x",
        count(cost.ingest_tokens_per_1k),
        "-" if reference is None or cost is reference else "never" if pays is None else f"{pays:,.1f}",
    ]


def _notes(runs: Sequence[Summary]) -> list[str]:
    names = set()
    for run in runs:
        judge = run.judge.judge if run.judge else None
        of_role = {"memory": run.model, "reader": run.reader, "embedder": run.embedder, "judge": judge}
        names |= {name for role in run.cost.unpriced if (name := of_role.get(role))}
    if not names:
        return []
    return [f"no price known for calls to {', '.join(sorted(names))}: USD stays blank; {remedy(min(names))}."]


def money(usd: float | None) -> str:
    """USD with three digits that say something, two behind the point from 10 on; `-` where it is not known."""
    if usd is None:
        return "-"
    return f"{usd:,.2f}" if usd >= 10 else f"{usd:.3g}" if usd >= 0.001 or not usd else f"{usd:.1e}"


def count(tokens: float | None) -> str:
    return "-" if tokens is None else f"{tokens:,.0f}"
