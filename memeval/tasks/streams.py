"""Build streams from questions with their own paragraphs, and a pool; the same for all data sets.

A stream holds a question's own paragraphs and random ones of the pool, in an order drawn per question. Variants: a stream
filled to a number of tokens, nearest distractors instead of random ones, several questions in one stream (DESIGN section 3).
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memeval import tokens
from memeval.errors import NoData, UsageError
from memeval.task import Context, ContextRef, Evidence, Question, Unit
from memeval.tasks import memocr
from memeval.tasks.base import Settings, hash64, refs_of, seeded
from memeval.tasks.pool import Passage, Pool, keys, mixed

if TYPE_CHECKING:
    from memeval.cards import TaskCard


SHORTEST = 64
"""Tokens. The average document of a pool is rarely shorter, so a stream of N tokens takes about N / SHORTEST documents at
most."""


@dataclass(frozen=True, slots=True)
class Example:
    """A question and the passages that belong to it.

    question: without evidence and position, which are set when the stream is built. own: passages that are always in the
    stream. evidence: (index into own, supporting text). exclude: titles that are never drawn as distractors, besides the
    titles of `own`. hygiene: strings that a `@hard` distractor must not contain, besides the question's answers (aliases).
    """

    question: Question
    own: tuple[Passage, ...]
    evidence: tuple[tuple[int, str], ...] = ()
    exclude: frozenset[str] = frozenset()
    hygiene: tuple[str, ...] = ()


class PackedTask:
    """A task whose streams are built from examples and a pool; implements `memeval.tasks.Task`.

    pool: called once, when the first context is built. data: facts for the manifest. order: of the questions, in place of
    the seeded one. Streams follow the card: `documents` (a number that includes the own ones) or `tokens` (whole documents
    up to that number), `hard`, `shared`. Own passages are always included, even where they alone exceed the length. Passages
    with a `time` are in order of time, the others at places given by a hash. `layout: memocr` draws, orders and prints
    documents as that script does (memocr.py); then the order of `examples` matters. Raises NoData where the pool is too
    small.
    """

    def __init__(
        self,
        card: TaskCard,
        settings: Settings,
        examples: Sequence[Example],
        pool: Callable[[], Pool],
        data: Mapping[str, Any],
        order: Sequence[str] | None = None,
    ) -> None:
        if card.documents and card.tokens:
            raise UsageError(f"task '{card.name}': has 'documents' and 'tokens'; set one of them to 0")
        if card.shared < 1:
            raise UsageError(f"task '{card.name}': 'shared' is {card.shared}; questions per stream, at least 1")
        self.card = card
        self.data = data
        self._seed = settings.seed
        self._examples: dict[str, Example] = {}
        for example in examples:
            if example.question.id in self._examples:
                raise UsageError(f"task '{card.name}': question id '{example.question.id}' occurs twice")
            self._examples[example.question.id] = _with_question_mark(example) if card.layout else example
        self.order: Sequence[str] = seeded(self._examples, settings.seed) if order is None else order
        if card.layout:
            drawn = memocr.drawn(list(self._examples), card.documents, settings.seed)
            self.order = list(dict.fromkeys([*drawn, *self.order]))
        self._groups: dict[str, tuple[str, ...]] = {}
        self._group_of: dict[str, str] = {}
        for start in range(0, len(self.order), card.shared):
            ids = tuple(self.order[start : start + card.shared])
            context_id = ids[0] if card.shared == 1 else f"shared{card.shared}-{start // card.shared:05d}"
            self._groups[context_id] = ids
            self._group_of.update(dict.fromkeys(ids, context_id))
        self._make_pool = pool
        self._pool: Pool | None = None
        self._tokens: dict[int, int] = {}  # of the pool's passages drawn so far: most are drawn for many streams
        self._lock = threading.Lock()

    def golds(self) -> Sequence[Question]:
        """Questions with their golds, in seeded order; builds no stream."""
        return [self._examples[name].question for name in self.order]

    def refs(self, question_ids: Sequence[str]) -> list[ContextRef]:
        return refs_of(self.card, self._group_of, question_ids)

    def context(self, ref: ContextRef) -> Context:
        """Build one stream. meta: documents, tokens (the sum over units), from_wiki_pool (how many documents are filler)."""
        if ref.context_id not in self._groups:
            raise UsageError(f"task '{self.card.name}': no context '{ref.context_id}'")
        examples = [self._examples[name] for name in self._groups[ref.context_id]]
        own = tuple(dict.fromkeys(item for example in examples for item in example.own))
        units = [item.unit() for item in own]
        drawn, total = self._draw(ref.context_id, examples, own, units)
        order = self._arranged(ref.context_id, own, drawn)
        position = {index: at for at, index in enumerate(order) if index < len(own)}
        place = {item: position[index] for index, item in enumerate(own)}
        questions = tuple(
            dataclasses.replace(
                example.question,
                evidence=tuple(Evidence(text, (place[example.own[index]],)) for index, text in example.evidence),
            )
            for example in examples
        )
        stream = tuple(units[index] for index in order)
        if self.card.layout:
            stream = tuple(memocr.document(at, unit) for at, unit in enumerate(stream))
            total = sum(map(tokens.counter(self.card.tokenizer), (unit.render() for unit in stream)))
        proper = self.pool.size if drawn else 0
        filler = sum(index >= proper for index in drawn)
        meta = {"documents": len(units), "tokens": total, "from_wiki_pool": filler}
        return Context(ref.context_id, stream, questions, cluster=ref.context_id, meta=meta)

    @property
    def pool(self) -> Pool:
        with self._lock:  # contexts are built by several threads
            if self._pool is None:
                self._pool = self._make_pool()
            return self._pool

    def _draw(
        self, context_id: str, examples: Sequence[Example], own: Sequence[Passage], units: list[Unit]
    ) -> tuple[list[int], int]:
        """(distractors as indices into the pool, the tokens of the whole stream). Their units are appended to `units`."""
        count = tokens.counter(self.card.tokenizer)
        total = sum(count(unit.render()) for unit in units)
        wanted = max(self.card.documents - len(own), 0)
        if not wanted and total >= self.card.tokens:
            return [], total
        drawn: list[int] = []
        unit_of, tokens_of = self.pool.unit, self._tokens
        for index in self._candidates(context_id, examples, own, wanted or self.card.tokens // SHORTEST):
            unit = unit_of(index)
            size = tokens_of.get(index, -1)
            if size < 0:
                size = tokens_of[index] = count(unit.render())
            if self.card.tokens and total + size > self.card.tokens:
                return drawn, total
            drawn.append(index)
            units.append(unit)
            total += size
            if self.card.documents and len(drawn) == wanted:
                return drawn, total
        length = f"{self.card.tokens} tokens" if self.card.tokens else f"{self.card.documents} documents"
        raise NoData(
            f"task '{self.card.name}': the stream of '{context_id}' needs {length}, but the pool gives only "
            f"{len(units)} documents ({total} tokens); take a shorter length, or put Wikipedia passages "
            "(wiki_pool/corpus-*.jsonl, BEIR's hotpotqa corpus) into the data folder"
        )

    def _candidates(
        self, context_id: str, examples: Sequence[Example], own: Sequence[Passage], expected: int
    ) -> Iterable[int]:
        if self.card.layout:
            salt = memocr.salt(self._seed, self.card.documents, context_id)
            return self.pool.ranking(salt, own, same_titles=True, expected=expected)
        titles = frozenset(itertools.chain.from_iterable(example.exclude for example in examples))
        salt = hash64("draw", self._seed, context_id)
        if not self.card.hard:
            return self.pool.ranking(salt, own, titles, expected=expected)
        query = " ".join(example.question.text for example in examples)
        return self.pool.nearest(self.pool.ranking(salt, own, titles), query, _answer_strings(examples))

    def _arranged(self, context_id: str, own: Sequence[Passage], drawn: Sequence[int]) -> list[int]:
        """The order of the stream, as indices into the list of own passages followed by drawn ones. A passage without a time
        gets one of the moments by its hash, which is fixed per passage, so that streams of different lengths agree.

        A moment is an index into the sorted times of the pool and of the own passages. The pool stores the indices of its
        own times; each further time of an own passage raises the indices after it by one.
        """
        if self.card.layout:
            return memocr.permutation(len(own) + len(drawn))
        known = self.pool.times
        all_keys = np.concatenate([keys(own), self.pool.keys[np.array(drawn, dtype=np.intp)]])
        hashes = mixed(all_keys, hash64("place", self._seed, context_id))
        more = sorted({item.time for item in own if item.time and not _holds(known, item.time)})
        if not known and not more:
            return list(np.argsort(hashes, kind="stable").tolist())
        ranks = (hashes % np.uint64(len(known) + len(more))).astype(np.int64)
        for index, item in enumerate(own):
            if item.time:
                ranks[index] = bisect_left(known, item.time) + bisect_left(more, item.time)
        moments = self.pool.moments[np.array(drawn, dtype=np.intp)]
        moved = np.searchsorted(np.array([bisect_left(known, time) for time in more]), moments, side="right")
        ranks[len(own) :] = np.where(moments < 0, ranks[len(own) :], moments + moved)
        return list(np.lexsort((hashes, ranks)).tolist())


def _holds(times: Sequence[str], time: str) -> bool:
    at = bisect_left(times, time)
    return at < len(times) and times[at] == time


def _with_question_mark(example: Example) -> Example:
    question = dataclasses.replace(example.question, text=memocr.with_question_mark(example.question.text))
    return dataclasses.replace(example, question=question)


def _answer_strings(examples: Sequence[Example]) -> Iterator[str]:
    """Strings that a `@hard` distractor must not contain, without yes and no, which occur in passages of all kinds."""
    for example in examples:
        for text in (*example.question.answers, *example.hygiene):
            if text.strip().lower() not in ("yes", "no"):
                yield text
