"""TriviaQA (Joshi et al., ACL 2017, arXiv 1705.03551): trivia questions with whole Wikipedia pages as evidence.

Nobody marked where in its pages a question is answered. They are cut into passages, and of those that hold the answer or an
alias of it the one nearest to the question is its gold passage (pages.py); all others go into the pool. Two shapes are read
and give identical contexts: upstream's qa/*.json with its evidence folder, and rows of the Hugging Face hub, which hold the
pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from memeval.datafiles import files
from memeval.datafiles.fields import text_field
from memeval.errors import UsageError
from memeval.pool import normalised
from memeval.sources.pages import nearest, passages
from memeval.sources.paragraphs import Layout, ParagraphQA, texts
from memeval.sources.triviaqa_upstream import PAGES, Evidence, as_hub
from memeval.streams import Example, Passage
from memeval.task import Question


class TriviaQA(ParagraphQA):
    """The dev set with its Wikipedia pages (reading comprehension setting). A record that comes twice (the hub's `rc` has it
    once with web pages and once with Wikipedia's) is asked once."""

    layout = Layout(
        files=("triviaqa/qa/wikipedia-dev.json", "triviaqa-rc/qa/wikipedia-dev.json", "triviaqa/validation-*.parquet"),
        corpus="triviaqa/*_corpus*.json",
        hub="mandarjoshi/trivia_qa",
        hub_files="rc.wikipedia/validation-*.parquet",
        records=1000,
    )

    id_fields = ("QuestionId", "question_id")
    _evidence: Evidence | None = None

    def read(self, file: files.DataFile) -> files.Records:
        if not file.name.endswith(".json"):
            return files.read(file)
        self._evidence = Evidence(file.path.absolute().parent.parent / "evidence")
        return files.read(file, member="Data")

    def noted(self) -> Mapping[str, Any]:
        return self._evidence.facts() if self._evidence else {}

    def parse(self, row: Mapping[str, Any], place: str) -> tuple[list[Passage], Example]:
        if self._evidence:
            row = as_hub(row, self._evidence, place)
        asked = text_field(row, "question", place)
        answers = _answers(row, place)
        cut = [piece for title, text in _pages(row, place) for piece in passages(title, text)]
        own = nearest(asked, answers, cut)
        example = Example(
            Question(text_field(row, "question_id", place), asked, answers),
            () if own is None else (own,),
            () if own is None else ((0, own.unit().text),),
        )
        return [passage for passage, _ in cut], example

    def merge(self, first: Example, second: Example) -> Example | None:
        same = replace(first.question, answers=()) == replace(second.question, answers=())
        return (first if first.evidence else second) if same else None


def _answers(row: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """The answer, then its aliases as written and as upstream normalised them: official scoring (triviaqa_evaluation.py)
    takes any of them. Of those that are the same once normalised the first; an alias that normalises to nothing would stand
    in every text and is left out."""
    answer = row.get("answer")
    if not isinstance(answer, Mapping):
        raise UsageError(f"{place}: 'answer' is {type(answer).__name__}, expected an object with 'value' and 'aliases'")
    value = text_field(answer, "value", f"{place}: 'answer'")
    found = [value, *texts(answer, "aliases", place), *texts(answer, "normalized_aliases", place)]
    kept = {normalised(text): text for text in reversed(found) if normalised(text)}
    return tuple(text for text in dict.fromkeys(found) if kept.get(normalised(text)) == text) or (value,)


def _pages(row: Mapping[str, Any], place: str) -> list[tuple[str, str]]:
    """(title, text) of the record's pages: a list of pages, or columns side by side as `datasets` keeps them."""
    found: list[tuple[str, str]] = []
    for key, field, _ in PAGES:
        value = row.get(key)
        if isinstance(value, Mapping):
            titles, bodies = value.get("title") or [], value.get(field) or []
            if not isinstance(titles, Sequence) or not isinstance(bodies, Sequence) or len(titles) != len(bodies):
                raise UsageError(f"{place}: '{key}' needs the lists 'title' and '{field}', equally long")
            value = [{"title": title, field: body} for title, body in zip(titles, bodies, strict=True)]
        if value is not None and (not isinstance(value, Sequence) or isinstance(value, str)):
            raise UsageError(f"{place}: '{key}' is {type(value).__name__}, expected pages with 'title' and '{field}'")
        for page in value or ():
            if not isinstance(page, Mapping):
                raise UsageError(f"{place}: '{key}' holds {str(page)[:80]!r}, expected pages with 'title' and '{field}'")
            where = f"{place}: a page of '{key}'"
            text = text_field(page, field, where, blank=True)
            found.append((text_field(page, "title", where, blank=True), text))
    return found
