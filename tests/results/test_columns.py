"""Tables: what is equal in all rows is said once above, and a terminal's width is kept."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import preloaded
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memeval.results.columns import columns, width

HEADER = ["synth-10k", "f1", "n", "failed", "model", "status"]
ROWS = [["bm25", "42.0", 128, 0, "offline", "complete"], ["none", "1.0", 128, 0, "offline", "complete"]]
ALIGN = ["left", *["right"] * 3, "left", "left"]
KEEP = ("synth-10k", "f1", "status")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_what_is_equal_in_all_rows_becomes_a_line_above() -> None:
    above, header, _, *body = columns(HEADER, ROWS, ALIGN, keep=KEEP).splitlines()
    assert above == "all rows: n 128, failed 0, model offline"
    assert cells(header) == ["synth-10k", "f1", "status"]
    assert [cells(line) for line in body] == [["bm25", "42.0", "complete"], ["none", "1.0", "complete"]]


def test_one_row_keeps_all_its_columns() -> None:
    header, _, row = columns(HEADER, ROWS[:1], ALIGN, keep=KEEP).splitlines()
    assert (cells(header), cells(row)) == (HEADER, [str(cell) for cell in ROWS[0]])


CELLS = st.integers(1, 12).map(lambda size: "abcdefghijkl"[:size])


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine is no fault
@given(st.data())
def test_no_line_exceeds_the_terminal_and_no_cell_is_lost(data: st.DataObject) -> None:
    number = data.draw(st.integers(2, 8))
    header = [f"h{n}" for n in range(number)]
    rows = data.draw(st.lists(st.lists(CELLS, min_size=number, max_size=number), min_size=1, max_size=4))
    limit = data.draw(st.integers(40, 200))  # two columns of the longest cells fit 40 characters
    text = columns(header, rows, ["left"] * number, keep=header, width=limit)
    assert max(map(len, text.splitlines())) <= limit
    tables = [[cells(line) for line in part.splitlines()] for part in text.split("\n\n")]
    assert [table[0][0] for table in tables] == ["h0"] * len(tables)  # each begins with the first column
    joined = [tables[0][row][:1] + [cell for table in tables for cell in table[row][1:]] for row in range(len(rows) + 2)]
    assert joined[0] == header
    assert joined[2:] == rows


def test_a_pipe_has_no_width(tmp_path: Path) -> None:
    assert width(io.StringIO()) is None
    with (tmp_path / "out").open("w") as file:
        assert width(file) is None


@pytest.mark.parametrize("agents", [["bm25"], ["bm25", "none"]])
@pytest.mark.slow
def test_a_run_on_a_narrow_terminal(tmp_path: Path, agents: list[str]) -> None:
    chosen = [word for agent in agents for word in ("--agent", agent)]
    words = [
        *("run", *chosen, "--task", "synth-10k", "--limit", "2", "--quiet"),
        *("--model", "offline", "--runs-dir", str(tmp_path)),
    ]
    environment = {**os.environ, "COLUMNS": "60", "MEMEVAL_CACHE": str(tmp_path / "cache")}
    process, shown = preloaded.on_terminal(words, "stdout", environment, stderr=subprocess.DEVNULL)
    assert process.returncode == 0
    lines = shown.splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert max(map(len, tables)) <= 60
    assert cells(tables[0])[:2] == ["synth-10k", "f1"]
    assert any(line.startswith("all rows: ") for line in lines) is (len(agents) == 2)
