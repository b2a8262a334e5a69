"""BEAM (Tavakoli et al., ICLR 2026, arXiv 2510.27246): long chats with an assistant, two questions for each of ten
abilities about every chat, and a rubric for every question.

Read as the repository has it (`chats/100K/<n>/chat.json` with `probing_questions/probing_questions.json` beside it) and as
the hub does (a row per conversation). Upstream's scripts prefer `chat_trunecated.json`, which the hub lacks: `truncated`
reads it where a conversation has one.

A unit is a message; its time is the date of its batch, which upstream writes on the batch's first message. User texts end
in marks of the generator (`->-> 1,1`), which show its plan: they are taken out unless `marks` is set. Of the other fields
(profiles, plans, narratives) nothing is read: they are the recipe of the questions. `source_chat_ids` are the numbers of
the messages that hold the evidence; of an update only the later state is evidence. Nothing can be evidence for an
abstention, and in some questions the ids are missing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import msgspec

from memeval.cards import TaskCard
from memeval.data.fields import literal, published, texts
from memeval.data.files import DataFile, Found, find
from memeval.data.records import Span, read, read_object
from memeval.digests import digest
from memeval.errors import UsageError
from memeval.task import Context, Evidence, Question, Unit
from memeval.tasks.base import Settings, params
from memeval.tasks.fixed import FixedTask, Head, from_records

ORDERING = "event_ordering"
_GOLDS = ("answer", "ideal_answer", "ideal_response", "ideal_summary", "expected_compliance")
"""Names of the field with the gold text, of which a question has one. It is shown; the rubric alone is scored by."""
_MARK = re.compile(r"\s*->->[ \t]*\d+[ \t]*,[ \t]*(?:\d+(?:/A)?|N/A)\)?")
_LONGEST = 2_000_000
"""Characters of the hub's questions of a conversation: 40 times those of the longest known. Beyond, they are not parsed."""

Asked = Mapping[str, Sequence[Mapping[str, Any]]]
"""Ability -> its questions, as published."""


