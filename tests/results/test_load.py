"""Loading runs from disk in Python."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_runs import Asked

from memeval.cli import main
from memeval.errors import UsageError
from memeval.results.load import find_run, load_runs
from memeval.runs.options import Options
from memeval.runs.plan import plan
from memeval.runs.run import run


def test_a_run_speaks_of_its_questions(make_run: Callable[..., Path]) -> None:
    path = make_run([Asked("a", (1.0, 0.0)), Asked("b", 0.5), Asked("c", None), Asked("u", answerable=False)], repeats=2)
    run = find_run(path)
    assert (run.task, run.agent, run.model, run.label, run.tag) == ("toy-10k", "bm25", "offline", "", "")
    assert run.values() == {"a": 0.5, "b": 0.5, "c": 0.0}  # the failed one counts 0, the unanswerable one does not
    assert run.values("exact_match") == {"a": 0.5, "b": 0.0, "c": 0.0}
    assert run.summary.headline.value == pytest.approx(1 / 3)
    assert [row[2:] for row in run.value_rows() if row.question_id == "a"] == [(0, 0, 1.0), (1, 0, 0.0)]
    assert set(run.questions) == {"a", "b", "c", "u"}
    assert (len(run.samples), len(run.operations)) == (8, 32)
    assert list(run.texts.values()) == ["Ada Lovelace lives in Paris."]
    with pytest.raises(UsageError, match="no metric 'exact_mach'; did you mean 'exact_match'"):
        run.values("exact_mach")
    with pytest.raises(UsageError, match="no judge has scored the run"):
        run.values("judge")


@pytest.fixture
def runs(make_run: Callable[..., Path], tmp_path: Path) -> Path:
    make_run([1.0], started=1000.0, label="first try")
    make_run([1.0], started=3000.0, agent="memalpha", tag="step-100")
    make_run([1.0], started=2000.0, agent="memalpha", tag="step-200", task="toy-30k")
    make_run([1.0], started=500.0, agent="memalpha", params={"k": 2})
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("latest", [3000]),
        ("toy-10k", [500, 1000, 3000]),
        ("toy-10k/memalpha", [500, 3000]),
        ("first try", [1000]),
        ("step-200", [2000]),
    ],
)
def test_runs_are_found_by_name(runs: Path, where: str, found: list[int]) -> None:
    assert [run.when.timestamp() for run in load_runs(where, runs_dir=runs)] == found


def test_runs_are_found_by_folder(runs: Path) -> None:
    times = [500, 1000, 2000, 3000]
    assert [run.when.timestamp() for run in load_runs(runs)] == times
    assert [run.when.timestamp() for run in load_runs(runs_dir=runs)] == times
    named = load_runs(runs / "toy-30k", runs / "toy-10k" / "memories", runs, runs_dir="elsewhere")
    assert [run.when.timestamp() for run in named] == [2000, 500, 1000, 3000]
    assert len(load_runs(runs)[1:3]) == 2


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("toy-10k/memalpha", "2 runs have this name; give one of: .*memalpha-.*; .*memalpha-"),
        ("LATEST", "no run 'LATEST' in .*did you mean 'latest'"),
        ("toy-1k", "no run 'toy-1k' in .*did you mean 'toy-10k'.*tasks with runs: toy-10k, toy-30k"),
        ("runs/toy-10k/memories", "runs/toy-10k/memories: not a run folder"),
    ],
)
def test_what_names_no_single_run_is_one_line(runs: Path, where: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs.parent)
    with pytest.raises(UsageError, match=message):
        find_run(where, runs)


def test_no_runs_at_all(tmp_path: Path) -> None:
    for where in ((), ("latest",), ("x",)):
        with pytest.raises(UsageError, match="no runs here"):
            load_runs(*where, runs_dir=tmp_path)


def test_a_damaged_manifest_is_named_and_another_programs_is_not(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = load_runs(runs)
    damaged, foreign, old = (run.path / "manifest.json" for run in found[:3])
    damaged.write_text(damaged.read_text()[:100])
    foreign.write_text('{"name": "a web page"}')
    (foreign.parent / "samples.jsonl").unlink()
    old.write_text(json.dumps({**json.loads(old.read_text()), "started": 1e30}))
    assert len(load_runs(runs)) == len(found) - 3
    assert capsys.readouterr().err.splitlines() == [
        f"memeval: {path}: damaged ({why}), so this run is left out; put the file back, or remove the folder"
        for path, why in sorted([(damaged, "not JSON"), (old, "not memeval's")])
    ]
    for path in (damaged.parent, foreign.parent):
        with pytest.raises(UsageError, match=r"not a run folder \(its manifest\.json is damaged or not memeval's\)"):
            find_run(path, runs)


def test_a_run_with_damaged_rows_is_named_and_the_others_are_listed(runs: Path) -> None:
    damaged = load_runs(runs)[1].path / "scores" / "task.jsonl"
    damaged.write_text("garbage\n")
    done = CliRunner().invoke(main, ["list", "runs", "--runs-dir", str(runs)])
    assert (done.exit_code, len(done.stdout.split("\n\n")[0].splitlines())) == (0, 4)  # a header and three runs
    left_out = "damaged line; remove it, or start anew with --fresh (this run is left out)"
    assert done.stderr == f"memeval: {damaged}:1: {left_out}\n"
    done = CliRunner().invoke(main, ["table", "--runs-dir", str(runs)])  # what decides does not leave one out
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.slow
def test_a_thousand_runs_are_listed_in_seconds(make_run: Callable[..., Path], tmp_path: Path) -> None:
    made = make_run([1.0])
    for number in range(1, 1000):
        shutil.copytree(made, made.with_name(f"bm25-{number:08}"))
    begun = time.process_time()
    found = load_runs(tmp_path / "runs")
    assert sum(run.summary.n for run in found) == 1000
    assert time.process_time() - begun < 5.0


def test_scores_by_other_rules_are_made_anew(make_run: Callable[..., Path]) -> None:
    run = find_run(make_run([Asked("a", 0.25), Asked("b", 0.25, answer="Rome")], scorer="older rules"))
    assert run.values() == {"a": 1.0, "b": 0.0}  # golds are Paris
    assert run.summary.headline.value == 0.5
    assert run.summary.verdicts == {"right": 1, "wrong": 1}
    assert find_run(make_run([Asked("a", 0.25)])).values() == {"a": 0.25}  # by the rules of today: as stored


def test_a_baseline_keeps_its_scores(make_run: Callable[..., Path]) -> None:
    path = make_run([Asked("a", 0.25)], scorer="older rules")
    for name in ("texts.jsonl", "events.jsonl"):
        (path / name).unlink()
    run = find_run(path)
    assert (run.values(), run.scorer, run.texts) == ({"a": 0.25}, "older rules", {})


def test_a_run_that_was_killed_speaks_of_its_finished_questions(make_run: Callable[..., Path]) -> None:
    path = make_run([1.0, 0.0, 1.0], asked=8, manifest={"started": 2000.0, "finished": 1000.0})
    (path / "summary.json").unlink()
    samples = path / "samples.jsonl"
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:2]) + '{"question_id": "q00')
    found = find_run(path).summary
    assert (found.n, found.status, found.agent, found.task, found.model) == (2, "partial", "bm25", "toy-10k", "offline")
    assert set(find_run(path).questions) == {"q000", "q001"}


def test_a_limit_takes_the_first_questions_in_the_order_of_the_task(tmp_path: Path) -> None:
    """A run on 24 questions, cut to 6, says what a run on 6 says; the smaller one was finished in another folder."""
    asked = {"agents": ["bm25"], "tasks": ["synth-10k"], "models": {"model": "offline"}, "quiet": True}
    for limit, folder in ((24, tmp_path / "large"), (6, tmp_path / "small")):
        run(plan(Options(limit=limit, runs_dir=folder, **asked))[0], quiet=True)
    (cut,), (small,), (large,) = (
        load_runs(tmp_path / "large", limit=6),
        load_runs(tmp_path / "small"),
        load_runs(tmp_path / "large"),
    )
    assert len(large.questions) == 24
    assert set(cut.questions) == set(small.questions)
    assert len(cut.questions) == 6
    for what in (
        "status",
        "n",
        "headline",
        "metrics",
        "kinds",
        "memory_tokens",
        "recall_tokens",
        "calls",
        "tokens",
        "chunks",
    ):
        assert getattr(cut.summary, what) == getattr(small.summary, what), what
    assert not cut.whole
    assert large.whole
    assert len(load_runs(tmp_path / "large", limit=100)[0].questions) == 24
    for wrong in (0, -1, 2.5):
        with pytest.raises(UsageError, match="'limit' is"):
            load_runs(tmp_path / "large", limit=wrong)  # type: ignore[arg-type]
