"""A table of plain cells, and its writers for a terminal, Markdown, LaTeX (booktabs), CSV, JSON and HTML.

Cells may hold any text; each writer escapes them (escape.py).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from memeval.results.columns import columns as in_columns
from memeval.results.escape import csv_cell, latex, markdown, plain

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["table", "md", "latex", "csv", "json", "html"]
FORMS: tuple[Form, ...] = get_args(Form)
Cell = str | int | float | None
"""None: not known. It is `-` in text, empty in CSV, null in JSON."""


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """A table. columns: their names; rows: one cell per column each. notes: lines below the table. left: how many columns
    are aligned left; the others are numbers. data: records for CSV and JSON in place of the rows, where a cell shows more
    than one value; all have the same keys.
    """

    title: str = ""
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    left: int = 1
    data: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Cell]], title: str = "", notes: Sequence[str] = (), left: int = 1) -> Grid:
        """A table from rows, each column -> cell: at least one row, and all with the same columns."""
        cells = tuple(tuple(row.values()) for row in rows)
        return cls(title=title, columns=tuple(rows[0]), rows=cells, notes=tuple(notes), left=left)

    def records(self) -> list[dict[str, Any]]:
        """`data`, or the rows as objects."""
        return list(self.data) or [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def __str__(self) -> str:
        return render(self)

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows."""
        return render(self, "html")

    def to_pandas(self) -> pd.DataFrame:
        """The records as a frame."""
        import pandas as pd  # takes a second

        return pd.DataFrame(self.records(), columns=None if self.records() else list(self.columns))


def render(grid: Grid, form: Form = "table", width: int | None = None) -> str:
    """The table as text, without a final line end. width: of the terminal in characters, None for no limit; a wider table is
    split into several."""
    if form == "table":
        return _terminal(grid, width)
    return _WRITERS[form](grid)


def render_all(grids: Sequence[Grid], form: Form = "table", width: int | None = None) -> str:
    """Several tables: one below the other, a JSON array, or one CSV with the columns of all."""
    if form == "json":
        return _json([_object(grid) for grid in grids])
    if form == "csv":
        return _csv([record for grid in grids for record in grid.records()], grids[0].columns if grids else ())
    return "\n\n".join(render(grid, form, width) for grid in grids)


def shown(cell: Cell) -> str:
    """The text of a cell in forms for people."""
    match cell:
        case None | "":
            return "-"
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:,.4g}"
    return cell


def _align(grid: Grid) -> list[str]:
    return ["left" if number < grid.left else "right" for number in range(len(grid.columns))]


def _texts(grid: Grid, escape: Callable[[str], str]) -> list[list[str]]:
    return [[escape(shown(cell)) for cell in row] for row in grid.rows]


def _terminal(grid: Grid, width: int | None) -> str:
    table = in_columns(grid.columns, _texts(grid, plain), _align(grid), keep=grid.columns, width=width)
    notes = "\n".join(map(plain, grid.notes))
    return "\n".join(filter(None, (plain(grid.title), table))) + (f"\n\n{notes}" if notes else "")


def _tabulated(grid: Grid, escape: Callable[[str], str], form: str) -> str:
    from tabulate import tabulate

    header, align = [escape(name) for name in grid.columns], _align(grid) if grid.rows else None
    return tabulate(_texts(grid, escape), header, tablefmt=form, colalign=align, disable_numparse=True)


def _markdown(grid: Grid) -> str:
    notes = "\n".join(f"- {markdown(note)}" for note in grid.notes)
    title = f"**{markdown(grid.title)}**" if grid.title else ""
    return "\n\n".join(filter(None, (title, _tabulated(grid, markdown, "pipe"), notes)))


def _latex(grid: Grid) -> str:
    """A `table` that needs the package booktabs; the notes are below it in small letters."""

    def line(cells: Sequence[str]) -> str:
        return f"{' & '.join(cells)} \\\\"

    body = [line(row) for row in _texts(grid, latex)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            *([rf"\caption{{{latex(grid.title)}}}"] if grid.title else []),
            rf"\begin{{tabular}}{{{''.join(side[0] for side in _align(grid))}}}",
            r"\toprule",
            line([latex(name) for name in grid.columns]),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\footnotesize {latex(note)}" for note in grid.notes),
            r"\end{table}",
        ]
    )


def _html(grid: Grid) -> str:
    """A `figure` with the table and its notes."""
    from html import escape

    notes = "\n".join(f"<li>{escape(plain(note))}</li>" for note in grid.notes)
    return "\n".join(
        [
            "<figure>",
            *([f"<figcaption>{escape(plain(grid.title))}</figcaption>"] if grid.title else []),
            _tabulated(grid, plain, "html"),  # which escapes cells itself
            *([f"<ul>\n{notes}\n</ul>"] if notes else []),
            "</figure>",
        ]
    )


def _csv(records: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """CSV with every text quoted, so that a spreadsheet with another separator finds the same cells."""
    names = list(dict.fromkeys(name for record in records for name in record)) or list(columns)
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow([csv_cell(name) for name in names])
    for record in records:
        writer.writerow([_plain_cell(record.get(name)) for name in names])
    return out.getvalue().removesuffix("\n")


def _plain_cell(value: Any) -> str | int | float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, list | tuple):
        value = "; ".join(map(str, value))
    return csv_cell(str(value))


def _object(grid: Grid) -> dict[str, Any]:
    return {"title": grid.title, "rows": grid.records(), "notes": list(grid.notes)}


def _json(data: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode()


_WRITERS: dict[str, Callable[[Grid], str]] = {
    "md": _markdown,
    "latex": _latex,
    "html": _html,
    "csv": lambda grid: _csv(grid.records(), grid.columns),
    "json": lambda grid: _json(_object(grid)),
}
