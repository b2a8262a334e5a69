"""A comparison as tables: the pairs at a glance; of each pair its kinds, cost and memory; the questions won and lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import stdev

from memeval.results.compare import Beside, Comparison, Effect
from memeval.results.grid import Cell, Grid
from memeval.wording import counted

LISTED = 10
"""Questions won, and lost, that are listed unless all are asked for."""
BESIDE = {
    "memory_tokens": "memory tokens",
    "recall_tokens": "recalled tokens",
    "tokens": "tokens an answer",
    "usd": "USD an answer",
    "seconds": "seconds an answer",
    "failed": "failed answers",
}


def comparison_grids(pairs: Sequence[Comparison], everything: bool = False) -> list[Grid]:
    """everything: list all questions won and lost."""
    grids = [_overview(pairs)]
    for one in pairs:
        grids.append(_detail(one))
        if one.won or one.lost:
            grids.append(_questions(one, everything))
    return grids


def points(value: float, sign: bool = True) -> str:
    return f"{100 * value:+.1f}" if sign else f"{100 * value:.1f}"


def between(low: float, high: float) -> str:
    return f"{points(low)} to {points(high)}"


def p_text(p: float) -> str:
    return "< .0001" if p < 0.0001 else f"{p:.4f}".lstrip("0") if p < 1 else "1"


def _overview(pairs: Sequence[Comparison]) -> Grid:
    adjusted = ["p (Holm)"] if len(pairs) > 1 else []
    rows = []
    for one in pairs:
        effect = one.effect
        rows.append(
            (
                f"{one.b.name} against {one.a.name}",
                one.b.task,
                one.metric,
                points(one.a.value, False),
                points(one.b.value, False),
                points(effect.value),
                between(effect.low, effect.high),
                p_text(effect.p),
                *([p_text(effect.p_holm)] if adjusted else []),
                _verdict(one),
                str(effect.n),
                points(effect.detectable, False),
            )
        )
    columns = ("pair", "task", "metric", "first", "second", "difference", "95% interval", "p", *adjusted, "second is", "n")
    notes = dict.fromkeys(note for one in pairs for note in _notes(one, len(pairs) > 1))
    return Grid(
        title="paired differences in points, second minus first",
        columns=(*columns, "detectable"),
        rows=tuple(rows),
        notes=(
            *notes,
            "detectable: the smallest difference that so many questions show with 80 % power (two-sided, .05).",
        ),
        left=3,
    )


def _verdict(one: Comparison) -> str:
    return "-" if one.effect.within_stream else one.verdict


def _notes(one: Comparison, several: bool) -> Iterator[str]:
    where = f"{one.b.name} against {one.a.name} on {one.b.task}: " if several else ""
    yield f"{where}{_test(one.effect)}; won {len(one.won)}, lost {len(one.lost)}, tied {one.tied}."
    if one.effect.within_stream:
        yield f"{where}{counted(one.effect.clusters, 'stream')}: this speaks of other questions within these streams only."
    if one.effect.note:
        yield f"{where}{one.effect.note}."
    if one.effect.n < 100:
        yield f"{where}n below 100: this checks the harness and ranks nothing."
    for side in (one.a, one.b):
        if side.repeats:
            means = ", ".join(points(value, False) for value in side.repeats)
            yield f"{where}{side.name} in each repeat: {means} (standard deviation {points(stdev(side.repeats), False)})."
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
            points(row.a, False),
            points(row.b, False),
            points(row.difference),
            between(row.low, row.high),
            str(row.n),
        )
        for kind, row in one.kinds.items()
    ]
    for what, row in one.beside.items():
        if row.a is not None or row.b is not None:
            rows.append((BESIDE[what], _number(row.a), _number(row.b), _change(row), "", ""))
    return Grid(
        title=f"{one.b.name} against {one.a.name} on {one.b.task}: by kind in points, and what it took",
        columns=("", one.a.name, one.b.name, "difference", "95% interval", "n"),
        rows=tuple(rows),
    )


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _change(row: Beside) -> str | None:
    return f"{100 * (row.b / row.a - 1):+.0f}%" if row.a and row.b is not None else None


def _questions(one: Comparison, everything: bool) -> Grid:
    rows: list[tuple[Cell, ...]] = []
    hidden = 0
    for what, changed in (("won", one.won), ("lost", one.lost)):
        shown = changed if everything else changed[:LISTED]
        hidden += len(changed) - len(shown)
        rows += [(what, row.question_id, row.kind, points(row.a, False), points(row.b, False), row.text) for row in shown]
    return Grid(
        title=f"questions that {one.b.name} won and lost against {one.a.name} on {one.b.task}",
        columns=("", "question", "kind", one.a.name, one.b.name, "text"),
        rows=tuple(rows),
        notes=(f"{hidden} more; --all lists them.",) if hidden else (),
        left=3,
    )
