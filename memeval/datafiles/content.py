"""The bytes of a file, plain or gzipped, however large: once in blocks, and any part again by its place.

Of a gzip file the states of the unzipping are kept every few megabytes, so that a part is read from the one before it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from memeval.errors import UsageError

BLOCK = 4 << 20
"""Bytes read at once."""
STRIDE = 16 << 20
"""Unzipped bytes between two places from which a gzip file can be read again."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where a record stands: its number (1-based), and its first byte and the one behind its last, in the unzipped file."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Point:
    """A place to go on unzipping from: bytes of the gzip file and of its content so far, and the state of the unzipping."""

    packed: int
    plain: int
    state: Any


class Content:
    """One file. Every method raises UsageError for a file that cannot be read, or whose gzip is damaged or cut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zipped = path.name.endswith(".gz")
        self._points: list[_Point] = []

    def blocks(self) -> Iterator[bytes]:
        """All of it, block by block."""
        if self._zipped:
            self._points = []
            yield from self._unzipped(_Point(0, 0, zlib.decompressobj(wbits=31)), keep=True)
            return
        with self._opened(0) as file:
            while block := file.read(BLOCK):
                yield block

    def part(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end` (fewer, where the file ends), once `blocks` went by them."""
        if not self._zipped:
            with self._opened(start) as file:
                return file.read(end - start)
        point = next(point for point in reversed(self._points) if point.plain <= start)
        at, parts = point.plain, []
        for block in self._unzipped(point):
            parts.append(block[max(0, start - at) : end - at])
            at += len(block)
            if at >= end:
                break
        return b"".join(parts)

    @contextmanager
    def _opened(self, at: int) -> Iterator[BufferedReader]:
        try:
            with self.path.open("rb") as file:
                file.seek(at)
                yield file
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read ({error.strerror or error})") from None

    def _unzipped(self, point: _Point, keep: bool = False) -> Iterator[bytes]:
        packed, plain, state = point.packed, point.plain, point.state.copy()
        try:
            with self._opened(packed) as file:
                while rest := file.read(BLOCK // 16):
                    if keep and (not self._points or plain - self._points[-1].plain >= STRIDE):
                        self._points.append(_Point(packed, plain, state.copy()))
                    packed += len(rest)
                    while rest:
                        if state.eof and not rest.strip(b"\0"):
                            break  # padding behind the last member
                        state = zlib.decompressobj(wbits=31) if state.eof else state
                        block = state.decompress(rest)
                        rest = state.unused_data
                        plain += len(block)
                        yield block
        except zlib.error as error:
            raise UsageError(f"{self.path}: damaged or cut gzip file ({error}); fetch it again") from None
        if not state.eof:
            raise UsageError(f"{self.path}: damaged or cut gzip file (its end is missing); fetch it again")
