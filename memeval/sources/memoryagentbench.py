"""MemoryAgentBench (Hu et al., ICLR 2026, arXiv 2507.05257): one long context, many questions; four splits.

A card's `params` name the `source` (the data's `metadata.source`) and the file of its split. Upstream cuts a context at
sentence ends into chunks of 4096 tokens; here its natural units are packed into chunks, and never cut unless one alone
exceeds a chunk. Question n (from 0) of the source's row r is `<r>-<n>`: upstream's ids repeat between rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from memeval.cards import TaskCard
from memeval.datafiles import files, origin
from memeval.datafiles.fields import list_field, text_field
from memeval.datafiles.needs import Need
from memeval.errors import UsageError
from memeval.pool import number
from memeval.sources import Settings, mab_streams, redial
from memeval.sources.fixed import FixedTask
from memeval.task import Context, Question

DEFAULTS: Mapping[str, tuple[str, ...] | str | bool] = {
    **{"source": "", "files": (), "hub": ()},
    **{"titles": ("memoryagentbench/entity2id.json",), "titles_hub": ()},
}
"""files, hub: the split's parquet file in the data folder and on the hub (`owner/name@revision/file`). titles, titles_hub:
entity2id.json, which says what the numbers stand for that are ReDial's golds."""

Gold = Callable[[str, str], str]
"""(gold as the data have it, place) -> gold to be compared with."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the wanted source. marked: per question the chat turns (role, content) that hold its answer."""

    place: str
    context: str
    questions: tuple[Question, ...]
    marked: tuple[tuple[tuple[str, str], ...], ...]


class MemoryAgentBench:
    """The source of cards that say `source: memoryagentbench`."""

    def needs(self, card: TaskCard) -> tuple[Need, ...]:
        """The split's file, and for the recommendations the titles."""
        params = origin.params(card, DEFAULTS)
        split = Need(params["files"], params["hub"])
        if not params["source"].startswith("recsys"):
            return (split,)
        return split, Need(params["titles"], params["titles_hub"], note="what the numbers stand for that are its golds")

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Read the rows of one source. Raises UsageError when there are none, or a row is not as published."""
        params = origin.params(card, DEFAULTS)
        wanted = params["source"]
        loaded = files.read(origin.locate(card, settings, params["files"], params["hub"]))
        facts: list[Mapping[str, Any]] = [loaded.facts]
        gold: Gold = redial.as_it_is
        if wanted.startswith("recsys"):
            titles = redial.Titles(origin.locate(card, settings, params["titles"], params["titles_hub"]))
            gold = titles.gold
            facts.append(titles.facts)
        rows: dict[str, Row] = {}
        for place, record in loaded.where("source", wanted, _source):
            rows[str(len(rows))] = parse(record, str(len(rows)), gold, place)

        def build(name: str) -> Context:
            row = rows[name]
            units = mab_streams.units(wanted, row.context, row.place)
            questions = row.questions
            if any(row.marked):
                pieces = mab_streams.evidence(row.marked, mab_streams.turns(row.context, row.place))
                questions = tuple(replace(item, evidence=found) for item, found in zip(questions, pieces, strict=True))
            return Context(name, units, questions, cluster=_cluster(row), meta={"documents": len(units)})

        data = {
            "files": facts,
            "contexts": len(rows),
            "clusters": len({_cluster(row) for row in rows.values()}),
            "questions": sum(len(row.questions) for row in rows.values()),
            "corpus": loaded.facts["sha256"],
        }
        return FixedTask(card, settings, {name: row.questions for name, row in rows.items()}, build, data)


def parse(record: Mapping[str, Any], name: str, gold: Gold, place: str) -> Row:
    """One row; `name` is its context's id."""
    meta = record["metadata"]
    texts, answers = list_field(record, "questions", place), list_field(record, "answers", place)
    if len(texts) != len(answers) or not texts:
        raise UsageError(f"{place}: {len(texts)} questions and {len(answers)} answers; fetch the file again")
    columns = {key: _texts(meta, key, len(texts), place) for key in ("question_types", "question_dates", "question_ids")}
    keypoints = _keypoints(meta, place)
    marked = tuple(mab_streams.marked(item, place) for item in _column(meta, "haystack_sessions", len(texts), place))
    questions = []
    for index, (text, golds) in enumerate(zip(texts, answers, strict=True)):
        at = f"{place}: question {index}"
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"{at} is {text!r}, expected text")
        if not isinstance(golds, list) or not golds or not all(isinstance(item, str) and item.strip() for item in golds):
            raise UsageError(f"{at}: its answers are {repr(golds)[:80]}, expected a list of texts")
        date = columns["question_dates"][index]
        questions.append(
            Question(
                id=f"{name}-{index}",
                text=text.strip(),
                answers=tuple(dict.fromkeys(gold(item.strip(), at) for item in golds)),
                kind=columns["question_types"][index] or "all",
                time=date if date and date not in text else None,
                answerable=not columns["question_ids"][index].endswith("_abs"),
                keypoints=keypoints,
            )
        )
    return Row(place, text_field(record, "context", place), tuple(questions), marked)


def _source(record: Mapping[str, Any], place: str) -> str:
    meta = record.get("metadata")
    if not isinstance(meta, Mapping):
        raise UsageError(f"{place}: 'metadata' is {repr(meta)[:60]}, expected fields with 'source' among them")
    return text_field(meta, "source", f"{place}: metadata")


def _column(meta: Mapping[str, Any], key: str, length: int, place: str) -> list[Any]:
    """A column of `metadata` beside the questions; where a source does not use it, it is null or empty."""
    value = meta.get(key) or [None] * length
    if not isinstance(value, list) or len(value) != length:
        raise UsageError(f"{place}: metadata '{key}' does not fit its {length} questions; fetch the file again")
    return value


def _texts(meta: Mapping[str, Any], key: str, length: int, place: str) -> list[str]:
    """A column of texts; a question without one has an empty one."""
    found = [item or "" for item in _column(meta, key, length, place)]
    if not all(isinstance(item, str) for item in found):
        raise UsageError(f"{place}: metadata '{key}' holds something other than texts; fetch the file again")
    return found


def _keypoints(meta: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """What a summary of the row's book should tell; null or empty where a source asks for no summary."""
    value = meta.get("keypoints") or []
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise UsageError(f"{place}: metadata 'keypoints' are {repr(value)[:80]}, expected texts; fetch the file again")
    return tuple(item.strip() for item in value)


def _cluster(row: Row) -> str:
    """Two of the books are the same text twice: one cluster."""
    return f"{number(row.context):016x}"
