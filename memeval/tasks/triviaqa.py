"""TriviaQA (Joshi et al., ACL 2017, arXiv 1705.03551): trivia questions with whole Wikipedia pages as evidence.

The data do not mark where in the pages a question is answered. The pages are cut into passages of up to a few hundred words.
As in distant supervision, any passage that contains the answer or an alias may be the right one: the nearest to the question
is taken as the gold passage, and all others go into the pool. The rows of the Hugging Face hub are read, which contain the
pages.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from memeval.data.fields import texts
from memeval.data.files import DataFile
from memeval.task import Question
from memeval.tasks.base import normalise
from memeval.tasks.paragraphs import ParagraphQA
from memeval.tasks.pool import Passage
from memeval.tasks.streams import Example

PAGES = (("entity_pages", "wiki_context"), ("search_results", "search_context"))
"""Where a record has its pages: (field, the texts' key in it)."""
LEAST, MOST = 20, 300
"""About the fewest and the most words of a passage: a shorter paragraph (a heading, an item of a list) is joined with the
next, a longer one is cut."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+")

Cut = tuple[Passage, str]
"""(a passage, its normalised title and text)"""


class TriviaQA(ParagraphQA):
    """The dev set with its Wikipedia pages (reading comprehension setting)."""

    file = DataFile(("triviaqa/validation-*.parquet",), hub=("mandarjoshi/trivia_qa/rc.wikipedia/validation-*.parquet",))
    id_field = "question_id"

    def parse(self, row: Mapping[str, Any]) -> tuple[Sequence[Passage], Example]:
        asked, answers = row["question"].strip(), _answers(row["answer"])
        cut = [piece for title, text in _pages(row) for piece in passages(title, text)]
        own = nearest(asked, answers, cut)
        example = Example(
            Question(row["question_id"].strip(), asked, answers),
            () if own is None else (own,),
            () if own is None else ((0, own.unit().text),),
        )
        return [passage for passage, _ in cut], example


def _answers(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """The answer, then its aliases as written and as normalised by upstream: official scoring (triviaqa_evaluation.py)
    accepts any of them. Of answers with the same normalised form, the first is kept. An alias that normalises to nothing is
    left out, because it would occur in every text."""
    value = answer["value"].strip()
    found = [value, *texts(answer["aliases"]), *texts(answer["normalized_aliases"])]
    kept = {normalise(text): text for text in reversed(found) if normalise(text)}
    return tuple(text for text in dict.fromkeys(found) if kept.get(normalise(text)) == text) or (value,)


def _pages(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(title, text) of the record's pages."""
    found: list[tuple[str, str]] = []
    for key, field in PAGES:
        pages = row.get(key) or {}
        found += zip(texts(pages.get("title") or []), texts(pages.get(field) or []), strict=True)
    return found


@functools.lru_cache(maxsize=256)  # questions share pages
def passages(title: str, text: str) -> tuple[Cut, ...]:
    """Cut a page into passages of whole paragraphs (lines), in order."""
    pieces: list[str] = []
    held = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        held = f"{held}\n{line}" if held else line
        if len(held.split()) >= LEAST:
            pieces.extend(_bounded(held))
            held = ""
    if held:
        pieces[-1:] = [f"{pieces[-1]}\n{held}"] if pieces else [held]
    return tuple((Passage(title, piece), normalise(f"{title} {piece}")) for piece in pieces)


def _bounded(paragraph: str) -> list[str]:
    """Cut a paragraph into parts of at most MOST words, between sentences (inside a sentence only where it alone is too
    long)."""
    if len(paragraph.split()) <= MOST:
        return [paragraph]
    parts: list[list[str]] = [[]]
    for sentence in _SENTENCE.split(paragraph):
        words = sentence.split()
        for start in range(0, len(words), MOST):
            chunk = words[start : start + MOST]
            if len(parts[-1]) + len(chunk) > MOST:
                parts.append([])
            parts[-1].extend(chunk)
    return [" ".join(words) for words in parts if words]


def nearest(question: str, answers: Sequence[str], cuts: Sequence[Cut]) -> Passage | None:
    """The passage that is nearest to the question among those that contain an answer as whole normalised tokens. Nearness is
    the sum of ln(passages / passages with the word) over the words shared with the question; ties go to the first. None
    where no passage contains an answer."""
    needles = [f" {text} " for text in dict.fromkeys(map(normalise, answers)) if text]
    holding = [index for index, (_, text) in enumerate(cuts) if any(needle in f" {text} " for needle in needles)]
    if not holding:
        return None
    words = set(normalise(question).split())
    shared = [words.intersection(text.split()) for _, text in cuts]
    weight = {word: math.log(len(cuts) / sum(word in held for held in shared)) for word in set().union(*shared)}
    # fsum does not depend on the order of a set, which differs between processes
    best = max(holding, key=lambda index: (math.fsum(weight[word] for word in shared[index]), -index))
    return cuts[best][0]
