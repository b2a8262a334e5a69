"""Tables: values equal in all rows are printed once above, and a table fits the terminal's width."""

from __future__ import annotations

import io
import os
import re
import subprocess
from pathlib import Path
from unicodedata import combining, east_asian_width

import preloaded
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memeval.cli import main
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


def shown(line: str) -> int:
    """Columns of a terminal: two for a wide character, none for one that combines."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in line)


@pytest.mark.parametrize("limit", [None, 40])
def test_wide_characters_take_two_columns(limit: int | None) -> None:
    rows = [["記憶エージェント", "42.0", "ｆ"], ["cafe\u0301", "1.0", "日本語の質問"]]
    text = columns(["agent", "f1", "名前"], rows, ["left", "right", "left"], width=limit)
    tables = [{shown(line) for line in part.splitlines()} for part in text.split("\n\n")]
    assert [len(widths) for widths in tables] == [1] * len(tables)
    assert limit is None or max(map(max, tables)) <= limit


def test_wide_names_are_listed_in_columns(tmp_path: Path) -> None:
    (tmp_path / "記憶.yaml").write_text("extends: bm25\ndescription: wide\n", encoding="utf-8")
    found = CliRunner().invoke(main, ["list", "agents", "--agents-dir", str(tmp_path)]).stdout.splitlines()
    before = [start[1] for line in found if (start := re.match(r"(.*?  )(?:reader|native|control)  ", line))]
    assert len(before) > 5
    assert set(map(shown, before)) == {found[0].index("TRACK")}


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
