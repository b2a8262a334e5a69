"""What one run is: frozen, picklable data, and the identity that names its folder (DESIGN section 6)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memeval import digests, protocol, tokens
from memeval.cards import AgentCard, TaskCard
from memeval.models import registry, window
from memeval.models.completion import ModelSpec
from memeval.models.limits import Policy
from memeval.plugins import CONTROLS, FOREIGN, SOURCES
from memeval.prompts import READER, READER_PARTS, before_question
from memeval.records.folder import RunFolder, folder_name
from memeval.records.memory import MEMORIES, first_generation, generations, next_generation
from memeval.runs import controls
from memeval.runs.prepare import PackedContext, prepare
from memeval.task import ContextRef
from memeval.tasks import Settings, Task

FORMAT = 4
"""Version of run and memory folders and of everything that changes what a sample holds; part of the identity."""

NO_LIMIT = 10**9
"""Tokens: the budget of a task whose card sets `reader_budget: 0`."""


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """An agent as configured: `typed` is the name on the command line, `params` are the card's with `--set` applied.
    `files`: label -> digest of each source file that it is made of. replayable: whether its memory follows from stored
    replies. chunk_tokens: of a chunk, where the agent asks for chunks of its own size."""

    typed: str
    card: AgentCard
    params: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    replayable: bool = True
    chunk_tokens: int = 0

    @property
    def is_control(self) -> bool:
        return self.card.agent in CONTROLS

    @property
    def deciding(self) -> dict[str, Any]:
        """The parameters that decide about answers."""
        waits = ("timeout",) if self.card.agent in FOREIGN else ()
        return {key: value for key, value in self.params.items() if key not in waits}


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One agent on one task, everything that decides its numbers, and how to execute it.

    prompts: role -> prompt text that replaces the built-in one. data: the task's data facts (hashes). answer_budget:
    tokens of recalled material the reader sees (0 = the task's reader budget). agent_timeout: seconds for one method of an
    agent, None for no limit. policy: how calls go over the wire. label: a name that people gave the run.
    folder: absolute, because an agent may change the working directory; shown: the same as users see it. memory: the folder
    of the memory that is read, absolute; None of a control.
    """

    task_typed: str
    task: TaskCard
    settings: Settings
    agent: AgentSpec
    models: Mapping[str, ModelSpec]
    data: Mapping[str, Any]
    prompts: Mapping[str, str] = field(default_factory=dict)
    repeats: int = 1
    answer_repeats: int = 1
    answer_budget: int = 0
    concurrency: int = 16
    agent_timeout: float | None = None
    use_cache: bool = True
    policy: Policy = field(default_factory=Policy)
    label: str = ""
    folder: Path = Path()
    shown: str = ""
    memory: Path | None = None

    @property
    def memory_link(self) -> str | None:
        """The memory folder as the run's manifest has it: relative to the run folder."""
        return None if self.memory is None else Path(os.path.relpath(self.memory, self.folder.resolve())).as_posix()

    @property
    def chunk_tokens(self) -> int:
        """Most tokens of a chunk: as many as the agent asks for, where no published protocol and no data that come in chunks
        fix them; else the task's."""
        fixed = self.task.protocol or self.task.one_unit_per_chunk
        return self.task.chunk_tokens if fixed else self.agent.chunk_tokens or self.task.chunk_tokens

    def packed(self, task: Task, ref: ContextRef) -> PackedContext:
        """A context of the task as this run reads it: in chunks, with the questions that `ref` asks."""
        count = tokens.counter(self.task.tokenizer)
        found = prepare(task.context(ref), ref, self.chunk_tokens, count, self.task.one_unit_per_chunk)
        control = controls.BY_NAME.get(self.agent.card.agent)
        return controls.with_other(found, task, count) if control and control.elsewhere else found

    @property
    def recall_budget(self) -> int:
        """Tokens of a recall that the reader may see at most, unless there is an answer budget."""
        return self.task.reader_budget or NO_LIMIT

    @property
    def agent_budget(self) -> int:
        """Tokens that an agent is told it may recall: the task's budget, or what the reader's window holds. The answer
        budget is not in it: an agent that knew it could write or recall another memory, and a memory that is read under
        several budgets must be one."""
        size = window.known(self.models["reader"]) if "reader" in self.models else None
        return self.recall_budget if size is None else min(self.recall_budget, window.room(size))

    @property
    def budget(self) -> int:
        """Tokens of recalled material the reader may see: the least of the limits that are set."""
        return min(self.recall_budget, self.budgeted or NO_LIMIT)

    @property
    def budgeted(self) -> int | None:
        """The answer budget in tokens, whether the task's variant or `--answer-budget` sets it; None where none is set."""
        return min((limit for limit in (self.task.answer_budget, self.answer_budget) if limit), default=None)

    @property
    def before(self) -> str:
        """What stands before a question when the memory is searched, and for agents with the part `before` when the reader
        is asked."""
        prefix = protocol.of_agent(self.task.recall_prefix, self.agent.card)
        if "before" in self.prompts:
            return before_question(self.prompts, str(self.task.params.get("data_source")), prefix)
        return prefix if self.task.protocol else ""

    @property
    def own_data(self) -> bool:
        """Whether the data are the user's (lines of JSON, a Python task): each question has a digest of its own, so that an
        edited one is asked again and no other."""
        return self.task.source == "jsonl" or self.task.source not in SOURCES

    def identity(self) -> dict[str, Any]:
        """What makes this run's samples what they are. Not in it: limit, concurrency, executor, base URLs, judge, label,
        output, and users' own data (lines of JSON, a Python task), where each question has a digest of its own
        (digests.py)."""
        return {
            "format": FORMAT,
            "task": digests.identity(self.task),
            "data": {} if self.own_data else self.data,
            "seed": self.settings.seed,
            "agent": {**digests.identity(self.agent.card), "params": self.agent.deciding},
            "agent_files": dict(self.agent.files),
            "models": {role: _model(spec) for role, spec in sorted(self.models.items()) if role != "judge"},
            "prompts": {**self._reader_prompt(), **self.prompts},
            "repeats": self.repeats,
            "answer_repeats": self.answer_repeats,
            "answer_budget": self.answer_budget,
        }

    def _reader_prompt(self) -> dict[str, str]:
        """The built-in text that the reader answers by, where there is a reader."""
        if "reader" not in self.models or self.agent.card.track == "native":
            return {}
        name = "closed-book" if self.agent.card.agent == "closed-book" else self.task.reader_prompt
        return {"reader": READER[name]}

    def ingest_identity(self) -> dict[str, Any]:
        """What makes this run's memory what it is. Runs that have it in common differ in what happens afterwards: the answer
        budget, the reader and its prompt, metrics, how often each question is answered, and how often all of it is
        repeated (the number of the repeat is in every call and in every row of the memory)."""
        whole = self.identity()
        return {
            **{key: whole[key] for key in ("format", "data", "seed", "agent", "agent_files")},
            "task": digests.ingest_identity(self.task),
            **{
                key: {role: of for role, of in whole[key].items() if role not in READER_PARTS}
                for key in ("models", "prompts")
            },
        }

    def placed(self, runs_dir: Path) -> RunSpec:
        """The spec with its folder, RUNS/<task>/<agent>-<hash8>, and that of its memory,
        RUNS/<task>/memories/<agent>-<hash8>[.N]. Names are reduced to safe characters.

        The memory is the one that the run has read, else the newest; of an agent whose memory does not follow from stored
        replies a new one, for it cannot read another command's."""
        agent = folder_name(self.agent.card.name)
        folder = runs_dir / folder_name(self.task.name) / f"{agent}-{digests.digest(self.identity())[:8]}"
        placed = dataclasses.replace(self, folder=folder.absolute(), shown=str(folder))
        if self.agent.is_control:
            return placed
        memories = runs_dir.resolve() / folder_name(digests.read_as(self.task)) / MEMORIES
        first = memories.resolve() / f"{agent}-{digests.digest(self.ingest_identity())[:8]}"
        known, read = generations(first), RunFolder(placed.folder).memory
        if read and first_generation(read.path) == first:
            memory = read.path
        elif self.agent.replayable or not known:
            memory = (known or [first])[-1]
        else:
            memory = next_generation(first)
        return dataclasses.replace(placed, memory=memory)


def _model(spec: ModelSpec) -> dict[str, Any]:
    """Which model it is, and how it is asked to answer; not where it is, and not how long is waited for it."""
    params = {key: value for key, value in spec.params.items() if key != "timeout"}
    tag = {"tag": spec.tag} if spec.tag else {}
    return {"name": registry.identity(spec) or spec.name, **tag, "params": params}
