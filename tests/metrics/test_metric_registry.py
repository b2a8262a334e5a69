"""The table of metrics, and scoring by name."""

import pytest

from memeval import metrics
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
    for wrong in (float("nan"), "high", [1.0]):
        monkeypatch.setitem(METRICS, "length", lambda reply, wrong=wrong: wrong)
        with pytest.raises(UsageError, match="metric 'length' returned .* for question 'q7'"):
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
