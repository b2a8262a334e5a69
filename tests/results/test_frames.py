"""Runs as pandas tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import Asked

from memeval.errors import UsageError
from memeval.results.frames import COLUMNS, OF_THE_RUN
from memeval.results.load import Runs, load_runs


@pytest.fixture
def runs(make_run: Callable[..., Path], tmp_path: Path) -> Runs:
    make_run([Asked("a", (1.0, 0.0)), Asked("b", None), Asked("u", 1.0, answerable=False)], repeats=2, label="x")
    make_run([1.0], agent="none", control=True, usd_per_call=0.5, started=100.0)
    return load_runs(tmp_path / "runs")


def test_a_row_per_run(runs: Runs) -> None:
    found = runs.to_pandas()
    assert list(found.agent) == ["none", "bm25"]  # oldest first
    assert found.label.isna().tolist() == [True, False]
    assert found.score.tolist() == [1.0, 0.25]
    assert found.n.tolist() == [1, 2]
    assert found.usd[0] == 0.5
    assert found[["usd", "answer_budget"]].iloc[1].isna().all()
    assert found.when[0].isoformat() == "1970-01-01T00:01:40+00:00"
    assert found.exact_match.tolist() == [1.0, 0.25]


def test_a_row_per_answer(runs: Runs) -> None:
    found = runs.to_pandas("question")
    assert len(found) == 7
    table = found[found.agent == "bm25"].groupby("question_id").score.mean()
    assert table["a"] == 0.5
    assert table["b"] == 0.0
    assert found[found.question_id == "u"][["score", "f1"]].isna().all(axis=None)
    assert found[found.question_id == "u"].abstention.tolist() == [1.0, 1.0]
    assert found[found.question_id == "b"].answer.isna().all()
    assert found.verdict.value_counts().to_dict() == {"right": 4, "failed": 2, "wrong": 1}


def test_a_row_per_operation(runs: Runs) -> None:
    found = runs.to_pandas("operation")
    assert set(found.agent) == {"bm25"}  # a control reads nothing
    assert len(found) == 2 * 3 * 2  # repeats, streams, chunks
    stored = found[found.operation.notna()]
    assert set(stored.chunk) == {"c00000"}
    assert set(stored.memory_id) == {"m0"}
    assert found.prompt_tokens.sum() == 2 * 3 * 2 * 500


def test_the_columns_are_the_documented_ones(runs: Runs) -> None:
    for level, of_level in COLUMNS.items():
        columns = {**OF_THE_RUN, **of_level}
        for found in (runs.to_pandas(level), Runs().to_pandas(level)):
            assert list(found.columns)[: len(columns)] == list(columns)
            numbers = {name: column.dtype for name, column in columns.items() if column.dtype != "object"}
            assert {name: str(found[name].dtype) for name in numbers} == numbers


def test_a_notebook_shows_a_table_that_is_escaped(make_run: Callable[..., Path]) -> None:
    shown = load_runs(make_run([1.0], label="<script>x"))._repr_html_()
    assert "&lt;script&gt;x" in shown
    assert "<script>" not in shown


def test_another_level_is_one_line(runs: Runs) -> None:
    with pytest.raises(UsageError, match="level 'questions'; did you mean 'question'"):
        runs.to_pandas("questions")  # type: ignore[arg-type]
