"""Plain retrieval: the passages of the stream are indexed as they come, and the best ones are recalled for a question.

All agents here cut the stream, count hits and add neighbours in the same way (passages.py); they differ in how they rank
passages (search.py). `iterative` (iterative.py) searches several times.
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

    k: number of hits; 0: as many as fit into the budget. passage: most tokens of a passage, in whole sentences; 0: whole
    chunks. overlap: most tokens of a passage that the next one repeats. neighbours: how many passages on each side are
    recalled with a hit. budget: most tokens of all that is recalled; 0: no limit but the reader's. passage_prefix,
    question_prefix: text that the embedder needs before each (`passage: ` and `query: ` for E5)."""

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
        """The best k passages; all of them, ranked, where only the budget limits them."""
        return await self.search.rank(text, self.cut.k or EVERYTHING)

    def fork(self, session: Session) -> Self:
        twin = super().fork(session)
        twin.passages, twin.search = self.passages.copy(), self.search.copy()
        return twin


class BM25(Retrieval):
    """Ranks by words. With k = 2 and whole chunks it is RAG-Top2 of arXiv 2509.25911 (long_context_eval.py). As there, if
    fewer than k chunks share a word with the question, others follow in the order of the stream."""

    def __init__(self, k: int = 2, passage: int = 0, overlap: int = 0, neighbours: int = 0, budget: int = 0) -> None:
        super().__init__("bm25", Cut(k, passage, overlap, neighbours, budget), "bm25")


class Dense(Retrieval):
    """Ranks by the vectors of the session's embedder, compared exactly (cosine)."""

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
    """Ranks by words and by vectors, and fuses the two rankings by reciprocal ranks."""

    ranking = "hybrid"
