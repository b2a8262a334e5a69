"""LoCoMo (Maharana et al., ACL 2024): ten long conversations of two people over months, some 200 questions about each.

A unit is a turn; its time is the date of its session. A turn with a photo has the photo's caption (BLIP's, as in upstream's
gpt_utils.py) in brackets. Sessions are ordered by number; a date without a session is left out. A conversation is one
stream, read once for all its questions, and one cluster. Categories are named as in upstream's evaluation.py. Category 5
asks about things that were never said: it is left out unless `adversarial` is set, and then counts as unanswerable. Upstream
asks it as a choice of two; here it is asked openly, and scored by upstream's rule (metrics/locomo.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from memeval.cards import TaskCard
from memeval.data.fields import texts
from memeval.data.files import DataFile, find
from memeval.data.records import read
from memeval.task import Context, Evidence, Question, Unit
from memeval.tasks.base import Files, Settings, params
from memeval.tasks.fixed import FixedTask, from_records

KINDS = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
FILE = DataFile(
    ("locomo/locomo10.json",),
    url="https://raw.githubusercontent.com/snap-research/locomo/main/data/locomo10.json",
    sha256="79fa87e90f04081343b8c8debecb80a9a6842b76a7aa537dc9fdf651ea698ff4",
)
_SESSION = re.compile(r"session_([0-9]{1,9})")
_TURN = re.compile(r"D:?([0-9]{1,9}):([0-9]{1,9})(?![0-9])")
"""`D8:6`. Upstream's evidence also has `D:11:26`, `D30:05`, `D8:6; D9:17` and a bare `D`."""


class LoCoMo:
    """The source of cards that say `source: locomo`."""

    class Params(Files):
        """adversarial: also ask the questions of category 5."""

        adversarial: bool = False

    def files(self, card: TaskCard) -> tuple[DataFile, ...]:
        return (params(card, self.Params).of(FILE),)

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Load the task. Raises UsageError with file and record."""
        adversarial = params(card, self.Params).adversarial
        (file,) = find(self.files(card)[0], settings.data_dir, card.name)
        return from_records(card, settings, read(file), lambda row, number: parse(row, adversarial))


def parse(row: Mapping[str, Any], adversarial: bool = False) -> Context:
    """One conversation with its questions. meta: sessions."""
    name, talk = row["sample_id"], row["conversation"]
    numbers = sorted(int(found[1]) for found in map(_SESSION.fullmatch, talk) if found and talk[found[0]])
    units: list[Unit] = []
    index_of: dict[tuple[int, int], int] = {}
    for number in numbers:
        time = talk[f"session_{number}_date_time"].strip()
        for turn in talk[f"session_{number}"]:
            index_of[_turn_ids(turn["dia_id"])[0]] = len(units)
            caption = (turn.get("blip_caption") or "").strip()
            text = turn["text"].strip()
            units.append(Unit(f"{text} [image: {caption}]".strip() if caption else text, time, turn["speaker"].strip()))
    questions = tuple(
        _question(item, f"{name}-q{at}", units, index_of)
        for at, item in enumerate(row["qa"], start=1)
        if KINDS[item["category"]] != "adversarial" or adversarial
    )
    return Context(name, tuple(units), questions, cluster=name, meta={"sessions": len(numbers)})


def _question(
    item: Mapping[str, Any], name: str, units: Sequence[Unit], index_of: Mapping[tuple[int, int], int]
) -> Question:
    """A question. Each turn that its evidence names counts once; turns that do not exist are ignored."""
    kind = KINDS[item["category"]]
    turns = dict.fromkeys(turn for text in texts(item["evidence"]) for turn in _turn_ids(text) if turn in index_of)
    return Question(
        id=name,
        text=item["question"].strip(),
        answers=(str(item["answer"]).strip(),) if kind != "adversarial" else (),
        kind=kind,
        answerable=kind != "adversarial",
        evidence=tuple(Evidence(units[index_of[turn]].render(), (index_of[turn],)) for turn in turns),
    )


def _turn_ids(text: str) -> list[tuple[int, int]]:
    return [(int(session), int(turn)) for session, turn in _TURN.findall(text)]
