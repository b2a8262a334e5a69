"""Pack units into chunks with a limit in tokens: greedily, from left to right, looking only at what is packed already and
the next unit. So the chunks of a prefix of the units are a prefix of the chunks, except for the last (DESIGN section 3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from memeval.cards import MIN_CHUNK
from memeval.errors import UsageError
from memeval.task import Unit

JOINT = "\n\n"
"""What separates the units of a chunk: a blank line."""

SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’)\]]*\s+|[。！？]|\n+")
_WORD_END = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """One chunk. tokens: of `text`, counted as a whole. time: of its last unit that has one. units: rising indices (from 0)
    of the units that it contains, in whole or in part."""

    id: str
    text: str
    time: str | None
    tokens: int
    units: tuple[int, ...]


def pack(units: Sequence[Unit], limit: int, count: Callable[[str], int], apart: bool = False) -> list[PackedChunk]:
    """Pack units into chunks `c00000`, `c00001`, ... of at most `limit` tokens each, joined by blank lines.

    Only a unit that alone exceeds the limit is cut: at sentence ends, else between words, else between tokens. A unit
    without text is in no chunk. apart: no two units share a chunk. `count` is a `memeval.tokens.TokenCounter` or any
    function from a text to its number of tokens. Raises UsageError when the limit is below `MIN_CHUNK`.
    """
    if limit < MIN_CHUNK:
        raise UsageError(f"chunk_tokens is {limit}: use at least {MIN_CHUNK} tokens")
    joint = getattr(count, "joint", None)
    chunks: list[PackedChunk] = []
    texts: list[str] = []
    indices: list[int] = []
    tokens, time = 0, None

    def close() -> None:
        chunks.append(PackedChunk(f"c{len(chunks):05d}", JOINT.join(texts), time, tokens, tuple(dict.fromkeys(indices))))

    for index, unit in enumerate(units):
        rendered = unit.render()
        size = count(rendered)
        whole = ((rendered, size),) if rendered else ()
        for text, tokens_of in whole if size <= limit else _pieces(rendered, limit, count):
            if texts and not (apart and index != indices[-1]):
                between = joint(texts[-1], text) if joint else None
                joined = count(JOINT.join([*texts, text])) if between is None else tokens + between + tokens_of
                if joined <= limit:
                    texts.append(text)
                    indices.append(index)
                    tokens, time = joined, unit.time or time
                    continue
            if texts:
                close()
            texts, indices, tokens, time = [text], [index], tokens_of, unit.time
    if texts:
        close()
    return chunks


def _pieces(text: str, limit: int, count: Callable[[str], int]) -> Iterator[tuple[str, int]]:
    """Cut a text beyond the limit into pieces that fit, stripped at both ends, each with its number of tokens."""
    while text and (size := count(text)) > limit:
        head = text[: _cut(text, limit, count)]
        text = text[len(head) :].lstrip()
        yield head.rstrip(), count(head.rstrip())
    if text:
        yield text, size


def _cut(text: str, limit: int, count: Callable[[str], int]) -> int:
    """The length in characters of the first piece of a text beyond the limit, at least one."""
    for boundary in (SENTENCE_END, _WORD_END):
        fitting = _fitting(text, (match.end() for match in boundary.finditer(text)), limit, count)
        if fitting:
            return fitting
    truncate = getattr(count, "truncate", None)
    if truncate is not None:
        return max(len(truncate(text, limit)), 1)
    low, high = 1, len(text)  # for a plain function: bisect for the longest prefix that fits
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(text[:middle]) <= limit else (low, middle - 1)
    return low


def _fitting(text: str, ends: Iterator[int], limit: int, count: Callable[[str], int]) -> int:
    """The last of `ends` up to which the text fits; 0 if none. It is estimated by the sum of the parts' tokens, and then
    checked by counting the whole, because the tokens of parts need not add up."""
    passed: list[int] = []
    total, start = 0, 0
    for end in ends:
        total += count(text[start:end])
        passed.append(end)
        start = end
        if total > limit:
            break
    while passed and count(text[: passed[-1]].rstrip()) > limit:
        passed.pop()
    return passed[-1] if passed else 0
