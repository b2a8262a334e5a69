"""Two baselines that ignore the question: the last chunks, and random ones. Their scores show how much a number of chunks
helps without any retrieval."""

from __future__ import annotations

import hashlib

from memeval.agent import Chunk, Query, Recall
from memeval.agents.long_context import KeptStream, item_of
from memeval.typed import Positive, typed


class Recent(KeptStream):
    """Keeps the last `k` chunks and forgets the rest; the newest ranks highest, and they are read in the stream's order."""

    def __init__(self, k: int = 5) -> None:
        self.k: int = typed(k, Positive, "recent", "k")

    def observe(self, chunk: Chunk) -> None:
        super().observe(chunk)
        for gone in self.chunks[: -self.k]:
            self.tokens -= self.size(gone)
        del self.chunks[: -self.k]

    def recall(self, query: Query) -> Recall:
        return _recall(self.chunks[::-1])


class RandomK(KeptStream):
    """Keeps the stream and recalls `k` of its chunks at random, read in the stream's order.

    The draw depends only on the session's seed and the question: the same question recalls the same chunks, and a larger k
    recalls those of a smaller k and more.
    """

    def __init__(self, k: int = 5) -> None:
        self.k: int = typed(k, Positive, "random-k", "k")

    def recall(self, query: Query) -> Recall:
        drawn = sorted(self.chunks, key=lambda chunk: self._place(query.text, chunk.id))
        return _recall(drawn[: self.k])

    def _place(self, question: str, chunk: str) -> bytes:
        text = f"{self.session.seed}\0{question}\0{chunk}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _recall(chunks: list[Chunk]) -> Recall:
    return Recall([item_of(chunk) for chunk in chunks], order="stream")
