"""docs/run-folder.md holds the schema of what is written and printed."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import msgspec

from memeval.records.summary import Summary
from memeval.runs import notes

PAGE = Path(__file__).parents[2] / "docs" / "run-folder.md"


def test_the_documented_schema_is_that_of_the_type() -> None:
    block = re.search(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    remedy = "write json.dumps(msgspec.json.schema(Summary), indent=1) into docs/run-folder.md"
    assert json.loads(block[1]) == json.loads(msgspec.json.encode(msgspec.json.schema(Summary))), remedy


def test_every_file_of_a_run_folder_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in ("manifest.json", "questions.jsonl", "samples.jsonl", "texts.jsonl", "events.jsonl", "operations.jsonl"):
        assert f"`{name}`" in text


def test_every_note_is_described() -> None:
    text = PAGE.read_text(encoding="utf-8")
    codes = re.findall(r'Note\(\s*"([a-z-]+)"', inspect.getsource(notes))
    assert len(codes) > 30
    assert [code for code in codes if f"`{code}`" not in text] == []
