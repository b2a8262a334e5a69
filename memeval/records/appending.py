"""Row files that are open for appending. The process that holds the folder's lock is the only writer."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from memeval.errors import UsageError
from memeval.records.clean import encode
from memeval.records.files import cut_torn_line, unwritable, write_rows
from memeval.records.lock import lock

LOCK = ".lock"


class Appending:
    """The row files of one folder. Each row is one `write()`. Files are synced to disk once a second and at the end.

    files: type of row -> its file. Raises UsageError if the folder cannot be written. If another process holds the
    lock, `held` is False and nothing is opened.
    """

    def __init__(self, folder: Path, files: Mapping[type, Path]) -> None:
        self._paths = files
        self._files: dict[Path, int] = {}
        self._dirty: set[Path] = set()
        self._synced = time.monotonic()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(folder / LOCK)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be written ({error.strerror}); use --runs-dir") from None
        if self._lock is None:
            return
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="memeval-sync")  # a slow disk must not delay the calls
        try:
            for file in dict.fromkeys(files.values()):
                cut_torn_line(file)
                self._files[file] = _appending(file)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise unwritable(file, error) from None
            raise

    @property
    def held(self) -> bool:
        return self._lock is not None

    def append(self, row: object) -> None:
        """Append a row. Raises UsageError if the write fails; half a line is cut when the folder is opened again."""
        path = self._paths[type(row)]
        data = encode(row) + b"\n"
        try:
            if os.write(self._files[path], data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise unwritable(path, error) from None
        self._dirty.add(path)
        if time.monotonic() - self._synced >= 1.0:
            self._sync()

    def replace(self, path: Path, rows: Iterable[object]) -> None:
        """Replace all rows of a file, or none, and append after them from now on."""
        self._disk.submit(os.close, self._files.pop(path)).result()  # after the pending syncs of the same file
        write_rows(path, rows)
        self._files[path] = _appending(path)

    def close(self) -> None:
        """Sync everything to disk, and let other processes write."""
        if self._lock is None:
            return
        self._sync()
        self._disk.shutdown()
        for handle in (*self._files.values(), self._lock):
            os.close(handle)
        self._lock = None

    def _sync(self) -> None:
        for path in self._dirty:
            self._disk.submit(os.fsync, self._files[path])
        self._dirty.clear()
        self._synced = time.monotonic()


def _appending(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
