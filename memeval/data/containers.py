"""Readers of the formats of published records: a JSON array, JSON lines, CSV and parquet, plain or gzipped.

Each reads a file from beginning to end, a few records at a time, and raises ValueError for damage.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from memeval.data.files import Found

BLOCK = 1 << 22
"""How many bytes are read at a time."""
BATCH = 16
"""How many rows of a table are decoded at a time; a row may hold a whole book."""
DEEPEST = 100
"""How deep a record of an array may be nested."""

BLANK: Any = object()
"""Stands for a blank line of JSON lines, which is not a record but has a line number."""


class Content(io.RawIOBase):
    """The unzipped bytes of a file, which are hashed as they are read. A byte order mark at the beginning is skipped."""

    def __init__(self, file: Found) -> None:
        self.file = file
        self._stream: IO[bytes] = _opened(file.path)
        self._digest = hashlib.sha256()
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(BLOCK if size < 0 else size)
        self._digest.update(data)
        first, self._size = not self._size, self._size + len(data)
        if first and data.startswith(b"\xef\xbb\xbf"):
            return data[3:] or self.read(size)
        return data

    def facts(self) -> dict[str, Any]:
        """The sha256 and size of the content (for parquet, of the file). Reads the rest of the content and closes it."""
        while self.read(BLOCK):
            pass
        self._stream.close()
        return {"sha256": self._digest.hexdigest(), "bytes": self._size}


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.name.endswith(".gz") else path.open("rb")


def array(content: Content) -> Iterator[Any]:
    """The records of a JSON array."""
    import ijson
    from ijson.common import ObjectBuilder

    stream = io.BufferedReader(content, BLOCK)
    if not stream.peek(64).lstrip(b" \t\r\n").startswith(b"["):
        raise ValueError("expected a JSON array of records")
    depth, builder = 0, ObjectBuilder()
    try:
        for event, value in ijson.basic_parse(stream, use_float=True):  # `ijson.items` takes memory by depth squared
            depth -= event.startswith("end_")
            inside = depth > 0
            if inside:
                builder.event(event, value)
            depth += event.startswith("start_")
            if depth > DEEPEST:
                raise ValueError(f"nested more than {DEEPEST} deep")
            if inside and depth == 1:
                yield builder.value
                builder = ObjectBuilder()
    except ijson.JSONError as error:
        fault = error.args[0] if error.args else error
        raise ValueError(fault.decode(errors="replace") if isinstance(fault, bytes) else str(fault)) from None


def one_object(content: Content) -> Iterator[Any]:
    """The object of a JSON file, as its only record."""
    value = strict_json(b"".join(iter(lambda: content.read(BLOCK), b"")))
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an object, found {type(value).__name__}")
    yield value


def _lines(content: Content) -> Iterator[Any]:
    """The records of JSON lines, and `BLANK` for each blank line."""
    for line in io.BufferedReader(content, BLOCK):
        yield strict_json(line) if line.strip() else BLANK


def _table(content: Content) -> Iterator[Any]:
    """The rows of a CSV with a header: column -> cell, as text. Every row must have as many cells as the header."""
    lines = (line.decode("utf-8") for line in io.BufferedReader(content, BLOCK))
    cells = filter(None, csv.reader(lines, strict=True))
    header = next(cells, [])
    if not all(name.strip() for name in header) or len(set(header)) < len(header):
        raise ValueError(f"the header has a blank or repeated column ({', '.join(header)[:120]})")
    for row in cells:
        if len(row) != len(header):
            raise ValueError(f"{len(row)} cells, expected {len(header)}; a cut file?")
        yield dict(zip(header, row, strict=True))


def _parquet(content: Content) -> Iterator[Any]:
    """The rows of a parquet file. `datasets` reads files of the hub, pyarrow the user's own."""
    path = content.file.path
    if content.file.hub:
        import datasets

        table = datasets.load_dataset("parquet", data_files=str(path), split="train", streaming=True)
        yield from map(_finite, table)
        return
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=BATCH):
                yield from map(_finite, batch.to_pylist())
    except OSError as error:  # pyarrow raises it for a damaged file
        raise ValueError(str(error)) from None


READERS: Mapping[str, Callable[[Content], Iterator[Any]]] = {".jsonl": _lines, ".csv": _table, ".parquet": _parquet}


def _finite(value: Any) -> Any:
    """The value with None in place of numbers that are not finite: tables have NaN where a cell is missing, JSON has not."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not -float("inf") < value < float("inf") else value


def strict_json(line: bytes) -> Any:
    """Parse one JSON value. Raises ValueError, also for NaN, which is not JSON."""
    return json.loads(line.decode("utf-8"), parse_constant=_refuse)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON value")
