"""One line per result: task, data set, result, and its place among the published rows of one table and one memory budget.

A place is given together with the number of rows. A run has a place only where its badge is `same` or `similar`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from memeval.results.beside import Beside, beside, in_unit, notes_beside
from memeval.results.grid import Grid
from memeval.results.leaderboard import printed, wanted
from memeval.results.load import Runs
from memeval.results.published import Published, boards, published
from memeval.results.run_table import LEGEND

PLACE = (
    "place: among the rows of the same table, column and budget. The number of rows is the size of the table, not a rank."
)
AVERAGE = "in brackets: the mean of a row where its printed average differs by more than rounding."
PLACED = (
    "place: where the run would be among the published rows of its table, column and budget; in brackets, what its 95 % "
    "interval leaves open. Only a run that is same or similar has one."
)


def card(runs: Runs | None = None, methods: Sequence[str] = ()) -> tuple[Grid, ...]:
    """Without runs, the published results on tasks that memeval has; with runs, those on their tasks, and a table of the
    runs. methods: keep the published rows whose method contains one of these texts."""
    places = [place for run in runs or () for board in boards().values() if (place := beside(run, board)) is not None]
    tasks = {place.column.task for place in places}
    rows = [row for row in published() if row.task and row.measure == "performance"]
    shown = _published([row for row in wanted(rows, methods) if runs is None or row.task in tasks])
    return (shown,) if runs is None else (shown, _measured(runs, places))


def _published(rows: Sequence[Published]) -> Grid:
    body = tuple(
        (
            row.task,
            row.column,
            row.method,
            f"{int(row.budget):,}" if row.budget else None,
            printed(row),
            f"{row.metric}{', %' if row.unit == 'percent' else ''}",
            _place_of(row),
            f"{row.source} {row.table}".strip(),
        )
        for row in rows
    )
    return Grid(
        title="Published results",
        columns=("task", "data set", "method", "budget", "result", "metric", "place", "printed in"),
        rows=body,
        notes=(PLACE, AVERAGE, *(LEGEND[mark] for mark in dict.fromkeys(row.mark for row in rows if row.mark))),
        left=8,
        data=tuple({**row.record(), "mark": row.mark or None, "place": _place_of(row)} for row in rows),
    )


def _place_of(row: Published) -> str | None:
    """`2 of 5`. None for a row that is in no board: such rows come from sources with different protocols."""
    peers = _peers(row, row.budget)
    return f"{_place(row.number, peers)} of {len(peers)}" if row.board else None


def _peers(row: Published, budget: str) -> list[Published]:
    """The published rows in the same column with this budget."""
    return _by_place().get((row.board, row.column, budget), [])


@functools.cache
def _by_place() -> Mapping[tuple[str, str, str], list[Published]]:
    found: dict[tuple[str, str, str], list[Published]] = {}
    for row in published():
        if row.measure == "performance":
            found.setdefault((row.board, row.column, row.budget), []).append(row)
    return found


def _place(value: float, peers: Sequence[Published]) -> int:
    return 1 + sum(other.number > value for other in peers)


def _measured(runs: Runs, places: Sequence[Beside]) -> Grid:
    columns = ("task", "data set", "agent", "model", "budget", "result", "metric", "n", "badge", "place", "beside")
    body = []
    for place in places:
        run, column = place.run, place.column
        budget = run.summary.answer_budget
        facts = (run.task, column.column, run.agent, run.summary.model, f"{budget:,}" if budget else None, place.text)
        source = f"{column.source} {column.table}".strip()
        body.append((*facts, place.metric, place.average.n, place.badge.level, _placed(place), source))
    trained = dict.fromkeys(place.run.summary.trained_on.mark for place in places if place.run.summary.trained_on)
    return Grid(
        title="Measured with memeval, in the order of the runs",
        columns=columns,
        rows=tuple(body),
        notes=(PLACED, *notes_beside(runs, places), *(LEGEND[mark] for mark in trained)),
        left=len(columns),
        data=tuple({**place.record(), "place": _placed(place)} for place in places),
    )


def _placed(place: Beside) -> str:
    """The place that a run would have, with its interval: `2 (1 to 3) beside 4 published`."""
    average, unit = place.average, place.column.unit
    if place.badge.level == "different" or average.value is None or average.low is None or average.high is None:
        return "not placed"
    peers = _peers(place.column, place.budget)
    if not peers:
        return f"no published row at {f'budget {place.budget}' if place.budget else 'no budget'}"
    best, middle, worst = (
        _place(float(in_unit(number, unit)), peers) for number in (average.high, average.value, average.low)
    )
    return f"{middle}{f' ({best} to {worst})' if best < worst else ''} beside {len(peers)} published"
