"""What any competent reader must show on the bundled task, whatever its rules (validity section 7). Never asserted: that one
memory agent beats another, which would be a property of the offline model's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from memeval.runs.options import Options
from memeval.runs.plan import plan
from memeval.runs.run import run

pytestmark = pytest.mark.slow
QUESTIONS = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("invariants")


def rows(folder: Path, agents: list[str], task: str = "synth-10k", **options: Any) -> dict[str, dict[str, Any]]:
    """agent (with parameters) -> run."""
    chosen = Options(
        agents=agents, tasks=[task], models={"model": "offline"}, limit=QUESTIONS, runs_dir=folder, quiet=True, **options
    )
    found, set_here = {}, [setting.partition("=")[0] for setting in chosen.settings]
    for planned in plan(chosen):
        result = msgspec.to_builtins(run(planned, quiet=True).summary)
        assert result["status"] == "complete"
        assert result["failed"] == 0
        params = [f"{key}={value}" for key, value in result["params"].items() if key in set_here]
        found[" ".join([result["agent"], *params])] = result
    return found


def headline(run: dict[str, Any]) -> float:
    return float(run["headline"]["value"])


def test_oracle_above_and_none_below_every_agent(folder: Path) -> None:
    agents = ["memalpha", "bm25", "long-context", "recent", "random-k"]
    found = rows(folder, [*agents, "none", "oracle", "closed-book", "constant"])
    oracle, none = headline(found["oracle"]), headline(found["none"])
    assert oracle > none + 0.2
    for name, result in found.items():
        assert none <= headline(result) <= oracle, name
    assert found["none"]["abstention"]["recall"] == 1.0  # with an empty memory everything is declined
    assert found["oracle"]["metrics"]["evidence_all"]["value"] == 1.0


def test_more_chunks_help_until_they_hold_the_evidence(folder: Path) -> None:
    found = rows(folder, ["bm25", "random-k"], settings={"k": [1, 2, 4]})
    evidence = [found[f"bm25 k={k}"]["metrics"]["evidence_all"]["value"] for k in (1, 2, 4)]
    assert evidence[0] < evidence[1] <= evidence[2]
    assert headline(found["bm25 k=1"]) < headline(found["bm25 k=4"])
    for k in (1, 2, 4):
        assert headline(found[f"random-k k={k}"]) <= headline(found[f"bm25 k={k}"])


def test_the_recent_past_is_a_smaller_part_of_a_longer_stream(folder: Path) -> None:
    values = [headline(rows(folder, ["recent"], task)["recent"]) for task in ("synth-10k", "synth-30k", "synth-100k")]
    assert values[0] > values[1] >= values[2]


def test_the_memory_of_another_stream_is_worth_nothing(folder: Path) -> None:
    found = rows(folder, ["shuffled", "none"])
    assert headline(found["shuffled"]) <= headline(found["none"]) + 0.05
