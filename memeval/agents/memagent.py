"""MemAgent (arXiv 2507.02259): a memory of fixed size, overwritten at each chunk, and an answer from that memory alone.

A prompt holds the problem, the memory and one chunk; the whole reply becomes the next memory. So prompts do not grow with
the stream. The same model answers from problem and memory. The rules are those of github.com/BytedTsinghua-SIA/MemAgent at
76b7a65 (taskutils/memory_eval); the words are our own unless those of its authors are fetched (docs/prompts.md). Where the
session does not show the question, the model reads for any question, as in the MemAgent rows of Mem-alpha (arXiv 2509.25911,
Table 1).
"""

from __future__ import annotations

from memeval.agent import Query, Recall
from memeval.agents.rolling import Rolling, asked, recalled
from memeval.typed import Count


class MemAgent(Rolling):
    """The agent. memory_tokens: most tokens of the memory, and of a reply. chunk_tokens: tokens of a chunk, where no
    protocol fixes it (0: the task's). The set of prompts decides how the answer is marked: not at all (`memagent`), by the
    sentence of MemAgent's evaluation (`memagent-stated`), or by the box of its training (`memagent-boxed`)."""

    prompts = "memagent"
    track = "native"

    def __init__(self, memory_tokens: int = 1024, chunk_tokens: int = 5000) -> None:
        super().__init__(memory_tokens)
        self.chunk_tokens: int = self.checked("chunk_tokens", chunk_tokens, Count)

    def aim(self) -> dict[str, str]:
        return self.in_view()

    async def answer(self, query: Query, recall: Recall) -> str:
        return (await self.generate("answer", "ask", memory=recalled(recall), **asked(query))).text
