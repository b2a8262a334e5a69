"""The reward of a reading, from rows of a run made by hand: which calls count, which succeed, which contents are judged."""

from __future__ import annotations

import pytest

from memeval.models.completion import Completion, Row
from memeval.models.usage import Step
from memeval.records.rows import OperationRow, QuestionRow, ScoreRow, ToolRow
from memeval.training.recipe import Reward
from memeval.training.rewards import compression, rewards
from memeval.training.rollouts import Rollout, rollouts

INSERT, UPDATE, DELETE = "new_memory_insert", "memory_update", "memory_delete"
ROW = Row((1, 2), (3, 4), (-0.1, -0.2))


def put(text: str) -> dict[str, str]:
    return {"op": "put", "type": "semantic", "id": "1", "text": text}


def call(name: str, status: str = "ok", effect: dict[str, str] | None = None, **arguments: object) -> ToolRow:
    return ToolRow(name=name, arguments=arguments, status=status, effect=effect)


def read(*chunks: tuple[ToolRow, ...], held: int = 30, stream: int = 100, **facts: object) -> Rollout:
    """One reading of a stream with two questions, of which one is right; a row per chunk."""
    names = [f"c{number:05d}" for number in range(len(chunks))]
    steps = [Step("a", 0, None, name, (("memory", Completion(row=ROW)),)) for name in names]
    operations = [
        OperationRow(
            context_id="a",
            repeat=0,
            chunk=name,
            chunk_tokens=50,
            results=results,
            held={"semantic": held, "core": 0},
            **facts,
        )
        for name, results in zip(names, chunks, strict=True)
    ]
    questions = {
        name: QuestionRow(question_id=name, context_id="a", cluster="a", text="?", stream_tokens=stream)
        for name in ("p", "q")
    }
    scores = [
        ScoreRow(question_id="p", repeat=0, metrics={"exact_match": 1.0}, verdict="right"),
        ScoreRow(question_id="q", repeat=0, verdict="failed"),
    ]
    [found] = rollouts(steps, operations, questions, scores, "exact_match")
    return found


def test_a_failed_question_counts_0_and_memory_is_what_is_held_at_the_end() -> None:
    found = read((call(INSERT, effect=put("a b c"), memory_type="semantic_memory", content="a b c"),), held=30)
    assert (found.accuracy, found.memory, found.stream) == (0.5, 30, 100)
    assert found.turns[0].row == ROW
    # r1 = 1/2, r2 = 1/1, r3 = 1 - 30/100
    assert rewards(found, Reward()) == [pytest.approx(0.5 + 1 + 0.05 * 0.7)]


def test_which_calls_succeed() -> None:
    calls = (
        call(INSERT, effect=put("x"), memory_type="semantic_memory", content="x"),
        call(INSERT, "skipped", memory_type="semantic_memory", content="x"),  # a duplicate
        call(DELETE, effect={"op": "delete", "type": "semantic", "id": "1"}, memory_type="semantic_memory", memory_id="1"),
        call(DELETE, "error", memory_type="semantic_memory", memory_id="7"),  # there is no such entry
        call("remember", "error"),  # no such tool
        call(INSERT, "error", memory_type="semantic_memory", content=" "),
    )
    [turn] = read(calls).turns
    assert (turn.calls, turn.succeeded, turn.written) == (6, 2, ("x",))
    # r2 = 2/6
    assert rewards(read(calls), Reward(compression=0)) == [pytest.approx(0.5 + 2 / 6)]


def test_consequences_of_a_call_are_no_calls() -> None:
    calls = (
        call(INSERT, effect=put("Ann owns a"), memory_type="semantic_memory", content="Ann owns a"),
        call(INSERT, "quoted", effect=put("Bob owns b"), memory_type="semantic_memory", content="Bob owns b"),
        call(DELETE, "dropped", effect={"op": "delete", "type": "semantic", "id": "1"}),
    )
    [turn] = read(calls).turns
    assert (turn.calls, turn.succeeded) == (1, 1)
    assert turn.written == ("Ann owns a", "Bob owns b")
    assert turn.contents == (("semantic", "Ann owns a"),)


