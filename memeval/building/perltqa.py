"""PerLTQA as Mem-alpha builds it: one stream per character, one chunk per event with its dialogues, up to 100 questions.

After process_data.py (`PerLTQAProcessor`): questions on the profile are dropped. Upstream then lets GPT-4.1 shorten answers
to keywords and keeps what it can answer from the whole text; both are callables here. Questions whose memory is in no event
(social relationships) are always dropped: nothing in the stream answers them. Characters are split, not questions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memeval.building.instances import Built, Instance, Recipe, capped, find
from memeval.data import records, whole
from memeval.data.fields import text_field
from memeval.data.files import Found
from memeval.errors import UsageError
from memeval.metrics.choices import keywords
from memeval.tasks import Settings

MOST_CHUNKS = 30
_MEMORY = re.compile(r"\d+(?:_\d+)+(?:#\d+)?")
Shorten = Callable[[str, str], str]
"""(question, answer) -> keywords of the answer, separated by ";", of fewer than three words each."""

Answer = Callable[[str, Sequence[str]], Sequence[str]]
"""(the whole stream, questions) -> a model's answers."""


@dataclass(frozen=True, slots=True)
class Event:
    """A chunk, and the part of it that each memory is: event id or dialogue id -> text."""

    chunk: str
    memories: Mapping[str, str]


def build(
    settings: Settings,
    recipe: Recipe,
    *,
    memory_names: Sequence[str] = ("perltqa/perltmem_en_v2.json", "perltqa/perltmem_en.json"),
    question_names: Sequence[str] = ("perltqa/perltqa_en_v2.json", "perltqa/perltqa_en.json"),
    least: int = 20,
    shorten: Shorten | None = None,
    answer: Answer | None = None,
) -> Built:
    """least: questions a character needs in the end. shorten, answer: as above; without them the golds stay sentences, and
    no question is dropped for being unanswerable."""
    people, memory_facts = _people(find(settings, memory_names))
    loaded = records.read(find(settings, question_names))
    asked: dict[str, list[Mapping[str, Any]]] = {}
    for place, row in loaded.rows():
        for name, parts in row.items():
            asked.setdefault(name, []).extend(_questions(parts, f"{place} ({name})"))
    instances, counts = [], dict.fromkeys(("all", "in events", "answered"), 0)
    unmatched = sum(name not in people for name in asked)
    for name, record in people.items():
        if name not in asked or not recipe.takes(name):
            continue
        events = list(_events(name, record, str(memory_facts["name"])))
        memories = {key: text for event in events for key, text in event.memories.items()}
        placed = [question for question in (_placed(item, memories, shorten) for item in asked[name]) if question]
        counts["all"] += len(asked[name])
        counts["in events"] += len(placed)
        kept = placed if answer is None else _answered(placed, events, answer)
        counts["answered"] += len(kept)
        if least <= len(kept) and 0 < len(events) <= MOST_CHUNKS:
            chunks = tuple(event.chunk for event in events)
            facts = {"character": name}
            instances.append(
                Instance(chunks, capped(kept, recipe.random("perltqa", name)), "perltqa", (name, *chunks), facts)
            )
    filters = {
        "characters of both files": f"dropped {unmatched} of {len(asked)} characters",
        "memory in an event or dialogue": f"dropped {counts['all'] - counts['in events']} of {counts['all']} questions",
        "answers shortened to keywords": "not applied" if shorten is None else "applied",
        "answered from the whole stream": (
            "not applied"
            if answer is None
            else f"dropped {counts['in events'] - counts['answered']} of {counts['in events']}"
        ),
        f"at least {least} questions and at most {MOST_CHUNKS} chunks": f"kept {len(instances)} characters",
    }
    return Built("perltqa", recipe, tuple(instances), filters, (memory_facts, loaded.facts))


def _people(file: Found) -> tuple[dict[str, Mapping[str, Any]], Mapping[str, Any]]:
    """Character -> record: version 2 of the memory file is an object by name, version 1 a list."""
    if whole.content(file).lstrip().startswith(b"{"):
        document, facts = whole.json_object(file)
        people = dict(document)
    else:
        loaded = records.read(file)
        facts = dict(loaded.facts)
        people = {}
        for place, row in loaded.rows():
            profile = row.get("profile")
            if not isinstance(profile, Mapping):
                raise UsageError(f"{place}: no 'profile'")
            people[text_field(profile, "Protagonist", place)] = row
    for name, record in people.items():
        if not isinstance(record, Mapping):
            raise UsageError(f"{file.path}: '{name}' is {type(record).__name__}, expected an object")
    return people, facts


