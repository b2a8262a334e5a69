"""The run folder: what survives a kill or hostile text, what is written once, who may write."""

from __future__ import annotations

import errno
import math
import os
import subprocess
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.errors import UsageError
from memeval.records import lock
from memeval.records.averages import MetricAverage
from memeval.records.clean import lost_numbers
from memeval.records.files import cut_torn_line, read_record, read_rows, write_record, write_rows
from memeval.records.folder import RunFolder, RunWriter, folder_name, readers
from memeval.records.judgements import JudgeHeader
from memeval.records.manifest import Manifest, MemoryManifest, Typed
from memeval.records.memory import MemoryFolder
from memeval.records.rows import (
    FINISH,
    CallRow,
    EventRow,
    InvocationRow,
    OperationRow,
    QuestionRow,
    RecallRow,
    SampleRow,
    ScoreRow,
    StoppedRow,
    TextRow,
    TroubleRow,
)
from memeval.records.summary import Summary
from memeval.records.verdicts import status, unusable

QUESTION = QuestionRow(question_id="a", context_id="c", cluster="c", text="?", prefix_chunks=1)
SAMPLE = SampleRow(question_id="a", context_id="c", repeat=0, answer="x", failure=None, recall=(RecallRow(text="s1"),))
STEP = OperationRow(context_id="c", repeat=0, chunk="c00000", units=(0, 1))
END = OperationRow(context_id="c", repeat=0, chunk=FINISH)
TEXT = TextRow(sha="s1", text="long")


def test_rows_are_written_once_and_read_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with RunWriter(folder) as first:
        for row in (SAMPLE, QUESTION, QUESTION, TEXT, TEXT):
            first.append(row)
    with RunWriter(folder) as again:  # what a resumed run computes again is not written again
        for row in (QUESTION, TEXT):
            again.append(row)
    assert folder.samples() == [SAMPLE]
    assert list(read_rows(tmp_path / "questions.jsonl", QuestionRow)) == [QUESTION]
    assert folder.texts() == {"s1": "long"}


def test_the_last_question_row_counts(tmp_path: Path) -> None:
    with RunWriter(RunFolder(tmp_path)) as writer:
        writer.append(msgspec.structs.replace(QUESTION, digest="1"))
        writer.append(msgspec.structs.replace(QUESTION, digest="2"))
    assert RunFolder(tmp_path).questions()["a"].digest == "2"


# -- hostile values ---------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(), max_size=8)  # lone surrogates among them
NUMBERS = st.one_of(st.integers(), st.just(10**400), st.floats(), st.just(float("1e400")))
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), TEXTS, NUMBERS, st.just({1, 2}), st.just(object())),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


