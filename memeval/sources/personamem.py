"""PersonaMem (Jiang et al., COLM 2025, arXiv 2504.14225): four-option questions in the middle of long chat histories.

Per size a CSV with the questions and a JSONL with the histories they share. Upstream shows `history[:end_index]` and then
asks (inference_standalone_openai.py): the end is exclusive and becomes `Question.position`. One unit per turn; the system
turns, which carry the persona, stay.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import itertools
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

from memeval.cards import TaskCard
from memeval.datafiles import files
from memeval.datafiles.needs import Need
from memeval.datafiles.origin import locate, params
from memeval.errors import UsageError, suggest
from memeval.sources import Settings
from memeval.sources.fixed import FixedTask
from memeval.task import Context, Question, Unit

SIZES = {"32k": "synth-30k", "128k": "synth-100k", "1M": "synth-1m"}
"""Size, as upstream spells it -> the bundled task of about that length."""

SKILLS = {
    "recall_user_shared_facts": "recalling_facts_mentioned_by_the_user",
    "suggest_new_ideas": "",
    "acknowledge_latest_user_preferences": "",
    "track_full_preference_evolution": "track_full_preference_updates",
    "revisit_reasons_behind_preference_updates": "recalling_the_reasons_behind_previous_updates",
    "provide_preference_aligned_recommendations": "",
    "generalize_to_new_scenarios": "generalizing_to_new_scenarios",
}
"""One name per skill -> what some sizes call it instead."""

_KINDS = {name: skill for skill, other in SKILLS.items() for name in (skill, other) if name}
_SPEAKERS = {"system": "System", "user": "User", "assistant": "Assistant"}
_LONGEST = 100_000
"""Characters of a list of options: 30 times the longest there is. Beyond, it is not parsed."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, where it stands in the data, and what its row says of the history: letters (characters) of the turns
    before it."""

    place: str
    question: Question
    context_id: str
    persona: int
    letters: int


class PersonaMem:
    """The source of cards that say `source: personamem`. params: size (32k, 128k or 1M), hub (data set id), revision."""

    def needs(self, card: TaskCard) -> tuple[Need, Need]:
        """The file with the questions, and the one with the histories."""
        given = params(card, {"size": "", "hub": "bowen-upenn/PersonaMem", "revision": ""})
        size = given["size"]
        if size not in SIZES:
            raise UsageError(f"{card.path or card.name}: 'params.size' is {size!r}, expected one of {', '.join(SIZES)}")
        hub = f"{given['hub']}@{given['revision']}" if given["revision"] else given["hub"]
        questions, histories = f"questions_{size}.csv", f"shared_contexts_{size}.jsonl"
        return (
            Need((f"personamem/{questions}",), (f"{hub}/{questions}", f"{hub}/benchmark/{size}-*.parquet")),
            Need((f"personamem/{histories}",), (f"{hub}/{histories}",)),
        )

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Read the questions, and check the histories against them. Raises UsageError when the data are not at hand,
        damaged, or do not fit each other."""
        needed = self.needs(card)
        bundled = SIZES[card.params["size"]]
        table, file = (locate(card, settings, need.files, need.hub, bundled=bundled) for need in needed)
        loaded = files.read(table)
        asked: dict[str, Asked] = {}
        contexts: dict[str, list[Asked]] = {}
        for place, row in loaded.objects():
            item = parse(row, place)
            if item.question.id in asked:
                raise UsageError(f"{place}: id {item.question.id!r} was already used by {asked[item.question.id].place}")
            others = contexts.setdefault(item.context_id, [])
            if others and others[0].persona != item.persona:
                raise UsageError(f"{place}: persona {item.persona}, but {others[0].place} has another for this context")
            asked[item.question.id] = item
            others.append(item)
        if not asked:
            raise UsageError(f"{table.path}: no questions in it; fetch it again")
        histories = Histories(file, contexts)
        data = {
            "files": [loaded.facts, histories.facts],
            "questions": len(asked),
            "contexts": len(contexts),
            "personas": len({item.persona for item in asked.values()}),
            "corpus": histories.facts["sha256"],
        }
        questions = {name: [item.question for item in items] for name, items in contexts.items()}
        return FixedTask(card, settings, questions, histories.context, data)


