"""`memeval train`: bad input, equal logs, and that a killed run goes on as if it had not been."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner
from msgspec.structs import replace

from memeval.cli import main
from memeval.errors import UsageError
from memeval.models.tiny import FOLDER
from memeval.training import recipe

pytest.importorskip("torch")

from memeval.training.folder import TrainingFolder

SHORT = [
    *("warm.steps=2", "warm.rows=8", "grpo.steps=3", "grpo.streams=2", "grpo.group=2", "grpo.check=1"),
    *("test=synth-tiny@x1", "lengths=[]"),
]
"""The recipe `tiny` in a few seconds: it learns nothing."""


def command(out: Path, *settings: str) -> list[str]:
    given = [word for setting in (*SHORT, *settings) for word in ("--set", setting)]
    return ["train", "tiny", "--out", str(out), *given, "--format", "json"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "tinny", "--out", "x"], "did you mean 'tiny'"),
        (["train", "none.yaml", "--out", "x"], "none.yaml"),
        (["train", "tiny", "--out", "x", "--set", "grpo.stepz=3"], "did you mean 'steps'"),
        (["train", "tiny", "--out", "x", "--set", "modle=tiny"], "unknown key 'modle'; did you mean 'model'"),
        (["train", "part.yaml", "--out", "x"], "part.yaml: 'task' is missing"),
        (["train", "tiny", "--out", "x", "--set", "grpo.steps=many"], "grpo.steps"),
        (["train", "tiny", "--out", "x", "--set", "grpo.group=1"], "nothing to be compared with"),
        (["train", "tiny", "--out", "x", "--set", "grpo.minibatches=7"], "cannot be divided"),
        (["train", "tiny", "--out", "x", "--set", "seed.part=7"], "has no parts"),
        (["train", "tiny", "--out", "x", "--set", "model=hf/some", "--jobs", "2"], "is trained alone"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, monkeypatch, words: list[str], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("part.yaml").write_text("model: tiny\n", "utf-8")
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    lines = [
        "model: tiny",
        "task: synth-tiny@train",
        "validation: synth-tiny@validation",
        "test: synth-tiny",
        "reader: lookup",
    ]
    file.write_text("\n".join(lines))
    found = recipe.load(str(file), ["grpo.steps=7", "reward.empty_turn=one"])
    assert (found.grpo.steps, found.reward.empty_turn, found.grpo.group) == (7, "one", 8)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["reward.validity=0.1"], "needs a model that judges"),
        (["judge=openai/x"], "reward.validity is 0"),
        (["grpo.learning_rate=0"], "grpo.learning_rate"),
        (["reward.success=.nan"], "reward.success"),
        (["grpo.mean=tokens"], "did you mean 'token'"),
        (["lengths=[0]"], "lengths"),
        (["lengths=[1, 3]"], "x3"),
        (["test=synth-tinny"], "did you mean 'synth-tiny'"),
        (["agent=memalfa"], "did you mean 'memalpha'"),
        (["params.capacity=ten"], "capacity"),
        (["task=synth-tiny@trian"], "did you mean"),
        (["warm.folder=nothing/here"], "holds no training run"),
        (["grpo.steps"], "expected key=value"),
        (["grpo.group=none"], "--set grpo.group=none: 'grpo.group' is 'none'"),
        (["reader=null"], "--set reader=null: 'reader'"),
        (["grppo.group=8"], "did you mean 'grpo'"),
        (["judge=nothere", "reward.validity=0.1"], "nothere"),
    ],
)
def test_settings_that_cannot_be_are_one_line(tmp_path: Path, settings: list[str], said: str) -> None:
    given = [word for setting in settings for word in ("--set", setting)]
    result = CliRunner().invoke(main, ["train", "tiny", "--out", str(tmp_path / "out"), *given])
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out" / "recipe.yaml").exists() or "warm.folder" in settings[0]


def test_a_recipe_that_lacks_a_key_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("model: tiny\ntask: synth-tiny@train\nreward: {sucess: 1}\n")
    for expected in (f"{file}:3: unknown key 'reward.sucess'; did you mean 'success'", f"{file}: 'validation' is missing"):
        result = CliRunner().invoke(main, ["train", str(file), "--out", str(tmp_path / "out")])
        assert (result.exit_code, len(result.stderr.strip().splitlines())) == (2, 1), result.output
        assert expected in result.stderr
        file.write_text("model: tiny\ntask: synth-tiny@train\n")


@pytest.mark.parametrize(
    ("package", "words"), [("torch", []), ("transformers", ["--seeds", "2"]), ("matplotlib", ["--ablations"])]
)
def test_a_missing_extra_is_named_before_anything_is_trained(tmp_path: Path, monkeypatch, package: str, words) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name, *rest))
    result = CliRunner().invoke(main, ["train", "tiny", "--out", str(tmp_path / "out"), *words])
    assert result.exit_code == 2
    assert package in result.stderr
    assert f"[{'report' if package == 'matplotlib' else 'hf'}]" in result.stderr
    assert not (tmp_path / "out").exists()


def test_several_processes_for_one_tiny_model_are_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # as accelerate launch sets it
    result = CliRunner().invoke(main, ["train", "tiny", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2, result.output
    assert "leave out accelerate launch" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_task_without_questions_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "none.jsonl").write_text('{"id": "a", "text": "Bade owns lemi", "questions": []}\n')
    (tmp_path / "tasks" / "none.yaml").write_text("source: jsonl\nparams: {file: none.jsonl}\nlicence: ours\n")
    result = CliRunner().invoke(main, ["train", "tiny", "--out", "out", "--set", "task=none"])
    assert result.exit_code == 2, result.output
    assert "question" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_folder_of_a_training_run(tmp_path: Path) -> None:
    made = recipe.load("tiny")
    with TrainingFolder(tmp_path / "run", made) as folder:
        with pytest.raises(UsageError, match="another memeval process"):
            TrainingFolder(tmp_path / "run", made)
        folder.log(step=1)
        folder.save_state({"step": 1})
        folder.log(step=2)  # after the last state: it is written again by the process that goes on
    (tmp_path / "run" / ".state.pt.writing").write_bytes(b"half a file")
    (tmp_path / "run" / ".best.writing").mkdir()
    with TrainingFolder(tmp_path / "run", made) as folder:
        state = folder.resume()
        assert state is not None
        assert (state["step"], folder.lines()) == (1, [{"step": 1}])
    assert not list((tmp_path / "run").glob(".*.writing"))
    with pytest.raises(UsageError, match="another recipe .'seed' differs"):
        TrainingFolder(tmp_path / "run", replace(made, seed=1))
    whole = msgspec.to_builtins(made)
    # of a version without these keys
    short = {key: value for key, value in whole.items() if key not in ("judge", "threads")}
    (tmp_path / "run" / "recipe.yaml").write_text(yaml.safe_dump(short))
    TrainingFolder(tmp_path / "run", made).close()
    (tmp_path / "run" / "state.pt").write_bytes(b"PK and nothing else")
    with TrainingFolder(tmp_path / "run", made) as folder, pytest.raises(UsageError, match="remove it to begin anew"):
        folder.resume()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        TrainingFolder(tmp_path / "file", made)


@pytest.mark.slow
def test_two_runs_and_a_killed_one_that_goes_on_have_equal_logs(tmp_path: Path) -> None:
    whole = CliRunner().invoke(main, command(tmp_path / "whole"))
    assert whole.exit_code == 1, whole.output  # so short a training does not meet the marks
    assert json.loads(whole.stdout)["proofs"][0]["faults"]
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "memeval", *command(out)],
        **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": {**os.environ, "PYTHONUNBUFFERED": "1"}},
    )
    while not (out / "log.jsonl").is_file() or '"step": 2' not in (out / "log.jsonl").read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = (out / "state.pt").read_bytes()
    full = subprocess.run(  # a disk that takes no file as large as a state
        ["bash", "-c", f'ulimit -f 500; exec "$0" -m memeval {shlex.join(command(out))}', sys.executable],
        **{"capture_output": True, "text": True},
    )
    assert full.returncode == 2, full.stderr
    assert "state.pt: cannot be written" in full.stderr
    assert "Traceback" not in full.stderr
    assert (out / "state.pt").read_bytes() == kept
    resumed = CliRunner().invoke(main, command(out))
    assert (resumed.exit_code, json.loads(resumed.stdout)) == (1, json.loads(whole.stdout))
    logs = [(folder / "log.jsonl").read_text() for folder in (tmp_path / "whole", out)]
    assert logs[0] == logs[1]
    weights = [(folder / "best" / "model.safetensors").read_bytes() for folder in (tmp_path / "whole", out)]
    assert weights[0] == weights[1]
    before = (out / "proof.json").stat().st_mtime_ns
    again = CliRunner().invoke(main, command(out))  # what is finished is read back
    assert json.loads(again.stdout) == json.loads(whole.stdout)
    assert (out / "proof.json").stat().st_mtime_ns == before
    proof = json.loads((out / "proof.json").read_text())
    stale = {**proof, "identity": "of other code", "faults": []}
    (out / "proof.json").write_text(json.dumps(stale))
    evaluated = CliRunner().invoke(main, command(out))  # what another code has found is not read back
    assert json.loads(evaluated.stdout) == json.loads(whole.stdout)
    assert json.loads((out / "proof.json").read_text()) == proof
    taken = (f"warm.folder={out}", "warm.steps=0", "grpo.kl=5")
    other = CliRunner().invoke(main, command(tmp_path / "kl", *taken))
    assert other.exit_code == 1, other.output
    weights = [(folder / "warm" / "model.safetensors").read_bytes() for folder in (tmp_path / "kl", out)]
    assert weights[0] == weights[1]
    steps = [[line for line in (f / "log.jsonl").read_text().splitlines() if "grpo" in line] for f in (tmp_path / "kl", out)]
    assert steps[0] != steps[1]  # the distance to the warm start is in the loss
    refused = CliRunner().invoke(main, command(out, "grpo.learning_rate=0.5"))
    assert refused.exit_code == 2
    assert "another recipe ('grpo' differs" in refused.stderr


@pytest.mark.slow
def test_content_validity_is_a_part_of_the_reward(tmp_path: Path) -> None:
    rules = tmp_path / "judge.jsonl"
    rules.write_text(json.dumps({"reply": '{"VALID": true, "ISSUES": [], "EXPLANATION": "a line"}'}))
    judged = ("grpo.steps=1", f"judge=scripted:{rules}", "reward.validity=0.1")
    result = CliRunner().invoke(main, command(tmp_path / "judged", *judged))
    assert result.exit_code == 1, result.output
    lines = [json.loads(line) for line in (tmp_path / "judged" / "log.jsonl").read_text().splitlines()]
    assert 0 < lines[-1]["train"]["validity"] <= 1
    rules.write_text(json.dumps({"contains": "in no prompt", "reply": "x"}))
    stopped = CliRunner().invoke(main, command(tmp_path / "stopped", *judged))
    assert stopped.exit_code == 3
    assert "gave no verdict" in stopped.stderr
    assert "the same command resumes" in stopped.stderr
    assert (tmp_path / "stopped" / "state.pt").is_file()


def learned(proof: dict[str, Any]) -> bool:
    """At least 1.5 times the accuracy of the warm start's better temperature, and significantly more."""
    first = proof["claims"][0]
    return bool(first["ratio"] >= 1.5 and first["low"] > 1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_learns_and_without_a_reward_it_does_not(tmp_path: Path) -> None:
    """The small version of the experiment: 25 steps, 50 held-out streams, two of three fixed seeds."""
    small = ["grpo.steps=25", "test=synth-tiny@x1", "lengths=[]"]

    def train(out: Path, *words: str) -> list[dict[str, Any]]:
        given = [word for setting in small for word in ("--set", setting)]
        result = CliRunner().invoke(main, ["train", "tiny", "--out", str(out), *given, *words, "--format", "json"])
        assert result.exit_code in (0, 1), result.output
        return list(json.loads(result.stdout)["proofs"])

    found = [learned(proof) for proof in train(tmp_path / "seeds", "--seeds", "2", "--jobs", "2")]
    if sum(found) < 2:
        found += [learned(proof) for proof in train(tmp_path / "third", "--set", "seed=2")]
    assert sum(found) >= 2
    start = tmp_path / "seeds" / "seed-0"
    [zero] = train(tmp_path / "zero", "--set", "reward.zero=true", "--set", f"warm.folder={start}")
    assert not learned(zero)


def test_the_trained_writer_that_comes_with_memeval(tmp_path: Path) -> None:
    def run(agents: str, model: str) -> list[dict[str, Any]]:
        words = ["run", "--agent", agents, "--task", "synth-tiny", "--model", model, "--limit", "200", "--quiet"]
        result = CliRunner().invoke(main, [*words, "--runs-dir", str(tmp_path), "--format", "json"])
        assert result.exit_code == 0, result.output
        return list(json.loads(result.stdout)["runs"])

    learned, chance = run("memalpha,write-random", "tiny")
    [before] = run("memalpha", "tiny/warm-start")
    assert before["headline"]["value"] < 0.45
    assert learned["headline"]["value"] > 0.85
    assert chance["headline"]["value"] < 0.45
    assert learned["memory_tokens"]["mean"] < 0.4 * learned["stream_tokens"]["mean"]


def test_what_comes_with_memeval_is_what_its_recipe_says() -> None:
    shipped = msgspec.yaml.decode((FOLDER / "recipe.yaml").read_bytes(), type=recipe.Recipe)
    assert shipped == recipe.load("tiny")
    digests = yaml.safe_load((FOLDER / "digests.yaml").read_text())
    assert set(digests) == {"model.safetensors", "warm-start/model.safetensors"}
    for name, digest in digests.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest


def test_a_misspelt_model_of_memevals_own(tmp_path: Path) -> None:
    words = ["run", "--agent", "memalpha", "--task", "synth-tiny", "--model", "tiny/warmstart", "--runs-dir", str(tmp_path)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "did you mean 'tiny/warm-start'" in result.stderr
