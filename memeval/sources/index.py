"""What a task held when it was read last, so that a run with nothing left to do need not read its data again.

A run's name needs the task's `data` and `order` alone. They lie in the user's cache (`tasks/HASH.json`) under a hash of all
that they follow from: the card, the settings, memeval's own source text, and of every file that meets the card's needs its
path, inode, size and time stamps. Nothing is ever brought up to date: what has changed in any way is not found, and read.
Only built-in sources are indexed, and nothing from the hub, which may have moved on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from memeval import cards, plugins
from memeval.cards import TaskCard
from memeval.datafiles.needs import in_data_folder
from memeval.errors import UsageError
from memeval.models.cache import cache_folder
from memeval.sources import Settings, Task
from memeval.task import Context, ContextRef, Question

_NAME = re.compile(r"[0-9a-f]{64}\.json(\.\d+)?")  # with the number of a process that is writing it, or was killed
KEPT = 64  # entries in the cache; the oldest go first
WORTH = 2**20  # bytes: files that are smaller together are read as fast as they are looked up
RACY = 2.0  # seconds: a file changed as recently as this may change again under the same time stamp
_FACTS = {"name", "sha256", "bytes", "records"}
_STARTED = time.time()


def folder() -> Path:
    return cache_folder() / "tasks"


def entries() -> list[Path]:
    """The files of the index, and no others that lie there. Raises OSError where the folder cannot be read."""
    found = folder().iterdir() if folder().is_dir() else ()
    return sorted(path for path in found if _NAME.fullmatch(path.name) and path.is_file())


def load(card: TaskCard, settings: Settings, use_cache: bool = True) -> Task:
    """The task as its source reads it, or as it was found when it was read before. Raises UsageError as the source does; for
    a task from the index, that is when its first context or gold is asked for."""
    read: Callable[[], Task] = functools.partial(plugins.source(card)().load, card, settings)
    entry = _entry(card, settings) if use_cache else None
    if entry is None:
        return read()
    path, names = entry
    known = _known(path)
    if known is not None:
        return IndexedTask(card, *known, read, path)
    task = read()
    if _only(task.data, names) and _entry(card, settings) == entry:
        _save(path, task)
    return task


class IndexedTask:
    """Implements `memeval.sources.Task`. read: loads the real one, when anything but `data` and `order` is asked for."""

    def __init__(
        self, card: TaskCard, data: Mapping[str, Any], order: Sequence[str], read: Callable[[], Task], path: Path
    ) -> None:
        self.card, self.data, self.order = card, data, order
        self._read, self._path = read, path
        self._real: Task | None = None
        self._lock = threading.Lock()

    def golds(self) -> Sequence[Question]:
        return self._task().golds()

    def refs(self, question_ids: Sequence[str]) -> list[ContextRef]:
        return self._task().refs(question_ids)

    def context(self, ref: ContextRef) -> Context:
        return self._task().context(ref)

    def _task(self) -> Task:
        with self._lock:
            if self._real is None:
                task = self._read()
                if cards.digest([task.data, task.order]) != cards.digest([self.data, self.order]):
                    with contextlib.suppress(OSError):
                        self._path.unlink()
                    raise UsageError(f"task '{self.card.name}': its data were changed while they were in use; start again")
                self._real = task
            return self._real


def _entry(card: TaskCard, settings: Settings) -> tuple[Path, frozenset[str]] | None:
    """Where the task's entry is, and the names of all files that the task may read; None for a task that is not indexed,
    because it is not worth it or because nothing tells for sure whether it has changed."""
    if card.source not in plugins.SOURCES or (code := _code()) is None:
        return None
    try:
        files = in_data_folder(card, settings)
        found = [(file.name, str(file.path.resolve()), file.path.stat()) for file in files or ()]
    except (UsageError, OSError):
        return None  # the source says it better
    now = time.time()
    small = found and sum(status.st_size for *_, status in found) < WORTH
    if files is None or small or any(now - _changed(status) <= RACY for *_, status in found):
        return None
    stamps = [(name, path, it.st_dev, it.st_ino, it.st_size, it.st_mtime_ns, it.st_ctime_ns) for name, path, it in found]
    wanted = 0 if files else settings.questions  # by sources that make their questions
    key = cards.digest([sys.version, code, dataclasses.asdict(card), settings.seed, wanted, stamps])
    return folder() / f"{key}.json", frozenset(Path(name).name for name, *_ in found)


def _changed(status: os.stat_result) -> float:
    """Seconds since 1970. A program can set the time of modification, but not that of the last change."""
    return max(status.st_mtime, status.st_ctime)


@functools.cache
def _code() -> str | None:
    """sha256 of memeval's source text; None where this process may run an earlier one."""
    root = Path(cards.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        if _STARTED - _changed(path.stat()) <= RACY:
            return None
        text = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()


def _only(data: Mapping[str, Any], names: frozenset[str]) -> bool:
    """Whether a task was read from these files and nothing else (the hub, or a folder of pages)."""
    return all(set(fact) == _FACTS and Path(fact["name"]).name in names for fact in data.get("files", ()))


def _known(path: Path) -> tuple[Mapping[str, Any], tuple[str, ...]] | None:
    try:
        found = json.loads(path.read_bytes())
        whole = found["sha256"] == cards.digest([path.name, found["data"], found["order"]])
        return (found["data"], tuple(found["order"])) if whole else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # not there, or damaged: it holds nothing that cannot be read again


def _save(path: Path, task: Task) -> None:
    """It saves time, and nothing depends on it: a cache that cannot be written is left alone."""
    entry = {"sha256": cards.digest([path.name, task.data, task.order]), "data": task.data, "order": task.order}
    own = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        own.write_bytes(cards.canonical(entry).encode("utf-8", "surrogatepass"))
        own.replace(path)
        for old in sorted(entries(), key=lambda other: other.stat().st_mtime)[:-KEPT]:
            old.unlink()
