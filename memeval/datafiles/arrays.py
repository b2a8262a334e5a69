"""A JSON array of records that may be larger than memory: every record once in order, and any one again by its place.

Plain or gzipped, in blocks of a few megabytes; no more than one record and a block are held. A file that is cut, no JSON,
not UTF-8, or that holds NaN is one UsageError with file and record.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from memeval.datafiles.content import Content, Span
from memeval.datafiles.files import AS_UTF8, MENDED, DataFile, parse_line
from memeval.errors import UsageError

LIMIT = 256 << 20
"""Characters of a single record: some fifty times the largest known."""

_BLANK = re.compile(r"[ \t\r\n]*")
_NEAR_END = 16  # characters: no token that a block's end can cut is longer, but for strings


class JsonArray:
    """One file. facts: name, sha256 and bytes of the unzipped content, number of records; there once `scan` is done."""

    def __init__(self, file: DataFile) -> None:
        self.file = file
        self.facts: Mapping[str, Any] = {}
        self._content = Content(file.path)

    def scan(self) -> Iterator[tuple[Span, Any]]:
        """Every record with its place, in order. Raises UsageError with file and record."""
        digest = hashlib.sha256()
        feed = _Feed(self._content.blocks(), digest)
        count = 0
        try:
            if feed.peek() != "[":
                raise UsageError(f"{self.file.path}: expected a JSON array of records; fetch it again")
            feed.expect("[")
            while feed.peek() != "]":
                if count:
                    feed.expect(",")
                start, value, end = feed.value()
                count += 1
                if feed.suspicious and not _is_text(value):
                    raise UsageError(f"{self.place(count)}: holds half of a surrogate pair, which is no text")
                yield Span(count, start, end), value
            feed.expect("]")
            if feed.peek():
                raise ValueError("something follows the array")
        except UnicodeDecodeError as error:
            raise UsageError(f"{self.place(count + 1)}: not UTF-8 (byte {error.start}); {AS_UTF8}") from None
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{self.place(count + 1)}: not valid JSON ({str(error)[:120]}); {MENDED}") from None
        self.facts = self.file.facts(digest.hexdigest(), feed.bytes, count)

    def at(self, span: Span) -> Any:
        """One record again. Raises UsageError when the file is not as it was."""
        return parse_line(self._content.part(span.start, span.end), self.place(span.number))

    def place(self, number: int) -> str:
        """A record as an error message names it."""
        return f"{self.file.path}: record {number}"


class _Feed:
    """The text of blocks of bytes, with a cursor. bytes: taken in so far. suspicious: whether the last value has an escaped
    surrogate somewhere."""

    def __init__(self, blocks: Iterator[bytes], digest: Any) -> None:
        self._blocks = blocks
        self._digest = digest
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._broken: UnicodeDecodeError | None = None
        self._decoder = json.JSONDecoder(parse_constant=_refuse)
        self._text = ""
        self._at = 0  # the cursor, in the text held
        self._known = (0, 0)  # a character of the text held, and its byte in the file
        self._begun = self._ended = False
        self.bytes = 0
        self.suspicious = False

    def peek(self) -> str:
        """The next character that is no blank; nothing at the end."""
        while True:
            blank = _BLANK.match(self._text, self._at)
            self._at = blank.end() if blank else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def expect(self, character: str) -> None:
        found = self.peek()
        if found != character:
            raise ValueError(f"expected '{character}', found {f'{found!r}' if found else 'the end of the file'}")
        self._at += 1

    def value(self) -> tuple[int, Any, int]:
        """The next value, with its first byte and the one behind its last. Raises ValueError where there is none."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._cut(error) and self._more():
                    continue
                raise ValueError(error.msg) from None  # its line and column are not those of the file
            if end >= len(self._text) - 2 and self._more():
                continue  # a number may go on: `0` of `0.5`, of which `0.` is held, or `1` of `1e+`
            start = self._byte()
            self.suspicious = any(self._text.find(mark, self._at, end) >= 0 for mark in ("\\ud", "\\uD"))
            self._at = end
            return start, value, self._byte()

    def _byte(self) -> int:
        """The cursor's place in the file, in bytes."""
        character, byte = self._known
        between = self._text[character : self._at]
        self._known = (self._at, byte + (len(between) if between.isascii() else len(between.encode("utf-8"))))
        return self._known[1]

    def _cut(self, error: json.JSONDecodeError) -> bool:
        """Whether the error may come from where the text held ends."""
        if error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _NEAR_END:
            return True
        blank = _BLANK.match(self._text, error.pos)
        return blank is not None and blank.end() == len(self._text)

    def _more(self) -> bool:
        """Drop what is behind the cursor, take in as much as is left over, at least a block. False at the end. As the text
        held doubles each time that a record is not complete, none is parsed more than twice over."""
        if self._broken:
            raise self._broken
        if self._ended:
            return False
        self._known = (0, self._byte())
        parts = [self._text[self._at :]]
        self._at = 0
        if len(parts[0]) > LIMIT:
            raise ValueError(f"a record of more than {LIMIT} characters")
        wanted = max(len(parts[0]), 1)
        while wanted > 0 and not self._broken:
            block = next(self._blocks, None)
            parts.append(self._decoded(block))
            wanted -= len(parts[-1])
            if block is None:
                self._ended = True
                break
        self._text = "".join(parts)
        return True

    def _decoded(self, block: bytes | None) -> str:
        """Text of a block (None: the end). What stands before a byte that is not UTF-8 is still taken in."""
        before = self.bytes - len(self._utf8.getstate()[0])
        if block is not None:
            self._digest.update(block)
            self.bytes += len(block)
        try:
            text = self._utf8.decode(block or b"", final=block is None)
        except UnicodeDecodeError as error:
            self._broken = UnicodeDecodeError("utf-8", b"", before + error.start, before + error.end, error.reason)
            text = bytes(error.object[: error.start]).decode("utf-8")
        if text and not self._begun:
            self._begun = True
            if text.startswith("\ufeff"):  # a byte order mark
                self._known = (0, len(codecs.BOM_UTF8))
                return text[1:]
        return text


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")


def _is_text(value: Any) -> bool:
    """Whether every text in a value can be written as UTF-8."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return False
        return True
    if isinstance(value, dict):
        return all(_is_text(key) and _is_text(item) for key, item in value.items())
    return all(map(_is_text, value)) if isinstance(value, list) else True
