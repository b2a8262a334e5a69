"""SQuAD as Mem-alpha builds it: paragraphs told in ten dialogues, and every question about them.

After process_data.py (`process_squad_dataset`): distinct paragraphs in order, chunks of random size, ten to a stream;
streams with enough questions; then only short golds that a model does not know without the text. Articles, not streams, are
split into train and validation, so no paragraph is on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memeval import tokens
from memeval.building.chunking import JOINT, chunked
from memeval.building.closed_book import Ask, unknown
from memeval.building.dialogue import told
from memeval.building.instances import Built, Instance, Recipe, capped, find
from memeval.data import whole
from memeval.data.fields import text_field
from memeval.data.files import Found
from memeval.data.records import Records, read
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks.base import plain

CHUNKS = 10
"""Chunks of one stream, the last stream's apart."""


@dataclass
class Paragraph:
    title: str
    text: str
    questions: list[dict[str, Any]] = field(default_factory=list)


def build(
    settings: Settings,
    recipe: Recipe,
    *,
    names: Sequence[str] = ("squad/train-v1.1.json", "squad/xquad.en.json"),
    least_before: int = 50,
    least_after: int = 30,
    closed_book: Ask | None = None,
) -> Built:
    """names: SQuAD files in the data folder, best first (XQuAD's English file is part of SQuAD's dev set: good for trying
    out, never for training that is measured on RULER-QA). least_before, least_after: questions a stream must have before and
    after the filters. closed_book: questions -> answers of a model that sees no text; without it that filter is not applied.
    """
    file = find(settings, names, [("rajpurkar/squad", "plain_text/train-*.parquet")])
    paragraphs, facts = _read(file)
    count = tokens.counter(recipe.tokenizer)
    draw = recipe.random("squad")
    taken = [item for item in paragraphs if recipe.takes(item.title)]
    groups = chunked([item.text for item in taken], draw, count)
    streams = [groups[start : start + CHUNKS] for start in range(0, len(groups), CHUNKS)]
    asked = [[question for group in stream for index in group for question in taken[index].questions] for stream in streams]
    kept, filters = unknown(asked, count, least_before, least_after, closed_book)
    instances = []
    for stream, questions in zip(streams, kept, strict=True):
        if questions:
            texts = [JOINT.join(taken[index].text for index in group) for group in stream]
            chunks = tuple(told(text, day, draw) for day, text in enumerate(texts))
            content = tuple(taken[index].text for group in stream for index in group)
            instances.append(Instance(chunks, capped(questions, draw), "squad", content))
    return Built("squad", recipe, tuple(instances), filters, (facts,))


def _read(file: Found) -> tuple[list[Paragraph], Mapping[str, Any]]:
    """Distinct paragraphs with their questions, from SQuAD's JSON or from rows of the hub, one per question."""
    loaded: Iterator[tuple[str, str, Any, str]]
    if file.name.endswith(".parquet"):
        records = read(file)
        facts, loaded = records.facts, _of_rows(records)
    else:
        document, facts = whole.json_object(file)
        loaded = _of_document(document, str(file.path))
    found: dict[str, Paragraph] = {}
    for title, text, row, place in loaded:
        paragraph = found.setdefault(plain(text), Paragraph(title, text))
        paragraph.questions.append(
            {
                "question": text_field(row, "question", place),
                "answer": _gold(row.get("answers"), place),
                "evidence": [[paragraph.title, paragraph.text]],
            }
        )
    return list(found.values()), facts


def _of_document(document: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, Any, str]]:
    articles = document.get("data")
    if not isinstance(articles, list):
        raise UsageError(f"{path}: 'data' is not a list of articles; is this a SQuAD file?")
    for number, article in enumerate(articles, start=1):
        for paragraph in _list(article, "paragraphs", f"{path}: article {number}"):
            place = f"{path}: article {number}"
            text = text_field(paragraph, "context", place)
            for row in _list(paragraph, "qas", place):
                yield text_field(article, "title", place), text, row, place


def _of_rows(records: Records) -> Iterator[tuple[str, str, Any, str]]:
    for place, row in records.rows():
        yield text_field(row, "title", place), text_field(row, "context", place), row, place


def _gold(answers: Any, place: str) -> str:
    """The first of the answers, as upstream."""
    texts: Any = answers
    if isinstance(answers, Mapping):
        texts = answers.get("text")
    elif isinstance(answers, list):
        texts = [item.get("text") if isinstance(item, Mapping) else None for item in answers]
    if not isinstance(texts, list) or not texts or not isinstance(texts[0], str) or not texts[0].strip():
        raise UsageError(f"{place}: 'answers' holds no text")
    return str(texts[0]).strip()


def _list(row: Any, key: str, place: str) -> list[Any]:
    value = row.get(key) if isinstance(row, Mapping) else None
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise UsageError(f"{place}: '{key}' is not a list of objects")
    return value
