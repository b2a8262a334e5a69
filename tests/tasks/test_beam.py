"""BEAM: both shapes of its data, what the agent gets to see, what is evidence, what is refused; the slice, if at hand."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hubcache import REVISION, placed
from records import everything, parquet, refusal

from memeval import plugins
from memeval.cards import TaskCard
from memeval.task import Unit
from memeval.tasks import Settings
from memeval.tasks.beam import Beam
from memeval.tasks.fixed import FixedTask

ABILITIES = ["abstention", "event_ordering", "knowledge_update"]


def message(number: int, text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant" if number % 2 else "user", "id": number, "content": text, **more}


def batches(first: int = 0) -> list[list[list[dict[str, Any]]]]:
    """Two batches of one conversation; messages in turns."""
    said = [
        message(first, "I live in Köln. ->-> 1,1", time_anchor="March-15-2024", index="1,1", question_type="main_question"),
        message(first + 1, "Nice. Tell me more? ->->  3,8"),
        message(first + 2, " \n"),
        message(first + 3, "Sure.\nA second line. ->-> 2,N/A"),
        message(first + 4, "I moved to Bonn ->-> 2,3", time_anchor="April-02-2024"),
        message(first + 5, "a ->-> b is no mark of theirs, but 2,4) is cut ->-> 2,4)"),
    ]
    return [[said[:2], said[2:4]], [said[4:]]]


def asked() -> dict[str, list[dict[str, Any]]]:
    order = ["LLM response should mention: Köln", " Bonn "]
    update = {"original_info": [0], "updated_info": [4, 5]}
    return {
        "abstention": [
            {"question": f" Why {n}? ", "ideal_response": "Not said.", "rubric": ["no word of it"]} for n in (1, 2)
        ],
        "event_ordering": [
            {"question": "In which order?", "answer": "Köln, Bonn", "rubric": order, "source_chat_ids": [[0, 4], ["--"], 4]},
            {"question": "And?", "answer": "x", "rubric": ["a", "", "b"], "source_chat_ids": [99]},
        ],
        "knowledge_update": [
            {"question": f"Where {n}?", "answer": "Bonn", "rubric": ["Bonn"], "source_chat_ids": update} for n in (1, 2)
        ],
    }


def write(root: Path, chat: Any = None, questions: Any = None, name: str = "1", size: str = "100K") -> Path:
    """As the repository has it."""
    folder = root / "beam" / "chats" / size / name
    (folder / "probing_questions").mkdir(parents=True, exist_ok=True)
    if chat is None:
        chat = [{"batch_number": n, "time_anchor": None, "turns": turns} for n, turns in enumerate(batches(), start=1)]
    (folder / "chat.json").write_text(json.dumps(chat))
    (folder / "probing_questions" / "probing_questions.json").write_text(json.dumps(questions or asked()))
    return folder


def row(name: str = "1", chat: Any = None) -> dict[str, Any]:
    """As the hub has it: messages flat within a batch, each with every key, and questions as a Python literal."""
    keys = ("role", "id", "content", "time_anchor", "index", "question_type")
    flat = [[{key: one.get(key) for key in keys} for turn in turns for one in turn] for turns in batches()]
    return {
        "conversation_id": name,
        "conversation_seed": {"title": "secret plan"},
        "user_profile": {"user_info": "secret profile"},
        "chat": flat if chat is None else chat,
        "probing_questions": repr(asked()),
    }


def load(root: Path | None, seed: int = 42, size: str = "100K", **params: Any) -> FixedTask:
    return Beam().load(TaskCard("beam", "beam", params={"size": size, **params}), Settings(root, seed))


def test_messages_without_the_generators_marks(tmp_path: Path) -> None:
    write(tmp_path)
    (context,) = everything(load(tmp_path)).values()
    assert context.units == (
        Unit("I live in Köln.", "2024-03-15", "user"),
        Unit("Nice. Tell me more?", "2024-03-15", "assistant"),
        Unit("Sure.\nA second line.", "2024-03-15", "assistant"),
        Unit("I moved to Bonn", "2024-04-02", "user"),
        Unit("a ->-> b is no mark of theirs, but 2,4) is cut", "2024-04-02", "assistant"),
    )
    assert (context.id, context.cluster, context.meta) == ("1", "1", {"batches": 2, "marks": 5})
    (kept,) = everything(load(tmp_path, marks=True)).values()
    assert kept.units[0].text == "I live in Köln. ->-> 1,1"
    assert kept.meta["marks"] == 0


def test_questions_rubrics_and_evidence(tmp_path: Path) -> None:
    write(tmp_path)
    task = load(tmp_path)
    (context,) = everything(task).values()
    found = {question.id: question for question in context.questions}
    assert list(found) == [f"1-{ability}-{n}" for ability in ABILITIES for n in (1, 2)]
    first = found["1-abstention-1"]
    assert (first.text, first.answers, first.kind, first.answerable) == ("Why 1?", ("Not said.",), "abstention", True)
    assert (first.position, first.time, first.evidence) == (None, None, ())  # it counts in the headline
    assert found["1-event_ordering-1"].keypoints == ("LLM response should mention: Köln", "Bonn")
    assert found["1-event_ordering-2"].keypoints == ("a", "b")
    units = {name: [piece.units for piece in question.evidence] for name, question in found.items()}
    assert units["1-event_ordering-1"] == [(0,), (3,)]  # each message once, and "--" is none
    assert units["1-event_ordering-2"] == []  # no such message
    assert units["1-knowledge_update-1"] == [(3,), (4,)]  # the later state alone
    assert found["1-event_ordering-1"].evidence[0].text == "[2024-03-15] user: I live in Köln."
    assert all(question.evidence == () for question in task.golds())


def test_a_prefix_is_whole_conversations_and_balanced(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        write(tmp_path, name=name)
    task = load(tmp_path)
    names = [re.fullmatch(r"(\d)-(\w+)-\d", question) for question in task.order]
    streams = [found[1] for found in names if found]
    kinds = [found[2] for found in names if found]
    assert [len(set(streams[at : at + 6])) for at in (0, 6, 12)] == [1, 1, 1]
    assert all(sorted(kinds[at : at + 3]) == ABILITIES for at in range(0, 18, 3))
    assert any(load(tmp_path, seed=seed).order[0] != task.order[0] for seed in (1, 2, 3, 4))
    assert [question.id for question in task.golds()] == list(task.order)


def test_folder_gz_and_hub_give_the_same_contexts(tmp_path: Path, hub_cache: Path) -> None:
    folder = write(tmp_path / "plain")
    plain = everything(load(tmp_path / "plain"))
    assert everything(load(tmp_path / "plain" / "beam")) == plain  # the data set's own folder
    for path in (folder / "chat.json", folder / "probing_questions" / "probing_questions.json"):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert everything(load(tmp_path / "plain")) == plain
    parquet(tmp_path / "table" / "beam" / "data" / "100K-00000-of-00001.parquet", [row()])
    assert everything(load(tmp_path / "table")) == plain
    parquet(placed(hub_cache, "Mohammadta/BEAM", "data/100K-00000-of-00001.parquet"), [row()])
    task = load(None, hub=f"Mohammadta/BEAM@{REVISION}")
    assert everything(task) == plain
    assert [file["revision"] for file in task.data["files"]] == [REVISION]
    parquet(tmp_path / "table" / "beam" / "data" / "100K-00001-of-00002.parquet", [row("2")])
    assert set(everything(load(tmp_path / "table"))) == {"1", "2"}  # a table in two files
    parquet(tmp_path / "table" / "beam" / "data" / "100K-00001-of-00002.parquet", [row("1")])
    assert "record 1: id '1' was already used by" in refusal(load, tmp_path / "table")
    assert "truncated chats" in refusal(load, tmp_path / "table", truncated=True)


@pytest.mark.parametrize("second", [100, 0], ids=["numbers run on", "each plan from 0"])
def test_plans_of_10m_follow_each_other(tmp_path: Path, second: int) -> None:
    """On the hub each part has one plan, and null for the others."""
    plans = {"plan-1": [{"turns": turns} for turns in batches()], "plan-2": [{"turns": turns} for turns in batches(second)]}
    parts = [{"plan-1": plans["plan-1"], "plan-2": None}, {"plan-1": None, "plan-2": plans["plan-2"]}]
    shift = second or 6  # what 0 is in the second plan
    moved = asked()
    moved["knowledge_update"][0]["source_chat_ids"] = [shift + 4]
    write(tmp_path / "a", [{name: plan} for name, plan in plans.items()], moved, size="10M")
    write(tmp_path / "b", parts, moved, size="10M")
    (context,), (again,) = (everything(load(tmp_path / name, size="10M")).values() for name in ("a", "b"))
    assert again == context
    assert len(context.units) == 10
    assert context.meta == {"batches": 4, "marks": 10}
    (piece,) = next(question for question in context.questions if question.id == "1-knowledge_update-1").evidence
    assert piece.units == (8,)


def test_the_truncated_chat_where_there_is_one(tmp_path: Path) -> None:
    folder = write(tmp_path)
    write(tmp_path, name="2")
    short = [{"turns": [[message(0, "Only this.", time_anchor="some day")]]}]
    (folder / "chat_trunecated.json").write_text(json.dumps(short))
    whole, cut = everything(load(tmp_path)), everything(load(tmp_path, truncated=True))
    assert {name: len(context.units) for name, context in whole.items()} == {"1": 5, "2": 5}
    assert {name: len(context.units) for name, context in cut.items()} == {"1": 1, "2": 5}
    assert cut["1"].units == (Unit("Only this.", "some day", "user"),)
    assert load(tmp_path).data["corpus"] != load(tmp_path, truncated=True).data["corpus"]


def _without(field: str) -> Callable[[], tuple[Any, Any]]:
    def made() -> tuple[Any, Any]:
        questions = asked()
        del questions["event_ordering"][1][field]
        return None, questions

    return made


DAMAGED: dict[str, tuple[Callable[[], tuple[Any, Any]], str]] = {
    "a question without a rubric": (
        _without("rubric"),
        r"probing_questions\.json: event_ordering 2: not as published \(no field 'rubric'\)",
    ),
    "a question without a gold": (_without("answer"), r"event_ordering 2: not as published \(expected a rubric, and one of"),
    "a rubric of blanks": (
        lambda: (None, {"abstention": [{"question": "?", "answer": "x", "rubric": [" "]}]}),
        r"abstention 1: not as published \(expected a rubric",
    ),
    "questions as a list": (
        lambda: (None, [asked()]),
        r"probing_questions\.json: record 1: not valid JSON \(expected an obj",
    ),
    "a message without an id": (
        lambda: ([{"turns": batches()[0]}, {"turns": [[{"role": "user", "content": "x"}]]}], None),
        r"chat\.json: record 2: not as published \(no field 'id'\)",
    ),
    "a message without text": (
        lambda: ([{"turns": [[message(0, None)]]}], None),  # type: ignore[arg-type]
        r"chat\.json: record 1: not as published",
    ),
    "a batch that is a text": (lambda: ([{"turns": "none"}], None), r"chat\.json: record 1: not as published"),
    "no message": (lambda: ([{"turns": []}], None), r"conversation 1 of BEAM holds no message"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_is_one_line_with_its_place(tmp_path: Path, damage: str) -> None:
    made, wanted = DAMAGED[damage]
    write(tmp_path, *made())
    assert re.search(wanted, refusal(load, tmp_path)), refusal(load, tmp_path)


def test_a_chat_that_is_missing(tmp_path: Path) -> None:
    (write(tmp_path) / "chat.json").unlink()
    assert re.search(r"/1/chat\.json: is missing, but its questions are there; fetch it too$", refusal(load, tmp_path))
    message = refusal(load, tmp_path, size="500K")
    assert "beam/chats/500K/*/probing_questions/probing_questions.json" in message
    assert "Mohammadta/BEAM/data/500K-*.parquet" in message
    assert "'params.size' is '100k'; did you mean '100K'? (known: 100K, 500K, 1M, 10M)" in refusal(
        load, tmp_path, size="100k"
    )


@pytest.mark.parametrize("name", ["beam-100k", "beam-500k", "beam-1m", "beam-10m"])
def test_cards(name: str) -> None:
    card = plugins.find_task(name)
    assert (card.judge, card.cluster, card.questions) == ("beam", "conversation", 0)
    assert Beam().files(card)[0].hub[0].startswith("Mohammadta/BEAM")
    assert ("untested" in card.description) == (name != "beam-100k")


def test_the_slice_has_two_questions_for_each_ability(slices: Callable[[str], Path]) -> None:
    root = slices("beam/chats/100K/1/chat.json")
    task = load(root)
    contexts = everything(task)
    kinds = Counter((question.id.split("-")[0], question.kind) for question in task.golds())
    assert len(kinds) == 10 * len(contexts)
    assert set(kinds.values()) == {2}
    text = "".join(unit.text for context in contexts.values() for unit in context.units)
    assert "->->" not in text
    assert [contexts["1"].meta["marks"], contexts["5"].meta["marks"]] == [79, 146]  # 78 + 1; 102 + 43 + 1
    assert contexts["1"].units[114].text.startswith(asked_of(root, "1", "knowledge_update", 114))


def asked_of(root: Path, name: str, ability: str, number: int) -> str:
    """The beginning of the message that the question's evidence names, read independently."""
    chat = json.loads((root / "beam" / "chats" / "100K" / name / "chat.json").read_text())
    found = [one for batch in chat for turn in batch["turns"] for one in turn if one["id"] == number]
    questions = json.loads((root / f"beam/chats/100K/{name}/probing_questions/probing_questions.json").read_text())
    assert number in questions[ability][0]["source_chat_ids"]["updated_info"]
    return str(found[0]["content"])[:40]
