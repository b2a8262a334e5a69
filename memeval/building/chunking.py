"""Texts put together to chunks of random sizes, as Mem-alpha's `create_chunks` does: greedy, in order, never cut."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

JOINT = "\n\n"


def chunked(
    texts: Sequence[str], draw: random.Random, count: Callable[[str], int], least: int = 100, most: int = 2048
) -> list[list[int]]:
    """Indices of the texts of each chunk. Every chunk has a size of its own, drawn from `least` to `most` tokens, which it
    does not exceed unless one text alone does. Texts are joined by a blank line."""
    chunks: list[list[int]] = []
    size, target = 0, 0
    for index, text in enumerate(texts):
        tokens = count(text)
        joined = size + count(JOINT) + tokens
        if not chunks or joined > target:
            chunks.append([])
            size, target = tokens, draw.randint(least, most)
        else:
            size = joined
        chunks[-1].append(index)
    return chunks
