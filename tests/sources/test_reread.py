"""Contexts that are parsed again when they are built."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from memeval.datafiles.arrays import JsonArray
from memeval.datafiles.files import DataFile
from memeval.datafiles.lines import JsonLines
from memeval.errors import UsageError
from memeval.sources.reread import Reread
from memeval.task import Context, Evidence, Question, Unit

ROWS = [{"name": "a", "asks": ["a1", "a2"]}, {"name": "b", "asks": []}, {"name": "c", "asks": ["c1"]}]


def parse(row: Any, place: str, number: int) -> Context:
    questions = tuple(Question(name, "Why?", ("so",), evidence=(Evidence(place),)) for name in row["asks"])
    return Context(row["name"], (Unit(f"{place} is {number}"),), questions)


def lines(folder: Path, rows: list[dict[str, Any]], used: str = "by {place}") -> Reread:
    (folder / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    return Reread(JsonLines(DataFile("a.jsonl", folder / "a.jsonl.gz")), parse, "name", used)


def test_contexts_are_built_as_they_were_checked(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    array = Reread(JsonArray(DataFile("a.json", tmp_path / "a.json")), parse, "name")
    for stored, record in ((array, f"{tmp_path}/a.json: record"), (lines(tmp_path, ROWS), f"{tmp_path}/a.jsonl.gz: line")):
        found = list(stored.contexts())
        assert [context.units[0].text for context in found] == [f"{record} {n} is {n}" for n in (1, 2, 3)]
        assert [stored.build(context.id) for context in reversed(found)] == found[::-1]
        assert {name: [item.id for item in asked] for name, asked in stored.questions.items()} == {
            row["name"]: row["asks"] for row in ROWS
        }
        assert not any(item.evidence for asked in stored.questions.values() for item in asked)


def test_ids_that_come_twice(tmp_path: Path) -> None:
    place = f"{tmp_path / 'a.jsonl.gz'}: line"
    for row, used, message in (
        ({"name": "b", "asks": []}, "by {place}", f"name 'b' was already used by {place} 2"),
        ({"name": "b\n", "asks": ["a2"]}, "in line {number}", "question id 'a2' was already used in line 1"),
    ):
        with pytest.raises(UsageError) as caught:
            list(lines(tmp_path, [*ROWS, row], used).contexts())
        assert str(caught.value) == f"{place} 4: {message}"


def test_a_file_that_changes_while_in_use(tmp_path: Path) -> None:
    stored = lines(tmp_path, ROWS)
    list(stored.contexts())
    lines(tmp_path, [{**row, "name": "d"} for row in ROWS])
    with pytest.raises(UsageError, match="line 3: the file was changed while it was in use; start again"):
        stored.build("c")
