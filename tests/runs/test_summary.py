"""The numbers of a summary, from rows made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from memeval.records.averages import MetricAverage
from memeval.records.folder import RunFolder, RunWriter
from memeval.records.manifest import Manifest, Typed
from memeval.records.rows import (
    CallFacts,
    InvocationRow,
    OperationRow,
    QuestionRow,
    SampleRow,
    ScoreRow,
    ToolRow,
    Usage,
)
from memeval.records.summary import JudgeCost, JudgeSummary, Rebuilt, RepeatValue, Sizes, Summary
from memeval.runs.summary import as_recorded, summarise, with_judge


def question(name: str, **rest: Any) -> QuestionRow:
    return QuestionRow(**{"question_id": name, "context_id": "c", "cluster": name, "text": "?", "kind": "one-hop", **rest})


def sample(name: str, **rest: Any) -> SampleRow:
    return SampleRow(**{"question_id": name, "context_id": "c", "repeat": 0, "answer": "x", "failure": None, **rest})


def score(name: str, value: float, verdict: str = "right", **rest: Any) -> ScoreRow:
    return ScoreRow(**{"question_id": name, "repeat": 0, "metrics": {"f1": value}, "verdict": verdict, **rest})


def step(chunk: int, **rest: Any) -> OperationRow:
    return OperationRow(context_id="c", chunk=f"c{chunk:05}", units=(chunk, chunk), **{"repeat": 0, **rest})


def summary(
    questions: Sequence[QuestionRow] = (),
    samples: Sequence[SampleRow] = (),
    scores: Sequence[ScoreRow] = (),
    operations: Sequence[OperationRow] = (),
    asked: int = 0,
    complete: bool = True,
) -> Summary:
    return summarise(
        questions={row.question_id: row for row in questions},
        samples=samples,
        scores=scores,
        operations=operations,
        headline="f1",
        tokenizer="o200k_base",
        asked=asked,
        complete=complete,
        prices={},
    )


QUESTIONS = [question(name) for name in "abc"]
SAMPLES = [sample(name) for name in "abc"]


def test_a_run_is_whole_when_all_that_it_was_to_ask_is_answered() -> None:
    assert summary(QUESTIONS, SAMPLES, asked=3).status == "complete"
    assert summary(QUESTIONS, SAMPLES, asked=4).status == "partial"
    assert summary(QUESTIONS, SAMPLES, asked=3, complete=False).status == "partial"


def test_where_every_sample_failed_there_is_no_score_and_where_one_did_there_is() -> None:
    lost = [score(name, 0.0, "failed") for name in "ab"]
    assert summary(QUESTIONS, SAMPLES, [*lost, score("c", 0.0, "failed")]).headline.value is None
    assert summary(QUESTIONS, SAMPLES, [*lost, score("c", 0.9)]).headline.value == pytest.approx(0.3)


def test_unanswerable_questions_are_a_kind_whose_score_is_the_share_that_was_declined() -> None:
    questions = [question("a"), question("b", kind="two-hop"), question("c", kind="two-hop", answerable=False)]
    metrics: list[dict[str, float]] = [{"f1": 1.0, "abstention": 0.0}, {"f1": 0.0, "abstention": 1.0}, {"abstention": 1.0}]
    scores = [replace(score(name, 0.0), metrics=found) for name, found in zip("abc", metrics, strict=True)]
    found = summary(questions, SAMPLES, scores)
    kinds = {kind: (row.metric, row.value, row.n) for kind, row in found.kinds.items()}
    assert kinds == {"one-hop": ("f1", 1.0, 1), "two-hop": ("f1", 0.0, 1), "unanswerable": ("abstention", 1.0, 1)}
    assert found.headline.value == 0.5
    assert found.abstention is not None  # two were declined, one of them rightly
    assert (found.abstention.precision, found.abstention.recall) == (0.5, 1.0)


def test_repeats_stand_beside_the_headline_where_there_are_several() -> None:
    scores = [score("a", 1.0), score("b", 0.0)]
    assert summary(QUESTIONS, SAMPLES, scores).repeats == ()
    again = [score("a", 1.0, repeat=1), score("b", 1.0, repeat=1)]
    assert summary(QUESTIONS, SAMPLES, [*again, *scores]).repeats == (RepeatValue(0, 0, 0.5), RepeatValue(1, 0, 1.0))


def test_sizes_are_of_samples_with_an_answer_and_a_memory_is_as_large_as_at_its_last_question() -> None:
    samples = [
        sample("a", position=9, memory_tokens=30, recall_tokens=10),
        sample("b", position=4, memory_tokens=50, recall_tokens=20),
        sample("c", position=2, memory_tokens=0, recall_tokens=0, failure="no reply", answer=None),
    ]
    found = summary(QUESTIONS, samples, operations=[step(0)])
    assert found.recall_tokens == Sizes(15.0, 20)
    assert found.memory_tokens == Sizes(30.0, 30)
    at_the_end = summary(QUESTIONS, [*samples, sample("a", memory_tokens=20), sample("a", repeat=1, memory_tokens=40)])
    assert at_the_end.memory_tokens == Sizes(30.0, 40)


def test_a_memory_that_held_nothing_is_counted_where_something_was_read_and_answered() -> None:
    samples = [sample("a", memory_tokens=0), sample("b", memory_tokens=3), sample("c", memory_tokens=0, failure="no reply")]
    assert summary(QUESTIONS, samples, operations=[step(0)]).empty_memory == 1
    assert summary(QUESTIONS, samples).empty_memory == 0  # a control reads nothing


def test_chunks_are_shown_once_to_a_context_with_a_forks_own_at_each_position() -> None:
    """Whole stream: 5. At position 3: 2 chunks of it, and 1 of its own; two questions there."""
    early = {"position": 3, "prefix_chunks": 3, "own_chunks": 1}
    questions = [question("a", prefix_chunks=5), question("b", **early), question("c", **early)]
    for order in (questions, questions[::-1]):
        chunks = summary(order, SAMPLES).chunks
        assert (chunks.shown, chunks.without_sharing) == (5 + 1, 5 + 3 + 3)


def test_what_came_of_the_operations_of_reading() -> None:
    done = [ToolRow(name="put", status="ok", message="stored"), ToolRow(name="put", status="error", message="no such id")]
    steps = [
        step(0, calls={"memory": 1}, results=tuple(done)),
        step(1, calls={"memory": 2}, unusable={"length": 1, "overflow": 1}, reply="..."),
        step(2, calls={"memory": 1}, facts=CallFacts(offered=1, uncalled=1), reply="I will not."),
        step(3),
    ]
    found = summary(operations=steps).operations
    assert found.counts == {"ok": 1, "error": 1, "cut": 1, "no call": 1}
    assert found.reasons == {"error": {"no such id": 1}}
    assert (found.chunks, found.unstored, found.reply) == (3, 2, "...")


def test_whole_replies_of_an_agent_that_writes_calls_as_text_are_without_a_call_where_no_result_came_of_them() -> None:
    with_result = step(0, calls={"memory": 1}, results=(ToolRow(name="put", status="ok"),))
    without = step(1, calls={"memory": 3}, unusable={"length": 1})
    assert summary(operations=[with_result, without]).operations.counts == {"ok": 1, "cut": 1, "no call": 2}
    assert summary(operations=[without]).operations.counts == {}  # of an agent that has no operations


def test_what_reading_costs_an_agent_that_is_built_anew_for_each_position() -> None:
    """Two chunks by the agent itself; for the question at position 1 both are read again, of which one is the fork's own."""
    questions = [question("a", prefix_chunks=2), question("b", position=1, prefix_chunks=2, own_chunks=1)]
    again = [step(number, position=1, rebuilt="it holds a socket") for number in (0, 1)]
    steps = [step(0), step(1)]
    assert summary(questions, operations=[*steps, *again]).rebuilt == Rebuilt(("it holds a socket",), 4 / 3)
    assert summary(questions, operations=steps).rebuilt is None


