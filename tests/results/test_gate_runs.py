"""The gate on real runs: the same agent twice, a worse one, too few questions, a broken run."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from memeval.cli import main

AGENTS = """
from memeval import Item, Recall

class Whole:
    def begin(self, session): self.chunks = []
    def observe(self, chunk): self.chunks.append(chunk)
    def recall(self, query): return Recall([Item(c.text, chunks=(c.id,)) for c in self.chunks])

class Forgets(Whole):
    '''Worse on purpose: it keeps the last chunk alone.'''
    def observe(self, chunk): self.chunks = [chunk]

class Skips(Whole):
    '''A little worse: it forgets the first chunk.'''
    def finish(self): self.chunks = self.chunks[1:]

class Breaks(Whole):
    def recall(self, query):
        raise RuntimeError("no recall today")
"""


def memeval(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, arguments)
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents.py").write_text(AGENTS)
    return tmp_path


def run(agent: str, label: str, limit: int, runs_dir: str = "runs") -> int:
    words = ("--task", "synth-10k", "--limit", str(limit), "--label", label, "--runs-dir", runs_dir, "--quiet", "--no-cache")
    return memeval("run", "--agent", f"agents.py:{agent}", *words)[0]


@pytest.mark.slow
@pytest.mark.usefixtures("project")
def test_a_change_is_judged_by_a_baseline() -> None:
    assert run("Whole", "released", 60) == 0
    assert memeval("export", "released", "--to", "baseline")[0] == 0
    assert run("Whole", "again", 60, "again") == 0
    gate = ("gate", "--baseline", "baseline", "--candidate")
    code, said, _ = memeval(*gate, "again", "--runs-dir", "again", "--max-drop", "0.1", "--strict")
    assert (code, "gate: pass" in said) == (0, True)

    assert run("Forgets", "worse", 60) == 0
    code, said, _ = memeval(*gate, "worse", "--max-drop", "0.1")
    assert (code, "gate: regression" in said) == (1, True)

    assert run("Breaks", "broken", 60) == 3
    assert memeval(*gate, "broken")[0] == 3


@pytest.mark.slow
@pytest.mark.usefixtures("project")
def test_too_few_questions_do_not_tell() -> None:
    assert run("Whole", "few", 8) == run("Skips", "few-worse", 8) == 0
    gate = ("gate", "--baseline", "few", "--candidate", "few-worse")
    code, said, warned = memeval(*gate)
    assert (code, "gate: inconclusive" in said, "warning: inconclusive" in warned) == (0, True, True)
    assert memeval(*gate, "--strict")[0] == 1
