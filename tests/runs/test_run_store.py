"""The run folder: what survives a kill, what is written once, who may write."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.errors import UsageError
from memeval.runs import store
from memeval.runs.store import Store, cut_torn_line, read_lines, write_json

OPERATION = {"context_id": "c", "repeat": 0, "position": None, "chunk": "c00000", "results": []}


def test_lines_are_written_once_and_read_back(tmp_path: Path) -> None:
    with Store(tmp_path) as first:
        first.append("samples", {"question_id": "a", "answer": "é\ud800"})
        first.append("questions", {"question_id": "a"})
        first.append("questions", {"question_id": "a"})
        first.append("operations", OPERATION)
        first.text("s1", "long")
        first.text("s1", "long")
    with Store(tmp_path) as again:  # what a resumed run computes again is not written again
        again.append("questions", {"question_id": "a"})
        again.append("operations", OPERATION)
        again.append("operations", {**OPERATION, "position": 3})
        again.text("s1", "long")
    assert [line["answer"] for line in read_lines(tmp_path / "samples.jsonl")] == ["é?"]
    assert len(list(read_lines(tmp_path / "questions.jsonl"))) == 1
    assert len(list(read_lines(tmp_path / "operations.jsonl"))) == 2
    assert len(list(read_lines(tmp_path / "texts.jsonl"))) == 1


@settings(max_examples=60, derandomize=True, deadline=None)
@given(lines=st.lists(st.text(max_size=30), max_size=6), torn=st.binary(max_size=40))
def test_torn_last_line_is_cut(tmp_path_factory: pytest.TempPathFactory, lines: list[str], torn: bytes) -> None:
    path = tmp_path_factory.mktemp("torn") / "samples.jsonl"
    whole = "".join(json.dumps({"text": line}) + "\n" for line in lines).encode()
    path.write_bytes(whole + torn.replace(b"\n", b""))
    assert [line["text"] for line in read_lines(path)] == lines
    cut_torn_line(path)
    assert path.read_bytes() == whole


def test_long_torn_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"a":1}\n' + b"x" * 200_000)
    cut_torn_line(path)
    assert path.read_bytes() == b'{"a":1}\n'


@pytest.mark.parametrize("damaged", [b'{"a":', b"[1]", b"", b"\0\0", b"[" * 100_000])
def test_damaged_line_is_named(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"a":1}\n%s\n{"a":2}\n' % damaged)
    with pytest.raises(UsageError, match=r"samples\.jsonl:2: damaged line"):
        list(read_lines(path))


@pytest.mark.parametrize("taken", [0, 9])
def test_a_full_disk_is_one_line_and_half_a_line_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    write = os.write

    def full(file: int, data: bytes) -> int:
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:taken])

    with Store(tmp_path) as first:
        first.text("s1", "one")
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(UsageError, match=r"texts\.jsonl: cannot be written \(No space left on device\); make room"):
            first.text("s2", "two")
        monkeypatch.undo()
    with Store(tmp_path) as again:
        again.text("s2", "two")
    assert [line["text"] for line in read_lines(tmp_path / "texts.jsonl")] == ["one", "two"]


def test_a_whole_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "summary.json").mkdir()
    with pytest.raises(UsageError, match=r"summary\.json: cannot be written \("):
        write_json(tmp_path / "summary.json", {})


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from memeval.runs.store import Store\nwith Store(Path({str(tmp_path)!r})): pass"
    with Store(tmp_path):
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another memeval process is writing this run" in second.stderr
    third = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert third.returncode == 0


def test_whole_files_are_replaced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores" / "task.jsonl"
    store.write_lines(path, [{"a": 1}])
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(UsageError, match="disk full"):
        store.write_lines(path, [{"a": 2}])
    assert list(read_lines(path)) == [{"a": 1}]


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the run folder"), Store(tmp_path / "file" / "run"):
        pass