def _questions(parts: Any, place: str) -> Iterator[Mapping[str, Any]]:
    """All but those on the profile: `{"events": [{"4_0_0": [question, ...]}, ...], ...}`."""
    if not isinstance(parts, Mapping):
        raise UsageError(f"{place}: expected an object of question lists")
    for kind, groups in parts.items():
        if kind == "profile":
            continue
        for group in groups if isinstance(groups, list) else [None]:
            if not isinstance(group, Mapping) or not all(isinstance(items, list) for items in group.values()):
                raise UsageError(f"{place}: '{kind}' is not a list of objects with question lists")
            for items in group.values():
                for item in items:
                    if not isinstance(item, Mapping):
                        raise UsageError(f"{place}: '{kind}' holds something other than questions")
                    yield {
                        "question": text_field(item, "Question", place),
                        "answer": text_field(item, "Answer", place),
                        "memories": _MEMORY.findall(str(item.get("Reference Memory", ""))),
                    }


def _events(name: str, record: Mapping[str, Any], file: str) -> Iterator[Event]:
    """A dialogue belongs to the event whose id stands before its "#"."""
    events, dialogues = record.get("events") or {}, record.get("dialogues") or {}
    if not isinstance(events, Mapping) or not isinstance(dialogues, Mapping):
        raise UsageError(f"{file}: '{name}': 'events' and 'dialogues' are objects by id")
    for event_id, event in events.items():
        place = f"{file}: '{name}', event {event_id}"
        if not isinstance(event, Mapping):
            raise UsageError(f"{place}: expected an object")
        content = text_field(event, "content", place)
        when = text_field(event, "Creation Time", place, blank=True) if "Creation Time" in event else ""
        summary = text_field(event, "summary", place, blank=True) if "summary" in event else ""
        memories = {str(event_id): content}
        parts = [f"What happened to the user {name}{f' on {when}' if when else ''}.\nSummary: {summary}\nContent: {content}"]
        for dialogue_id, dialogue in dialogues.items():
            if str(dialogue_id).split("#")[0] == event_id:
                text = _dialogue(dialogue, f"{place}, dialogue {dialogue_id}")
                memories[str(dialogue_id)] = text
                parts.append(text)
        if len(parts) > 1:
            parts.insert(1, "Dialogues about it:")
        yield Event("\n\n".join(parts), memories)


def _dialogue(dialogue: Any, place: str) -> str:
    """`{"contents": {<time>: ["speaker: text", ...]}}`; some lists are wrapped in another."""
    contents = dialogue.get("contents") if isinstance(dialogue, Mapping) else None
    if not isinstance(contents, Mapping):
        raise UsageError(f"{place}: no 'contents'")
    lines = []
    for time, messages in contents.items():
        if isinstance(messages, list) and messages and isinstance(messages[0], list):
            messages = messages[0]
        if not isinstance(messages, list) or not all(isinstance(item, str) for item in messages):
            raise UsageError(f"{place}: its messages are not texts")
        lines.append(f"Dialogue at {time}")
        for message in messages:
            speaker, colon, text = message.partition(": ")
            lines.append(f"<{speaker.strip()}> {text.strip()}" if colon else message.strip())
    return "\n".join(lines)


def _placed(item: Mapping[str, Any], memories: Mapping[str, str], shorten: Shorten | None) -> dict[str, Any] | None:
    """The question with its evidence; None when one of its memories is not in the stream."""
    named = item["memories"]
    if not named or not all(key in memories for key in named):
        return None
    gold = item["answer"] if shorten is None else shorten(item["question"], item["answer"])
    return {"question": item["question"], "answer": gold, "evidence": [[key, memories[key]] for key in named]}


def _answered(questions: Sequence[dict[str, Any]], events: Sequence[Event], answer: Answer) -> list[dict[str, Any]]:
    """Those of which the model's answer holds a keyword; the gold keeps the keywords it holds, as upstream."""
    said = answer("\n\n".join(event.chunk for event in events), [item["question"] for item in questions])
    kept = []
    for item, reply in zip(questions, said, strict=True):
        held = [word for word in keywords((item["answer"],)) if word.lower() in reply.lower()]
        if held:
            kept.append({**item, "answer": ";".join(held)})
    return kept