def hostile(kind: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation as models, servers and data sets may give them."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of(*(hostile(part) if part is not float else st.floats() for part in inner))
    if origin is tuple:
        return st.lists(hostile(inner[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXTS, hostile(inner[1]), max_size=2)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return rows(kind)
    simple = {str: TEXTS, bool: st.booleans(), int: st.integers(0, 2**60), type(None): st.none(), Any: ANYTHING}
    return simple.get(kind, st.floats(0, 1e9))


def rows(kind: type) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: hostile(hints[name]) for name in kind.__struct_fields__})  # type: ignore[attr-defined]


ROWS = (SampleRow, QuestionRow, TextRow, OperationRow, ScoreRow, CallRow, TroubleRow, StoppedRow, InvocationRow)


@pytest.mark.parametrize("kind", ROWS)
@settings(max_examples=40, derandomize=True, deadline=None)
@given(data=st.data())
def test_hostile_values_of_every_row_come_back(tmp_path_factory: pytest.TempPathFactory, kind: type, data: Any) -> None:
    row = data.draw(rows(kind))
    path = tmp_path_factory.mktemp("hostile") / "rows.jsonl"
    write_rows(path, [row])
    (back,) = read_rows(path, EventRow if kind in get_args(EventRow) else kind)
    assert type(back) is kind
    write_rows(path, [back])
    assert list(read_rows(path, type(back))) == [back]  # clean values are kept as they are
    for name in kind.__struct_fields__:  # type: ignore[attr-defined]
        value = getattr(row, name)
        if isinstance(value, str):
            assert getattr(back, name) == value.encode("utf-8", "replace").decode()
        elif value is None or (isinstance(value, float) and not math.isfinite(value)):
            assert getattr(back, name) is None
        elif isinstance(value, (int, float)):
            assert getattr(back, name) == value


def test_numbers_that_json_cannot_hold_become_null_and_are_counted(tmp_path: Path) -> None:
    kept = {"large": 10**400, "less": -(10**4298), "half": 0.5, "text": "1e400"}
    lost = {"larger": 10**4300, "infinite": math.inf, "nested": [math.nan, 1, -(10**5000)]}
    write_rows(tmp_path / "q.jsonl", [msgspec.structs.replace(QUESTION, meta={**kept, **lost})])
    (back,) = read_rows(tmp_path / "q.jsonl", QuestionRow)
    assert back.meta == {**kept, **dict.fromkeys(lost), "nested": [None, 1, None]}
    assert lost_numbers({**kept, **lost}) == 4


def test_what_is_nested_without_end_is_cut(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(100_000):
        inner["x"] = inner = {}
    row = msgspec.structs.replace(QUESTION, meta=deep)
    write_rows(tmp_path / "q.jsonl", [row])
    (back,) = read_rows(tmp_path / "q.jsonl", QuestionRow)
    assert list(back.meta) == ["x"]


# -- damage -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, derandomize=True, deadline=None)
@given(texts=st.lists(st.text(max_size=30), max_size=6), torn=st.binary(max_size=40))
def test_torn_last_line_is_cut(tmp_path_factory: pytest.TempPathFactory, texts: list[str], torn: bytes) -> None:
    path = tmp_path_factory.mktemp("torn") / "texts.jsonl"
    write_rows(path, [TextRow(sha="s", text=text) for text in texts])
    whole = path.read_bytes()
    path.write_bytes(whole + torn.replace(b"\n", b""))
    expected = [text.encode("utf-8", "replace").decode() for text in texts]
    assert [row.text for row in read_rows(path, TextRow)] == expected
    cut_torn_line(path)
    assert path.read_bytes() == whole


def test_long_torn_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"a":1}\n' + b"x" * 200_000)
    cut_torn_line(path)
    assert path.read_bytes() == b'{"a":1}\n'


@pytest.mark.parametrize("damaged", [b'{"sha":', b"[1]", b"", b"\0\0", b"[" * 100_000, b'{"sha":"x"}', b"\xff"])
def test_damaged_line_is_named(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_bytes(b'{"sha":"1","text":""}\n%s\n{"sha":"2","text":""}\n' % damaged)
    with pytest.raises(UsageError, match=r"texts\.jsonl:2: damaged line"):
        RunFolder(tmp_path).texts()


@pytest.mark.parametrize("taken", [0, 9])
def test_a_full_disk_is_one_line_and_half_a_line_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    write = os.write

    def full(file: int, data: bytes) -> int:
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:taken])

    folder, second = RunFolder(tmp_path), TextRow(sha="s2", text="two")
    with RunWriter(folder) as first:
        first.append(TEXT)
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(UsageError, match=r"texts\.jsonl: cannot be written \(No space left on device\); make room"):
            first.append(second)
        monkeypatch.undo()
    with RunWriter(folder) as again:
        again.append(second)
    assert list(folder.texts().values()) == ["long", "two"]


def test_a_whole_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "summary.json").mkdir()
    with pytest.raises(UsageError, match=r"summary\.json: cannot be written \("):
        write_record(tmp_path / "summary.json", TEXT)


def test_whole_files_are_replaced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores" / "task.jsonl"
    write_rows(path, [TEXT])
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(UsageError, match="disk full"):
        write_rows(path, [])
    assert list(read_rows(path, TextRow)) == [TEXT]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"sha": 1, "text": ""}', "[" * 100_000])
def test_a_damaged_whole_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    assert read_record(tmp_path / "file", TextRow) is None


def written(tmp_path: Path, rows: Sequence[Any], memory: Sequence[OperationRow] | None) -> RunFolder:
    """A run folder with these rows, and with a memory of these steps; None: of a control."""
    folder = RunFolder(tmp_path / "task" / "agent-1")
    with RunWriter(folder) as writer:
        for row in rows:
            writer.append(row)
    link = None if memory is None else "../memories/agent-2"
    folder.write_manifest(Manifest(format=0, hash="", memory=link, typed=Typed(), agent="a"))
    if memory is not None:
        write_rows(tmp_path / "task" / "memories" / "agent-2" / "operations.jsonl", memory)
    return folder


