"""Any file becomes JSON lines once: the same records whatever the container, kept until the file changes, damage named."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.data import records
from memeval.data.files import Found
from memeval.data.records import read
from memeval.errors import UsageError

pytestmark = pytest.mark.usefixtures("records_folder")
ROWS = [{"a": "one"}, {"a": "zwei \u2013 \u00fc"}, {"a": "three"}]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where records are kept, empty."""
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data"


def put(folder: Path, name: str, data: bytes | str) -> Found:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return Found(name.removesuffix(".gz"), path)


def parquet(folder: Path, rows: list[Any]) -> Found:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "a.parquet")
    return Found("a.parquet", folder / "a.parquet")


def rows(file: Found) -> list[Any]:
    return [row for _, row in read(file).rows()]


def old(file: Found) -> None:
    """A file that was changed just now is read again: its time stamp may not show the next change."""
    time.sleep(3 * records.RACY / 1e9)


def one_line(file: Found) -> str:
    with pytest.raises(UsageError) as caught:
        read(file)
    message = str(caught.value)
    assert "\n" not in message
    assert str(file.path) in message
    return message


def test_plain_and_gzipped_files_are_the_same_data(tmp_path: Path) -> None:
    text = json.dumps(ROWS, ensure_ascii=False).encode()
    plain, zipped = read(put(tmp_path, "a.json", text)), read(put(tmp_path, "b/a.json.gz", gzip.compress(text)))
    assert plain.facts == {"name": "a.json", "sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text), "records": 3}
    assert {**zipped.facts, "name": "a.json"} == plain.facts
    assert list(plain.rows())[1] == (f"{tmp_path}/a.json: record 2", ROWS[1])
    assert [row for _, row in zipped.rows()] == ROWS


def test_every_container_has_the_same_records(tmp_path: Path) -> None:
    lines = "\n".join(map(json.dumps, ROWS)) + "\n\n"
    read_ = [
        put(tmp_path, "a.json", "\ufeff" + json.dumps(ROWS)),
        put(tmp_path, "a.jsonl", lines),
        put(tmp_path, "a.jsonl.gz", gzip.compress(("\ufeff" + lines).encode())),
        put(tmp_path, "a.csv", "\ufeffa\n" + "\n".join(row["a"] for row in ROWS)),
        parquet(tmp_path, ROWS),
    ]
    assert all(rows(file) == ROWS for file in read_)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), max_size=5), st.booleans())
def test_whatever_json_holds_comes_back(tmp_path_factory: pytest.TempPathFactory, values: list[Any], blocks: bool) -> None:
    folder = tmp_path_factory.mktemp("any")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMEVAL_CACHE", str(folder / "cache"))
        patch.setattr(records, "BLOCK", 7 if blocks else 1 << 22)
        file = put(folder, "a.jsonl", "\n".join(map(json.dumps, values)))
        found = read(file)
        spans = list(found.spans())
        assert [row for _, row in found.rows()] == values
        assert [found.at(span) for span, _ in reversed(spans)] == values[::-1]


def test_lines_keep_their_numbers(tmp_path: Path) -> None:
    found = read(put(tmp_path, "a.jsonl", '{"a": 1}\n\n  \n{"a": 2}'))
    assert [(place.rpartition(":")[2], row["a"]) for place, row in found.rows()] == [("1", 1), ("4", 2)]
    assert len(found) == 2


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(tmp_path, "a.json", json.dumps(ROWS))
    old(file)
    first = read(file).facts
    (kept,) = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(records, "_to_cache", None)  # nothing is read
        assert read(file).facts == first
        assert rows(file) == ROWS
    put(tmp_path, "a.json", json.dumps(ROWS[::-1]))  # as large as before
    assert rows(file) == ROWS[::-1]
    assert list(cache.iterdir()) == [kept]


def test_what_is_kept_goes_with_its_file(tmp_path: Path, cache: Path) -> None:
    gone = put(tmp_path, "gone.json", "[]")
    read(gone)
    read(put(tmp_path, "stays.json", "[]"))
    (cache / "notes.txt").touch()
    (cache / f"synth-test-1-{'a' * 16}.jsonl").write_text("[1]")
    gone.path.unlink()
    read(put(tmp_path, "new.json", "[]"))
    assert len(list(cache.iterdir())) == 4


def test_a_file_changed_just_now_is_not_taken_from_the_cache(tmp_path: Path) -> None:
    for number in range(10):
        assert rows(put(tmp_path, "a.jsonl", f'{{"a": {number}}}')) == [{"a": number}]


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"", lambda data: data[: len(data) // 2] + b"\n"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, cache: Path, damage: Any) -> None:
    file = put(tmp_path, "a.json", json.dumps(ROWS))
    old(file)
    read(file)
    (kept,) = cache.iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    assert rows(file) == ROWS


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "file"))
    assert rows(put(tmp_path, "a.json", json.dumps(ROWS))) == ROWS


def test_records_outlive_a_change_of_the_file(tmp_path: Path) -> None:
    file = put(tmp_path, "a.json", json.dumps(ROWS))
    found = read(file)
    spans = list(found.spans())
    read(put(tmp_path, "a.json", "[]"))
    assert [found.at(span) for span, _ in spans] == ROWS


