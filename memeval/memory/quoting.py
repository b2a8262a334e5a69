"""Quoting: a call names lines of the chunk, and the memory stores these lines.

`@word` names every line that contains the word, `@3` the third line. So a writer that cannot copy (a tiny model) can still
choose lines.
"""

from __future__ import annotations

from typing import Literal

from memeval.memory.store import MemoryFault

Quote = Literal["none", "word", "line"]
SIGN = "@"


class ChunkLines:
    """The lines of one chunk that no call of the same reply has quoted yet. by: `word` or `line`."""

    def __init__(self, text: str, by: Quote) -> None:
        self._by = by
        lines = (line.strip() for line in text.splitlines())
        self._left = dict(enumerate(filter(None, lines), start=1))

    def take(self, quote: str) -> list[str]:
        """Take the lines that a quote names, in order. Raises MemoryFault where it names no line that is left."""
        named = quote.strip().removeprefix(SIGN)
        numbers = [number for number, line in self._left.items() if self._names(named, number, line)]
        if not numbers:
            what = "number" if self._by == "line" else "word"
            raise MemoryFault(f"no line of the piece that is left to quote has the {what} '{named[:40]}'")
        return [self._left.pop(number) for number in numbers]

    def _names(self, named: str, number: int, line: str) -> bool:
        return named == str(number) if self._by == "line" else named in line.split()


def numbered(text: str) -> str:
    """A chunk with its number after each line, for a writer that quotes by line number."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(f"{line} [{number}]" for number, line in enumerate(filter(None, lines), start=1))
