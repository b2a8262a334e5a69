"""MemAgent (arXiv 2507.02259): a memory of fixed size, overwritten at each chunk, and an answer from it alone.

A prompt holds the problem, the memory and one chunk; the whole reply becomes the next memory. So a prompt has the same size
however long the stream is. The answer is given from problem and memory, by the same model. The rules are those of
github.com/BytedTsinghua-SIA/MemAgent at 76b7a65 (taskutils/memory_eval), the words are our own. Where the session does not
show the question, the model reads for any question, as in the MemAgent rows of Mem-alpha (arXiv 2509.25911, Table 1).
"""

from __future__ import annotations

from typing import Literal

from memeval.agent import Chunk, Query, Recall
from memeval.agents.rolling import Rolling, problem, recalled
from memeval.prompts import MEMORY, tagged
from memeval.typed import Count

_READING = (
    "You are reading a long text piece by piece, with a memory of limited size. Each piece is shown once. The memory so far "
    "is between <memory> tags, the next piece between <new_chunk> tags. {goal} Reply with the memory as it should be from "
    "now on: what of the old one is still needed, together with what the piece adds. What you leave out is lost. Write "
    "nothing but the memory."
)
VISIBLE = _READING.format(
    goal="A problem is between <question> tags; the memory is there to solve it once the text is read to its end."
)
BLIND = _READING.format(
    goal="Questions about any part of the text will be asked when it is read to its end, and only the memory is left then."
)
ANSWERING = (
    "You have read a long text and can no longer see it. What you kept of it is between <memory> tags. Answer the question "
    "between <question> tags from that memory alone. {mark}"
)
Mark = Literal["none", "stated", "boxed"]
"""What marks the answer in a reply: nothing, the sentence of MemAgent's evaluation, or the box of its training."""
MARKS: dict[Mark, str] = {
    "none": "Reply with the answer alone, in as few words as possible; where there are <options>, with the letter of the "
    "best one, like this: (a). If the memory does not hold the answer, reply: I don't know",
    "stated": 'End with one sentence of this form: "Therefore, the answer is X", where X is the answer alone.',
    "boxed": "End with the answer alone in a box, like this: \\boxed{X}",
}


class MemAgent(Rolling):
    """The agent. memory_tokens: of the memory and of a reply, at most. chunk_tokens: of a chunk, where no protocol fixes it
    (0: the task's). mark: of the answer in a reply: none, stated ("the answer is X") or boxed. A prompt file for the role
    `reader` replaces the system text of answering."""

    track = "native"

    def __init__(self, memory_tokens: int = 1024, chunk_tokens: int = 5000, mark: Mark = "none") -> None:
        super().__init__(memory_tokens)
        self.chunk_tokens: int = self.checked("chunk_tokens", chunk_tokens, Count)
        self.mark: Mark = self.checked("mark", mark, Mark)

    def reading(self) -> str:
        return VISIBLE if self.session.query else BLIND

    def view(self, chunk: Chunk) -> list[str]:
        return [*problem(self.session.query), *super().view(chunk)]

    async def answer(self, query: Query, recall: Recall) -> str:
        system = self.session.prompts.get("reader") or ANSWERING.format(mark=MARKS[self.mark])
        return (await self.generate(system, *problem(query), tagged(MEMORY, recalled(recall)))).text
