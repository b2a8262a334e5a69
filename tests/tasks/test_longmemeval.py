"""LongMemEval: the upstream schema, dates, abstention, evidence per session; every name the file goes by; damage."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hubcache import REVISION, placed
from records import everything

from memeval import digests, plugins, tokens
from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.runs.prepare import evidence_rows, prepare
from memeval.task import Unit
from memeval.tasks import Settings
from memeval.tasks.fixed import FixedTask
from memeval.tasks.longmemeval import LongMemEval, parse

FILE = "longmemeval/longmemeval_oracle.json"


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def record(n: int = 0, **changes: Any) -> dict[str, Any]:
    """Three sessions, unsorted as in the oracle file; two hold the answer, one of them without a mark."""
    row = {
        "question_id": f"q{n}",
        "question_type": "multi-session",
        "question": "How many bikes do I own now?",
        "question_date": "2023/05/30 (Tue) 23:40",
        "answer": 3,
        "answer_session_ids": ["answer_b", "answer_a"],
        "haystack_dates": ["2023/05/21 (Sun) 09:00", "2023/05/20 (Sat) 02:21", "2023/05/20 (Sat) 02:21"],
        "haystack_session_ids": ["answer_b", "filler", "answer_a"],
        "haystack_sessions": [
            [turn("user", " I bought a third bike. ", has_answer=True), turn("assistant", "Enjoy!", has_answer=False)],
            [turn("user", "Tell me a joke."), turn("assistant", "")],
            [turn("user", "I own two bikes."), turn("assistant", "Nice.")],
        ],
    }
    return {**row, **changes}


def load(root: Path | None, name: str = "longmemeval-oracle") -> FixedTask:
    return LongMemEval().load(plugins.find_task(name), Settings(data_dir=root))


def write(root: Path, rows: Any, name: str = FILE) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def test_a_record_is_a_history_by_date_and_a_question_at_its_end() -> None:
    context = parse(record())
    early, late = "2023/05/20 (Sat) 02:21", "2023/05/21 (Sun) 09:00"
    assert context.units == (
        Unit("Tell me a joke.", early, "user"),  # equal dates keep the file's order; the blank turn is gone
        Unit("I own two bikes.", early, "user"),
        Unit("Nice.", early, "assistant"),
        Unit("I bought a third bike.", late, "user"),
        Unit("Enjoy!", late, "assistant"),
    )
    (question,) = context.questions
    assert (question.id, question.kind, question.time) == ("q0", "multi-session", "2023/05/30 (Tue) 23:40")
    assert (question.answers, question.answerable, question.position) == (("3",), True, None)
    assert (context.id, context.cluster, dict(context.meta)) == ("q0", "q0", {"sessions": 3})


def test_evidence_is_the_marked_turns_of_each_answer_session_or_all_of_them() -> None:
    (question,) = parse(record()).questions
    assert [(piece.text, piece.units) for piece in question.evidence] == [
        ("[2023/05/21 (Sun) 09:00] user: I bought a third bike.", (3,)),
        ("[2023/05/20 (Sat) 02:21] user: I own two bikes.\n[2023/05/20 (Sat) 02:21] assistant: Nice.", (1, 2)),
    ]


def test_abstention_questions_have_an_explanation_and_no_evidence(tmp_path: Path) -> None:
    write(tmp_path, [record(0), record(1, question_id="q1_abs", answer="You never spoke of bikes.")])
    task = load(tmp_path)
    asked = {question.id: question for question in task.golds()}
    assert not asked["q1_abs"].answerable
    assert asked["q1_abs"].answers == ("You never spoke of bikes.",)
    assert {context.id: len(context.questions[0].evidence) for context in everything(task).values()} == {
        "q0": 2,
        "q1_abs": 0,
    }


def test_a_session_may_be_empty_or_occur_twice() -> None:
    """Both happen among the fillers of the released files."""
    row = record()
    row["haystack_dates"] += ["2023/05/22 (Mon) 10:00", "2023/05/23 (Tue) 10:00"]
    row["haystack_session_ids"] += ["filler", "empty"]
    row["haystack_sessions"] += [row["haystack_sessions"][1], []]
    context = parse(row)
    assert [unit.time for unit in context.units if unit.text == "Tell me a joke."] == [
        "2023/05/20 (Sat) 02:21",
        "2023/05/22 (Mon) 10:00",
    ]
    assert context.meta["sessions"] == 5


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("longmemeval-oracle", ["longmemeval_oracle.json", "longmemeval_oracle.json.gz", "longmemeval_oracle"]),
        ("longmemeval-s", ["longmemeval_s_cleaned.json", "longmemeval_s.json", "longmemeval_s", "longmemeval_s.gz"]),
        ("longmemeval-m", ["longmemeval_m_cleaned.json.gz", "longmemeval_m.json", "longmemeval_m"]),
    ],
)
def test_every_name_that_the_file_goes_by(task: str, names: list[str], tmp_path: Path) -> None:
    rows = [record(n) for n in range(5)]
    tasks = []
    for n, name in enumerate(names):
        write(tmp_path / str(n), rows, f"longmemeval/{name}")
        tasks.append(load(tmp_path / str(n), task))
        tasks.append(load(tmp_path / str(n) / "longmemeval", task))
    first = everything(tasks[0])
    assert len(first) == 5
    for other in tasks:
        assert everything(other) == first
        assert other.data["corpus"] == tasks[0].data["corpus"]
        assert other.golds() == tasks[0].golds()


def test_the_cleaned_file_is_taken_before_the_older_one(tmp_path: Path) -> None:
    write(tmp_path, [record(1)], "longmemeval/longmemeval_s.json")
    write(tmp_path, [record(2)], "longmemeval/longmemeval_s_cleaned.json")
    assert load(tmp_path, "longmemeval-s").order == ["q2"]


@pytest.mark.parametrize(
    ("repository", "name"),
    [("xiaowu0162/longmemeval-cleaned", "longmemeval_s_cleaned.json"), ("xiaowu0162/longmemeval", "longmemeval_s")],
)
def test_the_hubs_cache_new_and_old(hub_cache: Path, repository: str, name: str) -> None:
    placed(hub_cache, repository, name).write_text(json.dumps([record(n) for n in range(3)]))
    task = load(None, "longmemeval-s")
    assert list(everything(task).values()) == [parse(record(int(name[1:]))) for name in task.order]
    facts = task.data["files"][0]
    assert (facts["hub"], facts["revision"], facts["name"], facts["records"]) == (repository, REVISION, name, 3)


def test_rows_of_a_datasets_object(tmp_path: Path) -> None:
    """`datasets` fills the marks that a turn lacks with None, and wants one type of answer."""
    datasets = pytest.importorskip("datasets")
    rows = [record(n, answer="3") for n in range(2)]
    assert [parse(row) for row in datasets.Dataset.from_list(rows)] == [parse(row) for row in rows]


def test_with_no_data_one_line_names_every_remedy(tmp_path: Path, hub_cache: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, "longmemeval-m")
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "longmemeval_m_cleaned.json",
        str(tmp_path),
        "xiaowu0162/longmemeval-cleaned/longmemeval_m_cleaned.json",
        "from the Hugging Face hub",
        "synth-1m",
    ):
        assert part in message
    with pytest.raises(UsageError, match=r"--data-dir DIR \(or set MEMEVAL_DATA\)"):
        load(None)


def change(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(item: dict[str, Any]) -> None:
        item[key] = value

    return apply


def test_a_record_that_is_no_object_and_a_file_without_records(tmp_path: Path) -> None:
    write(tmp_path, [record(), [1]])
    with pytest.raises(UsageError, match="record 2: not as published .Expected `object`, got `array`"):
        load(tmp_path)
    write(tmp_path, [])
    with pytest.raises(UsageError, match=r"no question in longmemeval/longmemeval_oracle\.json"):
        load(tmp_path)


def test_the_cards() -> None:
    for name in ("longmemeval-oracle", "longmemeval-s", "longmemeval-m"):
        card = plugins.find_task(name)
        assert (card.headline, card.judge, card.cluster, card.reader_prompt) == (
            "f1",
            "longmemeval",
            "question",
            "reader-chats",
        )
        assert card.licence
        assert card.citation
        assert "judge" not in digests.identity(card)
    with pytest.raises(UsageError, match="longmemeval-oracle"):
        plugins.find_task("longmemeval")


def test_settings_without_effect_and_unknown_ones(tmp_path: Path) -> None:
    write(tmp_path, [record()])
    for changes in ({"tokens": 1000}, {"documents": 50}, {"hard": True}, {"shared": 8}):
        with pytest.raises(UsageError, match=f"'{next(iter(changes))}' has no effect"):
            LongMemEval().load(TaskCard(name="x", source="longmemeval", **changes), Settings(tmp_path))
    for given, message in (
        ({"file": "a"}, r"unknown key 'params.file'; did you mean 'files'\?"),
        ({"files": 7}, "'params.files' is 7, expected a list"),
        ({"files": "nowhere.json", "hub": "owner/name"}, "'owner/name' is not a file on the hub, expected owner/name/file"),
    ):
        with pytest.raises(UsageError, match=message):
            LongMemEval().load(TaskCard(name="x", source="longmemeval", params=given), Settings(tmp_path))
    with pytest.raises(UsageError, match="no question 'q9'"):
        load(tmp_path).refs(["q9"])


def test_evidence_lies_in_the_chunks_that_hold_its_turns(tmp_path: Path) -> None:
    row = record()
    row["haystack_sessions"][1] = [turn("user", f"Filler {n} goes on and on about nothing.") for n in range(40)]
    write(tmp_path, [row])
    task = load(tmp_path)
    (ref,) = task.refs(task.order)
    prepared = prepare(task.context(ref), ref, 64, tokens.counter("o200k_base"))
    (question,) = prepared.points[0].questions
    ids = [row.chunks for row in evidence_rows(question, prepared.points[0].chunks, prepared.context.units)]
    held = {chunk.id: chunk.text for chunk in prepared.stream}
    assert any("I bought a third bike." in held[name] for name in ids[0])
    assert any("I own two bikes." in held[name] for name in ids[1])
    assert len(prepared.stream) > 5


def test_the_real_slice(slices: Callable[[str], Path]) -> None:
    root = slices("longmemeval/longmemeval_s.json")
    task = load(root, "longmemeval-s")
    contexts = list(everything(task).values())
    assert task.data["questions"] == len(contexts)
    for context in contexts:
        times = [unit.time for unit in context.units]
        assert times == sorted(times)
        for piece in context.questions[0].evidence:
            assert all(context.units[index].text in piece.text for index in piece.units)
