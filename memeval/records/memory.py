"""A memory folder: the steps of an agent while it read, and the replies that it got. Runs that differ only in how the
memory is read and answered from share it.

    manifest.json  operations.jsonl  calls.sqlite

The folder only grows. Running the agent on the stored replies rebuilds its memory. One process builds a memory at a
time; others may read it meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from memeval.records.appending import Appending
from memeval.records.clean import encode
from memeval.records.files import read_record, read_rows, write_record
from memeval.records.manifest import MemoryManifest
from memeval.records.rows import FINISH, READ, OperationRow

BuiltAt = tuple[str, str, int, int | None]
"""(context id, digest of the context, repeat, position): the memory of a prefix of a stream"""

MEMORIES = "memories"
"""The folder, beside the runs of a task, that holds their memories."""
CALLS = "calls.sqlite"
"""The file of stored replies in a run or memory folder."""
_FIX = "delete the file: its steps are made again from stored replies"
POLL = 0.1
"""Seconds between two checks of what another process has built."""


class MemoryFolder:
    """The rows of one memory; every call reads the files again. Raises UsageError, with file and line, if a row is
    damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def operations_file(self) -> Path:
        return self.path / "operations.jsonl"

    @property
    def calls_file(self) -> Path:
        return self.path / CALLS

    def manifest(self) -> MemoryManifest | None:
        return read_record(self.path / "manifest.json", MemoryManifest)

    def add_origins(self, manifest: MemoryManifest) -> None:
        """Write the manifest if it is missing; otherwise add the origins to the existing one."""
        before = self.manifest() or manifest
        origins = {
            role: tuple(dict.fromkeys((*before.origins.get(role, ()), *manifest.origins.get(role, ()))))
            for role in {**before.origins, **manifest.origins}
        }
        found = msgspec.structs.replace(before, origins=origins)
        if found != self.manifest():
            write_record(self.path / "manifest.json", found)

    def operations(self, digests: Mapping[str, str] | None = None) -> list[OperationRow]:
        """The steps of reading, in the order in which they were first made; only the last attempt of each.

        digests: context id -> digest, to select the steps of reading these contexts; None for all contexts, as they
        were last read.
        """
        rows = list(read_rows(self.operations_file, OperationRow, _FIX))
        if digests is None:
            digests = {row.context_id: row.digest for row in rows}
        return list({row.key: row for row in rows if row.digest == digests.get(row.context_id)}.values())


class _Mark(msgspec.Struct):
    """The part of an operation row that identifies the prefix that was read."""

    context_id: str
    repeat: int
    chunk: str
    digest: str = ""
    position: int | None = None


class Built:
    """The finished part of a memory that another process may be building: each check reads only the new lines."""

    def __init__(self, folder: MemoryFolder) -> None:
        self._file = folder.operations_file
        self._offset = 0
        self._decode = msgspec.json.Decoder(_Mark).decode
        self._finished: set[BuiltAt] = set()
        self._read: set[tuple[str, str, int]] = set()

    def finished(self) -> set[BuiltAt]:
        """The prefixes that have been read completely."""
        self._look()
        return self._finished

    def through(self, wanted: set[BuiltAt]) -> bool:
        """Whether these prefixes have been read, and every question on their streams has its recall."""
        self._look()
        return wanted <= self._finished and {mark[:3] for mark in wanted} <= self._read

    def _look(self) -> None:
        if not self._file.is_file():
            return
        with self._file.open("rb") as file:
            file.seek(self._offset)
            lines = file.read()
        lines = lines[: lines.rfind(b"\n") + 1]  # the last line may be incomplete
        self._offset += len(lines)
        for line in lines.splitlines():
            try:
                mark = self._decode(line)
            except msgspec.MsgspecError:
                continue  # operations() reports the damaged line
            if mark.chunk == FINISH:
                self._finished.add((mark.context_id, mark.digest, mark.repeat, mark.position))
            elif mark.chunk == READ:
                self._read.add((mark.context_id, mark.digest, mark.repeat))


