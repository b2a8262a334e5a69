"""Plain retrieval: the chunks of the stream are indexed as they come, and the best are recalled."""

from __future__ import annotations

from memeval.agent import Chunk, Query, Recall, Session
from memeval.agents.long_context import Stream, item_of
from memeval.bm25 import BM25Index
from memeval.errors import UsageError


class BM25(Stream):
    """Recalls the `k` chunks with the highest BM25 score for the bare question, best first.

    k = 2 is RAG-Top2 of arXiv 2509.25911 (long_context_eval.py). Like there, chunks that share no word with the question
    follow in the order of the stream when fewer than k do.
    """

    def __init__(self, k: int = 2) -> None:
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise UsageError(f"bm25: k is {k!r}, expected a whole number of chunks, 1 or more")
        self.k = k

    def begin(self, session: Session) -> None:
        super().begin(session)
        self.index = BM25Index()

    def observe(self, chunk: Chunk) -> None:
        super().observe(chunk)
        self.index.add(chunk.text)

    def recall(self, query: Query) -> Recall:
        return Recall([item_of(self.chunks[number], score) for number, score in self.index.search(query.text, self.k)])

    def fork(self, session: Session) -> BM25:
        twin = super().fork(session)
        twin.index = self.index.copy()
        return twin
