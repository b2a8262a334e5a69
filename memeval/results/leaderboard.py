"""Published tables, with runs in a table below: never sorted together, and each run with its badge.

leaderboard("memocr-table1", load_runs("runs"))     Grids: render_all(grids, "md")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from msgspec.structs import replace

from memeval.errors import UsageError, suggest
from memeval.results.badge import LEVELS
from memeval.results.beside import Beside, beside, in_unit, notes_beside
from memeval.results.grid import Cell, Grid
from memeval.results.layout import Key, layout
from memeval.results.load import Runs
from memeval.results.published import Board, Published, board, clean_mean, differs, digits, parts_of, published, row_mean
from memeval.results.run_table import LEGEND, MARKS
from memeval.results.suites import mean_of


def leaderboard(name: str, runs: Runs | None = None, methods: Sequence[str] = ()) -> tuple[Grid, ...]:
    """A published table; its memory sizes, where it has some; and the results of runs on its tasks. methods: keep the
    published rows whose method contains one of these texts. Runs of the offline model are left out; a note says so.

    Raises UsageError for a name that no table has, and where no method contains a text.
    """
    found = board(name)
    rows = wanted([row for row in published() if row.board == name], methods)
    grids = [_published(found, [row for row in rows if row.measure == "performance"], found.title)]
    memory = [row for row in rows if row.measure == "memory"]
    if memory:
        sizes = _published(found, memory, "Memory, in thousand tokens of Qwen3")
        grids.append(replace(sizes, notes=tuple(note for note in sizes.notes if note not in grids[0].notes)))
    if runs is not None:
        grids += _measured(found, runs, bool(memory))
    return tuple(grids)


def wanted(rows: Sequence[Published], methods: Sequence[str]) -> list[Published]:
    """The rows whose method contains one of these texts; without texts, all rows. Raises UsageError where none does."""
    found = [row for row in rows if not methods or any(text.lower() in row.method.lower() for text in methods)]
    if methods and rows and not found:
        known = dict.fromkeys(row.method for row in rows)
        raise UsageError(
            f"--method {methods[0]}: no such published row{suggest(methods[0], known)} (without it, all are shown)"
        )
    return found


# -- what was published -----------------------------------------------------------------------------------------------


def _published(found: Board, rows: Sequence[Published], title: str) -> Grid:
    """Rows as printed, methods x data sets."""
    columns = _columns(rows)
    budgets = any(row.budget for row in rows)
    marked = {row.column for row in rows if any(cell.mark for cell in parts_of(row))}
    body = []
    for key in dict.fromkeys(row.row for row in rows):
        cells = {row.column: row for row in rows if row.row == key}
        body.append((key[0], *([int(key[1])] if budgets else []), *_cells(columns, cells, marked)))
    return Grid(
        title=title,
        columns=("method", *(["budget"] if budgets else []), *_headings(columns, marked)),
        rows=tuple(body),
        notes=tuple(_published_notes(found, rows, bool(marked))),
        data=tuple(map(_data, rows)),
    )


def _columns(rows: Sequence[Published]) -> list[str]:
    """The columns of the rows, in the order of the row that has most of them."""
    counts = Counter(row.row for row in rows)
    return list(dict.fromkeys(row.column for row in sorted(rows, key=lambda row: -counts[row.row])))


def _headings(columns: Sequence[str], marked: set[str]) -> Iterator[str]:
    for column in columns:
        yield column
        if column in marked:
            yield f"{column} without † ‡"


def _cells(columns: Sequence[str], cells: dict[str, Published], marked: set[str]) -> Iterator[Cell]:
    for column in columns:
        row = cells.get(column)
        yield None if row is None else printed(row)
        if column in marked:
            mean = clean_mean(row) if row is not None else None
            yield None if row is None or mean is None else f"{mean:.{digits(row.value)}f}"


def printed(row: Published) -> str:
    """A number as printed, with its mark; an average that differs from the mean of its row has that mean in brackets."""
    mark = f" {MARKS[row.mark]}" if row.mark else ""
    mean = row_mean(row) if differs(row) else None
    ours = "" if mean is None else f" (row mean {mean:.{digits(row.value)}f})"
    return f"{row.value}{ours}{mark}"


def _published_notes(found: Board, rows: Sequence[Published], marked: bool) -> Iterator[str]:
    sources = dict.fromkeys(f"{row.paper}, {row.source}, {row.table}".rstrip(", ") for row in rows)
    yield f"Printed in: {'; '.join(sources)}."
    averages = dict.fromkeys((row.column, ", ".join(row.parts)) for row in rows if row.average_of)
    for column, parts in averages:
        yield f"{column}: the plain mean of {parts}, each counting the same."
    if any(map(differs, rows)):
        yield "Where a printed average is not the mean of its row (by more than rounding), ours is in brackets."
    if marked:
        yield "Without † ‡: our mean of a row's cells that are not marked; blank where none is left."
    yield from (LEGEND[mark] for mark in dict.fromkeys(row.mark for row in rows) if mark)
    yield from found.notes
    yield from _caveats(rows)


def _caveats(rows: Sequence[Published]) -> Iterator[str]:
    """Each protocol and caveat once, with the data sets or methods to which it applies, or `all rows`."""
    about: dict[str, list[Published]] = {}
    for row in rows:
        for text in filter(None, f"{row.protocol}; {row.caveats}".split("; ")):
            about.setdefault(text, []).append(row)
    of_methods: dict[str, list[str]] = {row.method: [] for row in rows}
    lines: dict[str, list[str]] = {}
    for text, of in about.items():
        methods = {row.method for row in of}
        of_these = [row for row in rows if row.method in methods and not row.average_of]
        some = _limited_to(of, of_these)
        if some:
            lines.setdefault(", ".join(some), []).append(text)
        elif len(methods) == len(of_methods):
            lines.setdefault("all rows", []).append(text)
        else:
            for method in methods:
                of_methods[method].append(text)
    for found in dict.fromkeys(tuple(texts) for texts in of_methods.values() if texts):
        lines[", ".join(method for method, texts in of_methods.items() if tuple(texts) == found)] = list(found)
    return (f"{subject}: {'; '.join(texts)}." for subject, texts in lines.items())


def _limited_to(some: Sequence[Published], rows: Sequence[Published]) -> list[str]:
    """The data sets, or else the columns, of `some`, if `rows` have further ones; else nothing."""
    for name in ("dataset", "column"):
        found = dict.fromkeys(getattr(row, name) for row in some if not row.average_of)
        if found and len(found) < len({getattr(row, name) for row in rows}):
            return list(found)
    return []


def _data(row: Published) -> dict[str, object]:
    differing = differs(row) if row.average_of else None
    ours = {"printed": row.value, "row_mean": row_mean(row), "differs": differing}
    return {**row.record(), **ours, "mark": row.mark or None}


# -- what was measured ------------------------------------------------------------------------------------------------


def _measured(found: Board, runs: Runs, sizes: bool) -> Iterator[Grid]:
    """Runs on the tasks of a table: agents x data sets, with the table's averages. sizes: add a table of memory sizes."""
    rows = [row for row in published() if row.board == found.name and row.measure == "performance"]
    here = {run: place for run in runs if (place := beside(run, found)) is not None}
    keys = layout(Runs(here), rows=("agent", "model", "reader", "budget"))
    columns = _columns([row for row in rows if row.task or row.average_of])
    averages = {row.column: row.parts for row in rows if row.average_of}
    lines: dict[Key, dict[str, Beside]] = {}
    for (row, _), run in keys.runs.items():
        lines.setdefault(row, {})[here[run].column.column] = here[run]
    metrics = ", ".join(dict.fromkeys(place.metric for place in here.values()))
    notes = [f"Metric: {metrics}, with 95 % intervals; an average is the plain mean of its tasks."] if here else []
    yield Grid(
        title="Measured with memeval, in the order of the runs",
        columns=(*keys.rows, "badge", *columns),
        rows=tuple((*key, _badges(line), *_line(line, columns, averages)) for key, line in lines.items()),
        notes=(*notes, *notes_beside(runs, here.values())),
        left=len(keys.rows) + 1,
        data=tuple(place.record() for place in here.values()),
    )
    if sizes and here:
        counted = dict.fromkeys(place.run.summary.stream_tokens.tokenizer for place in here.values())
        yield Grid(
            title="Measured memory, in thousand tokens",
            columns=(*keys.rows, *columns),
            rows=tuple((*key, *_sizes(line, columns, averages)) for key, line in lines.items()),
            notes=(f"What the agent holds when it is asked, in tokens of {', '.join(counted)}.",),
            left=len(keys.rows),
        )