class Beam:
    """The source of cards that say `source: beam`."""

    class Params(msgspec.Struct):
        """size: as upstream spells it. hub: `owner/name@revision`. truncated: upstream's shorter chats. marks: leave the
        generator's marks in."""

        size: Literal["100K", "500K", "1M", "10M"]
        hub: str = "Mohammadta/BEAM"
        truncated: bool = False
        marks: bool = False

    def files(self, card: TaskCard) -> tuple[DataFile, ...]:
        """The questions in the repository's shape, beside which the chats are; or the hub's rows with both."""
        given = params(card, self.Params)
        rows = f"data/{given.size}-*.parquet"
        names = (f"beam/chats/{given.size}/*/probing_questions/probing_questions.json", f"beam/{rows}")
        return (DataFile(names, (f"{given.hub}/{rows}",) if given.hub else ()),)

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Raises UsageError with file and record, or with file and question."""
        given, found = params(card, self.Params), find(self.files(card)[0], settings.data_dir, card.name)
        if not found[0].name.endswith(".parquet"):
            return _from_folders(card, settings, found, given)
        if given.truncated:
            raise UsageError(
                f"{found[0].path}: the hub has no truncated chats; put upstream's folder beam/chats/ in its place"
            )
        (file,) = found
        records = read(file)

        def head(row: Any, span: Span) -> Head:
            return str(row["conversation_id"]), parse(str(row["conversation_id"]), _literal(row), records.place(span.number))

        def build(row: Any, span: Span) -> Context:
            place = records.place(span.number)
            return conversation(*head(row, span), _literal(row), [(place, part) for part in row["chat"]], given.marks)

        return balanced(from_records(card, settings, records, build, head))


def _literal(row: Mapping[str, Any]) -> Asked:
    asked: Asked = literal(row["probing_questions"], _LONGEST)
    return asked


def _from_folders(card: TaskCard, settings: Settings, found: Sequence[Found], given: Beam.Params) -> FixedTask:
    asked: dict[str, Asked] = {}
    questions: dict[str, tuple[Question, ...]] = {}
    chats: dict[str, Found] = {}
    facts = []
    for file in found:
        folder = file.path.parent.parent
        asked[folder.name], about = read_object(file)
        questions[folder.name] = parse(folder.name, asked[folder.name], str(file.path))
        chats[folder.name] = chat = _chat(folder, Path(file.name).parent.parent, given.truncated)
        facts += [about, read(chat).facts]

    def build(name: str) -> Context:
        return conversation(name, questions[name], asked[name], read(chats[name]).rows(), given.marks)

    data = {
        "files": facts,
        "contexts": len(chats),
        "questions": sum(map(len, questions.values())),
        "corpus": digest([fact["sha256"] for fact in facts]),
    }
    return balanced(FixedTask(card, settings, questions, build, data))


def _chat(folder: Path, shown: Path, truncated: bool) -> Found:
    """The chat beside the questions, plain or gzipped."""
    for name in ("chat_trunecated.json", "chat.json")[not truncated :]:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return Found(str(shown / name), path)
    raise UsageError(f"{folder / 'chat.json'}: is missing, and {folder / 'probing_questions'} is there; fetch the chat too")


def balanced(task: FixedTask) -> FixedTask:
    """Asked in whole conversations, in each one question of every ability before the second of any: a prefix is balanced, as
    the mean over abilities wants it, and reads few streams."""
    kinds, order = {question.id: question.kind for question in task.golds()}, []
    for _, refs in groupby(task.refs(task.order), key=lambda ref: ref.context_id):
        asked: Counter[str] = Counter()
        turns: dict[int, list[str]] = {}
        for name in (name for ref in refs for name in ref.question_ids):
            turns.setdefault(asked[kinds[name]], []).append(name)
            asked[kinds[name]] += 1
        order += [name for turn in sorted(turns) for name in turns[turn]]
    task.order = order
    return task


def parse(name: str, asked: Asked, place: str) -> tuple[Question, ...]:
    """The questions about a conversation, without evidence. place: where they are from, for the UsageError."""
    found = []
    with published(place):
        abilities = list(asked.items())
    for ability, items in abilities:
        for at, item in enumerate(items, start=1):
            with published(f"{place}: {ability} {at}"):
                gold = next((item[field] for field in _GOLDS if field in item), None)
                rubric = tuple(filter(None, texts(item["rubric"])))
                if gold is None or not rubric:
                    raise ValueError(f"expected a rubric, and one of {', '.join(_GOLDS)}")
                text, answer = item["question"].strip(), str(gold).strip()
                found.append(Question(f"{name}-{ability}-{at}", text, (answer,), ability, keypoints=rubric))
    return tuple(found)


def conversation(
    name: str, questions: Sequence[Question], asked: Asked, parts: Iterable[tuple[str, Any]], marks: bool = False
) -> Context:
    """A chat with its questions. parts: (place, batch, or plans of batches), in order. meta: batches; marks: that were taken
    out."""
    units: list[Unit] = []
    index_of: dict[int, int] = {}
    time, last, batches, removed = None, -1, 0, 0
    for place, part in parts:
        with published(place):
            for plan in _plans(part):
                batches += len(plan)
                messages = [message for batch in plan for message in _messages(batch)]
                offset = last + 1 if messages and messages[0]["id"] <= last else 0  # a plan may number anew
                for message in messages:
                    time = _date(message.get("time_anchor")) or time
                    text, taken = (message["content"], 0) if marks else _MARK.subn("", message["content"])
                    removed += taken
                    last = offset + int(message["id"])
                    if text.strip():
                        index_of[last] = len(units)
                        units.append(Unit(text.strip(), time, message["role"]))
    if not units:
        raise UsageError(f"conversation {name} of BEAM holds no message; fetch it again")
    given = [item.get("source_chat_ids") for items in asked.values() for item in items]
    held = [dict.fromkeys(index_of[number] for number in _ids(ids) if number in index_of) for ids in given]
    with_evidence = tuple(
        replace(question, evidence=tuple(Evidence(units[at].render(), (at,)) for at in found))
        for question, found in zip(questions, held, strict=True)
    )
    return Context(name, tuple(units), with_evidence, name, {"batches": batches, "marks": removed})


def _plans(part: Any) -> list[Any]:
    """Lists of batches. Of 10M a part holds plans (`{"plan-1": [batch, ...]}`, others null); else it is a batch."""
    plans = isinstance(part, Mapping) and "turns" not in part
    return list(filter(None, part.values())) if plans else [[part]]


def _messages(batch: Any) -> Iterator[Mapping[str, Any]]:
    """`{"turns": [[message, ...], ...]}` in the repository, `[message, ...]` on the hub."""
    for item in batch["turns"] if isinstance(batch, Mapping) else batch:
        yield from item if isinstance(item, list) else [item]


def _ids(value: Any) -> Iterator[int]:
    """A list of numbers, a list of lists, or a dict of lists. One published list holds a text (`--`)."""
    if isinstance(value, Mapping):
        value = value["updated_info"] if "updated_info" in value else list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _ids(item)
    elif isinstance(value, int):
        yield value


def _date(anchor: str | None) -> str | None:
    """`March-15-2024` as 2024-03-15; other texts as they are."""
    with suppress(ValueError):
        return datetime.strptime(anchor or "", "%B-%d-%Y").date().isoformat()
    return anchor
