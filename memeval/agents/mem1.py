"""MEM1 (arXiv 2506.15841): an internal state is all that a turn knows about the turns before it.

At each turn the model sees the task, its last state and the newest information. It replies with a new state between <IS>
(the paper) or <think> (the released code), then with <search> to continue or <answer> to end. Everything older is deleted.
The rules are those of github.com/MIT-MI/MEM1 at 6f22061 (Mem1/inference), the words are our own. There a search returns
three passages; here the stream decides what comes next: the information of a turn is a chunk, whatever the model searched
for. The limit of turns applies to the turns after the stream, in which the model must answer.
"""

from __future__ import annotations

import re
from typing import Literal

from memeval.agent import Chunk, Query, Recall, Session
from memeval.agents.rolling import Rolling, asked, first_tokens, recalled
from memeval.models.completion import Completion
from memeval.typed import Count, Positive

Tag = Literal["IS", "think"]
_OPEN = re.compile(r"<(IS|think|search|information|answer)>")
_CLOSE = re.compile(_OPEN.pattern.replace("<", "</"))


class Mem1(Rolling):
    """The agent. memory_tokens: most tokens of the state, and of a reply. chunk_tokens: tokens of a chunk, where no protocol
    fixes it (0: the task's). turns: most calls for one answer. tag: the tag around the state, IS or think. Where the task
    shows the question, an answer ends the reading and becomes part of the state."""

    prompts = "mem1"
    track = "native"
    kind = "state"

    def __init__(self, memory_tokens: int = 1024, chunk_tokens: int = 5000, turns: int = 6, tag: Tag = "IS") -> None:
        super().__init__(memory_tokens)
        self.chunk_tokens: int = self.checked("chunk_tokens", chunk_tokens, Count)
        self.turns: int = self.checked("turns", turns, Positive)
        self.tag: Tag = self.checked("tag", tag, Tag)

    def begin(self, session: Session) -> None:
        super().begin(session)
        self.answered = False

    async def observe(self, chunk: Chunk) -> None:
        if not self.answered:
            await super().observe(chunk)

    def aim(self) -> dict[str, str]:
        return self.in_view(tag=self.tag)

    def new_text(self, reply: Completion) -> str:
        """The state, or the whole reply where it has no tag. As upstream, a search takes precedence over an answer."""
        blocks, rest = self._parts(reply)
        state = blocks.get(self.tag, "") if blocks else rest
        if self.session.query and blocks.get("search"):
            return f"{state}\nsearched for: {blocks['search']}" if state else ""
        if self.session.query and blocks.get("answer"):
            self.answered = True
            return f"answer: {blocks['answer']}\n{state or self.text}"
        return state

    async def answer(self, query: Query, recall: Recall) -> str:
        """The first answer, or the text of a reply outside its tags. After a reply with neither, the next turn sees only its
        state; after the last turn the answer is empty."""
        state, values = recalled(recall), {"tag": self.tag, **asked(query)}
        for left in reversed(range(self.turns)):
            blocks, rest = self._parts(await self.generate("answer", "ask", memory=state, turns=left, **values))
            text = blocks.get("answer") or ("" if "search" in blocks else rest)
            if text or not blocks:
                return text
            state = first_tokens(blocks.get(self.tag) or state, self.memory_tokens, self.session.count)
        return ""

    def _parts(self, reply: Completion) -> tuple[dict[str, str], str]:
        """`parts` of a reply. With the tag <think>, the state is what the server splits off as thinking."""
        thought = self.tag == "think" and reply.reasoning
        return parts(f"<think>{thought}</think>{reply.text}" if thought else reply.text)


def parts(text: str) -> tuple[dict[str, str], str]:
    """Split a text into (tag -> text of its first block, the text outside all blocks). A block that is not closed ends where
    the next one begins."""
    blocks: dict[str, str] = {}
    rest, at, unclosed = "", 0, set()
    for opened in _OPEN.finditer(text):
        if opened.start() < at:
            continue
        name, begin = opened[1], opened.end()
        end = -1 if name in unclosed else text.find(f"</{name}>", begin)
        rest += text[at : opened.start()]
        at = end + len(f"</{name}>")
        if end < 0:
            unclosed.add(name)
            following = _OPEN.search(text, begin)
            at = end = following.start() if following else len(text)
        blocks.setdefault(name, text[begin:end].strip())
    return blocks, _CLOSE.sub("", rest + text[at:]).strip()
