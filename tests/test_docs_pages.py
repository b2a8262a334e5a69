"""The pages for people who write agents or extend memeval say what is there."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from memeval.agent import Item, MemoryStats, Recall, Session
from memeval.cli import main

ROOT = Path(__file__).parent.parent
AGENTS = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
EXTENDING = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


def test_the_agent_of_the_page_runs_and_passes_its_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", AGENTS, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    (tmp_path / "my_agent.py").write_text(code)
    block, *_ = re.findall(r"```sh\n(.*?)```", AGENTS, re.DOTALL)
    check, run = (shlex.split(line)[1:] for line in block.strip().splitlines())
    checked = CliRunner().invoke(main, check)
    assert (checked.exit_code, "FAILED" in checked.output) == (0, False), checked.output
    done = CliRunner().invoke(main, [*run, "--quiet", "--format", "json"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["runs"]
    assert (row["n"], row["failed"], row["params"]) == (8, 0, {"last": 2})


def test_every_method_that_the_page_names_is_called(toy_order: list[str]) -> None:
    named = re.findall(r"^\| `(\w+)\(", AGENTS.partition("## The session")[0], re.MULTILINE)
    assert set(named) == {"begin", "observe", "recall", "finish", "answer", "memory", "fork", "close"}
    assert set(toy_order) == set(named)


@pytest.fixture
def toy_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which methods a native agent sees on a task that asks in the middle of a stream."""
    monkeypatch.chdir(tmp_path)
    line = {
        "units": ["A cat.", "A dog."],
        "questions": [{"text": "?", "answer": "x", "position": 1}, {"text": "!", "answer": "y"}],
    }
    (tmp_path / "notes.jsonl").write_text(json.dumps(line))
    (tmp_path / "notes.yaml").write_text("source: jsonl\nparams: {file: notes.jsonl}\n")
    (tmp_path / "every.py").write_text(
        """
from memeval import MemoryStats, Recall

class Every:
    track = "native"
    def say(self, name): open("called", "a").write(name + "\\n")
    def begin(self, session): self.say("begin")
    def observe(self, chunk): self.say("observe")
    def finish(self): self.say("finish")
    def recall(self, query): self.say("recall"); return Recall()
    def answer(self, query, recall): self.say("answer"); return "x"
    def memory(self): self.say("memory"); return MemoryStats({})
    def fork(self, session): self.say("fork"); return Every()
    def close(self): self.say("close")
"""
    )
    done = CliRunner().invoke(main, ["run", "--agent", "every.py:Every", "--task", "notes.yaml", "--model", "offline"])
    assert done.exit_code == 0, done.output
    return (tmp_path / "called").read_text().split()


def test_the_page_names_what_a_session_has() -> None:
    section = AGENTS.partition("## The session")[2].partition("\n## ")[0]
    fields = {*inspect.signature(Session).parameters, "workdir", "query"} - {"scratch", "visible_query", "query_used"}
    assert fields == set(re.findall(r"^\| `(\w+)", section, re.MULTILINE))


def test_signatures_on_the_page_are_those_of_the_code() -> None:
    parameters = ", ".join(str(p).partition(":")[0] for p in inspect.signature(Item).parameters.values())
    assert parameters == "text, chunks, id, score, kind"
    assert "`Item(text, chunks=(), id=None, score=None, kind=None)`" in AGENTS
    assert Item("x") == Item("x", (), None, None, None)
    assert "order" in inspect.signature(Recall).parameters
    assert "entries" in inspect.signature(MemoryStats).parameters


def test_files_and_names_that_the_page_about_extending_gives_exist() -> None:
    paths = set(
        re.findall(
            r"`((?:memeval/|docs/|tests/|runs/|models/|records/|agents/|tasks/|commands/|judging/|_data/)[\w./]+)`",
            EXTENDING,
        )
    )
    assert len(paths) > 30
    for path in paths - {
        "memeval/tasks/NAME.py",
        "memeval/agents/NAME.py",
        "memeval/metrics/NAME.py",
        "memeval/commands/NAME.py",
    }:
        assert (ROOT / path).exists() or (ROOT / "memeval" / path).exists(), path
    for table, file in re.findall(r"`([A-Z]+)`(?: of\b)? in `([\w/.]+)`", EXTENDING):
        assert re.search(rf"^{table}\b", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), (table, file)


def test_the_glossary_is_of_the_words_that_are_used() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\*", GLOSSARY, re.MULTILINE)
    assert len(words) == len(set(words)) > 30
    wanted = "stream context chunk unit question recall reader control memory run sample score note limiter contamination"
    assert set(wanted.split()) <= {part for word in words for part in word.split(", ")}
