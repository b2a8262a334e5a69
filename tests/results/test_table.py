"""`memeval table`: what is in a cell, what tells rows apart, and what is never mixed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_runs import Asked, made_run
from msgspec.structs import replace

from memeval.cli import main
from memeval.errors import UsageError
from memeval.records.folder import RunFolder
from memeval.records.summary import Contamination
from memeval.results.breakdowns import kinds
from memeval.results.grid import Grid
from memeval.results.load import Runs, load_runs
from memeval.results.table import table

Make = Callable[..., Path]
REAL = {"model": "qwen", "reader": "qwen"}


def scores(right: int, count: int = 128) -> list[float]:
    return [1.0] * right + [0.0] * (count - right)


def grid(make_run: Make, **options: object) -> Grid:
    return table(load_runs(make_run.args[0]), **options)  # type: ignore[attr-defined]


def rows(found: Grid) -> dict[object, dict[str, object]]:
    return {row[0]: dict(zip(found.columns, row, strict=True)) for row in found.rows}


def trained(path: Path, mark: str) -> None:
    folder = RunFolder(path)
    folder.write_summary(replace(folder.summary(), trained_on=Contamination(mark=mark, by=("qwen",))))


def test_agents_by_tasks_with_the_mean_of_each_row(make_run: Make) -> None:
    for agent, right in (("bm25", (96, 64)), ("recent", (32, 32))):
        for task, number in zip(("toy-10k", "toy-30k"), right, strict=True):
            make_run(scores(number), agent=agent, task=task, **REAL)
    found = grid(make_run)
    assert found.columns == ("agent", "toy-10k (f1, n 128)", "toy-30k (f1, n 128)", "mean (f1)")
    assert rows(found)["recent"] == {
        "agent": "recent",
        "toy-10k (f1, n 128)": "25.0",
        "toy-30k (f1, n 128)": "25.0",
        "mean (f1)": "25.0",
    }
    assert rows(found)["bm25"]["mean (f1)"] == "62.5"  # (75 + 50) / 2
    assert "mean: the plain mean of a row's tasks, each counting the same; blank where one is missing." in found.notes
    assert "all rows: model qwen, reader qwen, seed 42." in found.notes


def test_intervals(make_run: Make) -> None:
    path = make_run(scores(64), **REAL)
    summary = RunFolder(path).summary()
    (cell,) = (row["toy-10k (f1, n 128)"] for row in rows(grid(make_run, ci=True)).values())
    assert cell == f"50.0 [{100 * summary.headline.low:.1f}, {100 * summary.headline.high:.1f}]"


def test_a_mean_of_fewer_tasks_is_no_mean(make_run: Make) -> None:
    make_run(scores(64), agent="bm25", task="toy-10k", **REAL)
    make_run(scores(64), agent="bm25", task="toy-30k", **REAL)
    make_run(scores(64), agent="recent", task="toy-10k", **REAL)
    make_run(scores(64), agent="random-k", task="toy-10k", **REAL)
    make_run(scores(64), agent="random-k", task="toy-30k", complete=False, **REAL)
    found = rows(grid(make_run))
    assert (found["bm25"]["mean (f1)"], found["recent"]["mean (f1)"], found["random-k"]["mean (f1)"]) == ("50.0", None, None)
    assert found["random-k"]["toy-30k (f1, n 128)"] == "50.0 partial"


def test_a_mean_that_mixes_metrics_says_so(make_run: Make) -> None:
    make_run(scores(64), task="toy-10k", **REAL)
    make_run(scores(32), task="toy-choices", headline="letter", **REAL)
    found = grid(make_run)
    assert found.columns[-1] == "mean (f1, letter)"
    assert any("It mixes metrics: f1, letter." in note for note in found.notes)


@pytest.mark.parametrize(
    ("first", "second", "fact"),
    [
        ({"model": "a", "reader": "r"}, {"model": "b", "reader": "r"}, "model"),
        ({"model": "m", "reader": "a"}, {"model": "m", "reader": "b"}, "reader"),
        ({"tag": "step-1"}, {"tag": "step-2"}, "tag"),
        ({"answer_budget": 256}, {"answer_budget": 1024}, "budget"),
        ({"seed": 1}, {"seed": 2}, "seed"),
        ({"repeats": 1}, {"repeats": 2}, "repeats"),
        ({"label": "before"}, {"label": "after"}, "label"),
    ],
)
def test_runs_that_differ_are_told_apart(
    make_run: Make, first: dict[str, object], second: dict[str, object], fact: str
) -> None:
    for given in (first, second):
        make_run(scores(10, 20), **{"model": "qwen", "reader": "qwen", **given})
    found = grid(make_run)
    assert found.columns[:2] == ("agent", fact)
    assert len({row[1] for row in found.rows}) == len(found.rows) == 2


def test_parameters_of_an_agent_tell_its_runs_apart(make_run: Make) -> None:
    for k in (2, 5):
        make_run(scores(10, 20), params={"k": k, "other": 1}, **REAL)
    assert set(rows(grid(make_run))) == {"bm25 k=2", "bm25 k=5"}


def test_two_tasks_of_one_model_are_one_row_and_of_two_models_are_not(make_run: Make) -> None:
    make_run(scores(10, 20), task="toy-10k", **REAL)
    make_run(scores(10, 20), task="toy-30k", model="other", reader="qwen")
    found = grid(make_run)
    assert found.columns[:2] == ("agent", "model")
    assert [row[-1] for row in found.rows] == [None, None]  # neither has a mean over both tasks


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"corpus": "corpus-2"}, "corpus"),
        ({"answer_budget": 64}, "budget"),
        ({"track": "native"}, "track"),
    ],
)
def test_what_does_not_compare_is_marked(make_run: Make, given: dict[str, object], why: str) -> None:
    for agent in ("bm25", "recent"):
        make_run(scores(64), agent=agent, **REAL)
    make_run(scores(100), agent="memalpha", **REAL, **given)
    found = grid(make_run)
    assert next(iter(rows(found)["memalpha"].values())) == "memalpha"
    assert str(rows(found)["memalpha"]["toy-10k (f1, n 128)"]).endswith("[a]")
    (note,) = (note for note in found.notes if note.startswith("[a]"))
    assert why in note


def test_fewer_questions_are_marked_and_counted(make_run: Make) -> None:
    for agent in ("bm25", "recent"):
        make_run(scores(64), agent=agent, **REAL)
    make_run(scores(8, 16), agent="memalpha", **REAL)
    found = grid(make_run)
    assert rows(found)["memalpha"]["toy-10k (f1, n 128)"] == "50.0 (n 16) [a]"
    assert any("ranks nothing" in note for note in found.notes)


def test_the_best_has_a_star_where_the_statistics_allow(make_run: Make) -> None:
    make_run(scores(100), agent="bm25", **REAL)
    make_run(scores(60), agent="recent", **REAL)
    make_run(scores(128), agent="oracle", control=True, **REAL)  # a control is no competitor
    found = grid(make_run)
    assert rows(found)["bm25"]["toy-10k (f1, n 128)"] == "78.1 *"
    assert any(note.startswith("* better than every other agent") for note in found.notes)


@pytest.mark.parametrize(
    ("best", "other", "count", "given"),
    [
        (64, 62, 128, REAL),  # two questions in 128: p = .5
        (60, 20, 64, REAL),  # n below 100
        (100, 60, 128, {}),  # the offline model
    ],
)
def test_no_star(make_run: Make, best: int, other: int, count: int, given: dict[str, object]) -> None:
    make_run(scores(best, count), agent="bm25", **given)
    make_run(scores(other, count), agent="recent", **given)
    found = grid(make_run)
    assert not any("*" in str(cell) for row in found.rows for cell in row)


def test_no_star_within_few_streams(make_run: Make) -> None:
    for agent, right in (("bm25", 120), ("recent", 20)):
        asked = [Asked(f"q{n:03}", float(n < right), cluster=f"stream-{n % 4}") for n in range(128)]
        make_run(asked, agent=agent, **REAL)
    found = grid(make_run)
    cells = [str(cell) for row in found.rows for cell in row[1:]]
    assert all(cell.endswith("§") for cell in cells)
    assert not any("*" in cell for cell in cells)


def test_holm_counts_all_comparisons(make_run: Make) -> None:
    # 64 against 56: 8 questions differ, all one way: p = 2 / 2^8 = .0078; times 5 rows .039, times 8 rows .0625
    make_run(scores(64), agent="best", **REAL)
    for number in range(8):
        make_run(scores(56), agent=f"other-{number}", **REAL)
    runs = load_runs(make_run.args[0])  # type: ignore[attr-defined]
    assert "*" in str(table(Runs(run for run in runs if run.agent < "other-5")).rows)
    assert "*" not in str(table(runs).rows)


def test_contamination_is_marked_and_averages_are_given_without(make_run: Make) -> None:
    trained(make_run(scores(100, 100), task="a", **REAL), "leaked")
    trained(make_run(scores(80, 100), task="b", **REAL), "in-domain")
    make_run(scores(40, 100), task="c", **REAL)
    make_run(scores(20, 100), task="d", **REAL)
    found = grid(make_run)
    row = rows(found)["bm25"]
    assert (row["a (f1, n 100)"], row["b (f1, n 100)"], row["c (f1, n 100)"]) == ("100.0 †", "80.0 ‡", "40.0")
    assert (row["mean (f1)"], row["mean without † ‡"]) == ("60.0", "30.0")
    assert any(note.startswith("† leaked") for note in found.notes)


def test_rows_of_the_offline_model_are_named(make_run: Make) -> None:
    make_run(scores(64))
    found = grid(make_run)
    assert "all rows: model offline, reader offline, seed 42." in found.notes
    assert any("not comparable with published results" in note for note in found.notes)


def test_a_run_named_twice_is_one_row(make_run: Make) -> None:
    path = make_run(scores(64), **REAL)
    assert len(table(load_runs(path, "toy-10k", path.parent, runs_dir=path.parent.parent)).rows) == 1


def test_two_folders_of_the_same_run_are_two_rows(make_run: Make, tmp_path: Path) -> None:
    first = make_run(scores(64), **REAL)
    second = made_run(tmp_path / "elsewhere", scores(32), **REAL)
    assert first.name == second.name
    found = table(load_runs(first, second))
    assert found.columns[:2] == ("agent", "run")
    assert {row[1] for row in found.rows} == {str(first), str(second)}


def test_failed_answers_and_runs_that_are_not_whole_are_marked(make_run: Make) -> None:
    make_run([*scores(50, 99), None], agent="bm25", **REAL)
    make_run([*scores(50, 90), *[None] * 10], agent="recent", **REAL)
    cells = {key: row["toy-10k (f1, n 100)"] for key, row in rows(grid(make_run)).items()}
    assert cells == {"bm25": "50.0 (1 failed)", "recent": "50.0 (10 failed) invalid"}


def test_rows_and_columns_by_other_facts(make_run: Make) -> None:
    for agent in ("bm25", "recent"):
        for model in ("small", "large"):
            make_run(scores(64), agent=agent, model=model, reader=model)
    found = grid(make_run, rows=("model",), cols=("agent",))
    assert found.columns[0] == "model"
    assert {row[0] for row in found.rows} == {"small", "large"}
    assert {name.partition(" ")[0] for name in found.columns[1:]} == {"bm25", "recent"}


def test_the_task_makes_the_rows_where_the_agent_makes_the_columns(make_run: Make) -> None:
    for task in ("toy-10k", "toy-30k"):
        make_run(scores(64), task=task, **REAL)
    assert set(rows(grid(make_run, cols=("agent",)))) == {"toy-10k", "toy-30k"}


def test_another_metric(make_run: Make) -> None:
    make_run([0.5] * 64 + [1.0] * 64, **REAL)
    found = grid(make_run, metric="exact_match")
    assert rows(found)["bm25"]["toy-10k (exact_match, n 128)"] == "50.0"


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"metric": "exact_mach"}, "did you mean 'exact_match'"),
        ({"rows": ("agnt",)}, "did you mean 'agent'"),
        ({"cols": ("taks",)}, "--cols: no column 'taks'; did you mean 'task'"),
        ({"rows": ("task",)}, "both name 'task'"),
    ],
)
def test_bad_input_is_one_line(make_run: Make, options: dict[str, object], fault: str) -> None:
    make_run(scores(5, 10))
    with pytest.raises(UsageError, match=fault):
        grid(make_run, **options)


def test_only_questions_that_the_reader_has_not_seen(make_run: Make) -> None:
    make_run([1.0, 1.0, 0.0, 1.0], agent="bm25", **REAL)
    make_run([1.0, 0.0, 0.0, 0.0], agent="closed-book", control=True, **REAL)
    runs = load_runs(make_run.args[0])  # type: ignore[attr-defined]
    found = table(runs, unseen=runs)
    assert rows(found)["bm25"] == {"agent": "bm25", "toy-10k (f1, n 3)": "66.7 §"}  # questions 2 and 4 of 2, 3 and 4
    assert any("does not get right with the same reader: toy-10k 3 of 4" in note for note in found.notes)


def test_unseen_needs_a_closed_book_run_of_the_same_reader(make_run: Make) -> None:
    make_run([1.0, 0.0], agent="bm25", **REAL)
    path = make_run([1.0, 0.0], agent="closed-book", control=True, reader="other")
    with pytest.raises(UsageError, match="run it: memeval run --agent closed-book --task toy-10k --reader qwen"):
        table(load_runs(make_run.args[0]), unseen=load_runs(path))  # type: ignore[attr-defined]


def test_the_kinds_of_each_task(make_run: Make) -> None:
    for agent, score in (("bm25", 1.0), ("recent", 0.0)):
        asked = [Asked("a", score, kind="one-hop"), Asked("b", 0.5, kind="two-hop"), Asked("c", score, answerable=False)]
        make_run(asked, agent=agent, task="toy-10k", **REAL)
        make_run([Asked("a", score, kind="one-hop")], agent=agent, task="one-kind", **REAL)
    (found,) = kinds(load_runs(make_run.args[0]))  # type: ignore[attr-defined]
    assert found.title == "toy-10k by kind of question"
    assert found.columns == ("agent", "one-hop (n 1)", "two-hop (n 1)", "unanswerable (n 1)")
    assert rows(found)["recent"]["two-hop (n 1)"] == "50.0"
    assert rows(found)["recent"]["unanswerable (n 1)"] == "0.0"
    shown = json.loads(invoke(make_run, "--kinds", "--format", "json"))
    assert len(shown) == 2


def invoke(make_run: Make, *words: str) -> str:
    found = CliRunner().invoke(main, ["table", "--runs-dir", str(make_run.args[0]), *words])  # type: ignore[attr-defined]
    assert found.exit_code == 0, found.output
    return found.output


def test_csv_and_json_hold_an_object_per_cell(make_run: Make) -> None:
    make_run(scores(96), agent="bm25", task="toy-10k", **REAL)
    make_run(scores(64), agent="bm25", task="toy-30k", **REAL)
    first, second, mean = csv.DictReader(io.StringIO(invoke(make_run, "--format", "csv")))
    assert (first["task"], first["value"], first["n"], first["status"]) == ("toy-10k", "0.75", "128", "complete")
    assert (second["task"], second["value"]) == ("toy-30k", "0.5")
    assert (mean["task"], mean["value"], mean["rule"], mean["n"]) == ("mean", "0.625", "plain mean of the tasks", "2")
    data = json.loads(invoke(make_run, "--format", "json"))
    assert data["rows"][0]["low"] < 0.75 < data["rows"][0]["high"]
    assert any(note.startswith("mean:") for note in data["notes"])


def test_names_of_runs_are_escaped(make_run: Make) -> None:
    make_run(scores(5, 10), agent="a|b<script>", label="=cmd()", **REAL)
    make_run(scores(6, 10), agent="a|b<script>", label="_x_", **REAL)
    assert r"a\|b&lt;script&gt;" in invoke(make_run, "--format", "md")
    assert "<script>" not in invoke(make_run, "--format", "html")
    assert '"\'=cmd()"' in invoke(make_run, "--format", "csv")
    assert r"\_x\_" in invoke(make_run, "--format", "latex")


def test_no_runs(tmp_path: Path) -> None:
    found = CliRunner().invoke(main, ["table", "--runs-dir", str(tmp_path / "none")])
    assert found.exit_code == 2
    assert len(found.output.splitlines()) == 1