def test_which_contents_are_judged() -> None:
    calls = (
        call(INSERT, effect=put("a"), memory_type="semantic_memory", content="a"),
        call(INSERT, "skipped", memory_type="episodic", content="b"),  # judged: the arguments are in order
        call(INSERT, "error", memory_type="core_memory", content="c"),  # the same: the core takes no insert
        call(UPDATE, "error", memory_type="semantic_memory", memory_id="9", new_content="d"),  # the same: no such id
        call(UPDATE, effect=put("e"), memory_type="core_memory", new_content="e"),
        call(DELETE, effect={"op": "delete", "type": "semantic", "id": "1"}, memory_type="semantic_memory", memory_id="1"),
        call(INSERT, effect=put("@home"), memory_type="semantic_memory", content="@home"),  # plain text: nothing is quoted
        call(INSERT, "error", memory_type="working_memory", content="f"),  # malformed from here on
        call(INSERT, "error", memory_type="semantic_memory", content="   "),
        call(INSERT, "error", memory_type="semantic_memory", content=7),
        call(INSERT, "error", memory_type="semantic_memory", content="@owns"),  # a quote that names no line
    )
    [turn] = read(calls).turns
    assert turn.contents == (
        *(("semantic", "a"), ("episodic", "b"), ("core", "c"), ("semantic", "d"), ("core", "e")),
        ("semantic", "@home"),
    )
    verdicts = dict.fromkeys(turn.contents, True)
    # r1 + r2 + gamma r4 = 1/2 + 4/11 + 0.1 * 6/11
    assert rewards(read(calls), Reward(compression=0, validity=0.1), verdicts) == [pytest.approx(0.5 + 4 / 11 + 0.6 / 11)]


def test_a_reply_that_was_cut_off_is_trained_with_what_its_whole_calls_earned() -> None:
    calls = (call(INSERT, effect=put("x"), memory_type="semantic_memory", content="x"), call("?", "error"))
    [turn] = read(calls, unusable={"length": 1}).turns
    assert turn.cut
    assert turn.row == ROW
    assert rewards(read(calls, unusable={"length": 1}), Reward(compression=0)) == [pytest.approx(1.0)]


def test_a_memory_larger_than_the_stream_and_a_stream_without_tokens() -> None:
    # without a call: 1/2 + 0 + 0.05 * (1 - 150/100)
    assert rewards(read((), held=150), Reward()) == [pytest.approx(0.475)]
    one = (call(INSERT, effect=put("x"), memory_type="semantic_memory", content="x"),)
    # 1/2 + 1 + 0.05 * (1 - 150/100)
    assert rewards(read(one, held=150), Reward()) == [pytest.approx(1.475)]
    assert compression(read(one, held=5, stream=0)) == 0.0


def test_the_same_generation_twice_in_one_step_is_one_row() -> None:
    twice = (("memory", Completion(row=ROW)), ("memory", Completion(row=ROW)), ("reader", Completion(row=Row((9,), (9,)))))
    operation = OperationRow(context_id="a", repeat=0, chunk="c00000", chunk_tokens=50, held={"semantic": 1})
    question = QuestionRow(question_id="p", context_id="a", cluster="a", text="?", stream_tokens=10)
    [found] = rollouts([Step("a", 0, None, "c00000", twice)], [operation], {"p": question}, [], "exact_match")
    assert [turn.row for turn in found.turns] == [ROW]
    assert found.accuracy == 0.0


def test_a_stream_that_is_asked_in_between_cannot_be_trained_on() -> None:
    with pytest.raises(ValueError, match="at the end of the stream"):
        rollouts([Step("a", 0, 3, "c00000", ())], [], {}, [], "exact_match")
