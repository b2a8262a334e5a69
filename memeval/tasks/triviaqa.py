"""TriviaQA (Joshi et al., ACL 2017, arXiv 1705.03551): trivia questions with whole Wikipedia pages as evidence.

The data do not mark where in its pages a question is answered. The pages are cut into passages. Of those that contain the
answer or an alias, the one nearest to the question is the gold passage (pages.py); all others go into the pool. The rows of
the Hugging Face hub are read, which contain the pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memeval.data.fields import texts
from memeval.data.files import DataFile
from memeval.task import Question
from memeval.tasks.base import normalised
from memeval.tasks.pages import nearest, passages
from memeval.tasks.paragraphs import ParagraphQA
from memeval.tasks.pool import Passage
from memeval.tasks.streams import Example

PAGES = (("entity_pages", "wiki_context"), ("search_results", "search_context"))
"""Where a record has its pages: field, and the pages' texts in it."""


class TriviaQA(ParagraphQA):
    """The dev set with its Wikipedia pages (reading comprehension setting)."""

    file = DataFile(("triviaqa/validation-*.parquet",), hub=("mandarjoshi/trivia_qa/rc.wikipedia/validation-*.parquet",))
    corpus = DataFile(("triviaqa/*_corpus*.json",), required=False, note="more passages for the pool")
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
    """The answer, then its aliases as written and as upstream normalised them: official scoring
    (triviaqa_evaluation.py) takes any of them. Of those that are the same once normalised the first; an alias that
    normalises to nothing would occur in every text and is left out."""
    value = answer["value"].strip()
    found = [value, *texts(answer["aliases"]), *texts(answer["normalized_aliases"])]
    kept = {normalised(text): text for text in reversed(found) if normalised(text)}
    return tuple(text for text in dict.fromkeys(found) if kept.get(normalised(text)) == text) or (value,)


def _pages(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(title, text) of the record's pages."""
    found: list[tuple[str, str]] = []
    for key, field in PAGES:
        pages = row.get(key) or {}
        found += zip(texts(pages.get("title") or []), texts(pages.get(field) or []), strict=True)
    return found
