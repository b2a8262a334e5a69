"""Chunks of the size that an agent asks for, and questions that are shown while reading."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import preloaded
import pytest
from faulty_server import FaultyServer, in_thread

from memeval import prompts
from memeval.errors import UsageError
from memeval.models.offline.reading import answer
from memeval.runs.options import Options
from memeval.runs.plan import plan

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


def test_an_agent_gets_chunks_of_the_size_that_it_asks_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    (project / "big.py").write_text(AGENT.format(attribute="chunk_tokens = 5000"))
    (project / "plain.py").write_text(AGENT.format(attribute=""))
    (project / "fixed.yaml").write_text(f"{CARD}protocol: somebody's\n")
    (project / "apart.yaml").write_text(f"{CARD}one_unit_per_chunk: true\n")
    tasks = ["synth-10k", "fixed.yaml", "apart.yaml"]

    def sizes(*agents: str, **options: Any) -> list[int]:
        return [run.spec.chunk_tokens for run in plan(Options(agents, tasks, models={"model": "offline"}, **options))]

    assert sizes("big.py:Big") == [5000, 2048, 2048]
    assert sizes("plain.py:Big") == [2048, 2048, 2048]
    assert sizes("memagent", settings={"chunk_tokens": [0, 1000]}) == [2048, 1000, 2048, 2048, 2048, 2048]
    (project / "big.py").write_text(AGENT.format(attribute="chunk_tokens = '5k'"))
    with pytest.raises(UsageError, match="agent 'Big': chunk_tokens is '5k', expected a whole number, 0 for the task's"):
        sizes("big.py:Big")


def test_its_streams_are_read_again_in_the_same_chunks(project: Path) -> None:
    """Else the stored replies to them are not found."""
    (project / "big.py").write_text(AGENT.format(attribute="chunk_tokens = 5000") + WRITES)
    words = ["run", "--model", "offline", "--agent", "big.py:Big", "--task", "synth-10k", "--limit", "8", "--format", "json"]
    done = preloaded.run(words, cwd=project)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["runs"][0]
    assert run["calls"]["memory"] == 2 * 8  # streams of some 7,500 tokens
    shown = preloaded.run(["attribute", "latest", "--format", "json"], cwd=project)
    assert shown.returncode == 0, shown.stderr
    (found,) = json.loads(shown.stdout)["attributed"]
    assert found["memory"] == "replay"
    assert None not in [answer["with_memory"] for answer in found["answers"] if answer["where"] == "write"]


def test_the_question_is_in_view_where_the_task_shows_it(project: Path) -> None:
    agents = {"memagent": True, "mem1": True, "summary": False}
    words = ["run", "--task", "synth-10k@visible", "--limit", "2", "--model", "offline", "--format", "json"]
    done = preloaded.run([*words, "--agent", ",".join(agents)], cwd=project)
    assert done.returncode == 0, done.stderr
    for run, used in zip(json.loads(done.stdout)["runs"], agents.values(), strict=True):
        assert run["query"] == {"offered": True, "used": used}
        assert run["calls"] == ({"memory": 2 * (2 + 1)} if used else {"memory": 2 * 4, "reader": 2})


def keeps_what_the_question_is_about(asked: dict[str, Any]) -> dict[str, Any]:
    """A model that answers from its memory, and that writes down, of the memory and the chunk, the 10 sentences that share
    most words with the question in view, or the first 10 where there is none."""
    prompt = "\n\n".join(message["content"] for message in asked["messages"])
    found = {tag: prompts.untag(tag, prompt) for tag in prompts.TAGS}
    memory, chunk, question = (found[tag] or "" for tag in (prompts.MEMORY, prompts.CHUNK, prompts.QUESTION))
    if chunk:
        wanted = set(re.findall(r"\w{4,}", question.lower()))
        lines = [line for line in re.split(r"(?<=[.!?])\s+|\n", f"{memory.removeprefix('Empty.')}\n{chunk}") if line]
        best = sorted(lines, key=lambda line: -len(wanted & set(re.findall(r"\w{4,}", line.lower()))))
        text = "\n".join(best[:10])
    else:
        text = answer(memory, question)
    return {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": len(prompt), "completion_tokens": 9},
    }


def test_a_question_in_view_decides_what_is_kept(project: Path) -> None:
    with in_thread(FaultyServer(body=keeps_what_the_question_is_about)) as server:
        words = ["--agent", "memagent,mem1", "--model", f"m@{server.url}", "--limit", "16", "--format", "json"]
        done = preloaded.run(["run", "--task", "synth-10k,synth-10k@visible", *words], cwd=project)
    assert done.returncode == 0, done.stderr
    found = {(run["agent"], run["task"]): run["headline"]["value"] for run in json.loads(done.stdout)["runs"]}
    for agent in ("memagent", "mem1"):
        assert found[agent, "synth-10k@visible"] > found[agent, "synth-10k"] + 0.2
