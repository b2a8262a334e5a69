"""A run folder and the memory it answers from: their typed rows, read and written here and nowhere else.

    manifest.json  questions.jsonl  samples.jsonl  texts.jsonl  events.jsonl  calls.sqlite  scores/  summary.json    of a run
    operations.jsonl                                                                                         of a memory

Each row is one `write()`. A torn last line (killed between two blocks) is cut when the folder is opened for writing. Files
are synced to disk once a second and at the end. One process at a time writes a folder; anybody may read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from memeval.errors import UsageError
from memeval.records.clean import encode
from memeval.records.files import (
    cut_torn_line,
    read_record,
    read_rows,
    unwritable,
    write_record,
    write_rows,
)
from memeval.records.judgements import JudgeHeader
from memeval.records.lock import lock
from memeval.records.manifest import Manifest
from memeval.records.rows import (
    CallRow,
    EventRow,
    InvocationRow,
    OperationRow,
    QuestionRow,
    SampleRow,
    ScoreRow,
    StoppedRow,
    TextRow,
    TroubleRow,
)
from memeval.records.summary import Summary

Key = tuple[str, int, int]
"""(question id, repeat, answer repeat)"""
AnyRow = SampleRow | QuestionRow | TextRow | OperationRow | EventRow

TASK = "task"
"""The scorer of a task's own metrics."""


class MemoryFolder:
    """What was read, by whom: the operations that made a memory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def operations_file(self) -> Path:
        return self.path / "operations.jsonl"

    def operations(self) -> list[OperationRow]:
        """The steps of reading, in the order in which they were first made; of each the last attempt, and of a context that
        was edited the steps of reading it as it is now."""
        rows = list(read_rows(self.operations_file, OperationRow))
        now = {row.context_id: row.digest for row in rows}
        return list({row.key: row for row in rows if row.digest == now[row.context_id]}.values())


class RunFolder:
    """The rows of one run, read anew at each call. Raises UsageError, with file and line, where a row is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.memory = MemoryFolder(path)

    def questions(self) -> dict[str, QuestionRow]:
        """question id -> its row, the last that was written."""
        return {row.question_id: row for row in read_rows(self.path / "questions.jsonl", QuestionRow)}

    def samples(self) -> list[SampleRow]:
        return list(read_rows(self.path / "samples.jsonl", SampleRow))

    def texts(self) -> dict[str, str]:
        """sha -> text"""
        return {row.sha: row.text for row in read_rows(self.path / "texts.jsonl", TextRow)}

    def events(self) -> list[EventRow]:
        return list(read_rows(self.path / "events.jsonl", EventRow))  # type: ignore[arg-type]

    def scores(self, scorer: str = TASK) -> list[ScoreRow]:
        return list(read_rows(self.path / "scores" / f"{scorer}.jsonl", ScoreRow))

    def judges(self) -> list[str]:
        """The judges that have scored the run, by name of their scores file (killed between its two files: neither)."""
        names = sorted(path.stem for path in (self.path / "scores").glob("judge-*.jsonl"))
        return [name for name in names if (self.path / "scores" / f"{name}.json").is_file()]

    def judge_header(self, scorer: str) -> JudgeHeader | None:
        return read_record(self.path / "scores" / f"{scorer}.json", JudgeHeader)

    def judge_headers(self) -> list[JudgeHeader]:
        return [header for name in self.judges() if (header := self.judge_header(name)) is not None]

    def manifest(self) -> Manifest | None:
        return read_record(self.path / "manifest.json", Manifest)

    def known_manifest(self) -> Manifest:
        """Raises UsageError where this is no run folder."""
        found = self.manifest()
        if found is None:
            raise UsageError(f"{self.path}: not a run folder (no manifest.json); give RUNS/<task>/<agent>-<hash>")
        return found

    def summary(self) -> Summary | None:
        return read_record(self.path / "summary.json", Summary)

    def finished(self, with_memory: bool = True) -> set[Key]:
        """The samples that are whole: with an answer, their question row, all texts that they name and, with_memory, all
        steps of the memory that they were asked of. (After a power cut some files may have reached the disk and others not;
        what is missing is made again from stored replies.)"""
        questions = self.questions()
        texts = {row.sha for row in read_rows(self.path / "texts.jsonl", TextRow)}
        main: dict[tuple[str, int], set[str]] = {}
        ends: set[tuple[str, int, int | None]] = set()
        for step in self.memory.operations() if with_memory else ():
            if step.units and step.position is None:
                main.setdefault((step.context_id, step.repeat), set()).add(step.chunk)
            elif step.units:
                ends.add((step.context_id, step.repeat, step.position))
        found = set()
        for row in self.samples():
            question = questions.get(row.question_id)
            if row.failure is not None or question is None or not texts.issuperset(item.text for item in row.recall):
                continue
            if with_memory:
                read = len(main.get((row.context_id, row.repeat), ()))
                end = (row.context_id, row.repeat, row.position) in ends
                if read < question.prefix_chunks - question.own_chunks or (question.own_chunks and not end):
                    continue
            found.add(row.key)
        return found

    # Files that follow from the rows are written whole, so that no lock is needed.

    @property
    def writable(self) -> bool:
        """False also where the file system is mounted for reading only."""
        return os.access(self.path, os.W_OK)

    def write_scores(self, rows: Iterable[ScoreRow], scorer: str = TASK) -> None:
        write_rows(self.path / "scores" / f"{scorer}.jsonl", rows)

    def write_judge_header(self, header: JudgeHeader) -> None:
        write_record(self.path / "scores" / f"{header.scorer}.json", header)

    def write_manifest(self, manifest: Manifest) -> None:
        write_record(self.path / "manifest.json", manifest)

    def write_summary(self, summary: Summary) -> None:
        write_record(self.path / "summary.json", summary)

    def remove(self) -> None:
        """Delete the folder, at once as others see it. Raises UsageError when another process is writing it."""
        if self.path.is_dir():
            with RunWriter(self):
                pass
            aside = self.path.with_name(f".{self.path.name}.removed")
            shutil.rmtree(aside, ignore_errors=True)
            try:
                self.path.rename(aside)
            except OSError as error:
                raise unwritable(self.path, error) from None
            shutil.rmtree(aside, ignore_errors=True)


