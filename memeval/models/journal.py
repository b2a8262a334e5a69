"""Finished calls in one SQLite file: the store under the user's cache, and a run's `calls.sqlite` (run_journal.py).

A completion is on its way to the disk, committed, before its call counts as finished: a process killed at any instant loses
at most the calls in flight. Several processes may use one file. Errors are never stored, nor is anything secret.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from memeval.errors import UsageError
from memeval.models.completion import Completion

SCHEMA = 1
PATIENCE = 60.0  # seconds to wait for another process's write
TRIES = 5
APPLICATION = 0x6D656D65  # "meme": tells our files from other people's SQLite files
_CREATE = """
CREATE TABLE IF NOT EXISTS calls (
    key BLOB PRIMARY KEY,
    model TEXT NOT NULL,
    created REAL NOT NULL,
    value TEXT NOT NULL
)
"""
_INSERT = "INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?)"
_SIZE = "length(CAST(value AS BLOB)) + length(CAST(model AS BLOB)) + 72"  # and the key (table and index) and the time
_CONTENTS = (
    f"SELECT model, count(*), sum({_SIZE}) AS size, min(created), max(created) FROM calls GROUP BY model ORDER BY size DESC"
)
_BY_AGE = f"SELECT rowid, created, {_SIZE} FROM calls ORDER BY created DESC, rowid DESC"
_BATCH = 1000
Entry = tuple[bytes, str, float, str]
"""(key, model, Unix time, the completion as `encode` writes it)"""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a file holds of one model (its identity): entries, their bytes, Unix times of the first and the last."""

    model: str
    entries: int
    bytes: int
    oldest: float
    newest: float


_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_TO_JSON = json.JSONEncoder().encode
Result = TypeVar("Result")


def to_stderr(notice: str) -> None:
    print(notice, file=sys.stderr)


def encode(completion: Completion) -> str:
    """The JSON under which a completion is stored."""
    return _TO_JSON(completion.to_json())


