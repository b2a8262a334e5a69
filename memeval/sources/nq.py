"""Natural Questions, open form (Kwiatkowski et al., TACL 2019; Lee et al., ACL 2019): questions typed into a search engine,
each with the Wikipedia passage that answers it, and one or several short answers.

Three shapes are read. Lost-in-the-middle's files (arXiv 2307.03172): `nq-open-oracle` holds the gold passage alone, the 10,
20 and 30-document files hold distractors of a retriever too, and all of them belong to the question. The hub's nq_open_gold
(arXiv 2401.14887): the gold passage, without a title. DPR's format (Tevatron's wikipedia-nq): the first positive passage is
the gold one, the others go into the pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memeval.datafiles import files
from memeval.datafiles.fields import listed, text_field
from memeval.errors import UsageError
from memeval.pool import number, plain
from memeval.sources.paragraphs import Layout, ParagraphQA, texts
from memeval.streams import Example, Passage
from memeval.task import Question


class NQ(ParagraphQA):
    """The dev set of NQ-open, as far as its gold passages are known. Ids are hashes of the question: the data have none that
    all files share."""

    layout = Layout(
        files=("nq/nq-open-oracle.jsonl", "nq/nq-open-*_total_documents_gold_at_*.jsonl"),
        corpus="nq/*_corpus*.json",
        hub="florin-hf/nq_open_gold",
        hub_files="test_dataset.json",
    )

    def parse(self, row: Mapping[str, Any], place: str) -> tuple[list[Passage], Example]:
        asked = text_field(row, "query" if "query" in row else "question", place)
        answers = tuple(dict.fromkeys(texts(row, "answers", place)))
        if not answers:
            raise UsageError(f"{place}: 'answers' is empty")
        question = Question(f"nq-{number(plain(asked)):016x}", asked, answers)
        own, gold, others = _passages(row, place)
        evidence = () if gold is None else ((gold, own[gold].unit().text),)
        return [*own, *others], Example(question, tuple(own), evidence)

    def choose(self, found: Sequence[files.DataFile]) -> Sequence[files.DataFile]:
        return found[:1]  # the files differ in where the gold passage stands, which is drawn anew here


def _passages(row: Mapping[str, Any], place: str) -> tuple[list[Passage], int | None, list[Passage]]:
    """The question's own passages, which of them is gold (None: none is), and passages for the pool."""
    if "ctxs" in row:
        own: list[Passage] = []
        golds: list[int] = []
        for passage, item in _listed(row, "ctxs", place):
            if not isinstance(item.get("isgold"), bool):
                raise UsageError(
                    f"{place}: a passage of 'ctxs' has 'isgold' {repr(item.get('isgold'))[:80]}, expected true or false"
                )
            if item["isgold"]:
                golds.append(len(own))
            own.append(passage)
        if len(golds) > 1:
            raise UsageError(f"{place}: {len(golds)} passages of 'ctxs' are gold, expected one")
        return own, golds[0] if golds else None, []
    if "positive_passages" in row:
        positive = [passage for passage, _ in _listed(row, "positive_passages", place)]
        negative = [passage for passage, _ in _listed(row, "negative_passages", place)]
        return positive[:1], 0 if positive else None, positive[1:] + negative
    if "text" in row:
        return [Passage("", text_field(row, "text", place))], 0, []
    raise UsageError(
        f"{place}: no passages: no field 'ctxs', 'positive_passages' or 'text' (it has {listed(row)}); NQ-open "
        "itself has none, take nq-open-oracle.jsonl"
    )


def _listed(row: Mapping[str, Any], key: str, place: str) -> list[tuple[Passage, Mapping[str, Any]]]:
    """The passages of a list, those without text left out, each with its record."""
    value = row.get(key)
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UsageError(f"{place}: '{key}' is {type(value).__name__ if key in row else 'missing'}, expected a list")
    found = []
    for item in value:
        if not isinstance(item, Mapping):
            raise UsageError(f"{place}: '{key}' holds {str(item)[:80]!r}, expected passages with 'title' and 'text'")
        title = text_field(item, "title", f"{place}: a passage of '{key}'", blank=True)
        text = text_field(item, "text", f"{place}: a passage of '{key}'", blank=True)
        if text:
            found.append((Passage(title, text), item))
    return found
