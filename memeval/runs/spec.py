"""The specification of one run: frozen, picklable data, and the identity that names its folder (DESIGN section 6)."""

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
"""Version of run and memory folders and of everything that affects the content of a sample; part of the identity."""

NO_LIMIT = 10**9
"""Tokens: the budget of a task whose card sets `reader_budget: 0`."""


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """An agent as configured: `typed` is the name on the command line, `params` are the card's with `--set` applied.
    `files`: label -> digest of each of its source files. replayable: whether its memory follows from stored replies.
    chunk_tokens: the chunk size that the agent requests, 0 for the task's."""

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
        """The parameters that affect answers."""
        waits = ("timeout",) if self.card.agent in FOREIGN else ()
        return {key: value for key, value in self.params.items() if key not in waits}


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One agent on one task: everything that affects its numbers, and how to execute it.

    prompts: role -> prompt text that replaces the built-in one. data: facts about the task's data (hashes).
    answer_budget: tokens of recalled material that the reader sees (0 = the task's reader budget). agent_timeout:
    seconds for one method of an agent, None for no limit. policy: transport of calls. label: a name of the run, for
    people. folder: absolute, because an agent may change the working directory; shown: the same path as shown to users.
    memory: the absolute folder of the memory; None for a control.
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
        """The memory folder as stored in the run's manifest: relative to the run folder."""
        return None if self.memory is None else Path(os.path.relpath(self.memory, self.folder.resolve())).as_posix()

    @property
    def chunk_tokens(self) -> int:
        """Most tokens of a chunk: the size that the agent requests, unless a published protocol or data that come in
        chunks fix it; else the task's."""
        fixed = self.task.protocol or self.task.one_unit_per_chunk
        return self.task.chunk_tokens if fixed else self.agent.chunk_tokens or self.task.chunk_tokens

    def packed(self, task: Task, ref: ContextRef) -> PackedContext:
        """A context of the task as this run reads it: in chunks, with the questions of `ref`."""
        count = tokens.counter(self.task.tokenizer)
        found = prepare(task.context(ref), ref, self.chunk_tokens, count, self.task.one_unit_per_chunk)
        control = controls.BY_NAME.get(self.agent.card.agent)
        return controls.with_other(found, task, count) if control and control.elsewhere else found

    @property
    def recall_budget(self) -> int:
        """Most tokens of a recall that the reader may see, without an answer budget."""
        return self.task.reader_budget or NO_LIMIT

    @property
    def agent_budget(self) -> int:
        """The recall budget in an agent's session: the task's, or what the reader's window holds. It excludes the
        answer budget: an agent that knew it could build another memory, and one memory must serve several answer
        budgets."""
        size = window.known(self.models["reader"]) if "reader" in self.models else None
        return self.recall_budget if size is None else min(self.recall_budget, window.room(size))

    @property
    def budget(self) -> int:
        """Tokens of recalled material that the reader may see: the smallest limit that is set. The task's variant or
        `--answer-budget` sets an answer budget."""
        return min(limit for limit in (self.recall_budget, self.task.answer_budget, self.answer_budget) if limit)

    @property
    def before(self) -> str:
        """The text before a question when the memory is searched, and, for agents with the part `before`, when the
        reader is asked."""
        prefix = protocol.of_agent(self.task.recall_prefix, self.agent.card)
        if "before" in self.prompts:
            return before_question(self.prompts, str(self.task.params.get("data_source")), prefix)
        return prefix if self.task.protocol else ""

    @property
    def own_data(self) -> bool:
        """Whether the data are the user's (JSON lines, a Python task). Then each question has its own digest, so that
        only an edited one is asked again."""
        return self.task.source == "jsonl" or self.task.source not in SOURCES

    def identity(self) -> dict[str, Any]:
        """Everything that determines this run's samples. Not included: limit, concurrency, executor, base URLs, judge,
        label, output, and the user's own data (JSON lines, a Python task), whose questions have their own digests
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
        """The built-in prompt of the reader, if the run has a reader."""
        if "reader" not in self.models or self.agent.card.track == "native":
            return {}
        name = "closed-book" if self.agent.card.agent == "closed-book" else self.task.reader_prompt
        return {"reader": READER[name]}

    def ingest_identity(self) -> dict[str, Any]:
        """Everything that determines this run's memory. Runs with equal ingest identities differ only in later steps:
        the answer budget, the reader and its prompt, metrics, answer repeats, and repeats (the number of the repeat is
        in every call and in every row of the memory)."""
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
        """The spec with its folder, RUNS/<task>/<agent>-<hash8>, and its memory folder,
        RUNS/<task>/memories/<agent>-<hash8>[.N]. Names are reduced to safe characters.

        The memory is the one that the run has read, else the newest. If the memory does not follow from stored replies,
        it is a new one, because the run cannot use the memory of another command.
        """
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
    """The identity of a model: its name, tag and sampling, without its URL and time-out."""
    params = {key: value for key, value in spec.params.items() if key != "timeout"}
    tag = {"tag": spec.tag} if spec.tag else {}
    return {"name": registry.identity(spec) or spec.name, **tag, "params": params}
