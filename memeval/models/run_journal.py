"""The journal of a run, to which nobody else writes while it is open.

To insert a row takes five times as long as to append a line, and meanwhile a caller waits with its next request. So each
completion is appended to a file beside the journal, by one `write()` before its call counts as finished, and what has
gathered there is filed together a moment later; what a process that was killed had appended, when it is opened again.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from memeval.models.completion import Completion
from memeval.models.journal import APPLICATION, PATIENCE, SCHEMA, Entry, Journal, decoded, to_stderr, unusable
from memeval.models.toolcalls import tidy


class RunJournal(Journal):
    """What it lacks is known without looking; what is new may wait in `calls.tail.jsonl` until `settle`."""

    def __init__(self, path: Path, notice: Callable[[str], None] = to_stderr) -> None:
        super().__init__(path, notice)
        self._filed = self.keys()
        self._tail = _tail(path)
        self._file: int | None = None
        try:
            self._waiting = {entry[0]: entry for entry in _read(self._tail)}
        except OSError as error:
            raise unusable(self._tail, error) from None
        self.settle()

    def get(self, key: bytes) -> Completion | None:
        if key in self._waiting:
            return decoded(self._waiting[key][3])
        found = super().get(key) if key in self._filed else None
        if found is None:
            self._filed.discard(key)  # it may have been there and unreadable
        return found

    def put_text(self, key: bytes, model: str, text: str) -> None:
        if key in self._waiting or key in self._filed:
            return
        created = time.time()
        line = f'\n["{key.hex()}", {_json(model)}, {created}, {text}]'.encode()  # a line of its own even after a torn one
        try:
            if self._file is None:
                self._file = os.open(self._tail, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
            if os.write(self._file, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise unusable(self._tail, error) from None
        self._waiting[key] = (key, model, created, text)

    def settle(self) -> None:
        if not self._waiting:
            return
        self.put_rows(list(self._waiting.values()))
        self._filed.update(self._waiting)
        self._waiting.clear()
        if self._file is not None:
            os.ftruncate(self._file, 0)

    def __len__(self) -> int:
        self.settle()
        return super().__len__()

    def close(self) -> None:
        try:
            self.settle()
            self._tail.unlink(missing_ok=True)
        finally:
            if self._file is not None:
                os.close(self._file)
            super().close()


class JournalReader:
    """The journal of another run, which may be writing it at this moment: read only, whatever its state. What has been
    appended since it was opened is found once it is filed.

    Raises sqlite3.Error where the file is missing, damaged, or not one of this version; `get` does so as well."""

    def __init__(self, path: Path) -> None:
        try:
            self._waiting = {entry[0]: entry[3] for entry in _read(_tail(path))}
        except OSError as error:
            raise sqlite3.OperationalError(error.strerror) from None
        address = f"{path.resolve().as_uri()}?mode=ro"
        self._database = sqlite3.connect(address, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=True)
        header = [self._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        if header != [APPLICATION, SCHEMA]:
            self._database.close()
            raise sqlite3.DatabaseError("not a file of this version of memeval")

    def get(self, key: bytes) -> Completion | None:
        if key in self._waiting:
            return decoded(self._waiting[key])
        row = self._database.execute("SELECT value FROM calls WHERE key = ?", (key,)).fetchone()
        return None if row is None else decoded(row[0])

    def close(self) -> None:
        self._database.close()


def _tail(path: Path) -> Path:
    return path.with_name(f"{path.stem}.tail.jsonl")


def _read(tail: Path) -> Iterator[Entry]:
    """The entries of a tail, which may be missing, or torn at its end. Raises OSError where it is no file that is ours to
    empty."""
    if tail.is_symlink() or (tail.exists() and not tail.is_file()):
        raise OSError(errno.EINVAL, "not a plain file")
    for line in tail.read_bytes().split(b"\n") if tail.exists() else ():
        try:
            key, model, created, completion = json.loads(line)
            yield bytes.fromhex(key), tidy(str(model)), float(created), json.dumps(completion)
        except (ValueError, TypeError, OverflowError, RecursionError):  # the call is made again
            continue


_json = lru_cache(maxsize=64)(json.dumps)
