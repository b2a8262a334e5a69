"""Whole runs with models on this machine: a tiny Qwen3 in process and behind a server process, and the vLLM stand-in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import preloaded
import pytest
from click.testing import CliRunner
from stand_in_vllm import StandIn, until
from tiny_qwen import safetensors

from memeval.cli import main

HERE = Path(__file__).parent
LIMITED = ("--set", "response_limit=32", "--limit", "1", "--format", "json", "--quiet")


def memeval(*words):
    """The runs that `memeval run` prints."""
    result = CliRunner().invoke(main, ["run", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["runs"]


def journalled(run):
    """The completions that a run and its memory hold."""
    found = []
    for folder in (run["path"], run["memory"]):
        database = sqlite3.connect(Path(folder) / "calls.sqlite")
        found += [json.loads(value) for (value,) in database.execute("SELECT value FROM calls")]
        database.close()
    return found


@pytest.mark.slow
def test_memalpha_on_a_checkpoint_in_process(project, tiny):
    folder = shutil.copytree(tiny, project / "checkpoint")
    words = ("--agent", "memalpha", "--task", "synth-10k", "--model", f"hf/{folder}", *LIMITED)
    (run,) = memeval(*words)
    assert (run["status"], run["n"], run["failed"]) == ("complete", 1, 0)
    assert run["calls"]["memory"] >= 4
    assert run["requests"] == sum(run["calls"].values())
    completions = journalled(run)
    assert len(completions) == run["requests"]
    for completion in completions:
        row = completion["row"]
        assert completion["usage"]["prompt"] == len(row["prompt_ids"])
        assert completion["usage"]["completion"] == len(row["completion_ids"]) == len(row["logprobs"])
    assert run["tokens"]["prompt"] == sum(completion["usage"]["prompt"] for completion in completions)
    (again,) = memeval(*words)
    assert (again["path"], again["requests"], again["n"]) == (run["path"], 0, 1)


@pytest.mark.slow
def test_memalpha_on_a_server_process(project, tiny):
    with subprocess.Popen(
        [sys.executable, str(HERE / "tiny_server.py"), str(tiny)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as server:
        url = server.stdout.readline().strip()
        (run,) = memeval("--agent", "memalpha", "--task", "synth-10k", "--model", "tiny", "--base-url", url, *LIMITED)
        server.stdin.close()
        assert server.wait() == 0
    assert (run["status"], run["n"], run["failed"]) == ("complete", 1, 0)
    assert run["calls"]["memory"] >= 4
    assert run["tokens"]["completion"] > 0
    assert all(completion["row"] is None for completion in journalled(run))


# -- vllm serve, or rather what stands in for it ----------------------------------------------------------------------


@pytest.fixture
def weights(project):
    made = project / "model"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "qwen3"}')
    safetensors(made / "model.safetensors")
    return made


def started(project, weights, vllm, *words):
    """`memeval run` as a process of its own, with a stand-in for vllm."""
    run = ["run", "--task", "synth-10k", "--limit", "3", "--model", f"vllm/{weights}", "--format", "json", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return preloaded.start(run, env={**os.environ, "MEMEVAL_VLLM": str(vllm.path)}, **pipes)


def stand_in(project, name, **behaviour):
    (project / name).mkdir()
    return StandIn(project / name, **behaviour)


@pytest.mark.slow
def test_a_run_whose_server_crashes_is_resumed_by_the_same_command(project, weights):
    broken = stand_in(project, "broken", crash_call=True)
    process = started(project, weights, broken, "--agent", "none")
    out, err = process.communicate()
    assert process.returncode == 3
    assert json.loads(out)["runs"][0]["status"] == "partial"
    (line,) = [line for line in err.splitlines() if "stopped" in line]
    assert "the server ended" in line
    assert "CUDA out of memory" in line
    until(lambda: not broken.running())
    working = stand_in(project, "working")
    process = started(project, weights, working, "--agent", "none")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out)["runs"][0]["n"] == 3
    until(lambda: not working.running())


@pytest.mark.slow
@pytest.mark.parametrize(("way", "status"), [("SIGINT", 130), ("SIGTERM", 130), ("SIGKILL", -9)])
def test_an_interrupted_run_leaves_no_server(project, own_cache, weights, way, status):
    vllm = stand_in(project, "slow", latency=60)
    process = started(project, weights, vllm, "--agent", "none")
    logs = own_cache / "logs"
    until(lambda: any("a call" in log.read_text() for log in logs.glob("*.log")))
    assert vllm.running()
    process.send_signal(getattr(signal, way))
    _, err = process.communicate()
    assert process.returncode == status, err
    until(lambda: not vllm.running())
