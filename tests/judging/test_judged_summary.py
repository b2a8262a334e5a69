"""What the table shows: the judged score, its parts, and its correction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from handmade import question, rules, sample, write_run

from memeval.errors import UsageError
from memeval.judging.calibrate import calibration_file
from memeval.judging.judged_run import judge_folder
from memeval.judging.scorer import judge_spec, scorer_name
from memeval.judging.summary import judged_summary
from memeval.models.calls import CallSettings
from memeval.models.completion import ModelSpec
from memeval.records.folder import RunFolder
from memeval.stats import interval


def judged(tmp_path: Path, questions: list[Any], samples: list[Any], **facts: Any) -> tuple[Path, str]:
    judge = rules(tmp_path / "judge.jsonl", ("<answer>\ngood", "VERDICT: RIGHT"), ("<answer>\nbad", "VERDICT: WRONG"))
    folder = write_run(tmp_path / "run", questions, samples, **facts)
    return folder, judge_folder(folder, judge_spec(judge), settings=CallSettings(use_cache=False))


def test_answerable_questions_make_the_value(tmp_path: Path) -> None:
    questions = [
        *(question("a", kind="one"), question("b", kind="two"), question("c", kind="two")),
        question("d", kind="two", answerable=False),
    ]
    samples = [
        *(sample("a", "good"), sample("a", "bad", repeat=1)),  # averaged first: one half
        *(sample("b", "good"), sample("c", "bad"), sample("d", "good")),
    ]
    summary = judged_summary(*judged(tmp_path, questions, samples))
    expected = interval([0.5, 1.0, 0.0], ["a", "b", "c"])
    assert (summary.value, summary.low, summary.high) == (expected.value, expected.low, expected.high)
    assert (summary.n, summary.samples, summary.failed, summary.status) == (3, 5, 0, "complete")
    assert {kind: (row.value, row.n) for kind, row in summary.kinds.items()} == {
        "one": (0.5, 1),
        "two": (0.5, 2),
        "unanswerable": (1.0, 1),
    }
    assert (summary.overall.value, summary.overall.n) == (0.625, 4)
    assert summary.verdicts == {"right": 3, "wrong": 2}
    assert summary.failure_bounds is None


def test_clusters_of_the_task_make_the_interval(tmp_path: Path) -> None:
    names = [f"q{number}" for number in range(40)]
    questions = [question(name, cluster=f"conversation {number % 10}") for number, name in enumerate(names)]
    samples = [sample(name, "good" if number % 10 < 5 else "bad") for number, name in enumerate(names)]
    summary = judged_summary(*judged(tmp_path, questions, samples))
    assert (summary.value, summary.clusters) == (0.5, 10)
    assert summary.high - summary.low > 0.5  # all of a conversation or nothing: ten answers, not forty


def test_failures_count_nothing_and_are_bounded(tmp_path: Path) -> None:
    questions = [question(name) for name in "abcdefgh"]
    samples = [sample(name, "good") for name in "abcde"]
    samples += [sample("f", "what?"), sample("g", "what?"), sample("h", None, failure="reader: HTTP 500")]
    folder, scorer = judged(tmp_path, questions, samples)
    summary = judged_summary(folder, scorer)
    assert (summary.value, summary.failed, summary.status) == (0.625, 3, "invalid")
    assert summary.failure_bounds == (0.625, 1.0)
    assert sum(summary.reasons.values()) == 3
    assert judged_summary(folder, scorer, ["a", "b", "f"]).status == "complete"
    assert judged_summary(folder, scorer, ["a", "b", "f"]).n == 3


def test_a_partial_run_stays_partial(tmp_path: Path) -> None:
    folder, scorer = judged(tmp_path, [question("a")], [sample("a", "good")])
    (folder / "summary.json").write_text('{"status": "partial", "n": 1, "failed": 0, "headline": {"metric": "f1"}}')
    assert judged_summary(folder, scorer).status == "partial"


def test_nothing_answerable(tmp_path: Path) -> None:
    summary = judged_summary(*judged(tmp_path, [question("a", answerable=False)], [sample("a", "good")]))
    assert (summary.value, summary.n, summary.overall.value) == (None, 0, 1.0)
    assert summary.uncorrected == "no answerable question was judged"


# -- correction -------------------------------------------------------------------------------------------------------


def calibrated(scorer: str, accept: float | None, reject: float | None) -> None:
    rates = {
        name: None if value is None else {"value": value, "low": value, "high": value, "n": 40}
        for name, value in (("false_accepts", accept), ("false_rejects", reject))
    }
    errors = {"n": 80, "share": 0.5, "agreement": None, "kappa": None}
    path = calibration_file(scorer)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"source": "mine.jsonl", "sha256": "x", "items": 80, "failed": 0, "answerable": {**errors, **rates}})
    )


@pytest.fixture
def scorer(tmp_path: Path) -> str:
    return scorer_name(ModelSpec(f"scripted:{tmp_path / 'judge.jsonl'}"), "generic")


QUESTIONS = [question(name) for name in "abcdefghij"]


def test_the_correction_reaches_only_what_the_judge_saw(tmp_path: Path, scorer: str) -> None:
    """Ten questions: six called right, two called wrong, two cut off and wrong without a judge. With a = 0.1 and r = 0.2 the
    judged eight hold (6/10 - 0.8 * 0.1) / 0.7 = 0.742857 of the ten."""
    calibrated(scorer, 0.1, 0.2)
    samples = [sample(name, "good" if name < "g" else "bad") for name in "abcdefgh"]
    samples += [sample(name, "good", finish_reason="length") for name in "ij"]
    summary = judged_summary(*judged(tmp_path, QUESTIONS, samples))
    assert summary.value == 0.6
    assert summary.corrected.value == pytest.approx(0.52 / 0.7)
    assert summary.corrected.low == pytest.approx((summary.low - 0.08) / 0.7)
    assert summary.corrected.high == 1.0
    assert summary.uncorrected is None
    assert summary.calibration.source == "mine.jsonl"


@pytest.mark.parametrize(
    ("rates", "reason"),
    [
        (None, "no calibration of this judge"),
        ((None, 0.1), "lacks right or wrong answers"),
        ((0.6, 0.4), "no better than chance"),
        ((0.1, 0.4), "does not fit this run"),
    ],
)
def test_why_there_is_no_correction(tmp_path: Path, scorer: str, rates: Any, reason: str) -> None:
    if rates:
        calibrated(scorer, *rates)
    summary = judged_summary(*judged(tmp_path, QUESTIONS, [sample(name, "good") for name in "abcdefghij"]))
    assert summary.corrected is None
    assert reason in summary.uncorrected


@pytest.mark.parametrize("text", ["", "[]", '{"source": 1}', '{"answerable": {"false_accepts": {"value": 1}}}'])
def test_a_foreign_calibration_file_is_none(tmp_path: Path, scorer: str, text: str) -> None:
    calibrated(scorer, 0.1, 0.1)
    calibration_file(scorer).write_text(text)
    assert judged_summary(*judged(tmp_path, QUESTIONS, [sample("a", "good")])).calibration is None


def test_a_judge_that_has_not_scored_the_run(tmp_path: Path) -> None:
    folder, scorer = judged(tmp_path, [question("a")], [sample("a", "good")])
    assert RunFolder(folder).judges() == [scorer]
    with pytest.raises(UsageError, match=f"did you mean '{scorer}'"):
        judged_summary(folder, scorer[:-1])
    with pytest.raises(UsageError, match="memeval score RUN --judge NAME"):
        judged_summary(write_run(tmp_path / "other", [], []), scorer)
