"""`memeval cache stats|clear|prune`: what the user's cache holds, calls and records of data files, and how to make it
smaller.

Safe while runs use it: the file is never replaced, entries go in small transactions, and a run that misses one calls
again; or reads its data again, where it misses what was kept of them (data/records.py). Other files in the folder stay.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from memeval.config import cache_folder
from memeval.data import records
from memeval.errors import UsageError, suggest
from memeval.models.store import Store

VERBS = ("stats", "clear", "prune")
DAY = 86_400


def cache_command(verb: str, *, older_than: float | None = None, yes: bool = False, form: str = "table") -> int:
    """Returns the exit code. older_than: days (for prune). Raises UsageError for `clear`
    without `yes`, `prune` without a limit, and limits that are none."""
    if verb not in VERBS:
        raise UsageError(f"memeval cache {verb}: no such verb{suggest(verb, VERBS)} (one of {', '.join(VERBS)})")
    if verb == "prune" and older_than is None:
        raise UsageError("memeval cache prune: say what to remove, --older-than DAYS")
    if older_than is not None and not 0 <= older_than < math.inf:
        raise UsageError(f"--older-than {older_than}: expected days, 0 or more")
    path = cache_folder() / "calls.sqlite"
    for place, known, kind in ((path.parent, path.parent.is_dir(), "folder"), (path, path.is_file(), "file")):
        if not known and os.path.lexists(place):
            raise UsageError(f"{place}: not a {kind}; move it away, or set MEMEVAL_CACHE to a folder of yours")
    try:
        tasks = records.entries()
        found, text = _tasks(tasks)
        if not path.is_file() and not tasks:
            _print(form, {"path": str(path), "entries": 0, **found}, f"no cache yet: {path}")
            return 0
        store = Store(path)
        try:
            if verb == "clear" and not yes:
                what = f"all {len(store):,} replies from {path}" + (f" and {text}" if tasks else "")
                raise UsageError(f"memeval cache clear: this removes {what}; add --yes")
            if verb == "clear":
                for entry in tasks:
                    entry.unlink(missing_ok=True)
                found, text = {"tasks": {**found["tasks"], "removed": len(tasks)}}, f"removed {text}"
            if verb == "stats":
                more, lines = _stats(store)
            else:
                before = math.inf if verb == "clear" else -math.inf if older_than is None else time.time() - older_than * DAY
                more, lines = _remove(store, before)
        finally:
            store.close()
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be used ({error.strerror}); mend its permissions") from None
    _print(form, {**more, **found}, f"{lines}\n{text}" if tasks and verb != "prune" else lines)
    return 0


def _tasks(entries: Sequence[Path]) -> tuple[dict[str, Any], str]:
    """What the index holds, for JSON and in words."""
    size = sum(path.stat().st_size for path in entries)
    text = f"the records of {len(entries)} data files ({records.folder()}, {megabytes(size)})"
    return {"tasks": {"path": str(records.folder()), "entries": len(entries), "bytes": size}}, text


def _stats(store: Store) -> tuple[dict[str, Any], str]:
    held = store.contents()
    aside = sorted(path.name for path in store.path.parent.glob(f"{store.path.name}.set-aside-*"))
    found = {
        "path": str(store.path),
        "entries": sum(holding.entries for holding in held),
        "bytes": sum(holding.bytes for holding in held),
        "file_bytes": _on_disk(store.path),
        "models": [asdict(holding) for holding in held],
        "set_aside": aside,
    }
    lines = [f"{store.path}: {found['entries']:,} replies, {megabytes(_on_disk(store.path))} on disk"]
    if held:
        rows = [[h.model, f"{h.entries:,}", megabytes(h.bytes), _date(h.oldest), _date(h.newest)] for h in held]
        header = ["model", "replies", "size", "from", "to"]
        align = ("left", "right", "right", "left", "left")
        lines += ["", tabulate(rows, header, tablefmt="github", colalign=align, disable_numparse=True)]
    if aside:
        lines += ["", f"set aside because damaged or not memeval's, never read again: {', '.join(aside)}"]
    return found, "\n".join([*lines, ""] if held or aside else lines)


def _remove(store: Store, before: float) -> tuple[dict[str, Any], str]:
    was = _on_disk(store.path)
    removed = store.prune(before)
    compacted = store.compact() if removed else True
    size = _on_disk(store.path)
    found = {
        "path": str(store.path),
        "removed": removed,
        "entries": len(store),
        "file_bytes": size,
        "compacted": compacted,
    }
    text = f"removed {removed:,} replies, {len(store):,} left; {store.path} was {megabytes(was)}, is {megabytes(size)}"
    if not compacted:
        text += "\nthe room is free inside the file: it is in use, so it could not be made smaller now"
    return found, text


def _on_disk(path: Path) -> int:
    """Bytes of the file and of what SQLite keeps beside it."""
    parts = (Path(f"{path}{tail}") for tail in ("", "-wal", "-shm"))
    return sum(part.stat().st_size for part in parts if part.exists())


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _date(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(moment))


def _print(form: str, found: dict[str, Any], text: str) -> None:
    print(json.dumps(found, ensure_ascii=False) if form == "json" else text)
