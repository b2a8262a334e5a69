"""Several runs answer from one memory and one recall: the same samples as one run after the other, for one reading."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import msgspec
from toys import Diary, context, simple

from memeval import Recall
from memeval.models.bound import close_route, open_route
from memeval.models.completion import Completion, Request
from memeval.records.folder import Key
from memeval.records.rows import OperationRow, SampleRow
from memeval.runs.engine import Engine
from memeval.runs.prepare import prepare
from memeval.runs.reader import AnswerStage
from memeval.task import Question

UNITS = [f"Sentence number {n} of a stream that is long enough to make chunks." for n in range(8)]


def grouped(
    toy: Any,
    tmp_path: Path,
    agent: type,
    stages: list[dict[str, Any]],
    contexts: Any,
    done: tuple[frozenset[Key], ...] = (),
) -> tuple[list[list[SampleRow]], list[OperationRow]]:
    """The samples of each stage, and the operations of the memory."""
    base = toy.planned(agent, contexts)
    samples: list[list[SampleRow]] = [[] for _ in stages]
    operations: list[OperationRow] = []

    async def call(request: Request) -> Completion:
        return Completion(f"{request.sample} {len(str(request.messages))}")

    async def go() -> None:
        routes = {role: open_route(call, asyncio.get_running_loop()) for role in ("memory", "reader")}

        def keeper(rows: list[SampleRow]) -> Any:
            return lambda row: rows.append(row) if isinstance(row, SampleRow) else None

        engine = Engine(
            [
                AnswerStage(
                    dataclasses.replace(base.spec, **changes), routes, keeper(rows), done[n] if done else frozenset()
                )
                for n, (changes, rows) in enumerate(zip(stages, samples, strict=True))
            ],
            lambda row: operations.append(row) if isinstance(row, OperationRow) else None,
            tmp_path / "scratch",
            constant="x",
        )
        for ref in base.task.refs(base.task.order):
            await engine.run(prepare(base.task.context(ref), ref, 32, lambda text: len(text.split())), 0)
        for route in routes.values():
            close_route(route)

    asyncio.run(go())
    return [sorted(rows, key=lambda row: row.key) for rows in samples], operations


class Counting(Diary):
    recalls: list[str] = []  # noqa: RUF012

    def recall(self, query: Any) -> Recall:
        self.recalls.append(query.text)
        self.session.models["memory"].generate_sync([{"role": "user", "content": query.text}])
        return super().recall(query)


QUESTIONS = [Question(f"q{n}", f"What {n}?", ("x",), position=end) for n, end in enumerate((2, 5, None, None))]
STAGES: list[dict[str, Any]] = [
    {"answer_budget": 1024},
    {"answer_budget": 10, "answer_repeats": 3},
    {"prompts": {"reader": "Answer."}},
]


def plain(rows: list[SampleRow]) -> list[Any]:
    return [msgspec.to_builtins(row) for row in rows]


def test_all_budgets_come_from_one_recall_and_equal_runs_alone(toy: Any, tmp_path: Path) -> None:
    Counting.recalls.clear()
    together, operations = grouped(toy, tmp_path, Counting, STAGES, [context("c", UNITS, QUESTIONS)])
    assert sorted(Counting.recalls) == [f"What {n}?" for n in range(4)]
    assert [len(rows) for rows in together] == [4, 12, 4]
    for stage, rows in zip(STAGES, together, strict=True):
        ((alone,), reading) = grouped(toy, tmp_path, Counting, [stage], [context("c", UNITS, QUESTIONS)])
        assert plain(rows) == plain(alone)
        assert [row.key for row in reading] == [row.key for row in operations]
    assert max(row.recall_tokens for row in together[1]) <= 10 < min(row.recall_tokens for row in together[0])


def test_native_agents_answer_each_stage_from_what_its_budget_leaves(toy: Any, tmp_path: Path) -> None:
    class Native(Counting):
        track = "native"

        def answer(self, query: Any, recall: Recall) -> str:
            return str(len(recall.items))

    (wide, narrow), _ = grouped(toy, tmp_path, Native, [{}, {"answer_budget": 10}], [context("c", UNITS, QUESTIONS[2:])])
    assert [row.answer for row in wide] == [str(len(row.recall)) for row in wide]
    assert {row.answer for row in narrow} == {"1"}


def test_a_stage_that_is_finished_is_left_alone(toy: Any, tmp_path: Path) -> None:
    finished = frozenset((f"q{n}", 0, 0) for n in range(4))
    Counting.recalls.clear()
    (first, second), _ = grouped(
        toy, tmp_path, Counting, [{}, {}], [context("c", UNITS, QUESTIONS)], (finished, frozenset({("q0", 0, 0)}))
    )
    assert (first, [row.question_id for row in second]) == ([], ["q1", "q2", "q3"])
    assert sorted(Counting.recalls) == ["What 1?", "What 2?", "What 3?"]


def test_an_agent_that_raises_fails_the_samples_of_every_stage(toy: Any, tmp_path: Path) -> None:
    class Broken(Diary):
        def observe(self, chunk: Any) -> None:
            raise KeyError("lost it")

    for rows in grouped(toy, tmp_path, Broken, [{}, {"answer_repeats": 2}], [simple(0)])[0]:
        assert rows
        assert all(row.failure is not None and "KeyError('lost it')" in row.failure for row in rows)


def test_controls_answer_every_stage(toy: Any, tmp_path: Path) -> None:
    samples, operations = grouped(toy, tmp_path, "oracle", STAGES[:2], [simple(0)])  # type: ignore[arg-type]
    assert ([len(rows) for rows in samples], operations) == ([1, 3], [])
