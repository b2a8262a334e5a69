"""The user's cache of calls, shared by all runs and processes.

Folder: `MEMEVAL_CACHE`, else `XDG_CACHE_HOME/memeval`, else `~/.cache/memeval`. A cache that cannot be used turns itself
off with one notice: it saves money, it never stops a run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from memeval.config import cache_folder
from memeval.errors import UsageError
from memeval.models.completion import Completion
from memeval.models.journal import Entry, Journal, to_stderr


class Cache:
    """A `Journal` in the user's cache folder that never fails. `path` is its file. `put_text` is written by `flush`: what is
    lost when the process is killed between the two stands in the run's journal."""

    def __init__(self, folder: Path | None = None, notice: Callable[[str], None] = to_stderr) -> None:
        self.path = (folder or cache_folder()) / "calls.sqlite"
        self._notice = notice
        self._store: Journal | None = None
        self._waiting: dict[bytes, Entry] = {}
        try:
            self._store = Journal(self.path, notice)
        except UsageError as error:
            self._turn_off(error)

    def get(self, key: bytes) -> Completion | None:
        if self._store is None:
            return None
        if key in self._waiting:
            return Completion.from_json(json.loads(self._waiting[key][3]))
        try:
            return self._store.get(key)
        except UsageError as error:
            self._turn_off(error)
            return None

    def put_text(self, key: bytes, model: str, text: str) -> None:
        if self._store is not None:
            self._waiting[key] = (key, model, time.time(), text)

    def flush(self) -> None:
        """Commit what `put_text` took since the last time, in one go."""
        if self._store is None or not self._waiting:
            return
        rows, self._waiting = list(self._waiting.values()), {}
        try:
            self._store.put_rows(rows)
        except UsageError as error:
            self._turn_off(error)

    def close(self) -> None:
        self.flush()
        if self._store is not None:
            self._store.close()

    def _turn_off(self, error: UsageError) -> None:
        self._store = None
        self._notice(f"the cache is off: {error}")
