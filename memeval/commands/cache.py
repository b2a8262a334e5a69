"""`memeval cache stats|clear|prune`: show what the user's cache holds, and make it smaller.

Safe while runs use the cache: the file is never replaced, entries are removed in small transactions, and a run makes a call
again if its reply is gone. Other files in the folder are left alone.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from memeval.config import cache_folder
from memeval.data import records
from memeval.data.files import megabytes
from memeval.errors import UsageError
from memeval.models.store import Store
from memeval.results.columns import columns
from memeval.wording import counted


def stats(form: str = "table") -> str:
    """The number and size of replies by model, and of the records of data files."""
    with _store() as store:
        held = [] if store is None else store.contents()
    data = records.entries()
    aside = sorted(path.name for path in cache_folder().glob("calls.sqlite.set-aside-*"))
    entries = sum(holding.entries for holding in held)
    if form == "json":
        found = {
            "path": str(_path()),
            "entries": entries,
            "bytes": sum(holding.bytes for holding in held),
            "file_bytes": _on_disk(),
            "models": [asdict(holding) for holding in held],
            "set_aside": aside,
            "data": {"path": str(records.folder()), "entries": len(data), "bytes": _bytes(data)},
        }
        return json.dumps(found, ensure_ascii=False)
    lines = [f"{_path()}: {counted(entries, 'reply')}, {megabytes(_on_disk())} on disk"]
    if held:
        rows = [[h.model, f"{h.entries:,}", megabytes(h.bytes), _date(h.oldest), _date(h.newest)] for h in held]
        header = ["model", "replies", "size", "from", "to"]
        lines += ["", columns(header, rows, ("left", "right", "right", "left", "left"), keep=header), ""]
    if aside:
        lines.append(f"set aside because damaged or not memeval's, never read again: {', '.join(aside)}")
    return "\n".join(
        [*lines, f"{records.folder()}: the records of {counted(len(data), 'data file')}, {megabytes(_bytes(data))}"]
    )


def clear(yes: bool = False) -> str:
    """Remove everything. Raises UsageError without `yes`."""
    data = records.entries()
    with _store() as store:
        if not yes:
            what = f"all {counted(0 if store is None else len(store), 'reply')} from {_path()}"
            raise UsageError(
                f"memeval cache clear: this removes {what}, and the records of {counted(len(data), 'data file')}; add --yes"
            )
        for entry in data:
            entry.unlink(missing_ok=True)
        return f"{_removed(store, math.inf)}\nremoved the records of {counted(len(data), 'data file')}"


def prune(older_than: float) -> str:
    """Remove replies that are older than `older_than` days."""
    with _store() as store:
        return _removed(store, time.time() - older_than * 86_400)


@contextlib.contextmanager
def _store() -> Iterator[Store | None]:
    """Open the store of replies; None where there is none yet. Raises UsageError where its path is something else."""
    remedy = "move it away, or set MEMEVAL_CACHE to a folder of yours"
    if cache_folder().exists() and not cache_folder().is_dir():
        raise UsageError(f"{cache_folder()}: not a folder; {remedy}")
    if _path().exists() and not _path().is_file():
        raise UsageError(f"{_path()}: not a file; {remedy}")
    store = Store(_path()) if _path().is_file() else None
    try:
        yield store
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be used ({error.strerror}); correct its permissions") from None
    finally:
        if store is not None:
            store.close()


def _removed(store: Store | None, before: float) -> str:
    was = _on_disk()
    removed = 0 if store is None else store.prune(before)
    compacted = store is None or not removed or store.compact()
    note = "" if compacted else "; the space is free inside the file, which is in use and could not be made smaller now"
    left = 0 if store is None else len(store)
    sizes = f"{_path()} was {megabytes(was)}, is {megabytes(_on_disk())}"
    return f"removed {counted(removed, 'reply')}, {left:,} left; {sizes}{note}"


def _path() -> Path:
    return cache_folder() / "calls.sqlite"


def _on_disk() -> int:
    """The size in bytes of the file and of SQLite's files beside it."""
    return _bytes([path for tail in ("", "-wal", "-shm") if (path := Path(f"{_path()}{tail}")).exists()])


def _bytes(paths: list[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def _date(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(moment))
