"""From questions with their own paragraphs, and a pool, to streams: the part of task building that no data set owns.

One stream per question: its own paragraphs and random ones of the pool, in an order drawn per question. Variants:
filled to a number of tokens, nearest distractors instead of random ones, several questions in one stream (DESIGN
section 3).
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memeval import tokens
from memeval.errors import NoData, UsageError
from memeval.task import Context, ContextRef, Evidence, Question
from memeval.tasks import memocr
from memeval.tasks.base import Settings, number, refs_of, seeded
from memeval.tasks.pool import Passage, Pool, keys, mixed

if TYPE_CHECKING:
    from memeval.cards import TaskCard


@dataclass(frozen=True, slots=True)
class Example:
    """A question and the passages that belong to it.

    question: without evidence and without position (both are set when the stream is built). own: passages that are
    always in the stream. evidence: (index into own, supporting text). exclude: titles never drawn as distractors,
    besides the titles of `own`. hygiene: strings that a `@hard` distractor must not hold, besides the question's
    answers (aliases).
    """

    question: Question
    own: tuple[Passage, ...]
    evidence: tuple[tuple[int, str], ...] = ()
    exclude: frozenset[str] = frozenset()
    hygiene: tuple[str, ...] = ()


class PackedTask:
    """A task whose streams are built from examples and a pool; implements `memeval.tasks.Task`.

    pool: called once, when the first context is built. data: facts for the manifest. order: of the questions, where the
    seeded one will not do. Streams follow the card: `documents`
    (own ones counted) or `tokens` (as near below as the next document allows), `hard`, `shared`; own passages are
    always in, also where they alone exceed the length. Passages with a `time` go in order of time, the others are
    strewn among them by hash. `layout: memocr` draws, orders and prints them as that script does (memocr.py);
    examples then count in the order given. Raises UsageError when the pool is too small.
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
            self._examples[example.question.id] = _marked(example) if card.layout else example
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
        self._lock = threading.Lock()

    def golds(self) -> Sequence[Question]:
        """Questions with their golds, in seeded order; builds no stream."""
        return [self._examples[name].question for name in self.order]

    def refs(self, question_ids: Sequence[str]) -> list[ContextRef]:
        return refs_of(self.card, self._group_of, question_ids)

    def context(self, ref: ContextRef) -> Context:
        """Build one stream. meta: documents, tokens (units counted and summed), from_wiki_pool (filler among them)."""
        if ref.context_id not in self._groups:
            raise UsageError(f"task '{self.card.name}': no context '{ref.context_id}'")
        examples = [self._examples[name] for name in self._groups[ref.context_id]]
        own = tuple(dict.fromkeys(item for example in examples for item in example.own))
        drawn, filler, total = self._draw(ref.context_id, examples, own)
        passages = [*own, *drawn]
        order = self._arranged(ref.context_id, passages)
        place = {passages[index]: position for position, index in enumerate(order) if index < len(own)}
        questions = tuple(
            dataclasses.replace(
                example.question,
                evidence=tuple(Evidence(text, (place[example.own[index]],)) for index, text in example.evidence),
            )
            for example in examples
        )
        units = tuple(passages[index].unit() for index in order)
        if self.card.layout:
            units = tuple(memocr.document(at, unit) for at, unit in enumerate(units))
            total = sum(map(tokens.counter(self.card.tokenizer), (unit.render() for unit in units)))
        meta = {"documents": len(passages), "tokens": total, "from_wiki_pool": filler}
        return Context(ref.context_id, units, questions, cluster=ref.context_id, meta=meta)

    @property
    def pool(self) -> Pool:
        with self._lock:  # contexts are built by several threads
            if self._pool is None:
                self._pool = self._make_pool()
            return self._pool

    def _draw(self, context_id: str, examples: Sequence[Example], own: Sequence[Passage]) -> tuple[list[Passage], int, int]:
        """Distractors, how many of them are filler, and the tokens of the whole stream."""
        count = tokens.counter(self.card.tokenizer)
        total = sum(count(item.unit().render()) for item in own)
        wanted = max(self.card.documents - len(own), 0)
        if not wanted and total >= self.card.tokens:
            return [], 0, total
        drawn: list[Passage] = []
        filler = 0
        full = False
        for index in self._candidates(context_id, examples, own):
            passage = self.pool.passages[index]
            size = count(passage.unit().render())
            full = total + size > self.card.tokens if self.card.tokens else len(drawn) == wanted
            if full:
                break
            drawn.append(passage)
            filler += index >= self.pool.size
            total += size
        if full or (self.card.documents and len(drawn) == wanted):
            return drawn, filler, total
        length = f"{self.card.tokens} tokens" if self.card.tokens else f"{self.card.documents} documents"
        raise NoData(
            f"task '{self.card.name}': the stream of '{context_id}' wants {length}, but the pool gives only "
            f"{len(own) + len(drawn)} documents ({total} tokens); take a shorter length, or put Wikipedia passages "
            "(wiki_pool/corpus-*.jsonl, BEIR's hotpotqa corpus) into the data folder"
        )

    def _candidates(self, context_id: str, examples: Sequence[Example], own: Sequence[Passage]) -> Iterable[int]:
        if self.card.layout:
            salt = memocr.salt(self._seed, self.card.documents, context_id)
            return map(int, self.pool.ranking(salt, own, same_titles=True))
        titles = frozenset(itertools.chain.from_iterable(example.exclude for example in examples))
        ranking = self.pool.ranking(number("draw", self._seed, context_id), own, titles)
        if not self.card.hard:
            return map(int, ranking)
        query = " ".join(example.question.text for example in examples)
        return self.pool.nearest(ranking, query, _telltale(examples))

    def _arranged(self, context_id: str, passages: Sequence[Passage]) -> list[int]:
        """Indices of the passages in stream order. A passage without a time takes a moment of the pool's by its hash:
        fixed per passage, so that streams of different lengths agree."""
        if self.card.layout:
            return memocr.permutation(len(passages))
        hashes = mixed(keys(passages), number("place", self._seed, context_id))
        times = sorted({*self.pool.times, *(item.time for item in passages if item.time)}) if passages else []
        if not times:
            return [int(index) for index in np.argsort(hashes, kind="stable")]
        at = {time: position for position, time in enumerate(times)}
        moments = hashes % np.uint64(len(times))
        ranks = [at[item.time] if item.time else int(moments[index]) for index, item in enumerate(passages)]
        return [int(index) for index in np.lexsort((hashes, np.array(ranks)))]


def _marked(example: Example) -> Example:
    question = dataclasses.replace(example.question, text=memocr.asked(example.question.text))
    return dataclasses.replace(example, question=question)


def _telltale(examples: Sequence[Example]) -> Iterator[str]:
    """Strings that give an answer away. Not yes and no: they say nothing about what a passage holds."""
    for example in examples:
        for text in (*example.question.answers, *example.hygiene):
            if text.strip().lower() not in ("yes", "no"):
                yield text
