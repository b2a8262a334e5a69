"""The mean of a metric over questions, worked by hand."""

from __future__ import annotations

from memeval.records.averages import average, bounds
from memeval.records.rows import QuestionRow, ScoreRow


def question(name: str) -> QuestionRow:
    return QuestionRow(question_id=name, context_id=name, cluster=name, text="?")


def test_repeats_are_averaged_first_and_what_lacks_the_metric_counts_nothing() -> None:
    """0.5 of one question, 1 of the other: 0.75. The third is unanswerable and has no f1."""
    questions = {name: question(name) for name in ("a", "b", "c")}
    values = (("a", 0, {"f1": 1.0}), ("a", 1, {"f1": 0.0}), ("b", 0, {"f1": 1.0}), ("c", 0, {"abstention": 1.0}))
    scores = [ScoreRow(question_id=key, repeat=repeat, metrics=found, verdict="right") for key, repeat, found in values]
    found = average(scores, questions, "f1")
    assert (found.value, found.n, found.clusters) == (0.75, 2, 2)
    assert average(scores, questions, "letter").value is None


def test_what_failed_samples_could_have_changed() -> None:
    """1 + 0 of four samples that have the metric, two of which failed; the unanswerable one has no such metric."""
    values = (("right", {"f1": 1.0}), ("failed", {"f1": 0.0}), ("failed", {"f1": 0.0}), ("wrong", {"f1": 0.0}))
    rows = [*values, ("failed", {"abstention": 0.0})]
    scores = [
        ScoreRow(question_id=str(number), repeat=0, metrics=found, verdict=verdict)
        for number, (verdict, found) in enumerate(rows)
    ]
    assert bounds(scores, "f1") == (0.25, 0.75)
    assert bounds(scores, "letter") is None
    assert bounds(scores[:1], "f1") is None
