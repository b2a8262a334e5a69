"""Verdicts: right, partly, wrong with a reason, failed; and what each counts."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from memeval import plugins
from memeval.metrics.rules import Rules
from memeval.records.rows import EvidenceRow, QuestionRow, RecallRow, SampleRow
from memeval.runs.score import score_sample

METRICS = ("exact_match", "f1", "substring_two_way", "evidence_all", "abstention")
Scored = tuple[dict[str, float], str, str | None]


def question(**changes: Any) -> QuestionRow:
    evidence = (EvidenceRow(text="Ann lives in Arlen.", units=(4,), chunks=("c00001",)),)
    facts = {"question_id": "q", "context_id": "c", "cluster": "c", "text": "Where?", "answers": ("Arlen Hill",)}
    return QuestionRow(**{**facts, "evidence": evidence, **changes})


def scored(answer: str | None, asked: QuestionRow | None = None, native: bool = False, **changes: Any) -> Scored:
    recall = (RecallRow(text="x", chunks=("c00001",), tokens=3),)
    facts = {"question_id": "q", "context_id": "c", "repeat": 0, "failure": None, "finish_reason": "stop", "recall": recall}
    sample = SampleRow(**{**facts, "answer": answer, **changes})
    return score_sample(sample, asked or question(), {"x": "Ann's home is in Arlen."}, Rules(METRICS, "f1", native))


@pytest.mark.parametrize(
    ("answer", "expected", "f1"), [("Arlen Hill", "right", 1.0), ("Arlen", "partly", 2 / 3), ("Castro", "wrong", 0.0)]
)
def test_replies(answer: str, expected: str, f1: float) -> None:
    metrics, verdict, reason = scored(answer)
    assert (verdict, reason) == (expected, None)
    assert metrics["f1"] == pytest.approx(f1)
    assert metrics["evidence_all"] == 1.0


@pytest.mark.parametrize("finish", ["length", "unclosed_think", "overflow", "content_filter"])
def test_an_unusable_reply_is_wrong_with_a_reason_in_every_metric(finish: str) -> None:
    metrics, verdict, reason = scored("Arlen Hill", finish_reason=finish)
    assert verdict == "wrong"
    assert reason
    # the published two-way rule gives an empty prediction 1: an unusable reply must not profit from that
    assert {name: value for name, value in metrics.items() if value} == {"evidence_all": 1.0, "evidence_recall": 1.0}
    assert scored("", finish_reason=finish)[0]["substring_two_way"] == 0.0
    assert scored("", finish_reason=finish)[0]["abstention"] == 0.0


def test_a_failure_counts_nothing_and_is_not_wrong() -> None:
    metrics, verdict, reason = scored(None, failure="reader: no reply within 600 s")
    assert (verdict, reason) == ("failed", "reader: no reply within 600 s")
    assert (metrics["f1"], metrics["abstention"]) == (0.0, 0.0)


def test_declining_is_right_only_where_it_is_due() -> None:
    open_question = question(answers=(), answerable=False, evidence=())
    assert scored("I don't know.", open_question)[1] == "right"
    assert scored("Arlen", open_question)[1] == "wrong"
    assert scored("I don't know.")[1] == "wrong"
    assert "f1" not in scored("I don't know.", open_question)[0]  # the headline leaves it out


def test_recall_of_agents_that_answer_themselves() -> None:
    assert "evidence_all" not in scored("Arlen", native=True, recall=())[0]
    assert scored("Arlen", recall=())[0]["evidence_all"] == 0.0


def test_recalled_chunks_without_the_evidence_in_their_text_count_for_nothing() -> None:
    everything = (RecallRow(text="useless", chunks=("c00001", "c00002", "c00003", "c00004"), tokens=2),)
    assert scored("Arlen Hill", recall=everything)[0]["evidence_all"] == 0.0


def test_a_control_without_a_result() -> None:
    metrics, verdict, _ = scored(None, not_applicable="the data have no gold evidence for this question")
    assert (verdict, metrics) == ("n/a", {})


def test_the_question_comes_back_from_its_row() -> None:
    asked = question(options=("(a) x", "(b) y"), position=4, time="2040-01-01").question()
    assert (asked.options, asked.position, asked.evidence[0].units) == (("(a) x", "(b) y"), 4, (4,))


def test_a_reply_that_was_cut_off_is_wrong_unless_the_card_scores_it() -> None:
    sample = SampleRow(question_id="q", context_id="c", repeat=0, failure=None, finish_reason="length", answer="Arlen Hill")
    found = {}
    for cut_off in ("wrong", "scored"):
        metrics, verdict, reason = score_sample(sample, question(), {}, Rules(("f1",), "f1", cut_off=cut_off))
        found[cut_off] = (metrics["f1"], verdict, bool(reason))
    assert found == {"wrong": (0.0, "wrong", True), "scored": (1.0, "right", False)}
    unclosed = replace(sample, finish_reason="unclosed_think")  # there is no answer in it
    assert score_sample(unclosed, question(), {}, Rules(("f1",), "f1", cut_off="scored"))[1] == "wrong"


def test_published_scripts_score_what_was_cut_off() -> None:
    names = ("2wiki-10k@memocr", "2wiki-10k@memagent", "2wiki-10k@memalpha", "memalpha-booksum", "mab-eventqa_full")
    assert {plugins.find_task(name).cut_off for name in names} == {"scored"}
    assert {plugins.find_task(name).cut_off for name in ("2wiki-10k", "personamem-32k", "locomo")} == {"wrong"}
    assert "cut off" in " ".join(plugins.find_task("personamem-32k").deviations)
