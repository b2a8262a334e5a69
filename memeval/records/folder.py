"""A run folder: the answers given from a memory, and the results, in typed rows.

    manifest.json  questions.jsonl  samples.jsonl  texts.jsonl  events.jsonl  calls.sqlite  scores/  summary.json

The manifest names the memory (memory.py). One process at a time writes a folder; any process may read it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import get_args

from memeval.errors import UsageError
from memeval.records.appending import Appending
from memeval.records.attribution import Attribution
from memeval.records.files import read_record, read_rows, unwritable, write_record, write_rows
from memeval.records.judgements import JudgeHeader
from memeval.records.manifest import Manifest
from memeval.records.memory import CALLS, Built, MemoryFolder
from memeval.records.rows import (
    FINISH,
    CallRow,
    EventRow,
    OperationRow,
    QuestionRow,
    SampleRow,
    ScoreRow,
    TextRow,
)
from memeval.records.summary import Summary

Key = tuple[str, int, int]
"""(question id, repeat, answer repeat)"""
AnyRow = SampleRow | QuestionRow | TextRow | EventRow
FILES: Mapping[type, str] = {
    QuestionRow: "questions.jsonl",
    SampleRow: "samples.jsonl",
    TextRow: "texts.jsonl",
    **dict.fromkeys(get_args(EventRow), "events.jsonl"),
}
"""Type of row -> the file that a run appends it to."""

ATTRIBUTION = "scores/attribution.json"
TASK = "task"
"""The scorer of a task's own metrics."""


class RunFolder:
    """The rows of one run; every call reads the files again. Raises UsageError, with file and line, if a row is
    damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, kind: type) -> Path:
        """The file of the rows of this type."""
        return self.path / FILES[kind]

    @property
    def calls_file(self) -> Path:
        return self.path / CALLS

    def questions(self) -> dict[str, QuestionRow]:
        """question id -> its last row."""
        return {row.question_id: row for row in read_rows(self.file(QuestionRow), QuestionRow)}

    def samples(self) -> list[SampleRow]:
        return list(read_rows(self.file(SampleRow), SampleRow))

    def texts(self) -> dict[str, str]:
        """sha -> text"""
        return {row.sha: row.text for row in read_rows(self.file(TextRow), TextRow)}

    def events(self) -> list[EventRow]:
        return list(read_rows(self.file(CallRow), EventRow))  # type: ignore[arg-type]

    def scores(self, scorer: str = TASK) -> list[ScoreRow]:
        return list(read_rows(self.path / "scores" / f"{scorer}.jsonl", ScoreRow))

    def scored_by(self) -> str | None:
        """Digest of the rules of the stored scores; None without scores."""
        return next((row.scorer for row in read_rows(self.path / "scores" / f"{TASK}.jsonl", ScoreRow)), None)

    @property
    def has_texts(self) -> bool:
        """Whether the folder has texts; a baseline has none."""
        return self.file(TextRow).is_file()

    def judges(self) -> list[str]:
        """The judges that have scored the run, by the name of their scores file. A judge whose two files are not both
        there (memeval was killed) is left out."""
        names = sorted(path.stem for path in (self.path / "scores").glob("judge-*.jsonl"))
        return [name for name in names if (self.path / "scores" / f"{name}.json").is_file()]

    def judge_header(self, scorer: str) -> JudgeHeader | None:
        return read_record(self.path / "scores" / f"{scorer}.json", JudgeHeader)

    def judge_headers(self) -> list[JudgeHeader]:
        return [header for name in self.judges() if (header := self.judge_header(name)) is not None]

    def attribution(self) -> Attribution | None:
        return read_record(self.path / ATTRIBUTION, Attribution)

    def manifest(self) -> Manifest | None:
        return read_record(self.path / "manifest.json", Manifest)

    def known_manifest(self) -> Manifest:
        """The manifest. Raises UsageError if this is not a run folder."""
        found = self.manifest()
        if found is None:
            file = self.path / "manifest.json"
            unread = "its manifest.json is damaged or not memeval's" if file.is_file() else "no manifest.json"
            what = "a memory folder" if MemoryFolder(self.path).manifest() else unread
            raise UsageError(f"{self.path}: not a run folder ({what}); give RUNS/<task>/<agent>-<hash>")
        return found

    def summary(self) -> Summary | None:
        return read_record(self.path / "summary.json", Summary)

    # -- the memory that was read -------------------------------------------------------------------------------------

    @property
    def memory(self) -> MemoryFolder | None:
        """The memory folder; None for a control, which reads nothing, and if there is no run yet."""
        manifest = self.manifest()
        if manifest is None or manifest.memory is None:
            return None
        return MemoryFolder((self.path / manifest.memory).resolve())

    def operations(self, questions: Collection[QuestionRow], repeats: Collection[int]) -> list[OperationRow]:
        """The steps that built the memories of these questions. The memory may hold more steps: other runs that share
        it may have asked more questions, at later positions, in more repeats."""
        if self.memory is None:
            return []
        places: dict[str, set[int | None]] = {}
        for row in questions:
            places.setdefault(row.context_id, set()).add(row.place)
        return [
            step
            for step in self.memory.operations({row.context_id: row.stream for row in questions})
            if step.repeat in repeats and belongs(step, places[step.context_id])
        ]

    def finished(self) -> set[Key]:
        """The complete samples: with an answer, their question row, all their texts, and their memory. (After a power
        cut only some of the files may have reached the disk; missing rows are made again from stored replies.)"""
        manifest, memory, questions = self.manifest(), self.memory, self.questions()
        texts = set(self.texts())
        built = Built(memory).finished() if memory else set()
        found = set()
        for row in self.samples() if manifest else ():
            question = questions.get(row.question_id)
            if row.failure is not None or question is None or not texts.issuperset(item.text for item in row.recall):
                continue
            if memory is None or (row.context_id, question.stream, row.repeat, question.place) in built:
                found.add(row.key)
        return found

    # -- files that follow from the rows: written atomically, so no lock is needed --------------------------------------

    @property
    def writable(self) -> bool:
        """Whether the folder can be written; False also on a read-only file system."""
        return os.access(self.path, os.W_OK)

    def write_scores(self, rows: Iterable[ScoreRow], scorer: str = TASK) -> None:
        write_rows(self.path / "scores" / f"{scorer}.jsonl", rows)

    def write_judge_header(self, header: JudgeHeader) -> None:
        write_record(self.path / "scores" / f"{header.scorer}.json", header)

    def write_attribution(self, found: Attribution) -> None:
        write_record(self.path / ATTRIBUTION, found)

    def write_manifest(self, manifest: Manifest) -> None:
        write_record(self.path / "manifest.json", manifest)

    def write_summary(self, summary: Summary) -> None:
        write_record(self.path / "summary.json", summary)

    def remove(self) -> None:
        """Delete the answers but not the memory. Raises UsageError if another process is writing them."""
        if self.path.is_dir():
            _opened(self.path, {}).close()
            remove_folder(self.path)


class RunWriter:
    """A run folder that is open for writing. Raises UsageError if another process is writing it."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def __enter__(self) -> RunWriter:
        folder = self.folder
        self._files = _opened(folder.path, {kind: folder.file(kind) for kind in FILES})
        try:  # known rows are not written again, for a resumed run emits some rows a second time
            self._texts = set(folder.texts())
            self._questions = {row.question_id: row.digest for row in folder.questions().values()}
        except BaseException:
            self._files.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def append(self, row: AnyRow) -> None:
        """Append a row; texts and questions that the folder has already are skipped. Raises UsageError if the write
        fails."""
        if isinstance(row, TextRow):
            if row.sha in self._texts:
                return
            self._texts.add(row.sha)
        elif isinstance(row, QuestionRow):
            if self._questions.get(row.question_id) == row.digest:
                return
            self._questions[row.question_id] = row.digest
        self._files.append(row)

    def keep_samples(self, kept: Iterable[SampleRow]) -> None:
        """Replace all samples at once; the samples left out will be tried again."""
        self._files.replace(self.folder.file(SampleRow), kept)


