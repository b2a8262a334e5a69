"""Runs a scenario's commands as a user does, one process each, and reads off what a user sees.

Only what is pinned is read: exit codes, the pinned keys of `--format json`, four keys of the samples.jsonl at the printed
path, the first two columns of a table, the number of lines on stderr where there must be one. No wording, no other file.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import preloaded
from faulty_server import Faults, in_thread
from parity_server import ParityServer
from parity_tasks import write_tasks
from preloaded import Command

DIGITS = 6
SIZES = {"memory_tokens": ("mean", "max"), "stream_tokens": ("min", "mean", "max"), "tokens": ("prompt", "completion")}
CONFIG = {"prices": {"tiny": {"prompt": 1.0, "completion": 2.0}}}


@dataclass(frozen=True)
class Step:
    """One command. `{url}` in it is the server's address, `{path}` the folder of the first run printed last.

    faults: how the server misbehaves meanwhile. key: the API key that is sent. halts: it stops itself before its end, after
    a number of replies that is a fact (`exact`) or not (`somewhere`); which samples it has by then is chance.
    """

    args: str
    faults: Faults | None = None
    key: str = "a-key-of-the-suite"
    halts: Literal["", "exact", "somewhere"] = ""


@dataclass(frozen=True)
class Scenario:
    """Commands that share a folder, a cache and a server. key: the only API key that the server takes. files: name -> text
    of what the folder holds beside tasks/ and agents.py."""

    name: str
    steps: Sequence[Step]
    key: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Place:
    """Where the commands of a scenario run."""

    folder: Path
    server: ParityServer
    path: str = ""

    def start(self, step: Step) -> Command:
        words = shlex.split(step.args.replace("{url}", self.server.url).replace("{path}", self.path))
        if words[0] == "run":
            words += [] if "--format" in words else ["--format", "json"]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MEMEVAL_", "OPENAI_"))}
        own = {"MEMEVAL_CACHE": str(self.folder / "cache"), "MEMEVAL_API_KEY": step.key, "COLUMNS": "200"}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return preloaded.start(words, self.folder, {**clean, **own}, **streams)

    def run(self, step: Step, stop: tuple[int, signal.Signals] | None = None) -> tuple[int, str, str]:
        """(exit code, stdout, stderr) of a step. stop: (k, signal): sent to the process when its k-th request arrives."""
        server = self.server
        server.faults = step.faults or (lambda prompt, attempt: None)
        server.attempts.clear()
        process: list[Command] = []
        if stop is not None:
            after, number = stop
            server.action = lambda: process[0].send_signal(number)
            server.stop_at = len(server.seen) + after
        process.append(self.start(step))
        out, err = process[0].communicate()
        server.stop_at = 0
        return process[0].wait(), out, err


@contextmanager
def place(folder: Path, key: str | None = None, files: Mapping[str, str] | None = None) -> Iterator[Place]:
    """A folder with the suite's tasks and agents, and a server."""
    write_tasks(folder)
    for name, text in {"memeval.yaml": json.dumps(CONFIG), **(files or {})}.items():
        (folder / name).write_text(text, encoding="utf-8")
    with in_thread(ParityServer(key=key)) as server:
        assert isinstance(server, ParityServer)
        yield Place(folder, server)


def perform(scenario: Scenario, folder: Path) -> list[dict[str, Any]]:
    """What each command of a scenario did, as it is recorded.

    `requests`: what the server received from this command, by role. After a command that stopped itself `replies` is there
    instead: the good ones of all commands so far.
    """
    facts = []
    halted = False
    with place(folder, scenario.key, scenario.files) as here:
        for step in scenario.steps:
            before = here.server.requests
            code, out, err = here.run(step)
            halted = halted or bool(step.halts)
            sent = {who: count - before.get(who, 0) for who, count in here.server.requests.items()}
            found: dict[str, Any] = {"command": f"memeval {step.args}", "exit": code}
            if not halted:
                found["requests"] = {who: count for who, count in sent.items() if count}
            elif step.halts != "somewhere":
                found["replies"] = here.server.served.total()
            assert "Traceback" not in err, err
            if code == 2:
                assert err.startswith("memeval: "), err
                found["lines"] = len(err.splitlines())
            elif step.args.startswith("run"):
                found |= printed(step, out, here, halted)
            facts.append(found)
    return facts


def printed(step: Step, out: str, here: Place, halted: bool) -> dict[str, Any]:
    """What a run printed."""
    if "--format table" in step.args:
        return {"table": table(out)}
    data = json.loads(out)
    here.path = data["runs"][0]["path"]
    if step.halts:
        return {"runs": [{key: run[key] for key in ("agent", "task", "status")} for run in data["runs"]]}
    runs = [result(run, here.folder / run["path"]) for run in data["runs"]]
    if halted:
        for run in runs:
            del run["requests"]
    return {"runs": runs}


def result(run: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The pinned facts of one run. reasons: how often each of them counts as wrong or failed."""
    return {
        **{key: run[key] for key in ("agent", "task", "n", "failed", "status")},
        "reasons": sorted(run["reasons"].values()),
        "headline": {key: rounded(run["headline"][key]) for key in ("metric", "value", "low", "high")},
        "metrics": {name: rounded(row["value"]) for name, row in sorted(run["metrics"].items())},
        **{name: {key: rounded(run[name][key]) for key in keys} for name, keys in SIZES.items()},
        "calls": {who: count for who, count in sorted(run["calls"].items()) if count},
        "requests": run["requests"],
        "samples": samples(folder),
    }


def samples(folder: Path) -> list[str]:
    """The samples of a run folder: question, repeat, and the answer or that there is none."""
    lines = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    return sorted(
        f"{line['question_id']} #{line['repeat']}: {'FAILED' if line['failure'] is not None else line['answer']}"
        for line in lines
    )


def table(out: str) -> list[list[str]]:
    """The first two columns of the first table: agent and score, with the score's mark."""
    block = next(part for part in out.split("\n\n") if "|" in part)
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in block.splitlines() if line.startswith("|")]
    return rows[2:]


def rounded(value: Any) -> Any:
    return round(value, DIGITS) if isinstance(value, float) else value
