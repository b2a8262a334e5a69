"""One memory for all runs that differ only in how it is read: under which answer budget, by which reader.

Runs of one RUNS folder whose `ingest_hash` is the same (RunSpec.ingest_identity) are siblings. What one of them has in its
journal of the calls that build a memory and recall from it is read there by the others, not sent again: also with
`--no-cache`, and where the model never says the same twice. While one builds the memory of a context, siblings in other
processes wait for it, so that there are never two. `--fresh` of one of them reads the memory that the others hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from memeval.errors import UsageError
from memeval.models.completion import Completion
from memeval.models.store import APPLICATION, BUSY_SECONDS, SCHEMA, decoded, to_stderr
from memeval.records.folder import RunFolder

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows: no process waits for another
    fcntl = None

LOCK = ".memories"
"""File in the RUNS folder: a range of bytes is locked for each memory that is being built, and it grows by a byte with every
run that starts, which tells the others to look for siblings again."""

SHARED = ("ingest", "recall")
"""Phases before the answer budget cuts and the reader reads."""

POLL = 0.1  # seconds


class Siblings:
    """The siblings of the run in `folder`, whose manifest is written already."""

    def __init__(self, folder: Path, ingest_hash: str, notice: Callable[[str], None] = to_stderr) -> None:
        self.folder = folder
        self._hash = ingest_hash
        self._notice = notice
        self._told: set[str] = set()
        self._known = -1  # size of the lock file when siblings were looked for
        self._journals: dict[str, _Reader] = {}
        path = folder.parent.parent / LOCK
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UsageError(f"{path}: cannot be opened ({error.strerror}); use --runs-dir") from None
        os.write(self._file, b".")

    @asynccontextmanager
    async def turn(self, context_id: str, repeat: int) -> AsyncIterator[Callable[[], None]]:
        """Until this block ends, or what it is given is called, no sibling in another process builds the memory of this
        context and repeat."""
        name = f"{self._hash}\0{context_id}\0{repeat}"
        place = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:7], "big")
        while not self._locked(place):
            self._tell("waiting for another run, which builds the same memory")
            await asyncio.sleep(POLL)

        def built() -> None:
            if fcntl is not None:
                with contextlib.suppress(OSError):
                    fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

        try:
            self._look()
            yield built
        finally:
            built()

    def get(self, key: bytes, phase: str) -> tuple[str, Completion] | None:
        """(sibling, reply) of a call that belongs to the memory, from the first sibling that has it."""
        if phase not in SHARED:
            return None
        for run, journal in list(self._journals.items()):
            try:
                found = journal.get(key)
            except sqlite3.Error as error:
                self._give_up(run, error)
                continue
            if found is not None:
                return run, found
        return None

    def close(self) -> None:
        for journal in self._journals.values():
            journal.close()
        os.close(self._file)  # and with it all locks

    def _locked(self, place: int) -> bool:
        if fcntl is None:
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)  # a file system without locks: nobody can be waited for
        return True

    def _look(self) -> None:
        """Open the journals of all siblings anew where another run has started: it may be one, or may have started anew."""
        size = os.fstat(self._file).st_size
        if size == self._known:
            return
        self._known = size
        for run in list(self._journals):
            self._journals.pop(run).close()
        for folder in siblings(self.folder, self._hash):
            run, path = f"{folder.parent.name}/{folder.name}", folder / "calls.sqlite"
            try:
                if path.is_file():
                    self._journals[run] = _Reader(path)
            except sqlite3.Error as error:
                self._give_up(run, error)

    def _give_up(self, run: str, error: sqlite3.Error) -> None:
        journal = self._journals.pop(run, None)
        if journal is not None:
            journal.close()
        self._tell(f"the memory of {run} cannot be shared (calls.sqlite: {error})")

    def _tell(self, what: str) -> None:
        """Once."""
        if what not in self._told:
            self._told.add(what)
            self._notice(f"{self.folder}: {what}")


def siblings(folder: Path, ingest_hash: str) -> Iterator[Path]:
    """The folders of the runs whose memories are the same as those of the run in `folder`, in order of their names."""
    agent = folder.name.rpartition("-")[0]
    for path in sorted(folder.parent.parent.glob(f"*/{agent}-*/manifest.json")):
        found = RunFolder(path.parent).manifest()
        if path.parent != folder and found is not None and found.ingest_hash == ingest_hash:
            yield path.parent


class _Reader:
    """The stored calls of another run, which may be writing them at this moment: read only.

    Raises sqlite3.Error where the file is missing, damaged, or not one of this version; `get` does so as well."""

    def __init__(self, path: Path) -> None:
        address = f"{path.resolve().as_uri()}?mode=ro"
        self._database = sqlite3.connect(address, timeout=BUSY_SECONDS, isolation_level=None, uri=True)
        header = [self._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        if header != [APPLICATION, SCHEMA]:
            self._database.close()
            raise sqlite3.DatabaseError("not a file of this version of memeval")

    def get(self, key: bytes) -> Completion | None:
        row = self._database.execute("SELECT value FROM calls WHERE key = ?", (key,)).fetchone()
        return None if row is None else decoded(row[0])

    def close(self) -> None:
        self._database.close()
