"""PersonaMem-v2: letters from a hash, histories that questions share, what is refused; and the excerpt, where at hand."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hubcache import REVISION, placed
from records import everything, refusal

from memeval import plugins
from memeval.cards import TaskCard
from memeval.metrics import METRICS, Reply
from memeval.task import Question, Unit
from memeval.tasks import Settings
from memeval.tasks.fixed import FixedTask
from memeval.tasks.personamem_v2 import PersonaMemV2, parse

TABLE, HISTORIES = "benchmark/text/benchmark.csv", "data/chat_history_32k"
TURNS = [
    {"role": "system", "content": "The user is Zoë, 28."},
    {"role": "user", "content": "I drink\n Earl Grey."},
    {"role": "assistant", "content": None},
    {"role": "user", "content": "Please forget my tea."},
]
OPTIONS = ["Try a walk by the sea.", "Try black tea.", "Try green tea, it is good for you.", "Try it."]


def row(number: int, persona: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "persona_id": persona,
        "chat_history_32k_link": f"data/chat_history_32k/chat_history_x_persona{persona}.json",
        "chat_history_128k_link": "",
        "preference": "SECRET",
        "user_query": repr({"role": "user", "content": f"What's to do, {number}? "}),
        "correct_answer": OPTIONS[0],
        "incorrect_answers": json.dumps(OPTIONS[1:]),
        "pref_type": "ask_to_forget",
        "related_conversation_snippet": json.dumps([TURNS[1], {"role": "user", "content": "Please  forget my tea."}]),
        **fields,
    }


def table(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def write(folder: Path, rows: list[dict[str, Any]] | None = None, history: Any = None) -> None:
    """folder: of the data set."""
    (folder / HISTORIES).mkdir(parents=True, exist_ok=True)
    (folder / TABLE).parent.mkdir(parents=True, exist_ok=True)
    (folder / TABLE).write_bytes(table(rows or [row(1), row(2), row(3, persona=7)]))
    whole = {"metadata": {"persona_id": 0}, "chat_history": TURNS} if history is None else history
    for persona in (0, 7):
        (folder / HISTORIES / f"chat_history_x_persona{persona}.json").write_text(json.dumps(whole))


def load(root: Path | None, **params: Any) -> FixedTask:
    card = TaskCard("pm2", "personamem_v2", params={"size": "32k", **params}, cluster="persona")
    return PersonaMemV2().load(card, Settings(root))


def test_histories_are_shared_and_read_once(tmp_path: Path) -> None:
    write(tmp_path / "personamem_v2")
    found = everything(load(tmp_path))
    assert set(found) == {"chat_history_x_persona0", "chat_history_x_persona7"}
    context = found["chat_history_x_persona0"]
    assert context.units == (
        Unit("The user is Zoë, 28.", speaker="System"),
        Unit("I drink\n Earl Grey.", speaker="User"),
        Unit("", speaker="Assistant"),
        Unit("Please forget my tea.", speaker="User"),
    )
    first, second = context.questions
    assert (first.id, second.id, first.text, first.kind) == ("0-1", "0-2", "What's to do, 1?", "ask_to_forget")
    assert [piece.units for piece in first.evidence] == [(1,), (3,)]
    assert (context.cluster, found["chat_history_x_persona7"].cluster) == ("persona-0", "persona-7")
    assert "SECRET" not in str(found)
    (bare,) = (one for one in everything(load(tmp_path, profile=False)).values() if one.cluster == "persona-0")
    assert bare.units == context.units[1:]
    assert [piece.units for piece in bare.questions[0].evidence] == [(0,), (2,)]


def test_letters_follow_from_the_question_alone() -> None:
    letter = METRICS["letter"]
    places = set()
    for number in range(1, 41):
        question = parse(row(number), number)
        assert question == parse(row(number, incorrect_answers=json.dumps(OPTIONS[:0:-1])), number)
        assert question.options is not None
        assert [option[:4] for option in question.options] == ["(a) ", "(b) ", "(c) ", "(d) "]
        (gold,) = question.answers
        assert f"{gold} {OPTIONS[0]}" in question.options
        assert letter(Reply(f"<final_answer> {gold}", question)) == 1.0
        places.add(gold)
    assert places == {"(a)", "(b)", "(c)", "(d)"}
    twice = parse(row(1, incorrect_answers=json.dumps([OPTIONS[0], *OPTIONS[2:]])), 1)
    assert len(twice.answers) == 2  # the same text under two letters: either is right


def test_hub_and_folder_give_the_same(tmp_path: Path, hub_cache: Path) -> None:
    write(tmp_path / "data" / "personamem_v2")
    plain = everything(load(tmp_path / "data"))
    assert everything(load(tmp_path / "data" / "personamem_v2")) == plain  # the data set's own folder
    write(placed(hub_cache, "bowen-upenn/PersonaMem-v2", "README.md").parent)
    task = load(None, hub=f"bowen-upenn/PersonaMem-v2@{REVISION}")
    assert everything(task) == plain
    assert {file["revision"] for file in task.data["files"]} == {REVISION}
    assert [file["records"] for file in task.data["files"]] == [3, 1, 1]


DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "two wrong options": (
        {"rows": [row(1), row(2, incorrect_answers='["a", "b"]')]},
        r"benchmark\.csv: row 2: not as published \(expected a correct answer and three incorrect ones\)",
    ),
    "options that are no JSON": ({"rows": [row(1, incorrect_answers="['a']")]}, r"row 1: not as published"),
    "a query that is no literal": (
        {"rows": [row(1, user_query="os.system('x')")]},
        r"row 1: not as published .*no Python lit",
    ),
    "a persona that is no number": ({"rows": [row(1, persona_id="x")]}, r"row 1: not as published"),
    "a history that is not there": (
        {"rows": [row(1), row(2, chat_history_32k_link="../../etc/passwd")]},
        r"row 2: there is no history 'passwd' in .*chat_history_32k; fetch it",
    ),
    "a history without messages": (
        {"history": {"chat": []}},
        r"persona\d\.json: record 1: not as published \(no field",
    ),
    "a history as a list": (
        {"history": TURNS},
        r"persona0\.json: record 1: not valid JSON \(expected an object, found",
    ),
    "another role": (
        {"history": {"chat_history": [{"role": "tool", "content": "x"}]}},
        r"persona\d\.json: record 1: not as published \(no field 'tool'\)",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_is_one_line_with_its_place(tmp_path: Path, damage: str) -> None:
    made, wanted = DAMAGED[damage]
    write(tmp_path / "personamem_v2", **made)
    assert re.search(wanted, refusal(load, tmp_path)), refusal(load, tmp_path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    message = refusal(load, tmp_path)
    assert "put personamem_v2/benchmark/text/benchmark.csv" in message
    assert "bowen-upenn/PersonaMem-v2/benchmark/text/benchmark.csv" in message
    write(tmp_path / "personamem_v2")
    assert "personamem_v2/data/chat_history_128k/*.json" in refusal(load, tmp_path, size="128k")
    assert "'params.size' is '1M' (known: 32k, 128k)" in refusal(load, tmp_path, size="1M")


@pytest.mark.parametrize("name", ["personamem-v2-32k", "personamem-v2-128k", "personamem-v2-32k@no-profile"])
def test_cards(name: str) -> None:
    card = plugins.find_task(name)
    assert (card.headline, card.cluster, card.judge, card.licence) == ("letter", "persona", "", "CC BY 4.0")
    first, second = PersonaMemV2().files(card)
    assert first.hub[0].startswith("bowen-upenn/PersonaMem-v2@0622e56d1cc6f1bc990a5100a6ec4022a60e66a6/benchmark")
    assert second.names == (f"personamem_v2/data/chat_history_{card.params['size']}/*.json",)


def test_the_excerpt(slices: Callable[[str], Path]) -> None:
    task = load(slices("personamem_v2/benchmark/text/benchmark.excerpt.csv"))
    (context,) = everything(task).values()
    assert (len(context.units), len(context.questions)) == (9, 2)
    forget, pizza = context.questions
    assert [piece.units for piece in forget.evidence] == [(6,), (7,), (8,)]
    assert [piece.units for piece in pizza.evidence] == [(1,), (2,)]
    assert _longest(forget) == forget.answers[0]  # the leak that the control `longest-option` shows
    assert _longest(pizza) == pizza.answers[0]


def _longest(question: Question) -> str:
    return max(question.options or (), key=len)[:3]
