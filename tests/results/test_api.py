"""`memeval run` from Python: what it returns, what it raises, and where an event loop runs already."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import click
import numpy
import pytest
from click.testing import CliRunner
from msgspec import convert
from msgspec.structs import replace

import memeval
from memeval.cli import main
from memeval.records.summary import Summary
from memeval.results.api import RunOptions

LINES = [
    {
        "units": ["Ann Lee lives in Orsk.", "Bo Ray lives in Pell."],
        "questions": [{"text": "Where does Ann Lee live?", "answer": "Orsk"}],
    },
    {"units": ["Cy Fox lives in Quay."], "questions": [{"text": "Where does Cy Fox live?", "answer": "Quay"}]},
]


@pytest.fixture
def task(project: Path) -> str:
    (project / "notes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    (project / "notes.yaml").write_text("name: notes\nsource: jsonl\nparams: {file: notes.jsonl}\n")
    return "notes.yaml"


def notes(task: str, **options: Any) -> memeval.Runs:
    return memeval.run("bm25", task, **{"model": "offline", "quiet": True, **options})


def test_every_agent_on_every_task(task: str, project: Path) -> None:
    runs = memeval.run(["bm25", "none"], [Path(task)], model="offline", quiet=True, label="mine", runs_dir=project / "here")
    assert [(run.agent, run.task, run.label, run.summary.status) for run in runs] == [
        ("bm25", task, "mine", "complete"),
        ("none", task, "mine", "complete"),
    ]
    assert runs[0].values() == dict.fromkeys(runs[0].questions, 1.0)
    assert replace(runs[0].summary, requests=0) == printed(
        "--agent", "bm25", "--task", task, "--runs-dir", str(project / "here")
    )
    assert len(memeval.load_runs("mine", runs_dir=project / "here")) == 2


def printed(*words: str) -> Summary:
    """What the command prints of a run."""
    done = CliRunner().invoke(main, ["run", "--model", "offline", "--format", "json", *words])
    return convert(json.loads(done.stdout)["runs"][0], Summary)


def test_a_run_speaks_of_the_questions_that_were_asked_for(task: str) -> None:
    assert len(notes(task)[0].values()) == 2
    [first] = notes(task, limit=numpy.int64(1))
    assert (first.summary.n, len(first.values()), len(first.samples)) == (1, 1, 1)
    assert len(memeval.find_run("notes/bm25").values()) == 2


def test_a_finished_run_gets_a_label_without_running_again(task: str) -> None:
    [run] = notes(task)
    [again] = notes(task, label="mine")
    assert (run.label, again.label, again.summary.requests) == ("", "mine", 0)
    assert notes(task)[0].label == "mine"  # until it gets another
    assert [found.path for found in memeval.load_runs("mine")] == [run.path]


def test_a_grid_and_the_texts_of_flags(task: str) -> None:
    runs = notes(task, set={"k": [1, 2]}, tag={"reader": "step-1"}, answer_budget=[8, 4], thinking="off")
    assert [run.manifest.identity["agent"]["params"]["k"] for run in runs] == [1, 1, 2, 2]
    assert [run.summary.answer_budget for run in runs] == [8, 4, 8, 4]
    assert {run.tag for run in runs} == {"step-1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": -1}, r"memeval.run\(\): 'limit' is -1, expected a whole number >= 0"),
        ({"limit": "8"}, "'limit' is '8', expected a whole number"),
        ({"answer_budget": [8, 0]}, "'answer_budget.1.' is 0"),
        ({"set": {"kk": 1}}, "no agent of this run has a parameter 'kk'; did you mean 'k'"),
        ({"model": "ofline"}, "did you mean 'offline'"),
        ({"tag": {"readr": "x"}}, "did you mean 'reader'"),
        ({"quiet": "yes"}, "'quiet' is 'yes', expected true or false"),
    ],
)
def test_bad_values_are_one_line(task: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(memeval.UsageError, match=message):
        notes(task, **options)


@pytest.mark.parametrize("wrong", [{"agent": None}, {"task": 3}, {"agent": ["none", None]}, {"runs_dir": None}])
def test_what_is_no_name_is_one_line(task: str, wrong: dict[str, Any]) -> None:
    (option,) = wrong
    shown = wrong[option][-1] if isinstance(wrong[option], list) else wrong[option]
    with pytest.raises(memeval.UsageError, match=rf"memeval.run\(\): '{option}' is {shown}, expected a name or a path"):
        memeval.run(**{"agent": "none", "task": task, "model": "offline", **wrong})


def test_an_option_that_does_not_exist(task: str) -> None:
    for wrong, right in (("limt", "limit"), ("answer_budgets", "answer_budget"), ("tasks", "task")):
        with pytest.raises(TypeError, match=f"no option '{wrong}'; did you mean '{right}'"):
            notes(task, **{wrong: 1})


def test_the_options_are_the_flags_of_the_command() -> None:
    command = main.commands["run"]
    flags = {max(option.opts, key=len).removeprefix("--").replace("-", "_") for option in command.params}
    assert flags == {*get_type_hints(RunOptions), "agent", "task", "model", "limit", "runs_dir", "format"}
    assert isinstance(command, click.Command)


def test_a_run_that_stops_itself_is_partial(task: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "replies.jsonl").write_text('{"reply": "Orsk"}\n')
    [run] = notes(task, reader="scripted:replies.jsonl", max_calls=1, concurrency=1)
    assert (run.summary.status, run.summary.n) == ("partial", 1)
    assert "--max-calls 1 is used up" in capsys.readouterr().err


AGENT = """
import threading
import memeval

