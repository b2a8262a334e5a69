"""`memeval list memories` and `memeval remove`: what is shown, what is deleted, and what never is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from folders import memory_of, run_folders

from memeval.cli import main


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two runs from one memory, and a control."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
    line = {"units": ["Ann Lee lives in Arlen."], "questions": [{"text": "Where does Ann Lee live?", "answer": "Arlen"}]}
    (tmp_path / "notes.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "notes.yaml").write_text("source: jsonl\nparams: {file: notes.jsonl}\nquestions: 0\n")
    command = ["run", "--task", "notes.yaml", "--model", "offline", "--quiet"]
    assert invoke(*command, "--agent", "bm25", "--answer-budget", "64,8").exit_code == 0
    assert invoke(*command, "--agent", "none").exit_code == 0
    first, second, control = run_folders(tmp_path / "runs")
    assert memory_of(first) == memory_of(second)
    return [path.relative_to(tmp_path) for path in (first, second, control)]


def invoke(*words: object) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_memories_are_listed_with_their_size_and_runs(runs: list[Path]) -> None:
    printed = invoke("list", "memories").output
    memory = memory_of(runs[0]).relative_to(Path.cwd())
    assert str(memory) in printed
    assert " kB  " in printed
    lines = printed.splitlines()
    place = lines[0].index("READ BY")
    assert [line[place:] for line in lines[1:3]] == sorted(map(str, runs[:2]))
    assert str(runs[2]) not in printed
    assert invoke("list", "memories", "--runs-dir", "elsewhere").output == "no memories in elsewhere\n"


def test_a_memory_is_deleted_only_when_no_run_names_it(runs: list[Path]) -> None:
    memory = memory_of(runs[0])
    refused = invoke("remove", memory)
    assert refused.exit_code == 2
    assert "; remove its runs first" in refused.output
    assert invoke("remove", runs[0]).output == f"removed {runs[0]}\n"
    refused = invoke("remove", memory, runs[2])
    assert (refused.exit_code, runs[2].is_dir()) == (2, True)  # checked before anything is deleted
    assert f"no run reads {memory} now" in invoke("remove", runs[1]).output
    assert memory.is_dir()
    assert invoke("list", "memories").output.rstrip().endswith("none")
    assert invoke("remove", memory).output == f"removed {memory}\n"
    assert not memory.exists()
    assert runs[2].is_dir()


def test_runs_and_their_memory_at_once(runs: list[Path]) -> None:
    assert invoke("remove", memory_of(runs[0]), *runs[:2]).exit_code == 0
    assert [path.name for path in (Path("runs") / "notes").iterdir() if path.name != "memories"] == [runs[2].name]


@pytest.mark.parametrize("what", ["home", "file", "absent", "foreign", "link", "task", "memories"])
def test_nothing_else_is_deleted(runs: list[Path], what: str) -> None:
    path = Path(what)
    if what == "home":
        path.mkdir()
        (path / "letters.txt").write_text("dear")
    elif what == "file":
        path.write_text("text")
    elif what == "foreign":  # a run, with something of the user's
        path = runs[0]
        (path / "thesis.pdf").write_text("years of work")
    elif what == "link":
        path.symlink_to(runs[0].resolve())
    elif what in ("task", "memories"):
        path = runs[0].parent / ("" if what == "task" else "memories")
    before = sorted(Path("runs").rglob("*"))
    refused = invoke("remove", path, runs[1])
    assert refused.exit_code == 2
    assert refused.output.startswith("memeval: ")
    assert refused.output.count("\n") == 1
    assert sorted(Path("runs").rglob("*")) == before
    assert path.exists() is (what != "absent")


@pytest.mark.parametrize("held", ["run", "memory"])
def test_what_another_process_writes_is_left_alone(runs: list[Path], held: str) -> None:
    memory = memory_of(runs[0])
    if held == "memory":
        assert invoke("remove", *runs[:2]).exit_code == 0
    path = runs[0] if held == "run" else memory
    code = (
        "import sys; from pathlib import Path; from memeval.records.lock import lock\n"
        f"held = lock(Path({str(path)!r}) / '.lock'); print(held is not None, flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        refused = invoke("remove", path)
        assert refused.exit_code == 2
        assert "another memeval process is" in refused.output
        assert path.is_dir()
        holder.communicate("\n")
    assert invoke("remove", path).exit_code == 0
