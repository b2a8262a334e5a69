"""The tasks that the suite writes itself: a card and a few JSON lines each, made of one small world."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PEOPLE = (
    "Adela",
    "Bruno",
    "Celia",
    "Darius",
    "Edwina",
    "Fabian",
    "Gandor",
    "Hesper",
    "Ilona",
    "Jasper",
    "Kirsten",
    "Lionel",
)
TOWNS = (
    "Arlen",
    "Borvik",
    "Castro",
    "Delmar",
    "Eskel",
    "Fenwick",
    "Galton",
    "Harrow",
    "Inverloch",
    "Jarrow",
    "Kelso",
    "Ludlow",
)
CRAFTS = ("weaving", "brewing", "fishing", "baking", "mining", "singing", "painting", "farming", "sailing", "masonry")


def home(at: int) -> str:
    return f"{PEOPLE[at % 12]} has a small house in {TOWNS[at % 12]}."


def work(at: int) -> str:
    return f"By trade {PEOPLE[at % 12]} lives from {CRAFTS[at % 10].capitalize()}, as the parents did."


def move(at: int) -> str:
    return f"Since spring {PEOPLE[at % 12]} has a large house in {TOWNS[(at + 5) % 12]}."


def filler(at: int) -> str:
    return f"On day {at} the market sold {at * 3 + 2} baskets of apples and {at + 1} of plums, and it rained until noon."


def asked_home(at: int, units: Sequence[str], **more: Any) -> dict[str, Any]:
    """Where somebody has a house, the sentence that says so being one of the units."""
    evidence = [at for at, unit in enumerate(units) if unit == home(more["who"])]
    who = more.pop("who")
    pieces = {"evidence": [{"text": home(who), "units": evidence}]} if evidence else {}
    question = {"text": f"Where does {PEOPLE[who % 12]} have a small house?", "answers": [TOWNS[who % 12]], "kind": "home"}
    return {**question, **pieces, **more}


def single() -> list[dict[str, Any]]:
    """Twelve streams of one unit with one question each."""
    return [{"units": [home(at)], "questions": [asked_home(at, [home(at)], who=at)]} for at in range(12)]


def several() -> list[dict[str, Any]]:
    """Four streams, each with four questions, of which one cannot be answered; streams go in pairs of a cluster."""
    lines = []
    for start in range(0, 12, 3):
        who = range(start, start + 3)
        units = [text for at in who for text in (home(at), filler(at), work(at), filler(at + 20))]
        questions = [asked_home(at, units, who=at, id=f"home-{at}") for at in who]
        never = {"id": f"never-{start}", "text": "Which comet crossed over Zanzibar?", "answerable": False, "kind": "never"}
        lines.append(
            {"id": f"stream-{start}", "units": units, "questions": [*questions, never], "cluster": f"half-{start // 6}"}
        )
    return lines


def places() -> list[dict[str, Any]]:
    """Two streams in which people move, with questions asked in the middle: at units that share a chunk, at its end, before
    the first unit, and two at one place."""
    lines = []
    for start in (0, 6):
        who = range(start, start + 5)
        units = [
            *(text for at in who for text in ({"text": home(at), "time": f"2024-05-{at + 1:02}"}, {"text": filler(at)})),
            *({"text": move(at), "speaker": "Ann"} for at in who),
        ]
        asked = [
            (start, 1),
            (start + 1, 3),
            (start + 1, 4),
            (start + 2, 7),
            (start + 3, 7),
            (start + 4, None),
            (start, None),
        ]
        questions: list[dict[str, Any]] = []
        for number, (at, position) in enumerate(asked):
            place = {} if position is None else {"position": position}
            answers = [TOWNS[at % 12]] if position is not None else [TOWNS[(at + 5) % 12]]
            text = f"Where does {PEOPLE[at % 12]} have a house, large or small?"
            questions.append({"id": f"p{start}-{number}", "text": text, "answers": answers, "kind": "moves", **place})
        nothing = {"id": f"p{start}-none", "text": "Which comet crossed over Zanzibar?", "answerable": False, "position": 0}
        lines.append({"id": f"move-{start}", "units": units, "questions": [*questions, nothing], "cluster": f"c{start}"})
    return lines


def letters() -> list[dict[str, Any]]:
    """Three streams of four options' questions."""
    lines = []
    for start in range(0, 9, 3):
        units = [text for at in range(start, start + 3) for text in (home(at), work(at))]
        questions = []
        for at in range(start, start + 3):
            towns = [TOWNS[(at + step) % 12] for step in (3, 0, 5, 7)]
            options = [f"({letter}) {town}." for letter, town in zip("abcd", towns, strict=True)]
            gold = "(b)" if at % 3 else "(c)"  # some golds are wrong on purpose
            text = f"Where does {PEOPLE[at]} have a small house?"
            questions.append({"text": text, "answers": [gold], "options": options, "kind": f"skill-{at % 2}"})
        lines.append({"id": f"letters-{start}", "units": units, "questions": questions})
    return lines


def odd() -> list[dict[str, Any]]:
    """Replies that are of no use, each asked for by a word in the question; the server refuses the last as too long."""
    marks = ("cut off", "filtered", "empty", "aloud", "overlong")
    lines = []
    for at, mark in enumerate((*marks, *("normal",) * 3)):
        question = {"text": f"Where does {PEOPLE[at]}, {mark}, have a small house?", "answers": [TOWNS[at]], "id": mark}
        lines.append({"units": [home(at)], "questions": [{**question, "id": f"{mark}-{at}"}]})
    return lines


CARD: dict[str, Any] = {
    "source": "jsonl",
    "chunk_tokens": 60,
    "reader_budget": 4000,
    "metrics": ["exact_match", "f1", "substring", "evidence_any", "evidence_all", "abstention"],
    "headline": "f1",
    "cluster": "context",
    "questions": 0,
}
TASKS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "single": (single(), {"cluster": "question"}),
    "several": (several(), {}),
    "places": (places(), {"chunk_tokens": 70}),
    "letters": (letters(), {"metrics": ["letter"], "headline": "letter", "reader_prompt": "reader-options"}),
    "odd": (odd(), {"metrics": ["f1", "exact_match"]}),
    "visible": (several(), {"query_visible": True}),
    "judged": (several(), {"judge": "generic", "variants": {"brief": {"answer_budget": 20}}}),
    "leaked": (single(), {"family": "houses", "split": "test", "trained_on": ["tiny: leaked, so its paper says"]}),
    "indomain": (single(), {"family": "houses", "split": "test", "trained_on": ["tiny"]}),
    "fives": (several(), {"questions": 5}),
}
"""name -> lines of the data, keys of the card that differ from CARD."""


def write_tasks(folder: Path) -> None:
    """`tasks/NAME.yaml` and `.jsonl` of every task, a suite of two of them, and the agents' file, as a user has them."""
    tasks = folder / "tasks"
    tasks.mkdir()
    for name, (lines, changes) in TASKS.items():
        (tasks / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
        card = {**CARD, "params": {"file": f"{name}.jsonl"}, **changes}
        (tasks / f"{name}.yaml").write_text(json.dumps(card), encoding="utf-8")  # JSON is YAML
    (tasks / "both.yaml").write_text(json.dumps({"tasks": ["single", "several"]}), encoding="utf-8")
    shutil.copy(Path(__file__).with_name("parity_agents.py"), folder / "agents.py")
