"""The rules of Mem-alpha's scripts. Expected values were worked out from wangyu-ustc/Mem-alpha at 9c0e1f6 by hand:
evaluate_agent_results.py and long_context_eval.py (`_compute_score`), memalpha/llm_agent/metrics.py (`parse_output`)."""

from __future__ import annotations

import pytest

from memeval.metrics import METRICS, Reply
from memeval.task import Question


def score(metric: str, prediction: str, *golds: str, answerable: bool = True) -> float | None:
    return METRICS[metric](Reply(prediction, Question("q", "?", golds, answerable=answerable)))


@pytest.mark.parametrize(
    ("prediction", "golds", "expected"),
    [
        ("It was Paris.", ("paris",), 1.0),
        ("PARIS", ("Paris",), 1.0),
        ("Stuttgart", ("art",), 1.0),  # characters, not words
        ("I do not know", ("no",), 1.0),
        ("the first one", ("First One",), 1.0),
        ("Opus 3", ("Op. 3", "Opus 3"), 0.0),  # the first gold alone
        ("Op 3", ("Op. 3",), 0.0),  # nothing is normalised
        ("", ("x",), 0.0),
    ],
)
def test_contains_first(prediction: str, golds: tuple[str, ...], expected: float) -> None:
    assert score("contains_first", prediction, *golds) == expected


@pytest.mark.parametrize(
    ("prediction", "golds", "expected"),
    [
        ("label: 7", ("7",), 1.0),
        ("\\boxed{12}", ("2",), 1.0),  # "boxed12" holds "2"
        ("I think so.\n\\boxed{7}", ("7",), 0.0),  # the first line decides
        ("I think so.\nAnswer: 7", ("7",), 1.0),
        ("answer: 7\nAnswer: 8", ("8",), 0.0),  # the first of the two
        ("7", ("6", "7"), 1.0),
        ("The 7.", ("the",), 1.0),  # a gold that normalises to nothing stands in every line
        ("\n7", ("7",), 0.0),
    ],
)
def test_mab_line(prediction: str, golds: tuple[str, ...], expected: float) -> None:
    assert score("mab_line", prediction, *golds) == expected


@pytest.mark.parametrize("metric", ["contains_first", "mab_line"])
def test_unanswerable_questions_are_left_out(metric: str) -> None:
    assert score(metric, "x", answerable=False) is None
    assert score(metric, "x", "x", answerable=False) is None
    assert score(metric, "x") is None
