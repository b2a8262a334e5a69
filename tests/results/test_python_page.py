"""docs/python.md says what is there, and its code runs."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import memeval
from memeval.results.frames import COLUMNS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "python.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    exec("\n".join(blocks), {})
    printed = capsys.readouterr().out
    assert "| bm25" in printed
    assert "two-hop" in printed
    assert "told apart" in printed  # eight questions show little


@pytest.mark.parametrize("level", COLUMNS)
def test_every_column_is_on_the_page(level: str) -> None:
    tables = PAGE.partition("## Tables")[2].partition("\n## ")[0]
    (cell,) = re.findall(rf"^\| `{level}` \| (.*) \|$", tables, re.MULTILINE)
    assert list(COLUMNS[level]) == re.findall(r"`(\w+)`", cell)


def test_every_function_is_there() -> None:
    table = PAGE.partition("## Every verb as a function")[2]
    names = re.findall(r"`(memeval\.[\w.]+)`", table)
    assert len(names) > 12
    for name in names:
        made = pkgutil.resolve_name(name)
        assert made.__doc__, name


def test_every_attribute_is_on_the_page(make_run: Callable[..., Path]) -> None:
    run = memeval.find_run(make_run([1.0]))
    (table,) = re.findall(r"\| attribute \| what it is \|\n(.*?)\n\n", PAGE, re.DOTALL)
    named = re.findall(r"`(\w+)[`(]", "".join(line.split(" | ")[0] for line in table.splitlines()))
    assert {name for name in named if not hasattr(run, name)} == set()
    assert {"values", "questions", "summary", "when"} <= set(named)
