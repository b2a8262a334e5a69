"""Streams read by the model under training, through the engine that runs every evaluation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import asdict

from memeval import process, tokens
from memeval.errors import StopRun
from memeval.metrics.rules import Rules
from memeval.models.usage import Step
from memeval.records.rows import OperationRow, QuestionRow, SampleRow, TextRow
from memeval.runs.prepare import PackedContext, prepare
from memeval.runs.run_context import LiveModel, RunContext
from memeval.runs.score import score_samples
from memeval.runs.spec import RunSpec
from memeval.tasks import Task
from memeval.training.policy import Policy
from memeval.training.rollouts import MEMORY, Rollout, rollouts


def packed(task: Task, question_ids: Sequence[str]) -> list[PackedContext]:
    """The streams that hold these questions, ready to be read."""
    card, count = task.card, tokens.counter(task.card.tokenizer)
    return [
        prepare(task.context(ref), ref, card.chunk_tokens, count, card.one_unit_per_chunk) for ref in task.refs(question_ids)
    ]


def read(
    spec: RunSpec,
    streams: Sequence[PackedContext],
    policy: Policy | None = None,
    noise: str = "",
    repeats: int = 1,
    models: Mapping[str, LiveModel] | None = None,
) -> list[Rollout]:
    """Read each stream `repeats` times with the agent and the task of a run, and ask its questions; nothing is stored.

    policy: the model in the role memory; None: the one that the run names, or none. noise: names the round; two rounds of
    one name and one state of the model are equal. models: further live models by role; other roles call what the run names.
    Raises UsageError and StopRun as a run does; the latter also where the agent failed, because then a reward would be that
    of a fault.
    """
    return process.run(_read(spec, streams, policy, noise, repeats, models or {}))


async def _read(
    spec: RunSpec,
    streams: Sequence[PackedContext],
    policy: Policy | None,
    noise: str,
    repeats: int,
    models: Mapping[str, LiveModel],
) -> list[Rollout]:
    rows: list[Any] = []
    steps: list[Step] = []
    live: dict[str, LiveModel] = dict(models)
    if policy is not None:
        policy.begin(noise, len(streams) * repeats)
        live[MEMORY] = policy
    async with RunContext(spec, models=live, on_step=steps.append) as run:
        engine = run.engine(rows.append)

        async def one(stream: PackedContext, repeat: int) -> None:
            ended = False

            def end() -> None:
                nonlocal ended
                if not ended:
                    ended = True
                    if policy is not None:
                        policy.ended()

            try:
                await engine.run(stream, repeat, end)
            finally:
                end()

        try:
            async with asyncio.TaskGroup() as group:
                for stream in streams:
                    for repeat in range(repeats):
                        group.create_task(one(stream, repeat))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
    questions = {row.question_id: row for row in rows if isinstance(row, QuestionRow)}
    samples = [row for row in rows if isinstance(row, SampleRow)]
    lost = next((sample.failure for sample in samples if sample.failure is not None), None)
    if lost is not None:
        raise StopRun(f"a reading failed: {lost}")
    texts = {row.sha: row.text for row in rows if isinstance(row, TextRow)}
    card = spec.task
    rules = Rules.of({**asdict(card), "metrics": [card.headline]}, card.headline, native=False)
    scores = list(score_samples(samples, questions, texts, rules))
    operations = [row for row in rows if isinstance(row, OperationRow)]
    return rollouts(steps, operations, questions, scores, card.headline)