def test_a_failed_sample_is_asked_again(tmp_path: Path) -> None:
    failed = msgspec.structs.replace(SAMPLE, repeat=1, answer="", failure="no reply")
    ends = [END, msgspec.structs.replace(END, repeat=1)]
    assert written(tmp_path, (QUESTION, TEXT, SAMPLE, failed), (STEP, *ends)).finished() == {SAMPLE.key}


@pytest.mark.parametrize("missing", [None, QUESTION, TEXT, END, SAMPLE, "manifest"])
def test_a_sample_counts_only_with_all_that_it_rests_on(tmp_path: Path, missing: Any) -> None:
    """Files reach the disk one by one: after a power cut one may lack what others name."""
    rows = [row for row in (QUESTION, TEXT, SAMPLE) if row is not missing]
    folder = written(tmp_path, rows, [row for row in (STEP, END) if row is not missing])
    if missing == "manifest":
        (folder.path / "manifest.json").unlink()
    assert folder.finished() == ({SAMPLE.key} if missing is None else set())


def test_a_control_has_no_memory(tmp_path: Path) -> None:
    folder = written(tmp_path, (QUESTION, TEXT, SAMPLE), None)
    assert (folder.memory, folder.finished()) == (None, {SAMPLE.key})
    assert folder.operations([QUESTION], [0]) == []


def test_the_end_of_a_prefix_is_looked_for(tmp_path: Path) -> None:
    """A sample in the middle of a stream rests on the memory there, not on that of the whole stream."""
    question, sample = (msgspec.structs.replace(row, position=3) for row in (QUESTION, SAMPLE))
    assert written(tmp_path / "whole", (question, TEXT, sample), (STEP, END)).finished() == set()
    end = msgspec.structs.replace(END, position=3)
    assert written(tmp_path / "there", (question, TEXT, sample), (STEP, end)).finished() == {sample.key}
    whole = msgspec.structs.replace(question, stream_units=3)  # position 3 of 3 units is the end
    assert written(tmp_path / "end", (whole, TEXT, sample), (STEP, END)).finished() == {sample.key}


def test_a_run_reads_its_own_part_of_a_memory(tmp_path: Path) -> None:
    """Other runs may have asked more: later, in other contexts, in further repeats, of an older text."""
    fork = msgspec.structs.replace(STEP, chunk="c00001", units=(2, 2), position=3)
    mine = [STEP, fork, msgspec.structs.replace(END, position=3)]
    others = [
        msgspec.structs.replace(STEP, chunk="c00001", units=(2, 3)),
        msgspec.structs.replace(STEP, chunk="c00002", units=(4, 4)),
        msgspec.structs.replace(fork, position=4),
        END,
        msgspec.structs.replace(STEP, context_id="d"),
        msgspec.structs.replace(STEP, repeat=1),
        msgspec.structs.replace(STEP, digest="before"),
    ]
    question = msgspec.structs.replace(QUESTION, position=3)
    assert written(tmp_path, (question,), [*mine, *others]).operations([question], [0]) == mine


# -- what follows from the rows ---------------------------------------------------------------------------------------


def test_scores_judgements_events_and_the_summary_are_read_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert (folder.summary(), folder.judges(), folder.scores(), folder.events()) == (None, [], [], [])
    score = ScoreRow(question_id="a", repeat=0, metrics={"f1": 0.5}, verdict="partly")
    stopped, call = StoppedRow(at=2.0, reason="interrupted"), CallRow(at=1.0, model="m", source="cache", seconds=0.5)
    summary = Summary(status="partial", n=1, failed=0, headline=MetricAverage(metric="f1", value=0.5, n=1))
    facts = {"family": "generic", "prompt_hash": "1"}
    headers = [JudgeHeader(scorer=f"judge-{name}", judge=name, **facts) for name in ("a", "b")]
    with RunWriter(folder) as writer:
        writer.append(call)
        writer.append(stopped)
    folder.write_scores([score])
    folder.write_summary(summary)
    for header in headers:
        folder.write_scores([score, score], header.scorer)
    folder.write_judge_header(headers[1])  # killed between the two files of the other
    assert folder.events() == [call, stopped]
    assert (folder.scores(), folder.scores("judge-a"), folder.summary()) == ([score], [score, score], summary)
    assert (folder.judges(), folder.judge_headers()) == (["judge-b"], [headers[1]])


