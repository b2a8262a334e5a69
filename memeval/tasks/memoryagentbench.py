"""MemoryAgentBench (Hu et al., ICLR 2026, arXiv 2507.05257): one long context, many questions; four splits.

A card's `params` name the `source` (the data's `metadata.source`) and the file of its split. Upstream cuts a context at
sentence ends into chunks of 4096 tokens; here its natural units are packed into chunks, and a unit is cut only if it alone
exceeds a chunk. Question n (from 0) of the source's row r has the id `<r>-<n>`, because upstream's ids repeat between rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from memeval.cards import TaskCard
from memeval.data.fields import texts
from memeval.data.files import DataFile, Found, find
from memeval.data.records import read, read_object
from memeval.task import Context, Question, Unit
from memeval.tasks import mab_units
from memeval.tasks.base import Files, Settings, hash64, params
from memeval.tasks.fixed import FixedTask, Head, from_records

Gold = Callable[[str], str]
"""Gold as in the data -> gold to score against."""


class MemoryAgentBench:
    """The source of cards that say `source: memoryagentbench`."""

    class Params(Files):
        """source: selects the rows of the split's file. titles, titles_hub: entity2id.json, which has the titles for
        ReDial's golds (numbers of movies)."""

        source: str = ""
        titles: tuple[str, ...] = ("memoryagentbench/entity2id.json",)
        titles_hub: tuple[str, ...] = ()

    def files(self, card: TaskCard) -> tuple[DataFile, ...]:
        """The split's file and, for the recommendations, the file of titles."""
        given = params(card, self.Params)
        split = given.of(DataFile(()))
        if not given.source.startswith("recsys"):
            return (split,)
        return split, DataFile(given.titles, given.titles_hub, note="the titles of the movies whose numbers are its golds")

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Load the task. Raises UsageError where the source has no rows, or a row differs from the published form."""
        wanted = params(card, self.Params).source
        (file,), *titles_file = (find(needed, settings.data_dir, card.name) for needed in self.files(card))
        gold: Gold = str
        others: list[Mapping[str, Any]] = []
        if titles_file:
            gold, *others = titles(titles_file[0][0])
        names: dict[int, str] = {}  # number of a record in the file -> its number among the source's records

        def head(row: Any, at: int) -> Head:
            name = names.setdefault(at, str(len(names)))
            return name, parse(row, name, gold)

        def build(row: Any, at: int) -> Context:
            name = names[at]
            units = mab_units.units(wanted, row["context"])
            cluster = f"{hash64(row['context'].strip()):016x}"  # two contexts are the same book: one cluster
            questions = _with_evidence(row, parse(row, name, gold), units)
            return Context(name, units, questions, cluster, {"documents": len(units)})

        only = ("source", wanted, lambda row: str(row["metadata"]["source"]).strip())
        return from_records(card, settings, read(file), build, head, others=others, only=only)


def parse(record: Mapping[str, Any], name: str, gold: Gold) -> tuple[Question, ...]:
    """The questions of one row, without evidence. name: id of its context."""
    meta, asked = record["metadata"], texts(record["questions"])
    kinds, dates, ids = (_column(meta, key, len(asked)) for key in ("question_types", "question_dates", "question_ids"))
    keypoints = tuple(texts(meta.get("keypoints") or []))
    return tuple(
        Question(
            id=f"{name}-{index}",
            text=text,
            answers=tuple(dict.fromkeys(gold(item) for item in texts(golds))),
            kind=kind or "all",
            time=date if date and date not in text else None,
            answerable=not (other_id or "").endswith("_abs"),
            keypoints=keypoints,
        )
        for index, (text, golds, kind, date, other_id) in enumerate(
            zip(asked, record["answers"], kinds, dates, ids, strict=True)
        )
    )


def _with_evidence(record: Mapping[str, Any], questions: Sequence[Question], units: Sequence[Unit]) -> tuple[Question, ...]:
    """The questions with the chat turns that hold their answers, where the data mark them."""
    sessions = _column(record["metadata"], "haystack_sessions", len(questions))
    return tuple(
        replace(item, evidence=mab_units.evidence(marked, units)) for item, marked in zip(questions, sessions, strict=True)
    )


def _column(meta: Mapping[str, Any], key: str, length: int) -> list[Any]:
    """A column of `metadata`, with one value per question; all None where the source does not use it (null or empty)."""
    return meta.get(key) or [None] * length


def titles(file: Found) -> tuple[Gold, Mapping[str, Any]]:
    """(a function from ReDial's gold, the number of a movie, to the movie's title; the file's facts). The function raises
    ValueError for an unknown number. file: `entity2id.json` of the data set,
    `{"<http://dbpedia.org/resource/Heat_(1995_film)>": 509, ...}`."""
    numbers, facts = read_object(file)
    names = {str(value): title(name) for name, value in numbers.items()}

    def gold(value: str) -> str:
        if value not in names:
            raise ValueError(f"gold '{value[:80]}' is no movie of {file.path}")
        return names[value]

    return gold, facts


def title(name: str) -> str:
    """The last part of an address, in words ("Heat (1995 film)"), as in upstream's `extract_movie_name`. Hyphens and
    brackets stay; the metric drops them from gold and answer."""
    return " ".join(name.rstrip("/").rpartition("/")[2].replace("_", " ").replace(">", " ").split())
