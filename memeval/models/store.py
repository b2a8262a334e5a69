"""Finished calls in one SQLite file: of a memory, of a run, or in the user's cache. One table, `key -> reply`.

A reply is committed before it is returned, so it survives the death of the process. One thread per file writes: it
takes all waiting entries, commits them in one transaction, and reports back, so that many calls share one change of
threads, and the event loop never waits for a write or for another process. Several processes may use one file. The
first reply to a call stays; errors are never stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from memeval.config import cache_folder
from memeval.errors import UsageError
from memeval.models import store_file
from memeval.models.completion import Completion
from memeval.models.store_file import BUSY_SECONDS
from memeval.records.clean import encode

_SIZE = "length(CAST(value AS BLOB)) + length(CAST(model AS BLOB)) + 72"  # and the key (table and index) and the time
_CONTENTS = (
    f"SELECT model, count(*), sum({_SIZE}) AS size, min(created), max(created) FROM calls GROUP BY model ORDER BY size DESC"
)
_BATCH = 1000
_VALUE = "SELECT CAST(value AS BLOB) FROM calls WHERE key = ?"  # damaged text may not be UTF-8
Entry = tuple[bytes, str, float, str]
"""(key, model, Unix time, the completion as JSON)"""
_Wanted = tuple[bytes, Entry | None, "asyncio.Future[Completion | None]"]
"""(key of a call, the row to insert if any, the future for the reply that is stored then)"""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Holding:
    """The entries of one model (its identity) in a file: their number and bytes, Unix times of the first and the last."""

    model: str
    entries: int
    bytes: int
    oldest: float
    newest: float


class Store:
    """key (32 bytes) -> Completion, in `path`.

    A file that is damaged, of another program or of another schema is renamed (`.set-aside-N`), with one notice, and
    replaced by a new one. Raises UsageError (one line) if the file cannot be read or written for other reasons, such as
    a full disk; an `optional` store (the user's cache) turns itself off with one notice instead.
    """

    def __init__(self, path: Path, *, optional: bool = False) -> None:
        self.path = path
        self._optional = optional
        self._off = False
        self._reader: sqlite3.Connection | None = None
        self._wanted: list[_Wanted] = []  # since the last batch for the thread
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="memeval-store")
        self._closed = False
        try:
            self._do(self._open)
        except UsageError:
            self.close()
            raise

    async def get(self, key: bytes) -> Completion | None:
        """The reply to a call; None if it is not stored. An unreadable reply is removed, so that the call is repeated.

        It is read in this thread if possible: a page or two of a file take less time than a change of threads.
        """
        with contextlib.suppress(sqlite3.Error):  # the thread will meet the error too and handles it
            if (reader := self._reader) is not None:
                row = reader.execute(_VALUE, (key,)).fetchone()
                if row is None:
                    return None
                if (found := decoded(row[0])) is not None:
                    await asyncio.sleep(0)  # a caller that reads many replies in a row must not block others or Ctrl-C
                    return found
        return await self._want(key)

    async def put(self, key: bytes, model: str, completion: Completion) -> Completion:
        """Store a reply; returns the stored reply after the commit, because another process may have been first.
        Completions with `error` are not stored."""
        if completion.error is not None:
            return completion
        text = encode(msgspec.to_builtins(completion)).decode()
        return await self._want(key, (key, model, time.time(), text)) or completion

    def __len__(self) -> int:
        return int(self._do(lambda: self._database.execute("SELECT count(*) FROM calls").fetchone()[0]) or 0)

    def contents(self) -> list[Holding]:
        """The entries by model, the largest first."""
        rows = self._do(lambda: self._database.execute(_CONTENTS).fetchall()) or []
        return [Holding(*row) for row in rows]

    def prune(self, before: float) -> int:
        """Remove the entries made before a Unix time; returns their number. It uses small transactions, so that other
        processes never wait for long."""
        query = f"DELETE FROM calls WHERE rowid IN (SELECT rowid FROM calls WHERE created < ? LIMIT {_BATCH})"
        removed = 0
        while some := self._do(lambda: self._database.execute(query, (before,)).rowcount):
            removed += some
        return removed

    def compact(self) -> bool:
        """Return the space of removed entries to the disk; False if other processes use the file too much."""

        def work() -> bool:
            self._database.execute("PRAGMA busy_timeout = 5000")
            try:
                self._database.execute("VACUUM")
                return not self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            except sqlite3.OperationalError:  # locked, or no space for the copy: the file stays as it is
                return False
            finally:
                self._database.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")

        return bool(self._do(work))

    def close(self) -> None:
        """Commit all waiting entries, then close the file."""
        if self._closed:
            return
        self._hand_over()
        self._closed = True
        self._thread.submit(self._disconnect).result()
        self._thread.shutdown()

    # -- passing work to the thread -----------------------------------------------------------------------------------

    def _want(self, key: bytes, entry: Entry | None = None) -> asyncio.Future[Completion | None]:
        """The reply under a key after `entry` is committed, together with other requests of this round of the event
        loop."""
        if self._closed:
            raise RuntimeError(f"{self.path}: the store is closed")
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Completion | None] = loop.create_future()
        if not self._wanted:
            loop.call_soon(self._hand_over)
        self._wanted.append((key, entry, result))
        return result

    def _hand_over(self) -> None:
        wanted, self._wanted = self._wanted, []
        if wanted:
            self._thread.submit(self._serve, wanted)

    def _serve(self, wanted: list[_Wanted]) -> None:
        found: list[Completion | None] = [None] * len(wanted)
        error: Exception | None = None
        try:
            found = self._guarded(partial(self._exchange, wanted)) or found
        except Exception as caught:
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed, so no caller is waiting
            wanted[0][-1].get_loop().call_soon_threadsafe(_report, wanted, found, error)

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _do(self, work: Callable[[], Result]) -> Result | None:
        if self._closed:
            raise RuntimeError(f"{self.path}: the store is closed")
        return self._thread.submit(self._guarded, work).result()

    def _disconnect(self) -> None:
        if hasattr(self, "_database"):
            if self._reader is not None:
                self._reader.close()
            self._database.close()  # the last connection removes the files beside the database, if it may write

    def _guarded(self, work: Callable[[], Result]) -> Result | None:
        if self._off:
            return None
        try:
            try:
                return work()
            except sqlite3.Error as error:
                if not store_file.damaged(error):
                    raise
                self._reader = None  # it closes where it is not in use
                self._database.close()
                store_file.set_aside(self.path, self._inode, str(error))
                self._open()
                return work()
        except (sqlite3.Error, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            fix = "make room or correct its permissions, then run the same command again"
            text = f"{self.path}: cannot be used ({reason}); {fix}"
            if not self._optional:
                raise UsageError(text) from None
            self._off, self._reader = True, None
            print(f"the cache is off: {text}", file=sys.stderr)
            return None

    def _exchange(self, wanted: list[_Wanted]) -> list[Completion | None]:
        """Insert all waiting entries in one transaction; return the stored replies."""
        if entries := [entry for _, entry, _ in wanted if entry is not None]:
            with self._database:  # commits, or rolls back
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany("INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?)", entries)
        return [self._find(key) for key, _, _ in wanted]

    def _find(self, key: bytes) -> Completion | None:
        row = self._database.execute(_VALUE, (key,)).fetchone()
        completion = decoded(row[0]) if row else None
        if row and completion is None:
            self._database.execute("DELETE FROM calls WHERE key = ?", (key,))
        return completion

    def _open(self) -> None:
        self._database, self._inode = store_file.opened(self.path, shared=self._optional)
        self._reader = store_file.reading(self._database, self.path)


def _report(wanted: list[_Wanted], found: list[Completion | None], error: Exception | None) -> None:
    """Give the callers their results, on the event loop."""
    for (_, _, result), completion in zip(wanted, found, strict=True):
        if result.done():  # its caller was cancelled
            continue
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(completion)


def decoded(text: bytes) -> Completion | None:
    """A completion from its JSON; None where it cannot be read."""
    try:
        return msgspec.json.decode(text, type=Completion)
    except msgspec.DecodeError:
        return None


def open_cache() -> Store:
    """The store of the user's cache, shared by all runs and processes. If it cannot be used, it turns itself off with
    one notice: the cache saves money, but must never stop a run."""
    return Store(cache_folder() / "calls.sqlite", optional=True)
