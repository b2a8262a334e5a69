"""Reading a JSONL line by line: the same as json.loads of each, whatever the block size; any line again by its place."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.datafiles import content
from memeval.datafiles.files import DataFile
from memeval.datafiles.lines import JsonLines
from memeval.errors import UsageError


def lines(folder: Path, raw: bytes, name: str = "a.jsonl", mark: str = ": line ") -> JsonLines:
    path = folder / name
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return JsonLines(DataFile(name.removesuffix(".gz"), path), mark)


def one_line(read: JsonLines) -> str:
    with pytest.raises(UsageError) as caught:
        list(read.scan())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    rows=st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=8) | st.lists(st.integers()), max_size=6),
    end=st.sampled_from(["\n", "\r\n", "\n \n\n"]),
    last=st.booleans(),
    bom=st.booleans(),
    block=st.integers(1, 40),
    zipped=st.booleans(),
)
def test_like_json_loads_whatever_the_block(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], end: str, last: bool, bom: bool, block: int, zipped: bool
) -> None:
    text = end.join(json.dumps(row, ensure_ascii=False) for row in rows) + (end if last else "")
    raw = (b"\xef\xbb\xbf" if bom and rows else b"") + text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "BLOCK", block * (16 if zipped else 1))
        patch.setattr(content, "STRIDE", 10)
        read = lines(tmp_path_factory.mktemp("lines"), raw, "a.jsonl.gz" if zipped else "a.jsonl")
        found = list(read.scan())
        assert [value for _, value in found] == rows
        step = end.count("\n")
        assert [span.number for span, _ in found] == [1 + step * at for at in range(len(rows))]
        assert read.facts == {
            "name": "a.jsonl",
            "sha256": hashlib.sha256(raw).hexdigest(),
            "bytes": len(raw),
            "records": len(rows),
        }
        assert all(read.at(span) == value for span, value in reversed(found))


def test_damage_is_one_line_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for raw, message in (
        (b'{"a": 1}\n\n{"a": ', "3: not valid JSON"),
        (b"1\n[NaN]", "2: not valid JSON (NaN is no JSON value)"),
        (b'1\n"\xff"', "2: not UTF-8"),
        (b'"\\ud800"', "1: holds half of a surrogate pair"),
    ):
        assert one_line(lines(tmp_path, raw)).startswith(f"{path}: line {message}")
        assert one_line(lines(tmp_path, raw, mark=":")).startswith(f"{path}:{message}")


def test_gzip_cut_and_files_that_go_or_change_while_in_use(tmp_path: Path) -> None:
    read = lines(tmp_path, b'"a"\n"b"\n', "a.jsonl.gz")
    spans = [span for span, _ in read.scan()]
    whole = read.file.path.read_bytes()
    read.file.path.write_bytes(whole[:-6])
    assert "a.jsonl.gz: damaged or cut gzip file" in one_line(read)
    read.file.path.write_bytes(gzip.compress(b'"a"\n["b"\n'))
    with pytest.raises(UsageError, match=r"a\.jsonl\.gz: line 2: not valid JSON"):
        read.at(spans[1])
    read.file.path.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        read.at(spans[1])
    assert "cannot be read" in one_line(read)


def test_only_a_line_and_a_block_are_held(tmp_path: Path) -> None:
    import tracemalloc

    read = lines(tmp_path, (json.dumps("x" * 100_000) + "\n").encode() * 400)
    tracemalloc.start()
    assert sum(1 for _ in read.scan()) == 400
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * content.BLOCK
