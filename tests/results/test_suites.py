"""Means over tasks, by hand."""

import msgspec
import pytest

from memeval.records.rows import QuestionRow
from memeval.records.summary import Summary
from memeval.results.suites import Mean, mean_of_values, suite_means, suites_table


def run(
    agent: str, task: str, value: float | None, half: float = 0.0, status: str = "complete", trained: str | None = None
) -> Summary:
    headline = {"metric": "f1", "value": value, "low": None, "high": None}
    if value is not None:
        headline |= {"low": value - half, "high": value + half}
    mark = {"mark": trained, "by": ["m"]} if trained else None
    facts = {
        "n": 9,
        "failed": 0,
        "agent": agent,
        "params": {},
        "task": task,
        "headline": headline,
        "status": status,
        "trained_on": mark,
    }
    return msgspec.convert(facts, Summary)


def test_published_average_of_four() -> None:
    # MemOCR Table 1, Mem-alpha at 1024, 10K: (75.0 + 47.7 + 45.6 + 21.1) / 4 = 47.35
    values = {"hotpotqa-10k": 0.75, "2wiki-10k": 0.477, "nq-10k": 0.456, "triviaqa-10k": 0.211}
    rows = suite_means("qa-avg-10k", list(values), [run("memalpha", task, value, 0.03) for task, value in values.items()])
    assert rows[0].value == pytest.approx(0.4735)
    assert rows[0].high - rows[0].value == pytest.approx(0.015)  # 0.03 * sqrt(4) / 4
    assert rows[0].missing == ()


def test_a_missing_part_is_named() -> None:
    runs = [run("bm25", "a", 0.5), run("bm25", "b", None), run("bm25", "c", 0.7, status="partial"), run("none", "a", 0.1)]
    rows = suite_means("s", ["a", "b", "c"], runs)
    assert [(row.agent, row.value, row.missing) for row in rows] == [
        ("bm25", 0.5, ("b", "c")),
        ("none", 0.1, ("b", "c")),
    ]
    assert "b, c" in suites_table(rows)


def test_nothing_scored() -> None:
    rows = suite_means("s", ["a"], [run("bm25", "a", None)])
    assert (rows[0].value, rows[0].low) == (None, None)
    assert "-" in suites_table(rows)


def test_the_means_without_what_was_trained_on() -> None:
    runs = [
        run("a", "w", 0.9, trained="leaked"),
        run("a", "x", 0.8, trained="in-domain"),
        run("a", "y", 0.4),
        run("a", "z", 0.6),
    ]
    row = suite_means("s", ["w", "x", "y", "z"], runs)[0]
    assert row.value == pytest.approx(2.7 / 4)
    assert (row.leaked, row.in_domain) == (("w",), ("x",))
    assert row.without_leaked == Mean(pytest.approx(0.6), pytest.approx(0.6), pytest.approx(0.6), 3)
    assert row.without_trained == Mean(pytest.approx(0.5), pytest.approx(0.5), pytest.approx(0.5), 2)
    lines = suites_table([row]).splitlines()
    assert lines[-2:] == [
        "s, a: without the leaked w: 60.0 (60.0 to 60.0), tasks 3",
        "s, a: without the leaked and in-domain w, x: 50.0 (50.0 to 50.0), tasks 2",
    ]


def test_nothing_trained_on_and_nothing_else() -> None:
    plain = suite_means("s", ["y"], [run("a", "y", 0.4)])[0]
    assert (plain.leaked, plain.without_leaked, plain.without_trained) == ((), None, None)
    assert "without" not in suites_table([plain])
    only = suite_means("s", ["x"], [run("a", "x", 0.8, trained="in-domain")])[0]
    assert only.without_trained is None
    assert suites_table([only]).endswith("s, a: without the in-domain x: no task is left")


def test_the_interval_of_what_is_left() -> None:
    runs = [run("a", "x", 0.9, 0.1, trained="leaked"), run("a", "y", 0.4, 0.03), run("a", "z", 0.6, 0.04)]
    left = suite_means("s", ["x", "y", "z"], runs)[0].without_leaked
    assert left.high - left.value == pytest.approx(0.025)  # sqrt(0.03^2 + 0.04^2) / 2


def asked(task: str, clusters: int) -> dict[str, QuestionRow]:
    names = (f"{task}{number}" for number in range(clusters))
    return {name: QuestionRow(question_id=name, context_id=name, cluster=name, text="?") for name in names}


def test_the_same_questions_in_two_tasks_are_resampled_together() -> None:
    scores = dict(zip(asked("q", 100), [1.0, 0.0] * 50, strict=True))
    once, twice = mean_of_values([(scores, asked("q", 100))]), mean_of_values([(scores, asked("q", 100))] * 2)
    assert (twice.value, twice.tasks) == (0.5, 2)
    # asking the same questions again with the same result tells nothing new
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high), abs=0.01)
    other = dict(zip(asked("p", 100), [1.0, 0.0] * 50, strict=True))
    apart = mean_of_values([(scores, asked("q", 100)), (other, asked("p", 100))])
    assert apart.high - 0.5 == pytest.approx((once.high - 0.5) / 2**0.5, abs=0.01)


def test_tasks_count_the_same_whatever_their_size() -> None:
    large = dict.fromkeys(asked("q", 300), 1.0)
    small = dict.fromkeys(asked("q", 100), 0.0)
    found = mean_of_values([(large, asked("q", 300)), (small, asked("q", 100))])
    assert found.value == pytest.approx(0.5)
    assert 0.0 <= found.low < 0.5 < found.high <= 1.0