def test_several_threads_read(tmp_path: Path) -> None:
    found = read(put(tmp_path, "a.jsonl", "\n".join(json.dumps({"n": n, "x": "y" * n}) for n in range(500))))
    wrong: list[int] = []

    def work() -> None:
        for span, line in found.spans():
            if found.at(span) != json.loads(line) or json.loads(line)["n"] + 1 != span.number:
                wrong.append(span.number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_several_processes_read_the_same_file_at_once(tmp_path: Path) -> None:
    file = put(tmp_path, "a.jsonl", "\n".join(json.dumps({"n": n}) for n in range(2000)))
    code = (
        "import sys; from pathlib import Path; from memeval.data.files import Found; from memeval.data.records import read\n"
        f"print(sum(row['n'] for _, row in read(Found('a.jsonl', Path({str(file.path)!r}))).rows()))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ) for _ in range(3)]
    assert [int(process.communicate()[0]) for process in running] == [sum(range(2000))] * 3


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    import tracemalloc

    text = "[" + ",".join(json.dumps({"n": n, "text": "word " * 2000}) for n in range(2500)) + "]"
    file = put(tmp_path, "a.json", text)
    size = len(text)
    del text
    tracemalloc.start()
    count = sum(1 for _ in read(file).rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (count, size > 24e6, peak < size) == (2500, True, True)


def test_a_cut_gzip(tmp_path: Path) -> None:
    data = gzip.compress(json.dumps([{"a": os.urandom(40).hex()} for _ in range(100)]).encode())
    assert "damaged or cut gzip" in one_line(put(tmp_path, "a.json.gz", data[: len(data) // 2]))
    assert "damaged or cut gzip" in one_line(put(tmp_path, "b.json.gz", b"[]"))


def test_damaged_json_names_the_record(tmp_path: Path) -> None:
    assert "record 3: not valid JSON (" in one_line(put(tmp_path, "a.json", '[{"a": 1},\n {"a": ","}, {"a": }]'))
    assert "record 2: not valid JSON (" in one_line(put(tmp_path, "b.json", '[{"a": 1}, {"a": 2'))
    assert "c.jsonl:2: not valid JSON (" in one_line(put(tmp_path, "c.jsonl", '{"a": 1}\n{"a": \n'))
    assert "expected a JSON array of records" in one_line(put(tmp_path, "d.json", ""))
    assert "expected a JSON array of records" in one_line(put(tmp_path, "f.json", '{"a": 1}'))
    assert "nested more than" in one_line(put(tmp_path, "e.json", "[" * 100_000))
    assert "not valid JSON" in one_line(put(tmp_path, "e.jsonl", "[" * 100_000))
    assert "g.json: record 2: not valid JSON" in one_line(put(tmp_path, "g.json", "[1] [2]"))


def test_invalid_utf8_names_the_record(tmp_path: Path) -> None:
    assert "record 2: not valid JSON (lexical error: invalid bytes in UTF8" in one_line(
        put(tmp_path, "a.json", b'[{"a": 1}, {"a": "\xff"}, {"a": 1}]')
    )
    assert "b.jsonl:2: not UTF-8" in one_line(put(tmp_path, "b.jsonl", b'{"a": 1}\n{"a": "\xe4"}\n'))
    assert "row 2: not UTF-8" in one_line(put(tmp_path, "c.csv", b"a,b\n1,2\n\xe4,3\n"))


def test_nan_and_half_characters(tmp_path: Path) -> None:
    assert "a.jsonl:1: not valid JSON (NaN is not a JSON value" in one_line(put(tmp_path, "a.jsonl", '{"a": NaN}'))
    assert "record 1: not valid JSON (" in one_line(put(tmp_path, "a.json", '[{"a": NaN}]'))
    assert "c.jsonl:1: holds half of a surrogate pair" in one_line(put(tmp_path, "c.jsonl", '{"a": "\\udc00"}'))
    assert rows(put(tmp_path, "d.json", '[{"a": "\\ud83d\\ude00"}]')) == [{"a": "\U0001f600"}]
    assert rows(parquet(tmp_path, [{"a": float("nan"), "b": [1.5, float("inf")]}])) == [{"a": None, "b": [1.5, None]}]


def test_damaged_tables(tmp_path: Path) -> None:
    assert "record 1: not valid parquet" in one_line(put(tmp_path, "a.parquet", b"PAR1 and nothing more"))
    assert "row 2: not valid CSV (1 cells, expected 2; a cut file?)" in one_line(put(tmp_path, "a.csv", "a,b\n1,2\n3\n"))
    assert "the header has a blank or repeated column" in one_line(put(tmp_path, "b.csv", "a,a\n1,2\n"))
    assert "row 1: not valid CSV" in one_line(put(tmp_path, "c.csv", 'a,b\n"1,2\n'))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in one_line(Found("a.json", tmp_path / "a.json"))


def test_rows_of_the_hub_are_read_by_datasets(tmp_path: Path) -> None:
    made = parquet(tmp_path, [{"context": {"title": ["a"], "sentences": [["b", "c"]]}, "x": float("nan")}])
    file = Found("data/a.parquet", made.path, hub="org/name", revision="abc")
    assert rows(file) == rows(made) == [{"context": {"title": ["a"], "sentences": [["b", "c"]]}, "x": None}]
    assert (read(file).facts["hub"], read(file).facts["sha256"]) == ("org/name", read(made).facts["sha256"])
    assert "datasets" in sys.modules