class Journal:
    """key (32 bytes) -> Completion, in `path`.

    A file that is damaged, of another program or of another schema is renamed (`.set-aside-N`), with one notice, and begun
    anew. Raises UsageError (one line) when the file cannot be read or written for other reasons, such as a full disk.
    """

    def __init__(self, path: Path, notice: Callable[[str], None] = to_stderr) -> None:
        self.path = path
        self._notice = notice
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{path.parent}: cannot create the folder ({error.strerror})") from None
        self._open()

    def get(self, key: bytes) -> Completion | None:
        row = self._do(lambda: self._database.execute("SELECT value FROM calls WHERE key = ?", (key,)).fetchone())
        if row is None:
            return None
        completion = decoded(row[0])
        if completion is None:  # call again
            self._do(lambda: self._database.execute("DELETE FROM calls WHERE key = ?", (key,)))
        return completion

    def put(self, key: bytes, model: str, completion: Completion) -> None:
        """Store and commit. The first reply to a call stays; completions with `error` are not taken."""
        if completion.error is None:
            self.put_text(key, model, encode(completion))

    def put_text(self, key: bytes, model: str, text: str) -> None:
        """`put` of a completion that `encode` has written already (for two stores, once)."""
        row = (key, model, time.time(), text)
        self._do(lambda: self._database.execute(_INSERT, row))

    def put_rows(self, rows: Sequence[Entry]) -> None:
        """Several `put_text` in one transaction."""

        def insert() -> None:
            with self._database:  # commits, or rolls back
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany(_INSERT, rows)

        self._do(insert)

    def keys(self) -> set[bytes]:
        return {row[0] for row in self._do(lambda: self._database.execute("SELECT key FROM calls").fetchall())}

    def settle(self) -> None:
        """Commit what was put and is not committed yet: nothing, here."""

    def __len__(self) -> int:
        return int(self._do(lambda: self._database.execute("SELECT count(*) FROM calls").fetchone())[0])

    def contents(self) -> list[Holding]:
        """What is stored of each model, the largest first."""
        rows = self._do(lambda: self._database.execute(_CONTENTS).fetchall())
        return [Holding(*row) for row in rows]

    def prune(self, before: float, keep: int | None = None) -> int:
        """Remove the entries made before a Unix time, then the oldest until the rest takes `keep` bytes. Returns how many.

        In small transactions: who calls models meanwhile finds an entry or calls again, and never waits for long."""
        rows = self._do(lambda: self._database.execute(_BY_AGE).fetchall())
        left, gone = 0, []
        for number, created, size in rows:  # newest first
            left += size
            if created < before or (keep is not None and left > keep):
                gone.append((number, created))
        removed = 0
        for start in range(0, len(gone), _BATCH):
            removed += self._do(partial(self._remove, gone[start : start + _BATCH]))
        return removed

    def _remove(self, some: Sequence[tuple[int, float]]) -> int:
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            # a row number may have been given anew to a row of another time
            return self._database.executemany("DELETE FROM calls WHERE rowid = ? AND created = ?", some).rowcount

    def compact(self) -> bool:
        """Give the room of removed entries back to the disk; False where others use the file too much for it now."""
        try:
            self._database.execute("PRAGMA busy_timeout = 5000")
            self._database.execute("VACUUM")
            busy, _, _ = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
        except sqlite3.OperationalError:  # locked, or no room for the copy: the file stays as it is
            return False
        finally:
            self._database.execute(f"PRAGMA busy_timeout = {int(PATIENCE * 1000)}")

    def close(self) -> None:
        self._database.close()

    def _open(self) -> None:
        """Connect, with further tries on a new file where the first is not one of ours."""
        for attempt in range(TRIES):
            self._inode = _inode(self.path)
            try:
                self._connect()
                break
            except (sqlite3.Error, _Foreign) as error:
                if attempt == TRIES - 1 or not (_damaged(error) or _swept_away(error)):
                    raise UsageError(f"{self.path}: cannot be opened ({error}); make it a file that you may write") from None
                if _damaged(error):
                    self._set_aside(str(error))
        self._inode = _inode(self.path)

    def _connect(self) -> None:
        self._database = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        run = self._database.execute
        try:
            run("BEGIN")  # one snapshot: another process may be creating the file at this moment
            header = [run(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
            (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
            run("COMMIT")
            if tables and header != [APPLICATION, SCHEMA]:
                raise _Foreign("not a file of this version of memeval")
            _patiently(lambda: run("PRAGMA journal_mode = WAL"))
            run("PRAGMA synchronous = NORMAL")
            run("PRAGMA wal_autocheckpoint = 4000")  # pages: a sync every few thousand calls
            if not tables:
                run("BEGIN IMMEDIATE")
                run(_CREATE)
                run(f"PRAGMA application_id = {APPLICATION}")
                run(f"PRAGMA user_version = {SCHEMA}")
                run("COMMIT")
        except (sqlite3.Error, _Foreign):
            self._database.close()
            raise

    def _do(self, operation: Callable[[], Result]) -> Result:
        try:
            return operation()
        except sqlite3.Error as error:
            if not _damaged(error):
                raise unusable(self.path, error) from None
            self._database.close()
            self._set_aside(str(error))
            self._open()
        return operation()

    def _set_aside(self, reason: str) -> None:
        """Rename the file that was opened, unless another process has done so already."""
        with _locked(self.path.parent):
            if _inode(self.path) != self._inode:
                return
            number = 1
            while (aside := self.path.with_name(f"{self.path.name}.set-aside-{number}")).exists():
                number += 1
            for tail in ("-wal", "-shm", ""):
                part = Path(f"{self.path}{tail}")
                if part.exists():
                    part.rename(f"{aside}{tail}")
        self._notice(f"{self.path}: {reason}; set aside as {aside.name}, starting a new one")


def unusable(path: Path, error: Exception) -> UsageError:
    reason = getattr(error, "strerror", None) or error
    return UsageError(f"{path}: cannot be used ({reason}); make room or mend it, then run the same command again")


def decoded(text: str) -> Completion | None:
    """What `encode` wrote; None where it cannot be read."""
    try:
        return Completion.from_json(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


class _Foreign(Exception):
    """A healthy SQLite file that is not ours."""


def _damaged(error: Exception) -> bool:
    return isinstance(error, _Foreign) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def _swept_away(error: Exception) -> bool:
    """Whether the file may have been set aside by another process at this moment, its write-ahead log with it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


def _patiently(operation: Callable[[], object]) -> None:
    """SQLite's own waiting does not cover the switch to WAL while another process opens the same new file."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            operation()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process or thread at a time. The folder is locked, not the file: to close a file is to lose the locks that SQLite
    holds on it for other connections of this process."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows, where a file in use cannot be renamed either
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