started, goes_on = threading.Event(), threading.Event()

class Notebook:
    def begin(self, session): self.notes = []
    def observe(self, chunk):
        self.notes.append(chunk)
        {then}
    def recall(self, query): return memeval.Recall([memeval.Item(c.text, chunks=(c.id,)) for c in self.notes])
"""


@pytest.fixture(autouse=True)
def importable(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(project))
    yield
    for name in ("slow", "note_agent"):
        sys.modules.pop(name, None)


def test_a_class_is_an_agent(task: str, project: Path) -> None:
    (project / "note_agent.py").write_text(AGENT.format(then="pass"))
    import note_agent  # type: ignore[import-not-found]

    [run] = memeval.run(note_agent.Notebook, task, model="offline", quiet=True)
    assert (run.agent, run.summary.headline.value) == ("note_agent:Notebook", 1.0)
    made = type("Nowhere", (), {"__module__": "no_such_module"})
    with pytest.raises(memeval.UsageError, match="class Nowhere is in no file; write it to one"):
        memeval.run(made, task, model="offline")


def test_where_an_event_loop_runs(task: str) -> None:
    async def cell() -> tuple[memeval.Runs, memeval.Runs, memeval.Runs]:
        within = notes(task)
        one, other = await asyncio.gather(
            memeval.arun("bm25", task, model="offline", limit=1, quiet=True),
            memeval.arun("recent", task, model="offline", quiet=True),
        )
        return within, one, other

    within, one, other = asyncio.run(cell())
    assert [run[0].summary.n for run in (within, one, other)] == [2, 1, 2]
    assert other[0].agent == "recent"


def test_ctrl_c_is_keyboard_interrupt_and_the_same_call_goes_on(task: str, project: Path) -> None:
    first = "import os, pathlib\nif pathlib.Path('stop').exists(): os.kill(os.getpid(), 2)"
    (project / "slow.py").write_text(AGENT.format(then=textwrap.indent(first, 8 * " ").strip()))
    (project / "stop").touch()
    with pytest.raises(KeyboardInterrupt):
        memeval.run("slow.py:Notebook", task, model="offline", quiet=True, concurrency=1)
    stopped = memeval.find_run("notes/slow.py:Notebook")
    assert (stopped.summary.status, stopped.summary.n) == ("partial", 0)
    (project / "stop").unlink()
    [finished] = memeval.run("slow.py:Notebook", task, model="offline", quiet=True)
    assert (finished.path.resolve(), finished.summary.status) == (stopped.path.resolve(), "complete")


def test_a_task_that_is_cancelled_stops_in_order(task: str, project: Path) -> None:
    (project / "slow.py").write_text(AGENT.format(then="started.set(); goes_on.wait(10)"))
    import slow  # type: ignore[import-not-found]

    async def cancelled() -> None:
        running = asyncio.create_task(memeval.arun(slow.Notebook, task, model="offline", quiet=True, concurrency=1))
        assert await asyncio.to_thread(slow.started.wait, 10)
        running.cancel()
        slow.goes_on.set()
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert memeval.find_run("latest").summary.status == "partial"


def test_importing_memeval_loads_nothing_heavy() -> None:
    heavy = {"pandas", "msgspec", "click", "numpy", "asyncio"}
    script = f"import sys, memeval; print(sorted({{name.split('.')[0] for name in sys.modules}} & {heavy}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert {"run", "arun", "load_runs", "find_run", "Runs", "UsageError"} <= set(dir(memeval))
