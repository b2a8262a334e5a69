"""What a run cost, worked by hand on a folder of two streams."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from memeval.costs import Costs, break_even, costs
from memeval.models.prices import Price
from memeval.records.judgements import JudgeHeader
from memeval.records.rows import OperationRow, QuestionRow, SampleRow, ScoreRow
from memeval.records.summary import Cost

CHEAP = Price(1e-6, 2e-6, 0.1e-6, "litellm")
"""1, 2 and 0.1 USD a million."""
DEAR = Price(10e-6, 40e-6, 10e-6, "memeval.yaml")


def used(prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> dict[str, int]:
    return {"prompt": prompt, "completion": completion, "cached": cached, "reasoning": reasoning}


def operation(
    context: str, chunk: str, size: int, *, position: int | None = None, **roles: dict[str, int]
) -> dict[str, Any]:
    calls = dict.fromkeys(roles, 1)
    return {
        "context_id": context, "repeat": 0, "position": position, "chunk": chunk,
        "chunk_tokens": size, "tokens": roles, "calls": calls,
    }  # fmt: skip


def sample(question: str, context: str, calls: dict[str, int], **roles: Any) -> dict[str, Any]:
    return {**ANSWERED, "question_id": question, "context_id": context, "repeat": 0, "tokens": roles, "calls": calls}


def score(verdict: str) -> dict[str, Any]:
    return {"question_id": "q", "repeat": 0, "verdict": verdict}


ANSWERED = {"answer": "x", "failure": None}
JUDGE = {"scorer": "m", "family": "generic", "prompt_hash": "", "judge": "m"}
ABOUT = {"cluster": "c", "text": "?"}
QUESTIONS = {
    "a1": {**ABOUT, "question_id": "a1", "context_id": "A", "stream_tokens": 3000},
    "a2": {**ABOUT, "question_id": "a2", "context_id": "A", "stream_tokens": 3000},
    "b1": {**ABOUT, "question_id": "b1", "context_id": "B", "stream_tokens": 1000},
}
OPERATIONS = [
    operation("A", "begin", 0, memory=used(100, 0)),
    operation("A", "c0", 2000, memory=used(3000, 500, 1000)),
    operation("A", "c1", 400, position=7, memory=used(1400, 100)),  # a fork reads the beginning of c1 ...
    operation("A", "c1", 1000, memory=used(2000, 200, 1000)),  # ... and the agent all of it
    operation("B", "c0", 1000, memory=used(2000, 200)),
]
RECALLING = {"tokens": {"memory": used(300, 10)}, "calls": {"memory": 1}}
SAMPLES = [
    {
        **sample("a1", "A", {"reader": 1, "memory": 1}, reader=used(1000, 20), memory=used(300, 10)),
        "recalling": RECALLING,
    },
    sample("a2", "A", {"reader": 1}, reader=used(1000, 30)),
    sample("b1", "B", {"reader": 2}, reader=used(2000, 50)),
]
SCORES = [
    score("right"),
    score("right"),
    score("partly"),
]


def worked(**changes: Any) -> dict[str, Any]:
    lines: dict[str, Any] = {
        "questions": QUESTIONS,
        "operations": OPERATIONS,
        "samples": SAMPLES,
        "scores": SCORES,
        "prices": {"memory": CHEAP, "reader": DEAR, "embedder": None},
        **changes,
    }
    kinds = {"questions": dict[str, QuestionRow], "operations": list[OperationRow], "samples": list[SampleRow]}
    kinds |= {"scores": list[ScoreRow], "judged": list[JudgeHeader]}
    typed = {key: msgspec.convert(value, kinds[key]) if key in kinds else value for key, value in lines.items()}
    return flat(costs(**typed))


def flat(found: Costs) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return {**plain, "tokens_by_role": plain["by_role"], "tokens_by_phase": plain["by_phase"]}


def test_tokens_by_role_and_phase() -> None:
    found = worked()
    assert found["calls"] == {"memory": 6, "reader": 4}
    assert found["tokens"] == {"prompt": 12_800, "completion": 1110, "cached": 2000}
    assert found["tokens_by_role"] == {"memory": used(8800, 1010, 2000), "reader": used(4000, 100)}
    assert found["tokens_by_phase"] == {
        "ingest": used(8500, 1000, 2000),
        "recall": used(300, 10),
        "answer": used(4000, 100),
        "judge": used(0, 0),
    }


def test_usd_by_role_and_phase() -> None:
    cost = worked()["cost"]
    # ingest: 6500 fresh at 1 + 2000 cached at 0.1 + 1000 at 2 = 8700 millionths; recall 300 + 20; answer 40,000 + 4000
    assert cost["usd_by_phase"] == pytest.approx({"ingest": 0.0087, "recall": 0.00032, "answer": 0.044, "judge": 0.0})
    assert cost["usd_by_role"] == pytest.approx({"memory": 0.00902, "reader": 0.044})
    assert cost["usd"] == pytest.approx(0.05302)
    assert cost["usd_per_right"] == pytest.approx(0.02651)  # two are right
    assert cost["unpriced"] == ()
    assert cost["prices"] == {
        "memory": {"prompt": 1.0, "completion": 2.0, "cached": 0.1, "source": "litellm"},
        "reader": {"prompt": 10.0, "completion": 40.0, "cached": 10.0, "source": "memeval.yaml"},
    }


def test_per_question_at_1_10_and_100_questions_a_stream() -> None:
    cost = worked()["cost"]
    assert cost["usd_per_stream"] == pytest.approx(0.00435)  # 0.0087 for two streams
    assert cost["usd_per_answer"] == pytest.approx(0.04432 / 3)
    assert cost["usd_per_question"] == pytest.approx(
        {"1": 0.00435 + 0.04432 / 3, "10": 0.000435 + 0.04432 / 3, "100": 0.0000435 + 0.04432 / 3}
    )
    assert cost["tokens_per_stream"] == 4750  # (8500 + 1000) / 2
    assert cost["tokens_per_question"] == pytest.approx({"1": 4750 + 1470, "10": 475 + 1470, "100": 47.5 + 1470})


def test_what_is_read() -> None:
    cost = worked()["cost"]
    assert cost["cached_share"] == pytest.approx(2000 / 8800)  # of the role whose server reports it
    assert cost["read_amplification"] == pytest.approx(12_800 / 4000)
    assert cost["ingest_tokens_per_1k"] == pytest.approx(9500 / 4)  # 4000 tokens of stream were read: c1 of A counts once


def test_an_unknown_price_is_blank_and_never_nothing() -> None:
    cost = worked(prices={"memory": None, "reader": DEAR})["cost"]
    assert cost["unpriced"] == ("memory",)
    assert cost["usd"] is None
    assert cost["usd_per_right"] is None
    assert cost["usd_by_role"] == {"memory": None, "reader": pytest.approx(0.044)}
    assert cost["usd_by_phase"] == {"ingest": None, "recall": None, "answer": pytest.approx(0.044), "judge": 0.0}
    assert cost["usd_per_question"] == {"1": None, "10": None, "100": None}
    assert cost["tokens_per_question"]["1"] == pytest.approx(6220)
    assert list(cost["prices"]) == ["reader"]


def test_the_judge_is_counted_apart() -> None:
    judged = [
        {
            "scorer": "m",
            "family": "generic",
            "prompt_hash": "",
            "judge": "m",
            "calls": 3,
            "requests": 3,
            "tokens": used(3000, 60),
        }
    ]
    found = worked(judged=judged, prices={"memory": CHEAP, "reader": DEAR, "judge": CHEAP})
    assert found["tokens_by_phase"]["judge"] == used(3000, 60)
    assert found["calls"]["judge"] == 3
    cost = found["cost"]
    assert cost["usd_by_phase"]["judge"] == pytest.approx(0.00312)
    assert cost["usd"] == pytest.approx(0.05302 + 0.00312)
    before = worked()["cost"]  # measuring costs, but it is not what an answer costs
    for key in ("usd_per_right", "usd_per_question", "read_amplification"):
        assert cost[key] == before[key], key


def test_judges_add_up_each_at_its_own_price() -> None:
    facts = {"family": "generic", "prompt_hash": "", "requests": 3, "tokens": used(1000, 0), "calls": 3}
    judged = [{**facts, "scorer": "judge-a", "judge": "a"}, {**facts, "scorer": "judge-b", "judge": "b"}]
    found = worked(judged=judged, prices={"memory": CHEAP, "reader": DEAR, "judge-a": CHEAP, "judge-b": DEAR})
    assert found["calls"]["judge"] == 6
    assert found["tokens_by_phase"]["judge"] == used(2000, 0)
    alone = [
        worked(judged=[one], prices={"memory": CHEAP, "reader": DEAR, "judge": price})["cost"]["usd_by_phase"]["judge"]
        for one, price in zip(judged, (CHEAP, DEAR), strict=True)
    ]
    assert found["cost"]["usd_by_phase"]["judge"] == pytest.approx(sum(alone))
    assert alone[1] > alone[0] > 0


def test_long_prompts_are_told_by_the_mean_of_a_line() -> None:
    stepped = Price(1e-6, 0.0, 1e-6, "litellm", ((1500, Price(2e-6, 0.0, 2e-6, "litellm")),))
    lines = [
        sample("a1", "A", {"reader": 1}, reader=used(1600, 0)),
        sample("a2", "A", {"reader": 2}, reader=used(2000, 0)),
    ]
    cost = worked(samples=lines, operations=[], prices={"reader": stepped})["cost"]
    assert cost["usd"] == pytest.approx(0.0032 + 0.002)


def test_a_stream_read_for_one_question_is_paid_for_each_time() -> None:
    cost = worked(samples=[{**line, "query_used": True} for line in SAMPLES])["cost"]
    assert cost["usd_per_question"]["1"] == cost["usd_per_question"]["100"]
    offered = worked(samples=[{**line, "query_used": False} for line in SAMPLES])["cost"]
    assert offered["usd_per_question"]["1"] > offered["usd_per_question"]["100"]


def test_controls_that_call_nothing_cost_nothing() -> None:
    lines = [sample("a1", "A", {}), {**sample("a2", "A", {}), "not_applicable": "no evidence"}]
    found = worked(
        samples=lines,
        operations=[],
        scores=[score("wrong"), score("n/a")],
    )
    assert found["calls"] == {}
    cost = found["cost"]
    assert (cost["usd"], cost["usd_per_answer"], cost["read_amplification"]) == (0.0, 0.0, 0.0)
    assert (cost["usd_per_right"], cost["ingest_tokens_per_1k"], cost["cached_share"]) == (None, None, None)


def test_nothing_yet() -> None:
    cost = flat(costs(questions={}, samples=[], operations=[], scores=[], prices={}))["cost"]
    assert cost["usd"] == 0.0
    assert cost["usd_per_question"] == {"1": None, "10": None, "100": None}
    assert cost["read_amplification"] is None


def test_the_order_of_the_lines_changes_no_digit() -> None:
    """A run that was killed and resumed has its lines in another order."""
    rng = random.Random(1)
    lines = [
        sample(f"q{n}", "A", {"reader": 1}, reader=used(rng.randrange(10**6), rng.randrange(1000), n)) for n in range(200)
    ]
    first = worked(samples=lines)
    rng.shuffle(lines)
    assert worked(samples=lines) == first


def rates(usd: tuple[float | None, float | None], tokens: tuple[float, float] = (0.0, 0.0)) -> Cost:
    return Cost(
        usd_per_stream=usd[0], usd_per_answer=usd[1], tokens_per_stream=tokens[0], tokens_per_answer=tokens[1]
    )  # fmt: skip


def test_break_even() -> None:
    long_context = rates((0.0, 0.30))
    assert break_even(rates((2.0, 0.10)), long_context) == pytest.approx(10)  # 2 / 10 + 0.1 = 0.3
    assert break_even(rates((0.0, 0.10)), long_context) == 0.0
    assert break_even(rates((2.0, 0.30)), long_context) is None
    assert break_even(rates((2.0, 0.50)), long_context) is None
    assert break_even(long_context, rates((0.1, 0.30))) == 0.0
    assert break_even(rates((None, 0.1), (8000, 500)), rates((0.0, None), (0, 2500))) == pytest.approx(4)  # in tokens
