"""`mab-infbench_sum_eng_shots2` from data to table: run, estimate, score and show, judged by three calls a summary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from faulty_server import FaultyServer, in_thread
from folders import read_json

from memeval import tokens
from memeval.cli import main
from memeval.commands.run import run_command
from memeval.errors import UsageError
from memeval.estimate import estimate
from memeval.runs.options import Options
from memeval.runs.plan import plan

TASK = "mab-infbench_sum_eng_shots2"
BOOKS = 6


def points(number: int) -> list[str]:
    return [f"Keypoint {n}: the miller of book {number} loses cow {n}." for n in range(10)]


def expert(number: int) -> str:
    return " ".join(f"In book {number} the miller of chapter {n} sells his meadow and walks home." for n in range(60))


def write(root: Path, keypoints: bool = True) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [
        {
            "context": "\n\n".join(f"Chapter {n}. The miller walked to town {number} and bought hay." for n in range(300)),
            "questions": ["Summarise the book."],
            "answers": [[expert(number)]],
            "metadata": {
                "source": "infbench_sum_eng_shots2",
                "qa_pair_ids": [f"no{number}"],
                "keypoints": points(number) if keypoints else None,
            },
        }
        for number in range(BOOKS)
    ]
    folder = root / "memoryagentbench"
    folder.mkdir(parents=True)
    datasets.Dataset.from_list(rows).to_parquet(folder / "Long_Range_Understanding-00000-of-00001.parquet")


@pytest.fixture
def project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMEVAL_DATA", str(project / "data"))
    write(project / "data")
    return project


def endpoint(asked: dict[str, Any]) -> dict[str, Any]:
    """A reader that writes as much as the expert, and a judge that finds 5 of 10 keypoints and 1 of 4 sentences: a third."""
    count = tokens.counter("o200k_base")
    system, shown = (str(message["content"]) for message in asked["messages"])
    town = shown.rpartition(" to town ")[2].split()[0]
    text = " ".join(f"The miller went to town {town} and thought of his meadow in chapter {n}." for n in range(60))
    if "<answer>" in shown:
        text = '{"fluency": 1}'
        if "<keypoints>" in shown:
            text = f'{"Told or not. " * 100}\n{{"recall": 5}}'
        elif "<gold>" in shown:
            text = f'{"Borne out or not. " * 80}\n{{"precision": 1, "sentence_count": 4}}'
    return {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": count(system) + count(shown), "completion_tokens": count(text)},
    }


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with in_thread(FaultyServer(body=endpoint)) as served:
        yield served


def options(server: FaultyServer | None = None, **rest: Any) -> Options:
    models = {"model": "offline"} if server is None else {"model": f"wordy@{server.url}", "judge": f"strict@{server.url}"}
    return Options(agents=["bm25"], tasks=[TASK], quiet=True, use_cache=False, **{"models": models, **rest})


def test_estimate_counts_three_calls_a_summary(project: Path, server: FaultyServer) -> None:
    (project / "memeval.yaml").write_text(
        "prices: {wordy: {prompt: 1, completion: 2}, strict: {prompt: 2, completion: 10}}\n"
    )
    chosen = options(server, answer_repeats=2)
    (planned,) = plan(chosen)
    before = estimate(planned)
    assert not server.seen
    assert before.roles["judge"].calls == 3 * 2 * BOOKS
    assert run_command(chosen, fresh=False, form="json") == 0
    (header,) = [read_json(path) or {} for path in (planned.spec.folder / "scores").glob("judge-*.json")]
    asked = [line for line in server.seen if line["model"] == "strict"]
    assert (header["calls"], header["requests"], len(asked)) == (36, 18, 18)  # both repeats read alike: asked once
    assert before.roles["judge"].prompt == pytest.approx(header["tokens"]["prompt"], rel=0.2)
    assert before.roles["judge"].completion == 36 * 64  # a guess, and marked as one
    assert before.roles["judge"].guessed
    assert before.roles["reader"].completion == 2 * BOOKS * 512  # a quarter of the limit: a guess as well
    summary = read_json(planned.spec.folder / "summary.json") or {}
    spent = header["tokens"]["prompt"] * 2e-6 + header["tokens"]["completion"] * 10e-6
    assert summary["cost"]["usd_by_phase"]["judge"] == summary["cost"]["usd_by_role"]["judge"] == pytest.approx(spent)
    assert estimate(planned).calls == 0


def test_gold_reaches_the_judge_and_nobody_else(project: Path, server: FaultyServer) -> None:
    assert run_command(options(server), fresh=False, form="json") == 0
    texts = {True: "", False: ""}
    for asked in server.seen:
        texts[asked["model"] == "strict"] += "\n".join(str(message["content"]) for message in asked["messages"])
    assert all(point in texts[True] for number in range(BOOKS) for point in points(number))
    assert "Keypoint" not in texts[False]
    assert "sells his meadow" not in texts[False]


def test_the_judged_headline_and_its_parts(project: Path, server: FaultyServer, capsys: pytest.CaptureFixture[str]) -> None:
    """F1 of 5/10 and 1/4: 2 * (1/8) / (3/4) = 1/3."""
    assert run_command(options(server), fresh=False, form="json") == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert (row["headline"]["metric"], row["headline"]["value"]) == ("judge", pytest.approx(1 / 3))
    assert set(row["metrics"]) == {"mab_rouge_l", "mab_f1", "judge"}
    assert {part: found["value"] for part, found in row["judge"]["parts"].items()} == pytest.approx(
        {"fluency": 1.0, "recall": 0.5, "precision": 0.25}
    )
    assert run_command(options(server), fresh=False, form="table") == 0  # nothing is asked again
    out = capsys.readouterr().out
    assert f"{TASK}: judge" in out
    assert "judged by strict (prompts " in out
    assert "): fluency 100.0, recall 50.0, precision 25.0" in out
    assert "is shown instead" not in out
    whole = CliRunner().invoke(main, ["show", row["path"]]).output
    assert "judge              33.3" in whole
    assert "by strict, prompts of infbench (" in whole
    assert "recall           50.0" in whole
    one = CliRunner().invoke(main, ["show", row["path"], "--question", "0-0"]).output
    assert "keypoint  Keypoint 3: the miller of book 0 loses cow 3." in one
    assert "partly  judge 0.333, fluency 1, recall 0.5, precision 0.25" in one
    for path in (Path(row["path"]) / "scores").glob("judge-*.json"):  # as if killed before the second file
        path.unlink()
    whole = CliRunner().invoke(main, ["show", row["path"]])
    assert whole.exit_code == 0
    assert "by strict" not in whole.output


def test_without_a_judge_the_table_says_what_it_shows(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(options(), fresh=False, form="table") == 0
    out = capsys.readouterr().out
    assert f"{TASK}: mab_rouge_l" in out
    assert f"{TASK}: made to be scored by a judge; without one (--judge NAME), mab_rouge_l is shown instead." in out


def test_the_offline_judge_is_labelled_and_needs_the_folder_alone(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = options(models={"model": "offline", "judge": "offline"}, limit=3)
    assert run_command(chosen, fresh=False, form="table") == 0
    assert "judge offline: a string rule in place of a judge; it checks the harness and is no judged score." in (
        capsys.readouterr().out
    )
    (folder,) = (path for path in (project / "runs" / TASK).iterdir() if path.name != "memories")
    (scored,) = (folder / "scores").glob("judge-offline-*.jsonl")
    before = scored.read_bytes()
    lines = [json.loads(line) for line in before.splitlines()]
    assert all(set(line["metrics"]) == {"judge", "fluency", "recall", "precision"} for line in lines)
    (project / "data").rename(project / "elsewhere")  # a folder is judged where the data are not
    for path in (folder / "scores").glob("judge-*"):
        path.unlink()
    result = CliRunner().invoke(main, ["score", str(folder), "--judge", "offline", "--quiet"])
    assert result.exit_code == 0
    assert "offline (infbench)" in result.output
    assert scored.read_bytes() == before


def test_what_cannot_be_judged_is_said_before_the_run(project: Path, tmp_path: Path) -> None:
    write(tmp_path / "bare", keypoints=False)
    bare = options(models={"model": "offline", "judge": "offline"}, data_dir=tmp_path / "bare")
    with pytest.raises(UsageError, match=f"no question has any; fetch the data of {TASK} again"):
        plan(bare)
    assert len(plan(replace(bare, models={"model": "offline"}))) == 1
    (tmp_path / "kind.txt").write_text("- Be kind.")
    with pytest.raises(UsageError, match="asks for several things; put the rules of each below a line of its own"):
        plan(options(models={"model": "offline", "judge": "offline"}, prompts={"judge": str(tmp_path / "kind.txt")}))
