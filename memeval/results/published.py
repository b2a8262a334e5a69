"""Numbers that papers and reports have printed: the rows of leaderboards/published.csv, and the tables that they are from.

A printed average is shown with the mean of its row, because the two are not always equal.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from statistics import fmean
from typing import Literal

import msgspec

from memeval import cards, contamination
from memeval.cards import TaskCard
from memeval.errors import UsageError, suggest
from memeval.typed import typed
from memeval.yamlfile import at_key, read_yaml

FOLDER = "leaderboards"


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """One printed number.

    board: the table that memeval shows it in, or empty. task: of memeval, where it has the data set. model: the name under
    which the model's training data are looked up. budget: tokens of memory that the answer was given from. metric: the
    published rule in words; rule: the equivalent metric of memeval. value: as printed, in `unit`. average_of: the columns
    behind an average. source, table: where it was printed. protocol: how it was measured. caveats: reasons against comparing
    it.
    """

    board: str
    task: str
    dataset: str
    length: str
    method: str
    model: str
    budget: str
    measure: Literal["performance", "memory"]
    metric: str
    rule: str
    value: str
    unit: Literal["percent", "fraction", "thousand tokens"]
    average_of: str
    paper: str
    source: str
    table: str
    protocol: str
    caveats: str

    @property
    def number(self) -> float:
        return float(self.value)

    @property
    def column(self) -> str:
        return f"{self.dataset} {self.length}".strip()

    @property
    def parts(self) -> list[str]:
        """The columns behind an average."""
        return self.average_of.split(";") if self.average_of else []

    @property
    def row(self) -> tuple[str, str]:
        """Method and budget."""
        return self.method, self.budget

    def record(self) -> dict[str, object]:
        """The fields for CSV and JSON; empty ones are None."""
        return {**{name: getattr(self, name) or None for name in self.__struct_fields__}, "value": self.number}

    @property
    def mark(self) -> str:
        """`leaked` or `in-domain` where the row's model is known to be trained on the questions or similar ones, else ''."""
        return trained(self.task, self.model) if self.task and self.model and self.measure == "performance" else ""


class Different(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cells with which no run can be compared: those of some data sets, or of some agents."""

    why: str
    datasets: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()


class Board(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published table, and how a run is compared with it; boards.yaml says what the keys mean."""

    name: str = ""
    title: str
    protocol: str = ""
    metric: str = ""
    questions: int = 0
    models: dict[str, str] = {}
    agents: dict[str, dict[str, str]] = {}
    different: tuple[Different, ...] = ()
    notes: tuple[str, ...] = ()


@functools.cache
def published() -> tuple[Published, ...]:
    """All rows; those of one table are in the order of its columns. Raises UsageError, with file and line, for an invalid
    row."""
    path = cards.bundled(FOLDER) / "published.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(typed(row, Published, f"{path}:{number}") for number, row in enumerate(csv.DictReader(file), start=2))


@functools.cache
def boards() -> Mapping[str, Board]:
    """name -> table, in the order of the file."""
    path = cards.bundled(FOLDER) / "boards.yaml"
    return {
        name: typed({"name": name, **data}, Board, functools.partial(at_key, path), name)
        for name, data in read_yaml(path).items()
    }


def board(name: str) -> Board:
    """The table of this name. Raises UsageError for a name that no table has."""
    found = boards().get(name)
    if found is None:
        known = (*boards(), "card")
        raise UsageError(f"no leaderboard '{name}'{suggest(name, known)} (there are {', '.join(known)})")
    return found


@functools.cache
def trained(task: str, model: str) -> str:
    """The mark of a model's number on a task: the task's card names the models that were trained on it."""
    card = cards.find(TaskCard, task.partition("@")[0])
    found = contamination.of_model(card, model) if card else None
    return found.mark if found else ""


def row_mean(average: Published) -> float | None:
    """The plain mean of the printed numbers behind an average. None where one of them is not printed, or where the row is
    not an average."""
    cells = parts_of(average)
    return fmean(cell.number for cell in cells) if cells and len(cells) == len(average.parts) else None


def clean_mean(average: Published) -> float | None:
    """`row_mean` without the numbers that are marked as trained on; None where no number is left."""
    cells = [cell.number for cell in parts_of(average) if not cell.mark]
    return fmean(cells) if cells and row_mean(average) is not None else None


def differs(average: Published) -> bool:
    """Whether a printed average differs from its row's mean by more than rounding explains: half a unit of the last digit
    for the mean of rounded numbers, and as much for the average itself."""
    mean = row_mean(average)
    if mean is None:
        return False
    coarsest = min(digits(cell.value) for cell in (average, *parts_of(average)))
    return abs(mean - average.number) > 10.0**-coarsest + 1e-9


def parts_of(average: Published) -> list[Published]:
    """The printed numbers, in the same row, that an average is made of."""
    same = _rows()[average.board, average.row, average.measure]
    return [same[part] for part in average.parts if part in same]


@functools.cache
def _rows() -> Mapping[tuple[str, tuple[str, str], str], dict[str, Published]]:
    """(table, row, measure) -> column -> its number"""
    found: dict[tuple[str, tuple[str, str], str], dict[str, Published]] = {}
    for row in published():
        found.setdefault((row.board, row.row, row.measure), {})[row.column] = row
    return found


def digits(printed: str) -> int:
    """The number of decimal places."""
    return len(printed.partition(".")[2])
