"""`memeval train`: bad input, equal logs, and that a killed run goes on as if it had not been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from memeval.cli import main
from memeval.training import recipe

pytest.importorskip("torch")

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
        (["train", "tiny", "--out", "x", "--set", "grpo.steps=many"], "grpo.steps"),
        (["train", "tiny", "--out", "x", "--set", "grpo.group=1"], "nothing to be compared with"),
        (["train", "tiny", "--out", "x", "--set", "grpo.minibatches=7"], "cannot be divided"),
        (["train", "tiny", "--out", "x", "--set", "seed.part=7"], "has no parts"),
        (["train", "tiny", "--out", "x", "--set", "model=hf/some"], "tiny"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, monkeypatch, words: list[str], said: str) -> None:
    monkeypatch.chdir(tmp_path)
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
    resumed = CliRunner().invoke(main, command(out))
    assert (resumed.exit_code, json.loads(resumed.stdout)) == (1, json.loads(whole.stdout))
    logs = [(folder / "log.jsonl").read_text() for folder in (tmp_path / "whole", out)]
    assert logs[0] == logs[1]
    weights = [(folder / "best" / "model.safetensors").read_bytes() for folder in (tmp_path / "whole", out)]
    assert weights[0] == weights[1]
    other = CliRunner().invoke(main, command(tmp_path / "kl", "grpo.kl=5"))
    assert other.exit_code == 1, other.output
    assert (tmp_path / "kl" / "log.jsonl").read_text() != logs[0]  # the distance to the warm start is in the loss
    refused = CliRunner().invoke(main, command(out, "grpo.learning_rate=0.5"))
    assert refused.exit_code == 2
    assert "another recipe ('grpo' differs" in refused.stderr


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_it_learns_and_without_a_reward_it_does_not(tmp_path: Path) -> None:
    settings = [word for setting in ("grpo.steps=25", "test=synth-tiny@validation") for word in ("--set", setting)]
    result = CliRunner().invoke(main, ["train", "tiny", "--out", str(tmp_path / "a"), *settings, "--format", "json"])
    [found] = json.loads(result.stdout)["proofs"]
    assert found["claims"][0]["ratio"] >= 1.5
    assert found["claims"][0]["low"] > 1
    zero = CliRunner().invoke(
        main, ["train", "tiny", "--out", str(tmp_path / "b"), *settings, "--set", "reward.zero=true", "--format", "json"]
    )
    assert zero.exit_code == 1
    assert json.loads(zero.stdout)["proofs"][0]["claims"][0]["ratio"] < 1.2


def test_the_trained_writer_that_comes_with_memeval(tmp_path: Path) -> None:
    words = ["run", "--agent", "memalpha,write-random", "--task", "synth-tiny", "--model", "tiny", "--limit", "200"]
    result = CliRunner().invoke(main, [*words, "--runs-dir", str(tmp_path), "--format", "json", "--quiet"])
    assert result.exit_code == 0, result.output
    learned, chance = json.loads(result.stdout)["runs"]
    assert learned["headline"]["value"] > 0.85
    assert chance["headline"]["value"] < 0.45
    assert learned["memory_tokens"]["mean"] < 0.4 * learned["stream_tokens"]["mean"]
