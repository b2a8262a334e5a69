"""Verdicts: right, partly, wrong with a reason, failed; and what each counts."""

from __future__ import annotations

from typing import Any

import pytest

from memeval.runs.score import question_of, score_sample

METRICS = ("exact_match", "f1", "substring_two_way", "evidence_all", "abstention")


def sample(answer: str | None, **changes: Any) -> dict[str, Any]:
    recall = [{"text": "x", "chunks": ["c00001"], "score": None, "tokens": 3}]
    return {"answer": answer, "failure": None, "finish_reason": "stop", "recall": recall, **changes}


def question(**changes: Any) -> dict[str, Any]:
    evidence = [{"text": "Ann lives in Arlen.", "units": [4], "chunks": ["c00001"]}]
    return {
        **{"question_id": "q", "text": "Where?", "answers": ["Arlen Hill"], "kind": "one", "time": None, "options": None},
        **{"position": None, "answerable": True, "evidence": evidence},
        **changes,
    }


def scored(answer: str | None, asked: dict[str, Any] | None = None, native: bool = False, **changes: Any) -> dict[str, Any]:
    return score_sample(sample(answer, **changes), asked or question(), METRICS, "f1", native)


@pytest.mark.parametrize(
    ("answer", "verdict", "f1"), [("Arlen Hill", "right", 1.0), ("Arlen", "partly", 2 / 3), ("Castro", "wrong", 0.0)]
)
def test_replies(answer: str, verdict: str, f1: float) -> None:
    result = scored(answer)
    assert (result["verdict"], result["reason"]) == (verdict, None)
    assert result["metrics"]["f1"] == pytest.approx(f1)
    assert result["metrics"]["evidence_all"] == 1.0


@pytest.mark.parametrize("finish", ["length", "unclosed_think", "overflow", "content_filter"])
def test_an_unusable_reply_is_wrong_with_a_reason_in_every_metric(finish: str) -> None:
    result = scored("Arlen Hill", finish_reason=finish)
    assert result["verdict"] == "wrong"
    assert result["reason"]
    # the published two-way rule gives an empty prediction 1: an unusable reply must not profit from that
    assert {name: value for name, value in result["metrics"].items() if value} == {"evidence_all": 1.0}
    assert scored("", finish_reason=finish)["metrics"]["substring_two_way"] == 0.0
    assert scored("", finish_reason=finish)["metrics"]["abstention"] == 0.0


def test_a_failure_counts_nothing_and_is_not_wrong() -> None:
    result = scored(None, failure="reader: no reply within 600 s")
    assert (result["verdict"], result["reason"]) == ("failed", "reader: no reply within 600 s")
    assert result["metrics"]["f1"] == 0.0
    assert result["metrics"]["abstention"] == 0.0


def test_declining_is_right_only_where_it_is_due() -> None:
    open_question = question(answers=[], answerable=False, evidence=[])
    assert scored("I don't know.", open_question)["verdict"] == "right"
    assert scored("Arlen", open_question)["verdict"] == "wrong"
    assert scored("I don't know.")["verdict"] == "wrong"
    assert "f1" not in scored("I don't know.", open_question)["metrics"]  # the headline leaves it out


def test_recall_of_agents_that_answer_themselves() -> None:
    assert "evidence_all" not in scored("Arlen", native=True, recall=[])["metrics"]
    assert scored("Arlen", recall=[])["metrics"]["evidence_all"] == 0.0


def test_a_control_without_a_result() -> None:
    result = scored(None, not_applicable="the data have no gold evidence for this question")
    assert (result["verdict"], result["metrics"]) == ("n/a", {})


def test_the_question_comes_back_from_its_line() -> None:
    asked = question_of(question(options=["(a) x", "(b) y"], position=4, time="2040-01-01"))
    assert (asked.options, asked.position, asked.evidence[0].units) == (("(a) x", "(b) y"), 4, (4,))
