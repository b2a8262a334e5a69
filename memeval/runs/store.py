"""The run folder: append-only JSONL files that survive a kill, and whole files that are replaced at once.

Every line is one `write()`. A torn last line (killed between two blocks) is cut when the folder is opened again. Files are
synced to disk once a second and at the end. One process at a time holds a folder (a lock that the kernel drops with it).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from memeval.errors import UsageError

LINES = ("samples", "questions", "texts", "operations", "events")
Line = dict[str, Any]
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Store:
    """An open run folder. Only the driver of a run writes it; readers use `read_lines` and `read_json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, int] = {}
        self._synced = time.monotonic()
        self._dirty: set[str] = set()
        self._lock: int | None = None
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="memeval-sync")  # a slow disk must not hold up the calls

    def __enter__(self) -> Store:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UsageError(f"{self.folder}: cannot write the run folder ({error.strerror}); use --runs-dir") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise UsageError(f"{self.folder}: another memeval process is writing this run; wait for it or stop it") from None
        for name in LINES:
            path = self.folder / f"{name}.jsonl"
            cut_torn_line(path)
            self._files[name] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        # what is known already is not written again: a resumed run repeats only what it must compute again
        self._texts = {line["sha"] for line in self.lines("texts")}
        self._questions = {line["question_id"] for line in self.lines("questions")}
        self._operations = {operation_key(line) for line in self.lines("operations")}
        return self

    def __exit__(self, *exc: object) -> None:
        self.sync()
        self._disk.shutdown()
        for handle in self._files.values():
            os.close(handle)
        if self._lock is not None:
            os.close(self._lock)

    def lines(self, name: str) -> Iterator[Line]:
        return read_lines(self.folder / f"{name}.jsonl")

    def append(self, name: str, line: Line) -> None:
        """One line, one write. Lines known already (texts, questions, operations) are dropped. Raises UsageError where the
        disk does not take it: half a line is cut when the folder is opened again."""
        if name == "operations":
            key = operation_key(line)
            if key in self._operations:
                return
            self._operations.add(key)
        elif name == "questions":
            if line["question_id"] in self._questions:
                return
            self._questions.add(line["question_id"])
        data = _to_json(line).encode("utf-8", "replace") + b"\n"
        try:
            if os.write(self._files[name], data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise _unwritable(self.folder / f"{name}.jsonl", error) from None
        self._dirty.add(name)
        if time.monotonic() - self._synced >= 1.0:
            self.sync()

    def text(self, sha: str, text: str) -> None:
        """Keep a long text once."""
        if sha not in self._texts:
            self._texts.add(sha)
            self.append("texts", {"sha": sha, "text": text})

    def sync(self) -> None:
        for name in self._dirty:
            self._disk.submit(os.fsync, self._files[name])
        self._dirty.clear()
        self._synced = time.monotonic()

    def rewrite(self, name: str, lines: Iterable[Line]) -> None:
        """Replace a JSONL file at once (used to drop failed samples before they are tried again)."""
        path = self.folder / f"{name}.jsonl"
        self._disk.submit(os.close, self._files[name]).result()  # behind the syncs of the same file
        write_lines(path, lines)
        self._files[name] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def operation_key(line: Line) -> tuple[Any, ...]:
    return (line["context_id"], line["repeat"], line["position"], line["chunk"])


def text_sha(text: str) -> str:
    """The name of a text in texts.jsonl: the first 16 hex digits of its sha256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_lines(path: Path) -> Iterator[Line]:
    """The complete lines of a JSONL file; a torn last line is left out. Raises UsageError for a damaged line."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.endswith(b"\n"):
                return
            try:
                line = json.loads(raw)
            except (ValueError, RecursionError):
                line = None
            if not isinstance(line, dict):
                raise UsageError(f"{path}:{number}: damaged line; remove it, or start anew with --fresh")
            yield line


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where there is none or it is damaged (it is written whole, so that is another program's)."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def write_lines(path: Path, lines: Iterable[Line]) -> None:
    """A JSONL file, whole or not at all."""
    write_whole(path, "".join(_to_json(line) + "\n" for line in lines))


def write_json(path: Path, data: Any) -> None:
    """A JSON file, whole or not at all."""
    write_whole(path, json.dumps(data, ensure_ascii=False, indent=1, default=str) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Raises UsageError where the disk does not take it; what was there is left as it was."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(text.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> UsageError:
    reason = error.strerror or error
    return UsageError(f"{path}: cannot be written ({reason}); make room or mend it, then run the same command again")


def cut_torn_line(path: Path) -> None:
    """Cut what stands after the last newline: the line a killed process did not finish."""
    if not path.is_file():
        return
    with path.open("rb+") as file:
        end = size = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
