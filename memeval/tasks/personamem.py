"""PersonaMem (Jiang et al., COLM 2025, arXiv 2504.14225): four-option questions in the middle of long chat histories.

Each size has a CSV with the questions and a JSONL with the histories that they share. Upstream shows `history[:end_index]`
and then asks (inference_standalone_openai.py): the end is exclusive and becomes `Question.position`. A unit is a turn; the
system turns, which describe the persona, are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from memeval.cards import TaskCard
from memeval.data.fields import literal, published
from memeval.data.files import DataFile, find
from memeval.data.records import read
from memeval.errors import UsageError
from memeval.task import Context, Question, Unit
from memeval.tasks.base import Settings, params
from memeval.tasks.fixed import FixedTask, Head, from_records

SKILLS = {
    "recall_user_shared_facts": "recalling_facts_mentioned_by_the_user",
    "suggest_new_ideas": "",
    "acknowledge_latest_user_preferences": "",
    "track_full_preference_evolution": "track_full_preference_updates",
    "revisit_reasons_behind_preference_updates": "recalling_the_reasons_behind_previous_updates",
    "provide_preference_aligned_recommendations": "",
    "generalize_to_new_scenarios": "generalizing_to_new_scenarios",
}
"""Name of a skill -> its other name in some sizes."""

_KINDS = {name: skill for skill, other in SKILLS.items() for name in (skill, other) if name}
_SPEAKERS = {"system": "System", "user": "User", "assistant": "Assistant"}
LETTERS = "abcd"


class PersonaMem:
    """The source of cards that say `source: personamem`."""

    class Params(msgspec.Struct):
        """size: as upstream spells it. hub: `owner/name@revision`."""

        size: Literal["32k", "128k", "1M"]
        hub: str = "bowen-upenn/PersonaMem"

    def files(self, card: TaskCard) -> tuple[DataFile, ...]:
        """The file with the questions, and the one with the histories."""
        given = params(card, self.Params)
        names = (f"questions_{given.size}.csv", f"shared_contexts_{given.size}.jsonl")
        return tuple(DataFile((f"personamem/{name}",), (f"{given.hub}/{name}",) if given.hub else ()) for name in names)

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Load the task. Raises UsageError if the data are missing, damaged, or do not fit each other."""
        (table,), (histories,) = (find(file, settings.data_dir, card.name) for file in self.files(card))
        loaded = read(table)
        contexts: dict[str, list[Question]] = {}
        personas: dict[str, str] = {}
        for place, row in loaded.rows():
            with published(place):
                contexts.setdefault(row["shared_context_id"], []).append(parse(row))
                personas[row["shared_context_id"]] = row["persona_id"]
        missing = set(contexts)

        def head(row: Any, number: int) -> Head | None:
            ((name, turns),) = row.items()
            missing.discard(name)
            if any((question.position or 0) > len(turns) for question in contexts.get(name, ())):
                raise ValueError(f"its {len(turns)} turns are fewer than a question of {table.path.name} is asked after")
            return (name, contexts[name]) if name in contexts else None

        def build(row: Any, number: int) -> Context:
            ((name, turns),) = row.items()
            return history(name, turns, contexts[name], personas[name])

        task = from_records(card, settings, read(histories), build, head, others=(loaded.facts,))
        if missing:
            raise UsageError(f"{histories.path}: lacks the history '{min(missing)}' of {table.path}; fetch both files again")
        return task


def parse(row: Mapping[str, Any]) -> Question:
    """The question of a row of the CSV."""
    gold = row["correct_answer"].lower().strip("() ")
    options = tuple(item.strip() for item in literal(row["all_options"]))
    if gold not in tuple(LETTERS) or [option[:4] for option in options] != ["(a) ", "(b) ", "(c) ", "(d) "]:
        raise ValueError("expected four options, (a) to (d), one of which is the answer")
    return Question(
        id=row["question_id"].strip(),
        text=row["user_question_or_message"].strip(),
        answers=(f"({gold})",),
        kind=_KINDS[row["question_type"].strip()],
        options=options,
        position=int(row["end_index_in_shared_context"]),
    )


def history(name: str, turns: list[Any], asked: list[Question], persona: str) -> Context:
    """A history of the JSONL, with the questions about it."""
    meta = {"documents": len(turns), "sessions": sum(turn["role"] == "system" for turn in turns)}
    return Context(name, tuple(map(unit, turns)), tuple(asked), f"persona-{int(persona)}", meta)


def unit(turn: Mapping[str, Any]) -> Unit:
    """A turn as a unit. Most contents begin with the speaker (`User: `), which is dropped because the unit names the
    speaker. In PersonaMem-v2 a content may be null."""
    speaker = _SPEAKERS[turn["role"]]
    return Unit((turn["content"] or "").removeprefix(f"{speaker}: "), speaker=speaker)
