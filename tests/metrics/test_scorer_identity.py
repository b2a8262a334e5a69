"""Scores follow a user's metric: its own file, what it imports from beside it, and the values that it was made with."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

METRIC = """
import functools, helper

def plain(reply):
    return helper.value(reply)

class Metric:
    def __init__(self, most): self.most = most
    def __call__(self, reply): return min(self.most, helper.value(reply))

def decorated(function):
    @functools.wraps(function)
    def inner(reply): return function(reply)
    return inner

made = {
    "plain": plain,
    "partial": functools.partial(plain),
    "nested": functools.partial(functools.partial(plain)),
    "object": Metric(1.0),
    "wrapped": decorated(plain),
    "partial of object": functools.partial(Metric(1.0)),
}
"""
HELPER = "from deeper import NUMBER\ndef value(reply): return NUMBER\n"
DIGEST = """
import sys
from memeval import loading
from memeval.metrics import METRICS
from memeval.metrics.rules import Rules, scorer_digest
METRICS["mine"] = loading.load_object(f"{sys.argv[1]}/metric.py:made")[sys.argv[2]]
print(scorer_digest(Rules(("f1", "mine"), "mine")))
"""
KINDS = ("plain", "partial", "nested", "object", "wrapped", "partial of object")


def written(folder: Path) -> None:
    for name, text in {
        "metric.py": METRIC,
        "helper.py": HELPER,
        "deeper.py": "NUMBER = 1.0\n",
        "other.py": "x = 1\n",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")


def digest(folder: Path, kind: str) -> str:
    """In a process of its own, as a run is."""
    done = subprocess.run([sys.executable, "-c", DIGEST, str(folder), kind], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("kind", ["plain", "partial of object"])
def test_a_metric_in_another_process_has_the_same_digest(tmp_path: Path, kind: str) -> None:
    written(tmp_path)
    before = digest(tmp_path, kind)
    (tmp_path / "other.py").write_text("x = 2\n")  # nothing imports it
    assert digest(tmp_path, kind) == before
    (tmp_path / "deeper.py").write_text("NUMBER = 0.5\n")
    assert digest(tmp_path, kind) != before


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], str]:
    """`scored(metric)`: the digest with it among the metrics."""
    from memeval.metrics import METRICS
    from memeval.metrics.rules import Rules, scorer_digest

    def found(metric: Any) -> str:
        monkeypatch.setitem(METRICS, "mine", metric)
        return scorer_digest(Rules(("mine",), "mine"))

    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_imported_from_beside_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scored: Callable[[Any], str], kind: str
) -> None:
    from memeval import loading

    monkeypatch.setattr(sys, "path", list(sys.path))
    written(tmp_path)
    metric = loading.load_object(f"{tmp_path}/metric.py:made")[kind]
    try:
        before = scored(metric)
        for name in ("deeper.py", "helper.py", "metric.py"):
            (tmp_path / name).write_text((tmp_path / name).read_text() + "# edited\n")
            after = scored(metric)
            assert after != before, name
            before = after
        (tmp_path / "other.py").write_text("x = 2\n")
        assert scored(metric) == before
    finally:
        for name in ("helper", "deeper"):
            sys.modules.pop(name, None)


class Threshold:
    def __init__(self, at: float, inner: Any = None) -> None:
        self.at = at
        self.inner = inner

    def __call__(self, reply: Any) -> float:
        return self.at


def shared(reply: Any, at: float = 0.0) -> float:
    return at


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (functools.partial(shared, at=0.5), functools.partial(shared, at=0.6)),
        (functools.partial(shared, at=0.5), shared),
        (Threshold(0.5), Threshold(0.6)),
        (Threshold(0.5, Threshold(0.1)), Threshold(0.5, Threshold(0.2))),
        (functools.partial(Threshold(0.5)), functools.partial(Threshold(0.6))),
    ],
)
def test_the_values_that_a_metric_was_made_with_count(scored: Callable[[Any], str], one: Any, other: Any) -> None:
    assert scored(one) == scored(one) != scored(other)


def test_an_object_whose_state_is_no_data_has_a_stable_digest(scored: Callable[[Any], str]) -> None:
    assert scored(Threshold(0.5, object())) == scored(Threshold(0.5, object()))
    assert scored(len) == scored(len)  # of C, without a file


def test_a_score_follows_the_rule_by_which_texts_are_normalised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from memeval.metrics.rules import Rules, scorer_digest
    from memeval.tasks import base

    before, other = scorer_digest(Rules(("f1",), "f1")), tmp_path / "base.py"
    other.write_text(Path(base.__file__).read_text(encoding="utf-8").replace("a|an|the", "a|an"), encoding="utf-8")
    monkeypatch.setattr(base, "__file__", str(other))
    assert scorer_digest(Rules(("f1",), "f1")) != before