class MemoryWriter:
    """This process's share in building one memory: it appends steps while it holds the folder's lock. It takes the lock
    when something is missing that no other process is building, and gives it up when all readings have ended, or in
    `release`.

    readings: number of readings to come (a context in one repeat). differing: number of steps whose outcome differs
    from the folder's.
    """

    def __init__(self, folder: MemoryFolder, manifest: MemoryManifest, readings: int = 0) -> None:
        self.folder = folder
        self._manifest = manifest
        self._readings = readings
        self._file: Appending | None = None
        self._built = Built(folder)
        self._waited = False
        self.differing = 0
        self._known: dict[tuple[object, ...], tuple[int, int]] | None = None  # step -> (attempt, hash of its last row)

    @property
    def held(self) -> bool:
        return self._file is not None

    def take(self) -> bool:
        """Take the lock if it is free. Raises UsageError if the folder cannot be written."""
        if self._file is None:
            file = Appending(self.folder.path, {OperationRow: self.folder.operations_file})
            if not file.held:
                return False
            try:
                self.folder.add_origins(self._manifest)
                self._known = self._read()
            except BaseException:
                file.close()
                raise
            self._file = file
        return True

    async def wait(self, wanted: set[BuiltAt]) -> None:
        """Wait until these prefixes of a stream are built, or this process may build them. If the memory follows from
        stored replies, finished prefixes are not built again here: the agent runs on the stored replies."""
        while not self.held:
            if (self._manifest.replayable and self._built.through(wanted)) or self.take():
                return
            if not self._waited:
                self._waited = True
                path = self.folder.path
                print(f"memeval: waiting for another process, which builds the memory {path}", file=sys.stderr, flush=True)
            await asyncio.sleep(POLL)

    def reading_ended(self) -> None:
        self._readings -= 1
        if not self._readings:
            self.release()

    def _read(self) -> dict[tuple[object, ...], tuple[int, int]]:
        rows = read_rows(self.folder.operations_file, OperationRow, _FIX)
        return {(*row.key, row.digest): (row.attempt, _content(row)) for row in rows}

    def append(self, row: OperationRow) -> None:
        """Append a step. A step with the same outcome as before is not written again; another outcome is a new attempt.
        Without the lock nothing is written, because the step came from the stored replies of the process that wrote it."""
        if self._known is None:
            self._known = self._read()
        key, content = (*row.key, row.digest), _content(row)
        attempt, before = self._known.get(key, (-1, None))
        if content == before:
            return
        self.differing += before is not None
        if self._file is not None:
            self._known[key] = (attempt + 1, content)
            self._file.append(msgspec.structs.replace(row, attempt=attempt + 1))

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _content(row: OperationRow) -> int:
    """A hash of everything that a step did, except `rebuilt`: which positions the agent reads itself, and which an
    agent that is built anew, depends on the other questions."""
    return hash(encode(msgspec.structs.replace(row, attempt=0, rebuilt="")))


def generations(first: Path) -> list[Path]:
    """The existing memory folders of one identity, oldest first: NAME, NAME.2, NAME.3 ..."""
    tails = (path.name[len(first.name) + 1 :] for path in first.parent.glob(f"{glob.escape(first.name)}.*"))
    later = sorted(int(tail) for tail in tails if tail.isdecimal())
    return [path for path in (first, *(_generation(first, number) for number in later)) if path.is_dir()]


def next_generation(first: Path) -> Path:
    """The folder of the next memory of this identity; it does not exist yet."""
    known = generations(first)
    number = int(known[-1].name[len(first.name) + 1 :] or 1) + 1 if known else 1
    return _generation(first, number)


def new_generation(first: Path) -> Path:
    """Create the folder of the next memory of this identity. No other process gets the same folder."""
    while True:
        path = next_generation(first)
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            return path


def first_generation(memory: Path) -> Path:
    """The folder of the first memory of the same identity."""
    name, dot, number = memory.name.rpartition(".")
    return memory.with_name(name) if dot and number.isdecimal() else memory


def _generation(first: Path, number: int) -> Path:
    return first if number == 1 else first.with_name(f"{first.name}.{number}")
