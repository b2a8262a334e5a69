"""Chunks of the size that an agent asks for, and questions that are shown while reading."""

from __future__ import annotations

import json
from pathlib import Path

import preloaded
import pytest

AGENT = """
from memeval import Item, MemoryStats, Recall
class Big:
    {attribute}
    def begin(self, session): self.notes = []
    def observe(self, chunk): self.notes.append(chunk)
    def recall(self, query): return Recall([Item(c.text, (c.id,)) for c in self.notes])
"""
WRITES = """
    async def observe(self, chunk):
        asked = [{"role": "user", "content": f"<new_chunk>\\n{chunk.text}\\n</new_chunk>"}]
        self.notes.append(Item((await self.session.models["memory"].generate(asked)).text, (chunk.id,)))
    def begin(self, session): self.session, self.notes = session, []
    def recall(self, query): return Recall(self.notes[-1:])
    def memory(self): return MemoryStats({"notes": 1}, list(self.notes))
"""
CARD = "extends: synth-10k\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path


def chunks(project: Path, *words: str) -> list[int]:
    """The tokens of the chunks of the only stream that a command read."""
    command = ["run", "--model", "offline", "--limit", "1", *words, "--format", "json"]
    done = preloaded.run(command, cwd=project)
    assert done.returncode == 0, done.stderr
    folder = project / json.loads(done.stdout)["runs"][0]["path"]
    rows = (folder / json.loads((folder / "manifest.json").read_text())["memory"] / "operations.jsonl").read_text()
    return [row["chunk_tokens"] for row in map(json.loads, rows.splitlines()) if row.get("chunk_tokens")]


def test_an_agent_gets_chunks_of_the_size_that_it_asks_for(project: Path) -> None:
    (project / "big.py").write_text(AGENT.format(attribute="chunk_tokens = 5000"))
    (project / "plain.py").write_text(AGENT.format(attribute=""))
    (project / "fixed.yaml").write_text(f"{CARD}protocol: somebody's\n")
    (project / "apart.yaml").write_text(f"{CARD}one_unit_per_chunk: true\n")
    plain = chunks(project, "--agent", "plain.py:Big", "--task", "synth-10k")
    big = chunks(project, "--agent", "big.py:Big", "--task", "synth-10k")
    assert max(plain) <= 2048 < big[0] <= 5000
    assert (len(plain), len(big)) == (4, 2)
    assert chunks(project, "--agent", "big.py:Big", "--task", "fixed.yaml") == plain
    assert len(chunks(project, "--agent", "big.py:Big", "--task", "apart.yaml")) == 50


def test_a_size_that_means_nothing_is_refused(project: Path) -> None:
    (project / "big.py").write_text(AGENT.format(attribute="chunk_tokens = '5k'"))
    done = preloaded.run(["run", "--agent", "big.py:Big", "--task", "synth-10k", "--model", "offline"], cwd=project)
    assert done.returncode == 2
    assert "agent 'Big': chunk_tokens is '5k', expected a whole number, 0 for the task's chunks" in done.stderr


def test_its_streams_are_read_again_in_the_same_chunks(project: Path) -> None:
    """Else the stored replies to them are not found."""
    (project / "big.py").write_text(AGENT.format(attribute="chunk_tokens = 5000") + WRITES)
    assert len(chunks(project, "--agent", "big.py:Big", "--task", "synth-10k", "--limit", "8")) == 2 * 8
    shown = preloaded.run(["attribute", "latest", "--format", "json"], cwd=project)
    assert shown.returncode == 0, shown.stderr
    (found,) = json.loads(shown.stdout)["attributed"]
    assert found["memory"] == "replay"
    assert None not in [answer["with_memory"] for answer in found["answers"] if answer["where"] == "write"]


@pytest.mark.parametrize(("agent", "used"), [("memagent", True), ("mem1", True), ("summary", False)])
def test_the_question_is_in_view_where_the_task_shows_it(project: Path, agent: str, used: bool) -> None:
    words = [
        "run",
        "--agent",
        agent,
        "--task",
        "synth-10k@visible",
        "--limit",
        "2",
        "--model",
        "offline",
        "--format",
        "json",
    ]
    done = preloaded.run(words, cwd=project)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["runs"][0]
    assert run["query"] == {"offered": True, "used": used}
    assert run["calls"] == ({"memory": 2 * (2 + 1)} if used else {"memory": 2 * 4, "reader": 2})