class RunWriter:
    """A run folder that is open for writing, with its memory's. For the driver of a run alone."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._paths = {
            SampleRow: folder.path / "samples.jsonl",
            QuestionRow: folder.path / "questions.jsonl",
            TextRow: folder.path / "texts.jsonl",
            OperationRow: folder.memory.operations_file,
            **dict.fromkeys((CallRow, TroubleRow, StoppedRow, InvocationRow), folder.path / "events.jsonl"),
        }
        self._files: dict[Path, int] = {}
        self._dirty: set[Path] = set()
        self._synced = time.monotonic()
        self._lock: int | None = None
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="memeval-sync")  # a slow disk must not hold up the calls

    def __enter__(self) -> RunWriter:
        path = self.folder.path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = lock(path / ".lock")
        except OSError as error:
            raise UsageError(f"{path}: cannot write the run folder ({error.strerror}); use --runs-dir") from None
        if self._lock is None:
            raise UsageError(f"{path}: another memeval process is writing this run; wait for it or stop it")
        try:
            for file in dict.fromkeys(self._paths.values()):
                cut_torn_line(file)
                self._files[file] = _appending(file)
            # what is known already is not written again: a resumed run repeats only what it must compute again
            self._texts = set(self.folder.texts())
            self._questions = {row.question_id: row.digest for row in self.folder.questions().values()}
            self._operations = {(*row.key, row.digest, row.attempt) for row in self.folder.memory.operations()}
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        self.sync()
        self._disk.shutdown()
        for handle in self._files.values():
            os.close(handle)
        if self._lock is not None:
            os.close(self._lock)

    def append(self, row: AnyRow) -> None:
        """One row, one write. Rows known already (texts, questions, operations) are dropped. Raises UsageError where the
        disk does not take it: half a line is cut when the folder is opened again."""
        if self._known(row):
            return
        path = self._paths[type(row)]
        data = encode(row) + b"\n"
        try:
            if os.write(self._files[path], data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise unwritable(path, error) from None
        self._dirty.add(path)
        if time.monotonic() - self._synced >= 1.0:
            self.sync()

    def _known(self, row: AnyRow) -> bool:
        if isinstance(row, TextRow):
            known = row.sha in self._texts
            self._texts.add(row.sha)
        elif isinstance(row, OperationRow):
            key = (*row.key, row.digest, row.attempt)
            known = key in self._operations
            self._operations.add(key)
        elif isinstance(row, QuestionRow):
            known = self._questions.get(row.question_id) == row.digest
            self._questions[row.question_id] = row.digest
        else:
            known = False
        return known

    def sync(self) -> None:
        """Have everything written so far on the disk, soon; at the end, before `close` returns."""
        for path in self._dirty:
            self._disk.submit(os.fsync, self._files[path])
        self._dirty.clear()
        self._synced = time.monotonic()

    def keep_samples(self, kept: Iterable[SampleRow]) -> None:
        """Replace the samples at once: those that are left out are to be tried again."""
        path = self._paths[SampleRow]
        self._disk.submit(os.close, self._files.pop(path)).result()  # behind the syncs of the same file
        write_rows(path, kept)
        self._files[path] = _appending(path)


def text_sha(text: str) -> str:
    """The name of a text in texts.jsonl: the first 16 hex digits of its sha256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def folder_name(name: str) -> str:
    """A name as part of a path: letters, digits and `@._-` only, never a dot alone."""
    safe = "".join(char if char.isalnum() or char in "@._-" else "_" for char in name)
    return safe.strip(".") or "unnamed"


def _appending(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
