"""Rank the passages of a stream for a question: by words (BM25), by vectors, or by both."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, Self

from memeval.bm25 import BM25Index
from memeval.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memeval.models.bound import BoundModel

Hits = list[tuple[int, float]]
"""(number of a passage, score), best first; equal scores are in the order of the stream"""

Kind = Literal["bm25", "dense", "hybrid"]
EVERYTHING = 1 << 62
RRF = 60
"""The constant of reciprocal rank fusion in the paper that proposed it."""


class Search(Protocol):
    """An index of passages, which are numbered 0, 1, 2, ... as they are added."""

    async def add(self, texts: Sequence[str]) -> None: ...

    async def rank(self, question: str, most: int) -> Hits:
        """The best passages, `most` of them at most."""
        ...

    def copy(self) -> Self:
        """An index with the same passages, to which others can be added."""
        ...


class Words:
    """BM25 (memeval/bm25.py). Passages without a word of the question score 0 and follow in the order of the stream."""

    def __init__(self) -> None:
        self.index = BM25Index()

    async def add(self, texts: Sequence[str]) -> None:
        for text in texts:
            self.index.add(text)

    async def rank(self, question: str, most: int) -> Hits:
        return self.index.search(question, most)

    def copy(self) -> Self:
        twin = copy.copy(self)
        twin.index = self.index.copy()
        return twin


class Vectors:
    """Exact search by cosine: every vector is compared. It makes one embedding call for all passages of a chunk, and one for
    a question. The prefixes are put before the embedded texts."""

    def __init__(self, embedder: BoundModel, passage_prefix: str, question_prefix: str) -> None:
        self.embedder = embedder
        self.passage_prefix, self.question_prefix = passage_prefix, question_prefix
        self.blocks: list[NDArray[np.float32]] = []  # for each chunk, the unit vectors of its passages

    async def add(self, texts: Sequence[str]) -> None:
        if texts:
            self.blocks.append(_unit(await self.embedder.embed([self.passage_prefix + text for text in texts])))

    async def rank(self, question: str, most: int) -> Hits:
        import numpy as np

        if not self.blocks or not most:
            return []
        (vector,) = _unit(await self.embedder.embed([self.question_prefix + question]))
        scores = np.concatenate([block @ vector for block in self.blocks])
        best = np.argsort(-scores, kind="stable")[:most]
        return [(int(number), float(scores[number])) for number in best]

    def copy(self) -> Self:
        twin = copy.copy(self)
        twin.blocks = list(self.blocks)
        return twin


class Fused:
    """Reciprocal rank fusion of several rankings (Cormack, Clarke and Buettcher 2009, SIGIR): the score of a passage is the
    sum of 1 / (60 + its rank). Passages that score 0 in a ranking, as those without a common word in BM25, get nothing from
    it."""

    def __init__(self, *parts: Search) -> None:
        self.parts = parts

    async def add(self, texts: Sequence[str]) -> None:
        for part in self.parts:
            await part.add(texts)

    async def rank(self, question: str, most: int) -> Hits:
        scores: defaultdict[int, float] = defaultdict(float)
        for part in self.parts:
            for place, (number, score) in enumerate(await part.rank(question, EVERYTHING), 1):
                scores[number] += 1 / (RRF + place) if score else 0.0
        return sorted(scores.items(), key=lambda hit: (-hit[1], hit[0]))[:most]

    def copy(self) -> Self:
        twin = copy.copy(self)
        twin.parts = tuple(part.copy() for part in self.parts)
        return twin


def index(kind: Kind, embedder: BoundModel | None, passage_prefix: str = "", question_prefix: str = "") -> Search:
    """An empty index. Raises UsageError where it needs an embedder and there is none."""
    if kind == "bm25":
        return Words()
    if embedder is None:
        raise UsageError(f"search by '{kind}' needs an embedder; choose one with --embedder")
    vectors = Vectors(embedder, passage_prefix, question_prefix)
    return vectors if kind == "dense" else Fused(Words(), vectors)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length 1; a row of zeros stays."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
