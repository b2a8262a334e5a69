"""`memeval export`: a CSV that runs nothing, and a baseline that is read like the run that it was made of."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_runs import Asked
from msgspec.structs import replace

from memeval.cli import main
from memeval.records.files import read_rows, write_rows
from memeval.records.rows import ScoreRow
from memeval.results.checks import Rules
from memeval.results.compare import compare
from memeval.results.export import to_baseline
from memeval.results.gate import gate
from memeval.results.load import find_run, load_runs

Make = Callable[..., Path]
SECRET = "Ada Lovelace lives in Paris."


def exported(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["export", *map(str, arguments)])
    return done.exit_code, done.output


def asked(wrong: int = 3) -> list[Asked]:
    return [
        Asked(f"q{n:02}", float(n >= wrong), text=f"Where is {n}?", cluster=f"book {n % 8}", memory_tokens=100 + n)
        for n in range(40)
    ]


def test_a_csv_has_a_row_per_answer_and_no_formula(make_run: Make, tmp_path: Path) -> None:
    evil = '=HYPERLINK("http://a","b")'
    path = make_run(
        [Asked("q1", (1.0, 0.0), text=evil, answer="@SUM(A1)"), Asked("q2", None, answers=("-2", "x\ny"))], repeats=2
    )
    code, said = exported(path, "--to", "csv")
    rows = list(csv.DictReader(io.StringIO(said)))
    assert (code, [(row["question_id"], row["repeat"], row["f1"]) for row in rows]) == (
        0,
        [("q1", "0", "1.0"), ("q2", "0", "0.0"), ("q1", "1", "0.0"), ("q2", "1", "0.0")],
    )
    assert (rows[0]["question"], rows[0]["answer"], rows[1]["answers"]) == (f"'{evil}", "'@SUM(A1)", "'-2; x\ny")
    assert rows[1]["verdict"] == "failed"
    code, said = exported(path, "--to", "csv", "-o", tmp_path / "deep" / "rows.csv")
    assert (code, said.strip()) == (0, str(tmp_path / "deep" / "rows.csv"))
    assert len(list(csv.reader((tmp_path / "deep" / "rows.csv").open(newline="")))) == 5
    assert exported(path, "--to", "csv", "-o", tmp_path)[0] == 2


@pytest.fixture
def baseline(make_run: Make, tmp_path: Path) -> Path:
    make_run(asked(), label="released", usd_per_call=0.01)
    code, said = exported("released", "--to", "baseline", "-o", tmp_path / "base", "--runs-dir", tmp_path / "runs")
    assert (code, said.strip()) == (0, str(tmp_path / "base" / "toy-10k"))
    return tmp_path / "base"


def test_a_baseline_is_read_like_its_run(baseline: Path, tmp_path: Path) -> None:
    run, kept = find_run("released", tmp_path / "runs"), find_run(baseline)
    assert kept.values() == run.values()
    assert (kept.summary.headline, kept.summary.cost, kept.summary.n) == (run.summary.headline, run.summary.cost, 40)
    assert [row.memory_tokens for row in kept.samples] == [row.memory_tokens for row in run.samples]
    (pair,) = compare(kept, run)
    assert (pair.effect.value, pair.effect.n, pair.effect.clusters, pair.forced, pair.named) == (0.0, 40, 8, (), ())
    rules = Rules(max_drop=0.6, max_memory_growth=0.0, max_cost_growth=0.0, minimum={"f1": 0.1})
    assert {check.what: check.verdict for check in gate(kept, run, rules).checks} == dict.fromkeys(
        ("score f1", "failures", "min f1", "memory", "cost"), "pass"
    )
    assert gate(run, kept, rules).verdict == "pass"
    done = CliRunner().invoke(main, ["table", str(baseline)])
    assert (done.exit_code, "bm25" in done.output, "92.5" in done.output) == (0, True, True)


def test_a_worse_candidate_is_told_by_the_baseline(make_run: Make, baseline: Path) -> None:
    found = gate(baseline, make_run(asked(30), label="worse"))
    assert (found.verdict, found.lost["toy-10k"][0]) == ("regression", "q03")


def test_a_baseline_holds_no_text_and_is_small(baseline: Path) -> None:
    files = {path.relative_to(baseline).as_posix(): path for path in baseline.rglob("*") if path.is_file()}
    assert set(files) == {
        f"toy-10k/{name}.json{line}"
        for name, line in (
            *(("manifest", ""), ("summary", ""), ("questions", "l"), ("samples", "l")),
            *(("operations", "l"), ("scores/task", "l")),
        )
    }
    whole = "".join(path.read_text() for path in files.values())
    assert not [text for text in (SECRET, "Where is", "Paris", str(baseline.parent)) if text in whole]
    assert sum(path.stat().st_size for path in files.values()) < 40 * 1000 + 10_000


def test_a_baseline_changes_only_where_results_do(make_run: Make, baseline: Path, tmp_path: Path) -> None:
    lines = (baseline / "toy-10k" / "scores" / "task.jsonl").read_text().splitlines()
    assert [json.loads(line)["question_id"] for line in lines] == [f"q{n:02}" for n in range(40)]
    other = make_run(list(reversed(asked(4))), label="other", usd_per_call=0.01)  # finished in another order
    exported(other, "--to", "baseline", "-o", baseline)
    now = (baseline / "toy-10k" / "scores" / "task.jsonl").read_text().splitlines()
    assert [number for number in range(40) if lines[number] != now[number]] == [3]


def test_what_is_no_baseline_is_not_overwritten(make_run: Make, tmp_path: Path) -> None:
    whole, part = make_run(asked(), label="a"), make_run(asked(), label="b", asked=80)
    (tmp_path / "runs" / "toy-10k" / "texts.jsonl").write_text("")
    for arguments, words in (
        ((whole, "-o", tmp_path / "runs"), "not a baseline"),
        ((whole, part), "second run on toy-10k"),
        ((part,), "partial"),
    ):
        code, said = exported(*arguments, "--to", "baseline")
        assert (code, said.count("\n"), words in said) == (2, 1, True), said


def test_several_tasks_are_one_baseline(make_run: Make, tmp_path: Path) -> None:
    for task in ("toy-10k", "toy-30k"):
        make_run(asked(), task=task, label="old")
    paths = to_baseline(load_runs("old", runs_dir=tmp_path / "runs"), tmp_path / "base")
    assert [path.name for path in paths] == ["toy-10k", "toy-30k"]
    assert {check.task for check in gate(tmp_path / "base", "old", runs_dir=tmp_path / "runs").checks} == {
        "toy-10k",
        "toy-30k",
    }


def test_a_judged_run_is_kept_and_gated_by_its_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [
        {"units": [f"Ada{n} lives in Town{n}."], "questions": [{"text": f"Where does Ada{n} live?", "answer": f"Town{n}"}]}
        for n in range(8)
    ]
    (tmp_path / "notes.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (tmp_path / "notes.yaml").write_text("source: jsonl\nparams: {file: notes.jsonl}\njudge: generic\n")
    words = ("--task", "notes.yaml", "--judge", "offline", "--quiet", "--no-cache")
    assert CliRunner().invoke(main, ["run", "--agent", "bm25,none", *words]).exit_code == 0
    (scores,) = tmp_path.glob("runs/notes/bm25-*/scores/judge-*.jsonl")
    write_rows(scores, [replace(row, reply=SECRET) for row in read_rows(scores, ScoreRow)])
    assert exported("notes/bm25", "--to", "baseline")[0] == 0
    assert not [path for path in (tmp_path / "baseline").rglob("*.json*") if SECRET in path.read_text()]
    kept = find_run("baseline")
    assert kept.summary.headline == find_run("notes/bm25").summary.headline
    assert kept.summary.headline.metric == "judge"
    assert gate("baseline", "notes/bm25", Rules(max_drop=0.7)).verdict == "pass"
    found = gate("baseline", "notes/none")
    assert (found.checks[0].what, found.verdict) == ("score judge", "regression")
