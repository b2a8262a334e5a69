"""BEAM (Tavakoli et al., ICLR 2026, arXiv 2510.27246): long chats with an assistant, two questions for each of ten
abilities about every chat, and a rubric for every question.

It is read in the format of the repository (`chats/100K/<n>/chat.json`, with `probing_questions/probing_questions.json`
beside it) or of the hub (a row per conversation). Upstream's scripts prefer `chat_trunecated.json`, which the hub lacks;
with `truncated` it is read where a conversation has one.

A unit is a message; its time is the date of its batch, which upstream writes on the batch's first message. User texts end
with marks of the generator (`->-> 1,1`), which reveal its plan: they are removed unless `marks` is set. The other fields
(profiles, plans, narratives) are not read, because the questions were made from them. `source_chat_ids` are the numbers of
the messages that hold the evidence; for an update, only the later state is evidence. A question that must be declined has no
evidence, and in some other questions the ids are missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from memeval.cards import TaskCard
from memeval.data.fields import literal, published, texts
from memeval.data.files import DataFile, Found, find
from memeval.data.records import Records, Span, read, read_object
from memeval.digests import digest
from memeval.errors import NoData, UsageError
from memeval.task import Context, Evidence, Question, Unit
from memeval.tasks.base import Settings, params, seeded
from memeval.tasks.fixed import FixedTask, facts

_GOLDS = ("answer", "ideal_answer", "ideal_response", "ideal_summary", "expected_compliance")
"""Names of the field with the gold text; a question has one of them. The text is only shown; scoring uses the rubric."""
_MARK = re.compile(r"\s*->->[ \t]*\d+[ \t]*,[ \t]*(?:\d+(?:/A)?|N/A)\)?")

Parts = Iterable[tuple[str, Any]]
"""(place, a batch or plans of batches) of a chat, in order"""


Asked = tuple[Question, tuple[int, ...]]
"""A question without evidence, and the numbers of the messages that hold it."""


class Chat(NamedTuple):
    """A conversation. place: of its questions, for errors; parts: a function that reads the chat."""

    name: str
    questions: Mapping[str, Sequence[Mapping[str, Any]]]
    place: str
    parts: Callable[[], Parts]


class _Row(msgspec.Struct):
    """The fields of the hub's row that are read before its chat is needed."""

    conversation_id: str | int
    probing_questions: str


class Beam:
    """The source of cards that say `source: beam`."""

    class Params(msgspec.Struct):
        """size: as upstream spells it. hub: `owner/name@revision`. truncated: read upstream's shorter chats. marks: keep the
        generator's marks."""

        size: Literal["100K", "500K", "1M", "10M"]
        hub: str = "Mohammadta/BEAM"
        truncated: bool = False
        marks: bool = False

    def files(self, card: TaskCard) -> tuple[DataFile, ...]:
        """The repository's files of questions, which have the chats beside them; or the hub's rows with both."""
        given = params(card, self.Params)
        rows = f"data/{given.size}-*.parquet"
        names = (f"beam/chats/{given.size}/*/probing_questions/probing_questions.json", f"beam/{rows}")
        return (DataFile(names, (f"{given.hub}/{rows}",) if given.hub else ()),)

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Load the task. Raises UsageError with file and record, or with file and question."""
        given, found = params(card, self.Params), find(self.files(card)[0], settings.data_dir, card.name)
        hub = found[0].name.endswith(".parquet")
        if hub and given.truncated:
            raise UsageError(f"{found[0].path}: the hub has no truncated chats; put upstream's chats/ beside it")
        every, files = _rows(found) if hub else _folders(found, given.truncated)
        chats: dict[str, Chat] = {}
        for chat in every:
            if chat.name in chats:
                raise UsageError(f"{chat.place}: id '{chat.name}' was already used by {chats[chat.name].place}")
            chats[chat.name] = chat
        questions = {chat.name: [question for question, _ in parse(chat)] for chat in every}
        data = facts(files, questions, digest([file["sha256"] for file in files]))
        order = balanced(questions, settings.seed)
        return FixedTask(card, settings, questions, lambda name: conversation(chats[name], given.marks), data, order)


def _rows(found: Sequence[Found]) -> tuple[list[Chat], list[Mapping[str, Any]]]:
    """The chats of the hub's rows, and the facts of their files."""
    decode = msgspec.json.Decoder(_Row).decode
    files, chats = [read(file) for file in found], []
    for records in files:
        for span, line in records.spans():
            place = records.place(span.number)
            with published(place):
                row = decode(line)
                questions = literal(row.probing_questions)
            chats.append(Chat(str(row.conversation_id), questions, place, partial(_parts, records, span)))
    return chats, [records.facts for records in files]


def _parts(records: Records, span: Span) -> Parts:
    place = records.place(span.number)
    with published(place):
        return [(place, part) for part in records.at(span)["chat"]]


