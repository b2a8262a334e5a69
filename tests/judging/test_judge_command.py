"""The verbs: what they print, what they return."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from handmade import question, rules, sample, write_run

from memeval.commands import judge as command
from memeval.commands.judge import calibrate_command, score_command
from memeval.errors import StopRun, UsageError
from memeval.judging.scorer import judge_spec, scorer_name
from memeval.models.completion import ModelSpec
from memeval.runs.options import Options
from memeval.runs.plan import plan
from memeval.runs.run import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    questions = [question("a", kind="one"), question("b", kind="two"), question("c", answerable=False, answers=[])]
    return write_run(tmp_path / "run", questions, [sample("a", "gold of a"), sample("b", "?"), sample("c", "I don't know")])


SUMMARY = {"status": "complete", "n": 3, "failed": 0, "headline": {"metric": "f1"}}


def test_score_prints_a_table(folder: Path, capsys: Capture) -> None:
    assert score_command([folder], ModelSpec("offline"), quiet=True) == 0
    out = capsys.readouterr().out
    assert "50.0" in out
    assert "one 100.0 (n 1), two 0.0 (n 1), unanswerable 100.0 (n 1); all questions 66.7" in out
    assert "is no judged score" in out
    assert "not corrected: no calibration of this judge" in out


def test_score_marks_what_was_trained_on(folder: Path, capsys: Capture) -> None:
    mark = {"mark": "leaked", "by": ["openai/gpt-4o"], "notes": ["dev split"], "asked": 3, "known": 2}
    (folder / "summary.json").write_text(json.dumps({**SUMMARY, "trained_on": mark}))
    score_command([folder], ModelSpec("offline"), quiet=True)
    out = capsys.readouterr().out
    assert "| 50.0 † " in out
    assert f"{folder}: leaked (openai/gpt-4o: dev split); 2 of 3 asked questions were trained on" in out
    assert "† leaked: a model of the row" in out


def test_score_prints_one_object(folder: Path, capsys: Capture) -> None:
    assert score_command([folder], ModelSpec("offline"), family="longmemeval", form="json", quiet=True) == 0
    (row,) = json.loads(capsys.readouterr().out)["judged"]
    assert (row["path"], row["family"], row["value"], row["n"]) == (str(folder), "longmemeval", 0.5, 2)


def test_calibrate_then_score_is_corrected(folder: Path, capsys: Capture) -> None:
    assert calibrate_command(None, ModelSpec("offline"), quiet=True) == 0
    out = capsys.readouterr().out
    for text in (
        "agreement with humans",
        "false accepts",
        "false rejects",
        "Cohen's kappa",
        "Rogan-Gladen",
        "starter",
        "both",
    ):
        assert text in out
    assert score_command([folder], ModelSpec("offline"), quiet=True) == 0
    out = capsys.readouterr().out
    assert "not corrected" not in out
    assert "corrected by the starter set" in out


def test_calibrate_prints_one_object(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text('{"question": "Q?", "gold": "Ann", "answer": "Ann", "human": "right"}\n')
    assert calibrate_command(file, ModelSpec("offline"), form="json", quiet=True) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["source"], report["errors"]["agreement"]["value"]) == ("set.jsonl", 1.0)
    assert Path(report["kept"]).is_file()


def test_a_judged_run_is_read_back_where_nothing_can_be_written(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert score_command([folder], ModelSpec("offline"), quiet=True) == 0
    first = capsys.readouterr().out

    def refuse(*args: Any, **options: Any) -> None:
        raise UsageError("written")

    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # what a read-only mount says, also to root
    monkeypatch.setattr("memeval.judging.judged_run.RunWriter", refuse)
    assert score_command([folder], ModelSpec("offline"), quiet=True) == 0
    assert capsys.readouterr().out == first
    with pytest.raises(UsageError, match="written"):  # by other rules it is not judged yet
        score_command([folder], ModelSpec("offline"), family="longmemeval", quiet=True)


def test_a_judge_that_gives_up_is_invalid(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    mute = judge_spec(rules(tmp_path / "mute.jsonl", ("", "Hm.")))
    assert score_command([folder], mute, quiet=True) == 3
    assert "3 x judge gave up: no verdict in 2 replies" in capsys.readouterr().out
    assert calibrate_command(None, mute, quiet=True) == 3
    assert "Not kept" in capsys.readouterr().out
    assert not list((tmp_path / "cache").glob("calibrations/*"))


def test_the_judges_kin_is_named(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    kin = judge_spec(rules(tmp_path / "qwen.jsonl", ("", "VERDICT: RIGHT")))
    assert score_command([folder], kin, quiet=True) == 0
    assert "the judge is of the family of the reader model" in capsys.readouterr().out


def test_ones_own_rules(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "rules.txt").write_text("- Only Ann is right.\n")
    judge = judge_spec(rules(tmp_path / "judge.jsonl", ("Only Ann", "VERDICT: RIGHT")))
    assert score_command([folder], judge, prompt=tmp_path / "rules.txt", form="json", quiet=True) == 0
    (row,) = json.loads(capsys.readouterr().out)["judged"]
    assert (row["value"], row["own_prompt"]) == (1.0, True)
    assert row["scorer"] == scorer_name(judge, "generic", "- Only Ann is right.")
    with pytest.raises(UsageError, match="cannot read the prompt file"):
        score_command([folder], judge, prompt=tmp_path / "none.txt")


@pytest.mark.parametrize(("stop", "code"), [(StopRun("http://x: down"), 3), (KeyboardInterrupt(), 130)])
def test_what_stops_it(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, stop: Any, code: int) -> None:
    def broken(*args: Any, **options: Any) -> Any:
        raise stop

    monkeypatch.setattr(command, "judge_folder", broken)
    monkeypatch.setattr(command, "calibrate", broken)
    assert score_command([folder], ModelSpec("offline"), form="json", quiet=True) == code
    assert calibrate_command(None, ModelSpec("offline"), quiet=True) == code
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"judged": []}
    assert "stopped: http://x: down" in captured.err or "the same command resumes" in captured.err


def test_a_terminal_sees_progress(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    score_command([folder], ModelSpec("offline"))
    assert "judging run: 3/3 verdicts, 0 failed\n" in capsys.readouterr().err


def test_a_real_run_is_judged(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (planned,) = plan(Options(agents=["bm25"], tasks=["synth-10k"], limit=8, answer_repeats=2, quiet=True))
    summary = run(planned, quiet=True).summary
    assert score_command([planned.spec.folder], ModelSpec("offline"), form="json", quiet=True) == 0
    (row,) = json.loads(capsys.readouterr().out)["judged"]
    assert (row["samples"], row["related"], row["status"]) == (16, ["reader"], "complete")
    assert row["n"] + row["kinds"].get("unanswerable", {"n": 0})["n"] == 8
    # the stand-in for a judge is a containment rule, so it agrees with that metric
    assert row["value"] == pytest.approx(summary.metrics["substring"].value)
    assert run(planned, quiet=True).summary.n == summary.n  # a judged folder is still a run


def test_a_judge_takes_the_flags_of_the_wire_and_a_budget(tmp_path: Path, capsys: Capture) -> None:
    from click.testing import CliRunner
    from faulty_server import FaultyServer, in_thread

    from memeval.cli import main

    names = [f"q{number}" for number in range(6)]
    run_folder = write_run(tmp_path / "run", [question(name) for name in names], [sample(name, "x") for name in names])
    reply = {"choices": [{"message": {"content": "VERDICT: WRONG"}, "finish_reason": "stop"}]}

    def score(server: FaultyServer, *more: str) -> Any:
        options = ["--judge", f"m@{server.url}", "--concurrency", "1", "--no-cache", "--quiet", *more]
        return CliRunner().invoke(main, ["score", str(run_folder), *options])

    with in_thread(FaultyServer(body=lambda asked: reply)) as server:
        stopped = score(server, "--max-calls", "4", "--fold-system", "--timeout", "30", "--wait", "30", "--rpm", "60000")
        assert (stopped.exit_code, len(server.seen)) == (3, 4)
        assert "--max-calls 4 is used up" in stopped.stderr
        assert score(server).exit_code == 0
        unpriced = score(server, "--max-cost", "1")
    assert len(server.seen) == 6  # what was there is read back
    roles = [[message["role"] for message in asked["messages"]] for asked in server.seen]
    assert roles == [["user"]] * 4 + [["system", "user"]] * 2
    assert unpriced.exit_code == 2
    assert "the price of model 'm' is not known" in unpriced.stderr
