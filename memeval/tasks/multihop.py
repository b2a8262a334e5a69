"""HotpotQA (Yang et al., EMNLP 2018, arXiv 1809.09600) and 2WikiMultihopQA (Ho et al., COLING 2020, arXiv 2011.01060):
questions with ten paragraphs of Wikipedia each, of which some sentences are marked as evidence.

Upstream's JSON has `context: [[title, [sentence]]]`. The hub's rows and FlashRAG's collection (arXiv 2405.13576, used by
MemOCR's protocol; it has ids of its own, and the rest under `metadata`) have the same data as columns,
`context: {title: [...], sentences: [[...]]}`. All give identical contexts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from memeval.data.fields import texts
from memeval.data.files import DataFile
from memeval.task import Question
from memeval.tasks.base import plain
from memeval.tasks.paragraphs import ParagraphQA
from memeval.tasks.pool import Passage
from memeval.tasks.streams import Example


class HotpotQA(ParagraphQA):
    """The distractor setting of dev; else the fullwiki setting, whose paragraphs come from a retriever, so that only
    questions with complete gold are asked. Never the training set. Sentences begin with a space, so they are joined without
    one."""

    file = DataFile(
        (
            "hotpotqa/hotpot_dev_distractor_v1.json",
            "hotpotqa/hotpot_dev_fullwiki_v1.json",
            "hotpotqa/distractor/validation-*.parquet",
        ),
        hub=("hotpotqa/hotpot_qa/distractor/validation-*.parquet",),
    )

    def parse(self, row: Mapping[str, Any]) -> tuple[Sequence[Passage], Example]:
        return parse(row, "")


class TwoWiki(ParagraphQA):
    """The dev set, whose contexts always contain the gold. Sentences have no leading space."""

    file = DataFile(("2wikimultihopqa/dev.json",), hub=("voidful/2WikiMultihopQA/dev.json",))
    corpus_url = (
        "https://raw.githubusercontent.com/OSU-NLP-Group/HippoRAG/191f281122e2437743daf1dd2dae23059a14c088/"
        "reproduce/dataset/2wikimultihopqa_corpus.json"
    )

    def parse(self, row: Mapping[str, Any]) -> tuple[Sequence[Passage], Example]:
        return parse(row, " ")


def parse(row: Mapping[str, Any], joint: str) -> tuple[Sequence[Passage], Example]:
    """One record as (its paragraphs, the question with them). There is no evidence when a gold paragraph is not among them.
    joint: what separates the sentences of a paragraph.

    Evidence is one piece per gold title: the title and its supporting sentences. Upstream's data name some sentences
    that do not exist; they are left out, and a title without any other has its whole paragraph as evidence.
    """
    if "golden_answers" in row:  # FlashRAG: several answers, and a type where the data set has one
        answers = tuple(filter(None, texts(row["golden_answers"])))
        fields: Mapping[str, Any] = {"type": "all", **row["metadata"]}
    else:
        answers, fields = (row["answer"].strip(),), row
    gold: dict[str, list[int]] = {}
    for title, sentence in _pairs(fields["supporting_facts"], "sent_id"):
        gold.setdefault(plain(title), []).append(int(sentence))
    own: list[Passage] = []
    sentences: dict[str, list[str]] = {}
    at: dict[str, int] = {}
    for title, parts in _pairs(fields["context"], "sentences", "content"):
        parts = msgspec.convert(parts, list[str])
        passage, key = Passage(title.strip(), joint.join(parts).strip()), plain(title)
        if not passage.text or (key in at and plain(own[at[key]].text) == plain(passage.text)):
            continue  # upstream repeats some paragraphs
        if key in at and key in gold:
            raise ValueError(f"two different paragraphs are titled '{key}', which is evidence")
        at.setdefault(key, len(own))
        sentences.setdefault(key, parts)
        own.append(passage)
    evidence = []
    for title, numbers in gold.items():
        if title in at:
            chosen = [sentences[title][i] for i in dict.fromkeys(numbers) if i < len(sentences[title])]
            text = joint.join(chosen).strip() or own[at[title]].text
            evidence.append((at[title], f"{own[at[title]].title}\n{text}"))
    name = row["_id"] if "_id" in row else row["id"]
    question = Question(name.strip(), row["question"].strip(), answers, kind=fields["type"].strip())
    complete = bool(gold) and len(evidence) == len(gold)
    return own, Example(question, tuple(own), tuple(evidence) if complete else ())


def _pairs(value: Any, *seconds: str) -> Sequence[tuple[str, Any]]:
    """Pairs that start with a title, from a list of pairs, or from the columns `title` and the first of `seconds` that
    exists."""
    if isinstance(value, Mapping):
        second = next(name for name in seconds if name in value)
        return list(zip(value["title"], value[second], strict=True))
    return [(title, other) for title, other in msgspec.convert(value, list[tuple[str, Any]])]
