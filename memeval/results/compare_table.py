"""A comparison as tables: an overview of the pairs; for each, its kinds, costs and sizes, and the questions won and lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import stdev

from memeval.records.numbers import amount, between, p_text, percent, points
from memeval.results.compare import Amounts, Comparison, Effect
from memeval.results.grid import Cell, Grid
from memeval.runs.notes import FEW
from memeval.wording import counted

LISTED = 10
"""How many questions won, and how many lost, are listed unless all are asked for."""
BESIDE = {
    "memory_tokens": "memory tokens",
    "recall_tokens": "recalled tokens",
    "tokens": "tokens an answer",
    "usd": "USD an answer",
    "seconds": "seconds an answer",
    "failed": "failed answers",
}


def comparison_grids(pairs: Sequence[Comparison], everything: bool = False) -> list[Grid]:
    """The tables of a comparison. everything: list all questions won and lost."""
    grids = [_overview(pairs)]
    for one in pairs:
        grids.append(_detail(one))
        if one.won or one.lost:
            grids.append(_questions(one, everything))
    return grids


def _overview(pairs: Sequence[Comparison]) -> Grid:
    several = len(pairs) > 1
    notes = dict.fromkeys(note for one in pairs for note in _notes(one, several))
    return Grid.of(
        [_overview_row(one, several) for one in pairs],
        title="paired differences in points, second minus first",
        notes=(
            *notes,
            "detectable: the smallest difference that so many questions show with 80 % power (two-sided, .05); -: none.",
        ),
        left=3,
    )


def _overview_row(one: Comparison, several: bool) -> dict[str, Cell]:
    effect = one.effect
    return {
        "pair": _title(one),
        "task": one.b.task,
        "metric": one.metric,
        "first": percent(one.a.value),
        "second": percent(one.b.value),
        "difference": points(effect.value),
        "95% interval": between(effect.low, effect.high),
        "p": p_text(effect.p),
        **({"p (Holm)": p_text(effect.p_holm)} if several else {}),
        "second is": "-" if effect.within_stream else one.verdict,
        "n": str(effect.n),
        "detectable": percent(effect.detectable if effect.detectable < 1 else None),
    }


def _title(one: Comparison) -> str:
    return f"{one.b.name} against {one.a.name}"


def _notes(one: Comparison, several: bool) -> Iterator[str]:
    where = f"{_title(one)} on {one.b.task}: " if several else ""
    yield f"{where}{_test(one.effect)}; won {len(one.won)}, lost {len(one.lost)}, tied {one.tied}."
    if one.effect.within_stream:
        yield f"{where}{counted(one.effect.clusters, 'stream')}: this holds for other questions within these streams only."
    if one.effect.note:
        yield f"{where}{one.effect.note}."
    if one.effect.n < FEW:
        yield f"{where}n below {FEW}: this checks the harness and ranks nothing."
    for side in (one.a, one.b):
        if side.repeats:
            means = ", ".join(percent(value) for value in side.repeats)
            yield f"{where}{side.name} in each repeat: {means} (standard deviation {percent(stdev(side.repeats))})."
    for text in one.forced:
        common = counted(one.effect.n, "question")
        yield f"{where}not comparable, forced: {text}; compared: the {common} with a score in both."
    for text in one.named:
        yield f"{where}also different: {text}."
    yield from (f"{where}{text}" for text in one.notes)


def _test(effect: Effect) -> str:
    if effect.method == "mcnemar":
        return f"exact McNemar test over {counted(effect.n, 'question')}"
    return f"sign flips of {counted(effect.clusters, 'cluster')}, {counted(effect.n, 'question')}"


def _detail(one: Comparison) -> Grid:
    rows: list[tuple[Cell, ...]] = [
        (
            f"{kind} ({row.metric})",
            percent(row.a),
            percent(row.b),
            points(row.difference),
            between(row.low, row.high),
            str(row.n),
        )
        for kind, row in one.kinds.items()
    ]
    for what, row in one.beside.items():
        if row.a is not None or row.b is not None:
            rows.append((BESIDE[what], _amount(row.a), _amount(row.b), _change(row), "", ""))
    return Grid(
        title=f"{_title(one)} on {one.b.task}: by kind in points, with sizes and costs",
        columns=("", one.a.name, one.b.name, "difference", "95% interval", "n"),
        rows=tuple(rows),
    )


def _amount(value: float | None) -> str | None:
    return None if value is None else amount(value)


def _change(row: Amounts) -> str | None:
    return f"{100 * (row.b / row.a - 1):+.0f}%" if row.a and row.b is not None else None


def _questions(one: Comparison, everything: bool) -> Grid:
    rows: list[tuple[Cell, ...]] = []
    hidden = 0
    for what, changed in (("won", one.won), ("lost", one.lost)):
        shown = changed if everything else changed[:LISTED]
        hidden += len(changed) - len(shown)
        rows += [(what, row.question_id, row.kind, percent(row.a), percent(row.b), row.text) for row in shown]
    return Grid(
        title=f"questions that {one.b.name} won and lost against {one.a.name} on {one.b.task}",
        columns=("", "question", "kind", one.a.name, one.b.name, "text"),
        rows=tuple(rows),
        notes=(f"{hidden} more; --all lists them.",) if hidden else (),
        left=3,
    )
