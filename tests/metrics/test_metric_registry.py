"""The table of metrics, and scoring by name."""

import sys

import pytest

from memeval import loading, metrics
from memeval.errors import UsageError
from memeval.metrics import METRICS, Reply, load, score
from memeval.task import Question

QUESTION = Question("q7", "Where?", ("Oslo",))


def test_the_names_are_the_documented_ones():
    assert set(METRICS) >= {
        "exact_match", "f1", "substring", "substring_two_way", "substring_guarded", "letter", "boxed", "keyword_share",
        "rouge_l", "evidence_any", "evidence_all", "abstention",
    }  # fmt: skip
    assert all(metric.__doc__ for metric in METRICS.values())


def test_scores_come_in_the_order_asked_for():
    found = score(["f1", "abstention", "evidence_any", "exact_match"], Reply("Oslo", QUESTION))
    assert list(found.items()) == [("f1", 1.0), ("abstention", 0.0), ("evidence_any", None), ("exact_match", 1.0)]
    assert score([], Reply("Oslo", QUESTION)) == {}


def test_a_misspelt_metric_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown metric 'exact-match'; did you mean 'exact_match'\?") as caught:
        score(["f1", "exact-match"], Reply("Oslo", QUESTION))
    assert "\n" not in str(caught.value)


def test_a_metric_of_one_s_own_is_an_entry_in_the_table(monkeypatch):
    monkeypatch.setitem(METRICS, "length", lambda reply: len(reply.prediction) <= 10)
    assert score(["length"], Reply("Oslo", QUESTION)) == {"length": 1.0}
    for wrong in (float("nan"), float("inf"), 5, 50.0, -0.1, "high", [1.0]):
        monkeypatch.setitem(METRICS, "length", lambda reply, wrong=wrong: wrong)
        with pytest.raises(UsageError, match="metric 'length' returned .* for question 'q7'"):
            score(["length"], Reply("Oslo", QUESTION))


def test_a_metric_of_one_s_own_that_raises_is_one_line_with_its_file_and_line(monkeypatch, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def length(reply, most):\n    return 1.0\n\n\ndef last(reply):\n    return reply.prediction[99]\n")
    mine = loading.load_object(f"{file}:last")
    monkeypatch.setitem(METRICS, "last", mine)
    with pytest.raises(UsageError, match=rf"^{file}:6: metric 'last' raised IndexError\(.*\) for question 'q7'$"):
        score(["last"], Reply("Oslo", QUESTION))
    monkeypatch.setitem(METRICS, "length", sys.modules[mine.__module__].length)
    with pytest.raises(UsageError, match=r"^metric 'length' raised TypeError\(.*\) for question 'q7'$"):
        score(["length"], Reply("Oslo", QUESTION))


def test_a_metric_of_an_installed_package_is_taken_where_none_of_ours_has_its_name(monkeypatch):
    found = {"length": lambda reply: len(reply.prediction) / 10, "f1": lambda reply: 0.5}
    monkeypatch.setattr(metrics, "entry_point", lambda kind, name: found.get(name) if kind == "metrics" else None)
    monkeypatch.setattr(metrics, "METRICS", dict(METRICS))
    for name in ("length", "f1"):
        load(name, "card.yaml")
    assert score(["length", "f1"], Reply("Oslo", QUESTION)) == {"length": 0.4, "f1": 1.0}
    with pytest.raises(UsageError, match=r"^card\.yaml: unknown metric 'f2'; did you mean 'f1'\?") as caught:
        load("f2", "card.yaml")
    assert "\n" not in str(caught.value)