class Histories:
    """The JSONL, of which only the places of its lines are held; a history is read again when it is built. facts: name,
    sha256 and bytes of the content, number of lines. Made in one pass, which checks every history against its questions."""

    def __init__(self, file: files.DataFile, contexts: Mapping[str, Sequence[Asked]]) -> None:
        self._file = file
        self._contexts = contexts
        self._lines: dict[str, tuple[str, int, int]] = {}  # context id -> place for errors, first byte, bytes
        digest, start = hashlib.sha256(), 0
        with self._opened() as stream:
            for number, line in enumerate(stream, start=1):
                digest.update(line)
                if line.strip():
                    place = f"{file.path}: line {number}"
                    name, turns = _history(line, place)
                    if name in self._lines:
                        raise UsageError(f"{place}: context {name!r} was already used by {self._lines[name][0]}")
                    self._lines[name] = (place, start, len(line))
                    letters = list(itertools.accumulate((len(turn["content"]) for turn in turns), initial=0))
                    for item in contexts.get(name, ()):
                        _check(item, letters, place)
                start += len(line)
        for name, asked in contexts.items():
            if name not in self._lines:
                raise UsageError(f"{asked[0].place}: its history {name!r} is not in {file.path}")
        facts = {"name": file.name, "sha256": digest.hexdigest(), "bytes": start, "records": len(self._lines)}
        self.facts = facts | ({"hub": file.hub, "revision": file.revision} if file.hub else {})

    def context(self, context_id: str) -> Context:
        place, start, size = self._lines[context_id]
        with self._opened() as stream:
            stream.seek(start)
            line = stream.read(size)
        name, turns = _history(line, place)
        if name != context_id:
            raise UsageError(f"{place}: the file was changed while it was in use; start again")
        asked = self._contexts[name]
        meta = {"documents": len(turns), "sessions": sum(turn["role"] == "system" for turn in turns)}
        questions = tuple(item.question for item in asked)
        return Context(name, tuple(map(_unit, turns)), questions, cluster=f"persona-{asked[0].persona}", meta=meta)

    @contextmanager
    def _opened(self) -> Iterator[gzip.GzipFile | BufferedReader]:
        path = self._file.path
        try:
            with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as stream:
                yield stream
        except (OSError, EOFError, zlib.error) as error:
            raise UsageError(f"{path}: cannot be read, or damaged or cut ({error}); fetch it again") from None


def parse(row: Mapping[str, Any], place: str) -> Asked:
    """One question, from the CSV (all cells are text) or from a row of the hub (numbers are numbers)."""
    kind = files.text_field(row, "question_type", place)
    if kind not in _KINDS:
        raise UsageError(f"{place}: unknown question_type {kind[:80]!r}{suggest(kind, _KINDS)}")
    gold = files.text_field(row, "correct_answer", place).lower().strip("() ")
    if gold not in ("a", "b", "c", "d"):
        raise UsageError(f"{place}: 'correct_answer' is {gold[:80]!r}, expected (a), (b), (c) or (d)")
    question = Question(
        id=files.text_field(row, "question_id", place),
        text=files.text_field(row, "user_question_or_message", place),
        answers=(f"({gold})",),
        kind=_KINDS[kind],
        options=_options(files.text_field(row, "all_options", place), place),
        position=_whole(row, "end_index_in_shared_context", place),
    )
    context_id = files.text_field(row, "shared_context_id", place)
    persona, letters = (_whole(row, key, place) for key in ("persona_id", "context_length_in_letters"))
    return Asked(place, question, context_id, persona, letters)


def _options(text: str, place: str) -> tuple[str, ...]:
    """The Python literal of a list of four texts, `(a) ...` to `(d) ...`."""
    value: Any = None
    if len(text) <= _LONGEST:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # what no literal is, or one too deep
            value = None
    if isinstance(value, list) and len(value) == 4 and all(isinstance(item, str) for item in value):
        options = tuple(item.strip() for item in value)
        if all(item.startswith(f"({letter}) ") for letter, item in zip("abcd", options, strict=True)):
            return options
    raise UsageError(
        f"{place}: 'all_options' is {text[:80]!r}, expected a Python list of four texts, '(a) ...' to '(d) ...'"
    )


def _whole(row: Mapping[str, Any], key: str, place: str) -> int:
    value = row.get(key)
    text = str(value) if isinstance(value, int) else files.text_field(row, key, place)
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise UsageError(f"{place}: '{key}' is {text[:80]!r}, expected a whole number")
    return int(text)


def _check(item: Asked, letters: Sequence[int], place: str) -> None:
    """letters: characters of the first 0, 1, 2, ... turns of the history."""
    end = item.question.position or 0
    if end >= len(letters):
        raise UsageError(
            f"{item.place}: asked after turn {end}, but {place} holds {len(letters) - 1}; fetch both files again"
        )
    if letters[end] != item.letters:
        found = f"the {end} turns before the question have {letters[end]} letters ({place})"
        raise UsageError(f"{item.place}: {found}, 'context_length_in_letters' says {item.letters}; fetch both files again")


def _history(line: bytes, place: str) -> tuple[str, list[Mapping[str, str]]]:
    """Context id and turns (role, content) of a line of the JSONL."""
    row = files.parse_line(line.removeprefix(b"\xef\xbb\xbf"), place)
    name, turns = next(iter(row.items())) if isinstance(row, Mapping) and len(row) == 1 else ("", None)
    if not isinstance(turns, list):
        raise UsageError(f"{place}: expected an object with one context id and its list of turns")
    for at, turn in enumerate(turns):
        role, text = (turn.get("role"), turn.get("content")) if isinstance(turn, Mapping) else (None, None)
        if not isinstance(role, str) or role not in _SPEAKERS or not isinstance(text, str):
            raise UsageError(f"{place}: turn {at} needs a 'role' ({', '.join(_SPEAKERS)}) and a 'content', which is text")
    return name, turns


def _unit(turn: Mapping[str, str]) -> Unit:
    """Most contents start with their speaker already (`User: `), which is not said twice."""
    speaker = _SPEAKERS[turn["role"]]
    return Unit(turn["content"].removeprefix(f"{speaker}: "), speaker=speaker)