def test_a_folder_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not a run folder \(no manifest\.json\); give RUNS/<task>/<agent>-<hash>"):
        RunFolder(tmp_path).known_manifest()
    MemoryFolder(tmp_path).add_origins(MemoryManifest(format=0, memory_hash="", agent="a", task="t", created=0.0))
    with pytest.raises(UsageError, match=r"not a run folder \(a memory folder\)"):
        RunFolder(tmp_path).known_manifest()


def test_the_samples_that_are_to_be_tried_again_are_left_out_at_once(tmp_path: Path) -> None:
    failed = msgspec.structs.replace(SAMPLE, question_id="b", answer="", failure="no reply")
    with RunWriter(RunFolder(tmp_path)) as writer:
        for row in (failed, SAMPLE, failed):
            writer.append(row)
        writer.keep_samples([SAMPLE])
        writer.append(msgspec.structs.replace(failed, answer="y", failure=None))
    assert [(row.question_id, row.answer) for row in RunFolder(tmp_path).samples()] == [("a", "x"), ("b", "y")]


def test_a_run_is_removed_and_its_memory_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path, (QUESTION, TEXT, SAMPLE), (STEP, END))
    other = RunFolder(folder.path.with_name("agent-3"))
    other.write_manifest(msgspec.structs.replace(folder.known_manifest(), memory=None))
    assert folder.memory is not None
    memory = folder.memory.path
    assert list(readers(memory)) == [folder.path]

    def refuse(path: Path, to: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UsageError, match=r"agent-1: cannot be written \(Read-only file system\)"):
        folder.remove()
    monkeypatch.undo()
    assert folder.samples() == [SAMPLE]
    folder.remove()
    folder.remove()  # nothing is there any more
    assert sorted(path.name for path in folder.path.parent.iterdir()) == ["agent-3", "memories"]
    assert (list(readers(memory)), memory.is_dir()) == ([], True)


@pytest.mark.parametrize(
    ("name", "part"), [("Qwen/Qwen3-32B", "Qwen_Qwen3-32B"), ("..", "unnamed"), ("a b\n:é", "a_b__é"), ("../x", "_x")]
)
def test_a_name_is_one_part_of_a_path(name: str, part: str) -> None:
    assert folder_name(name) == part


@pytest.mark.parametrize(
    ("complete", "failed", "samples", "said"),
    [
        *((True, 0, 10, "complete"), (True, 1, 10, "complete"), (True, 2, 10, "invalid"), (False, 2, 10, "partial")),
        *((True, 2, 100, "complete"), (True, 3, 100, "invalid"), (True, 0, 0, "complete")),
    ],
)
def test_a_run_is_invalid_where_more_than_one_sample_and_more_than_a_fiftieth_failed(
    complete: bool, failed: int, samples: int, said: str
) -> None:
    assert status(complete, failed, samples) == said


def test_a_reply_that_was_cut_off_counts_for_what_it_says_only_where_the_card_scores_it() -> None:
    assert [unusable(reason) is None for reason in (None, "stop", "length", "overflow")] == [True, True, False, False]
    assert [unusable(reason, "scored") is None for reason in ("length", "overflow", "empty")] == [True, False, False]


# -- locks ------------------------------------------------------------------------------------------------------------


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from memeval.records.folder import RunFolder, RunWriter\n"
        f"with RunWriter(RunFolder(Path({str(tmp_path)!r}))): pass"
    )
    with RunWriter(RunFolder(tmp_path)):
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another memeval process is writing this run" in second.stderr
    third = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert third.returncode == 0


@pytest.mark.parametrize("error", [OSError(errno.ENOSYS, "no"), OSError(errno.ENOLCK, "no"), ImportError("fcntl")])
def test_without_locks_it_works_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def refuse(descriptor: int) -> None:
        raise error

    monkeypatch.setattr(lock, "_take", refuse)
    monkeypatch.setattr(lock, "_warned", False)
    for _ in range(2):
        with RunWriter(RunFolder(tmp_path)) as writer:
            writer.append(TEXT)
    assert RunFolder(tmp_path).texts() == {"s1": "long"}
    assert capsys.readouterr().err.count("no file locks here") == 1


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="run: cannot be written"), RunWriter(RunFolder(tmp_path / "file" / "run")):
        pass
