"""What PersonaMem's two files hold, and how they must fit: a row of the table asks, a line of the JSONL is a history."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memeval.datafiles.fields import text_field, whole_field
from memeval.datafiles.literals import literal
from memeval.errors import UsageError, suggest
from memeval.task import Context, Question, Unit

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


def parse(row: Mapping[str, Any], place: str) -> Asked:
    """One question, from the CSV (all cells are text) or from a row of the hub (numbers are numbers)."""
    kind = text_field(row, "question_type", place)
    if kind not in _KINDS:
        raise UsageError(f"{place}: unknown question_type {kind[:80]!r}{suggest(kind, _KINDS)}")
    gold = text_field(row, "correct_answer", place).lower().strip("() ")
    if gold not in ("a", "b", "c", "d"):
        raise UsageError(f"{place}: 'correct_answer' is {gold[:80]!r}, expected (a), (b), (c) or (d)")
    question = Question(
        id=text_field(row, "question_id", place),
        text=text_field(row, "user_question_or_message", place),
        answers=(f"({gold})",),
        kind=_KINDS[kind],
        options=_options(text_field(row, "all_options", place), place),
        position=whole_field(row, "end_index_in_shared_context", place),
    )
    context_id = text_field(row, "shared_context_id", place)
    persona, letters = (whole_field(row, key, place) for key in ("persona_id", "context_length_in_letters"))
    return Asked(place, question, context_id, persona, letters)


def _options(text: str, place: str) -> tuple[str, ...]:
    """The Python literal of a list of four texts, `(a) ...` to `(d) ...`."""
    value = literal(text, _LONGEST)
    texts = value if isinstance(value, list) and all(isinstance(item, str) for item in value) else []
    options = tuple(item.strip() for item in texts)
    if [option[:4] for option in options] != ["(a) ", "(b) ", "(c) ", "(d) "]:
        wanted = "a Python list of four texts, '(a) ...' to '(d) ...'"
        raise UsageError(f"{place}: 'all_options' is {text[:80]!r}, expected {wanted}")
    return options


def history(record: Any, asked_of: Mapping[str, Sequence[Asked]], place: str) -> Context:
    """A history of the JSONL, with the questions asked of it, which must fit it."""
    name, turns = next(iter(record.items())) if isinstance(record, Mapping) and len(record) == 1 else ("", None)
    if not isinstance(turns, list):
        raise UsageError(f"{place}: expected an object with one context id and its list of turns")
    for at, turn in enumerate(turns):
        role, text = (turn.get("role"), turn.get("content")) if isinstance(turn, Mapping) else (None, None)
        if not isinstance(role, str) or role not in _SPEAKERS or not isinstance(text, str):
            raise UsageError(f"{place}: turn {at} needs a 'role' ({', '.join(_SPEAKERS)}) and a 'content', which is text")
    asked = asked_of.get(name, ())
    letters = list(itertools.accumulate((len(turn["content"]) for turn in turns), initial=0))
    for item in asked:
        end = item.question.position or 0
        if end > len(turns):
            raise UsageError(f"{item.place}: asked after turn {end}, but {place} holds {len(turns)}; fetch both files again")
        if letters[end] != item.letters:
            found = f"the {end} turns before the question have {letters[end]} letters ({place})"
            said = f"'context_length_in_letters' says {item.letters}; fetch both files again"
            raise UsageError(f"{item.place}: {found}, {said}")
    meta = {"documents": len(turns), "sessions": sum(turn["role"] == "system" for turn in turns)}
    cluster = f"persona-{asked[0].persona}" if asked else ""
    return Context(name, tuple(map(_unit, turns)), tuple(item.question for item in asked), cluster, meta)


def _unit(turn: Mapping[str, str]) -> Unit:
    """Most contents start with their speaker already (`User: `), which is not said twice."""
    speaker = _SPEAKERS[turn["role"]]
    return Unit(turn["content"].removeprefix(f"{speaker}: "), speaker=speaker)