def test_what_the_manifest_and_the_events_say(tmp_path: Path) -> None:
    manifest = Manifest(
        format=1,
        hash="",
        memory="../memories/m",
        typed=Typed(agent="memalpha", task="t@small"),
        agent="memalpha",
        models={"reader": "r", "embedder": "e"},
        identity={"agent": {"params": {"k": 3}}, "task": {"answer_budget": 60}, "answer_budget": 12},
    )
    with RunWriter(RunFolder(tmp_path / "run")) as writer:  # the first one was killed: its last row counts
        for name, seconds, differing in (("1", 1.0, 0), ("1", 2.0, 1), ("2", 5.0, 0)):
            writer.append(InvocationRow(id=name, seconds=seconds, build_seconds=0.5, differing=differing, adapted=("x",)))
    found = as_recorded(summary(QUESTIONS, SAMPLES), RunFolder(tmp_path / "run"), manifest)
    assert (found.seconds, found.build_seconds, found.differing, found.adapted) == (7.0, 1.0, 1, ("x",))
    assert (found.agent, found.task, found.params, found.answer_budget) == ("memalpha", "t@small", {"k": 3}, 12)
    assert (found.model, found.reader, found.embedder) == ("r", "r", None)  # nothing was embedded
    assert found.memory == str(tmp_path / "memories" / "m")
    embedded = summary(QUESTIONS, [sample("a", calls={"embedder": 1}, tokens={"embedder": Usage(5)})])
    assert as_recorded(embedded, RunFolder(tmp_path / "run"), manifest).embedder == "e"


@pytest.mark.parametrize("family", ["", "longmemeval"])
@pytest.mark.parametrize(("ran", "said"), [("complete", "invalid"), ("partial", "partial")])
def test_a_judges_score_is_the_headline_of_a_task_that_is_made_to_be_judged(family: str, ran: Any, said: str) -> None:
    facts = {"scorer": "judge-m", "judge": "m", "family": "longmemeval", "prompt_hash": "1"}
    kinds = {"one-hop": MetricAverage(metric="judge", value=0.25, n=4)}
    cost = JudgeCost(4, 4, Usage())
    judged = JudgeSummary(**facts, status="invalid", value=0.25, n=4, cost=cost, kinds=dict(kinds))
    before = replace(summary(QUESTIONS, SAMPLES, [score(name, 1.0) for name in "abc"]), status=ran, judge_family=family)
    found = with_judge(before, judged, None)
    assert (found.headline.metric, found.headline.value) == (("judge", 0.25) if family else ("f1", 1.0))
    assert found.metrics["judge"].value == 0.25
    assert found.status == said
    assert {kind: row.metric for kind, row in found.kinds.items()} == {"one-hop": "judge" if family else "f1"}
