"""LoCoMo (Maharana et al., ACL 2024): ten long conversations of two people over months, some 200 questions about each.

A unit is a turn, its time the date of its session; a turn with a photo has the photo's caption (BLIP's, as upstream's
gpt_utils.py shows it) in brackets. Sessions go by number; a date without a session is left out. A conversation is one
stream, read once for all its questions, and one cluster. Categories are named as in upstream's evaluation.py. Category 5
asks for what was never said: it is left out unless `adversarial` is set, and then counts as unanswerable. Upstream offers it
as a choice of two; here it is asked openly, and scored by upstream's words (metrics/locomo.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from memeval.cards import TaskCard
from memeval.datafiles import files
from memeval.datafiles.fields import answer_field, is_whole, list_field, object_at, text_field, texts_field
from memeval.datafiles.origin import locate, params
from memeval.errors import UsageError
from memeval.sources import Settings
from memeval.sources.fixed import FixedTask
from memeval.task import Context, Evidence, Question, Unit

KINDS = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
FILE = "locomo/locomo10.json"
_SESSION = re.compile(r"session_([0-9]{1,9})")
_TURN = re.compile(r"D:?([0-9]{1,9}):([0-9]{1,9})(?![0-9])")
"""`D8:6`. Upstream's evidence also has `D:11:26`, `D30:05`, `D8:6; D9:17` and a bare `D`."""


class LoCoMo:
    """The source of cards that say `source: locomo`. params: files (names in the data folder), adversarial."""

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Read every conversation. Raises UsageError with file and record."""
        given = params(card, {"files": (FILE,), "adversarial": False})
        origin = "github.com/snap-research/locomo, data/locomo10.json"
        loaded = files.read(locate(card, settings, given["files"], origin=origin, bundled="synth-30k"))
        contexts: dict[str, Context] = {}
        counts: Counter[str] = Counter(unknown_evidence=0)
        for place, row in loaded.objects():
            context = parse(row, place, given["adversarial"])
            if context.id in contexts:
                raise UsageError(f"{place}: sample_id '{context.id}' was already used")
            contexts[context.id] = context
            counts.update(context.meta, questions=len(context.questions), units=len(context.units))
        data = {"files": [loaded.facts], "contexts": len(contexts), **counts, "corpus": loaded.facts["sha256"]}
        questions = {name: context.questions for name, context in contexts.items()}
        return FixedTask(card, settings, questions, contexts.__getitem__, data)


def parse(row: Mapping[str, Any], place: str, adversarial: bool = False) -> Context:
    """One conversation with its questions. meta: sessions, photos, unknown_evidence (ids of turns that are not there, of the
    questions asked). Raises UsageError."""
    name = text_field(row, "sample_id", place)
    talk = object_at(row.get("conversation"), f"{place}: 'conversation'")
    numbers = sorted(int(found[1]) for found in map(_SESSION.fullmatch, talk) if found and talk[found[0]])
    units: list[Unit] = []
    index_of: dict[tuple[int, int], int] = {}
    photos = 0
    for number in numbers:
        key = f"session_{number}"
        time = text_field(talk, f"{key}_date_time", place)
        for at, turn in enumerate(list_field(talk, key, place), start=1):
            where = f"{place}: {key}, turn {at}"
            fields = object_at(turn, where)
            found = _TURN.fullmatch(text_field(fields, "dia_id", where))
            if not found or (turn_id := (int(found[1]), int(found[2]))) in index_of:
                raise UsageError(f"{where}: 'dia_id' is '{fields['dia_id'][:80]}', expected an id of its own, like D8:6")
            index_of[turn_id] = len(units)
            caption = text_field(fields, "blip_caption", where) if fields.get("blip_caption") is not None else ""
            photos += bool(caption)
            text = text_field(fields, "text", where, blank=bool(caption))
            text = f"{text} [image: {caption}]".strip() if caption else text
            units.append(Unit(text, time, text_field(fields, "speaker", where)))
    if not units:
        raise UsageError(f"{place}: 'conversation' has no session with a turn")
    questions: list[Question] = []
    unknown = 0
    for at, item in enumerate(list_field(row, "qa", place), start=1):
        where = f"{place}: qa {at}"
        fields = object_at(item, where)
        category = fields.get("category")
        if not is_whole(category) or category not in KINDS:
            raise UsageError(f"{where}: 'category' is {category!r}, expected 1 to 5")
        if KINDS[category] == "adversarial" and not adversarial:
            continue
        known, missed = _turns(texts_field(fields, "evidence", where), index_of)
        unknown += missed
        questions.append(
            Question(
                id=f"{name}-q{at}",
                text=text_field(fields, "question", where),
                answers=(answer_field(fields, "answer", where),) if KINDS[category] != "adversarial" else (),
                kind=KINDS[category],
                answerable=KINDS[category] != "adversarial",
                evidence=tuple(Evidence(units[index].render(), (index,)) for index in known),
            )
        )
    meta = {"sessions": len(numbers), "photos": photos, "unknown_evidence": unknown}
    return Context(name, tuple(units), tuple(questions), cluster=name, meta=meta)


def _turns(evidence: list[str], index_of: Mapping[tuple[int, int], int]) -> tuple[list[int], int]:
    """The units that a question's evidence names, each once, and how many of the named ones do not exist."""
    named: dict[int, None] = {}
    missed = 0
    for text in evidence:
        ids = [(int(session), int(turn)) for session, turn in _TURN.findall(text)]
        missed += sum(turn not in index_of for turn in ids) if ids else 1
        named.update(dict.fromkeys(index_of[turn] for turn in ids if turn in index_of))
    return list(named), missed
