"""Mem-alpha's own sets (Wang et al., arXiv 2509.25911) and its MemoryAgentBench subset, from the published parquet
schema.

One row is one stream: `chunks` (a JSON string of texts) are its units, one per chunk by the card's `one_unit_per_chunk`, and
`questions_and_answers` (a JSON string) are asked about all of it. A card's `params` name the `data_source` to read. Rows of
HotpotQA and of our own builder have evidence: texts that occur in the chunks. Upstream's process_data.py cuts long articles,
so some sentences occur in no chunk; such a question has no evidence. `metadata` is not read: it is NaN in files that
upstream merged from several families.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from memeval.cards import TaskCard
from memeval.data.files import DataFile, find
from memeval.data.records import read
from memeval.task import Context, Evidence, Question, Unit
from memeval.tasks.base import Files, Settings, params
from memeval.tasks.fixed import FixedTask, from_records

STRICTEST = "CC BY-NC 4.0 (one file for all sets, PerLTQA among them)"
"""The most restrictive licence of the sets that share upstream's files."""


class MemAlphaSets:
    """The source of cards that say `source: memalpha`."""

    class Params(Files):
        """data_source: selects the rows."""

        data_source: str = ""

    def files(self, card: TaskCard) -> tuple[DataFile, ...]:
        given = params(card, self.Params)
        shared = any(place.startswith("YuWangX/Memalpha/") for place in given.hub or ())
        return (given.of(DataFile((), licence=STRICTEST if shared else "")),)

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Load the task. Raises UsageError where the data source has no rows, or a row differs from the published form."""
        (file,) = find(self.files(card)[0], settings.data_dir, card.name)
        wanted = ("data_source", params(card, self.Params).data_source, lambda row: str(row["data_source"]))
        return from_records(card, settings, read(file), lambda row, number: parse(row), only=wanted)


def parse(row: Mapping[str, Any]) -> Context:
    """The context of one row. Its id is `instance_id`; its question n (from 0) is `<instance_id>-<n>`."""
    name = str(int(row["instance_id"]))
    units = tuple(Unit(chunk.strip()) for chunk in json.loads(row["chunks"]))
    asked = json.loads(row["questions_and_answers"])
    if not units or not asked:
        raise ValueError("no chunks or no questions")
    questions = tuple(_question(item, f"{name}-{at}", units) for at, item in enumerate(asked))
    return Context(name, units, questions, cluster=name, meta={"documents": len(units)})


def _question(item: Mapping[str, Any], name: str, units: Sequence[Unit]) -> Question:
    answers = item["answer"] if isinstance(item["answer"], list) else [item["answer"]]
    golds = tuple(str(answer).strip() for answer in answers)
    return Question(name, item["question"].strip(), golds, evidence=_evidence(item.get("evidence") or (), units))


def _evidence(pieces: Sequence[Any], units: Sequence[Unit]) -> tuple[Evidence, ...]:
    """The evidence of a question. pieces: texts or [title, text]. Empty where the chunks lack one of them. Upstream's
    `evidence_idx` is not used: for several families it is always 0."""
    texts = [(piece if isinstance(piece, str) else piece[-1]).strip() for piece in pieces]
    found = [
        Evidence(text, tuple(number for number, unit in enumerate(units) if text in unit.text))
        for text in filter(None, texts)  # HotpotQA has blank sentences
    ]
    return tuple(found) if all(piece.units for piece in found) else ()