def _opened(path: Path, files: Mapping[type, Path]) -> Appending:
    """Open the files of a run for this process. Raises UsageError if another process is writing them."""
    found = Appending(path, files)
    if not found.held:
        raise UsageError(f"{path}: another memeval process is writing this run; wait for it or stop it")
    return found


def readers(memory: Path) -> Iterator[Path]:
    """The run folders under the same RUNS folder whose manifest names this memory."""
    for path in sorted(memory.parent.parent.parent.glob("*/*/manifest.json")):
        read = RunFolder(path.parent).memory
        if read is not None and read.path == memory.resolve():
            yield path.parent


def remove_folder(path: Path) -> None:
    """Delete a folder, atomically for other processes. Raises UsageError if it cannot be renamed."""
    aside = path.with_name(f".{path.name}.removed")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        path.rename(aside)
    except OSError as error:
        raise unwritable(path, error) from None
    shutil.rmtree(aside, ignore_errors=True)


def belongs(step: OperationRow, places: set[int | None]) -> bool:
    """Whether a step was made for one of these positions: on the way to the last of them, or in a fork."""
    if step.position is not None or step.chunk == FINISH:
        return step.position in places
    furthest = max((place for place in places if place is not None), default=0)
    return None in places or not step.units or step.units[-1] < furthest


def text_sha(text: str) -> str:
    """The name of a text in texts.jsonl: the first 16 hex digits of its sha256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def folder_name(name: str) -> str:
    """Reduce a name to a safe part of a path: letters, digits and `@._-` only, never a single dot."""
    safe = "".join(char if char.isalnum() or char in "@._-" else "_" for char in name)
    return safe.strip(".") or "unnamed"
