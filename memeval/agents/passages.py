"""The passages in which a stream is searched: their length, their overlap, and what a hit returns.

A chunk is split into sentences, which are never cut. Sentences are packed into passages from left to right; a paragraph (a
document, a turn) that fits into a passage is not divided. A passage ends at the end of its chunk at the latest, so that the
passages of a prefix of the stream are a prefix of its passages. A passage begins with the last sentences of the one before
it, as many as fit into the overlap.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from memeval.agent import Chunk, Item
from memeval.errors import UsageError
from memeval.tasks.chunking import JOINT, SENTENCE_END
from memeval.typed import Count, typed

_PARAGRAPH = re.compile(r"\n\s*\n")

Ranking = Iterable[tuple[int, float]]
"""(number of a passage, score), best first"""


@dataclass(frozen=True, slots=True)
class Cut:
    """How a stream is cut and how much of it is recalled: the parameters of the agents that search (rag.py)."""

    k: int = 2
    passage: int = 0
    overlap: int = 0
    neighbours: int = 0
    budget: int = 0

    def check(self, agent: str) -> None:
        """Check the numbers. Raises UsageError, with the agent's name, where one makes no sense."""
        for name, value in dataclasses.asdict(self).items():
            typed(value, Count, agent, name)
        if not self.k and not self.budget:
            raise UsageError(f"{agent}: 'k' is 0, expected a whole number of hits, or a budget of tokens beside it")
        if self.passage and self.overlap >= self.passage:
            raise UsageError(f"{agent}: 'overlap' is {self.overlap}, expected less than a passage has ({self.passage})")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A part of a chunk that is never cut. before: the text between it and the sentence before. chunk: id of the chunk."""

    before: str
    text: str
    chunk: str
    tokens: int


@dataclass
class Passages:
    """The passages of a stream so far. spans: (first sentence, the one after the last) of each passage; ids: their ids."""

    cut: Cut
    count: Callable[[str], int]
    sentences: list[Sentence] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def add(self, chunk: Chunk) -> list[str]:
        """Cut a chunk into passages, numbered after the existing ones, and return their texts."""
        known, start = len(self.spans), self._after_overlap()
        own = len(self.sentences)  # the first sentence of the passage that does not repeat the one before
        for paragraph in self._paragraphs(chunk):
            for together in [paragraph] if self._fits(paragraph) else [[sentence] for sentence in paragraph]:
                if own < len(self.sentences) and not self._fits(self.sentences[start:] + together):
                    self.spans.append((start, len(self.sentences)))
                    start, own = self._after_overlap(), len(self.sentences)
                while start < own and not self._fits(self.sentences[start:] + together):
                    start += 1
                self.sentences += together
        if own < len(self.sentences):
            self.spans.append((start, len(self.sentences)))
        made = len(self.spans) - known
        self.ids += [chunk.id] if made == 1 else [f"{chunk.id}.{number + 1}" for number in range(made)]
        return [self._text(range(*span)) for span in self.spans[known:]]

    def items(self, ranking: Ranking) -> list[Item]:
        """The recalled items: the hits by rank, each with its neighbours, and no sentence twice.

        An item has the score of its hit. Items stop at the budget, but the first one is always included."""
        items: list[Item] = []
        shown: set[int] = set()
        left, wide = self.cut.budget, self.cut.neighbours
        for number, score in ranking:
            first = self.spans[max(0, number - wide)][0]
            last = self.spans[min(len(self.spans) - 1, number + wide)][1]
            for run in _runs(index for index in range(first, last) if index not in shown):
                left -= sum(self.sentences[index].tokens for index in run)
                if self.cut.budget and left < 0 and items:
                    return items
                shown.update(run)
                chunks = tuple(dict.fromkeys(self.sentences[index].chunk for index in run))
                items.append(Item(self._text(run), chunks, self.ids[number], score))
        return items

    def copy(self) -> Passages:
        twin = copy.copy(self)
        twin.sentences, twin.spans, twin.ids = list(self.sentences), list(self.spans), list(self.ids)
        return twin

    def _paragraphs(self, chunk: Chunk) -> Iterator[list[Sentence]]:
        if not self.cut.passage and not self.cut.overlap:
            yield [Sentence(JOINT, chunk.text, chunk.id, chunk.tokens or self.count(chunk.text))]
            return
        for paragraph in filter(str.strip, _PARAGRAPH.split(chunk.text)):
            found, before, begin = [], JOINT, 0
            for end in (*(match.end() for match in SENTENCE_END.finditer(paragraph)), len(paragraph)):
                part = paragraph[begin:end]
                text = part.strip()
                if text:
                    found.append(Sentence(before, text, chunk.id, self.count(text)))
                    before, begin = part[len(part.rstrip()) :], end
            yield found

    def _fits(self, sentences: Sequence[Sentence]) -> bool:
        return not self.cut.passage or sum(sentence.tokens for sentence in sentences) <= self.cut.passage

    def _after_overlap(self) -> int:
        """The index of the sentence where the next passage begins: after the first sentence of the last passage, and as far
        back as the overlap allows."""
        begin, left = len(self.sentences), self.cut.overlap
        first = self.spans[-1][0] if self.spans else begin
        while begin > first + 1 and (left := left - self.sentences[begin - 1].tokens) >= 0:
            begin -= 1
        return begin

    def _text(self, indices: Iterable[int]) -> str:
        some = [self.sentences[index] for index in indices]
        return "".join([some[0].text, *(sentence.before + sentence.text for sentence in some[1:])]) if some else ""


def _runs(indices: Iterable[int]) -> Iterator[list[int]]:
    """Group rising numbers into lists without gaps."""
    for _, group in groupby(enumerate(indices), key=lambda pair: pair[1] - pair[0]):
        yield [index for _, index in group]