def _line(places: Mapping[str, Beside], columns: Sequence[str], averages: Mapping[str, Sequence[str]]) -> Iterator[Cell]:
    """Numbers with intervals. An average needs complete runs in all of its columns, scored by the table's own metric."""
    for column in columns:
        parts = [places[part] for part in averages.get(column, ()) if part in places]
        parts = [part for part in parts if part.run.summary.status == "complete" and part.by_rule]
        whole = parts and len(parts) == len(averages[column])
        if column in places:
            yield places[column].text
        elif whole and (mean := mean_of([part.average for part in parts]).value) is not None:
            yield in_unit(mean, parts[0].column.unit)
        else:
            yield None


def _sizes(places: Mapping[str, Beside], columns: Sequence[str], averages: Mapping[str, Sequence[str]]) -> Iterator[Cell]:
    """The mean memory size over questions in each column, in thousand tokens."""
    held = {column: place.run.summary.memory_tokens.mean for column, place in places.items()}
    for column in columns:
        parts = [held.get(part) for part in averages.get(column, (column,))]
        known = [size for size in parts if size is not None]
        yield f"{fmean(known) / 1000:.2f}" if len(known) == len(parts) else None


def _badges(places: Mapping[str, Beside]) -> str:
    """The badge of a line, or each of its badges with the columns that have it."""
    found = {level: [column for column, place in places.items() if place.badge.level == level] for level in LEVELS}
    several = {level: columns for level, columns in found.items() if columns}
    return next(iter(several)) if len(several) == 1 else "; ".join(f"{k}: {', '.join(v)}" for k, v in several.items())
