"""Plain retrieval: the passages of the stream are indexed as they come, and a question brings back the best.

All agents here cut the stream, count hits and widen them alike (passages.py); they differ in how they rank (search.py).
`iterative` (iterative.py) searches several times.
"""

from __future__ import annotations

from typing import Self

from memeval.agent import Chunk, Query, Recall, Session
from memeval.agents.long_context import KeptStream
from memeval.agents.passages import Cut, Passages
from memeval.agents.search import EVERYTHING, Hits, Kind, index
from memeval.typed import typed


class Retrieval(KeptStream):
    """Recalls the best passages for the bare question, best first.

    k: hits; 0: as many as the budget holds. passage: tokens of a passage, in whole sentences; 0: whole chunks. overlap:
    tokens of a passage that the next one repeats. neighbours: passages on either side that a hit brings with it. budget:
    tokens of all that is recalled; 0: no limit but the reader's. passage_prefix, question_prefix: what an embedder wants in
    front of either (`passage: ` and `query: ` for E5)."""

    def __init__(self, agent: str, cut: Cut, kind: Kind, passage_prefix: str = "", question_prefix: str = "") -> None:
        cut.check(agent)
        self.cut, self.kind = cut, kind
        self.passage_prefix: str = typed(passage_prefix, str, agent, "passage_prefix")
        self.question_prefix: str = typed(question_prefix, str, agent, "question_prefix")

    def begin(self, session: Session) -> None:
        super().begin(session)
        self.passages = Passages(self.cut, session.count)
        self.search = index(self.kind, session.models.get("embedder"), self.passage_prefix, self.question_prefix)

    async def observe(self, chunk: Chunk) -> None:
        super().observe(chunk)
        await self.search.add(self.passages.add(chunk))

    async def recall(self, query: Query) -> Recall:
        return Recall(self.passages.items(await self.hits(query.text)))

    async def hits(self, text: str) -> Hits:
        """The best k passages; all, where the budget alone limits them."""
        return await self.search.rank(text, self.cut.k or EVERYTHING)

    def fork(self, session: Session) -> Self:
        twin = super().fork(session)
        twin.passages, twin.search = self.passages.copy(), self.search.copy()
        return twin


class BM25(Retrieval):
    """By words. k = 2 whole chunks are RAG-Top2 of arXiv 2509.25911 (long_context_eval.py). Like there, chunks that share no
    word with the question follow in the order of the stream when fewer than k do."""

    def __init__(self, k: int = 2, passage: int = 0, overlap: int = 0, neighbours: int = 0, budget: int = 0) -> None:
        super().__init__("bm25", Cut(k, passage, overlap, neighbours, budget), "bm25")


class Dense(Retrieval):
    """By the vectors of the session's embedder, compared exactly (cosine)."""

    ranking: Kind = "dense"

    def __init__(
        self,
        k: int = 16,
        passage: int = 256,
        overlap: int = 32,
        neighbours: int = 0,
        budget: int = 0,
        passage_prefix: str = "",
        question_prefix: str = "",
    ) -> None:
        cut = Cut(k, passage, overlap, neighbours, budget)
        super().__init__(self.ranking, cut, self.ranking, passage_prefix, question_prefix)


class Hybrid(Dense):
    """By words and by vectors, the two rankings fused by reciprocal ranks."""

    ranking = "hybrid"
