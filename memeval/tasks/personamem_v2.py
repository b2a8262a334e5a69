"""PersonaMem-v2 (Jiang et al., arXiv 2512.06688): what would this user like to hear? Four options, no letters in the data.

The data are a CSV with the questions, and a JSON file per persona with the history after which all its questions are asked.
The letters are ours: options are ordered by a hash of the question's id (upstream shuffles by Python's salted `hash()`,
which differs in every run). A unit is a message; histories have no dates. The first message is the persona's profile, which
upstream's inference shows and its memory agent drops; it is kept unless `profile` is false. Evidence is the messages of the
snippet in which the preference shows; the other columns about preferences are not read, because they are gold.

The right option is often the longest, so the control `longest-option` is the floor here (new_tasks of PersonaMem's issue 42:
it is the only longest option in 44.7 % of 501 questions).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec

from memeval.cards import TaskCard
from memeval.data.fields import literal, published, texts
from memeval.data.files import DataFile, find
from memeval.data.records import read
from memeval.digests import digest
from memeval.errors import UsageError
from memeval.task import Context, Evidence, Question, Unit
from memeval.tasks.base import Settings, hash64, params, plain
from memeval.tasks.fixed import FixedTask, facts
from memeval.tasks.personamem import LETTERS, unit


class PersonaMemV2:
    """The source of cards that say `source: personamem_v2`."""

    class Params(msgspec.Struct):
        """size: as upstream spells it. hub: `owner/name@revision`. profile: show the persona's profile."""

        size: Literal["32k", "128k"]
        hub: str = "bowen-upenn/PersonaMem-v2"
        profile: bool = True

    def files(self, card: TaskCard) -> tuple[DataFile, ...]:
        """The file with the questions (or an excerpt of it), and those with the histories."""
        given = params(card, self.Params)
        table, histories = "benchmark/text/benchmark.csv", f"data/chat_history_{given.size}/*.json"
        tables = (f"personamem_v2/{table}", "personamem_v2/benchmark/text/benchmark.excerpt.csv")
        hub = [(f"{given.hub}/{name}",) if given.hub else () for name in (table, histories)]
        return DataFile(tables, hub[0]), DataFile((f"personamem_v2/{histories}",), hub[1])

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Load the task. Raises UsageError if the data are missing, damaged, or do not fit each other."""
        given = params(card, self.Params)
        (table,), histories = (find(file, settings.data_dir, card.name) for file in self.files(card))
        loaded, history_of = read(table), {PurePosixPath(file.name).stem: file for file in histories}
        asked: dict[str, list[tuple[Question, Any]]] = {}
        clusters: dict[str, str] = {}
        for at, (place, row) in enumerate(loaded.rows(), start=1):
            with published(place):
                link = PurePosixPath(row[f"chat_history_{given.size}_link"])
                if link.stem not in history_of:
                    raise UsageError(f"{place}: there is no history '{link.name}' in {histories[0].path.parent}; fetch it")
                snippet = json.loads(row["related_conversation_snippet"] or "[]")
                asked.setdefault(link.stem, []).append((parse(row, at), snippet))
                clusters[link.stem] = f"persona-{int(row['persona_id'])}"

        def build(name: str) -> Context:
            ((place, row),) = read(history_of[name], whole=True).rows()
            with published(place):
                turns = row["chat_history"]
                shown = turns if given.profile else [turn for turn in turns if turn["role"] != "system"]
                units = tuple(map(unit, shown))
                questions = tuple(with_evidence(question, snippet, units) for question, snippet in asked[name])
                return Context(name, units, questions, clusters[name], {"documents": len(units)})

        questions = {name: [question for question, _ in items] for name, items in asked.items()}
        streams = [read(history_of[name], whole=True).facts for name in asked]
        data = facts([loaded.facts, *streams], questions, digest([fact["sha256"] for fact in streams]))
        return FixedTask(card, settings, questions, build, data)


def parse(row: Mapping[str, Any], at: int) -> Question:
    """The question of a row of the CSV. at: number of the row, from 1, because the CSV has no ids. A wrong option that
    repeats the right one counts as right."""
    name, gold = f"{int(row['persona_id'])}-{at}", row["correct_answer"].strip()
    wrong = texts(json.loads(row["incorrect_answers"]))
    if len(wrong) != 3 or not gold:
        raise ValueError("expected a correct answer and three incorrect ones")
    order = sorted([gold, *wrong], key=lambda option: hash64("option", name, option))
    return Question(
        id=name,
        text=literal(row["user_query"])["content"].strip(),
        answers=tuple(f"({letter})" for letter, option in zip(LETTERS, order, strict=True) if option == gold),
        kind=row["pref_type"].strip(),
        options=tuple(f"({letter}) {option}" for letter, option in zip(LETTERS, order, strict=True)),
    )


def with_evidence(question: Question, snippet: list[Mapping[str, Any]], units: tuple[Unit, ...]) -> Question:
    """The question with the units that equal a message of its snippet as evidence."""
    wanted = {plain(unit(turn).text) for turn in snippet}
    found = [at for at, one in enumerate(units) if one.text.strip() and plain(one.text) in wanted]
    return replace(question, evidence=tuple(Evidence(units[at].render(), (at,)) for at in found))
