"""Agents that raise what nobody expects, print, or never come back: the others go on, and Ctrl-C ends the run."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import preloaded
import pytest
from toys import Diary, simple


def raising(error: type[BaseException], kind: str) -> type:
    def observe(self: Any, chunk: Any) -> None:
        if "Person1" in chunk.text:
            raise error
        self.chunks.append(chunk)

    async def observing(self: Any, chunk: Any) -> None:
        observe(self, chunk)

    return type("Rude", (Diary,), {"observe": observing if kind == "async" else observe})


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, BaseException, StopIteration, asyncio.CancelledError])
def test_whatever_an_agent_raises_is_its_contexts_failure(toy: Any, error: type[BaseException], kind: str) -> None:
    agent = raising(error, kind)
    events = toy.events(toy.planned(agent, [simple(0), simple(1), simple(2)]))
    failures = {event["question_id"]: event["failure"] for event in events if event["event"] == "sample"}
    assert failures["q0"] is failures["q2"] is None
    assert failures["q1"].startswith(f"ingest: agent raised {error.__name__}() in observe at test_rude_agents.py:")


def test_an_error_in_an_agents_own_copying_is_its_contexts_failure(toy: Any) -> None:
    from memeval.task import Context, Question, Unit

    class Uncopied(Diary):
        def __deepcopy__(self, memo: dict[int, Any]) -> Any:
            raise ValueError("not today")

    units = tuple(Unit(f"Sentence {number} of a stream.") for number in range(4))
    questions = (Question("early", "What?", ("x",), position=2), Question("late", "What?", ("x",)))
    events = toy.events(toy.planned(Uncopied, [Context("c", units, questions)]))
    failures = {event["question_id"]: event["failure"] for event in events if event["event"] == "sample"}
    assert "agent raised ValueError(not today) in __deepcopy__" in failures["early"]


RUDE = """
import sys, time
from memeval import Item, Recall

print("imported")

class Rude:
    def __init__(self, sleeps=0): self.sleeps = sleeps
    def begin(self, session): self.notes = []
    def observe(self, chunk):
        print("reading")
        self.notes.append(chunk)
        time.sleep(self.sleeps)
    def recall(self, query): return Recall([Item(c.text, (c.id,)) for c in self.notes])
"""


def command(folder: Path, *options: str) -> list[str]:
    (folder / "rude.py").write_text(RUDE)
    run = ["run", "--agent", "rude.py:Rude", "--task", "synth-10k", "--limit", "1"]
    return [*run, "--model", "offline", *options]


def test_what_an_agent_prints_is_not_among_the_results(tmp_path: Path) -> None:
    done = preloaded.run(command(tmp_path, "--format", "json", "--quiet"), tmp_path)
    assert json.loads(done.stdout)["runs"][0]["n"] == 1
    assert "imported" in done.stderr
    assert "reading" in done.stderr


def test_ctrl_c_ends_a_run_whose_agent_never_comes_back(tmp_path: Path) -> None:
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    process = preloaded.start(command(tmp_path, "--set", "sleeps=600"), tmp_path, **streams)
    assert process.stderr is not None
    try:
        while "reading" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert "the same command resumes" in process.stderr.read()
    finally:
        process.kill()
