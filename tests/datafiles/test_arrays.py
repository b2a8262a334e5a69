"""Reading a JSON array record by record: the same as json.loads, whatever the block size; any record again by its place."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.datafiles import arrays, content
from memeval.datafiles.arrays import JsonArray
from memeval.datafiles.files import DataFile
from memeval.errors import UsageError

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(['\\"]', "\\", "é\U0001f600", "],[", "\\ud83d"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def array(folder: Path, data: bytes | str, name: str = "a.json") -> JsonArray:
    path = folder / name
    raw = data.encode() if isinstance(data, str) else data
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return JsonArray(DataFile(name.removesuffix(".gz"), path))


def one_line(read: JsonArray) -> str:
    with pytest.raises(UsageError) as caught:
        list(read.scan())
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(read.file.path))
    return message


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    rows=st.lists(VALUES, max_size=6),
    block=st.integers(1, 40),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1, 20]),
    bom=st.booleans(),
    zipped=st.booleans(),
)
def test_like_json_loads_whatever_the_block(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Any],
    block: int,
    ascii_only: bool,
    indent: int | None,
    bom: bool,
    zipped: bool,
) -> None:
    folder = tmp_path_factory.mktemp("arrays")
    text = json.dumps(rows, ensure_ascii=ascii_only, indent=indent) + "\n "
    data = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "BLOCK", block * (16 if zipped else 1))
        patch.setattr(content, "STRIDE", 10)
        read = array(folder, data, "a.json.gz" if zipped else "a.json")
        found = list(read.scan())
        assert [value for _, value in found] == rows
        assert [span.number for span, _ in found] == list(range(1, len(rows) + 1))
        assert read.facts == {
            "name": "a.json",
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "records": len(rows),
        }
        for span, value in reversed(found):
            assert json.loads(data[span.start : span.end]) == value
            assert read.at(span) == value


@settings(deadline=None, max_examples=60, derandomize=True)
@given(rows=st.lists(VALUES, min_size=1, max_size=4), block=st.integers(1, 40), data=st.data())
def test_a_cut_file_is_never_taken_for_a_whole_one(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], block: int, data: st.DataObject
) -> None:
    text = json.dumps(rows, ensure_ascii=False).encode()
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "BLOCK", block)
        read = array(tmp_path_factory.mktemp("arrays"), cut)
        with pytest.raises(UsageError):
            list(read.scan())
        assert read.facts == {}


@pytest.mark.parametrize("block", [1, 2, 3])
def test_a_number_that_the_end_of_a_block_cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(content, "BLOCK", block)
    assert [value for _, value in array(tmp_path, "[0.5,1e+2,-2.5E-1,10]").scan()] == [0.5, 100.0, -0.25, 10]


@pytest.mark.parametrize("block", [1, 7, 4096])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'[{"a": 1},\n {"a": ","}, {"a": }]', "record 3: not valid JSON (Expecting value)"),
        (b'[{"a": 1}, {"a": 2', "record 2: not valid JSON"),
        (b'[{"a": 1} {"a": 2}]', "record 2: not valid JSON (expected ',', found '{')"),
        (b"[1, 2,]", "record 3: not valid JSON"),
        (b"[1, 2] 3", "record 3: not valid JSON (something follows the array)"),
        (b"[1, 2", "record 3: not valid JSON (expected ',', found the end of the file)"),
        (b'[1, "\n"]', "record 2: not valid JSON (Invalid control character at)"),
        (b'[1, {"a": NaN}]', "record 2: not valid JSON (NaN is no JSON value)"),
        (b"[1, -Infinity]", "record 2: not valid JSON (-Infinity is no JSON value)"),
        (b'[{"a": "\\ud83d\\ude00"}, {"\\udc00": 1}]', "record 2: holds half of a surrogate pair"),
        (b'[{"a": 1}, {"a": "\xff"}, {"a": 1}]', "record 2: not UTF-8 (byte 18)"),
        (b'[{"a": 1}, "\xc3', "record 2: not UTF-8 (byte 12)"),
        (b"[" * 100_000, "record 1: not valid JSON"),
        (b'{"a": 1}', "expected a JSON array of records"),
        (b"", "expected a JSON array of records"),
    ],
)
def test_damage_is_one_line_with_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, message: str, block: int
) -> None:
    monkeypatch.setattr(content, "BLOCK", block if len(data) < 1000 else 4096)
    assert message in one_line(array(tmp_path, data))


def test_damage_is_found_where_it_is_not_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken record is not read on and on in the hope that more bytes will mend it."""
    monkeypatch.setattr(content, "BLOCK", 1000)
    read = array(tmp_path, '[{"a": 1 "b": 2}, ' + ", ".join(["0"] * 100_000) + "]")
    taken: list[bytes] = []
    blocks = read._content.blocks()
    monkeypatch.setattr(read._content, "blocks", lambda: (taken.append(block) or block for block in blocks))
    assert "record 1: not valid JSON (Expecting ',' delimiter)" in one_line(read)
    assert len(taken) == 1


def test_a_record_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "BLOCK", 64)
    monkeypatch.setattr(arrays, "LIMIT", 200)
    assert "record 2: not valid JSON (a record of more than 200 characters)" in one_line(
        array(tmp_path, json.dumps(["a" * 100, "b" * 1000]))
    )


def test_gzip_cut_broken_in_parts_and_padded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"n": n, "text": hashlib.sha256(bytes([n % 256])).hexdigest() * 20} for n in range(400)]
    data = json.dumps(rows).encode()
    packed = gzip.compress(data)
    path = tmp_path / "b.json.gz"
    read = JsonArray(DataFile("b.json", path))
    path.write_bytes(packed[: len(packed) // 2])
    assert "damaged or cut gzip file" in one_line(read)
    broken = bytearray(packed)
    broken[len(packed) // 2] ^= 0xFF
    path.write_bytes(bytes(broken))
    assert "damaged or cut gzip file" in one_line(read)
    path.write_bytes(b"[]")
    assert "damaged or cut gzip file" in one_line(read)
    path.write_bytes(gzip.compress(data[:1000]) + gzip.compress(data[1000:]) + b"\0" * 100)
    monkeypatch.setattr(content, "BLOCK", 1600)
    monkeypatch.setattr(content, "STRIDE", 5000)
    found = list(read.scan())
    assert [value for _, value in found] == rows
    assert all(read.at(span) == value for span, value in found[::-37])


def test_files_that_go_or_change_while_in_use(tmp_path: Path) -> None:
    read = array(tmp_path, json.dumps([{"a": n} for n in range(20)]))
    spans = [span for span, _ in read.scan()]
    read.file.path.write_text('[{"b": "another"}]')
    with pytest.raises(UsageError, match=r"a\.json: record 2"):
        read.at(spans[1])
    read.file.path.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        read.at(spans[1])
    assert "cannot be read" in one_line(read)


def test_no_more_than_a_record_and_a_block_is_held(tmp_path: Path) -> None:
    """40 MB in records of 100 kB: a few blocks of memory at the peak."""
    import tracemalloc

    row = json.dumps({"text": "x" * 100_000})
    read = array(tmp_path, f"[{', '.join([row] * 400)}]")
    tracemalloc.start()
    assert sum(1 for _ in read.scan()) == 400
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * content.BLOCK
