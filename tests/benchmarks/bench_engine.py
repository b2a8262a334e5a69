"""What the engine adds to a model's time: independent calls, and chains of calls that wait for each other.

The endpoint is a process of its own with a fixed latency. Each figure is the median of three runs in one sitting, beside
its ideal. Bars (DESIGN section 8), printed and never asserted: 512 calls of 50 ms, 64 wide, on synth-10k and on one-unit
JSON lines: the run phase 2.5x the ideal, 4 ms of CPU per call, the whole process a third of lm-eval's and of inspect's wall;
calls of 1 s, 64 wide: the run phase within 3 % of the ideal. The other rows of that section: bench_cli (--help, list),
bench_building (contexts), bench_bm25 (memory search), bench_sharing (PersonaMem), bench_resume (a finished run again).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fixed_endpoint
import pytest
from fixed_endpoint import LATENCY

from memeval.runs.options import Options
from memeval.runs.plan import plan
from memeval.runs.run import run

pytestmark = pytest.mark.benchmark


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with fixed_endpoint.endpoint() as url:
        yield url


def task(folder: Path, contexts: int, units: int) -> Path:
    lines = [
        {
            "id": f"c{number}",
            "units": [f"Fact {index} of stream {number}: the value is {number * index}. " * 4 for index in range(units)],
            "questions": [{"id": f"q{number}", "text": f"What is fact 1 of stream {number}?", "answer": str(number)}],
        }
        for number in range(contexts)
    ]
    (folder / "bench.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    card = folder / "bench.yaml"
    card.write_text("source: jsonl\nparams: {file: bench.jsonl}\nquestions: 0\nchunk_tokens: 90\n")
    return card


PEERS = {"lm-eval": 9.5, "inspect": 14.0}
"""Seconds of wall of the same 512 calls by others, measured on two quiet cores (lm-eval 0.4.13, inspect_ai 0.3.285)."""


def medians(
    folder: Path, url: str, agent: str, task: Path | str, concurrency: int, limit: int | None = None
) -> tuple[float, float, float]:
    """Seconds, CPU seconds and wall of the whole run: medians of three."""
    rows = []
    for number in range(3):
        options = Options(
            agents=[agent],
            tasks=[str(task)],
            limit=limit,
            models={"model": "bench"},
            base_url=url,
            concurrency=concurrency,
            runs_dir=folder / f"runs{number}",
            use_cache=False,
            quiet=True,
        )
        begun, cpu = time.monotonic(), time.process_time()
        outcome = run(plan(options)[0], quiet=True)
        rows.append((outcome.summary.seconds, time.process_time() - cpu, time.monotonic() - begun))
        assert outcome.summary.status == "complete"
    return tuple(statistics.median(column) for column in zip(*rows, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["JSON lines", "synth-10k"])
def test_independent_calls(endpoint: str, tmp_path: Path, name: str) -> None:
    calls, width = 512, 64
    of = task(tmp_path, calls, 1) if name == "JSON lines" else name
    seconds, cpu, wall = medians(tmp_path, endpoint, "none", of, width, calls)
    ideal = calls / width * LATENCY
    print(f"\n{name}, {calls} calls of 50 ms, {width} wide: {seconds:.3f} s, ideal {ideal:.2f} s: {seconds / ideal:.2f}x")
    print(f"CPU {cpu / calls * 1000:.2f} ms a call, whole run {wall:.2f} s")


def test_calls_of_a_second(tmp_path: Path) -> None:
    calls, width = 256, 64
    with fixed_endpoint.endpoint(1.0) as url:
        seconds, _, _ = medians(tmp_path, url, "none", task(tmp_path, calls, 1), width)
    ideal = calls / width * 1.0
    print(f"\n{calls} calls of 1 s, {width} wide: {seconds:.3f} s, ideal {ideal:.2f} s: {seconds / ideal:.3f}x")


def test_chains(endpoint: str, tmp_path: Path) -> None:
    contexts, chunks = 4, 40
    seconds, cpu, _ = medians(tmp_path, endpoint, "memalpha", task(tmp_path, contexts, chunks), contexts)
    ideal, walked = ((chunks + 1) * step for step in (LATENCY, fixed_endpoint.latency(endpoint)))
    print(f"\n{contexts} streams of {chunks} chunks: {seconds:.3f} s, critical path {ideal:.2f} s: {seconds / ideal:.3f}x")
    print(f"critical path as a bare socket walks it {walked:.2f} s: {seconds / walked:.3f}x")
    print(f"CPU {cpu / contexts / (chunks + 1) * 1000:.2f} ms a step")


def test_whole_process(endpoint: str, tmp_path: Path) -> None:
    card = task(tmp_path, 512, 1)
    command = [
        *(sys.executable, "-m", "memeval.cli", "run", "--agent", "none", "--task", str(card), "--model", "bench"),
        *("--base-url", endpoint, "--concurrency", "64", "--no-cache", "--quiet", "--format", "json"),
    ]
    walls: list[float] = []
    result: dict[str, Any] = {}
    for number in range(3):
        begun = time.monotonic()
        done = subprocess.run(
            [*command, "--runs-dir", str(tmp_path / f"p{number}")], capture_output=True, check=True, env=os.environ
        )
        walls.append(time.monotonic() - begun)
        result = json.loads(done.stdout)["runs"][0]
    begun = time.monotonic()
    subprocess.run([*command, "--runs-dir", str(tmp_path / "p0")], capture_output=True, check=True, env=os.environ)
    resumed = time.monotonic() - begun
    wall = statistics.median(walls)
    print(f"\nwhole process: {wall:.2f} s for {result['n']} samples; resumed: {resumed:.2f} s")
    print(", ".join(f"{wall / seconds:.2f} of the {seconds} s of {name}" for name, seconds in PEERS.items()))
