"""Convert any file of records to JSON lines once, in the user's cache; every later start reads from there.

A .json array, .jsonl, .csv or .parquet file, plain or gzipped and of any size, is read once from beginning to end, a few
records at a time. The cache file (`<cache>/data/<hash of its path>.jsonl`) has one line per record, and a last line with the
facts: stamp of the file (path, size, time of its change), sha256, bytes, number of records. It is removed when the file is
gone. Any fault of a file is one UsageError with file and record.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import re
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from memeval.config import cache_folder
from memeval.data.containers import BLANK, BLOCK, READERS, Content, array, one_object, strict_json
from memeval.data.files import Found
from memeval.errors import UsageError

FORMAT = 1
"""Version of the format of the cached files."""
RACY = 20_000_000
"""Nanoseconds. A file that was changed this shortly before it was read may change again without a new time stamp."""

_NAME = re.compile(r"([0-9a-f]{32}|synth-[a-z]+-[0-9]+-[0-9a-f]{16})\.jsonl(\.[0-9.]+)?")
_AGAIN = "fix it, or fetch the file again"


@dataclass(frozen=True, slots=True)
class Span:
    """A record in the cache file. number: in the original file, from 1 (of an array's element, a row, or a line). start,
    end: its first byte, and the byte after its last."""

    number: int
    start: int
    end: int


class Records:
    """The records of a file. facts: name, sha256 and bytes of the (unzipped) content, number of records. Safe to use from
    several threads."""

    def __init__(self, file: Found, cache: IO[bytes], facts: Mapping[str, Any], end: int) -> None:
        self.file = file
        self.facts = facts
        self._cache = cache
        self._end = end

    def __len__(self) -> int:
        return int(self.facts["records"])

    def place(self, number: int) -> str:
        """The name of a record in error messages."""
        return place_of(self.file, number)

    def rows(self) -> Iterator[tuple[str, Any]]:
        """(place, record) for all records, in the order of the file"""
        return ((self.place(span.number), msgspec.json.decode(line)) for span, line in self.spans())

    def spans(self) -> Iterator[tuple[Span, bytes]]:
        """(its span in the cache file, its JSON) for all records, in order"""
        start = number = 0
        held = b""
        for at in range(0, self._end, BLOCK):
            *lines, held = (held + self._read(at, min(at + BLOCK, self._end))).split(b"\n")
            for line in lines:
                number += 1
                if line:
                    yield Span(number, start, start + len(line)), line
                start += len(line) + 1

    def at(self, span: Span) -> Any:
        """Read one record again."""
        return msgspec.json.decode(self._read(span.start, span.end))

    def _read(self, start: int, end: int) -> bytes:
        return os.pread(self._cache.fileno(), end - start, start)


def read(file: Found, whole: bool = False) -> Records:
    """The records of a file, from the cache if they are there, else read now and cached. whole: a .json file holds one
    object, which is its only record. Raises UsageError for damage, with file and record."""
    try:
        status = file.path.stat()
    except OSError as error:
        raise UsageError(f"{file.path}: cannot be read ({error.strerror or error})") from None
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    stamp = [FORMAT, str(file.path.resolve()), status.st_size, status.st_mtime_ns]
    path = folder() / f"{hashlib.sha256(os.fsencode(file.path.resolve())).hexdigest()[:32]}.jsonl"
    found = _from_cache(path, stamp, changed)
    if found is None:
        found = _to_cache(file, path, stamp, whole)
    cache, facts, end = found
    return Records(file, cache, file.facts(facts["sha256"], facts["bytes"], facts["records"]), end)


def read_object(file: Found) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """(the object of a .json file, plain or .gz; the file's facts, in which keys count as records). Raises UsageError for
    anything else."""
    records = read(file, whole=True)
    ((_, value),) = records.rows()
    return value, {**records.facts, "records": len(value)}


def folder() -> Path:
    """The folder of cached records (it need not exist)."""
    return cache_folder() / "data"


def entries() -> list[Path]:
    """The files of the cache, including unfinished ones of killed processes. Raises OSError if the folder cannot be read."""
    found = folder().iterdir() if folder().is_dir() else ()
    return sorted(path for path in found if _NAME.fullmatch(path.name) and path.is_file())


def file_sha256(path: Path) -> str:
    """The sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_cache(path: Path, stamp: list[Any], changed: int) -> tuple[IO[bytes], Mapping[str, Any], int] | None:
    """The cached records of a file: (the open cache file, its facts, the end of its records); None if the file has changed
    since, or nothing is cached."""
    with suppress(OSError, ValueError, LookupError, TypeError):  # a damaged cache file is written anew
        cache = path.open("rb")
        facts, end = _last_line(cache)
        if facts["stamp"] == stamp and facts["begun"] - changed > RACY:
            return cache, facts, end
        cache.close()
    return None


def _last_line(cache: IO[bytes]) -> tuple[Mapping[str, Any], int]:
    """(the facts at the end of a cache file, the byte where they begin)"""
    size = cache.seek(0, os.SEEK_END)
    cache.seek(max(0, size - 8192))
    last = cache.read().splitlines()[-1]
    return json.loads(last), size - len(last) - 1


def _remove_stale() -> None:
    """Remove the cached records of files that no longer exist."""
    for path in entries():
        with suppress(ValueError, LookupError, TypeError), path.open("rb") as cache:
            if not Path(_last_line(cache)[0]["stamp"][1]).exists():
                path.unlink()


def _to_cache(file: Found, path: Path, stamp: list[Any], whole: bool) -> tuple[IO[bytes], Mapping[str, Any], int]:
    """Read a file into the cache, or into a temporary file if the cache cannot be written."""
    own = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    cache: IO[bytes]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        cache = own.open("w+b")
    except OSError:
        cache = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open as long as the records are used
    begun = time.time_ns()
    try:
        with _damage(file) as reached:
            facts = _write(file, cache, reached, whole)
        end = cache.tell()
        cache.write(json.dumps({"stamp": stamp, "begun": begun, **facts}).encode() + b"\n")
        cache.flush()
        with suppress(OSError):
            own.replace(path)
            _remove_stale()
    except OSError as error:
        raise UsageError(
            f"{own}: cannot be written ({error.strerror or error}); set MEMEVAL_CACHE to another folder"
        ) from None
    finally:
        with suppress(OSError):
            own.unlink()
    return cache, facts, end


def _write(file: Found, cache: IO[bytes], reached: list[int], whole: bool) -> dict[str, Any]:
    """Write every record as a line (a blank line of a JSONL as a blank line, to keep line numbers), and return sha256, bytes
    and number of records. reached: its only item is set to the number of the record that is being read."""
    count = 0
    content = Content(file)
    known = (read for end, read in READERS.items() if file.name.endswith(end))
    reader = next(known, one_object if whole else array)
    for row in reader(content):
        if row is not BLANK:
            count += 1
            # this refuses surrogates, which have no UTF-8, and NaN, which is not JSON
            cache.write(json.dumps(row, ensure_ascii=False, allow_nan=False, default=str).encode())
        cache.write(b"\n")
        reached[0] += 1
    return {**content.facts(), "records": count}


@contextmanager
def _damage(file: Found) -> Iterator[list[int]]:
    """Turn any failure to read a file into one UsageError that names the record. Yields a list whose only item the block
    sets to the number of the record."""
    reached = [1]
    try:
        yield reached
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{file.path}: damaged or cut gzip file ({error}); fetch it again") from None
    except OSError as error:
        if error.filename != str(file.path):
            raise
        raise UsageError(f"{file.path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError, csv.Error) as error:  # json and pyarrow raise ValueErrors
        kind = {".csv": "CSV", ".parquet": "parquet"}.get(Path(file.name).suffix, "JSON")
        raise UsageError(f"{place_of(file, reached[0])}: {_fault(error, kind)}; {_AGAIN}") from None


def _fault(error: Exception, kind: str = "JSON") -> str:
    if isinstance(error, UnicodeError):
        return "holds half of a surrogate pair" if isinstance(error, UnicodeEncodeError) else "not UTF-8"
    return f"not valid {kind} ({' '.join(str(error).split())[:160]})"


def place_of(file: Found, number: int) -> str:
    """The name of a record in error messages: `file: record 3`, or `file:3` for line 3 of a JSONL."""
    if file.name.endswith(".jsonl"):
        return f"{file.path}:{number}"
    return f"{file.path}: {'row' if file.name.endswith('.csv') else 'record'} {number}"


def parse_line(line: bytes, place: str) -> Any:
    """Parse one JSON value, strictly: no NaN, no half surrogate pairs. Raises UsageError with the place."""
    try:
        row = strict_json(line)
        json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place}: {_fault(error)}; {_AGAIN}") from None
    return row