def _folders(found: Sequence[Found], truncated: bool) -> tuple[list[Chat], list[Mapping[str, Any]]]:
    """The chats of the repository's folders, plain or gzipped, and the facts of their files."""
    chats: list[Chat] = []
    files: list[Mapping[str, Any]] = []
    for file in found:
        folder, shown = file.path.parent.parent, Path(file.name).parent.parent
        names = [name for name in ("chat_trunecated.json", "chat.json") if truncated or name == "chat.json"]
        path = next((path for name in names for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
        if path is None:
            raise NoData(f"{folder / 'chat.json'}: is missing, but its questions are there; fetch it too")
        questions, about = read_object(file)
        records = read(Found(str(shown / path.name.removesuffix(".gz")), path))
        files += [about, records.facts]
        chats.append(Chat(folder.name, questions, str(file.path), records.rows))
    return chats, files


def balanced(questions: Mapping[str, Sequence[Question]], seed: int) -> list[str]:
    """The order of the questions: conversation by conversation, and in each one question of every ability before a second
    one of any. So a prefix is balanced over abilities, as their mean needs it, and reads few streams."""
    kinds = {question.id: question.kind for asked in questions.values() for question in asked}
    chat_of = {question.id: chat for chat, asked in questions.items() for question in asked}
    by_chat: dict[str, list[str]] = {}
    for name in seeded(kinds, seed):
        by_chat.setdefault(chat_of[name], []).append(name)
    order = []
    for names in by_chat.values():
        before = {name: sum(kinds[other] == kinds[name] for other in names[:at]) for at, name in enumerate(names)}
        order += sorted(names, key=before.__getitem__)
    return order


def parse(chat: Chat) -> list[Asked]:
    """The questions about a conversation."""
    found: list[Asked] = []
    with published(chat.place):
        abilities = list(chat.questions.items())
    for ability, items in abilities:
        for at, item in enumerate(items, start=1):
            with published(f"{chat.place}: {ability} {at}"):
                gold = next((item[field] for field in _GOLDS if field in item), None)
                rubric = tuple(filter(None, texts(item["rubric"])))
                if gold is None or not rubric:
                    raise ValueError(f"expected a rubric, and one of {', '.join(_GOLDS)}")
                name, golds = f"{chat.name}-{ability}-{at}", (str(gold).strip(),)
                question = Question(name, item["question"].strip(), golds, ability, keypoints=rubric)
                found.append((question, tuple(_ids(item.get("source_chat_ids")))))
    return found


def conversation(chat: Chat, marks: bool = False) -> Context:
    """A chat with its questions. meta: batches; marks, the number of marks that were removed."""
    units: list[Unit] = []
    index_of: dict[int, int] = {}
    time, last, batches, removed = None, -1, 0, 0
    for place, part in chat.parts():
        with published(place):
            for plan in _plans(part):
                batches += len(plan)
                messages = [message for batch in plan for message in _messages(batch)]
                offset = last + 1 if messages and messages[0]["id"] <= last else 0  # a plan may restart its numbers
                for message in messages:
                    time = _date(message.get("time_anchor")) or time
                    text, taken = (message["content"], 0) if marks else _MARK.subn("", message["content"])
                    removed += taken
                    last = offset + int(message["id"])
                    if text.strip():
                        index_of[last] = len(units)
                        units.append(Unit(text.strip(), time, message["role"]))
    if not units:
        raise UsageError(f"conversation {chat.name} of BEAM holds no message; fetch it again")
    questions = []
    for question, numbers in parse(chat):
        held = dict.fromkeys(index_of[number] for number in numbers if number in index_of)
        questions.append(replace(question, evidence=tuple(Evidence(units[at].render(), (at,)) for at in held)))
    return Context(chat.name, tuple(units), tuple(questions), chat.name, {"batches": batches, "marks": removed})


def _plans(part: Any) -> list[Any]:
    """The lists of batches of a part. In size 10M a part holds plans (`{"plan-1": [batch, ...]}`, others null); else it is a
    batch."""
    plans = isinstance(part, Mapping) and "turns" not in part
    return list(filter(None, part.values())) if plans else [[part]]


def _messages(batch: Any) -> Iterator[Mapping[str, Any]]:
    """The messages of a batch: `{"turns": [[message, ...], ...]}` in the repository, `[message, ...]` on the hub."""
    for item in batch["turns"] if isinstance(batch, Mapping) else batch:
        yield from item if isinstance(item, list) else [item]


def _ids(value: Any) -> Iterator[int]:
    """The numbers in a list, a list of lists, or a dict of lists. One published list contains a text (`--`)."""
    if isinstance(value, Mapping):
        value = value["updated_info"] if "updated_info" in value else list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _ids(item)
    elif isinstance(value, int):
        yield value


def _date(anchor: str | None) -> str | None:
    """A date such as `March-15-2024` as 2024-03-15; other texts unchanged."""
    with suppress(ValueError):
        return datetime.strptime(anchor or "", "%B-%d-%Y").date().isoformat()
    return anchor
