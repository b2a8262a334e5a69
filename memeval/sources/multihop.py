"""What HotpotQA and 2WikiMultihopQA share: questions with ten paragraphs each, and which sentences of them are the evidence.

Two shapes are read and give identical contexts: upstream's JSON (`context: [[title, [sentence]]]`) and rows of the Hugging
Face hub (`context: {title: [...], sentences: [[...]]}`). FlashRAG's collection (arXiv 2405.13576), which has the same under
`metadata` and ids of its own, is read too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memeval.datafiles.fields import is_whole, listed, text_field
from memeval.errors import UsageError
from memeval.pool import plain
from memeval.sources.paragraphs import Layout, ParagraphQA, texts
from memeval.streams import Example, Passage
from memeval.task import Question

__all__ = ["Layout", "MultiHop", "parse"]


class MultiHop(ParagraphQA):
    """A source over one layout. Subclasses set `layout`."""

    def parse(self, row: Mapping[str, Any], place: str) -> tuple[list[Passage], Example]:
        return parse(row, place, self.layout.joint)


def parse(row: Mapping[str, Any], place: str, joint: str) -> tuple[list[Passage], Example]:
    """One record: its paragraphs, and the question with them. No evidence when a gold paragraph is not among them.

    Evidence is one piece per gold title: the title and its supporting sentences. Upstream's data name some sentences that
    do not exist; those are left out, and a title that has no other brings its whole paragraph.
    """
    name = text_field(row, "_id" if "_id" in row else "id", place)
    asked = text_field(row, "question", place)
    if "golden_answers" in row:  # FlashRAG: several answers, and a type where the data set has one
        answers = tuple(texts(row, "golden_answers", place))
        row = {"type": "all", **_inside(row, "metadata", place)}
    else:
        answers = (text_field(row, "answer", place),)
    if not answers:
        raise UsageError(f"{place}: 'golden_answers' is empty")
    gold: dict[str, list[int]] = {}
    for title, sentence in _pairs(row, "supporting_facts", ("sent_id",), place):
        if not is_whole(sentence):
            raise UsageError(f"{place}: 'supporting_facts' names sentence {sentence!r}, expected a number from 0")
        gold.setdefault(plain(title), []).append(sentence)
    own: list[Passage] = []
    sentences: dict[str, list[str]] = {}
    at: dict[str, int] = {}
    for title, parts in _pairs(row, "context", ("sentences", "content"), place):
        if not isinstance(parts, Sequence) or isinstance(parts, str) or not all(isinstance(part, str) for part in parts):
            raise UsageError(f"{place}: the paragraph '{title}' is not a list of sentences")
        passage = Passage(title, joint.join(parts).strip())
        key = plain(title)
        if not passage.text:
            continue
        if key in at and plain(own[at[key]].text) == plain(passage.text):
            continue  # upstream repeats some paragraphs
        if key in at and key in gold:
            raise UsageError(f"{place}: two different paragraphs are titled '{title}', which is evidence")
        at.setdefault(key, len(own))
        sentences.setdefault(key, list(parts))
        own.append(passage)
    evidence = []
    for title, numbers in gold.items():
        if title in at:
            chosen = [sentences[title][i] for i in dict.fromkeys(numbers) if i < len(sentences[title])]
            text = joint.join(chosen).strip() or own[at[title]].text
            evidence.append((at[title], f"{own[at[title]].title}\n{text}"))
    question = Question(name, asked, answers, kind=text_field(row, "type", place))
    complete = bool(gold) and len(evidence) == len(gold)
    return own, Example(question, tuple(own), tuple(evidence) if complete else ())


def _inside(row: Mapping[str, Any], key: str, place: str) -> Mapping[str, Any]:
    if not isinstance(row.get(key), Mapping):
        raise UsageError(f"{place}: '{key}' is {type(row.get(key)).__name__}, expected an object with named fields")
    inner: Mapping[str, Any] = row[key]
    return inner


def _pairs(row: Mapping[str, Any], key: str, seconds: Sequence[str], place: str) -> Iterator[tuple[str, Any]]:
    """(title, what belongs to it) of a field in either shape: pairs, or two columns side by side."""
    if key not in row:
        raise UsageError(f"{place}: no field '{key}' (it has {listed(row)})")
    value = row[key]
    if isinstance(value, Mapping):
        second = next((name for name in seconds if name in value), seconds[0])
        titles, others = value.get("title"), value.get(second)
        if not isinstance(titles, Sequence) or not isinstance(others, Sequence) or len(titles) != len(others):
            raise UsageError(f"{place}: '{key}' needs the lists 'title' and '{second}', equally long")
        value = list(zip(titles, others, strict=True))
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UsageError(f"{place}: '{key}' is {type(value).__name__}, expected a list")
    for pair in value:
        if isinstance(pair, Mapping):  # some versions of datasets keep the columns in each element
            pair = [pair.get("title"), next((pair[name] for name in seconds if name in pair), None)]
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2 or not isinstance(pair[0], str):
            raise UsageError(f"{place}: '{key}' holds {str(pair)[:80]!r}, expected pairs that start with a title")
        if not pair[0].strip():
            raise UsageError(f"{place}: '{key}' has a blank title")
        yield pair[0].strip(), pair[1]
