"""Rebuild the memories of a finished run: its agent reads the streams again from stored replies; no request is sent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memeval import digests, plugins, protocol
from memeval.agent import Item
from memeval.config import data_dir, read_config
from memeval.errors import StopRun, UsageError
from memeval.models.budget import Budget
from memeval.models.completion import ModelSpec
from memeval.records.folder import RunFolder
from memeval.records.manifest import Manifest
from memeval.records.memory import MemoryFolder
from memeval.runs.options import Options
from memeval.runs.plan import agent_spec, checked_task, made
from memeval.runs.reader import AnswerStage, Asked
from memeval.runs.run_context import RunContext
from memeval.runs.spec import RunSpec
from memeval.task import Question
from memeval.tasks import Settings, Task
from memeval.tasks.load import load

Wanted = tuple[str, int]
"""(question id, repeat)"""


@dataclass(frozen=True)
class _Listing(AnswerStage):
    """An answer stage that records what the memory held at each wanted question instead of answering it."""

    wanted: Collection[Wanted] = ()
    found: dict[Wanted, Sequence[Item]] = field(default_factory=dict)

    def open(self, question: Question, repeat: int) -> list[int]:
        return [0] if (question.id, repeat) in self.wanted else []

    async def answer(self, asked: Asked, number: int) -> None:
        if asked.entries is not None:
            self.found[asked.question.id, asked.repeat] = asked.entries


async def entries_again(
    folder: RunFolder, wanted: Collection[Wanted], data: Path | None = None
) -> dict[Wanted, Sequence[Item]]:
    """What the memory held when each question was asked, if the agent lists its entries. data: the data folder.
    Questions are left out if their stream has changed since, or if a stored reply is missing.

    Raises UsageError if the memory cannot be rebuilt because the agent, its models or the task have changed.
    """
    memory = folder.memory
    if memory is None:
        raise UsageError(f"{folder.path}: a control has no memory")
    spec, task = _as_it_was(folder, folder.known_manifest(), memory, data)
    streams = {row.question_id: row.stream for row in folder.questions().values()}
    async with RunContext.of_runs([spec], budget=Budget(max_calls=0)) as context:
        listing = _Listing(spec, context.routes, lambda row: None, wanted=wanted)
        engine = context.engine(lambda row: None, [listing])
        try:
            for ref in task.refs([question for question in task.order if question in {name for name, _ in wanted}]):
                packed = spec.packed(task, ref)
                if all(streams.get(question) == packed.digest for question in ref.question_ids):
                    for repeat in sorted({repeat for question, repeat in wanted if question in ref.question_ids}):
                        await engine.run(packed, repeat)
        except StopRun:  # a reply is missing in the store: keep what was found so far
            pass
    return listing.found


def _as_it_was(folder: RunFolder, manifest: Manifest, memory: MemoryFolder, data: Path | None) -> tuple[RunSpec, Task]:
    """The run's task, and its spec rebuilt from its manifest and from the installed code."""
    before = memory.manifest()
    if before is None or not before.replayable:
        raise UsageError(f"{memory.path}: the memory does not follow from stored replies")
    was = manifest.identity
    params = was["agent"]["params"]
    options = Options((manifest.typed.agent,), (manifest.typed.task,), seed=manifest.seed)
    card = plugins.find_agent(manifest.typed.agent)
    agent = agent_spec(manifest.typed.agent, card, params, made(card, params), before.replayable)
    task_card = checked_task(manifest.typed.task, options)
    settings = Settings(data_dir(data, read_config()), manifest.seed, manifest.questions)
    task = load(task_card, settings)
    spec = RunSpec(
        task_typed=manifest.typed.task,
        task=protocol.scored(task_card, card),
        settings=settings,
        agent=agent,
        models={role: model_of(manifest, role) for role in manifest.models},
        data=task.data,
        prompts=was["prompts"],
        repeats=was["repeats"],
        folder=folder.path.absolute(),
        memory=memory.path,
    )
    if digests.digest(spec.ingest_identity()) != before.memory_hash:
        raise UsageError(f"{folder.path}: agent, models or task are not as they were when it was read")
    return spec, task


def model_of(manifest: Manifest, role: str) -> ModelSpec:
    """The model that the run used in a role."""
    was = manifest.identity["models"][role]
    return ModelSpec(manifest.models[role], manifest.base_urls.get(role), was["params"], tag=was.get("tag", ""))
