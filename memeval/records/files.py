"""Read and write files of rows (one JSON object per line), and files that are replaced as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from memeval.errors import UsageError
from memeval.records.clean import encode

T = TypeVar("T")

BLOCK = 65536
"""Bytes per read in the search for the end of the last complete line."""


def read_rows(path: Path, kind: type[T], fix: str = "remove it, or start anew with --fresh") -> Iterator[T]:
    """The complete lines of a file as rows of one kind; an incomplete last line is left out. Raises UsageError, with
    the line and the fix, for a line that is no such row."""
    if not path.is_file():
        return
    decode = msgspec.json.Decoder(kind).decode
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.endswith(b"\n"):
                return
            try:
                yield decode(raw)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                raise UsageError(f"{path}:{number}: damaged line; {fix}") from None


def read_record(path: Path, kind: type[T]) -> T | None:
    """The record in a file; None if the file is missing or damaged. memeval replaces such a file as a whole, so another
    program has damaged it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None


def is_json(path: Path) -> bool:
    """Whether a file contains valid JSON of any type."""
    return read_record(path, msgspec.Raw) is not None


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Write a file of rows atomically."""
    write_whole(path, b"".join(encode(row) + b"\n" for row in rows))


def write_record(path: Path, record: Any) -> None:
    """Write a file with one record atomically, indented for people."""
    write_whole(path, msgspec.json.format(encode(record), indent=1) + b"\n")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically. Raises UsageError if the write fails; the old content then stays."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> UsageError:
    reason = error.strerror or error
    return UsageError(f"{path}: cannot be written ({reason}); make room or fix it, then run the same command again")


def cut_torn_line(path: Path) -> None:
    """Cut everything after the last newline: the line that a killed process did not finish."""
    if not path.is_file():
        return
    with path.open("rb+") as file:
        end = size = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - BLOCK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
