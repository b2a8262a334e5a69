"""A JSONL that may be larger than memory: every line once in order, and any one again by its place, as arrays.py does it
for a JSON array. A damaged file or line is one UsageError with file and line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from memeval.datafiles.content import Content, Span
from memeval.datafiles.files import DataFile, parse_line


class JsonLines:
    """One file. Blank lines are no records, but are numbered. mark: what stands in messages between the file's name and a
    line's number. facts: name, sha256 and bytes of the unzipped content, number of records; there once `scan` is done."""

    def __init__(self, file: DataFile, mark: str = ": line ") -> None:
        self.file = file
        self.facts: Mapping[str, Any] = {}
        self._mark = mark
        self._content = Content(file.path)

    def scan(self) -> Iterator[tuple[Span, Any]]:
        """Every record with its place, in order. Raises UsageError with file and line."""
        digest, start, count = hashlib.sha256(), 0, 0
        for number, line in enumerate(_lines(self._content.blocks()), start=1):
            digest.update(line)
            span = Span(number, start, start + len(line))
            start = span.end
            if line.strip():
                count += 1
                yield span, self._parsed(line, span)
        self.facts = self.file.facts(digest.hexdigest(), start, count)

    def at(self, span: Span) -> Any:
        """One record again. Raises UsageError when the file is not as it was."""
        return self._parsed(self._content.part(span.start, span.end), span)

    def place(self, number: int) -> str:
        """A record as an error message names it."""
        return f"{self.file.path}{self._mark}{number}"

    def _parsed(self, line: bytes, span: Span) -> Any:
        return parse_line(line.removeprefix(b"\xef\xbb\xbf"), self.place(span.number))


def _lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The lines, each with its end."""
    held: list[bytes] = []
    for block in blocks:
        *ended, rest = block.split(b"\n")
        for line in ended:
            yield b"".join((*held, line, b"\n"))
            held = []
        held.append(rest)
    if last := b"".join(held):
        yield last
