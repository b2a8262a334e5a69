"""`memeval run` as a Python function.

    runs = memeval.run(agent=["bm25", "memalpha"], task="synth-10k", model="offline", limit=20)
    runs = await memeval.arun(...)      the same where an event loop runs, without holding it up

Results are in folders below `runs_dir`, as those of the command are: the same call finds them again, and finishes a run that
was stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, Unpack, get_type_hints

import msgspec

from memeval import process
from memeval.errors import UsageError, suggest
from memeval.results import wandb_log
from memeval.results.load import Runs, of_outcome
from memeval.runs.options import CONCURRENCY, Options, as_typed
from memeval.runs.run import Outcome
from memeval.runs.run_all import run_all
from memeval.typed import Count, Positive, typed

StrPath = str | os.PathLike[str]
Agents = StrPath | type | Sequence[StrPath | type]
"""Names or paths as on the command line, or classes."""
Tasks = StrPath | Sequence[StrPath]
Above0 = Annotated[float, msgspec.Meta(gt=0)]


class RunOptions(TypedDict, total=False):
    """The other flags of `memeval run`, under their names with `_` for `-`; docs/command-line.md says what they mean.

    tag, thinking: a text for `model`, or role -> text. set: parameter -> value; a list of values makes a grid, so write
    `[[1, 2]]` for one value that is a list. prompt: role -> file. answer_budget: tokens; several give a run each.
    """

    memory: str | None
    reader: str | None
    judge: str | None
    embedder: str | None
    base_url: str | None
    tag: str | Mapping[str, str] | None
    thinking: str | Mapping[str, str] | None
    seed: int
    repeats: Positive | None
    answer_repeats: Positive
    answer_budget: Positive | Sequence[Positive] | None
    exact_tokens: Positive | None
    set: Mapping[str, Any] | None
    prompt: Mapping[str, str] | None
    data_dir: str | None
    tasks_dir: str | Sequence[str] | None
    agents_dir: str | Sequence[str] | None
    concurrency: Positive
    timeout: Above0 | None
    wait: Above0 | None
    rpm: Above0 | None
    tpm: Above0 | None
    fold_system: bool
    max_cost: Annotated[float, msgspec.Meta(ge=0)] | None
    max_calls: Count | None
    no_cache: bool
    agent_timeout: Above0 | None
    label: str
    log: Literal["wandb"] | None
    fresh: bool
    fresh_memory: bool
    same_model: bool
    quiet: bool


HERE = "memeval.run()"
PLURALS = {"tag": "tags", "thinking": "thinking", "prompt": "prompts"}
"""Option -> the name under which the command line passes its values."""
_one_at_a_time = threading.Lock()
"""Calls in one process run one after the other: a run changes the working directory and shows the only progress display."""


def run(
    agent: Agents,
    task: Tasks,
    *,
    model: str | None = None,
    limit: int | None = None,
    runs_dir: StrPath = "runs",
    **options: Unpack[RunOptions],
) -> Runs:
    """Run every agent on every task. The results cover the questions that were asked for.

    A run that stopped itself (a server that is down, a spending limit) is returned with `summary.status` "partial"; a line
    on stderr says why, and the runs planned after it are missing. A run with too many failures is "invalid".

    Raises TypeError for an option that does not exist, UsageError for bad input (one line), and KeyboardInterrupt after
    Ctrl-C, once the folders are closed. The same call then resumes the run. Works in a notebook, too.
    """
    return _runs(_outcomes(_options(agent, task, model, limit, runs_dir, options), options))


async def arun(
    agent: Agents,
    task: Tasks,
    *,
    model: str | None = None,
    limit: int | None = None,
    runs_dir: StrPath = "runs",
    **options: Unpack[RunOptions],
) -> Runs:
    """Call `run` in a thread of its own. Cancelling it stops the run in order, as Ctrl-C does. Several calls in one process
    run one after the other."""
    wanted = _options(agent, task, model, limit, runs_dir, options)
    handle = process.Handle()
    done = asyncio.get_running_loop().run_in_executor(None, handle.call, partial(_outcomes, wanted, options, handle))
    try:
        return _runs(await asyncio.shield(done))
    except asyncio.CancelledError:
        handle.stop()
        with contextlib.suppress(Exception):
            await done
        raise


def _outcomes(wanted: Options, options: RunOptions, handle: process.Handle | None = None) -> list[Outcome]:
    with _one_at_a_time, process.surroundings():
        if handle and handle.stopped:
            return []
        if options.get("log"):
            wandb_log.require()
        fresh, fresh_memory = options.get("fresh", False), options.get("fresh_memory", False)
        outcomes = run_all(wanted, fresh=fresh, fresh_memory=fresh_memory)
        if options.get("log"):
            wandb_log.send(outcomes)
        return outcomes


def _runs(outcomes: Iterable[Outcome]) -> Runs:
    found = []
    for outcome in outcomes:
        if outcome.interrupted:
            raise KeyboardInterrupt("interrupted; the same call resumes")
        found.append(of_outcome(outcome))
    return Runs(found)


# -- what was given -----------------------------------------------------------------------------------------------------


def _options(
    agent: Agents, task: Tasks, model: str | None, limit: int | None, runs_dir: StrPath, options: RunOptions
) -> Options:
    """Check each option against its declared type, and convert all to what the command line passes."""
    given = _checked({"model": model, "limit": limit, **options})
    texts = {plural: _pairs(given.pop(name, ())) for name, plural in PLURALS.items()}
    settings = {key: value if isinstance(value, list) else [value] for key, value in given.pop("set", {}).items()}
    if "answer_budget" in given:
        given["answer_budgets"] = ",".join(map(str, _listed(given.pop("answer_budget"))))
    folders = {name: tuple(_listed(given.pop(name, []))) for name in ("tasks_dir", "agents_dir")}
    if "data_dir" in given:
        given["data_dir"] = Path(given["data_dir"]).expanduser()
    for name in ("fresh", "fresh_memory", "log"):  # these belong to the command, not to its runs
        given.pop(name, None)
    given |= {
        "concurrency": process.affordable(given.get("concurrency", CONCURRENCY)),
        "runs_dir": Path(_name(runs_dir, "runs_dir")).expanduser(),
        "use_cache": not given.pop("no_cache", False),
        "settings": settings,
    }
    agents, tasks = map(_agent, _listed(agent)), (_name(one, "task") for one in _listed(task))
    return as_typed(agents, tasks, {**given, **texts, **folders})


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The given options without those that are None. Raises TypeError and UsageError as `run` does."""
    kinds = {"model": str | None, "limit": Count | None, **get_type_hints(RunOptions, include_extras=True)}
    found = {}
    for name, value in options.items():
        if name not in kinds:
            raise TypeError(f"{HERE} has no option '{name}'{suggest(name, [*kinds, 'agent', 'task', 'runs_dir'])}")
        found[name] = typed(_plain(value), kinds[name], HERE, name)
    return {name: value for name, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    """Paths as texts, tuples as lists, numpy's whole numbers as Python's, in lists and mappings too."""
    if type(value) is not bool and isinstance(value, Integral):
        return int(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _pairs(given: str | Mapping[str, str] | tuple[()]) -> tuple[str, ...]:
    """The values as flags take them: `TEXT`, or one `ROLE=TEXT` per role."""
    return (given,) if isinstance(given, str) else tuple(f"{role}={text}" for role, text in dict(given).items())


def _listed(given: Any) -> Sequence[Any]:
    return given if isinstance(given, Sequence) and not isinstance(given, str) else [given]


def _name(given: Any, option: str) -> str:
    try:
        return str(os.fspath(given))
    except TypeError:
        raise UsageError(f"{HERE}: '{option}' is {given!r:.80}, expected a name or a path") from None


def _agent(given: Any) -> str:
    """The agent's name as on the command line. A class must be in a file: later runs find it, and see changes, there."""
    if not isinstance(given, type):
        return _name(given, "agent")
    file = getattr(sys.modules.get(given.__module__), "__file__", None)
    if not file or not Path(file).is_file():  # "<stdin>"
        name = given.__qualname__
        raise UsageError(f"{HERE}: class {name} is in no file; write it to one (%%writefile) and give 'file.py:{name}'")
    return f"{given.__module__}:{given.__qualname__}"
