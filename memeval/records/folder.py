"""A run folder: the answers given from a memory, and what follows from them, in typed rows.

    manifest.json  questions.jsonl  samples.jsonl  texts.jsonl  events.jsonl  calls.sqlite  scores/  summary.json

The manifest names the memory that was read (memory.py). One process at a time writes a folder; all may read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import get_args

from memeval.errors import UsageError
from memeval.records.appending import Appending
from memeval.records.attribution import Attribution
from memeval.records.files import read_record, read_rows, unwritable, write_record, write_rows
from memeval.records.judgements import JudgeHeader
from memeval.records.manifest import Manifest
from memeval.records.memory import CALLS, MemoryFolder
from memeval.records.rows import (
    FINISH,
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

ATTRIBUTION = "scores/attribution.json"
TASK = "task"
"""The scorer of a task's own metrics."""


class RunFolder:
    """The rows of one run, read anew at each call. Raises UsageError, with file and line, where a row is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def samples_file(self) -> Path:
        return self.path / "samples.jsonl"

    @property
    def calls_file(self) -> Path:
        return self.path / CALLS

    def questions(self) -> dict[str, QuestionRow]:
        """question id -> its row, the last that was written."""
        return {row.question_id: row for row in read_rows(self.path / "questions.jsonl", QuestionRow)}

    def samples(self) -> list[SampleRow]:
        return list(read_rows(self.samples_file, SampleRow))

    def texts(self) -> dict[str, str]:
        """sha -> text"""
        return {row.sha: row.text for row in read_rows(self.path / "texts.jsonl", TextRow)}

    def events(self) -> list[EventRow]:
        return list(read_rows(self.path / "events.jsonl", EventRow))  # type: ignore[arg-type]

    def scores(self, scorer: str = TASK) -> list[ScoreRow]:
        return list(read_rows(self.path / "scores" / f"{scorer}.jsonl", ScoreRow))

    def scored_by(self) -> str | None:
        """Digest of the rules of the stored scores; None without scores."""
        return next((row.scorer for row in read_rows(self.path / "scores" / f"{TASK}.jsonl", ScoreRow)), None)

    @property
    def has_texts(self) -> bool:
        """False of a baseline."""
        return (self.path / "texts.jsonl").is_file()

    def judges(self) -> list[str]:
        """The judges that have scored the run, by name of their scores file (killed between its two files: neither)."""
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
        """Raises UsageError where this is no run folder."""
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
        """None of a control, which reads nothing, and where there is no run yet."""
        manifest = self.manifest()
        if manifest is None or manifest.memory is None:
            return None
        return MemoryFolder((self.path / manifest.memory).resolve())

    def operations(self, questions: Collection[QuestionRow], repeats: Collection[int]) -> list[OperationRow]:
        """The steps that made the memories that these questions were asked of. The memory may hold more: other runs that
        share it may have asked more questions, at later positions, in more repeats."""
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
        """The samples that are whole: with an answer, their question row, all texts that they name and the memory that they
        were asked of. (After a power cut some files may have reached the disk and others not; what is missing is made again
        from stored replies.)"""
        manifest, memory, questions = self.manifest(), self.memory, self.questions()
        texts = set(self.texts())
        built = memory.built() if memory else set()
        found = set()
        for row in self.samples() if manifest else ():
            question = questions.get(row.question_id)
            if row.failure is not None or question is None or not texts.issuperset(item.text for item in row.recall):
                continue
            if memory is None or (row.context_id, question.stream, row.repeat, question.place) in built:
                found.add(row.key)
        return found

    # -- files that follow from the rows: written whole, so that no lock is needed --------------------------------------

    @property
    def writable(self) -> bool:
        """False also where the file system is mounted for reading only."""
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
        """Delete the answers, not the memory. Raises UsageError when another process is writing them."""
        if self.path.is_dir():
            with RunWriter(self):
                pass
            remove_folder(self.path)


class RunWriter:
    """A run folder that is open for writing. Raises UsageError where another process is writing it."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def __enter__(self) -> RunWriter:
        folder = self.folder
        files: dict[type, Path] = dict.fromkeys(get_args(EventRow), folder.path / "events.jsonl")
        files |= {SampleRow: folder.samples_file, QuestionRow: folder.path / "questions.jsonl"}
        self._files = Appending(folder.path, {**files, TextRow: folder.path / "texts.jsonl"})
        if not self._files.held:
            raise UsageError(f"{folder.path}: another memeval process is writing this run; wait for it or stop it")
        try:  # what is known already is not written again: a resumed run repeats only what it must compute again
            self._texts = set(folder.texts())
            self._questions = {row.question_id: row.digest for row in folder.questions().values()}
        except BaseException:
            self._files.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def append(self, row: AnyRow) -> None:
        """Keep a row. Texts and questions that are known already are dropped. Raises UsageError where the disk does not
        take it."""
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
        """Replace the samples at once: those that are left out are to be tried again."""
        self._files.replace(self.folder.samples_file, kept)


def readers(memory: Path) -> Iterator[Path]:
    """The run folders, of the same RUNS, whose manifest names a memory."""
    for path in sorted(memory.parent.parent.parent.glob("*/*/manifest.json")):
        read = RunFolder(path.parent).memory
        if read is not None and read.path == memory.resolve():
            yield path.parent


def remove_folder(path: Path) -> None:
    """Delete a folder, at once as others see it. Raises UsageError where it cannot be renamed."""
    aside = path.with_name(f".{path.name}.removed")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        path.rename(aside)
    except OSError as error:
        raise unwritable(path, error) from None
    shutil.rmtree(aside, ignore_errors=True)


def belongs(step: OperationRow, places: set[int | None]) -> bool:
    """Whether a step was made for one of these places of its stream: one on the way to the last of them, or one of a
    fork."""
    if step.position is not None or step.chunk == FINISH:
        return step.position in places
    furthest = max((place for place in places if place is not None), default=0)
    return None in places or not step.units or step.units[-1] < furthest


def text_sha(text: str) -> str:
    """The name of a text in texts.jsonl: the first 16 hex digits of its sha256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def folder_name(name: str) -> str:
    """A name as part of a path: letters, digits and `@._-` only, never a dot alone."""
    safe = "".join(char if char.isalnum() or char in "@._-" else "_" for char in name)
    return safe.strip(".") or "unnamed"
