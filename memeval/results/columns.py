"""Tables in columns that fit the terminal. Written to a pipe or a file they are as wide as they need to be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import TextIO

from tabulate import tabulate

from memeval.results.escape import plain


def width(out: TextIO) -> int | None:
    """The width in characters of the terminal behind `out`; None where there is no terminal. The variable COLUMNS takes
    precedence."""
    try:
        if not out.isatty():
            return None
        found = os.get_terminal_size(out.fileno()).columns
    except (OSError, ValueError):
        return None
    return shutil.get_terminal_size().columns if "COLUMNS" in os.environ or not found else found


def columns(
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    align: Sequence[str],
    *,
    keep: Sequence[str] = (),
    width: int | None = None,
) -> str:
    """Format a table. With two rows or more, a column with the same value in all rows moves to one line above the table,
    unless `keep` names it. Columns that exceed the width follow in further tables, each with the first column repeated."""
    numbers = range(len(header))
    equal = {number for number in numbers if len(rows) > 1 and len({str(row[number]) for row in rows}) == 1}
    equal -= {number for number in numbers if header[number] in keep or not str(rows[0][number])}
    left = [number for number in numbers if number not in equal]
    lines = [f"all rows: {', '.join(f'{header[number]} {rows[0][number]}' for number in sorted(equal))}"] if equal else []
    return "\n".join([*lines, "\n\n".join(_parts(header, rows, align, left, width))])


def _parts(
    header: Sequence[str], rows: Sequence[Sequence[object]], align: Sequence[str], numbers: Sequence[int], width: int | None
) -> list[str]:
    """The table, split into several where it is too wide."""

    def drawn(some: Sequence[int]) -> str:
        body = [[plain(str(row[number])) for number in some] for row in rows]
        return tabulate(
            body,
            [plain(header[number]) for number in some],
            tablefmt="github",
            colalign=[align[n] for n in some],
            disable_numparse=True,
        )

    first, *rest = numbers
    parts: list[list[int]] = []
    for number in rest:
        if parts and (width is None or len(drawn([first, *parts[-1], number]).splitlines()[1]) <= width):
            parts[-1].append(number)
        else:
            parts.append([number])
    return [drawn([first, *part]) for part in parts or [[]]]
